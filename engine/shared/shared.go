// Package shared puts many submitters on one queue behind one lock, as the kernel's block layer did before
// blk-mq: one request_queue, one queue_lock, every CPU at it.
//
// What it shows is what such a lock costs in userspace, in front of today's kernel; below the queue the
// kernel is the same as with private queues. How much of the way the lock covers is the [Variant]. As a rule
// it is held while requests are handed to the kernel (the old layer held it around insertion) and again while
// completions are handed to their owners (the old layer took it in completion, too).
//
// Waiting for completions is not done under the lock, since nobody could submit meanwhile. One member at a
// time, the leader, waits in the kernel and delivers what it finds; the others park until they are
// delivered something or the lead is free.
package shared

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
)

// Sentence is printed with every figure of a shared queue.
const Sentence = "this measures a userspace lock in front of the kernel; the kernel itself has no single-queue path any more"

// Variant says what the lock is held for.
type Variant string

const (
	U1  Variant = "u1"  // filling the submission ring; the system call is made without it, by several threads at once
	U2  Variant = "u2"  // filling and the system call; completions are handed over under a mutex of their own
	U2C Variant = "u2c" // that, and handing completions to their owners: nearest to the old block layer
	U3  Variant = "u3"  // as U2C, and Options.HoldNS more for each request
)

// Options say what is shared by whom.
type Options struct {
	Lock     string        // a name of lock.Names
	Variant  Variant       // "" is U2C
	HoldNS   int64         // of U3: how much longer the lock is held for each request submitted, nanoseconds
	Members  int           // how many submitters will join
	Config   engine.Config // of one member: Depth slots each, so that the tags in total equal those of private queues
	Memory   mem.Options   // how the buffers are mapped
	StateDir string        // where a SysV semaphore is recorded until it is removed
	Now      func() int64  // the run's clock, nanoseconds
	Open     func(engine.Config) (engine.Queue, error)
}

// Splitter is a queue whose Submit comes apart, so that only the first half needs the lock.
type Splitter interface {
	engine.Queue
	Fill(reqs []engine.Request) (int, error) // puts requests where the kernel will look; one thread at a time
	Enter(n int) error                       // has the kernel take n of them; from any thread, several at once
}

// Queue is the one queue.
type Queue struct {
	o       Options
	lock    lock.Lock
	arena   *mem.Arena
	config  engine.Config // of the inner queue
	once    sync.Once
	inner   engine.Queue
	split   Splitter // of U1: the inner queue; else nil
	openErr error

	delivery sync.Mutex // of U1 and U2: guards what the lock guards otherwise, the members' boxes
	members  []*Member
	leads    atomic.Int32        // index+1 of the member that waits in the kernel; 0 none
	found    []engine.Completion // the leader's
	broken   atomic.Pointer[error]
}

