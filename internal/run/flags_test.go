package run

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// While the job writes, the kernel knows how long its data will live, and afterwards it knows it no more.
func TestTheKernelKnowsLifetimesWhileTheJobRuns(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, Tmpfs: true})
	f, err := blk.Open(dev.Path, blk.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lifetime := func() fileio.Lifetime {
		l, err := fileio.LifetimeOf(int(f.Fd()))
		if err != nil {
			t.Error(err)
		}
		return l
	}
	j := job(dev.Path, "io_uring", workloads.RWRandWrite)
	j.NumJobs, j.TimeBased, j.Runtime, j.WriteHint = 2, true, 400*time.Millisecond, "long"
	var during fileio.Lifetime
	var once sync.Once
	r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv, Progress: func(Progress) {
		once.Do(func() { during = lifetime() })
	}})
	if err != nil || r.Error != nil {
		t.Fatal(err, r.Error)
	}
	if during != fileio.Long {
		t.Errorf("while the job ran the kernel had lifetime %d", during)
	}
	if after := lifetime(); after != fileio.NotSet {
		t.Errorf("after the run the kernel has lifetime %d", after)
	}
}

func TestFlagsThatTheTargetDoesNotTakeAreRefused(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes})
	inMemory := filepath.Join(testlab.Dir(t, true), "data")
	if err := os.WriteFile(inMemory, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		job  workloads.Job
		code string
	}{
		"atomic":          {withFlags(job(dev.Path, "io_uring", workloads.RWRandWrite), func(j *workloads.Job) { j.Atomic = true }), "ATOMIC_UNSUPPORTED"},
		"uncached direct": {withFlags(job(dev.Path, "io_uring", workloads.RWRandRead), func(j *workloads.Job) { j.Uncached = true }), "UNCACHED_DIRECT"},
		"uncached":        {withFlags(job(inMemory, "psync", workloads.RWRandRead), func(j *workloads.Job) { j.Uncached, j.Direct = true, false }), "UNCACHED_UNSUPPORTED"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{c.job}}, Options{Env: os.Getenv})
			if err == nil || fault.Of(err).Code != c.code {
				t.Errorf("the error is %v, want %s", err, c.code)
			}
		})
	}
	// Reads of a job that asks for atomic writes need nothing.
	j := withFlags(job(dev.Path, "io_uring", workloads.RWRandRead), func(j *workloads.Job) { j.Atomic = true })
	if r := do(t, j); r.Error != nil {
		t.Errorf("reads: %+v", r.Error)
	}
}

func withFlags(j workloads.Job, change func(*workloads.Job)) workloads.Job {
	change(&j)
	return j
}

// What sync_file_range writes back reaches the device while the job runs; without it buffered writes stay in the
// page cache for now.
func TestSyncFileRangeWritesBack(t *testing.T) {
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		for _, every := range []int{0, 8} {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, Tmpfs: true})
			j := job(dev.Path, engine, workloads.RWRandWrite)
			j.Direct = false
			j.IODepth = 1
			j.SyncRange = workloads.SyncRange{Every: every, Write: true, WaitAfter: true}
			r := do(t, j)
			out := r.Jobs[0]
			if r.Error != nil || out.Write.IOs != devBytes/4096 {
				t.Fatalf("%s: %+v, %d writes", engine, r.Error, out.Write.IOs)
			}
			atDevice := r.Targets[0].Kernel.WriteBytes
			if every == 0 {
				if out.Sync != nil || atDevice > devBytes/2 {
					t.Errorf("%s without syncs: %+v, and %d bytes at the device", engine, out.Sync, atDevice)
				}
				continue
			}
			if out.Sync == nil || out.Sync.IOs != out.Write.IOs/int64(every) || out.Sync.Errors != 0 || atDevice != devBytes {
				t.Errorf("%s every %d writes: syncs %+v, %d bytes at the device", engine, every, out.Sync, atDevice)
			}
		}
	}
}

// The flags are those of sync_file_range(2).
func TestSyncFileRangeHasTheKernelsFlags(t *testing.T) {
	for flags, want := range map[workloads.SyncRange]int{
		{}: 0, {WaitBefore: true}: 1, {Write: true}: 2, {WaitAfter: true}: 4, {WaitBefore: true, Write: true, WaitAfter: true}: 7,
	} {
		if got := syncRangeFlags(flags); got != want {
			t.Errorf("%+v: flags %d, want %d", flags, got, want)
		}
	}
}
