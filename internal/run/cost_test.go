package run

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// The cost of a stage has the loop driver's workers in it, which move the data; counts the ramp's I/Os; and is not
// told unless asked for.
func TestCostCountsKernelThreads(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	j := job(dev.Path, "io_uring", workloads.RWRandRead)
	j.TimeBased, j.Runtime, j.RampTime = true, 200*time.Millisecond, 100*time.Millisecond
	if r := do(t, j); r.Costs != nil {
		t.Errorf("nobody asked for %+v", r.Costs)
	}
	if len(device.KernelThreadTimes("")) == 0 {
		t.Skip("this kernel does not tell the times of its threads, or its threads are hidden (a container)")
	}
	var r *report.Result
	testlab.Undisturbed(t, func() (why string) {
		var err error
		if r, err = Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv, Cost: true}); err != nil {
			t.Fatal(err)
		}
		valid(t, r)
		if len(r.Costs) != 1 || len(r.Costs[0].Jobs) != 1 {
			t.Fatalf("costs %+v", r.Costs)
		}
		if all, measured := r.Costs[0].IOs, r.Jobs[0].Read.IOs; all <= measured { // there may have been no CPU for the ramp
			why = fmt.Sprintf("%d I/Os with the ramp, %d without", all, measured)
		}
		return why
	})
	c, one := r.Costs[0], r.Jobs[0]
	if c.ProcessNS < one.CPU.UserNS+one.CPU.SysNS || c.KernelThreadsNS <= 0 {
		t.Errorf("%+v, and the worker used %+v", c, one.CPU)
	}
	if want := float64(c.ProcessNS+c.KernelThreadsNS) / float64(c.IOs); c.PerIONS != want {
		t.Errorf("%v ns per I/O, want %v", c.PerIONS, want)
	}
}
