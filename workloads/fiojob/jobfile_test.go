package fiojob

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// one parses a job file of one job.
func one(t *testing.T, text string) workloads.Job {
	t.Helper()
	plan, _ := parse(t, options(files{"x": text}), "x")
	if len(plan.Jobs) != 1 {
		t.Fatalf("%q makes %d jobs", text, len(plan.Jobs))
	}
	return plan.Jobs[0]
}

func TestGrammar(t *testing.T) {
	tests := []struct {
		name  string
		text  string
		check func(workloads.Job) bool
	}{
		{"blanks and tabs", "  [a]\t\n\t size=1m  \r\n", func(j workloads.Job) bool { return j.Name == "a" && j.Size.Bytes == 1<<20 }},
		{"a name with blanks and brackets", "[a b]c]\nsize=1m", func(j workloads.Job) bool { return j.Name == "a b]c" }},
		{"comments cut values", "[a]\nsize=1m;2\ndescription=x # y", func(j workloads.Job) bool { return j.Size.Bytes == 1<<20 && j.Description == "x" }},
		{"even in quotes", "[a]\nsize=1m\ndescription=\"x;y\"", func(j workloads.Job) bool { return j.Description == "\"x" }},
		{"only the first = separates", "[a]\nsize=1m\ndescription=x=y", func(j workloads.Job) bool { return j.Description == "x=y" }},
		{"bare flags", "[a]\nsize=1m\ngroup_reporting\nnorandommap\nexitall=0", func(j workloads.Job) bool { return j.GroupReporting && j.NoRandomMap && !j.ExitAll }},
		{"aliases", "[a]\nsize=1m\nblocksize=8k\nreadwrite=write\ntimeout=3\nallrandrepeat=0", func(j workloads.Job) bool {
			return j.BS[1].Max == 8192 && j.RW == workloads.RWWrite && j.Runtime == 3*time.Second && !j.RandRepeat
		}},
		{"blanks around =", "[a]\nsize=1m\nrw = write\nioengine= null", func(j workloads.Job) bool { return j.RW == workloads.RWWrite && j.Engine == "null" }},
		{"name renames", "[a]\nsize=1m\nname=b", func(j workloads.Job) bool { return j.Name == "b" }},
		{"files keep the section's name", "[a]\nsize=1m\nname=b", func(j workloads.Job) bool { return cmp.Equal(j.Paths(0), []string{"a.0.0"}) }},
		{"kb_base holds for its section", "[a]\nsize=4k\nbs=1k\nkb_base=1000", func(j workloads.Job) bool { return j.Size.Bytes == 4000 && j.BS[0].Min == 1000 }},
		{"environment", "[a]\nsize=${SIZE}\nfilename=${DEV}${NONE}", func(j workloads.Job) bool { return j.Size.Bytes == 64<<20 && j.Filenames[0] == "/dev/loop9" }},
		{"an open brace stays", "[a]\nsize=1m\ndescription=${SIZE", func(j workloads.Job) bool { return j.Description == "${SIZE" }},
		{"keywords", "[a]\nsize=$mb_memory\nbs=2*$pagesize\niodepth=$ncpus\nioengine=libaio", func(j workloads.Job) bool {
			return j.Size.Bytes == 8192 && j.BS[0].Min == 8192 && j.IODepth == 4
		}},
		{"a keyword in a name", "[a]\nsize=1m\nfilename=/tmp/f-$ncpus/x", func(j workloads.Job) bool { return j.Filenames[0] == "/tmp/f-4/x" }},
		{"an expression", "[a]\nsize=(2*(4k+4096)-1)\nbs=1", func(j workloads.Job) bool { return j.Size.Bytes == 16383 }},
		{"a section named like a device", "[/dev/sdz]\nrw=read", func(j workloads.Job) bool { return cmp.Equal(j.Filenames, []string{"/dev/sdz"}) }},
		{"colons in names", "[a]\nsize=1m\nfilename=/x\\:y:/z", func(j workloads.Job) bool { return cmp.Equal(j.Filenames, []string{"/x:y", "/z"}) && j.NrFiles == 2 }},
		{"filenames add up", "[global]\nfilename=/a\n[a]\nsize=1m\nfilename=/b", func(j workloads.Job) bool { return cmp.Equal(j.Filenames, []string{"/a", "/b"}) && j.NrFiles == 2 }},
		{"bsrange wins over bs", "[a]\nsize=1m\nbsrange=4k-8k\nbs=16k", func(j workloads.Job) bool { return j.BS[0] == workloads.SizeRange{Min: 4096, Max: 8192} }},
		{"bsrange the wrong way round", "[a]\nsize=1m\nbsrange=8k-4k,16k:32k", func(j workloads.Job) bool {
			return j.BS[0] == workloads.SizeRange{Min: 4096, Max: 8192} && j.BS[2] == workloads.SizeRange{Min: 16384, Max: 32768}
		}},
		{"bs per direction", "[a]\nsize=1m\nbs=,8k", func(j workloads.Job) bool { return j.BS[0].Min == 4096 && j.BS[1].Min == 8192 && j.BS[2].Min == 8192 }},
		{"bs with a comma at the end", "[a]\nsize=1m\nbs=8k,16k,", func(j workloads.Job) bool { return j.BS[1].Min == 16384 && j.BS[2].Min == 4096 }},
		{"bssplit", "[a]\nsize=1m\nbssplit=4k/60:64k:16k/,8k", func(j workloads.Job) bool {
			return cmp.Equal(j.BSSplit[0], []workloads.Split{{Bytes: 4096, Percent: 60}, {Bytes: 65536, Percent: 20}, {Bytes: 16384, Percent: 20}}) &&
				cmp.Equal(j.BSSplit[2], []workloads.Split{{Bytes: 8192, Percent: 100}}) && j.BS[0] == workloads.SizeRange{Min: 4096, Max: 65536}
		}},
		{"bssplit of more than all", "[a]\nsize=1m\nbssplit=4k/60:8k/50", func(j workloads.Job) bool { return j.BSSplit[0][1].Percent == 40 }},
		{"rw with a number", "[a]\nsize=1m\nrw=randread:8", func(j workloads.Job) bool { return j.RWRun == 8 && j.RWSkipBytes == 0 }},
		{"rw with a gap", "[a]\nsize=1m\nrw=write:-4k", func(j workloads.Job) bool { return j.RWSkipBytes == -4096 && j.RWRun == 1 }},
		{"the later mix wins", "[a]\nsize=1m\nrwmixread=70\nrwmixwrite=40", func(j workloads.Job) bool { return j.MixReadPercent == 60 }},
		{"buffered", "[a]\nsize=1m\nbuffered=0", func(j workloads.Job) bool { return j.Direct }},
		{"percentages", "[a]\nsize=50%\noffset=10%\nio_size=5g", func(j workloads.Job) bool {
			return j.Size.IsPct && j.Size.Percent == 50 && j.Offset.Percent == 10 && j.IOSize.Bytes == 5<<30
		}},
		{"distributions", "[a]\nsize=1m\nrandom_distribution=zipf", func(j workloads.Job) bool { return j.Distribution[2] == "zipf:1.1" }},
		{"distributions per direction", "[a]\nsize=1m\nrandom_distribution=zoned:60/10:40/90,50/50:50/50", func(j workloads.Job) bool {
			return j.Distribution == [3]string{"zoned:60/10:40/90", "zoned:50/50:50/50", "zoned:50/50:50/50"}
		}},
		{"rates", "[a]\nsize=1m\nrate=1m,,500k\nrate_iops_min=5", func(j workloads.Job) bool {
			return j.RateBytes == [3]uint64{1 << 20, 0, 500 << 10} && j.RateIOPSMin[2] == 5
		}},
		{"a sync engine has depth 1", "[a]\nsize=1m\nioengine=pvsync\niodepth=32", func(j workloads.Job) bool { return j.IODepth == 1 }},
		{"batches", "[a]\nsize=1m\nioengine=libaio\niodepth=16\niodepth_batch=0\niodepth_batch_complete_min=32\niodepth_batch_complete_max=4", func(j workloads.Job) bool {
			return j.BatchSubmit == 16 && j.BatchCompleteMin == 16 && j.BatchCompleteMax == 16
		}},
		{"CPUs", "[a]\nsize=1m\ncpus_allowed=0-2,5,1", func(j workloads.Job) bool { return cmp.Equal(j.CPUsAllowed, []int{0, 1, 2, 5}) }},
		{"a CPU mask", "[a]\nsize=1m\ncpumask=0x5", func(j workloads.Job) bool { return cmp.Equal(j.CPUsAllowed, []int{0, 2}) }},
		{"a delay", "[a]\nsize=1m\nstartdelay=5-10", func(j workloads.Job) bool {
			return j.StartDelay == workloads.DurationRange{Min: 5 * time.Second, Max: 10 * time.Second}
		}},
		{"percentiles", "[a]\nsize=1m\npercentile_list=99:50:99.9", func(j workloads.Job) bool { return cmp.Equal(j.Stats.Percentiles, []float64{50, 99, 99.9}) }},
		{"errors to ignore", "[a]\nsize=1m\nignore_error=ENOSPC:5,,EILSEQ", func(j workloads.Job) bool {
			return cmp.Equal(j.IgnoreError, [3][]string{{"ENOSPC", "5"}, nil, {"EILSEQ"}})
		}},
		{"logs with and without a prefix", "[a]\nsize=1m\nwrite_bw_log\nwrite_lat_log=x", func(j workloads.Job) bool {
			return j.Logs.BW == workloads.LogFile{Want: true} && j.Logs.Lat == workloads.LogFile{Want: true, Prefix: "x"} && !j.Logs.IOPS.Want
		}},
		{"a seed", "[a]\nsize=1m\nrandseed=0xffffffffffffffff", func(j workloads.Job) bool { return j.RandSeed == 1<<64-1 && j.RandSeedSet }},
		{"steady state", "[a]\nsize=1m\nss=bw_slope:0.3%\nss_dur=30", func(j workloads.Job) bool {
			return j.SteadyState.Metric == "bw_slope" && j.SteadyState.Limit == 0.3 && j.SteadyState.Percent && j.SteadyState.Duration == 30*time.Second
		}},
		{"strided zones", "[a]\nsize=1m\nzonemode=strided\nzonesize=4k\nzoneskip=8k", func(j workloads.Job) bool {
			return j.Zones == workloads.Zones{Mode: "strided", SizeBytes: 4096, RangeBytes: 4096, SkipBytes: 8192}
		}},
		{"values that ask for nothing", "[a]\nsize=1m\nsprandom=0\nlockfile=none\nlockmem=0", func(j workloads.Job) bool { return true }},
	}
	for _, tt := range tests {
		if j := one(t, tt.text); !tt.check(j) {
			t.Errorf("%s: %q gives %+v", tt.name, tt.text, j)
		}
	}
}

