package catalog_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/offload"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

const (
	depth = 8
	block = 4096
)

// pooled before an engine's name means a pool of threads, each with a queue of it.
const pooled = "pooled "

var engines = []string{
	catalog.Psync, catalog.Libaio, catalog.Uring,
	pooled + catalog.Psync, pooled + catalog.Libaio, pooled + catalog.Uring,
}

// queue opens a queue of the named engine on the target, on a locked thread, with buffers of its own.
func queue(t *testing.T, name string, tg *target.Target, change func(*engine.Config)) (catalog.Queue, engine.Config) {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	arena, err := mem.Map(depth*block, mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := engine.Config{Depth: depth, BlockBytes: block, Buffers: arena.Bytes(), SQPollCPU: -1, SQPollIdle: 10 * time.Millisecond}
	if change != nil {
		change(&c)
	}
	q, err := openNamed(name, c, tg)
	if errors.Is(err, engine.ErrUnsupported) {
		t.Skipf("this system does not allow %s: %v", name, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(q.Close(), arena.Unmap()); err != nil {
			t.Error(err)
		}
	})
	return q, c
}

func openNamed(name string, c engine.Config, tg *target.Target) (catalog.Queue, error) {
	engineName, isPooled := strings.CutPrefix(name, pooled)
	if !isPooled {
		return catalog.Open(engineName, c, []*target.Target{tg})
	}
	q, err := offload.New(offload.Options{Config: c, Open: func(_ int, c engine.Config) (engine.Queue, error) {
		return catalog.Open(engineName, c, []*target.Target{tg})
	}})
	return catalog.Queue{Queue: q}, err
}

func open(t *testing.T, path string, access target.Access, direct bool) *target.Target {
	t.Helper()
	tg, err := target.Open(target.Spec{Path: path, Access: access, Direct: direct, Destroy: []string{filepath.Base(path)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tg.Close() })
	return tg
}

// turn submits requests and reaps as many completions.
func turn(t *testing.T, q engine.Queue, reqs []engine.Request) map[uint32]int32 {
	t.Helper()
	for sent := 0; sent < len(reqs); {
		n, err := q.Submit(reqs[sent:])
		if err != nil {
			t.Fatal(err)
		}
		sent += n
	}
	results := map[uint32]int32{}
	done := make([]engine.Completion, depth)
	for len(results) < len(reqs) {
		n, err := q.Reap(done, 1, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			t.Fatalf("%d of %d requests came back", len(results), len(reqs))
		}
		for _, c := range done[:n] {
			if _, twice := results[c.Slot]; twice {
				t.Fatalf("slot %d came back twice", c.Slot)
			}
			results[c.Slot] = c.Result
		}
	}
	return results
}

// Whatever the engine and its features, what is written is read back from where it was written.
func TestDataComeBackFromWhereTheyWent(t *testing.T) {
	variants := map[string]func(*engine.Config){
		"plain":             nil,
		"nothing fixed":     func(c *engine.Config) { c.FixedBufs, c.FixedFiles = engine.Never, engine.Never },
		"everything fixed":  func(c *engine.Config) { c.FixedBufs, c.FixedFiles = engine.Must, engine.Must },
		"forced async":      func(c *engine.Config) { c.ForceAsync = 2 },
		"submission thread": func(c *engine.Config) { c.SQPoll = true },
		"shared ring":       func(c *engine.Config) { c.Shared = true },
	}
	for _, name := range engines {
		for variant, change := range variants {
			t.Run(name+"/"+variant, func(t *testing.T) {
				dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20, SectorBytes: 4096, DirectIO: true, Tmpfs: true})
				tg := open(t, dev.Path, target.ReadWrite, true)
				q, c := queue(t, name, tg, change)
				want := map[uint32][]byte{}
				var reqs []engine.Request
				for s := range uint32(depth) {
					want[s] = bytes.Repeat([]byte{byte(s + 1), byte(3 * s)}, block/2)
					copy(c.Buffer(s), want[s])
					reqs = append(reqs, engine.Request{Op: engine.OpWrite, Slot: s, Offset: int64(s*7%depth) * block, Length: block})
				}
				for s, r := range turn(t, q, reqs) {
					if r != block {
						t.Fatalf("write of slot %d: %d", s, r)
					}
				}
				turn(t, q, []engine.Request{{Op: engine.OpSync, Slot: 0}})
				turn(t, q, []engine.Request{{Op: engine.OpDatasync, Slot: 1}})
				clear(c.Buffers)
				for i := range reqs {
					reqs[i].Op = engine.OpRead
				}
				turn(t, q, reqs)
				for s := range uint32(depth) {
					if !bytes.Equal(c.Buffer(s), want[s]) {
						t.Errorf("slot %d: other data came back", s)
					}
				}
				for s, r := range turn(t, q, []engine.Request{{Op: engine.OpTrim, Slot: 3, Offset: 0, Length: block}}) {
					if r != block {
						t.Fatalf("trim of slot %d: %d", s, r)
					}
				}
				turn(t, q, []engine.Request{{Op: engine.OpRead, Slot: 2, Offset: 0, Length: block}})
				if !bytes.Equal(c.Buffer(2), make([]byte, block)) {
					t.Error("a trimmed block is not zero")
				}
				if counters := q.Counters(); counters.Syscalls == 0 || counters.Overflows != 0 {
					t.Errorf("counters: %+v", counters)
				}
			})
		}
	}
}

