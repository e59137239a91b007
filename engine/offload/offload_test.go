package offload_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/null"
	"github.com/blkmeter/blkmeter/engine/offload"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// gate is a queue whose requests block inside Submit, as a synchronous engine's do, until their gate opens.
type gate struct {
	open   chan struct{}
	fails  error
	result []engine.Completion
	closed *atomic.Int32
}

func (g *gate) Submit(reqs []engine.Request) (int, error) {
	<-g.open
	g.result = append(g.result, engine.Completion{Slot: reqs[0].Slot, Result: int32(reqs[0].Length)})
	return 1, g.fails
}

func (g *gate) Reap(done []engine.Completion, _ int, _ time.Duration) (int, error) {
	n := copy(done, g.result)
	g.result = g.result[n:]
	return n, nil
}

func (g *gate) Counters() engine.Counters { return engine.Counters{Syscalls: 1000} }
func (g *gate) Close() error              { g.closed.Add(1); return nil }

// gated returns a pool of such queues, and their gates by slot.
func gated(t *testing.T, depth int, fails error) (*offload.Queue, []chan struct{}, *atomic.Int32) {
	t.Helper()
	gates, closed := make([]chan struct{}, depth), new(atomic.Int32)
	for i := range gates {
		gates[i] = make(chan struct{}, 1)
	}
	q, err := offload.New(offload.Options{
		Config: engine.Config{Depth: depth},
		Open: func(slot int, c engine.Config) (engine.Queue, error) {
			if c.Depth != 1 {
				t.Errorf("a thread's queue has depth %d", c.Depth)
			}
			return &gate{open: gates[slot], fails: fails, closed: closed}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return q, gates, closed
}

func requests(slots ...uint32) []engine.Request {
	reqs := make([]engine.Request, len(slots))
	for i, s := range slots {
		reqs[i] = engine.Request{Slot: s, Length: 100 + s}
	}
	return reqs
}

func TestBlockedRequestsHoldNobodyUp(t *testing.T) {
	q, gates, closed := gated(t, 4, nil)
	if n, err := q.Submit(requests(0, 1, 2)); n != 3 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	done := make([]engine.Completion, 4)
	if n, err := q.Reap(done, 0, 0); n != 0 || err != nil {
		t.Fatalf("%d of 3 blocked requests came back: %v", n, err)
	}
	if n, err := q.Reap(done, 1, time.Millisecond); n != 0 || err != nil {
		t.Fatalf("%d of 3 blocked requests came back: %v", n, err)
	}
	reap := func(want ...engine.Completion) {
		t.Helper()
		var got []engine.Completion
		if !testlab.Eventually(10*time.Second, func() bool {
			n, err := q.Reap(done, 1, 100*time.Millisecond) // a signal may end a wait early
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, done[:n]...)
			return len(got) >= len(want)
		}) || !slices.Equal(got, want) {
			t.Fatalf("reaped %v, want %v", got, want)
		}
	}
	gates[1] <- struct{}{}
	reap(engine.Completion{Slot: 1, Result: 101})
	gates[3] <- struct{}{}
	if n, err := q.Submit(requests(3)); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	reap(engine.Completion{Slot: 3, Result: 103})
	gates[2] <- struct{}{}
	reap(engine.Completion{Slot: 2, Result: 102})
	gates[0] <- struct{}{}
	reap(engine.Completion{Slot: 0, Result: 100})
	if c := q.Counters(); c.Syscalls < 4000 {
		t.Errorf("counters %+v leave out those of the threads", c)
	}
	ids := q.ThreadIDs()
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 4 || slices.Contains(ids, 0) {
		t.Errorf("threads %v", ids)
	}
	if err := q.Close(); err != nil || closed.Load() != 4 {
		t.Errorf("closed %d of 4 queues, %v", closed.Load(), err)
	}
}

func TestCloseWaitsForWhatIsInFlight(t *testing.T) {
	q, gates, closed := gated(t, 2, nil)
	if _, err := q.Submit(requests(0, 1)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- q.Close() }()
	select {
	case <-ended:
		t.Fatal("closed with two requests in flight")
	case <-time.After(20 * time.Millisecond):
	}
	for _, g := range gates {
		g <- struct{}{}
	}
	if err := <-ended; err != nil || closed.Load() != 2 {
		t.Errorf("closed %d of 2 queues, %v", closed.Load(), err)
	}
}

func TestAFailingQueueFailsTheWorker(t *testing.T) {
	broken := errors.New("broken")
	q, gates, _ := gated(t, 2, broken)
	if _, err := q.Submit(requests(1)); err != nil {
		t.Fatal(err)
	}
	gates[1] <- struct{}{}
	done := make([]engine.Completion, 2)
	if !testlab.Eventually(10*time.Second, func() bool {
		n, err := q.Reap(done, 1, 100*time.Millisecond)
		if err == nil {
			return false
		}
		if !errors.Is(err, broken) || n == 1 && done[0] != (engine.Completion{Slot: 1, Result: -int32(syscall.EIO)}) {
			t.Errorf("%v, %v", done[:n], err)
		}
		return true
	}) {
		t.Error("the worker does not hear of it")
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

func TestAQueueThatCannotBeMade(t *testing.T) {
	broken, closed := errors.New("broken"), new(atomic.Int32)
	for _, o := range []offload.Options{
		{Setup: func() error { return broken }},
		{Open: func(slot int, _ engine.Config) (engine.Queue, error) {
			if slot == 2 {
				return nil, broken
			}
			return &gate{closed: closed}, nil
		}},
	} {
		o.Config.Depth = 4
		if _, err := offload.New(o); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
	if closed.Load() != 3 {
		t.Errorf("closed %d of 3 queues", closed.Load())
	}
}

func TestThreadsAreSetUpAndTheirTimeIsCounted(t *testing.T) {
	allowed, err := cpu.Affinity()
	if err != nil {
		t.Fatal(err)
	}
	last := allowed[len(allowed)-1:]
	q, err := offload.New(offload.Options{
		Config: engine.Config{Depth: 2},
		Setup:  func() error { return cpu.SetAffinity(last) },
		Open: func(_ int, c engine.Config) (engine.Queue, error) {
			if got, err := cpu.Affinity(); err != nil || !slices.Equal(got, last) {
				t.Errorf("a thread runs on CPUs %v, %v; want %v", got, err, last)
			}
			return null.New(c), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	done, reqs := make([]engine.Completion, 2), requests(0, 1)
	turn := func() {
		if n, err := q.Submit(reqs); n != 2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		for got := 0; got < 2; {
			n, err := q.Reap(done, 1, -1)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}
	if n := testing.AllocsPerRun(200, turn); n != 0 {
		t.Errorf("%v allocations per turn", n)
	}
	if u := q.Usage(); u.UserNS+u.SysNS <= 0 || u.VoluntarySwitches == 0 {
		t.Errorf("usage %+v of threads that slept and woke hundreds of times", u)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}
