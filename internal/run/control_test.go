package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// reader reads dev for long; named.
func reader(dev *testlab.LoopDevice, name string, d time.Duration) workloads.Job {
	j := job(dev.Path, "io_uring", workloads.RWRandRead)
	j.Name, j.Runtime, j.TimeBased = name, d, true
	return j
}

func TestWaitForStartsWhenTheOtherHasEnded(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	first, beside, second := reader(dev, "first", 400*time.Millisecond), reader(dev, "beside", 900*time.Millisecond), reader(dev, "second", 300*time.Millisecond)
	first.NumJobs = 2
	second.WaitFor = "first"
	testlab.Undisturbed(t, func() (why string) {
		r := do(t, first, beside, second)
		a, b, c := r.Jobs[0].Stats, r.Jobs[1].Stats, r.Jobs[2].Stats
		if end := a.StartNS + a.RuntimeNS; c.StartNS < end-1e6 || c.Read == nil || c.Read.IOs == 0 {
			t.Errorf("the second started at %d ns, the first ended at %d; reads %+v", c.StartNS, end, c.Read)
		}
		if b.StartNS >= a.StartNS+a.RuntimeNS || c.StartNS >= b.StartNS+b.RuntimeNS {
			why = fmt.Sprintf("the one beside ran from %d for %d ns, the second from %d", b.StartNS, b.RuntimeNS, c.StartNS)
		}
		return why
	})
}

func TestExitAll(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	for _, c := range []struct {
		what  string
		ended []bool // which jobs end early; the last is of the next stage
		skips bool   // that one never begins
	}{
		{"group", []bool{true, true, false, false}, false},
		{"stonewall", []bool{true, true, true, false}, false},
		{"all", []bool{true, true, true, true}, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			short, beside := reader(dev, "short", 100*time.Millisecond), reader(dev, "beside", 700*time.Millisecond)
			other, later := reader(dev, "other", 700*time.Millisecond), reader(dev, "later", 600*time.Millisecond)
			other.NewGroup, later.Stonewall = true, true
			short.ExitAll, short.ExitWhat = true, c.what
			testlab.Undisturbed(t, func() (why string) {
				r := do(t, short, beside, other, later)
				if r.ExitCode != 0 || len(r.Jobs) != 4 || r.Jobs[3].Skipped != "" != c.skips {
					t.Fatalf("exit %d, %d jobs, the last skipped: %q", r.ExitCode, len(r.Jobs), r.Jobs[3].Skipped)
				}
				for i, j := range r.Jobs {
					if early := j.RuntimeNS < 550e6; early != c.ended[i] {
						why = fmt.Sprintf("%s ran for %d ns", j.Name, j.RuntimeNS)
					}
				}
				return why
			})
		})
	}
}

func TestExitAllOnError(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	failing := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	if err := os.Truncate(failing.Backing, 0); err != nil {
		t.Fatal(err)
	}
	bad, beside := reader(failing, "bad", time.Second), reader(dev, "beside", 20*time.Second)
	bad.ExitAllOnError, beside.StartDelay = true, workloads.DurationRange{Min: 10 * time.Second, Max: 11 * time.Second}
	start := time.Now()
	if r := do(t, bad, beside); r.ExitCode != fault.ExitIO || time.Since(start) > 8*time.Second {
		t.Errorf("exit %d after %v", r.ExitCode, time.Since(start))
	}
}

// Stages behind a job that failed are skipped, and reported so; in fio they run.
func TestStagesBehindAFailedJob(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	failing := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	if err := os.Truncate(failing.Backing, 0); err != nil {
		t.Fatal(err)
	}
	bad, later := reader(failing, "bad", time.Second), reader(dev, "later", 100*time.Millisecond)
	later.Stonewall, later.NumJobs = true, 2
	for _, goesOn := range []bool{false, true} {
		r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{bad, later}}, Options{GoOn: goesOn})
		if err != nil {
			t.Fatal(err)
		}
		valid(t, r)
		ran := len(r.Jobs) == 2 && r.Jobs[1].Read != nil && r.Jobs[1].Read.IOs > 0
		if r.ExitCode != fault.ExitIO || len(r.Jobs) != 2 || ran != goesOn || (r.Jobs[1].Skipped == "") != goesOn {
			t.Errorf("goes on %v: exit %d, %+v", goesOn, r.ExitCode, r.Jobs[1])
		}
	}
}

