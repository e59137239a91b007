package run

import (
	"slices"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// On a device that takes 20 ms, a synchronous engine cannot keep a rate of 200 per second; with a pool of
// threads it can, every arrival in time.
func TestOffloadKeepsArrivalsOnABlockingEngine(t *testing.T) {
	testlab.Require(t, "fuse", "mount")
	const delay = 20 * time.Millisecond
	disk := testlab.NewFaultDisk(t, 1<<20)
	disk.Inject(testlab.Fault{Op: testlab.Reads, Delay: delay})
	figures := func(offload bool) *report.Job {
		j := job(disk.Path, "psync", workloads.RWRandRead)
		j.Runtime, j.TimeBased, j.NoRandomMap, j.IODepth, j.Offload = time.Second, true, true, 16, offload
		j.RateIOPS[workloads.Read] = 200
		r := do(t, j)
		if r.ExitCode != fault.ExitDone {
			t.Fatalf("exit %d, %+v", r.ExitCode, r.Error)
		}
		return &r.Jobs[0]
	}
	inline, offloaded := figures(false), figures(true)
	if n := inline.Read.IOs; n > 60 {
		t.Errorf("inline: %d reads of %v in a second", n, delay)
	}
	if n := offloaded.Read.IOs; n < 190 || n > 210 {
		t.Errorf("offload: %d of 200 arrivals were carried out", n)
	}
	median, ok := offloaded.Read.Response.Value(50)
	if !ok || median < int64(delay) || median > int64(2*delay) {
		t.Errorf("offload: the median response is %v on a device of %v", time.Duration(median), delay)
	}
	if inline.Spec.SubmitMode != "inline" || offloaded.Spec.SubmitMode != "offload" || offloaded.Spec.IODepth != 16 {
		t.Errorf("the Result says %q, and %q at depth %d", inline.Spec.SubmitMode, offloaded.Spec.SubmitMode, offloaded.Spec.IODepth)
	}
}

// What a pool writes is what was asked for, each block once, and its CPU time is part of the figures.
func TestOffloadOnADevice(t *testing.T) {
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			j := job(dev.Path, engine, workloads.RWRandWrite)
			j.IODepth, j.Offload = 8, true
			j.Verify.Kind = "crc32c"
			r := do(t, j)
			w := r.Jobs[0]
			if r.ExitCode != fault.ExitDone || w.Write.Bytes != devBytes || w.Verify == nil || w.Verify.Bytes != devBytes || w.Verify.Mismatched != 0 {
				t.Fatalf("exit %d, %+v; wrote %d bytes, checked %+v", r.ExitCode, r.Error, w.Write.Bytes, w.Verify)
			}
			if w.Write.Slat == nil || w.Write.Slat.N != w.Write.IOs || w.CPU.UserNS+w.CPU.SysNS == 0 || w.Syscalls < w.Write.IOs {
				t.Errorf("slat %+v, CPU %+v, %d system calls", w.Write.Slat, w.CPU, w.Syscalls)
			}
			if !slices.ContainsFunc(w.Depth, func(b report.CountBucket) bool { return b.Value == 8 }) {
				t.Errorf("depths %+v", w.Depth)
			}
			if !slices.ContainsFunc(w.Decisions, func(d report.Decision) bool { return d.What == "io_submit_mode" && d.Chosen == "offload" }) {
				t.Errorf("decisions %+v", w.Decisions)
			}
		})
	}
}

func TestOffloadIsRefused(t *testing.T) {
	for code, change := range map[string]func(*workloads.Job){
		"OFFLOAD_SHARED":  func(j *workloads.Job) { j.SharedQueue = true },
		"OFFLOAD_THREADS": func(j *workloads.Job) { j.NumJobs, j.IODepth = 64, 65 },
	} {
		j := job("", "null", workloads.RWRead)
		j.Size, j.Offload = workloads.Amount{Bytes: 1 << 20, Set: true}, true
		change(&j)
		if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{}); fault.Of(err).Code != code {
			t.Errorf("got %v, want %s", err, code)
		}
	}
}
