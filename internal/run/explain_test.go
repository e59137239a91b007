package run

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// onCPU returns a job of n reads by a worker on that CPU.
func onCPU(path, engine string, cpu int, n uint64) workloads.Job {
	j := job(path, engine, workloads.RWRandRead)
	j.Name, j.NumberIOs, j.CPUsAllowed = "cpu"+string(rune('0'+cpu)), n, []int{cpu}
	// Blocks that never touch cannot be merged into one request.
	j.TimeBased, j.Runtime, j.BlockAlign[workloads.Read] = true, time.Minute, 8192
	return j
}

// The explain pass repeats what was measured: at the depth that a search settled on, without the search, in the
// flow and through the pool.
func TestExplainRepeatsWhatWasMeasured(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	j := reader(dev, "sought", 10*time.Second)
	j.Engine, j.IODepth, j.Offload, j.Flow.Weight, j.BlockAlign[workloads.Read] = "psync", 4, true, 2, 8192
	j.LatencyTarget = workloads.LatencyTarget{Limit: time.Hour, Window: 20 * time.Millisecond, Percentile: 100}
	r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv, Explain: true})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, r)
	requireExplained(t, r.Explain)
	if s := r.Explain.Stages[0]; s.IOs == 0 || len(s.Devices) != 1 || s.Devices[0].Requests != s.IOs {
		t.Errorf("stage %+v", s)
	}
}

// The explain pass reports exactly what was done: 500 I/Os on CPU 0 and 1,500 on CPU 1.
func TestExplainCountsExactly(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs 2 CPUs to tell one from the other")
	}
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			jobs := []workloads.Job{onCPU(dev.Path, engine, 0, 500), onCPU(dev.Path, engine, 1, 1500)}
			r, err := Run(context.Background(), &workloads.Plan{Jobs: jobs}, Options{Env: os.Getenv, Explain: true})
			if err != nil {
				t.Fatal(err)
			}
			valid(t, r)
			requireExplained(t, r.Explain)
			s := r.Explain.Stages[0]
			if len(r.Explain.Stages) != 1 || len(s.Devices) != 1 || s.IOs != 2000 {
				t.Fatalf("stages %+v", r.Explain.Stages)
			}
			d := s.Devices[0]
			if d.Device != dev.Name || d.IOs != 2000 || d.Requests != 2000 || *d.Completed != 2000 || d.RequestsPerIO != 1 {
				t.Errorf("device %+v", d)
			}
			if *d.BackMerges != 0 || *d.FrontMerges != 0 || *d.Splits != 0 || *d.Requeues != 0 || d.Interrupts != nil {
				t.Errorf("merges %d and %d, splits %d, requeues %d, interrupts %v; a loop device has none of them here",
					*d.BackMerges, *d.FrontMerges, *d.Splits, *d.Requeues, d.Interrupts)
			}
			if *d.Inserted != 0 || *d.DirectPercent != 100 {
				t.Errorf("%d requests waited in a queue, %.1f %% direct; the device has no scheduler", *d.Inserted, *d.DirectPercent)
			}
			if d.MatchPercent == nil || math.Abs(*d.MatchPercent-100) > 1e-9 {
				t.Errorf("match %v (%s)", d.MatchPercent, d.MatchUnknown)
			}
			if len(d.CPUs) != 2 {
				t.Fatalf("CPUs %+v", d.CPUs)
			}
			for i, want := range []int64{500, 1500} {
				c := d.CPUs[i]
				if c.CPU != i || c.IOs != want || c.Issued != want || len(c.Queues) != 1 || c.Queues[0].HCTX != 0 || c.Queues[0].Requests != want {
					t.Errorf("CPU %+v, want %d I/Os issued to hctx 0", c, want)
				}
			}
			// The run's own figures are those of the measured pass alone.
			// The kernel may still be booking the last I/Os when their completions have been seen.
			if k := r.Targets[0].Kernel.ReadIOs; r.Jobs[0].Read.IOs != 500 || r.Jobs[1].Read.IOs != 1500 || k > 2000 || k < 1990 {
				t.Errorf("figures %d, %d, kernel %d", r.Jobs[0].Read.IOs, r.Jobs[1].Read.IOs, r.Targets[0].Kernel.ReadIOs)
			}
			for _, w := range r.Warnings {
				if w.Code == "MAP_MISMATCH" {
					t.Errorf("warning %+v", w)
				}
			}
		})
	}
}

// requireExplained skips the test where tracepoints cannot be counted, with the reason that the Result gives.
func requireExplained(t *testing.T, e *report.Explain) {
	t.Helper()
	if e == nil {
		t.Fatal("nothing was explained")
	}
	for _, m := range e.Missing {
		if os.Geteuid() != 0 {
			t.Skipf("%s: %s", m.What, m.Why)
		}
		t.Logf("missing: %+v", m)
	}
}