func TestStartDelay(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	j := reader(dev, "late", 100*time.Millisecond)
	j.StartDelay = workloads.DurationRange{Min: 200 * time.Millisecond, Max: 400 * time.Millisecond}
	testlab.Undisturbed(t, func() (why string) {
		if s := do(t, j).Jobs[0].Stats; s.StartNS < 190e6 || s.StartNS > 700e6 || s.RuntimeNS > 400e6 {
			why = fmt.Sprintf("started after %d ns, ran for %d", s.StartNS, s.RuntimeNS)
		}
		return why
	})
}

func TestMissedLimitsExit5(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	for code, change := range map[string]func(*workloads.Job){
		"MAX_LATENCY": func(j *workloads.Job) { j.MaxLatency[workloads.Read] = time.Nanosecond },
		"RATE_MIN": func(j *workloads.Job) {
			j.RateIOPSMin[workloads.Read], j.RateCycle = 1<<40, 50*time.Millisecond
		},
	} {
		j := reader(dev, "limited", 5*time.Second)
		change(&j)
		r := do(t, j)
		if r.ExitCode != fault.ExitThreshold || r.Status != report.StatusFailed || r.Error == nil || r.Error.Code != code || r.Jobs[0].RuntimeNS > 3e9 {
			t.Errorf("%s: exit %d, %+v after %d ns", code, r.ExitCode, r.Error, r.Jobs[0].RuntimeNS)
		}
		if code == "MAX_LATENCY" && r.Error.Errno != int(syscall.ETIMEDOUT) {
			t.Errorf("errno %d", r.Error.Errno)
		}
	}
}

func TestLoopsRepeatTheWork(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20, DirectIO: true, Tmpfs: true})
	j := job(dev.Path, "io_uring", workloads.RWRandWrite)
	j.Loops = 3
	if w := do(t, j).Jobs[0].Write; w.Bytes != 3<<20 {
		t.Errorf("%d bytes in 3 loops of 1 MiB", w.Bytes)
	}
}

func TestIgnoredErrors(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	if err := os.Truncate(dev.Backing, devBytes/2); err != nil {
		t.Fatal(err)
	}
	for word, exit := range map[string]int{"EIO": 0, "5": 0, "ENOSPC": fault.ExitIO} {
		j := job(dev.Path, "io_uring", workloads.RWRead)
		j.IgnoreError[workloads.Read] = []string{word}
		if r := do(t, j); r.ExitCode != exit || r.Jobs[0].Read.Errors == 0 {
			t.Errorf("ignore_error=%s: exit %d, %d errors", word, r.ExitCode, r.Jobs[0].Read.Errors)
		}
	}
	j := job(dev.Path, "psync", workloads.RWRead)
	j.IgnoreError[workloads.Read] = []string{"ENOSUCH"}
	if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{}); fault.Of(err).Code != "IGNORE_ERROR" {
		t.Errorf("an unknown error's name: %v", err)
	}
}

func TestThinktimeHoldsTheJobUp(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	j := job(dev.Path, "psync", workloads.RWRead)
	j.NumberIOs = 40
	j.Thinktime = workloads.Thinktime{Time: 20 * time.Millisecond, Blocks: 4, Type: "complete"}
	// 40 I/Os in rows of 4 have 9 pauses between them.
	testlab.Undisturbed(t, func() (why string) {
		if s := do(t, j).Jobs[0].Stats; s.Read.IOs != 40 || s.RuntimeNS < 9*20e6 || s.RuntimeNS > 600e6 {
			why = fmt.Sprintf("%d I/Os in %d ns", s.Read.IOs, s.RuntimeNS)
		}
		return why
	})
}

// Several files share the work as file_service_type says.
func TestSeveralFiles(t *testing.T) {
	for _, service := range []string{"roundrobin", "sequential", "random", "zipf:1.2"} {
		j := job("", "io_uring", workloads.RWRandWrite)
		j.Filenames, j.Destroy, j.Directories, j.Direct = nil, "", []string{t.TempDir()}, false
		j.NrFiles, j.FileService, j.Size = 4, service, workloads.Amount{Bytes: 4 << 20, Set: true}
		r := do(t, j)
		if r.Jobs[0].Write.Bytes != 4<<20 || len(r.Targets) != 4 {
			t.Errorf("%s: %d bytes to %d files", service, r.Jobs[0].Write.Bytes, len(r.Targets))
		}
		for _, target := range r.Targets {
			if target.SizeBytes != 1<<20 {
				t.Errorf("%s: %s has %d bytes", service, target.Path, target.SizeBytes)
			}
		}
	}
}

