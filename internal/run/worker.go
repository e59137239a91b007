package run

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/offload"
	"github.com/blkmeter/blkmeter/engine/shared"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/workloads/content"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// worker is one clone of a job: one goroutine, one thread, one CPU, one queue. Nothing in it is shared
// while it runs except the mailbox of its windows and the stop flag.
type worker struct {
	// The hot loop's own state.
	clock     *clock.Clock
	queue     engine.Queue
	source    pattern.Source
	slots     []slot              // by slot: the I/O in flight
	free      []uint32            // slots without one; the last is used next, since its buffer is warm
	ios       []pattern.IO        // what the pattern yields for one batch
	reqs      []engine.Request    // what one batch submits; the first held of them were refused before
	done      []engine.Completion // what one reap finds
	win       *window             // where this window's figures go
	batch     batching
	held      int   // requests at the front of reqs that a full queue did not take
	flipAt    int64 // when the window ends
	endAt     int64 // when no more I/O is started
	sync      bool  // the engine does its I/O inside Submit
	spent     bool  // the pattern is at its end, or an error ended the job's work
	stop      *atomic.Bool
	filler    *content.Filler // makes the data of writes; nil when nothing is written or it goes nowhere
	verify    *verifying      // checks what is read; nil when nothing is checked
	pacing    *pacing         // when the I/Os of a paced job are due; nil for one that goes as fast as it can
	logging   *logging        // fio's logs; nil without
	prios     *prioritizing   // which I/Os have a priority of their own; nil when all have the thread's
	search    *depthSearch    // of the depth that keeps latency_target; nil without
	recording *recording      // the log of single I/Os; nil without

	// What the loop touches once per window or never.
	box      mailbox
	timing   timing
	config   engine.Config
	job      *jobRun
	index    int // among the job's clones
	place    place
	targets  []*target.Target // by pattern.IO.File
	files    []pattern.File   // the clone's region of each
	pattern  pattern.Config   // what source is made from
	arena    *mem.Arena
	locked   *mem.Arena     // memory that it keeps from others (lockmem); nil for none
	rotation *rotation      // opens and closes files during the run; nil when all of them stay open
	locking  *locking       // takes the files' locks; nil when there are none
	pool     *offload.Queue // the queue, when it has threads of its own; nil otherwise
	failure  failure
	outcome  outcome

	features   []string // what the kernel gave the queue
	reapMax    int      // most completions per reap
	regionLow  int64    // of the first target
	regionHigh int64

	// Read by the conductor while the worker runs.
	endsAt  int64       // the time limit, ns of the run's clock; 0 none. Written before the start; see deadline.
	reading atomic.Bool // reads back what was written, which takes as long as it takes
	ended   atomic.Bool // the worker has left the loop and its figures are the conductor's
	lost    bool        // it never did; written by the conductor
}

// slot is one I/O in flight.
type slot struct {
	start int64 // ns: made ready
	issue int64 // ns: handed to the kernel
	req   engine.Request
}

// batching is how many I/Os go to and come from the queue at a time.
type batching struct {
	submit   int  // most per submission
	low      int  // a full queue is filled again only when this few are in flight; the depth: at once
	reapMin  int  // fewest to wait for; 0 polls
	draining bool // waiting for that
}

// timing is a worker's times in nanoseconds of the run's clock.
type timing struct {
	measureAt int64 // the ramp's end
	interval  int64
	ramping   bool
	measured  int64 // when the measured window really started for this worker
	ended     int64
	usage     cpu.Usage       // at measured
	counters  engine.Counters // at measured
}

// failure is the first error that a worker met.
type failure struct {
	errno  syscall.Errno
	status uint16 // the NVMe status behind it; 0 when none is
	op     engine.Op
	offset int64
	length uint32
	file   uint16
	short  bool
	err    error // not an I/O's error: the queue itself failed
}

// outcome is what a worker reports beside its windows.
type outcome struct {
	usage    cpu.Usage       // inside the measured window
	counters engine.Counters // likewise, except the longest waits
	threadID int
}

