package lockbench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/kernel/futex"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
)

// Inversion is the classic experiment on one CPU: a low thread (fair scheduler) holds the lock for a little
// work; a middle thread (FIFO 10) that does not want the lock burns the CPU; a high thread (FIFO 20) wants
// the lock. How long does the high one wait? Without priority inheritance: as long as the middle one burns.
type Inversion struct {
	Kind     string
	CPU      int           // all three threads are bound to it; others must be left for the watchdog
	Hold     time.Duration // of the low thread's work under the lock
	Burn     time.Duration // of the middle thread
	Limit    time.Duration // a spinning high thread gives up after it
	StateDir string
}

// DefaultInversion is the experiment of the literature: 200 us of work, 50 ms of burning. A spinning high
// thread gives up after 7 ms, which shows that it is stuck; the Go scheduler must not get the chance to
// preempt a real-time thread, which it does after 10 ms, since its own locks suffer inversion too.
func DefaultInversion(kind string, cpuNumber int) Inversion {
	return Inversion{
		Kind: kind, CPU: cpuNumber,
		Hold: 200 * time.Microsecond, Burn: 50 * time.Millisecond, Limit: 7 * time.Millisecond,
	}
}

// ErrOneCPU refuses the experiment: on the only CPU a spinning real-time thread would lock everything out.
var ErrOneCPU = errors.New("the inversion experiment needs a second CPU for its watchdog")

// Wait is what the high thread saw.
type Wait struct {
	NS      int64
	Limited bool // the watchdog ended the wait; the true one is longer
}

// Measure makes the experiment once. Real-time priorities need CAP_SYS_NICE; the error is EPERM without.
func (x Inversion) Measure(ctx context.Context) (Wait, error) {
	allowed, err := cpu.Affinity()
	if err != nil {
		return Wait{}, err
	}
	if len(allowed) < 2 {
		return Wait{}, ErrOneCPU
	}
	if err := ctx.Err(); err != nil {
		return Wait{}, err
	}
	restore := quiet(3 + 2)
	defer restore()
	arena, words, err := mem.Slots[atomic.Uint32](1)
	if err != nil {
		return Wait{}, err
	}
	defer func() { _ = arena.Unmap() }() // a failure to unmap leaves a page behind and the result right
	pauses := pausesFor(x.Burn)
	o := lock.Options{Holders: 3, StateDir: x.StateDir}
	if spins(x.Kind) {
		o.MaxSpins = pausesFor(x.Limit)
	}
	lk, err := lock.New(x.Kind, o)
	if err != nil {
		return Wait{}, err
	}

	// gate opens once the low thread owns the lock; the others sleep on it until then. The high thread runs
	// first, since it is the most urgent; it finds the lock held and waits, and the middle one takes over.
	gate := words[0]
	var all sync.WaitGroup
	var asleep atomic.Int32
	var wait Wait
	errs := make([]error, 3)
	var ids [3]atomic.Int32
	// Should an experiment hang in spite of all bounds, its threads become ordinary ones; should the Go scheduler
	// not even get to that, the kernel ends the process.
	unlimit, err := cpu.LimitRealTime(40 * x.Burn)
	if err != nil {
		return Wait{}, errors.Join(err, lk.Close())
	}
	defer unlimit()
	failsafe := time.AfterFunc(20*x.Burn, func() {
		for i := range ids {
			if id := int(ids[i].Load()); id != 0 {
				_ = cpu.SetPolicyOf(id, cpu.Policy{}) // the thread may have ended
			}
		}
	})
	defer failsafe.Stop()
	thread := func(i int, policy cpu.Policy, body func(h *lock.Holder) error) {
		all.Go(func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			ids[i].Store(int32(cpu.ThreadID()))
			err := cpu.SetAffinity([]int{x.CPU})
			if err == nil && policy.Class != cpu.Other {
				err = cpu.SetThreadPolicy(policy)
			}
			asleep.Add(1)
			if err == nil {
				err = body(lock.NewHolder(i))
			}
			errs[i] = err
		})
	}
	sleep := func() {
		for gate.Load() == 0 {
			futex.Wait(gate, 0)
		}
	}
	thread(2, cpu.Policy{Class: cpu.FIFO, Priority: 20}, func(h *lock.Holder) error {
		sleep()
		asked := time.Now()
		err := lk.Lock(h)
		wait.NS = int64(time.Since(asked))
		if errors.Is(err, lock.ErrStopped) {
			wait.Limited = true
			return nil
		}
		if err == nil {
			lk.Unlock(h)
		}
		return err
	})
	thread(1, cpu.Policy{Class: cpu.FIFO, Priority: 10}, func(*lock.Holder) error {
		sleep()
		cpu.Pause(pauses) // one call: assembly is never preempted by the Go scheduler
		return nil
	})
	thread(0, cpu.Policy{}, func(h *lock.Holder) error {
		for asleep.Load() < 3 {
			cpu.Yield()
		}
		err := lk.Lock(h)
		gate.Store(1)
		futex.Wake(gate, 2)
		if err != nil {
			return err
		}
		// Work is counted in CPU time: being preempted is not working.
		before, err := cpu.ThreadUsage()
		for now := before; err == nil && now.Sub(before).UserNS+now.Sub(before).SysNS < int64(x.Hold); {
			cpu.Pause(10)
			now, err = cpu.ThreadUsage()
		}
		lk.Unlock(h)
		return err
	})
	all.Wait()
	if err := errors.Join(append(errs, lk.Close())...); err != nil {
		return Wait{}, fmt.Errorf("priority inversion behind a %s lock: %w", x.Kind, err)
	}
	return wait, nil
}

// spins says whether waiters of that kind of lock spin without end.
func spins(kind string) bool { return kind == "ttas" || kind == "ticket" || kind == "mcs" }

// pausesFor returns how many pauses take about d: the fewest of some tries, so rather too long than too short.
func pausesFor(d time.Duration) uint32 {
	const tried = 5000
	best := time.Duration(1 << 62)
	for range 20 {
		from := time.Now()
		cpu.Pause(tried)
		best = min(best, time.Since(from))
	}
	return uint32(float64(d) / float64(best) * tried)
}

// MayInvert says whether this process may make real-time threads.
func MayInvert() bool {
	may := make(chan bool)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		may <- !errors.Is(cpu.SetThreadPolicy(cpu.Policy{Class: cpu.FIFO, Priority: 1}), syscall.EPERM)
	}()
	return <-may
}