func TestShortAndFailedTransfersAreReportedAsTheyAre(t *testing.T) {
	for _, name := range engines {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "short")
			if err := os.WriteFile(path, make([]byte, block+512), 0o600); err != nil {
				t.Fatal(err)
			}
			q, _ := queue(t, name, open(t, path, target.ReadOnly, false), nil)
			got := turn(t, q, []engine.Request{
				{Op: engine.OpRead, Slot: 0, Offset: block, Length: block},     // over the end
				{Op: engine.OpRead, Slot: 1, Offset: 4 * block, Length: block}, // beyond it
				{Op: engine.OpWrite, Slot: 2, Offset: 0, Length: block},        // on a descriptor for reading
				{Op: engine.OpRead, Slot: 3, Offset: 16, Length: 100, Skip: 8}, // the rest of a short one
			})
			want := map[uint32]int32{0: 512, 1: 0, 2: -int32(syscall.EBADF), 3: 100}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("results %v, want %v", got, want)
			}
		})
	}
}

// A context that is full takes the requests at the front and no others, also where some of them are done on the
// calling thread. Here nothing is reaped until it is full.
func TestAFullContextTakesRequestsInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, make([]byte, depth*block), 0o600); err != nil {
		t.Fatal(err)
	}
	q, _ := queue(t, catalog.Libaio, open(t, path, target.ReadOnly, false), nil)
	var reqs []engine.Request
	for slot := range uint32(depth) {
		r := engine.Request{Op: engine.OpRead, Slot: slot, Offset: int64(slot) * block, Length: block}
		if slot%3 == 2 {
			r.Op = engine.OpSyncRange
		}
		reqs = append(reqs, r)
	}
	taken := make([]int, depth)
	for n := depth; n == depth; {
		var err error
		if n, err = q.Submit(reqs); err != nil {
			t.Fatal(err)
		}
		for slot := range n {
			taken[slot]++
		}
		if taken[0] > 1<<16 {
			t.Fatal("the context is never full")
		}
	}
	came := make([]int, depth)
	done := make([]engine.Completion, depth)
	for {
		n, err := q.Reap(done, 1, 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		for _, c := range done[:n] {
			came[c.Slot]++
		}
	}
	if fmt.Sprint(came) != fmt.Sprint(taken) {
		t.Errorf("by slot, %v requests were taken, and %v came back", taken, came)
	}
}