func TestErrorsHavePositions(t *testing.T) {
	tests := []struct{ text, code, words string }{
		{"[a]\nbs=0", "BAD_VALUE", "x:2: bs=0: \"0\" is below 1"},
		{"[a]\nbs=", "BAD_VALUE", "x:2: bs=: the value is empty"},
		{"[a]\nbs", "BAD_VALUE", "x:2: bs: it needs a value"},
		{"[a]\nthread=", "BAD_VALUE", "x:2"},
		{"[a]\ntime_based=yes", "BAD_VALUE", "neither 0 nor 1"},
		{"[a]\niodepth=4*$ncpus+", "BAD_VALUE", "a number is missing"},
		{"[a]\niodepth=$ncpus/0", "BAD_VALUE", "division by zero"},
		{"[a]\nbs=(1", "BAD_VALUE", "a ) is missing"},
		{"[a]\nsize=${UNSET}", "BAD_VALUE", "x:2: size=: the value is empty"},
		{"[a]\nsize=1z", "BAD_VALUE", "zonemode=zbd"},
		{"[a]\nsize=101%", "BAD_VALUE", "more than the whole"},
		{"[a]\nsize=-1", "BAD_VALUE", "negative"},
		{"[a]\nbs=10%", "BAD_VALUE", "no percentage"},
		{"[a]\nbssplit=4k/60:8k/40:16k", "BAD_VALUE", "leave nothing"},
		{"[a]\nbsrange=4k", "BAD_VALUE", "not a range"},
		{"[a]\npercentile_list=0", "BAD_VALUE", "not between"},
		{"[a]\nrandom_distribution=zipf:1", "BAD_VALUE", "theta"},
		{"[a]\nrandom_distribution=pareto:1.5", "BAD_VALUE", "between 0 and 1"},
		{"[a]\ncpus_allowed=3-1", "BAD_VALUE", "3-1"},
		{"[a]\ncpus_allowed=0-99999999", "BAD_VALUE", "above"},
		{"[a]\nignore_error=FOO", "BAD_VALUE", "FOO"},
		{"[a]\nrw=read:x", "BAD_VALUE", "after the colon"},
		{"[a\nbs=4k", "JOB_FILE", "x:1: the section has no closing bracket"},
		{"[a]\noutput=x", "UNKNOWN_OPTION", "a switch of the command line"},
		{"[a]\n=5", "UNKNOWN_OPTION", "x:2"},
		{"[a]\nsize=1m\ntime_based", "BAD_JOB", "x:1: job a: time_based needs a runtime"},
		{"[a]\nsize=1m\nrate=1m\nrate_iops=5", "BAD_JOB", "exclude each other"},
		{"[a]\nsize=1m\nrate=1m\nrate_min=2m", "BAD_JOB", "above the rate"},
		{"[a]\nsize=1m\nzonesize=4k", "BAD_JOB", "zonemode"},
		{"[a]\nsize=1m\nzonemode=strided", "BAD_JOB", "zonesize"},
		{"[a]\nsize=1m\nzonemode=zbd", "OPTION_UNSUPPORTED", "zbd"},
		{"[a]\nsize=1m\nwait_for=b\n[b]\nsize=1m", "BAD_JOB", "no such job before"},
		{"[b]\nsize=1m\n[b]\nsize=1m\n[a]\nsize=1m\nwait_for=b", "BAD_JOB", "several jobs"},
		{"[a]\nsize=1m\nnumjobs=4097", "TOO_MANY_JOBS", "4096"},
		{"[a]\nsize=1m\nhttp_host=x", "OPTION_UNSUPPORTED", "x:3: http_host=x is not supported: it belongs to the engine http"},
		{"[global]\nuid=0\n[a]\nsize=1m\n[b]\nsize=1m", "OPTION_UNSUPPORTED", "x:2: uid=0"},
		{"[a]\nsize=1m\nmerge_blktrace_file=x", "OPTION_UNSUPPORTED", "merge_blktrace_file"},
	}
	for _, tt := range tests {
		fails(t, options(files{"x": tt.text}), tt.code, tt.words, "x")
	}
	// Several problems are told at once, engines and globals once.
	_, _, err := ParseArgs([]string{"x"}, options(files{"x": "[global]\nioengine=rbd\npool=x\n[a]\nbs=q\nrww=read\n[b]\n[c]\nioengine=null\nsize=1m"}))
	var e *fault.Error
	if !errors.As(err, &e) || strings.Count(e.Error(), "\n") != 3 || !strings.Contains(e.Error(), "3 problems") || strings.Contains(e.Error(), "pool") {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		text string
		code string
		want int
	}{
		{"[a]\nsize= 4k\nbs=1", "FIO_TRAP", 1},
		{"[global]\nfilename=/a\n[a]\nsize=1m\nfilename=/b", "FIO_TRAP", 1},
		{"[a]\nsize=1m\nclocksource=cpu\n[b]\nsize=1m\nclocksource=cpu", "OPTION_IGNORED", 1},
		{"[a]\nsize=1m\nioengine=mmap", "ENGINE_REPLACED", 1},
		{"[a]\nsize=1m\nioengine=sync\niodepth=8", "SYNC_DEPTH", 1},
		{"[a]\nsize=1m\nstartdelay=5s-10s", "FIO_TRAP", 1},
		{"[a]\nsize=1m\nruntime=10\nmax_latency=10ms,1s\nbs=4k,8k,16k\nss_dur=30s", "", 0},
	}
	for _, tt := range tests {
		plan, _ := parse(t, options(files{"x": tt.text}), "x")
		if len(plan.Warnings) != tt.want || (tt.want > 0 && plan.Warnings[0].Code != tt.code) {
			t.Errorf("%q: %+v, want %d of %s", tt.text, plan.Warnings, tt.want, tt.code)
		}
	}
}

