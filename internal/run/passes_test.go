package run

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// What every loop wrote is read back before the next one writes over it.
func TestEveryLoopIsReadBack(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	for name, c := range map[string]struct {
		change func(*workloads.Job)
		writes int64 // I/Os of the job
		checks int64 // blocks read back, at least
	}{
		"three loops":   {func(*workloads.Job) {}, 3 * 1024, 3 * 1024},
		"at random":     {func(j *workloads.Job) { j.RW = workloads.RWRandWrite }, 3 * 1024, 3 * 1024},
		"clones":        {func(j *workloads.Job) { j.NumJobs = 3 }, 9 * 1024, 3 * 1024},
		"with backlog":  {func(j *workloads.Job) { j.Verify.Backlog = 64 }, 3 * 1024, 5 * 1024},
		"without":       {func(j *workloads.Job) { j.Verify.Do = false }, 3 * 1024, 0},
		"fewer I/Os":    {func(j *workloads.Job) { j.NumberIOs = 100 }, 300, 300},
		"paced":         {func(j *workloads.Job) { j.RateIOPS[workloads.Write], j.NumberIOs = 10000, 200 }, 600, 600},
		"trims, writes": {func(j *workloads.Job) { j.RW = workloads.RWTrimWrite }, 3 * 1024, 3 * 1024},
	} {
		for _, engine := range []string{"psync", "io_uring"} {
			t.Run(name+"/"+engine, func(t *testing.T) {
				j := verifyJob(dev.Path, engine, workloads.RWWrite, "crc32c")
				j.Loops = 3
				c.change(&j)
				r := do(t, j)
				v := r.Jobs[0].Verify
				if r.ExitCode != 0 || v.Mismatched != 0 || r.Jobs[0].Write.IOs != c.writes || v.Blocks < c.checks || j.Verify.Backlog == 0 && v.Blocks != c.checks {
					t.Errorf("exit %d, error %+v: %d writes, %d blocks checked, %d wrong; want %d and %d", r.ExitCode, r.Error, r.Jobs[0].Write.IOs, v.Blocks, v.Mismatched, c.writes, c.checks)
				}
				if j.Verify.Do && j.NumJobs == 1 && r.Jobs[0].RuntimeNS > r.ElapsedNS-v.RuntimeNS {
					t.Errorf("of %d ns, %d were measured and %d read back", r.ElapsedNS, r.Jobs[0].RuntimeNS, v.RuntimeNS)
				}
			})
		}
	}
}

// A write that was lost in the first loop is seen, although the second writes the block again.
func TestAFaultOfTheFirstLoopIsSeen(t *testing.T) {
	testlab.Require(t, "loop", "fuse")
	const bs = 4096
	for _, c := range []struct {
		fatal  bool
		writes int64
	}{{false, 128}, {true, 64}} {
		disk := testlab.NewFaultDisk(t, 1<<20)
		dev := testlab.Loop(t, testlab.LoopOptions{Backing: disk.Path, DirectIO: true})
		disk.Inject(testlab.Fault{Op: testlab.Writes, Offset: 7 * bs, Length: bs, Times: 1, Drop: true})
		j := verifyJob(dev.Path, "io_uring", workloads.RWWrite, "crc32c")
		j.Size.Bytes, j.Loops, j.IODepth, j.Verify.Fatal = 256<<10, 2, 1, c.fatal
		r := do(t, j)
		v := r.Jobs[0].Verify
		if r.ExitCode != fault.ExitVerify || v.Mismatched != 1 || v.Mismatches[0].Fault != "zeroed" || r.Jobs[0].Write.IOs != c.writes {
			t.Errorf("fatal %v: exit %d, %d writes, %+v", c.fatal, r.ExitCode, r.Jobs[0].Write.IOs, v)
		}
	}
}

