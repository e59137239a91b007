package shared

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/lock"
)

// slowQueue finishes requests in the order they came, some time after they were submitted, as a device does.
// One thread may submit while another reaps; what was filled, any thread may enter.
type slowQueue struct {
	t        *testing.T
	work     chan engine.Completion
	filled   chan engine.Completion
	inSubmit atomic.Int32
	inReap   atomic.Int32
}

func (q *slowQueue) Submit(reqs []engine.Request) (int, error) {
	if q.inSubmit.Add(1) != 1 {
		q.t.Error("two threads are in Submit")
	}
	for _, r := range reqs {
		q.work <- engine.Completion{Slot: r.Slot, Result: int32(r.Length)}
	}
	q.inSubmit.Add(-1)
	return len(reqs), nil
}

func (q *slowQueue) Fill(reqs []engine.Request) (int, error) {
	if q.inSubmit.Add(1) != 1 {
		q.t.Error("two threads are in Fill")
	}
	for _, r := range reqs {
		q.filled <- engine.Completion{Slot: r.Slot, Result: int32(r.Length)}
	}
	q.inSubmit.Add(-1)
	return len(reqs), nil
}

func (q *slowQueue) Enter(n int) error {
	for range n {
		q.work <- <-q.filled
	}
	return nil
}

func (q *slowQueue) Reap(done []engine.Completion, min int, _ time.Duration) (int, error) {
	if q.inReap.Add(1) != 1 {
		q.t.Error("two threads are in Reap")
	}
	defer q.inReap.Add(-1)
	n := 0
	for n < len(done) {
		if n >= min {
			select {
			case done[n] = <-q.work:
				n++
				continue
			default:
				return n, nil
			}
		}
		done[n] = <-q.work
		n++
	}
	return n, nil
}

func (q *slowQueue) Counters() engine.Counters { return engine.Counters{Syscalls: 1} }
func (q *slowQueue) Close() error              { return nil }