// irregular handles what did not go as asked: an error, or a transfer that came back short. The rest of a
// short one is submitted again, in front of everything else; nothing transferred at all is an error, for
// no progress would follow from trying again (a device that was removed answers reads with 0 bytes).
//
//go:noinline
func (w *worker) irregular(s *slot, result int32) {
	o := &w.win.ops[s.req.Op]
	done := uint32(max(result, 0))
	if done > 0 && done < s.req.Length {
		o.short++
		o.bytes += uint64(done)
		s.req.Offset += int64(done)
		s.req.Skip += done
		s.req.Length -= done
		w.reqs[w.held] = s.req
		w.held++
		return
	}
	errno, status := errnoOf(result)
	w.give(s.req.Slot)
	if w.job.ends(errno) {
		w.spent = true
		return
	}
	o.errors++
	if w.failure.errno == 0 && w.failure.err == nil {
		w.failure = failure{
			errno: errno, status: status, op: s.req.Op, offset: s.req.Offset, length: s.req.Length, file: s.req.File, short: result >= 0,
		}
	}
	if !w.job.toleratesError(s.req.Op, errno) {
		w.spent = true
	}
}

// errnoOf returns the error that a completion's result stands for, and the NVMe status behind it if there is one.
// Nothing transferred at all is an error, too.
func errnoOf(result int32) (errno syscall.Errno, status uint16) {
	if result >= 0 {
		return syscall.EIO, 0
	}
	return engine.FailureOf(result)
}

// cause is the failed I/O's error in the words of whoever knows most: the device, else the kernel.
func (f *failure) cause() error {
	if f.status != 0 {
		return blk.NVMeStatusError(f.status)
	}
	return f.errno
}

// fail ends the worker's part of the job because of something that is not an I/O's error.
func (w *worker) fail(err error) {
	if w.failure.err == nil {
		w.failure.err = err
	}
	w.spent = true
}

// failed says whether an error has ended the worker's part of the job.
func (w *worker) failed() bool {
	f := &w.failure
	return f.err != nil || f.errno != 0 && !w.job.toleratesError(f.op, f.errno)
}

// refill says whether a queue that was full may be filled again: not before it has drained to iodepth_low.
func (w *worker) refill() bool {
	inFlight := len(w.slots) - len(w.free)
	w.batch.draining = inFlight > w.batch.low && (w.batch.draining || inFlight == len(w.slots))
	return !w.batch.draining
}

// flip ends a window: its figures go into the mailbox and an empty window takes its place. When the
// collector has not emptied the last one yet, the window goes on.
//
//go:noinline
func (w *worker) flip(now int64) {
	if w.timing.ramping {
		w.ramp(now)
	}
	w.checkLatency()
	w.win.end = now
	seen, _ := cpu.Current()
	w.win.cpu = seen
	if usage, err := w.usage(); err == nil {
		w.win.usage = usage.Sub(w.timing.usage)
	}
	if next := w.box.swap(w.win); next != nil {
		next.start = now
		w.win = next
	}
	for w.flipAt <= now {
		w.flipAt += w.timing.interval
	}
}

// measureFrom notes the counters that the measured window starts with.
func (w *worker) measureFrom() {
	if usage, err := w.usage(); err == nil {
		w.timing.usage = usage
	}
	w.timing.counters = w.queue.Counters()
	if member, ok := w.queue.(*shared.Member); ok {
		member.Measure()
	}
}

// usage is what the worker has cost so far: its thread, and those of a pool.
func (w *worker) usage() (cpu.Usage, error) {
	usage, err := cpu.ThreadUsage()
	if w.pool != nil {
		usage = usage.Add(w.pool.Usage())
	}
	return usage, err
}

// live is the worker's life: it makes what it needs, says so, waits for its job's start, runs, and frees it all.
func (w *worker) live(open opener, ready chan<- error) {
	if w.verify != nil {
		defer w.verify.leave()
	}
	err := safely(func() error { return w.prepare(open) })
	ready <- err
	t0, ok := <-w.job.start
	if d := delayOf(w); err == nil && ok && w.wait(d) {
		w.runFrom(t0 + int64(d))
	} else {
		w.timing.measured = w.clock.Now()
		w.timing.ended = w.timing.measured
	}
	// What a worker still has in flight when it gives up, its queue waits for.
	if err := w.close(); err != nil && w.failure.err == nil {
		w.failure.err = err
	}
}