func TestSectionsAndFiles(t *testing.T) {
	f := files{
		"a": "[global]\nbs=8k\n[one]\nsize=1m\n[two]\nsize=1m\n[one]\nsize=2m\n",
		"b": "[three]\nsize=1m\n",
	}
	names := func(plan *workloads.Plan) string {
		var b strings.Builder
		for _, j := range plan.Jobs {
			fmt.Fprintf(&b, "%s/%d/%v ", j.Name, j.BS[0].Min, j.Stonewall)
		}
		return strings.TrimSpace(b.String())
	}
	tests := []struct {
		fio  bool
		args []string
		want string
	}{
		{false, []string{"a", "--section=one"}, "one/8192/false one/8192/false"},
		{false, []string{"a", "b"}, "one/8192/false two/8192/false one/8192/false three/8192/true"},
		{false, []string{"--bs=16k", "b", "b"}, "three/16384/false three/16384/true"},
		{true, []string{"--bs=16k", "b", "b"}, "three/16384/false three/4096/true"},
		{true, []string{"--name=cli", "--size=1m", "b"}, "cli/4096/false three/4096/false"},
		{true, []string{"--name=global", "--bs=1k", "--name=x", "--section=x", "--name=y"}, "x/1024/false"},
	}
	for _, tt := range tests {
		opts := options(f)
		opts.Fio = tt.fio
		if plan, _ := parse(t, opts, tt.args...); names(plan) != tt.want {
			t.Errorf("%q: %s, want %s", tt.args, names(plan), tt.want)
		}
	}
	opts := options(nil)
	opts.Stdin = strings.NewReader("[in]\nsize=1m\n")
	if plan, _ := parse(t, opts, "-"); names(plan) != "in/4096/false" {
		t.Errorf("stdin: %s", names(plan))
	}
}

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.fio")
	if err := os.WriteFile(path, []byte("[a]\nsize=1m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if plan, _, err := ParseArgs([]string{path}, ParseOptions{}); err != nil || len(plan.Jobs) != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
	fails(t, ParseOptions{}, "NOT_A_JOB_FILE", "a directory and not a job file", dir)
}

// The command line that --showcmd prints means what the job files mean.
func TestShowCommandRoundTrip(t *testing.T) {
	lines := []string{
		"bs=8k", "bs=4k,16k", "rw=randrw", "rw=write", "iodepth=${DEPTH}", "ioengine=io_uring", "time_based\nruntime=5", "size=1g",
		"numjobs=2", "stonewall", "filename=/tmp/a b", "group_reporting", "include inc", "size=2*$pagesize", "kb_base=1000", "norandommap=0",
	}
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		for range rapid.IntRange(1, 6).Draw(t, "sections") {
			fmt.Fprintf(&b, "[%s]\n", rapid.SampledFrom([]string{"global", "a", "b c"}).Draw(t, "section"))
			for range rapid.IntRange(0, 5).Draw(t, "options") {
				b.WriteString(rapid.SampledFrom(lines).Draw(t, "option") + "\n")
			}
		}
		b.WriteString("[last]\nsize=1m\n")
		opts := options(files{"x": b.String(), "inc": "direct=1\nrate=5m\n"})
		opts.Env = func(string) string { return "16" }
		opts.Fio = true
		plan, settings, err := ParseArgs([]string{"x", "--showcmd"}, opts)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := ParseArgs(settings.Command, opts)
		if err != nil {
			t.Fatalf("%q: %v", settings.Command, err)
		}
		for _, jobs := range [][]workloads.Job{plan.Jobs, again.Jobs} {
			for i := range jobs {
				jobs[i].File, jobs[i].Line, jobs[i].Options = "", 0, nil
			}
		}
		if diff := cmp.Diff(plan.Jobs, again.Jobs); diff != "" {
			t.Fatalf("%s\n%q\n%s", b.String(), settings.Command, diff)
		}
	})
}

