package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

const devBytes = 16 << 20

var asyncEngines = []string{"libaio", "io_uring"}

// job returns a job of 4 KiB blocks on path.
func job(path, engine string, rw workloads.RW) workloads.Job {
	j := workloads.DefaultJob()
	j.Name, j.Engine, j.RW, j.Direct = "test", engine, rw, true
	j.Filenames = []string{path}
	j.Destroy = filepath.Base(path)
	if engine != "psync" {
		j.IODepth = 16
	}
	return j
}

func do(t *testing.T, jobs ...workloads.Job) *report.Result {
	t.Helper()
	r, err := Run(context.Background(), &workloads.Plan{Jobs: jobs}, Options{Env: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, r)
	return r
}

// valid checks what must hold of any Result, partial ones too.
func valid(t *testing.T, r *report.Result) {
	t.Helper()
	loadable(t, r)
	for _, j := range r.Jobs {
		for d := workloads.Read; d < workloads.Directions; d++ {
			s := j.Dir(d)
			if s == nil || s.Clat == nil {
				continue
			}
			series := int64(0)
			for i := range j.Series {
				if iv := j.Series[i].Dir(d); iv != nil { // a window in which nothing ended has none
					series += iv.IOs
				}
			}
			if s.Clat.N != s.IOs || s.Lat.N != s.IOs || series != s.IOs {
				t.Errorf("%s %s: %d I/Os, %d completion latencies, %d latencies, %d in the series", j.Name, d, s.IOs, s.Clat.N, s.Lat.N, series)
			}
			if s.Slat != nil {
				if diff := s.Slat.MeanNS + s.Clat.MeanNS - s.Lat.MeanNS; diff < -1 || diff > 1 {
					t.Errorf("%s %s: mean slat + clat differ from lat by %.2f ns", j.Name, d, diff)
				}
			}
		}
	}
}

// loadable checks that the Result can be saved and loaded again.
func loadable(t *testing.T, r *report.Result) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.Load(bytes.NewReader(text)); err != nil {
		t.Fatalf("the Result cannot be loaded again: %v", err)
	}
}

// One pass with the random map touches every block exactly once: as many I/Os as blocks, as many bytes at
// the device as it has, and no block left as it was.
func TestAPassTouchesEveryBlockOnce(t *testing.T) {
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			r := do(t, job(dev.Path, engine, workloads.RWRandWrite))
			w := r.Jobs[0].Write
			if w.IOs != devBytes/4096 || w.Bytes != devBytes {
				t.Errorf("%d I/Os of %d bytes, want %d of %d", w.IOs, w.Bytes, devBytes/4096, devBytes)
			}
			if k := r.Targets[0].Kernel; k == nil || k.WriteBytes != devBytes {
				t.Errorf("the kernel counted %+v, want %d bytes written", k, devBytes)
			}
			if len(r.Warnings) != 0 {
				t.Errorf("warnings: %+v", r.Warnings)
			}
			data, err := os.ReadFile(dev.Backing)
			if err != nil {
				t.Fatal(err)
			}
			zero := make([]byte, 4096)
			for off := 0; off < len(data); off += len(zero) {
				if bytes.Equal(data[off:off+len(zero)], zero) {
					t.Fatalf("the block at %d was not written", off)
				}
			}
			r = do(t, job(dev.Path, engine, workloads.RWRandRead))
			if k := r.Targets[0].Kernel; r.Jobs[0].Read.Bytes != devBytes || k.ReadBytes != devBytes {
				t.Errorf("read %d bytes, the kernel counted %d", r.Jobs[0].Read.Bytes, k.ReadBytes)
			}
			if again, _ := os.ReadFile(dev.Backing); !bytes.Equal(data, again) {
				t.Error("a read job changed the device")
			}
		})
	}
}

func TestDepthIsReached(t *testing.T) {
	for _, engine := range asyncEngines {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			r := do(t, job(dev.Path, engine, workloads.RWRandRead))
			full, all := int64(0), int64(0)
			for _, b := range r.Jobs[0].Depth {
				all += b.Count
				if b.Value == 16 {
					full += b.Count
				}
				if b.Value > 16 {
					t.Errorf("%d in flight at a depth of 16", b.Value)
				}
			}
			if all != r.Jobs[0].Read.IOs {
				t.Errorf("%d I/Os submitted, %d done", all, r.Jobs[0].Read.IOs)
			}
			// Only the last turns, when the pattern is at its end, run with fewer.
			if full < all*9/10 {
				t.Errorf("only %d of %d I/Os were submitted to a full queue: %v", full, all, r.Jobs[0].Depth)
			}
		})
	}
}

