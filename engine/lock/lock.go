// Package lock holds the seven locks that a shared submission queue can hide behind: two that the kernel
// arbitrates (System V semaphore, priority-inheriting futex), two that enter the kernel only when contended
// (futex, Go's own mutex), and three that only spin (test-and-test-and-set, ticket, MCS).
//
// They exist to be compared, so they are written the way their names promise, not the way a production lock
// would be: the spinning ones spin without end unless told to yield. The single safety they share is Stop.
//
// Words live off the Go heap, one per pair of cache lines. Lock and Unlock allocate nothing. A lock uses
// sync/atomic, which is sequentially consistent: right everywhere, and dearer than acquire and release on
// arm64, so nanoseconds must not be compared across architectures.
package lock

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
)

// Lock is mutual exclusion between holders.
//
// Lock waits until the holder owns the lock. An error says that it does not own it and never will:
// [ErrStopped] after Stop, or the kernel's error. Unlock must be called by the owner; unlocking what is not
// owned panics where the lock can tell.
//
// Stop ends the lock's life: spinning, futex and SysV waiters return ErrStopped at once, the others as soon
// as the owner unlocks; later calls of Lock return ErrStopped. An owner may still unlock. Stop may be called
// from anywhere, often, until Close.
//
// Close frees the lock. No holder may use it any more. Closing twice is harmless.
type Lock interface {
	Lock(h *Holder) error
	Unlock(h *Holder)
	Stop()
	Close() error
}

// ErrStopped is returned by Lock once the lock was stopped.
var ErrStopped = errors.New("the lock was stopped")

// Holder is one thread that uses a lock. It is made on that thread, after [runtime.LockOSThread]: the
// priority-inheriting futex knows its owner by thread id.
type Holder struct {
	slot     int    // which of the lock's queue nodes is this thread's
	threadID uint32 // as the kernel names it
}

// NewHolder returns the calling thread's handle. Every user of a lock has a slot of its own, from 0 to
// Options.Holders-1. A holder may use several locks, one at a time each.
func NewHolder(slot int) *Holder {
	return &Holder{slot: slot, threadID: uint32(cpu.ThreadID())}
}

// Options says how a lock is to be built.
type Options struct {
	Holders    int           // how many threads will use it; 1 or more
	YieldAfter uint32        // a spinning lock calls sched_yield after every so many spins; 0: never
	MaxSpins   uint32        // a waiter of a spinning lock that spun so often gives up and stops the lock; 0: never
	MaxLife    time.Duration // the lock stops itself after this long, so that no spinner outlives its experiment; 0: never
	StateDir   string        // where a SysV lock records its semaphore set until it has removed it; see [StateDir]
}

// Kind describes a kind of lock to a person.
type Kind struct {
	Name        string // as in --queue-lock
	Title       string
	Waits       string // how waiters pass the time
	FIFO        bool   // waiters are served strictly in the order they came
	Counterpart string // what the kernel has that behaves like it
}

// Kinds lists the kinds of lock, dearest entry to the kernel first. The list is the caller's to keep.
func Kinds() []Kind {
	return []Kind{
		{
			"sysv", "System V semaphore", "sleeps in the kernel", false,
			"semaphore: sleeps, knows no owner, so it can lend nobody a priority",
		},
		{
			"futex", "futex mutex", "spins briefly, then sleeps", false,
			"mutex: fast path in one atomic, the kernel only when contended",
		},
		{
			"pi", "priority-inheriting futex", "sleeps, lends the owner its priority", false,
			"rt_mutex, which is what spinlock_t is on PREEMPT_RT; raw_spinlock_t stays spinning",
		},
		{
			"ttas", "test-and-test-and-set", "spins", false,
			"the old x86 spinlock: whoever sees it free first gets it",
		},
		{
			"ticket", "ticket lock", "spins", true,
			"the spinlock of Linux 2.6.25 to 4.1: first come, first served",
		},
		{
			"mcs", "MCS queue lock", "spins on a word of its own", true,
			"the slow path of qspinlock: each waiter on its own cache line",
		},
		{
			"mutex", "Go sync.Mutex", "spins briefly, then parks the goroutine", false,
			"none: the Go scheduler arbitrates",
		},
	}
}

