package run

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// during runs a job on the null engine, and looks at the process now and then until what was looked for is seen.
func during(t *testing.T, seen func() bool, change func(*workloads.Job)) {
	t.Helper()
	j := nullJob(20 * time.Second) // unless it is seen before
	change(&j)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := Run(ctx, &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv, Progress: func(Progress) {
		if ctx.Err() == nil && seen() {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Error != nil && ctx.Err() == nil {
		t.Fatalf("the run ended with %+v", r.Error)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// The kernel shows the I/O buffers under the policy that was asked for while the job runs: those of each
// worker, and those of a queue that all share.
func TestBuffersAreWhereThePolicySays(t *testing.T) {
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		t.Skipf("this kernel was built without NUMA: %v", err)
	}
	for asked, shown := range map[string]string{"bind": "bind:0", "prefer": "prefer:0", "interleave": "interleave:0", "local": "local", "default": ""} {
		t.Run(asked, func(t *testing.T) {
			found := 0
			during(t, func() bool {
				found = 0
				for line := range strings.Lines(readFile(t, "/proc/self/numa_maps")) {
					if f := strings.Fields(line); f[1] == shown {
						found++
					}
				}
				return found > 0 || shown == ""
			}, func(j *workloads.Job) {
				j.NumJobs = 2
				j.NUMAMemory.Policy = asked
				switch asked {
				case "interleave":
					j.NUMAMemory.All = true
				case "bind", "prefer":
					j.NUMAMemory.Nodes = []int{0}
				}
			})
			if want := 2; shown != "" && (found == 0 || found > want) { // neighbours may be one mapping
				t.Errorf("%d mappings under the policy %s", found, shown)
			}
		})
	}
}

func TestMemoryThatThereIsNotIsRefused(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes})
	for name, c := range map[string]struct {
		change func(*workloads.Job)
		code   string
		exit   int
	}{
		"a node":      {func(j *workloads.Job) { j.NUMAMemory = workloads.NUMAMemory{Policy: "bind", Nodes: []int{1000}} }, "NUMA_NODES", fault.ExitUsage},
		"alignment":   {func(j *workloads.Job) { j.Buffers.OffsetBytes = 1 }, "BAD_ALIGNMENT", fault.ExitUsage},
		"huge pages":  {func(j *workloads.Job) { j.Buffers.Mem, j.Buffers.HugePageBytes = "mmaphuge", 1<<40 }, "BUFFERS", fault.ExitEnvironment},
		"locked":      {func(j *workloads.Job) { j.LockMemBytes, j.NumJobs = 1<<61, 8 }, "LOCKMEM", fault.ExitEnvironment},
		"in one lock": {func(j *workloads.Job) { j.LockMemBytes = 1 << 45 }, "LOCKMEM", fault.ExitEnvironment},
	} {
		t.Run(name, func(t *testing.T) {
			j := job(dev.Path, "io_uring", workloads.RWRandRead)
			c.change(&j)
			r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv})
			if err != nil {
				if f := fault.Of(err); f.Code != c.code || f.Exit != c.exit {
					t.Errorf("the error is %v (%s, exit %d)", err, f.Code, f.Exit)
				}
			} else if r.Error == nil || r.Error.Code != c.code || r.ExitCode != c.exit {
				t.Errorf("the run ended with %+v, exit %d", r.Error, r.ExitCode)
			}
		})
	}
}

func TestWorkersLockMemoryWhileTheyRun(t *testing.T) {
	testlab.Require(t, "root")
	locked := func() int64 {
		_, rest, _ := strings.Cut(readFile(t, "/proc/self/status"), "VmLck:")
		n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			t.Error(err)
		}
		return n << 10
	}
	const want = 6 << 20 // of two workers
	before, meanwhile := locked(), int64(0)
	during(t, func() bool {
		meanwhile = max(meanwhile, locked()-before)
		return meanwhile >= want
	}, func(j *workloads.Job) { j.NumJobs, j.LockMemBytes = 2, want/2 })
	if meanwhile != want {
		t.Errorf("the workers locked %d bytes, not %d", meanwhile, want)
	}
	if after := locked(); after != before {
		t.Errorf("%d bytes stay locked", after-before)
	}
}

// Buffers that begin inside a page move the same data.
func TestBuffersMayBeginInsideAPage(t *testing.T) {
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
		j := job(dev.Path, engine, workloads.RWRandWrite)
		j.Buffers.OffsetBytes = 512
		j.Verify.Kind = "crc32c"
		r := do(t, j)
		if r.Error != nil || r.Jobs[0].Verify == nil || r.Jobs[0].Verify.Bytes != devBytes {
			t.Errorf("%s: %+v, verified %+v", engine, r.Error, r.Jobs[0].Verify)
		}
	}
}

// The Result says what became of huge pages that were asked for.
func TestTheResultTellsThePages(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes})
	j := job(filepath.Clean(dev.Path), "io_uring", workloads.RWRandRead)
	j.Buffers.Mem = "mmaphuge"
	r := do(t, j)
	for _, d := range r.Jobs[0].Decisions {
		if d.What == "buffers" && (d.Chosen == "huge pages" || d.Chosen == "transparent pages" || d.Chosen == "small pages") {
			return
		}
	}
	t.Errorf("decisions: %+v", r.Jobs[0].Decisions)
}

// Buffers that each fit, but not together, are refused before the first page is touched: the kernel would kill
// somebody when they are.
func TestBuffersFitIntoMemory(t *testing.T) {
	root := t.TempDir()
	testlab.TreeOf(t, root, "-- proc/meminfo --\nMemTotal: 4194304 kB\nMemAvailable: 2097152 kB\nHugePages_Free: 256\nHugepagesize: 2048 kB\n")
	for workers, fit := range map[int]bool{1: true, 10: true, 11: false, 1000: false} {
		j := &jobRun{spec: new(workloads.DefaultJob())}
		for range workers {
			j.workers = append(j.workers, &worker{config: engine.Config{Depth: 64, BlockBytes: 4 << 20}})
		}
		s := &stageRun{conductor: &conductor{o: Options{Root: device.Root(root)}}, jobs: []*jobRun{j}}
		if err := s.checkMemory(); fit != (err == nil) || !fit && fault.Of(err).Code != "BUFFERS" {
			t.Errorf("%d workers with 256 MiB each, where 2.5 GiB are available: %v", workers, err)
		}
	}
}