// endless is a file of one byte, over and over.
type endless struct {
	b    byte
	left int64
	read int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.left))
	for i := range n {
		p[i] = e.b
	}
	e.left -= int64(n)
	e.read += int64(n)
	return n, nil
}

func TestHostileFiles(t *testing.T) {
	bomb := files{}
	for i := range 20 {
		bomb[fmt.Sprint(i)] = strings.Repeat(fmt.Sprintf("include %d\n", i+1), 100)
	}
	bomb["x"] = "[a]\ninclude 8\n"
	bomb["20"] = ""
	big := func(name string) string { return strings.Repeat("v", 1<<19) }
	tests := []struct {
		name  string
		opts  ParseOptions
		stdin string
	}{
		{"a million sections", options(nil), strings.Repeat("[a]\n", 1e6)},
		{"a million globals", options(nil), strings.Repeat("[global]\nbs=4k\n", 1e6) + "[a]\nsize=1m\n"},
		{"two million options", options(nil), "[a]\n" + strings.Repeat("bs=4k\n", 2e6)},
		{"nothing but mistakes", options(nil), "[a]\n" + strings.Repeat("nosuchoption=4k\n", 1e6)},
		{"a long environment", ParseOptions{Env: big}, "[a]\ndescription=" + strings.Repeat("${A}", 1e5) + "\n"},
		{"deep parentheses", options(nil), "[a]\nbs=" + strings.Repeat("(", 1e6-10) + "\n"},
		{"a tower of powers", options(nil), "[a]\nbs=(" + strings.Repeat("2^", 1e5) + "2)\n"},
		{"many signs", options(nil), "[a]\nbs=(" + strings.Repeat("-", 1e6-10) + "1)\n"},
		{"a bomb of includes", options(bomb), "[a]\ninclude 8\n"},
		{"NUL bytes", options(nil), "[a]\n\x00\x00"},
	}
	for _, tt := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		tt.opts.Stdin = strings.NewReader(tt.stdin)
		_, _, err := ParseArgs([]string{"-"}, tt.opts)
		runtime.ReadMemStats(&after)
		if err == nil && tt.name != "a million globals" {
			t.Errorf("%s: no error", tt.name)
		}
		if err != nil && len(err.Error()) > 20_000 {
			t.Errorf("%s: the error is %d bytes long", tt.name, len(err.Error()))
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: took %v", tt.name, took)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2<<30 {
			t.Errorf("%s: allocated %d MiB", tt.name, allocated>>20)
		}
	}

	// A line without an end is not read to its end.
	for _, b := range []byte{'x', '[', '(', 0, ' '} {
		line := &endless{b: b, left: 1 << 30}
		opts := options(nil)
		opts.Stdin = line
		if _, _, err := ParseArgs([]string{"-"}, opts); err == nil {
			t.Errorf("a line of 1 GiB of %q is no error", b)
		}
		if line.read > 4<<20 {
			t.Errorf("of a line of 1 GiB of %q, %d bytes were read", b, line.read)
		}
	}
}

