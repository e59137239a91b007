// Package offload lets a pool of threads do the I/O of one worker (fio's io_submit_mode=offload). With an engine
// that blocks, a worker that waits for one I/O cannot begin the next; here it goes on while a thread of the
// pool waits, so that the arrivals of a paced job keep their times however long the device takes.
//
// Every slot has a thread, and every thread a queue of depth 1 of the job's engine. A slot names at most one
// I/O in flight, so a request's thread is always free: nothing is queued, and handing over is a word in memory,
// and a futex when the other side sleeps. Since workers reuse the slot that was freed last, a shallow load
// stays on few threads.
package offload

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/kernel/futex"
)

// Options say what the pool's threads are.
type Options struct {
	Config engine.Config                                         // of the whole; Depth is the number of threads
	Setup  func() error                                          // called on each thread first: its CPUs, its priority; nil: nothing
	Open   func(slot int, c engine.Config) (engine.Queue, error) // makes a slot's queue, on its thread
}

// Queue is the worker's end. It takes one caller of Submit and Reap.
type Queue struct {
	threads []*thread // by slot
	running sync.WaitGroup
	quit    atomic.Bool
	failure atomic.Pointer[error] // of a thread's queue, not of an I/O
	head    uint32                // of finished
	calls   uint64                // system calls of the worker's end

	_        [64]byte
	finished []atomic.Uint32 // a ring: slots whose I/O is done, plus 1; 0 is an empty place
	tail     atomic.Uint32   // of finished
	asleep   atomic.Uint32   // 1: the worker sleeps until a thread sets it to 0
	_        [64]byte
}

// thread does the I/O of one slot.
type thread struct {
	state  atomic.Uint32
	result int32
	req    engine.Request
	queue  engine.Queue
	id     int
	closed error

	ios     uint64
	handing uint64        // system calls to wait for requests and to wake the worker
	calls   atomic.Uint64 // those and its queue's

	mu    sync.Mutex
	usage cpu.Usage
	_     [64]byte
}

// States of a thread.
const (
	idle   = iota // looks for work
	posted        // has a request
	asleep        // waits on its state
)

// usageEvery is after how many I/Os a thread asks for the CPU time that it used.
const usageEvery = 16

// New starts the threads and makes their queues.
func New(o Options) (*Queue, error) {
	places := 1
	for places < o.Config.Depth {
		places *= 2
	}
	q := &Queue{finished: make([]atomic.Uint32, places)}
	opened := make(chan error, o.Config.Depth)
	for slot := range o.Config.Depth {
		t := &thread{}
		q.threads = append(q.threads, t)
		q.running.Go(func() {
			runtime.LockOSThread() // the thread ends with the goroutine, and with it what Setup did
			err := t.open(o, uint32(slot))
			opened <- err
			if err == nil {
				t.serve(q, uint32(slot))
			}
		})
	}
	var failed error
	for range q.threads {
		if err := <-opened; err != nil && failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return nil, errors.Join(failed, q.Close())
	}
	return q, nil
}

func (t *thread) open(o Options, slot uint32) error {
	t.id = cpu.ThreadID()
	if o.Setup != nil {
		if err := o.Setup(); err != nil {
			return err
		}
	}
	c := o.Config
	c.Depth = 1
	if c.Buffers != nil {
		c.Buffers = c.Buffer(slot)
	}
	var err error
	t.queue, err = o.Open(int(slot), c)
	return err
}

// serve does requests until the queue is closed.
func (t *thread) serve(q *Queue, slot uint32) {
	reqs, done := make([]engine.Request, 1), make([]engine.Completion, 1)
	for t.next(q) {
		reqs[0] = t.req
		reqs[0].Slot = 0
		result, err := do(t.queue, reqs, done)
		if err != nil {
			q.fail(err)
		}
		t.result = result
		t.account()
		t.state.Store(idle)
		q.finished[(q.tail.Add(1)-1)&uint32(len(q.finished)-1)].Store(slot + 1)
		if q.asleep.Load() == 1 && q.asleep.CompareAndSwap(1, 0) {
			futex.Wake(&q.asleep, 1)
			t.handing++
		}
	}
	t.closed = t.queue.Close()
}

// fail keeps the first failure of a queue for the worker.
func (q *Queue) fail(err error) { q.failure.CompareAndSwap(nil, &err) }

