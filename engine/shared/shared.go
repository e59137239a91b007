// Package shared puts many submitters on one queue behind one lock, as the kernel's block layer did before
// blk-mq: one request_queue, one queue_lock, every CPU at it.
//
// What it shows is what such a lock costs in userspace, in front of today's kernel; below the queue the
// kernel is the same as with private queues. The lock is held while requests are handed to the kernel (the
// old layer held it around insertion) and again while completions are handed to their owners (the old
// layer took it in completion, too).
//
// Waiting for completions is not done under the lock, since nobody could submit meanwhile. One member at a
// time, the leader, waits in the kernel and delivers what it finds; the others park until they are
// delivered something or the lead is free.
package shared

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
)

// Sentence is printed with every figure of a shared queue.
const Sentence = "this measures a userspace lock in front of the kernel; the kernel itself has no single-queue path any more"

// Options say what is shared by whom.
type Options struct {
	Lock     string        // a name of lock.Names
	Members  int           // how many submitters will join
	Config   engine.Config // of one member: Depth slots each, so that the tags in total equal those of private queues
	StateDir string        // where a SysV semaphore is recorded until it is removed
	Now      func() int64  // the run's clock, nanoseconds
	Open     func(engine.Config) (engine.Queue, error)
}

// Queue is the one queue.
type Queue struct {
	o       Options
	lock    lock.Lock
	arena   *mem.Arena
	config  engine.Config // of the inner queue
	once    sync.Once
	inner   engine.Queue
	openErr error

	members []*Member
	leads   atomic.Int32        // index+1 of the member that waits in the kernel; 0 none
	found   []engine.Completion // the leader's
	broken  atomic.Pointer[error]
}

// New makes the queue; it opens the inner one when the first member joins, on that member's thread.
func New(o Options) (*Queue, error) {
	l, err := lock.New(o.Lock, lock.Options{Holders: o.Members, StateDir: o.StateDir})
	if err != nil {
		return nil, err
	}
	q := &Queue{o: o, lock: l, config: o.Config, members: make([]*Member, o.Members)}
	q.config.Depth = o.Config.Depth * o.Members
	q.config.Shared = true
	if q.arena, err = mem.Map(q.config.Depth*q.config.BlockBytes, mem.Options{}); err != nil {
		l.Close()
		return nil, fmt.Errorf("mapping the shared queue's buffers: %w", err)
	}
	q.config.Buffers = q.arena.Bytes()
	q.found = make([]engine.Completion, q.config.Depth)
	for i := range q.members {
		q.members[i] = &Member{
			queue: q, index: i, base: uint32(i * o.Config.Depth),
			reqs: make([]engine.Request, o.Config.Depth), box: make([]engine.Completion, 0, o.Config.Depth),
			wake: make(chan struct{}, 1),
		}
	}
	return q, nil
}

// Buffers returns the memory of one member's slots.
func (q *Queue) Buffers(member int) []byte {
	size := q.o.Config.Depth * q.o.Config.BlockBytes
	return q.config.Buffers[member*size : (member+1)*size : (member+1)*size]
}

// Join makes the calling thread a member. It must be locked to its goroutine for good.
func (q *Queue) Join(member int) (*Member, error) {
	q.once.Do(func() { q.inner, q.openErr = q.o.Open(q.config) })
	if q.openErr != nil {
		return nil, q.openErr
	}
	m := q.members[member]
	m.holder = lock.NewHolder(member)
	return m, nil
}

// Counters returns what the inner queue counted for all members. None may use the queue any more.
func (q *Queue) Counters() engine.Counters {
	if q.inner == nil {
		return engine.Counters{}
	}
	return q.inner.Counters()
}

// Close frees the inner queue, the lock and the buffers. No member may use them any more.
func (q *Queue) Close() error {
	var err error
	if q.inner != nil {
		err = q.inner.Close()
	}
	if e := q.lock.Close(); err == nil {
		err = e
	}
	if e := q.arena.Unmap(); err == nil {
		err = e
	}
	return err
}

// Member is one submitter's place at the queue: an engine.Queue of its own Depth slots.
type Member struct {
	queue  *Queue
	holder *lock.Holder
	index  int
	base   uint32 // its first slot in the inner queue
	reqs   []engine.Request
	box    []engine.Completion // delivered and not yet reaped; guarded by the lock
	parked bool                // waits for wake; guarded by the lock
	wake   chan struct{}

	counters engine.Counters
	lastHeld int64
}

