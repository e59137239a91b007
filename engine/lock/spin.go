package lock

import (
	"sync/atomic"

	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
)

// ttasLock is test-and-test-and-set: waiters read until the word looks free, then race for it. The winner is
// whoever runs, which is unfair and, when threads outnumber CPUs, a blessing.
type ttasLock struct {
	common
	word *atomic.Uint32 // 0 free, 1 held
}

func (l *ttasLock) Lock(*Holder) error {
	if l.stopped.Load() != 0 {
		return ErrStopped
	}
	for spins := uint32(0); ; spins++ {
		if l.word.Load() == 0 && l.word.CompareAndSwap(0, 1) {
			return nil
		}
		if !l.pause(spins) {
			return ErrStopped
		}
	}
}

func (l *ttasLock) Unlock(*Holder) {
	if l.word.Swap(0) == 0 {
		panic("lock: unlock of a free ttas lock")
	}
}

// ticketLock serves in order of arrival: the next owner is fixed, whether it is running or not. Tickets wrap
// around safely, since they are only compared for equality.
type ticketLock struct {
	common
	next    *atomic.Uint32 // the ticket for the next to come
	serving *atomic.Uint32 // the ticket that owns the lock
}

func (l *ticketLock) Lock(*Holder) error {
	if l.stopped.Load() != 0 {
		return ErrStopped
	}
	mine := l.next.Add(1) - 1
	for spins := uint32(0); l.serving.Load() != mine; spins++ {
		if !l.pause(spins) {
			return ErrStopped // leaves a gap in the line; nobody is served any more
		}
	}
	return nil
}

func (l *ticketLock) Unlock(*Holder) {
	if l.serving.Load() == l.next.Load() {
		panic("lock: unlock of a free ticket lock")
	}
	l.serving.Add(1)
}

// mcsLock is the queue lock of Mellor-Crummey and Scott (ACM TOCS 9(1), 1991): waiters form a list, and each
// spins on its own node until its predecessor hands over. Nodes are named by slot+1, 0 is none, so that the
// list holds no Go pointers.
type mcsLock struct {
	common
	tail  *atomic.Uint32 // the last in line
	nodes []*words       // per holder: a is the next in line, b is 1 while it waits
}

func (l *mcsLock) Lock(h *Holder) error {
	if l.stopped.Load() != 0 {
		return ErrStopped
	}
	node, me := l.nodes[h.slot], uint32(h.slot+1)
	node.a.Store(0)
	node.b.Store(1)
	before := l.tail.Swap(me)
	if before == 0 {
		return nil
	}
	l.nodes[before-1].a.Store(me)
	for spins := uint32(0); node.b.Load() != 0; spins++ {
		if !l.pause(spins) {
			return ErrStopped // the node stays in the list; nobody is served any more
		}
	}
	return nil
}

func (l *mcsLock) Unlock(h *Holder) {
	node, me := l.nodes[h.slot], uint32(h.slot+1)
	next := node.a.Load()
	if next == 0 {
		if l.tail.CompareAndSwap(me, 0) {
			return
		}
		if l.tail.Load() == 0 {
			panic("lock: unlock of a free mcs lock")
		}
		// Somebody swapped itself in and is about to say who it is.
		for spins := uint32(0); ; spins++ {
			if next = node.a.Load(); next != 0 {
				break
			}
			if !l.pause(spins) {
				return
			}
		}
	}
	l.nodes[next-1].b.Store(0)
}

// spinBeforeSleep bounds the polite spinning of the futex lock: long enough for a critical section of some
// hundred nanoseconds to end, much shorter than a trip into the kernel and back.
const spinBeforeSleep = 20

// spinWhile pauses while the word is not free, a bounded number of times.
func spinWhile(word *atomic.Uint32) {
	for range spinBeforeSleep {
		if word.Load() == 0 {
			return
		}
		cpu.Pause(1)
	}
}
