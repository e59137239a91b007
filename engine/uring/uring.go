// Package uring is the engine on io_uring.
package uring

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/psync"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/internal/kernel/uring"
)

// Queue is one ring.
type Queue struct {
	ring      *uring.Ring
	fds       []int32         // descriptors, or indices of registered ones
	opcodes   [2]uring.Opcode // of reads and writes: fixed-buffer ones when the buffers are registered
	sqe       uint8           // flags of every entry
	rwFlags   [2]uint32       // of reads and writes
	syncRange int             // flags of OpSyncRange
	buffers   uint64          // address of slot 0's buffer
	stride    uint64
	perBuf    uint32 // slots per registered buffer; a registered buffer is at most 1 GiB
	targets   []*target.Target
	early     engine.Early // finished inside Submit: what the ring cannot do
	shared    bool
	nop       bool      // every request is an IORING_OP_NOP and completes in full
	commands  *commands // every request is an NVMe command; nil on other queues

	forceAsync, sinceAsync int
	submitted, reaped      uint64        // entries; apart because two threads count on a shared ring
	enters                 atomic.Uint64 // calls that Enter made
	features               []string
	priorities             [256]uint16 // by Request.Prio
}

const maxRegistered = 1 << 30 // bytes in one registered buffer

// shapes are the setups to try, best first. What a kernel lacks it refuses with EINVAL, so that each is
// found out by trying it.
var shapes = []struct {
	flags uring.SetupFlags
	name  string
}{
	{uring.SetupSubmitAll | uring.SetupSingleIssuer | uring.SetupDeferTaskrun | uring.SetupNoSQArray, "SINGLE_ISSUER, DEFER_TASKRUN, NO_SQARRAY"},
	{uring.SetupSubmitAll | uring.SetupSingleIssuer | uring.SetupDeferTaskrun, "SINGLE_ISSUER, DEFER_TASKRUN"},
	{uring.SetupSubmitAll | uring.SetupCoopTaskrun, "COOP_TASKRUN"},
	{0, "no setup flags"},
}

// sharedShapes are those for a ring that several threads submit to: a single issuer is what it has not.
var sharedShapes = []struct {
	flags uring.SetupFlags
	name  string
}{
	{uring.SetupSubmitAll | uring.SetupNoSQArray, "NO_SQARRAY"},
	{0, "no setup flags"},
}

// New sets up a ring for the targets on the calling thread, which must then be the only one to use it.
// Errors of class engine.ErrUnsupported say what this system lacks and the remedy.
func New(c engine.Config, targets []*target.Target) (*Queue, error) {
	return build(c, targets, nil)
}

func build(c engine.Config, targets []*target.Target, commands *commands) (*Queue, error) {
	q := &Queue{
		commands: commands, targets: targets, buffers: mem.Address(c.Buffers), stride: uint64(c.BlockBytes),
		opcodes: [2]uring.Opcode{uring.OpRead, uring.OpWrite}, perBuf: math.MaxUint32,
		early: engine.NewEarly(&c), shared: c.Shared, forceAsync: c.ForceAsync, rwFlags: c.RWFlags(), syncRange: c.SyncRange,
	}
	copy(q.priorities[:], c.Priorities)
	if err := q.setup(&c); err != nil {
		return nil, explain(err)
	}
	if err := q.register(&c); err != nil {
		q.ring.Close()
		return nil, explain(err)
	}
	return q, nil
}

// NewNop sets up a ring on which every request is a no-op of the kernel's: what the loop, the ring and the
// system call cost without any I/O. Requests must be BlockBytes long.
func NewNop(c engine.Config) (*Queue, error) {
	c.FixedBufs, c.FixedFiles = engine.Never, engine.Never
	q, err := New(c, nil)
	if err != nil {
		return nil, err
	}
	q.nop = true
	q.opcodes = [2]uring.Opcode{uring.OpNop, uring.OpNop}
	q.fds = []int32{-1}
	return q, nil
}

func (q *Queue) setup(c *engine.Config) error {
	try := shapes
	if c.Shared {
		try = sharedShapes
	}
	var extra uring.SetupFlags
	var names []string
	if q.commands != nil {
		extra |= uring.CommandFlags
		names = append(names, "SQE128, CQE32")
	}
	if c.HiPri {
		extra |= uring.SetupIOPoll
		names = append(names, "IOPOLL")
	}
	o := uring.Options{Entries: uint32(c.Depth), Register: !c.Shared}
	if c.SQPoll {
		extra |= uring.SetupSQPoll
		names = append(names, "SQPOLL")
		o.SQIdle = c.SQPollIdle
		if c.SQPollCPU >= 0 {
			extra |= uring.SetupSQAff
			o.SQCPU = uint32(c.SQPollCPU)
			names = append(names, fmt.Sprintf("SQPOLL thread on CPU %d", c.SQPollCPU))
		}
	}
	for i, s := range try {
		flags := s.flags | extra
		name := s.name
		if c.SQPoll { // the kernel's thread runs the completion work; these exclude each other
			flags &^= uring.SetupDeferTaskrun | uring.SetupCoopTaskrun
			name = strings.ReplaceAll(name, ", DEFER_TASKRUN", "")
		}
		o.Flags = flags
		ring, err := uring.New(o)
		if errors.Is(err, syscall.EINVAL) && i < len(try)-1 {
			q.features = append(q.features, "io_uring: this kernel refuses "+strings.ReplaceAll(name, ", ", "+"))
			continue
		}
		if err != nil {
			return err
		}
		q.ring = ring
		q.features = append(q.features, "io_uring: "+strings.Join(append([]string{name}, names...), ", "))
		if ring.RegisteredFD() {
			q.features = append(q.features, "io_uring: ring descriptor registered")
		}
		return nil
	}
	return syscall.EINVAL
}