// next waits for a request; false when the queue is closed.
func (t *thread) next(q *Queue) bool {
	for {
		switch t.state.Load() {
		case posted:
			return true
		case idle:
			t.state.CompareAndSwap(idle, asleep)
		case asleep:
			if q.quit.Load() {
				return false
			}
			futex.Wait(&t.state, asleep)
			t.handing++
		}
	}
}

// do carries out one request and waits for it, however often signals interrupt that.
func do(q engine.Queue, reqs []engine.Request, done []engine.Completion) (int32, error) {
	n, err := q.Submit(reqs)
	if err == nil && n == 0 {
		err = errors.New("an empty queue took no request")
	}
	if err != nil {
		return -int32(syscall.EIO), err
	}
	for {
		n, err := q.Reap(done, 1, -1)
		if err != nil {
			return -int32(syscall.EIO), err
		}
		if n > 0 {
			return done[0].Result, nil
		}
	}
}

// account notes what the thread used: its system calls, and after every few I/Os its CPU time, since asking for
// that is a system call of its own.
func (t *thread) account() {
	t.calls.Store(t.queue.Counters().Syscalls + t.handing)
	if t.ios++; t.ios%usageEvery != 1 {
		return
	}
	if usage, err := cpu.ThreadUsage(); err == nil {
		t.mu.Lock()
		t.usage = usage
		t.mu.Unlock()
	}
}

// Submit hands each request to its slot's thread.
func (q *Queue) Submit(reqs []engine.Request) (int, error) {
	for i := range reqs {
		t := q.threads[reqs[i].Slot]
		t.req = reqs[i]
		if t.state.Swap(posted) == asleep {
			futex.Wake(&t.state, 1)
			q.calls++
		}
	}
	return len(reqs), nil
}

// Reap returns what the threads have finished.
func (q *Queue) Reap(done []engine.Completion, min int, timeout time.Duration) (int, error) {
	n := q.take(done)
	var started time.Time
	for n < min && timeout != 0 {
		left := timeout
		if timeout > 0 {
			if started.IsZero() {
				started = time.Now()
			} else if left -= time.Since(started); left <= 0 {
				break
			}
		}
		q.asleep.Store(1)
		if got := q.take(done[n:]); got > 0 {
			q.asleep.Store(0)
			n += got
			continue
		}
		errno := futex.WaitFor(&q.asleep, 1, left)
		q.calls++
		q.asleep.Store(0)
		n += q.take(done[n:])
		if errno == syscall.EINTR {
			break
		}
	}
	if err := q.failure.Load(); err != nil {
		return n, *err
	}
	return n, nil
}

// take moves finished slots to done.
func (q *Queue) take(done []engine.Completion) int {
	n := 0
	for n < len(done) {
		place := &q.finished[q.head&uint32(len(q.finished)-1)]
		slot := place.Load()
		if slot == 0 {
			break
		}
		place.Store(0)
		q.head++
		done[n] = engine.Completion{Slot: slot - 1, Result: q.threads[slot-1].result}
		n++
	}
	return n
}

// Reopened tells the threads' queues that a target has a new descriptor. No thread has a request of that target
// meanwhile, and its next one is handed over after this.
func (q *Queue) Reopened(file int) {
	for _, t := range q.threads {
		if r, ok := t.queue.(engine.Reopener); ok {
			r.Reopened(file)
		}
	}
}

// Counters adds up what the threads' queues counted, and the system calls to hand over.
func (q *Queue) Counters() engine.Counters {
	c := engine.Counters{Syscalls: q.calls}
	for _, t := range q.threads {
		c.Syscalls += t.calls.Load()
	}
	return c
}

// Usage is the CPU time of all threads, as of their last few I/Os.
func (q *Queue) Usage() cpu.Usage {
	var sum cpu.Usage
	for _, t := range q.threads {
		t.mu.Lock()
		sum = sum.Add(t.usage)
		t.mu.Unlock()
	}
	return sum
}

// ThreadIDs returns the kernel's numbers of the threads.
func (q *Queue) ThreadIDs() []int {
	ids := make([]int, len(q.threads))
	for i, t := range q.threads {
		ids[i] = t.id
	}
	return ids
}

// Close ends the threads, each after the request that it has, and frees their queues.
func (q *Queue) Close() error {
	q.quit.Store(true)
	for _, t := range q.threads {
		if t.state.CompareAndSwap(asleep, idle) {
			futex.Wake(&t.state, 1)
		}
	}
	q.running.Wait()
	var errs []error
	for _, t := range q.threads {
		errs = append(errs, t.closed)
	}
	return errors.Join(errs...)
}
