package fiojob

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// files is a file system of job files.
type files map[string]string

func (f files) open(path string) (io.ReadCloser, error) {
	text, ok := f[path]
	if !ok {
		return nil, errors.New("no such file")
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func env(name string) string {
	return map[string]string{"DEV": "/dev/loop9", "SIZE": "64m"}[name]
}

func options(f files) ParseOptions {
	return ParseOptions{Open: f.open, Env: env, NCPUs: 4, PageBytes: 4096, MemoryBytes: 8 << 30}
}

// parse reads a command line that must be right.
func parse(t *testing.T, opts ParseOptions, args ...string) (*workloads.Plan, *Settings) {
	t.Helper()
	plan, settings, err := ParseArgs(args, opts)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return plan, settings
}

// fails reads a command line that must be wrong, and wants the code and the words in the error.
func fails(t *testing.T, opts ParseOptions, code, words string, args ...string) {
	t.Helper()
	_, _, err := ParseArgs(args, opts)
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Errorf("%q: %v, want an error with code %s", args, err, code)
		return
	}
	if e.Code != code || !strings.Contains(e.Error(), words) || e.Exit != fault.ExitUsage {
		t.Errorf("%q: %s %q, exit %d; want %s and %q", args, e.Code, e.Error(), e.Exit, code, words)
	}
}

func TestArgs(t *testing.T) {
	// The one job of options alone, with blkmeter's defaults.
	plan, settings := parse(t, options(nil), "--filename=/dev/loop0", "--rw", "randread", "-bs=8k", "-iodepth", "32",
		"--numjobs=2", "--runtime=10s", "--time_based", "--output", "r.json", "--output-format=json")
	j := plan.Jobs[0]
	if len(plan.Jobs) != 1 || j.Name != "randread" || j.RW != workloads.RWRandRead || j.BS[0].Min != 8192 || j.BS[2].Max != 8192 ||
		j.IODepth != 32 || j.NumJobs != 2 || j.Runtime != 10*time.Second || !j.TimeBased || !j.Direct || !j.DirectAssumed ||
		j.Engine != "auto" || j.Filenames[0] != "/dev/loop0" {
		t.Errorf("got %+v", j)
	}
	if settings.Output != "r.json" || settings.Formats[0] != "json" || !settings.FromArgs || len(plan.Globals) != 0 || len(j.Options) != 7 {
		t.Errorf("settings %+v, globals %v, options %v", settings, plan.Globals, j.Options)
	}

	// Globals, several jobs, a switch in between, and fio's defaults.
	fio := options(nil)
	fio.Fio = true
	plan, settings = parse(t, fio, "--bs=4k", "--name=a", "--rw=write", "--readwrite=read", "--eta=never", "--name=b", "--direct=1", "--size", "1m")
	if len(plan.Jobs) != 2 || plan.Jobs[0].Name != "a" || plan.Jobs[0].Direct || plan.Jobs[0].Engine != "psync" ||
		!plan.Jobs[1].Direct || plan.Jobs[1].DirectAssumed || plan.Jobs[1].Size.Bytes != 1<<20 || settings.ETA != "never" {
		t.Errorf("got %+v", plan.Jobs)
	}
	if got := plan.Jobs[0].Options; len(got) != 3 || got[0] != (workloads.Option{Name: "name", Value: "a"}) || got[2].Name != "rw" {
		t.Errorf("options %v", got)
	}
	if len(plan.Globals) != 1 || plan.Globals[0] != (workloads.Option{Name: "bs", Value: "4k"}) {
		t.Errorf("globals %v", plan.Globals)
	}

	fails(t, fio, "NO_JOBS", "no jobs", "--rw=read")
	fails(t, fio, "NO_JOBS", "no jobs")
	if plan, _ := parse(t, options(nil)); len(plan.Jobs) != 0 {
		t.Errorf("no arguments make jobs: %+v", plan.Jobs)
	}
	if _, s := parse(t, options(nil), "--help"); !s.Help {
		t.Error("--help is not seen")
	}
	if plan, _ := parse(t, options(nil), "--ioen=null", "--siz=1m"); plan.Jobs[0].Engine != "null" {
		t.Error("beginnings of names are not understood")
	}
	fails(t, options(nil), "UNKNOWN_OPTION", `did you mean "rwmixread"`, "--rwmixraed=5")
	fails(t, options(nil), "UNKNOWN_OPTION", "several options", "--rwmi=5")
	fails(t, options(nil), "BAD_VALUE", "needs a value", "--rw")
	fails(t, options(nil), "BAD_VALUE", "did you mean \"read\"", "--rw=raed")
	fails(t, options(nil), "ENGINE_UNSUPPORTED", "engine not supported: rbd", "--ioengine=rbd", "--rbdname=x", "--size=1m")
	fails(t, options(nil), "ENGINE_UNSUPPORTED", "engine not supported: rbd", "--rbdname=x", "--ioengine=rbd", "--size=1m")
	fails(t, options(nil), "BAD_VALUE", `did you mean "io_uring"`, "--ioengine=iouring")
	fails(t, options(nil), "READ_ONLY", "--readonly", "--rw=trim", "--readonly")
	fails(t, options(nil), "OPTION_UNSUPPORTED", "cgroup", "--cgroup=fast")
}

func TestTrapsWarn(t *testing.T) {
	tests := []struct {
		arg  string
		want string
	}{
		{"--bs=4KiB", "4000"},
		{"--size=1.5m", `"1.5m" is 1`},
		{"--runtime=1min", "1us"},
		{"--bs=1k-4k", "1k for reads, 4k for writes"},
	}
	for _, tt := range tests {
		plan, _ := parse(t, options(nil), tt.arg)
		if len(plan.Warnings) != 1 || plan.Warnings[0].Code != "FIO_TRAP" || !strings.Contains(plan.Warnings[0].Sentence, tt.want) {
			t.Errorf("%s: %+v", tt.arg, plan.Warnings)
		}
		fails(t, options(nil), "FIO_TRAP", tt.want, tt.arg, "--strict")
		fails(t, options(nil), "FIO_TRAP", tt.want, tt.arg, "--warnings-fatal")
	}
}

func TestJobFile(t *testing.T) {
	f := files{"d/a.fio": `
; a comment
[global]
bs=8k # cut
group_reporting
filename=${DEV}

[first one]
rw = read
size=2*$mb_memory
iodepth=2*$ncpus
ioengine=io_uring
include common.inc
[global]
bs=16k
[second]
stonewall
size=${SIZE}
`, "d/common.inc": "numjobs=3\nexitall\n", "b.fio": "[third]\nsize=1m\n[fourth]\nsize=1m\n"}
	f["d/a.fio"] = strings.ReplaceAll(f["d/a.fio"], "rw = read", "rw =read")
	plan, _ := parse(t, options(f), "d/a.fio", "b.fio")
	if len(plan.Jobs) != 4 {
		t.Fatalf("%d jobs", len(plan.Jobs))
	}
	a, b, c, d := plan.Jobs[0], plan.Jobs[1], plan.Jobs[2], plan.Jobs[3]
	if a.Name != "first one" || a.BS[0].Min != 8192 || !a.GroupReporting || a.Filenames[0] != "/dev/loop9" || a.Size.Bytes != 2*8192 ||
		a.IODepth != 8 || a.NumJobs != 3 || !a.ExitAll || a.Direct || a.File != "d/a.fio" || a.Line != 8 {
		t.Errorf("first: %+v", a)
	}
	if b.Name != "second" || b.BS[0].Min != 16384 || !b.Stonewall || b.Size.Bytes != 64<<20 || b.NumJobs != 1 || b.Engine != "psync" {
		t.Errorf("second: %+v", b)
	}
	if !c.Stonewall || d.Stonewall {
		t.Errorf("third, fourth: %+v %+v", c, d)
	}
	fails(t, options(files{"x": "[a]\nsize=1m\nrwmix=3\n"}), "UNKNOWN_OPTION", "x:3: there is no option", "x")
	fails(t, options(files{"x": "[a]\nsize=1m\nRW=read\n"}), "UNKNOWN_OPTION", `did you mean "rw"`, "x")
	fails(t, options(files{"x": "size=1m\n"}), "JOB_FILE", "x:1", "x")
	fails(t, options(files{"x": "[a]\nx=\x00"}), "JOB_FILE", "NUL", "x")
	fails(t, options(files{"x": "[a]\ninclude x"}), "JOB_FILE", "must not start sections", "x")
	fails(t, options(files{"x": "[a]\ninclude y", "y": "include y"}), "JOB_FILE", "nested", "x")
	fails(t, options(files{"x": "[a]\ndirect=true"}), "BAD_VALUE", "x:2: direct=true", "x")
	fails(t, options(nil), "JOB_FILE", "cannot open nothere.fio", "nothere.fio")
}
