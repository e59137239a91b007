package run

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
)

var update = flag.Bool("update", false, "rewrite the list of fio's examples that do not run")

// TestFioExamplesRunToTheEnd runs fio's own example job files with small files in place of their targets and a
// fraction of their time. Those that blkmeter cannot run are listed in testdata/examples.txt, with the engines and
// options that they want: one that can be run now has to leave the list.
func TestFioExamplesRunToTheEnd(t *testing.T) {
	examples, _ := filepath.Glob("/usr/share/doc/fio/examples/*.fio") // the pattern is right
	if len(examples) == 0 {
		testlab.Require(t, "fio")
		t.Skip("fio's example job files are not installed (Debian's package fio has them)")
	}
	var lacking strings.Builder
	for _, path := range examples {
		o := fiojob.ParseOptions{Fio: true, Env: exampleEnv, NCPUs: 2, PageBytes: 4096, MemoryBytes: 1 << 30}
		plan, _, err := fiojob.ParseArgs([]string{path}, o)
		if err != nil {
			lacking.WriteString(filepath.Base(path) + ": " + whatLacks(t, err) + "\n")
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir := t.TempDir()
			for i := range plan.Jobs {
				shrink(&plan.Jobs[i], dir)
			}
			r, err := Run(t.Context(), plan, Options{Env: os.Getenv, Overwrite: true, DumpDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			valid(t, r)
			if r.Error != nil && r.Error.Code == "PRIORITY" {
				testlab.Require(t, "root")
			}
			if r.ExitCode != 0 || len(r.Jobs) != len(plan.Jobs) {
				t.Errorf("exit %d, %d of %d jobs, %+v", r.ExitCode, len(r.Jobs), len(plan.Jobs), r.Error)
			}
		})
	}
	const list = "testdata/examples.txt"
	if *update {
		if err := os.WriteFile(list, []byte(lacking.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), lacking.String()); diff != "" {
		t.Errorf("examples that do not run (go test -run Examples -update ./internal/run): -%s +now\n%s", list, diff)
	}
}

// exampleEnv are the variables that the examples want: a size, and a name as good as any.
func exampleEnv(name string) string {
	switch name {
	case "FIO_RW":
		return "read"
	case "FIO_IODEPTH":
		return "1"
	}
	return "4k"
}

// whatLacks lists the engines and options that a job file was refused for.
func whatLacks(t *testing.T, err error) string {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Code != "ENGINE_UNSUPPORTED" && e.Code != "OPTION_UNSUPPORTED" {
		t.Errorf("%v", err)
	}
	var words []string
	for _, m := range regexp.MustCompile(`(engine) not supported: (\S+)|: ([a-z_]+)(?:=\S*)? is not supported`).FindAllStringSubmatch(err.Error(), -1) {
		word := strings.TrimSpace(m[1] + " " + m[2] + m[3])
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		t.Errorf("no engine and no option in %q", err)
	}
	return strings.Join(words, ", ")
}

// shrink makes a job small and quick, and leads it to files in dir.
func shrink(j *workloads.Job, dir string) {
	j.Directories = []string{dir}
	for i, name := range j.Filenames {
		j.Filenames[i] = filepath.Join(dir, filepath.Base(name))
	}
	j.NumJobs, j.NrFiles = min(j.NumJobs, 2), min(j.NrFiles, 4)
	files := int64(max(j.NrFiles, 1))
	j.Size = workloads.Amount{Bytes: max(1<<20, 4*j.MaxBlock()) * files, Set: true}
	j.IOSize, j.Offset, j.OffsetIncrement, j.FileSize = workloads.Amount{}, workloads.Amount{}, workloads.Amount{}, workloads.SizeRange64{}
	j.Loops, j.Runtime, j.RampTime, j.StartDelay = 1, 100*time.Millisecond, 0, workloads.DurationRange{}
	if j.Verify.Kind != "" && !j.TimeBased {
		j.Runtime = 0 // a later job may check all that it should write
	}
	j.Direct, j.HiPri, j.CPUsAllowed, j.NUMAMemory = false, false, nil, workloads.NUMAMemory{} // what the machine of the tests may not have
	j.AllowFileCreate = true
	if j.Engine == "io_uring_cmd" { // which takes no files; the tests with a drive run it
		j.Engine = "io_uring"
	}
	if j.LatencyTarget.Limit > 0 { // until the search ends
		j.LatencyTarget.Window, j.TimeBased, j.Runtime = 5*time.Millisecond, true, 10*time.Second
	}
	j.SteadyState.Duration, j.Logs, j.Layout.FillDevice = 0, workloads.Logs{}, false
	if j.RW.Does(workloads.Read) {
		j.Layout.CreateOnOpen = false // there would be nothing to read, in fio's run either
	}
}