func TestTrimWrite(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20, DirectIO: true, Tmpfs: true})
	j := job(dev.Path, "io_uring", workloads.RWTrimWrite)
	r := do(t, j)
	if s := r.Jobs[0]; s.Trim.Bytes != 1<<20 || s.Write.Bytes != 1<<20 {
		t.Errorf("%d bytes trimmed, %d written", s.Trim.Bytes, s.Write.Bytes)
	}
}

func TestFilesOfAJob(t *testing.T) {
	base := func(dir string) workloads.Job {
		j := job("", "psync", workloads.RWWrite)
		j.Filenames, j.Destroy, j.Directories, j.Direct = nil, "", []string{dir}, false
		j.Size = workloads.Amount{Bytes: 1 << 20, Set: true}
		return j
	}
	t.Run("create_only", func(t *testing.T) {
		dir := t.TempDir()
		j := base(dir)
		j.Layout.CreateOnly = true
		r := do(t, j)
		info, err := os.Stat(filepath.Join(dir, "test.0.0"))
		if err != nil || info.Size() != 1<<20 || r.Jobs[0].Write.IOs != 0 {
			t.Errorf("%v, %+v, %d writes", err, info, r.Jobs[0].Write.IOs)
		}
	})
	t.Run("unlink", func(t *testing.T) {
		dir := t.TempDir()
		j := base(dir)
		j.Layout.Unlink = true
		do(t, j)
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		old := filepath.Join(dir, "old")
		if err := os.WriteFile(old, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		j.Filenames = []string{old}
		if _, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Overwrite: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(old); err != nil {
			t.Errorf("a file that was there before is gone: %v", err)
		}
	})
	for kind, blocks := range map[string]bool{"none": false, "native": true} {
		t.Run("fallocate="+kind, func(t *testing.T) {
			dir := t.TempDir()
			j := base(dir)
			j.Layout.Fallocate, j.NumberIOs = kind, 1
			do(t, j)
			info, err := os.Stat(filepath.Join(dir, "test.0.0"))
			if err != nil {
				t.Fatal(err)
			}
			if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used >= 1<<20 != blocks {
				t.Errorf("%d bytes are used", used)
			}
		})
	}
	t.Run("overwrite", func(t *testing.T) {
		dir := t.TempDir()
		j := base(dir)
		j.Layout.Overwrite, j.NumberIOs = true, 1
		do(t, j)
		data, err := os.ReadFile(filepath.Join(dir, "test.0.0"))
		if err != nil || len(data) != 1<<20 || data[len(data)-1] == 0 && data[len(data)-2] == 0 && data[len(data)-3] == 0 {
			t.Errorf("the file was not written out: %v, %d bytes", err, len(data))
		}
	})
	t.Run("file_append", func(t *testing.T) {
		for _, change := range []func(*workloads.Job){
			func(*workloads.Job) {},
			func(j *workloads.Job) { j.Engine, j.IODepth, j.Loops = "io_uring", 8, 2 },
			func(j *workloads.Job) { j.RW, j.Verify.Kind = workloads.RWRandWrite, "crc32c" },
		} {
			path := filepath.Join(t.TempDir(), "old")
			if err := os.WriteFile(path, bytes.Repeat([]byte("old "), 1001), 0o600); err != nil {
				t.Fatal(err)
			}
			j := base("")
			j.Filenames, j.Layout.Append = []string{path}, true
			change(&j)
			for round := range int64(2) {
				r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Overwrite: true})
				if err != nil || r.ExitCode != 0 {
					t.Fatalf("%v, %+v", err, r)
				}
				data, err := os.ReadFile(path)
				if err != nil || int64(len(data)) != 4004+(round+1)<<20 || !bytes.Equal(data[:4004], bytes.Repeat([]byte("old "), 1001)) {
					t.Fatalf("%v, %d bytes", err, len(data))
				}
			}
			j.RW = workloads.RWRead
			if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Overwrite: true}); fault.Of(err).Code != "FILE_APPEND" {
				t.Errorf("a job that reads: %v", err)
			}
		}
	})
	t.Run("unlink_each_loop", func(t *testing.T) {
		dir := t.TempDir()
		j := base(dir)
		j.Layout.UnlinkEachLoop, j.Loops, j.NrFiles = true, 3, 2
		if r := do(t, j); r.Jobs[0].Write.Bytes != 3<<20 || r.ExitCode != 0 {
			t.Errorf("exit %d, %d bytes", r.ExitCode, r.Jobs[0].Write.Bytes)
		}
		for _, name := range []string{"test.0.0", "test.0.1"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != 512<<10 {
				t.Errorf("%v, %+v", err, info)
			}
		}
		before, err := os.Stat(filepath.Join(dir, "test.0.0"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Overwrite: true}); err != nil {
			t.Fatal(err)
		}
		if after, err := os.Stat(filepath.Join(dir, "test.0.0")); err != nil || !os.SameFile(before, after) {
			t.Errorf("a file that was there before was removed: %v", err)
		}
		j.RW, j.Directories = workloads.RWRead, []string{t.TempDir()}
		if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{}); fault.Of(err).Code != "UNLINK_EACH_LOOP" {
			t.Errorf("a job that reads: %v", err)
		}
	})
	t.Run("opendir", func(t *testing.T) {
		dir := t.TempDir()
		content := bytes.Repeat([]byte("precious"), 1024)
		for name, size := range map[string]int{"one": 8192, "sub/two": 4096, "sub/small": 100, "empty": 0} {
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, "sub"), 0o700), os.WriteFile(filepath.Join(dir, name), content[:size], 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("/dev/null", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		j := base("")
		j.Layout.OpenDir, j.RW, j.Size, j.Directories = dir, workloads.RWRead, workloads.Amount{}, nil
		if r := do(t, j); r.Jobs[0].Read.Bytes != 12288 || len(r.Targets) != 2 {
			t.Errorf("%d bytes of %d files", r.Jobs[0].Read.Bytes, len(r.Targets))
		}
		j.RW = workloads.RWWrite
		if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Overwrite: true}); fault.Of(err).Code != "REFUSED_EXISTS" {
			t.Errorf("writing to what was found: %v", err)
		}
		j.Layout.OpenDir = filepath.Join(dir, "none")
		if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{}); fault.Of(err).Code != "OPENDIR" {
			t.Errorf("a directory that does not exist: %v", err)
		}
	})
	t.Run("a stream is no target", func(t *testing.T) {
		j := base("")
		j.Filenames, j.Directories = []string{"-"}, nil
		if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{}); fault.Of(err).Code != "STREAM_TARGET" {
			t.Error(err)
		}
	})
	t.Run("pre_read, invalidate, end_syncfs", func(t *testing.T) {
		for _, change := range []func(*workloads.Job){
			func(j *workloads.Job) { j.Layout.PreRead = true },
			func(j *workloads.Job) { j.Layout.Invalidate, j.Layout.FadviseHint = false, "random" },
			func(j *workloads.Job) { j.EndSyncFS, j.Layout.FadviseHint = true, "noreuse" },
			func(j *workloads.Job) { j.Nice, j.PrioClass, j.Prio = 1, 2, 7 },
		} {
			j := base(t.TempDir())
			j.RW = workloads.RWReadWrite
			change(&j)
			if r := do(t, j); r.ExitCode != 0 || r.Jobs[0].Read.Bytes+r.Jobs[0].Write.Bytes != 1<<20 {
				t.Errorf("exit %d, %+v", r.ExitCode, r.Error)
			}
		}
	})
}