// New makes the queue; it opens the inner one when the first member joins, on that member's thread.
func New(o Options) (*Queue, error) {
	if o.Variant == "" {
		o.Variant = U2C
	}
	l, err := lock.New(o.Lock, lock.Options{Holders: o.Members, StateDir: o.StateDir})
	if err != nil {
		return nil, err
	}
	q := &Queue{o: o, lock: l, config: o.Config, members: make([]*Member, o.Members)}
	q.config.Depth = o.Config.Depth * o.Members
	q.config.Shared = true
	if q.arena, err = mem.Map(q.config.Depth*q.config.BlockBytes, o.Memory); err != nil {
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

// open makes the inner queue.
func (q *Queue) open() {
	if q.inner, q.openErr = q.o.Open(q.config); q.openErr != nil || q.o.Variant != U1 {
		return
	}
	var ok bool
	if q.split, ok = q.inner.(Splitter); !ok {
		q.openErr = fmt.Errorf("variant u1 of a shared queue needs an engine that fills and enters apart, as io_uring does")
	}
}

// Buffers returns the memory of one member's slots.
func (q *Queue) Buffers(member int) []byte {
	size := q.o.Config.Depth * q.o.Config.BlockBytes
	return q.config.Buffers[member*size : (member+1)*size : (member+1)*size]
}

// Join makes the calling thread a member. It must be locked to its goroutine for good.
func (q *Queue) Join(member int) (*Member, error) {
	q.once.Do(q.open)
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
	if !errors.Is(err, engine.ErrInFlight) {
		err = errors.Join(err, q.arena.Unmap())
	}
	return errors.Join(err, q.lock.Close())
}

// Member is one submitter's place at the queue: an engine.Queue of its own Depth slots.
type Member struct {
	queue  *Queue
	holder *lock.Holder
	index  int
	base   uint32 // its first slot in the inner queue
	reqs   []engine.Request
	box    []engine.Completion // delivered and not yet reaped; guarded by what deliver takes
	parked bool                // waits for wake; guarded likewise
	wake   chan struct{}
	timer  *time.Timer // of a wait that is limited; nil before the first

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

func (m *Member) release() { m.queue.lock.Unlock(m.holder) }

// deliver takes what guards the members' boxes: the lock itself, unless the variant leaves it to submission.
func (m *Member) deliver() error {
	if m.queue.o.Variant == U2C || m.queue.o.Variant == U3 {
		return m.acquire()
	}
	if err := m.queue.broken.Load(); err != nil {
		return *err
	}
	m.queue.delivery.Lock()
	return nil
}

// delivered gives it back.
func (m *Member) delivered() {
	if m.queue.o.Variant == U2C || m.queue.o.Variant == U3 {
		m.release()
		return
	}
	m.queue.delivery.Unlock()
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

// Submit hands requests to the inner queue, holding the lock through the system call unless the variant is U1.
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
	if m.queue.split != nil {
		n, err := m.queue.split.Fill(batch)
		m.release()
		if err == nil && n > 0 {
			err = m.queue.split.Enter(n)
		}
		return n, err
	}
	n, err := m.queue.inner.Submit(batch)
	if m.queue.o.Variant == U3 {
		m.hold(int64(n) * m.queue.o.HoldNS)
	}
	m.release()
	return n, err
}

// hold burns so many nanoseconds, as a longer critical section would.
func (m *Member) hold(ns int64) {
	for until := m.queue.o.Now() + ns; m.queue.o.Now() < until; {
		cpu.Pause(1)
	}
}

// Reap returns the member's own completions, waiting as the leader or parked behind one. Behind a leader it
// returns with the first that are delivered, even if they are fewer than min.
func (m *Member) Reap(done []engine.Completion, min int, timeout time.Duration) (int, error) {
	q := m.queue
	deadline := int64(math.MaxInt64)
	if timeout > 0 {
		deadline = q.o.Now() + int64(timeout)
	}
	for {
		if err := m.deliver(); err != nil {
			return 0, err
		}
		n := m.take(done)
		enough := n > 0 && n >= min
		lead := !enough && q.leads.CompareAndSwap(0, int32(m.index+1))
		m.parked = n == 0 && !lead && min > 0 && timeout != 0
		m.delivered()
		switch {
		case lead:
			// What was taken already stays taken: wait only for the rest.
			k, err := m.leadFor(done[n:], min-n, timeout, deadline)
			return n + k, err
		case n > 0 || min <= 0 || timeout == 0:
			return n, nil
		}
		timeout = m.park(timeout, deadline)
	}
}

// park waits to be roused and returns how long the member may wait yet, as [Member.Reap] counts it. It looks again
// in any case: a nudge may be an old one, and who is out of time may have been offered the lead.
func (m *Member) park(timeout time.Duration, deadline int64) time.Duration {
	if timeout < 0 {
		<-m.wake
		return timeout
	}
	if m.timer == nil {
		m.timer = time.NewTimer(timeout)
	} else {
		m.timer.Reset(timeout)
	}
	select {
	case <-m.wake:
		m.timer.Stop()
	case <-m.timer.C:
	}
	return m.left(deadline)
}

// left is the time until the deadline, and not less than none.
func (m *Member) left(deadline int64) time.Duration {
	return time.Duration(max(deadline-m.queue.o.Now(), 0))
}

// take moves delivered completions out of the box; the boxes are guarded.
func (m *Member) take(done []engine.Completion) int {
	n := copy(done, m.box)
	m.box = m.box[:copy(m.box, m.box[n:])]
	return n
}

// leadFor waits in the kernel, without the lock, until this member has min completions or the wait ends
// early, and delivers what it finds to whom it belongs. Then it gives up the lead.
func (m *Member) leadFor(done []engine.Completion, min int, timeout time.Duration, deadline int64) (int, error) {
	q, n := m.queue, 0
	atLeast := 1
	if min <= 0 {
		atLeast, timeout = 0, 0
	}
	for {
		k, err := q.inner.Reap(q.found, atLeast, timeout)
		if e := m.deliver(); e != nil {
			return n, e
		}
		for _, c := range q.found[:k] {
			owner := q.members[int(c.Slot)/q.o.Config.Depth]
			c.Slot -= owner.base
			owner.box = append(owner.box, c)
			owner.rouse()
		}
		n += m.take(done[n:])
		if n < min && k > 0 && err == nil && timeout != 0 {
			m.delivered()
			if timeout > 0 { // others' completions do not give it more
				timeout = m.left(deadline)
			}
			continue
		}
		if err != nil {
			m.delivered()
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
		m.delivered()
		return n, err
	}
}

// rouse wakes the member if it is parked; the boxes are guarded.
func (m *Member) rouse() {
	if m.parked {
		m.parked = false
		m.nudge()
	}
}

// Measure begins the longest wait and gap anew: those of before are no part of the measured window.
func (m *Member) Measure() {
	m.counters.LockWaitMaxNS, m.counters.LockGapMaxNS = 0, 0
	if m.lastHeld != 0 {
		m.lastHeld = m.queue.o.Now()
	}
}

// Counters returns what this member counted of the lock; the system calls are the queue's.
func (m *Member) Counters() engine.Counters { return m.counters }

// Close leaves the queue; [Queue.Close] frees it.
func (m *Member) Close() error { return nil }
