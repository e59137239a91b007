package run

import (
	"context"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// sharedJob is two workers on one queue.
func sharedJob(path string) workloads.Job {
	j := workloads.DefaultJob()
	j.Name, j.Filenames, j.RW, j.Direct, j.Engine = "shared", []string{path}, workloads.RWRandRead, true, "io_uring"
	j.NumJobs, j.IODepth, j.SharedQueue, j.QueueLock = 2, 8, true, "futex"
	j.NumberIOs = 3000
	return j
}

// Every variant of a shared queue does every I/O once, whatever its lock covers, and says which one it was.
func TestVariantsOfASharedQueue(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 16 << 20, DirectIO: true, Tmpfs: true})
	for _, c := range []struct {
		engine, variant string
		holdNS          int64
	}{
		{"io_uring", "u1", 0},
		{"io_uring", "u2", 0},
		{"io_uring", "u2c", 0},
		{"io_uring", "u3", 1900},
		{"libaio", "u2", 0},
		{"libaio", "u3", 700},
	} {
		t.Run(c.engine+" "+c.variant, func(t *testing.T) {
			j := sharedJob(dev.Path)
			j.Engine, j.QueueVariant, j.HoldNS = c.engine, c.variant, c.holdNS
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			r, err := Run(ctx, &workloads.Plan{Jobs: []workloads.Job{j}}, Options{})
			if err != nil || r.Error != nil {
				t.Fatalf("%v %+v", err, r.Error)
			}
			job := &r.Jobs[0]
			if job.Read.IOs != 2*3000 || job.TotalErrors != 0 {
				t.Errorf("%d I/Os and %d errors, want 6000 and none", job.Read.IOs, job.TotalErrors)
			}
			if f := job.Fairness; f.Variant != c.variant || f.HoldNS != c.holdNS || f.LockAcquires == 0 {
				t.Errorf("fairness %+v", f)
			}
			if job.Syscalls < job.Read.IOs/int64(2*j.IODepth) {
				t.Errorf("%d system calls for %d I/Os at a depth of %d", job.Syscalls, job.Read.IOs, j.IODepth)
			}
		})
	}
}

func TestVariantsThatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*workloads.Job){
		"u1 on libaio":        func(j *workloads.Job) { j.QueueVariant, j.Engine = "u1", "libaio" },
		"u1 with SQPOLL":      func(j *workloads.Job) { j.QueueVariant, j.SQThreadPoll = "u1", true },
		"u1 that polls":       func(j *workloads.Job) { j.QueueVariant, j.HiPri = "u1", true },
		"u1 that trims":       func(j *workloads.Job) { j.QueueVariant, j.RW = "u1", workloads.RWRandTrim },
		"u1 that syncs":       func(j *workloads.Job) { j.QueueVariant, j.RW, j.FsyncEvery = "u1", workloads.RWRandWrite, 1 },
		"u3 without holding":  func(j *workloads.Job) { j.QueueVariant = "u3" },
		"holding without u3":  func(j *workloads.Job) { j.HoldNS = 700 },
		"without one queue":   func(j *workloads.Job) { j.QueueVariant, j.SharedQueue = "u2", false },
		"hold, with no queue": func(j *workloads.Job) { j.HoldNS, j.SharedQueue = 1, false },
	} {
		j := sharedJob("/dev/null")
		engine := "io_uring"
		change(&j)
		if j.Engine == "libaio" {
			engine = "libaio"
		}
		if err := checkVariant(&j, engine); err == nil || fault.Of(err).Code != "QUEUE_VARIANT" || fault.Of(err).Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	j := sharedJob("/dev/null")
	for _, v := range []string{"", "u1", "u2", "u2c"} {
		j.QueueVariant = v
		if err := checkVariant(&j, "io_uring"); err != nil {
			t.Errorf("%q: %v", v, err)
		}
	}
}