func TestBatchOptionsAreHonoured(t *testing.T) {
	for _, engine := range asyncEngines {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			j := job(dev.Path, engine, workloads.RWRandRead)
			j.BatchSubmit, j.BatchSubmitSet = 4, true
			j.BatchCompleteMin, j.BatchCompleteMax, j.BatchCompleteSet = 2, 8, true
			r := do(t, j)
			for _, b := range r.Jobs[0].SubmitBatch {
				if b.Value > 4 {
					t.Errorf("%d submissions of %d requests, more than 4", b.Count, b.Value)
				}
			}
			single := int64(0)
			for _, b := range r.Jobs[0].ReapBatch {
				if b.Value > 8 {
					t.Errorf("%d reaps of %d completions, more than 8", b.Count, b.Value)
				}
				if b.Value < 2 {
					single += b.Count
				}
			}
			if single > 16 { // at the end fewer than the minimum may be left
				t.Errorf("%d reaps found fewer than 2 completions", single)
			}
		})
	}
}

func TestWorkersStayWhereTheyArePinned(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs 2 CPUs to tell one from the other")
	}
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	j := job(dev.Path, "io_uring", workloads.RWRandRead)
	j.NumJobs, j.CPUsAllowed, j.CPUsAllowedPolicy = 2, []int{1, 0}, "split"
	j.Runtime, j.TimeBased = 1200*time.Millisecond, true
	r := do(t, j)
	for i, want := range []int{1, 0} {
		w := r.Jobs[0].Workers[i]
		if w.CPU != want || len(w.SeenOnCPUs) != 1 || w.SeenOnCPUs[0].Value != want {
			t.Errorf("worker %d: pinned to CPU %d, seen on %v, want %d", i, w.CPU, w.SeenOnCPUs, want)
		}
		if w.HCTX != 0 {
			t.Errorf("worker %d feeds hctx %d; a loop device has only 0", i, w.HCTX)
		}
		if w.SeenOnCPUs[0].Count < 2 {
			t.Errorf("worker %d was looked for %d times in 1.2 s", i, w.SeenOnCPUs[0].Count)
		}
	}
}

// A backing file that shrinks under a loop device makes its reads fail: the job ends with a partial Result.
func TestAnIOErrorEndsTheJobWithAPartialResult(t *testing.T) {
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			if err := os.Truncate(dev.Backing, devBytes/2); err != nil {
				t.Fatal(err)
			}
			r := do(t, job(dev.Path, engine, workloads.RWRead))
			if r.Status != report.StatusFailed || r.ExitCode != fault.ExitIO || r.Error == nil || r.Error.Errno != int(syscall.EIO) {
				t.Fatalf("status %s, exit %d, error %+v", r.Status, r.ExitCode, r.Error)
			}
			read := r.Jobs[0].Read
			if read.Errors == 0 || read.IOs < devBytes/2/4096-16 || read.IOs > devBytes/2/4096 {
				t.Errorf("%d I/Os and %d errors, want about %d and some", read.IOs, read.Errors, devBytes/2/4096)
			}
		})
	}
}

func TestToleratedErrorsAreCounted(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	if err := os.Truncate(dev.Backing, devBytes/2); err != nil {
		t.Fatal(err)
	}
	j := job(dev.Path, "io_uring", workloads.RWRandRead)
	j.ContinueOnError = "all"
	r := do(t, j)
	read := r.Jobs[0].Read
	if read.IOs != devBytes/2/4096 || read.Errors != devBytes/2/4096 || read.Issued != devBytes/4096 {
		t.Errorf("%d I/Os, %d errors, %d issued", read.IOs, read.Errors, read.Issued)
	}
	if r.Jobs[0].TotalErrors != read.Errors || r.Jobs[0].FirstErrno != int(syscall.EIO) {
		t.Errorf("total %d, first errno %d", r.Jobs[0].TotalErrors, r.Jobs[0].FirstErrno)
	}
}