// acquire takes the lock and accounts for the waiting.
func (m *Member) acquire() error {
	if err := m.queue.broken.Load(); err != nil {
		return *err
	}
	before := m.queue.o.Now()
	if err := m.queue.lock.Lock(m.holder); err != nil {
		return m.queue.fail(fmt.Errorf("taking the shared queue's lock: %w", err))
	}
	now := m.queue.o.Now()
	m.counters.LockAcquires++
	m.counters.LockWaitNS += now - before
	m.counters.LockWaitMaxNS = max(m.counters.LockWaitMaxNS, now-before)
	if m.lastHeld != 0 {
		m.counters.LockGapMaxNS = max(m.counters.LockGapMaxNS, now-m.lastHeld)
	}
	m.lastHeld = now
	return nil
}

// fail ends the queue for every member: without the lock nobody can hand over the lead any more.
func (q *Queue) fail(err error) error {
	q.broken.CompareAndSwap(nil, &err)
	for _, m := range q.members {
		m.nudge()
	}
	return err
}

// nudge lets a parked member look again.
func (m *Member) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Member) release() { m.queue.lock.Unlock(m.holder) }

// Submit hands requests to the inner queue, holding the lock through the system call.
func (m *Member) Submit(reqs []engine.Request) (int, error) {
	if len(reqs) == 0 {
		return 0, nil
	}
	batch := m.reqs[:copy(m.reqs, reqs)]
	for i := range batch {
		batch[i].Slot += m.base
	}
	if err := m.acquire(); err != nil {
		return 0, err
	}
	n, err := m.queue.inner.Submit(batch)
	m.release()
	return n, err
}

// Reap returns the member's own completions, waiting as the leader or parked behind one. Behind a leader it
// returns with the first that are delivered, even if they are fewer than min.
func (m *Member) Reap(done []engine.Completion, min int, timeout time.Duration) (int, error) {
	q := m.queue
	for {
		if err := m.acquire(); err != nil {
			return 0, err
		}
		n := m.take(done)
		enough := n > 0 && n >= min
		lead := !enough && q.leads.CompareAndSwap(0, int32(m.index+1))
		m.parked = n == 0 && !lead && min > 0
		m.release()
		switch {
		case lead:
			// What was taken already stays taken: wait only for the rest.
			k, err := m.leadFor(done[n:], min-n, timeout)
			return n + k, err
		case n > 0 || min <= 0:
			return n, nil
		}
		<-m.wake // a nudge may be an old one: look again
	}
}

// take moves delivered completions out of the box; the lock is held.
func (m *Member) take(done []engine.Completion) int {
	n := copy(done, m.box)
	m.box = m.box[:copy(m.box, m.box[n:])]
	return n
}

// leadFor waits in the kernel, without the lock, until this member has min completions or the wait ends
// early, and delivers what it finds to whom it belongs. Then it gives up the lead.
func (m *Member) leadFor(done []engine.Completion, min int, timeout time.Duration) (int, error) {
	q, n := m.queue, 0
	atLeast := 1
	if min <= 0 {
		atLeast, timeout = 0, 0
	}
	for {
		k, err := q.inner.Reap(q.found, atLeast, timeout)
		if e := m.acquire(); e != nil {
			return n, e
		}
		for _, c := range q.found[:k] {
			owner := q.members[int(c.Slot)/q.o.Config.Depth]
			c.Slot -= owner.base
			owner.box = append(owner.box, c)
			owner.rouse()
		}
		n += m.take(done[n:])
		if n < min && k > 0 && err == nil {
			m.release()
			continue
		}
		if err != nil {
			m.release()
			return n, q.fail(err)
		}
		q.leads.Store(0)
		// Somebody who is parked must take the lead over, or nobody would deliver to it.
		for i := 1; i < len(q.members); i++ {
			if next := q.members[(m.index+i)%len(q.members)]; next.parked {
				next.rouse()
				break
			}
		}
		m.release()
		return n, err
	}
}

// rouse wakes the member if it is parked; the lock is held.
func (m *Member) rouse() {
	if m.parked {
		m.parked = false
		m.nudge()
	}
}

// Counters returns what this member counted of the lock; the system calls are the queue's.
func (m *Member) Counters() engine.Counters { return m.counters }

// Close leaves the queue; [Queue.Close] frees it.
func (m *Member) Close() error { return nil }
