// Package aio is the engine on Linux native asynchronous I/O, which fio calls libaio. It is asynchronous
// only for direct I/O: a buffered request is done inside the submission.
package aio

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/psync"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/kernel/aio"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
)

// Queue is one AIO context.
type Queue struct {
	ctx     *aio.Context
	targets []*target.Target
	fds     []uint32
	buffers uint64 // address of slot 0's buffer
	stride  uint64
	blocks  []aio.IOCB  // slot s uses blocks[s]
	batch   []*aio.IOCB // what the current Submit passes to the kernel
	events  []aio.Event
	early   engine.Early // finished or refused inside Submit
	rwFlags [2]uint32    // of reads and writes

	syncRange int // flags of OpSyncRange

	priorities [256]uint16 // by Request.Prio
}

// New makes a context for c.Depth requests. It fails with an error of class engine.ErrUnsupported when the
// system-wide number of AIO requests is used up.
func New(c engine.Config, targets []*target.Target) (*Queue, error) {
	ctx, err := aio.New(c.Depth)
	if errors.Is(err, syscall.EAGAIN) {
		return nil, fmt.Errorf("%w: all AIO requests of the system are taken; raise /proc/sys/fs/aio-max-nr (%w)", engine.ErrUnsupported, err)
	}
	if err != nil {
		return nil, err
	}
	q := &Queue{
		ctx: ctx, targets: targets, buffers: mem.Address(c.Buffers), stride: uint64(c.BlockBytes),
		blocks: make([]aio.IOCB, c.Depth), batch: make([]*aio.IOCB, 0, c.Depth),
		events: make([]aio.Event, c.Depth), early: engine.NewEarly(&c), rwFlags: c.RWFlags(), syncRange: c.SyncRange,
	}
	copy(q.priorities[:], c.Priorities)
	for _, t := range targets {
		q.fds = append(q.fds, uint32(t.FD()))
	}
	return q, nil
}

// Features names what the kernel gave.
func (q *Queue) Features() []string {
	if q.ctx.UserReap() {
		return []string{"libaio: completions read from the ring"}
	}
	return nil
}

// Reopened takes the new descriptor of a target.
func (q *Queue) Reopened(file int) { q.fds[file] = uint32(q.targets[file].FD()) }

// Submit passes the requests to the kernel in as few calls as it allows.
func (q *Queue) Submit(reqs []engine.Request) (int, error) {
	for i := range reqs {
		r := &reqs[i]
		if r.Op == engine.OpTrim || r.Op == engine.OpSyncRange { // there are no such AIO commands
			if left := q.send(); left > 0 {
				return i - left, nil
			}
			q.early.Add(engine.Completion{Slot: r.Slot, Result: int32(q.now(r))})
			continue
		}
		b := &q.blocks[r.Slot]
		b.Data, b.FD, b.Opcode = uint64(r.Slot), q.fds[r.File], commands[r.Op]
		b.Buf, b.NBytes, b.Offset = 0, 0, 0
		b.RWFlags, b.ReqPrio, b.Flags = 0, 0, 0
		if r.Op <= engine.OpWrite {
			b.RWFlags = q.rwFlags[r.Op]
			if p := q.priorities[r.Prio]; p != 0 {
				b.ReqPrio, b.Flags = p, aio.FlagIOPrio
			}
			b.Buf, b.NBytes, b.Offset = q.buffers+uint64(r.Slot)*q.stride+uint64(r.Skip), uint64(r.Length), r.Offset
		}
		q.batch = append(q.batch, b)
	}
	return len(reqs) - q.send(), nil
}

// now does on the calling thread what the interface cannot do.
func (q *Queue) now(r *engine.Request) int {
	if r.Op == engine.OpSyncRange {
		return psync.SyncRange(q.targets[r.File], r, q.syncRange)
	}
	return psync.Do(q.targets[r.File], r)
}

// send passes the batch to the kernel and returns how many of it there was no room for.
func (q *Queue) send() (left int) {
	batch := q.batch
	q.batch = q.batch[:0]
	for len(batch) > 0 {
		n, errno := q.ctx.Submit(batch)
		switch {
		case errno != 0: // the first of them is refused; the rest may pass
			q.early.Add(engine.Completion{Slot: uint32(batch[0].Data), Result: -int32(errno)})
			n = 1
		case n == 0: // full
			return len(batch)
		}
		batch = batch[n:]
	}
	return 0
}

var commands = [...]aio.Command{
	engine.OpRead: aio.CmdPread, engine.OpWrite: aio.CmdPwrite,
	engine.OpSync: aio.CmdFsync, engine.OpDatasync: aio.CmdFdsync,
}

// Reap reads the completion ring, and calls the kernel only to wait.
func (q *Queue) Reap(done []engine.Completion, min int, timeout time.Duration) (int, error) {
	n := q.early.Take(done)
	n += q.take(done[n:], q.ctx.Ready(q.events[:len(done)-n]))
	if n >= min && (n > 0 || q.ctx.UserReap()) {
		return n, nil
	}
	k, err := q.ctx.Wait(q.events[:len(done)-n], max(min-n, 0), timeout)
	return n + q.take(done[n:], k), err
}

func (q *Queue) take(done []engine.Completion, n int) int {
	for i, e := range q.events[:n] {
		done[i] = engine.Completion{Slot: uint32(e.Data), Result: int32(e.Res)}
	}
	return n
}

// Counters returns the calls of io_submit and io_getevents.
func (q *Queue) Counters() engine.Counters {
	return engine.Counters{Syscalls: q.ctx.SubmitCalls + q.ctx.WaitCalls}
}

// Close destroys the context, which waits for what is in flight.
func (q *Queue) Close() error { return q.ctx.Close() }
