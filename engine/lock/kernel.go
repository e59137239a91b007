package lock

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/kernel/futex"
	"github.com/blkmeter/blkmeter/internal/kernel/sysv"
)

// futexLock is the three-state mutex of Drepper, "Futexes Are Tricky" (2011), section 6: free, held, held
// with sleepers. A newcomer may overtake a sleeper that was just woken, which is what keeps it fast.
type futexLock struct {
	common
	word *atomic.Uint32
}

const (
	futexFree     = 0
	futexHeld     = 1
	futexSleepers = 2       // held, and somebody may sleep
	futexStopped  = 1 << 31 // set by Stop, so that nobody can fall asleep after it
)

func (l *futexLock) Lock(*Holder) error {
	if l.word.CompareAndSwap(futexFree, futexHeld) {
		return nil
	}
	spinWhile(l.word)
	if l.word.CompareAndSwap(futexFree, futexHeld) {
		return nil
	}
	for {
		// From here on the word says "sleepers" when this thread gets it: others may sleep still.
		switch v := l.word.Load(); {
		case v&futexStopped != 0:
			return ErrStopped
		case v == futexFree:
			if l.word.CompareAndSwap(futexFree, futexSleepers) {
				return nil
			}
		case v == futexSleepers || l.word.CompareAndSwap(futexHeld, futexSleepers):
			futex.Wait(l.word, futexSleepers) // woken, interrupted or too late: look again in any case
		}
	}
}

func (l *futexLock) Unlock(*Holder) {
	switch l.word.And(futexStopped) &^ futexStopped {
	case futexFree:
		panic("lock: unlock of a free futex lock")
	case futexSleepers:
		futex.Wake(l.word, 1)
	}
}

func (l *futexLock) Stop() {
	l.common.Stop()
	l.word.Or(futexStopped)
	futex.Wake(l.word, math.MaxInt32)
}

// piLock is the priority-inheriting futex: the word holds the owner's thread id, and when it is contended
// the kernel hands it straight to the most urgent waiter. Nobody can overtake, which bounds priority
// inversion and costs a context switch per handover.
type piLock struct {
	common
	word *atomic.Uint32
}

func (l *piLock) Lock(h *Holder) error {
	if l.stopped.Load() != 0 {
		return ErrStopped
	}
	if l.word.CompareAndSwap(0, h.threadID) {
		return nil
	}
	for {
		switch errno := futex.LockPI(l.word); errno {
		case 0:
			if l.stopped.Load() != 0 { // meanwhile
				l.Unlock(h)
				return ErrStopped
			}
			return nil
		case syscall.EINTR, syscall.EAGAIN:
			if l.stopped.Load() != 0 {
				return ErrStopped
			}
		default:
			return errno
		}
	}
}

func (l *piLock) Unlock(h *Holder) {
	if l.word.CompareAndSwap(h.threadID, 0) {
		return
	}
	for {
		switch errno := futex.UnlockPI(l.word); errno {
		case 0:
			return
		case syscall.EINTR, syscall.EAGAIN:
		default:
			panic(fmt.Sprintf("lock: unlock of a pi futex by thread %d, which does not own it: %v", h.threadID, errno))
		}
	}
}

// sysvLock is a semaphore set of one: every operation enters the kernel, contended or not.
type sysvLock struct {
	common
	set        recorded
	take, give sysv.Operation
	remove     sync.Once
	removeErr  error
}

func newSysV(c common, stateDir string) (*sysvLock, error) {
	set, err := createRecorded(stateDir)
	if err != nil {
		return nil, err
	}
	l := &sysvLock{common: c, set: set, take: sysv.Operation{Delta: -1}, give: sysv.Operation{Delta: 1}}
	if err := sysv.SetValue(set.id, 1); err != nil {
		l.removeSet()
		return nil, err
	}
	return l, nil
}

func (l *sysvLock) Lock(*Holder) error {
	for {
		switch errno := sysv.Do(l.set.id, &l.take); errno {
		case 0:
			return nil
		case syscall.EINTR: // semop is never restarted by the kernel
		case syscall.EIDRM, syscall.EINVAL:
			return ErrStopped
		default:
			return errno
		}
	}
}

func (l *sysvLock) Unlock(*Holder) {
	for {
		switch errno := sysv.Do(l.set.id, &l.give); errno {
		case 0, syscall.EIDRM, syscall.EINVAL:
			return
		case syscall.EINTR:
		default:
			panic(fmt.Sprintf("lock: unlock of semaphore set %d: %v", l.set.id, errno))
		}
	}
}

// Stop removes the set, which wakes every waiter.
func (l *sysvLock) Stop() {
	l.common.Stop()
	l.removeSet()
}

func (l *sysvLock) Close() error {
	l.removeSet()
	if err := l.common.Close(); err != nil {
		return err
	}
	return l.removeErr
}

func (l *sysvLock) removeSet() {
	l.remove.Do(func() { l.removeErr = l.set.remove() })
}

// mutexLock is Go's own mutex. It parks goroutines, not threads.
type mutexLock struct {
	common
	mu sync.Mutex
}

func (l *mutexLock) Lock(*Holder) error {
	l.mu.Lock()
	if l.stopped.Load() != 0 {
		l.mu.Unlock()
		return ErrStopped
	}
	return nil
}

func (l *mutexLock) Unlock(*Holder) { l.mu.Unlock() }