// All of fio's own examples are understood, or their engine or an option of it is said to be missing.
func TestFioExamples(t *testing.T) {
	examples, _ := filepath.Glob("/usr/share/doc/fio/examples/*.fio") // the pattern is right
	if len(examples) == 0 {
		if strings.Contains(os.Getenv("BLKMETER_REQUIRE"), "fio") {
			t.Fatal("fio's example job files are required (Debian's package fio has them)")
		}
		t.Skip("fio's example job files are not installed (Debian's package fio has them)")
	}
	environment := func(name string) string {
		switch name {
		case "FIO_RW":
			return "read"
		case "FIO_IODEPTH":
			return "1"
		}
		return "4k" // a size, and a name as good as any
	}
	parsed := 0
	for _, path := range examples {
		_, _, err := ParseArgs([]string{path}, ParseOptions{Env: environment, NCPUs: 2, PageBytes: 4096, MemoryBytes: 1 << 33})
		if err == nil {
			parsed++
			continue
		}
		var e *fault.Error
		if !errors.As(err, &e) || (e.Code != "ENGINE_UNSUPPORTED" && e.Code != "OPTION_UNSUPPORTED") || strings.Contains(e.Error(), "there is no option") {
			t.Errorf("%s: %v", path, err)
		}
	}
	t.Logf("%d of %d run as they are", parsed, len(examples))
	if parsed < 27 { // the others want engines, zones or options that are refused
		t.Errorf("only %d of %d examples run as they are", parsed, len(examples))
	}
}

