// Package null is the engine that moves nothing: every request is complete as soon as it is submitted.
// It measures what the loop itself costs.
package null

import (
	"sync/atomic"
	"time"

	"github.com/blkmeter/blkmeter/engine"
)

// Queue completes requests in the order they were submitted.
type Queue struct {
	done       []engine.Completion // a ring of as many places as there are slots, rounded up to a power of two
	head, tail uint32
	depth      uint32
	shared     bool // one thread submits while another reaps: head and tail must be published
}

// New returns a queue for c.Depth requests in flight. It never touches c.Buffers.
func New(c engine.Config) *Queue {
	size := 1
	for size < c.Depth {
		size *= 2
	}
	return &Queue{done: make([]engine.Completion, size), depth: uint32(c.Depth), shared: c.Shared}
}

// read returns the end of the ring that the other side moves.
func (q *Queue) read(end *uint32) uint32 {
	if q.shared {
		return atomic.LoadUint32(end)
	}
	return *end
}

// move publishes the own end of the ring, after the places up to it were written or read.
func (q *Queue) move(end *uint32, to uint32) {
	if q.shared {
		atomic.StoreUint32(end, to)
		return
	}
	*end = to
}

// Submit takes what the depth allows and finishes it in full.
func (q *Queue) Submit(reqs []engine.Request) (int, error) {
	n := min(len(reqs), int(q.depth-(q.tail-q.read(&q.head))))
	mask := uint32(len(q.done) - 1)
	for i := range reqs[:n] {
		q.done[(q.tail+uint32(i))&mask] = engine.Completion{Slot: reqs[i].Slot, Result: int32(reqs[i].Length)}
	}
	q.move(&q.tail, q.tail+uint32(n))
	return n, nil
}

// Reap never waits: what was submitted is done.
func (q *Queue) Reap(done []engine.Completion, _ int, _ time.Duration) (int, error) {
	n := min(len(done), int(q.read(&q.tail)-q.head))
	mask := uint32(len(q.done) - 1)
	for i := range done[:n] {
		done[i] = q.done[(q.head+uint32(i))&mask]
	}
	q.move(&q.head, q.head+uint32(n))
	return n, nil
}

// Counters counts no system calls, since none is made.
func (q *Queue) Counters() engine.Counters { return engine.Counters{} }

// Close has nothing to free.
func (q *Queue) Close() error { return nil }