// Every member gets back exactly its own requests, however the lead changes hands, and nobody is left
// waiting.
func TestEveryMemberGetsItsOwn(t *testing.T) {
	type way struct {
		kind    string
		variant Variant
	}
	var ways []way
	for _, kind := range lock.Names() {
		ways = append(ways, way{kind, ""})
	}
	for _, v := range []Variant{U1, U2, U2C, U3} {
		ways = append(ways, way{"futex", v})
	}
	for _, w := range ways {
		t.Run(w.kind+" "+string(w.variant), func(t *testing.T) {
			const members, depth, turns = 3, 4, 200
			inner := &slowQueue{
				t: t, work: make(chan engine.Completion, members*depth), filled: make(chan engine.Completion, members*depth),
			}
			clock := time.Now()
			q, err := New(Options{
				Lock: w.kind, Variant: w.variant, HoldNS: 500, Members: members, Config: engine.Config{Depth: depth, BlockBytes: 512}, StateDir: t.TempDir(),
				Now:  func() int64 { return int64(time.Since(clock)) },
				Open: func(engine.Config) (engine.Queue, error) { return inner, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(members + 2))
			var all sync.WaitGroup
			for k := range members {
				all.Add(1)
				go func() {
					defer all.Done()
					runtime.LockOSThread()
					m, err := q.Join(k)
					if err != nil {
						t.Error(err)
						return
					}
					done := make([]engine.Completion, depth)
					for turn := range turns {
						n := turn%depth + 1
						var reqs []engine.Request
						for s := range uint32(n) {
							reqs = append(reqs, engine.Request{Slot: s, Length: uint32(1000*k + turn)})
						}
						if got, err := m.Submit(reqs); got != n || err != nil {
							t.Errorf("member %d: submitted %d of %d: %v", k, got, n, err)
							return
						}
						seen := 0
						for got := 0; got < n; {
							c, err := m.Reap(done, 1, -1)
							if err != nil {
								t.Errorf("member %d: %v", k, err)
								return
							}
							for _, c := range done[:c] {
								if c.Result != int32(1000*k+turn) || seen>>c.Slot&1 == 1 {
									t.Errorf("member %d, turn %d: slot %d came back with %d", k, turn, c.Slot, c.Result)
								}
								seen |= 1 << c.Slot
							}
							got += c
						}
					}
					least, most := uint64(2*turns), uint64(1<<63)
					if w.variant == U1 || w.variant == U2 { // the lock is submission's alone
						least, most = turns, turns
					}
					if c := m.Counters(); c.LockAcquires < least || c.LockAcquires > most {
						t.Errorf("member %d took the lock %d times in %d turns", k, c.LockAcquires, turns)
					}
				}()
			}
			all.Wait()
		})
	}
}

// A queue that breaks while a member is parked does not leave it waiting.
func TestABrokenQueueWakesEverybody(t *testing.T) {
	broken := errors.New("gone")
	release := make(chan struct{})
	q, err := New(Options{
		Lock: "mutex", Members: 2, Config: engine.Config{Depth: 1, BlockBytes: 512}, Now: func() int64 { return 0 },
		Open: func(engine.Config) (engine.Queue, error) { return &brokenQueue{release: release, err: broken}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	errs := make(chan error, 2)
	for k := range 2 {
		go func() {
			runtime.LockOSThread()
			m, err := q.Join(k)
			if err == nil {
				_, err = m.Reap(make([]engine.Completion, 1), 1, -1)
			}
			errs <- err
		}()
	}
	close(release)
	for range 2 {
		select {
		case err := <-errs:
			if !errors.Is(err, broken) {
				t.Errorf("got %v, want %v", err, broken)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a member still waits")
		}
	}
}

type brokenQueue struct {
	release chan struct{}
	err     error
}

func (q *brokenQueue) Submit([]engine.Request) (int, error) { return 0, q.err }
func (q *brokenQueue) Reap([]engine.Completion, int, time.Duration) (int, error) {
	<-q.release
	return 0, q.err
}
func (q *brokenQueue) Counters() engine.Counters { return engine.Counters{} }
func (q *brokenQueue) Close() error              { return nil }

// heldQueue finishes what the test says, when it says so.
type heldQueue struct{ finished chan engine.Completion }

func (q *heldQueue) Submit(reqs []engine.Request) (int, error) { return len(reqs), nil }
func (q *heldQueue) Reap(done []engine.Completion, _ int, timeout time.Duration) (int, error) {
	var over <-chan time.Time
	if timeout >= 0 {
		over = time.After(timeout)
	}
	select {
	case done[0] = <-q.finished:
		return 1, nil
	case <-over:
		return 0, nil
	}
}
func (q *heldQueue) Counters() engine.Counters { return engine.Counters{} }
func (q *heldQueue) Close() error              { return nil }

// A wait that is limited ends in time, parked behind a leader and as the leader whom others' completions keep busy:
// whose arrivals are paced has something else to do then.
func TestLimitedWaits(t *testing.T) {
	for _, variant := range []Variant{U2, U2C} {
		synctest.Test(t, func(t *testing.T) {
			inner := &heldQueue{finished: make(chan engine.Completion)}
			began := time.Now()
			q, err := New(Options{
				Lock: "mutex", Variant: variant, Members: 3, Config: engine.Config{Depth: 1, BlockBytes: 512},
				Now:  func() int64 { return int64(time.Since(began)) },
				Open: func(engine.Config) (engine.Queue, error) { return inner, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			reap := func(k int, timeout time.Duration) <-chan int {
				got := make(chan int, 1)
				m, err := q.Join(k)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					n, err := m.Reap(make([]engine.Completion, 1), 1, timeout)
					if err != nil {
						t.Error(err)
					}
					got <- n
				}()
				synctest.Wait()
				return got
			}
			ended := func(who string, got <-chan int, n int, at time.Duration) {
				t.Helper()
				if k := <-got; k != n || time.Since(began) != at {
					t.Errorf("%s, the %s reaped %d after %v, want %d after %v", variant, who, k, time.Since(began), n, at)
				}
			}
			const ms = time.Millisecond
			leader := reap(0, 10*ms)
			parked, patient := reap(1, 4*ms), reap(2, -1)
			ended("parked one", parked, 0, 4*ms)
			for range 3 {
				<-time.After(ms)
				inner.finished <- engine.Completion{Slot: 1}
			}
			ended("leader", leader, 0, 10*ms)
			<-time.After(ms)
			inner.finished <- engine.Completion{Slot: 2} // the lead was handed on
			ended("patient one", patient, 1, 11*ms)
			if late := reap(1, 0); <-late != 1 {
				t.Errorf("%s: what was delivered meanwhile is gone", variant)
			}
		})
	}
}

// What is longest is that of the measured window, whatever the ramp saw.
func TestLongestTimesAreMeasured(t *testing.T) {
	now := int64(1000)
	q, err := New(Options{
		Lock: "mutex", Members: 1, Config: engine.Config{Depth: 1, BlockBytes: 512}, Now: func() int64 { now += 10; return now },
		Open: func(engine.Config) (engine.Queue, error) { return &brokenQueue{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	m, err := q.Join(0)
	if err != nil {
		t.Fatal(err)
	}
	pass := func() {
		if err := m.acquire(); err != nil {
			t.Fatal(err)
		}
		m.release()
	}
	pass()
	now += 5000
	pass()
	if c := m.Counters(); c.LockGapMaxNS < 5000 {
		t.Errorf("in the ramp: %+v", c)
	}
	now += 5000
	m.Measure()
	pass()
	if c := m.Counters(); c.LockWaitMaxNS != 10 || c.LockGapMaxNS != 20 || c.LockAcquires != 3 {
		t.Errorf("in the window: %+v", c)
	}
}

// u3 holds the lock for so long per request that others get through no faster.
func TestHoldingLonger(t *testing.T) {
	const hold, depth = int64(200 * time.Microsecond), 4
	for _, c := range []struct {
		variant Variant
		least   time.Duration
	}{{U2C, 0}, {U3, depth * time.Duration(hold)}} {
		clock := time.Now()
		q, err := New(Options{
			Lock: "mutex", Variant: c.variant, HoldNS: hold, Members: 1, Config: engine.Config{Depth: depth, BlockBytes: 512},
			Now: func() int64 { return int64(time.Since(clock)) },
			Open: func(engine.Config) (engine.Queue, error) {
				return &slowQueue{t: t, work: make(chan engine.Completion, depth)}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		m, err := q.Join(0)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if n, err := m.Submit(make([]engine.Request, depth)); n != depth || err != nil {
			t.Errorf("%s: submitted %d: %v", c.variant, n, err)
		}
		if took := time.Since(start); took < c.least {
			t.Errorf("%s: %v, want %v or more", c.variant, took, c.least)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A queue that cannot submit in two halves is refused as u1, not silently run as something else.
func TestU1NeedsAQueueThatComesApart(t *testing.T) {
	q, err := New(Options{
		Lock: "mutex", Variant: U1, Members: 1, Config: engine.Config{Depth: 1, BlockBytes: 512}, Now: func() int64 { return 0 },
		Open: func(engine.Config) (engine.Queue, error) { return &brokenQueue{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if _, err := q.Join(0); err == nil {
		t.Error("it was taken")
	}
}
