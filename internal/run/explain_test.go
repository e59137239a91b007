package run

import (
	"context"
	"math"
	"os"
	"runtime"
	"testing"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// onCPU returns a job of n reads by a worker on that CPU.
func onCPU(path, engine string, cpu int, n uint64) workloads.Job {
	j := job(path, engine, workloads.RWRandRead)
	j.Name, j.NumberIOs, j.CPUsAllowed = "cpu"+string(rune('0'+cpu)), n, []int{cpu}
	return j
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
			if r.Jobs[0].Read.IOs != 500 || r.Jobs[1].Read.IOs != 1500 || r.Targets[0].Kernel.ReadIOs != 2000 {
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