// delayOf draws a worker's start delay.
func delayOf(w *worker) time.Duration {
	d := w.job.spec.StartDelay
	if d.Max <= d.Min {
		return d.Min
	}
	return d.Min + time.Duration(mix(w.job.seed+uint64(w.index))%uint64(d.Max-d.Min+1))
}

// wait waits for a start delay; false when the job was ended first.
func (w *worker) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.job.halt:
		return false
	}
}

// prepare makes everything the loop needs, on the thread that will run it, so that memory is near its CPU
// and the ring belongs to its submitter. It leaves the goroutine locked to the thread for good: the thread,
// with its affinity, ends with it.
func (w *worker) prepare(open func(*worker, engine.Config) (engine.Queue, error)) error {
	runtime.LockOSThread()
	w.outcome.threadID = cpu.ThreadID()
	if err := w.setUpThread(); err != nil {
		return err
	}
	depth := w.config.Depth
	if w.config.BlockBytes > 0 && w.config.Buffers == nil {
		o := w.job.memory
		o.Huge, o.Populate = o.Huge || depth*w.config.BlockBytes >= hugeFrom, true
		arena, err := mem.Map(depth*w.config.BlockBytes, o)
		if err != nil {
			return memoryFault(w.job.spec, fmt.Errorf("worker %d: %w", w.index, err))
		}
		w.arena = arena
		w.config.Buffers = arena.Bytes()
	}
	if err := w.lockMemory(); err != nil {
		return err
	}
	if w.filler != nil && w.config.Buffers != nil {
		for s := range depth {
			w.filler.Prepare(w.config.Buffer(uint32(s)))
		}
	}
	w.slots = make([]slot, depth)
	w.free = make([]uint32, depth)
	for i := range w.free {
		w.free[i] = uint32(depth - 1 - i)
	}
	w.ios = make([]pattern.IO, depth)
	w.reqs = make([]engine.Request, depth)
	w.done = make([]engine.Completion, w.reapMax)
	w.win = newWindow(w.job, depth)
	w.box.empty.Store(newWindow(w.job, depth))
	queue, err := open(w, w.config)
	if err != nil {
		return fmt.Errorf("worker %d of job %s: %w", w.index, w.job.spec.Name, err)
	}
	w.queue = queue
	if w.rotation != nil {
		w.rotation.queue, w.queue = queue, w.rotation
	}
	if w.locking != nil {
		w.locking.Queue, w.queue = w.queue, w.locking
	}
	return nil
}

// setUpThread gives the calling thread, the worker's own or one of its pool, the worker's CPUs and priorities.
func (w *worker) setUpThread() error {
	if w.place.cpus != nil {
		if err := cpu.SetAffinity(w.place.cpus); err != nil {
			return fault.Wrap(err, fault.ExitUsage, "CPU_PIN", "taskset -p $$ shows the CPUs this process may use",
				"cannot pin worker %d of job %s to CPUs %v", w.index, w.job.spec.Name, w.place.cpus)
		}
	}
	return w.setPriority()
}

// setPriority gives the worker's thread the priorities that the job asks for.
func (w *worker) setPriority() error {
	s := w.job.spec
	var err error
	if s.Nice != 0 {
		err = cpu.SetNice(s.Nice)
	}
	// The kernel checks a request's priority as it checks a thread's: what is refused is so before the run.
	for _, p := range w.config.Priorities[min(1, len(w.config.Priorities)):] {
		err = errors.Join(err, cpu.SetIOPriority(p))
	}
	if own := s.OwnPriority(); own != 0 || len(w.config.Priorities) > 0 {
		err = errors.Join(err, cpu.SetIOPriority(uint16(own)))
	}
	if err != nil {
		return fault.Wrap(err, fault.ExitEnvironment, "PRIORITY", "higher priorities need root (CAP_SYS_NICE)", "job %s: cannot set nice, prio, prioclass, priohint or cmdprio", s.Name)
	}
	return nil
}