// The device goes away while its queue is full.
func TestADeviceThatDiesMidRunEndsTheRun(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	j := job(dev.Path, "io_uring", workloads.RWRandRead)
	j.Runtime, j.TimeBased = time.Minute, true
	started := make(chan struct{})
	once := false
	go func() {
		<-started
		os.Truncate(dev.Backing, 0)
	}()
	r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{
		Progress: func(p Progress) {
			if p.IOPS > 0 && !once {
				once = true
				close(started)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, r)
	if r.Status != report.StatusFailed || r.ExitCode != fault.ExitIO || r.Jobs[0].Read.IOs == 0 {
		t.Errorf("status %s, exit %d, %d I/Os", r.Status, r.ExitCode, r.Jobs[0].Read.IOs)
	}
}

func TestAFullFileSystemIsNoSpace(t *testing.T) {
	testlab.Require(t, "loop", "mount")
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	backing := filepath.Join(dir, "sparse")
	if err := os.WriteFile(backing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(backing, 64<<20); err != nil {
		t.Fatal(err)
	}
	dev := testlab.Loop(t, testlab.LoopOptions{Backing: backing})
	r := do(t, job(dev.Path, "io_uring", workloads.RWWrite))
	if r.ExitCode != fault.ExitIO || r.Error == nil || r.Error.Errno != int(syscall.ENOSPC) || r.Error.Code != "NO_SPACE" {
		t.Errorf("exit %d, error %+v", r.ExitCode, r.Error)
	}
}

func TestACancelledRunIsPartialAndQuick(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		j := job(dev.Path, engine, workloads.RWRandRead)
		j.Runtime, j.TimeBased = time.Minute, true
		ctx, cancel := context.WithCancel(context.Background())
		start := time.Now()
		r, err := Run(ctx, &workloads.Plan{Jobs: []workloads.Job{j, j}}, Options{
			Progress: func(p Progress) {
				if p.IOPS > 0 {
					cancel()
				}
			},
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		valid(t, r)
		if r.Status != report.StatusInterrupted || r.ExitCode != fault.ExitInterrupted || r.Jobs[0].Read.IOs == 0 {
			t.Errorf("%s: status %s, exit %d, %d I/Os", engine, r.Status, r.ExitCode, r.Jobs[0].Read.IOs)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s: it took %v to stop", engine, d)
		}
	}
}

func TestRampIsLeftOut(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	j := job(dev.Path, "io_uring", workloads.RWRandRead)
	j.Runtime, j.RampTime, j.TimeBased = time.Second, time.Second, true
	testlab.Undisturbed(t, func() string {
		r := do(t, j)
		for _, w := range r.Warnings {
			switch w.Code {
			case "STEAL", "NOISY_CPU": // this machine may be busy
			case "UNWRITTEN": // the device is new
			default:
				t.Errorf("warning: %+v", w)
			}
		}
		s := r.Jobs[0].Stats
		if s.StartNS < 9e8 || s.RuntimeNS < 9e8 || s.RuntimeNS > 15e8 {
			return fmt.Sprintf("measured from %d ns for %d ns", s.StartNS, s.RuntimeNS)
		}
		// The device saw the ramp too.
		if k := r.Targets[0].Kernel; k.ReadBytes <= s.Read.Bytes {
			return fmt.Sprintf("the kernel counted %d bytes, we %d: the ramp was not left out", k.ReadBytes, s.Read.Bytes)
		}
		return ""
	})
}

func TestSharedQueue(t *testing.T) {
	for _, engine := range asyncEngines {
		for _, kind := range lock.Names() {
			t.Run(engine+"/"+kind, func(t *testing.T) {
				dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
				j := job(dev.Path, engine, workloads.RWRandWrite)
				j.SharedQueue, j.QueueLock, j.NumJobs, j.IODepth = true, kind, 2, 8
				r := do(t, j)
				f := r.Jobs[0].Fairness
				if w := r.Jobs[0].Write; w.IOs != 2*devBytes/4096 {
					t.Errorf("%d writes, want %d", w.IOs, 2*devBytes/4096)
				}
				if f == nil || f.Lock != kind || f.TagsTotal != 16 || f.Jain < 0.99 || f.LockAcquires == 0 || f.HonestSentence == "" {
					t.Errorf("fairness: %+v", f)
				}
			})
		}
	}
}

func TestSyncsAreIssuedAndCounted(t *testing.T) {
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			j := job(dev.Path, engine, workloads.RWWrite)
			j.FsyncEvery = 64
			r := do(t, j)
			if s := r.Jobs[0].Sync; s == nil || s.IOs < devBytes/4096/64-1 || s.Lat == nil || s.Lat.N != s.IOs {
				t.Fatalf("sync: %+v", s)
			}
			if k := r.Targets[0].Kernel; k.FlushIOs == 0 {
				t.Error("the device saw no flush")
			}
		})
	}
}

func TestTrimPunchesHoles(t *testing.T) {
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			do(t, job(dev.Path, engine, workloads.RWWrite))
			r := do(t, job(dev.Path, engine, workloads.RWTrim))
			if r.Jobs[0].Trim.Bytes != devBytes {
				t.Errorf("%d bytes trimmed", r.Jobs[0].Trim.Bytes)
			}
			info, err := os.Stat(dev.Backing)
			if err != nil {
				t.Fatal(err)
			}
			if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
				t.Errorf("%d bytes are still used after everything was trimmed", used)
			}
		})
	}
}

func TestTheScratchFileIsGone(t *testing.T) {
	dir := t.TempDir()
	j := job("", "psync", workloads.RWRandRead)
	j.Filenames, j.Scratch, j.Directories = nil, true, []string{dir}
	j.Size = workloads.Amount{Bytes: 4 << 20, Set: true}
	r := do(t, j)
	if !r.Targets[0].Scratch || r.Jobs[0].Read.Bytes != 4<<20 {
		t.Errorf("target %+v, %d bytes", r.Targets[0], r.Jobs[0].Read.Bytes)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheGuardIsAsked(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes})
	j := job(dev.Path, "psync", workloads.RWRandWrite)
	j.Destroy = ""
	_, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{})
	if e := fault.Of(err); err == nil || e.Exit != fault.ExitRefused {
		t.Errorf("writing to a device without --destroy: %v", err)
	}
}