// Names lists the kinds' names in the order of Kinds.
func Names() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// New returns a lock of that kind. It fails when there is no such kind or when the kernel refuses memory or
// a semaphore.
func New(kind string, o Options) (Lock, error) {
	if !slices.Contains(Names(), kind) {
		return nil, fmt.Errorf("no lock is called %q: the kinds are %v", kind, Names())
	}
	if o.Holders < 1 {
		return nil, fmt.Errorf("a %s lock for %d holders", kind, o.Holders)
	}
	// Words 0 and 1 are the lock's, then the stop flag, then one node for each holder.
	arena, words, err := mem.Slots[words](3 + o.Holders)
	if err != nil {
		return nil, fmt.Errorf("making a %s lock: %w", kind, err)
	}
	c := common{arena: arena, stopped: &words[2].a, yieldAfter: o.YieldAfter, maxSpins: o.MaxSpins, born: time.Now(), life: o.MaxLife}
	first, second := &words[0].a, &words[1].a
	var l Lock
	switch kind {
	case "sysv":
		l, err = newSysV(c, o.StateDir)
		if err != nil {
			return nil, errors.Join(err, arena.Unmap())
		}
	case "futex":
		l = &futexLock{common: c, word: first}
	case "pi":
		l = &piLock{common: c, word: first}
	case "ttas":
		l = &ttasLock{common: c, word: first}
	case "ticket":
		l = &ticketLock{common: c, next: first, serving: second}
	case "mcs":
		l = &mcsLock{common: c, tail: first, nodes: words[3:]}
	case "mutex":
		l = &mutexLock{common: c}
	}
	l = annotate(l)
	if o.MaxLife > 0 {
		l = newMortal(l, o.MaxLife)
	}
	return l, nil
}

// words is what fits one slot of the arena: an MCS node uses both, everything else the first.
type words struct{ a, b atomic.Uint32 }

// common is what every lock has.
type common struct {
	arena      *mem.Arena
	stopped    *atomic.Uint32
	yieldAfter uint32
	maxSpins   uint32
	born       time.Time
	life       time.Duration
}

func (c *common) Stop() { c.stopped.Store(1) }

func (c *common) Close() error { return c.arena.Unmap() }

// pause passes one round of waiting, the spins'th, and says whether to go on.
func (c *common) pause(spins uint32) bool {
	if c.yieldAfter > 0 && spins%c.yieldAfter == c.yieldAfter-1 {
		cpu.Yield()
	} else {
		cpu.Pause(1)
	}
	// A spinner looks after its own end as well: under a real-time priority it can keep the CPU from whoever
	// should run the watchdog.
	if c.life > 0 && spins%1024 == 1023 && time.Since(c.born) > c.life {
		c.stopped.Store(1)
	}
	if c.maxSpins > 0 && spins >= c.maxSpins {
		c.stopped.Store(1)
	}
	return c.stopped.Load() == 0
}

// mortal is a lock with a watchdog.
type mortal struct {
	inner    Lock
	watchdog *time.Timer
	fired    chan struct{} // closed when the watchdog has stopped the lock
	close    sync.Once
}

func newMortal(l Lock, life time.Duration) *mortal {
	m := &mortal{inner: l, fired: make(chan struct{})}
	m.watchdog = time.AfterFunc(life, func() { l.Stop(); close(m.fired) })
	return m
}

func (m *mortal) Lock(h *Holder) error { return m.inner.Lock(h) }
func (m *mortal) Unlock(h *Holder)     { m.inner.Unlock(h) }
func (m *mortal) Stop()                { m.inner.Stop() }

// Close waits for a watchdog that is at work: it touches the words that Close unmaps.
func (m *mortal) Close() (err error) {
	m.close.Do(func() {
		if !m.watchdog.Stop() {
			<-m.fired
		}
		err = m.inner.Close()
	})
	return err
}