// register registers files and buffers as far as wanted and allowed.
func (q *Queue) register(c *engine.Config) error {
	fds := make([]int, len(q.targets))
	for i, t := range q.targets {
		fds[i] = t.FD()
		q.fds = append(q.fds, int32(t.FD()))
	}
	if c.FixedFiles != engine.Never {
		switch err := q.ring.RegisterFiles(fds); {
		case err == nil:
			q.sqe |= uring.SQEFixedFile
			for i := range q.fds {
				q.fds[i] = int32(i)
			}
			q.features = append(q.features, "io_uring: files registered")
		case c.FixedFiles == engine.Must:
			return err
		default:
			q.features = append(q.features, "io_uring: files not registered: "+err.Error())
		}
	}
	if c.FixedBufs != engine.Never {
		perBuf := max(maxRegistered/c.BlockBytes, 1)
		switch err := q.ring.RegisterBuffers(c.Buffers, perBuf*c.BlockBytes); {
		case err == nil:
			q.perBuf = uint32(perBuf)
			q.opcodes = [2]uring.Opcode{uring.OpReadFixed, uring.OpWriteFixed}
			q.features = append(q.features, "io_uring: buffers registered")
		case c.FixedBufs == engine.Must:
			return err
		default:
			q.features = append(q.features, "io_uring: buffers not registered: "+err.Error())
		}
	}
	return nil
}

// explain turns the kernel's refusals into errors that name the remedy.
func explain(err error) error {
	switch {
	case errors.Is(err, uring.ErrNoSyscall):
		return fmt.Errorf("%w: %w; use --ioengine=libaio or a newer kernel", engine.ErrUnsupported, err)
	case errors.Is(err, uring.ErrDenied):
		return fmt.Errorf("%w: %w; sysctl kernel.io_uring_disabled, a seccomp filter (containers) or SQPOLL on an old kernel forbids it; use --ioengine=libaio or run with the permission", engine.ErrUnsupported, err)
	case errors.Is(err, uring.ErrMemlock):
		return fmt.Errorf("%w: %w; raise it (ulimit -l), lower the depth, or leave out --fixedbufs", engine.ErrUnsupported, err)
	}
	return err
}

// Features names what the kernel gave and refused.
func (q *Queue) Features() []string { return q.features }

// Reopened takes the new descriptor of a target. Files must not be registered.
func (q *Queue) Reopened(file int) { q.fds[file] = int32(q.targets[file].FD()) }

// Submit writes one entry per request in place and passes them all with one system call.
func (q *Queue) Submit(reqs []engine.Request) (int, error) {
	n, queued := q.fill(reqs)
	if queued == 0 {
		return n, nil
	}
	q.ring.Advance(queued)
	for {
		if err := q.ring.Submit(); err != nil {
			return 0, fmt.Errorf("submitting to the ring: %w", err)
		}
		if !q.shared || q.ring.Unsubmitted() == 0 {
			return n, nil
		}
		// The kernel is out of memory for requests, and the thread that reaps cannot submit for us.
		runtime.Gosched()
	}
}

// Fill is the first half of Submit on a shared queue: it writes and publishes the entries. Only reads and
// writes come apart like that.
func (q *Queue) Fill(reqs []engine.Request) (int, error) {
	for i := range reqs {
		if reqs[i].Op > engine.OpWrite {
			return 0, fmt.Errorf("%w: %s on a queue whose lock is not held through the system call", engine.ErrUnsupported, reqs[i].Op)
		}
	}
	n, queued := q.fill(reqs)
	q.ring.Publish(queued)
	return n, nil
}

// Enter is the second half: it passes n published entries to the kernel. Several threads may do so at once.
func (q *Queue) Enter(n int) error {
	for left := uint32(n); left > 0; {
		q.enters.Add(1)
		took, err := q.ring.Enter(left)
		if err != nil {
			return fmt.Errorf("submitting to the ring: %w", err)
		}
		if left -= took; left > 0 {
			runtime.Gosched() // the kernel is out of memory for requests
		}
	}
	return nil
}