// An ordinary user's run works, and says what it could not find out and how it could.
func TestAnOrdinaryUserIsToldWhatIsMissing(t *testing.T) {
	if dir := os.Getenv("RUN_TEST_AS_NOBODY"); dir != "" {
		asNobody(t, dir)
		return
	}
	testlab.Require(t, "root")
	dir := testlab.Dir(t, true)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	// The test's program may lie where only root can go.
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "run.test")
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(copied, "-test.run=^TestAnOrdinaryUserIsToldWhatIsMissing$")
	cmd.Dir, cmd.Env = "/", []string{"RUN_TEST_AS_NOBODY=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func asNobody(t *testing.T, dir string) {
	j := job(filepath.Join(dir, "data"), "psync", workloads.RWRandRead)
	j.Size, j.AllowFileCreate, j.Direct = workloads.Amount{Bytes: 1 << 20, Set: true}, true, false
	plan := &workloads.Plan{Jobs: []workloads.Job{j}}
	env := func(string) string { return "" }
	r, err := Run(context.Background(), plan, Options{Env: env, Explain: true})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, r)
	if r.Status != report.StatusDone || r.Jobs[0].Read.IOs != 256 || len(r.Samples) == 0 {
		t.Errorf("status %s, %d I/Os, %d samples", r.Status, r.Jobs[0].Read.IOs, len(r.Samples))
	}
	if e := r.Explain; len(e.Missing) == 0 || e.Missing[0].Remedy == "" || len(e.Stages) != 1 || e.Stages[0].IOs != 256 {
		t.Errorf("explained %+v", e)
	}
	_, err = Run(context.Background(), plan, Options{Env: env, NoIdle: true})
	if err == nil || fault.Of(err).Code != "NO_IDLE" || fault.Of(err).Exit != fault.ExitEnvironment || fault.Of(err).Hint == "" {
		t.Errorf("--no-idle: %v", err)
	}
	_, err = device.Apply("", dir, []string{wholeDisk(t)}, []device.Setting{{Name: "nr_requests", Value: "32"}})
	if err == nil || fault.Of(err).Code != "SET_PERMISSION" || fault.Of(err).Exit != fault.ExitEnvironment || fault.Of(err).Hint == "" {
		t.Errorf("--set: %v", err)
	}
}

// wholeDisk names a disk of this machine that has a request queue.
func wholeDisk(t *testing.T) string {
	found, err := filepath.Glob("/sys/block/*/queue/nr_requests")
	if err != nil || len(found) == 0 {
		t.Skip("this machine has no disk with a request queue")
	}
	return filepath.Base(filepath.Dir(filepath.Dir(found[0])))
}

// What --set changes is in the Result, and is undone when the run is over.
func TestSetIsForTheRunOnly(t *testing.T) {
	testlab.Require(t, "root")
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, Tmpfs: true})
	env := map[string]string{"XDG_STATE_HOME": t.TempDir()}
	before, err := device.DescribeName("", dev.Name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{job(dev.Path, "psync", workloads.RWRandRead)}}, Options{
		Env: func(name string) string { return env[name] }, Explain: true,
		Set: []device.Setting{{Name: "scheduler", Value: "mq-deadline"}, {Name: "nr_requests", Value: "40"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, r)
	if d := r.Targets[0]; d.Scheduler != "mq-deadline" || d.NrRequests != 40 || d.Settings["nr_requests"] != "40" {
		t.Errorf("target %+v", d)
	}
	decided := map[string]string{}
	for _, d := range r.Jobs[0].Decisions {
		decided[d.What] = d.Chosen
	}
	if decided[dev.Name+" scheduler"] != "mq-deadline" || decided[dev.Name+" nr_requests"] != "40" {
		t.Errorf("decisions %+v", r.Jobs[0].Decisions)
	}
	if d := r.Explain.Stages[0].Devices; len(d) == 1 && *d[0].Inserted == 0 {
		t.Error("no request went through the scheduler")
	}
	after, err := device.DescribeName("", dev.Name)
	if err != nil || after.Scheduler != before.Scheduler || after.NrRequests != before.NrRequests {
		t.Errorf("%s and %d requests after the run, %s and %d before: %v", after.Scheduler, after.NrRequests, before.Scheduler, before.NrRequests, err)
	}
}

// ioscheduler holds for the stage of its job.
func TestSchedulersOfJobs(t *testing.T) {
	testlab.Require(t, "root")
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, Tmpfs: true})
	before, err := device.DescribeName("", dev.Name)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"XDG_STATE_HOME": t.TempDir()}
	run := func(jobs ...workloads.Job) (*report.Result, error) {
		return Run(t.Context(), &workloads.Plan{Jobs: jobs}, Options{Env: func(name string) string { return env[name] }})
	}
	one, two, plain := job(dev.Path, "psync", workloads.RWRandRead), job(dev.Path, "psync", workloads.RWRandRead), job(dev.Path, "psync", workloads.RWRandRead)
	one.IOScheduler, two.IOScheduler = "mq-deadline", "none"
	two.Stonewall, plain.Stonewall = true, true
	r, err := run(one, two, plain)
	if err != nil || r.ExitCode != 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	for i, want := range []string{"mq-deadline", "none", ""} {
		got := ""
		for _, d := range r.Jobs[i].Decisions {
			if d.What == dev.Name+" scheduler" {
				got = d.Chosen
			}
		}
		if got != want {
			t.Errorf("job %d ran under %q, want %q", i, got, want)
		}
	}
	if after, err := device.DescribeName("", dev.Name); err != nil || after.Scheduler != before.Scheduler {
		t.Errorf("%v: %s after the run, %s before", err, after.Scheduler, before.Scheduler)
	}
	two.Stonewall = false
	if _, err := run(one, two); fault.Of(err).Code != "IOSCHEDULER" {
		t.Errorf("two schedulers at the same time: %v", err)
	}
	two.IOScheduler = "a/b"
	if _, err := run(two); fault.Of(err).Code != "IOSCHEDULER" {
		t.Errorf("no scheduler's name: %v", err)
	}
	two.IOScheduler = "nosuch"
	if r, err := run(two); err != nil || r.Error == nil || r.Error.Code != "BAD_SETTING" {
		t.Errorf("a scheduler that there is not: %v, %+v", err, r)
	}
}