// manySections is a job file of n jobs, as generators of job files write them.
func manySections(n int) string {
	var b strings.Builder
	b.WriteString("[global]\nioengine=io_uring\ndirect=1\ntime_based\nruntime=30s\ngroup_reporting\nfilename=/dev/nvme0n1\n")
	for i := range n {
		fmt.Fprintf(&b, "\n[job-%d]\nstonewall\nrw=randrw\nbs=%dk\niodepth=%d\nrwmixread=70\nnumjobs=1\noffset=%dm\nsize=1g # region\n", i, 4<<(i%5), 1+i%64, i)
	}
	return b.String()
}

// A job file of 2,000 sections is read in less than 100 ms, other load on the machine aside.
func TestManySectionsAreReadAtOnce(t *testing.T) {
	const limit = 100 * time.Millisecond
	opts := options(files{"x": manySections(2000)})
	best := time.Hour
	for range 20 {
		start := time.Now()
		if plan, _ := parse(t, opts, "x"); len(plan.Jobs) != 2000 {
			t.Fatalf("%d jobs", len(plan.Jobs))
		}
		if best = min(best, time.Since(start)); best < limit {
			return
		}
	}
	t.Errorf("it took %v at best", best)
}

func BenchmarkJobFile2000Sections(b *testing.B) {
	f := files{"x": manySections(2000)}
	opts := options(f)
	for b.Loop() {
		if plan, _, err := ParseArgs([]string{"x"}, opts); err != nil || len(plan.Jobs) != 2000 {
			b.Fatal(err)
		}
	}
}