// fill writes entries for as many requests as there is room for, and returns that number and how many of
// them are for the kernel to do.
func (q *Queue) fill(reqs []engine.Request) (taken int, queued uint32) {
	n := uint32(min(len(reqs), int(q.ring.Room())))
	if q.commands != nil {
		queued = q.commands.fill(q, reqs[:n])
		q.submitted += uint64(queued)
		return int(n), queued
	}
	for i := range reqs[:n] {
		r := &reqs[i]
		e := q.ring.Next(queued)
		if r.Op > engine.OpWrite {
			if !q.other(r, e) {
				continue
			}
		} else {
			e.Opcode = q.opcodes[r.Op]
			e.Flags = q.sqe
			e.IOPrio = q.priorities[r.Prio]
			e.FD = q.fds[r.File]
			e.Off = uint64(r.Offset)
			e.Addr = q.buffers + uint64(r.Slot)*q.stride + uint64(r.Skip)
			e.Len = r.Length
			e.OpFlags = q.rwFlags[r.Op]
			e.UserData = uint64(r.Slot)
			e.BufIndex = 0
			if q.perBuf <= r.Slot { // beyond the first registered buffer
				e.BufIndex = uint16(r.Slot / q.perBuf)
			}
		}
		if q.forceAsync != 0 {
			if q.sinceAsync++; q.sinceAsync == q.forceAsync {
				e.Flags |= uring.SQEAsync
				q.sinceAsync = 0
			}
		}
		queued++
	}
	q.submitted += uint64(queued)
	return int(n), queued
}

// other prepares e for what is neither a read nor a write, or does it at once and returns false.
func (q *Queue) other(r *engine.Request, e *uring.SQE) bool {
	*e = uring.SQE{Flags: q.sqe, FD: q.fds[r.File], UserData: uint64(r.Slot)}
	switch {
	case r.Op == engine.OpSync:
		e.Opcode = uring.OpFsync
	case r.Op == engine.OpDatasync:
		e.Opcode, e.OpFlags = uring.OpFsync, uring.FsyncDatasync
	case r.Op == engine.OpSyncRange: // the ring would give it to another thread, and its result no length
		q.early.Add(engine.Completion{Slot: r.Slot, Result: int32(psync.SyncRange(q.targets[r.File], r, q.syncRange))})
		return false
	default:
		q.early.Add(engine.Completion{Slot: r.Slot, Result: int32(psync.Do(q.targets[r.File], r))})
		return false
	}
	return true
}

// Reap reads completions out of the ring, and calls the kernel only when there are too few.
func (q *Queue) Reap(done []engine.Completion, min int, timeout time.Duration) (int, error) {
	n := q.early.Take(done)
	ready := q.ring.Ready()
	if n+int(ready) < min || ready == 0 && n == 0 {
		if !q.shared && q.ring.Unsubmitted() > 0 { // on a shared ring that is the submitters' side
			if err := q.ring.Submit(); err != nil {
				return n, fmt.Errorf("submitting to the ring: %w", err)
			}
		}
		if min <= n {
			timeout = 0
		}
		if err := q.ring.Wait(uint32(max(min-n, 0)), timeout); err != nil {
			return n, fmt.Errorf("waiting for the ring: %w", err)
		}
		ready = q.ring.Ready()
	}
	k := uint32(len(done) - n)
	if ready < k {
		k = ready
	}
	found := done[n : n+int(k)]
	if q.commands != nil {
		q.commands.results(q.ring, found)
	} else {
		for i := range found {
			c := q.ring.Completion(uint32(i))
			found[i] = engine.Completion{Slot: uint32(c.UserData), Result: c.Res}
		}
	}
	if q.nop {
		for i := range found {
			found[i].Result = int32(q.stride) // the kernel says 0
		}
	}
	q.ring.Consume(k)
	q.reaped += uint64(k)
	return n + int(k), nil
}

// Counters returns the calls of io_uring_enter and the completions that did not fit the ring.
func (q *Queue) Counters() engine.Counters {
	return engine.Counters{
		Syscalls:  q.ring.SubmitEnters + q.ring.WaitEnters + q.enters.Load(),
		Overflows: uint64(q.ring.Overflows()),
	}
}

// closeWaits bounds how long Close waits for requests in flight: a device that hangs must not hang the
// program.
const closeWaits = 5 * time.Second

// Close waits for what is still in flight, and tears the ring down.
func (q *Queue) Close() error {
	done := make([]engine.Completion, 64)
	for until := time.Now().Add(closeWaits); q.reaped < q.submitted && time.Now().Before(until); {
		if _, err := q.Reap(done, 1, time.Second); err != nil {
			break
		}
	}
	var errs []error
	if q.reaped < q.submitted {
		errs = append(errs, fmt.Errorf("closing a ring with %d requests: %w", q.submitted-q.reaped, engine.ErrInFlight))
	} else if q.fixedBuffers() {
		_ = q.ring.UnregisterBuffers() // what fails here, closing does a little later
	}
	errs = append(errs, q.ring.Close())
	if q.commands != nil && q.reaped == q.submitted {
		errs = append(errs, q.commands.close())
	}
	return errors.Join(errs...)
}

// fixedBuffers says whether the buffers are registered.
func (q *Queue) fixedBuffers() bool { return q.opcodes[engine.OpRead] == uring.OpReadFixed }