func TestMeeting(t *testing.T) {
	const workers, rounds = 4, 200
	m := newMeeting(workers)
	var done sync.WaitGroup
	var here, called atomic.Int64
	for w := range workers {
		done.Go(func() {
			defer m.leave()
			for round := range int64(rounds) {
				if w == 1 && round == rounds/2 {
					return // the others do not wait for it
				}
				here.Add(1)
				m.wait(func() { called.Add(1) })
				if got := here.Load(); got < round*3 {
					t.Errorf("round %d began when %d had come", round, got)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { done.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the workers still wait")
	}
	if n := called.Load(); n != rounds {
		t.Errorf("%d meetings, want %d", n, rounds)
	}
}

// A share of what was written is trimmed, and must then read as zeros.
func TestWrittenBlocksAreTrimmed(t *testing.T) {
	for name, c := range map[string]struct {
		percent        int
		backlog, batch uint64
		least, most    int64 // trims
		change         func(*workloads.Job)
	}{
		"all":            {100, 64, 0, 960, 1024, nil},
		"half":           {50, 64, 0, 400, 624, nil},
		"small batches":  {100, 64, 8, 15 * 8, 16 * 8, nil},
		"none":           {0, 64, 0, 0, 0, nil},
		"never":          {100, 0, 0, 0, 0, nil},
		"over and over":  {30, 32, 0, 500, 700, func(j *workloads.Job) { j.NoRandomMap, j.RW, j.Loops = true, workloads.RWRandWrite, 2 }},
		"with a backlog": {50, 64, 0, 400, 624, func(j *workloads.Job) { j.Verify.Backlog = 128 }},
	} {
		for _, engine := range []string{"psync", "libaio", "io_uring"} {
			t.Run(name+"/"+engine, func(t *testing.T) {
				dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
				j := verifyJob(dev.Path, engine, workloads.RWWrite, "crc32c")
				j.Verify.TrimPercent, j.Verify.TrimBacklog, j.Verify.TrimBatch = c.percent, c.backlog, c.batch
				if c.change != nil {
					c.change(&j)
				}
				r := do(t, j)
				v, trims := r.Jobs[0].Verify, int64(0)
				if r.Jobs[0].Trim != nil {
					trims = r.Jobs[0].Trim.IOs
				}
				if r.ExitCode != 0 || v.Mismatched != 0 || v.Blocks == 0 || trims < c.least || trims > c.most {
					t.Fatalf("exit %d, error %+v: %d trims, want %d to %d; %+v", r.ExitCode, r.Error, trims, c.least, c.most, v)
				}
				zeros := int64(0)
				for data := readAll(t, dev.Backing)[:4<<20]; len(data) > 0; data = data[4096:] {
					if [4096]byte(data) == [4096]byte{} {
						zeros++
					}
				}
				if name != "over and over" && zeros != trims {
					t.Errorf("%d blocks are zeros after %d trims", zeros, trims)
				}
			})
		}
	}
}

// A trim that does nothing is seen; with trim_verify_zero=0 nobody asks.
func TestTrimsThatDoNothing(t *testing.T) {
	v := workloads.Verify{TrimPercent: 100, TrimBacklog: 16}
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	for _, zero := range []bool{true, false} {
		dir := t.TempDir()
		j := verifyJob(dev.Path, "psync", workloads.RWWrite, "crc32c")
		j.Size.Bytes = 1 << 20
		j.Verify.TrimPercent, j.Verify.TrimBacklog, j.Verify.Do, j.Verify.StateSave = v.TrimPercent, v.TrimBacklog, false, true
		if r := doDumping(t, dir, j); r.ExitCode != 0 || r.Jobs[0].Trim.IOs == 0 {
			t.Fatalf("exit %d, %+v", r.ExitCode, r.Error)
		}
		damage := readAll(t, dev.Backing)
		damage[3*4096+1]++
		writeFile(t, dev.Backing, damage)
		j.Verify.Only, j.Verify.StateSave, j.Verify.StateLoad, j.Destroy, j.Verify.TrimVerifyZero = true, false, true, "", zero
		want := map[string]int64{}
		if zero {
			want["not zeroed"] = 1
		}
		wantFaults(t, doDumping(t, dir, j), want, 3*4096)
	}
}

func TestJobsThatSpoilEachOthersCheck(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	at := func(name string, offset int64, kind string) workloads.Job {
		j := verifyJob(dev.Path, "psync", workloads.RWWrite, kind)
		j.Name, j.Size.Bytes, j.Offset = name, 1<<20, workloads.Amount{Bytes: offset, Set: true}
		return j
	}
	for name, c := range map[string]struct {
		second  workloads.Job
		refused bool
	}{
		"both verify":           {at("b", 512<<10, "crc32c"), true},
		"the other only writes": {at("b", 0, ""), true},
		"side by side":          {at("b", 1<<20, "crc32c"), false},
		"one after the other":   {func() workloads.Job { j := at("b", 0, "crc32c"); j.Stonewall = true; return j }(), false},
		"one waits":             {func() workloads.Job { j := at("b", 0, "crc32c"); j.WaitFor = "a"; return j }(), false},
	} {
		r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{at("a", 0, "crc32c"), c.second}}, Options{})
		var e *fault.Error
		if refused := errors.As(err, &e) && e.Code == "VERIFY_OVERLAP"; refused != c.refused || !refused && (err != nil || r.ExitCode != 0) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// With serialize_overlap no two I/Os of a worker are in flight on the same bytes: a device that takes them in
// any order holds what was written last.
func TestOverlapsAreSerialized(t *testing.T) {
	testlab.Require(t, "loop", "fuse")
	for _, on := range []bool{false, true} {
		disk := testlab.NewFaultDisk(t, 1<<20)
		disk.Inject(testlab.Fault{Op: testlab.Writes, Delay: time.Millisecond})
		j := job(disk.Path, "io_uring", workloads.RWRandWrite)
		j.Size, j.NoRandomMap, j.SerializeOverlap, j.Runtime, j.TimeBased = workloads.Amount{Bytes: 16 << 10, Set: true}, true, on, 300*time.Millisecond, true
		j.IODepth = 16
		r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Overwrite: true})
		if err != nil || r.ExitCode != 0 {
			t.Fatalf("%v, %+v", err, r)
		}
		if r.Jobs[0].Verify != nil {
			t.Errorf("something was checked: %+v", r.Jobs[0].Verify)
		}
		deepest := 0
		for _, d := range r.Jobs[0].Depth {
			deepest = max(deepest, d.Value)
		}
		if (deepest <= 4) != on {
			t.Errorf("serialize_overlap %v: %d I/Os were in flight on four blocks", on, deepest)
		}
	}
}

// Threads that check beside the worker find what it finds itself.
func TestCheckersBesideTheWorker(t *testing.T) {
	for _, rw := range []workloads.RW{workloads.RWRead, workloads.RWRandRead, workloads.RWWrite} {
		for _, threads := range []int{1, 3} {
			for _, fatal := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/%d/%v", rw, threads, fatal), func(t *testing.T) {
					dir := t.TempDir()
					dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
					j := verifyJob(dev.Path, "io_uring", workloads.RWRandWrite, "sha512")
					j.Verify.Async, j.Verify.StateSave, j.Verify.Backlog, j.Loops = threads, true, 100, 2
					if r := doDumping(t, dir, j); r.ExitCode != 0 || r.Jobs[0].Verify.Blocks < 3*1024 {
						t.Fatalf("exit %d, %+v", r.ExitCode, r.Jobs[0].Verify)
					}
					data := readAll(t, dev.Backing)
					clear(data[:8*4096])
					data[100*4096+99]++
					writeFile(t, dev.Backing, data)
					j.RW, j.Verify.StateSave, j.Verify.StateLoad, j.Verify.Fatal, j.Loops, j.Destroy = rw, false, true, fatal, 1, ""
					j.Verify.Only = rw == workloads.RWWrite
					j.Verify.AsyncCPUs = []int{0}
					r := doDumping(t, dir, j)
					v := r.Jobs[0].Verify
					if fatal {
						if r.ExitCode != fault.ExitVerify || v.Mismatched != 1 {
							t.Errorf("exit %d, %+v", r.ExitCode, v)
						}
						return
					}
					if v.Blocks != 1024 {
						t.Errorf("%d blocks were checked", v.Blocks)
					}
					wantFaults(t, r, map[string]int64{"zeroed": 8, "corrupted": 1}, 0)
				})
			}
		}
	}
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	j := verifyJob(dev.Path, "psync", workloads.RWWrite, "crc32c")
	j.Verify.Async, j.Verify.AsyncCPUs = 2, []int{4000}
	r := do(t, j)
	if r.ExitCode != fault.ExitUsage || r.Error.Code != "CPU_PIN" {
		t.Errorf("exit %d, %+v", r.ExitCode, r.Error)
	}
}
