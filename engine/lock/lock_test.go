package lock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
)

// open makes a lock whose traces go with the test.
func open(t *testing.T, kind string, o Options) Lock {
	t.Helper()
	o.StateDir = t.TempDir()
	if o.MaxLife == 0 {
		o.MaxLife = time.Minute
	}
	l, err := New(kind, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		if left, _ := filepath.Glob(filepath.Join(o.StateDir, "*")); len(left) != 0 {
			t.Errorf("records left behind: %v", left)
		}
	})
	return l
}

// onThreads runs work on n threads, each with a holder, and waits for them.
func onThreads(n int, work func(slot int, h *Holder)) {
	var all sync.WaitGroup
	for slot := range n {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			work(slot, NewHolder(slot))
		})
	}
	all.Wait()
}

// procs gives spinning threads processors enough for the test (one Go processor each and two to spare).
func procs(t *testing.T, threads int) {
	before := runtime.GOMAXPROCS(threads + 2)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// TestModel checks every lock against what a lock is: between Lock and Unlock nobody else moves the model,
// which is written without atomics and so falls apart, visibly and to the race detector, if two are inside.
func TestModel(t *testing.T) {
	for _, kind := range Names() {
		for _, threads := range []int{1, 2, 8} {
			for _, yield := range []uint32{0, 50} {
				if yield == 0 && threads > 2 && slices.Contains([]string{"ticket", "mcs"}, kind) {
					continue // a FIFO spinlock with more threads than CPUs needs a time slice per handover
				}
				t.Run(fmt.Sprintf("%s/%d threads/yield %d", kind, threads, yield), func(t *testing.T) {
					procs(t, threads)
					l := open(t, kind, Options{Holders: threads, YieldAfter: yield})
					perThread := 8_000 / threads
					var model struct {
						owner, sum int
						log        []int
					}
					model.owner = -1
					onThreads(threads, func(slot int, h *Holder) {
						for i := range perThread {
							if err := l.Lock(h); err != nil {
								t.Errorf("thread %d: %v", slot, err)
								return
							}
							if model.owner != -1 {
								t.Errorf("thread %d found thread %d inside", slot, model.owner)
							}
							model.owner = slot
							model.sum++
							model.log = append(model.log, slot)
							if i%64 == 0 {
								cpu.Yield() // let others come while the lock is held
							}
							model.owner = -1
							l.Unlock(h)
						}
					})
					if want := perThread * threads; model.sum != want || len(model.log) != want {
						t.Errorf("%d and %d passages, want %d", model.sum, len(model.log), want)
					}
				})
			}
		}
	}
}

// TestNoLostWakeUps hammers the moment of falling asleep: two threads that pass a token to and fro must each
// wake the other every time. A lost wake-up stops the test, and MaxLife turns that into an error.
func TestNoLostWakeUps(t *testing.T) {
	for _, kind := range []string{"sysv", "futex", "pi", "mutex"} {
		t.Run(kind, func(t *testing.T) {
			const threads, passages = 4, 3000
			procs(t, threads)
			l := open(t, kind, Options{Holders: threads})
			onThreads(threads, func(slot int, h *Holder) {
				for range passages {
					if err := l.Lock(h); err != nil {
						t.Errorf("thread %d: %v", slot, err)
						return
					}
					cpu.Pause(100) // longer than the polite spin, so that others sleep
					l.Unlock(h)
				}
			})
		})
	}
}

// TestSignals: a signal wakes a sleeper without giving it the lock. Everybody gets signals all the time.
func TestSignals(t *testing.T) {
	for _, kind := range Names() {
		t.Run(kind, func(t *testing.T) {
			const threads, passages = 3, 500
			procs(t, threads)
			l := open(t, kind, Options{Holders: threads, YieldAfter: 50})
			var ids [threads]atomic.Uint32
			var ended atomic.Bool
			var storm sync.WaitGroup
			storm.Go(func() {
				for !ended.Load() {
					for i := range ids {
						if id := ids[i].Load(); id != 0 {
							_ = syscall.Tgkill(os.Getpid(), int(id), syscall.SIGURG) // the thread may have ended
						}
					}
					runtime.Gosched()
				}
			})
			inside, sum := 0, 0
			onThreads(threads, func(slot int, h *Holder) {
				ids[slot].Store(h.threadID)
				defer ids[slot].Store(0)
				for range passages {
					if err := l.Lock(h); err != nil {
						t.Errorf("thread %d: %v", slot, err)
						return
					}
					inside++
					sum++
					cpu.Pause(100)
					if inside--; inside != 0 {
						t.Errorf("%d others inside", inside)
					}
					l.Unlock(h)
				}
			})
			ended.Store(true)
			storm.Wait()
			if sum != threads*passages {
				t.Errorf("%d passages, want %d", sum, threads*passages)
			}
		})
	}
}

func TestStopEndsWaiting(t *testing.T) {
	for _, kind := range Names() {
		t.Run(kind, func(t *testing.T) {
			const waiters = 3
			procs(t, waiters+1)
			l := open(t, kind, Options{Holders: waiters + 1})
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			me := NewHolder(waiters)
			if err := l.Lock(me); err != nil {
				t.Fatal(err)
			}
			var coming atomic.Int32
			var all sync.WaitGroup
			all.Go(func() {
				onThreads(waiters, func(slot int, h *Holder) {
					coming.Add(1)
					if err := l.Lock(h); !errors.Is(err, ErrStopped) {
						t.Errorf("waiter %d: %v, want ErrStopped", slot, err)
					}
				})
			})
			for coming.Load() < waiters {
				runtime.Gosched()
			}
			l.Stop()
			l.Stop()
			if kind == "pi" || kind == "mutex" {
				l.Unlock(me) // these wait in a line that only the owner can dissolve
				all.Wait()
			} else {
				all.Wait()
				l.Unlock(me)
			}
			if err := l.Lock(me); !errors.Is(err, ErrStopped) {
				t.Errorf("Lock after Stop: %v", err)
			}
		})
	}
}

func TestMaxLifeStopsSpinners(t *testing.T) {
	for _, kind := range []string{"ttas", "ticket", "mcs", "futex", "sysv"} {
		t.Run(kind, func(t *testing.T) {
			procs(t, 2)
			l := open(t, kind, Options{Holders: 2, MaxLife: 5 * time.Millisecond})
			var first atomic.Bool
			onThreads(2, func(slot int, h *Holder) {
				// Whoever comes first keeps the lock; the other would wait for ever.
				err := l.Lock(h)
				if err == nil && !first.CompareAndSwap(false, true) {
					t.Error("both own the lock")
				}
				if err != nil && !errors.Is(err, ErrStopped) {
					t.Error(err)
				}
			})
		})
	}
}

func TestMaxSpinsEndsOneWait(t *testing.T) {
	for _, kind := range []string{"ttas", "ticket", "mcs"} {
		t.Run(kind, func(t *testing.T) {
			procs(t, 2)
			l := open(t, kind, Options{Holders: 2, MaxSpins: 1000})
			var owners atomic.Int32
			onThreads(2, func(_ int, h *Holder) {
				switch err := l.Lock(h); {
				case err == nil:
					owners.Add(1)
				case !errors.Is(err, ErrStopped):
					t.Error(err)
				}
			})
			if n := owners.Load(); n != 1 {
				t.Errorf("%d owners of a lock that nobody gave back", n)
			}
		})
	}
}

func TestUnlockOfAFreeLockPanics(t *testing.T) {
	for _, kind := range []string{"futex", "pi", "ttas", "ticket", "mcs"} {
		t.Run(kind, func(t *testing.T) {
			l := open(t, kind, Options{Holders: 1})
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, "unlock of a") {
					t.Errorf("recovered %q", said)
				}
			}()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			l.Unlock(NewHolder(0))
		})
	}
}