func TestReapEndsAtItsLimit(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20, Tmpfs: true})
	for _, name := range []string{catalog.Libaio, catalog.Uring, pooled + catalog.Psync} {
		t.Run(name, func(t *testing.T) {
			q, _ := queue(t, name, open(t, dev.Path, target.ReadOnly, true), nil)
			done := make([]engine.Completion, depth)
			longest := time.Duration(0)
			for range 10 { // a signal, as the Go runtime sends them, may end a wait early
				start := time.Now()
				if n, err := q.Reap(done, 1, 20*time.Millisecond); n != 0 || err != nil {
					t.Errorf("with nothing in flight: %d, %v", n, err)
				}
				longest = max(longest, time.Since(start))
			}
			if longest < 15*time.Millisecond {
				t.Errorf("waited %v of 20ms", longest)
			}
			if n, err := q.Reap(done, 0, 0); n != 0 || err != nil {
				t.Errorf("without waiting: %d, %v", n, err)
			}
		})
	}
}

func TestATurnAllocatesNothing(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20, DirectIO: true, Tmpfs: true})
	for _, name := range append(engines, catalog.Null) {
		t.Run(name, func(t *testing.T) {
			q, _ := queue(t, name, open(t, dev.Path, target.ReadOnly, true), nil)
			reqs := make([]engine.Request, depth)
			for s := range reqs {
				reqs[s] = engine.Request{Op: engine.OpRead, Slot: uint32(s), Offset: int64(s) * block, Length: block}
			}
			done := make([]engine.Completion, depth)
			if n := testing.AllocsPerRun(50, func() {
				if n, err := q.Submit(reqs); n != depth || err != nil {
					t.Fatal(n, err)
				}
				for got := 0; got < depth; {
					n, err := q.Reap(done, 1, time.Second)
					if err != nil {
						t.Fatal(err)
					}
					got += n
				}
			}); n != 0 {
				t.Errorf("%v allocations per turn", n)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	loop := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20})
	onLoop := []*target.Target{open(t, loop.Path, target.ReadOnly, true)}
	path := filepath.Join(testlab.Dir(t, true), "file")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	onTmpfs := []*target.Target{open(t, path, target.ReadOnly, false)}
	for _, c := range []struct {
		name string
		want catalog.Want
		gets string // engine, or the code of the refusal
	}{
		{"auto on a device that takes NOWAIT", catalog.Want{Name: "auto", Depth: 32, Direct: true, Targets: onLoop}, catalog.Uring},
		{"auto on tmpfs, shallow", catalog.Want{Name: "auto", Depth: 1, Direct: true, Targets: onTmpfs}, catalog.Psync},
		{"auto on tmpfs, deep", catalog.Want{Name: "auto", Depth: 8, Direct: true, Targets: onTmpfs}, catalog.Libaio},
		{"fio's name", catalog.Want{Name: "pvsync2", Depth: 1, Targets: onLoop}, catalog.Psync},
		{"fio's mmap", catalog.Want{Name: "mmap", Depth: 1, Targets: onLoop}, catalog.Psync},
		{"polling without poll queues", catalog.Want{Name: "io_uring", Depth: 1, HiPri: true, Direct: true, Targets: onLoop}, "NO_POLL_QUEUE"},
		{"one queue for all, synchronous", catalog.Want{Name: "psync", Depth: 1, Shared: true, Targets: onLoop}, "SHARED_SYNC"},
		{"an engine of fio's that is not here", catalog.Want{Name: "rados", Depth: 1, Targets: onLoop}, "ENGINE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			choice, err := catalog.Choose(c.want)
			got := choice.Name
			if err != nil {
				got = fault.Of(err).Code
			} else if choice.Why == "" {
				t.Error("no reason given")
			}
			if got != c.gets {
				t.Errorf("got %s (%v), want %s", got, err, c.gets)
			}
		})
	}
	if choice, err := catalog.Choose(catalog.Want{Name: "io_uring", Depth: 1, Targets: onTmpfs}); err != nil || !choice.Punted {
		t.Errorf("io_uring on tmpfs: %+v, %v: the kernel's punting is not told", choice, err)
	}
}

func TestProbesAnswer(t *testing.T) {
	probes := catalog.Probes()
	if len(probes) < 4 {
		t.Fatalf("only %d probes", len(probes))
	}
	for _, p := range probes {
		switch p.State {
		case catalog.Yes:
		case catalog.No, catalog.Unknown:
			if p.Why == "" {
				t.Errorf("%s: %s without a reason", p.Name, p.State)
			}
		default:
			t.Errorf("%s: state %q", p.Name, p.State)
		}
	}
}