// hugeFrom is the arena size from which huge pages save more TLB misses than they waste memory.
const hugeFrom = 2 << 20

// runFrom runs the loop from t0 on, and leaves the figures for the conductor.
func (w *worker) runFrom(t0 int64) {
	if err := safely(func() error { w.measure(t0); return nil }); err != nil {
		w.failure = failure{err: err}
	}
	if w.verify == nil {
		return
	}
	if w.failure.err != nil {
		w.verify.abandon(w)
	}
	if err := safely(func() error { return w.verify.readPhase(w) }); err != nil && w.failure.err == nil {
		w.failure.err = err
	}
}

func (w *worker) measure(t0 int64) {
	w.sync = w.job.choice.Sync
	w.beginRamp(t0)
	w.endAt = math.MaxInt64
	if w.endsAt != 0 {
		w.endAt = w.endsAt
	}
	if w.logging != nil && w.job.spec.RampBytes == 0 {
		w.beginLogs()
	}
	if w.recording != nil {
		w.recording.from = t0
	}
	w.win.start = t0
	w.timing.measured = t0
	w.measureFrom()
	if w.pacing != nil {
		w.pacing.begin(t0)
		defer w.pacing.end()
	}
	if w.search != nil {
		w.search.begin(w)
	}
	var err error
	if w.verify != nil {
		err = w.verify.work(w)
	} else {
		err = w.loops()
	}
	if err == nil && w.job.syncsAtEnd() {
		err = w.syncAtEnd()
	}
	if err == nil && w.job.spec.EndSyncFS && w.job.spec.RW.Destructive() {
		for _, t := range w.targets {
			err = errors.Join(err, t.SyncFS())
		}
	}
	if err != nil {
		w.failure = failure{err: err}
	}
	w.timing.ended = w.clock.Now()
	w.checkLatency()
	w.win.end = w.timing.ended
	w.win.cpu, _ = cpu.Current()
	if w.timing.ramping {
		w.win.ramp = true
	}
	if usage, err := w.usage(); err == nil {
		w.outcome.usage = usage.Sub(w.timing.usage)
	}
	c := w.queue.Counters()
	c.Syscalls -= w.timing.counters.Syscalls
	c.LockWaitNS -= w.timing.counters.LockWaitNS
	c.LockAcquires -= w.timing.counters.LockAcquires
	w.outcome.counters = c
}

// syncAtEnd makes what was written stable (end_fsync), as part of the measured window. Nothing is in flight.
func (w *worker) syncAtEnd() error {
	for i := range w.targets {
		slot := w.free[len(w.free)-1]
		req := engine.Request{Op: engine.OpSync, File: uint16(i), Slot: slot}
		w.slots[slot].req = req
		w.reqs[0] = req
		w.free = w.free[:len(w.free)-1]
		w.intendNow(slot)
		for again := true; again; again = w.held > 0 { // it may have had to wait for the file's lock first
			if err := w.submit(1); err != nil {
				return err
			}
		}
		for got, err := 0, error(nil); got == 0; {
			if got, err = w.queue.Reap(w.done, 1, -1); err != nil {
				return err
			}
			w.record(w.done[:got], w.clock.Now())
		}
	}
	return nil
}

// safely turns a panic of f into an error: a bug must not take the other workers' figures with it, nor leave
// I/O in flight behind.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.ExitEnvironment, "BUG", "please report this with the command line", "blkmeter has a bug: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// close frees the queue and the memory, except buffers that the kernel may still write to: what Go puts in their
// place would be damaged.
func (w *worker) close() error {
	var err error
	if w.queue != nil {
		err = w.queue.Close()
	}
	if w.arena != nil && !errors.Is(err, engine.ErrInFlight) {
		err = errors.Join(err, w.arena.Unmap())
	}
	if w.locked != nil {
		err = errors.Join(err, w.locked.Unmap())
	}
	return err
}

// stuckAfter is how long a worker may take to finish what is in flight once the run is to end.
const stuckAfter = 10 * time.Second