func TestNoAllocations(t *testing.T) {
	for _, kind := range Names() {
		t.Run(kind, func(t *testing.T) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			l := open(t, kind, Options{Holders: 1})
			h := NewHolder(0)
			if n := testing.AllocsPerRun(100, func() {
				if err := l.Lock(h); err != nil {
					t.Error(err)
				}
				l.Unlock(h)
			}); n != 0 {
				t.Errorf("%v allocations for a lock and an unlock", n)
			}
		})
	}
}

func TestTicketsWrapAround(t *testing.T) {
	l := open(t, "ticket", Options{Holders: 2})
	ticket := l
	if m, ok := l.(*mortal); ok {
		ticket = m.inner
	}
	tl, ok := ticket.(*ticketLock)
	if !ok {
		t.Skip("a race build wraps the lock")
	}
	tl.next.Store(^uint32(0) - 100)
	tl.serving.Store(^uint32(0) - 100)
	procs(t, 2)
	sum := 0
	onThreads(2, func(_ int, h *Holder) {
		for range 200 {
			if err := l.Lock(h); err != nil {
				t.Error(err)
				return
			}
			sum++
			l.Unlock(h)
		}
	})
	if sum != 400 {
		t.Errorf("%d passages, want 400", sum)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New("spinlock", Options{Holders: 1}); err == nil || !strings.Contains(err.Error(), "ticket") {
		t.Errorf("an unknown kind: %v; want the list of kinds", err)
	}
	if _, err := New("mcs", Options{}); err == nil {
		t.Error("a lock for nobody was made")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New("sysv", Options{Holders: 1, StateDir: file}); err == nil {
		t.Error("a SysV lock was made that could not be recorded")
	}
}

func TestEveryKindIsDescribed(t *testing.T) {
	for _, k := range Kinds() {
		if k.Name == "" || k.Title == "" || k.Waits == "" || k.Counterpart == "" {
			t.Errorf("%+v lacks a word", k)
		}
	}
}

func BenchmarkUncontended(b *testing.B) {
	for _, kind := range Names() {
		b.Run(kind, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			l, err := New(kind, Options{Holders: 1, StateDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			h := NewHolder(0)
			for b.Loop() {
				if err := l.Lock(h); err != nil {
					b.Fatal(err)
				}
				l.Unlock(h)
			}
		})
	}
}