// A thin device over a full file system ends a job that is to fill it, and that is no error.
func TestFillDeviceEndsWithoutSpace(t *testing.T) {
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
	j := job(dev.Path, "io_uring", workloads.RWWrite)
	j.Layout.FillDevice = true
	if r := do(t, j); r.ExitCode != 0 || r.Jobs[0].Write.Errors != 0 || r.Jobs[0].Write.Bytes < 6<<20 {
		t.Errorf("exit %d, %+v, %+v", r.ExitCode, r.Error, r.Jobs[0].Write)
	}
}

// A job fills a file system until nothing is left, in a file that it makes or in one that was there.
func TestFillFSEndsWithoutSpace(t *testing.T) {
	testlab.Require(t, "mount")
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	j := job("", "io_uring", workloads.RWWrite)
	j.Filenames, j.Destroy, j.Directories, j.Direct, j.Layout.FillDevice = nil, "", []string{dir}, false, true
	path := filepath.Join(dir, "test.0.0")
	for _, before := range []string{"", "something"} {
		if before != "" {
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Overwrite: true})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || r.ExitCode != 0 || r.Jobs[0].Write.Errors != 0 || info.Size() < 7<<20 {
			t.Errorf("%v, exit %d, %+v, %+v", err, r.ExitCode, r.Error, info)
		}
	}
	j.RW = workloads.RWRead
	if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{}); fault.Of(err).Code != "FILL_DEVICE" {
		t.Errorf("a job that reads: %v", err)
	}
}
