// Package psync is the synchronous engine: pread(2) and pwrite(2), one request at a time. Submit does the
// I/O and Reap hands it back, so that the worker loop is one loop for every engine.
package psync

import (
	"errors"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
)

// Queue does requests one after another on the calling thread.
type Queue struct {
	config   engine.Config
	targets  []*target.Target
	fds      []int
	flags    [2]int // of preadv2 and pwritev2; 0 uses pread and pwrite
	done     []engine.Completion
	reaped   int
	counters engine.Counters
}

// New returns a queue on the targets.
func New(c engine.Config, targets []*target.Target) *Queue {
	q := &Queue{config: c, targets: targets, done: make([]engine.Completion, 0, c.Depth)}
	for _, t := range targets {
		q.fds = append(q.fds, t.FD())
	}
	for op, flags := range c.RWFlags() {
		q.flags[op] = int(flags)
		if c.HiPri {
			q.flags[op] |= fileio.HiPri
		}
	}
	return q
}

// Reopened takes the new descriptor of a target.
func (q *Queue) Reopened(file int) { q.fds[file] = q.targets[file].FD() }

// Submit does the requests; each is finished when it returns.
func (q *Queue) Submit(reqs []engine.Request) (int, error) {
	if q.reaped == len(q.done) {
		q.done, q.reaped = q.done[:0], 0
	}
	n := min(len(reqs), cap(q.done)-len(q.done))
	for i := range reqs[:n] {
		q.done = append(q.done, engine.Completion{Slot: reqs[i].Slot, Result: int32(q.do(&reqs[i]))})
	}
	q.counters.Syscalls += uint64(n)
	return n, nil
}

func (q *Queue) do(r *engine.Request) int {
	if r.Op == engine.OpSyncRange {
		return SyncRange(q.targets[r.File], r, q.config.SyncRange)
	}
	if r.Op > engine.OpWrite {
		return Do(q.targets[r.File], r)
	}
	fd, buf := q.fds[r.File], q.config.Buffer(r.Slot)[r.Skip:r.Skip+r.Length]
	flags := q.flags[r.Op]
	switch {
	case flags == 0 && r.Op == engine.OpRead:
		return fileio.Pread(fd, buf, r.Offset)
	case flags == 0:
		return fileio.Pwrite(fd, buf, r.Offset)
	case r.Op == engine.OpRead:
		return fileio.PreadFlags(fd, buf, r.Offset, flags)
	default:
		return fileio.PwriteFlags(fd, buf, r.Offset, flags)
	}
}

// Do carries out a trim or a sync on the calling thread and returns the bytes done or the negated errno.
// The asynchronous engines use it for what their interface cannot do.
func Do(t *target.Target, r *engine.Request) int {
	switch r.Op {
	case engine.OpTrim:
		trim := blk.PunchHole
		if t.Kind() == target.Block {
			trim = blk.Discard
		}
		if err := trim(t.TrimFD(), r.Offset, int64(r.Length)); err != nil {
			var errno syscall.Errno
			if errors.As(err, &errno) {
				return -int(errno)
			}
			return -int(syscall.EIO)
		}
		return int(r.Length)
	case engine.OpSync:
		return fileio.Fsync(t.FD())
	case engine.OpDatasync:
		return fileio.Fdatasync(t.FD())
	}
	return -int(syscall.EINVAL)
}

// SyncRange carries out an OpSyncRange with the flags on the calling thread.
func SyncRange(t *target.Target, r *engine.Request, flags int) int {
	if result := fileio.SyncRange(t.FD(), r.Offset, int64(r.Length), flags); result != 0 {
		return result
	}
	return int(r.Length)
}

// Reap returns finished requests and never waits.
func (q *Queue) Reap(done []engine.Completion, _ int, _ time.Duration) (int, error) {
	n := copy(done, q.done[q.reaped:])
	q.reaped += n
	return n, nil
}

// Counters returns one system call per request.
func (q *Queue) Counters() engine.Counters { return q.counters }

// Close has nothing to free; the targets belong to whoever opened them.
func (q *Queue) Close() error { return nil }
