// Package lockbench measures locks without any I/O: what a pair of lock and unlock costs alone, what becomes
// of throughput, waiting and fairness when threads contend, and how long an urgent thread waits behind one
// that was preempted (the inversion experiment).
//
// One worker is one goroutine locked to one thread that is bound to one CPU. Kernel spinlocks disable
// preemption and these cannot, so with more threads than CPUs the damage that FIFO spinlocks do here is
// larger than a kernel would let it become; the Result counts the involuntary switches.
package lockbench

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/internal/stats"
)

// Load is one experiment: threads that do nothing but take one lock, hold it, and give it back.
type Load struct {
	Kind       string        // of lock.Names
	Threads    int           // 1 or more
	CPUs       []int         // thread i is bound to CPUs[i modulo their number]; not empty
	HoldNS     int64         // length of the critical section beyond the lock's own cost
	Duration   time.Duration // of the measured window
	Ramp       time.Duration // before it, not measured
	YieldAfter uint32        // spinning locks yield after so many spins; 0 never
	StateDir   string        // of SysV records; empty: that of the journal
}

// Result is what one experiment found.
type Result struct {
	OpsPerS       float64   // passages through the critical section, all threads together
	PerThread     []float64 // passages of each thread in the window
	Jain          float64   // fairness over threads: 1 all equal, 1/n one had everything
	LongestGapNS  int64     // longest time between two looks at the clock of one thread
	GapPassages   uint32    // passages between two such looks: 1 makes the gap exact
	Waits         *hdrhistogram.Histogram
	ClockNS       float64 // cost of one look at the clock, contained in every wait and not subtracted
	WindowNS      int64
	CPUNS         int64 // processor time of the workers in the window
	Involuntary   int64 // context switches forced on the workers
	CollectorRuns uint64
}

// Phases of an experiment, as the workers see them.
const (
	ramping uint32 = iota
	measuring
	ended
)

// grace is how much longer than planned an experiment may take before its lock is stopped under the waiters. The
// thread that keeps the time is one among those that contend, and gets its turn when they have had theirs.
const (
	grace          = 5 * time.Second
	gracePerThread = 20 * time.Millisecond
)

// worker is one thread's private state.
type worker struct {
	passages uint64 // in the current phase
	total    uint64 // in all phases
	stride   uint32 // passages per look at the clock; a power of two
	gapNS    int64
	waits    *hdrhistogram.Histogram
	usage    cpu.Usage
	burnt    uint32 // what the critical section computed, so that it has to
	err      error
	_        [mem.LineBytes]byte
}

// shared lies off the heap, each word on a cache line of its own.
type shared struct {
	phase atomic.Uint32
	_     [mem.LineBytes - 4]byte
	// passages is guarded by the lock and by nothing else: if it is not the sum of what the workers counted,
	// the lock did not exclude.
	passages uint64
}

// bench is what the workers of one experiment have in common.
type bench struct {
	Load
	*shared
	lock    lock.Lock
	ready   atomic.Int32
	start   atomic.Bool
	base    time.Time
	clockNS float64
	spins   uint32 // of the critical section
	workers []worker
}

// Run makes one experiment. It fails when the lock cannot be made, when a thread cannot be bound, when ctx
// ends, and when two threads were in the critical section at once.
//
// While it runs, the collector is off and GOMAXPROCS is at least the number of threads plus two: a spinner
// keeps its Go processor, and with fewer the owner could be left without one.
func Run(ctx context.Context, l Load) (*Result, error) {
	if l.Threads < 1 || len(l.CPUs) == 0 || l.Duration <= 0 || l.HoldNS < 0 || l.Ramp < 0 {
		return nil, fmt.Errorf("no experiment: %+v", l)
	}
	restore := quiet(l.Threads + 2)
	defer restore()

	arena, slots, err := mem.Slots[shared](1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = arena.Unmap() }() // a failure to unmap leaves a page behind and the result right

	lk, err := lock.New(l.Kind, lock.Options{
		Holders: l.Threads, YieldAfter: l.YieldAfter, StateDir: l.StateDir,
		MaxLife: l.Ramp + l.Duration + grace + time.Duration(l.Threads)*gracePerThread,
	})
	if err != nil {
		return nil, err
	}
	b := &bench{
		Load: l, lock: lk, shared: slots[0], base: time.Now(), clockNS: clockCost(),
		spins: spinsFor(l.HoldNS), workers: make([]worker, l.Threads),
	}
	for i := range b.workers {
		b.workers[i].waits = hdrhistogram.New(1, int64(time.Hour), 3)
	}
	r, err := b.run(ctx)
	if closeErr := lk.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("freeing the %s lock: %w", l.Kind, closeErr)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// run starts the workers, lets them ramp and measure, and collects what they found.
func (b *bench) run(ctx context.Context) (*Result, error) {
	var all sync.WaitGroup
	for i := range b.workers {
		all.Go(func() { b.work(i) })
	}
	for int(b.ready.Load()) < b.Threads {
		runtime.Gosched()
	}
	b.start.Store(true)
	interrupted := pass(ctx, b.Ramp)
	collected := collections()
	from := time.Now()
	b.phase.Store(measuring)
	interrupted = interrupted || pass(ctx, b.Duration)
	b.phase.Store(ended)
	window := time.Since(from)
	b.lock.Stop()
	all.Wait()

	r := &Result{
		WindowNS: int64(window), CollectorRuns: collections() - collected, ClockNS: b.clockNS,
		Waits: hdrhistogram.New(1, int64(time.Hour), 3),
	}
	var measured, total uint64
	for i := range b.workers {
		w := &b.workers[i]
		if w.err != nil {
			return nil, fmt.Errorf("thread %d of the %s lock: %w", i, b.Kind, w.err)
		}
		measured, total = measured+w.passages, total+w.total
		r.PerThread = append(r.PerThread, float64(w.passages))
		r.LongestGapNS, r.GapPassages = max(r.LongestGapNS, w.gapNS), max(r.GapPassages, w.stride)
		r.CPUNS += w.usage.UserNS + w.usage.SysNS
		r.Involuntary += w.usage.InvoluntarySwitches
		if dropped := r.Waits.Merge(w.waits); dropped != 0 {
			return nil, fmt.Errorf("%d waits of the %s lock were longer than an hour", dropped, b.Kind)
		}
	}
	if total != b.passages {
		return nil, fmt.Errorf("the %s lock did not exclude: %d passages became %d", b.Kind, total, b.passages)
	}
	if interrupted {
		return nil, fmt.Errorf("measuring the %s lock: %w", b.Kind, context.Cause(ctx))
	}
	r.OpsPerS = float64(measured) / window.Seconds()
	r.Jain = stats.Jain(r.PerThread)
	return r, nil
}

// work is one thread from its binding to the end.
func (b *bench) work(i int) {
	w := &b.workers[i]
	runtime.LockOSThread() // never unlocked: a bound thread must not serve other goroutines
	w.err = cpu.SetAffinity(b.CPUs[i%len(b.CPUs) : i%len(b.CPUs)+1])
	h := lock.NewHolder(i)
	b.ready.Add(1)
	for !b.start.Load() {
		runtime.Gosched()
	}
	if w.err != nil {
		return
	}
	w.stride = maxStride
	from := time.Since(b.base)
	ramped := b.passUntil(h, w, measuring)
	took := time.Since(b.base) - from
	w.stride = strideFor(b.clockNS, took, w.passages)
	w.passages = 0
	w.waits.Reset()
	if !ramped {
		return // starved through the whole window, or failed
	}
	before, err := cpu.ThreadUsage()
	if err != nil {
		w.err = err
		return
	}
	w.gapNS = 0
	b.passUntil(h, w, ended)
	after, err := cpu.ThreadUsage()
	if w.err == nil {
		w.err = err
	}
	w.usage = after.Sub(before)
}

// passUntil passes through the critical section until the phase has come. It returns false when the lock was
// stopped or failed first; only the latter is an error.
func (b *bench) passUntil(h *lock.Holder, w *worker, phase uint32) bool {
	mask := w.stride - 1
	last := time.Since(b.base)
	for n := uint32(0); b.phase.Load() < phase; n++ {
		look := n&mask == 0
		var asked time.Duration
		if look {
			asked = time.Since(b.base)
		}
		if err := b.lock.Lock(h); err != nil {
			w.gapNS = max(w.gapNS, int64(time.Since(b.base)-last)) // a wait that the end cut off was one still
			if b.phase.Load() != ended || !errors.Is(err, lock.ErrStopped) {
				w.err = err
			}
			return false
		}
		if look {
			got := time.Since(b.base)
			if err := w.waits.RecordValue(max(int64(got-asked), 1)); err != nil {
				w.err = err
			}
			w.gapNS = max(w.gapNS, int64(got-last))
			last = got
		}
		w.burnt ^= burn(b.spins)
		b.passages++
		b.lock.Unlock(h)
		w.passages++
		w.total++
	}
	return w.err == nil
}

// maxStride is how many passages a fast lock makes between two looks at the clock.
const maxStride = 64

// strideFor returns the smallest power of two, up to maxStride, at which two looks at the clock cost less than
// 2 % of the passages between them.
func strideFor(clockNS float64, took time.Duration, passages uint64) uint32 {
	if passages == 0 {
		return 1
	}
	perPassage := float64(took) / float64(passages)
	need := 2 * clockNS / (0.02 * perPassage)
	stride := uint32(1)
	for float64(stride) < need && stride < maxStride {
		stride *= 2
	}
	return stride
}

// Uncontended returns what one pair of lock and unlock costs a single thread that nobody disturbs, bound to
// the first of the CPUs: the median over batches, so that a neighbour's time slice does not count.
func Uncontended(ctx context.Context, l Load) (pairNS float64, err error) {
	if len(l.CPUs) == 0 || l.Duration <= 0 {
		return 0, fmt.Errorf("no experiment: %+v", l)
	}
	restore := quiet(2)
	defer restore()
	lk, err := lock.New(l.Kind, lock.Options{Holders: 1, StateDir: l.StateDir, MaxLife: l.Ramp + l.Duration + grace})
	if err != nil {
		return 0, err
	}
	done := make(chan struct{})
	var batches []float64
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		if err = cpu.SetAffinity(l.CPUs[:1]); err != nil {
			return
		}
		h := lock.NewHolder(0)
		const pairs = 256
		batches = make([]float64, 0, 1<<16)
		for from := time.Now(); time.Since(from) < l.Ramp+l.Duration && len(batches) < cap(batches) && ctx.Err() == nil; {
			began := time.Now()
			for range pairs {
				if err = lk.Lock(h); err != nil {
					return
				}
				lk.Unlock(h)
			}
			batches = append(batches, float64(time.Since(began))/pairs)
		}
	}()
	<-done
	if closeErr := lk.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("measuring an uncontended %s lock: %w", l.Kind, err)
	}
	return stats.Median(batches), nil
}

// quiet switches the collector off and sees to processors enough; the function it returns undoes both.
func quiet(procs int) (restore func()) {
	runtime.GC()
	percent := debug.SetGCPercent(-1)
	before := runtime.GOMAXPROCS(0)
	if before < procs {
		runtime.GOMAXPROCS(procs)
	}
	return func() {
		runtime.GOMAXPROCS(before)
		debug.SetGCPercent(percent)
	}
}

// collections returns how often the collector has run.
func collections() uint64 {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// pass waits for d to pass and says whether ctx ended first.
func pass(ctx context.Context, d time.Duration) (interrupted bool) {
	if d <= 0 {
		return ctx.Err() != nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-ctx.Done():
		return true
	}
}

// clockCost returns what time.Since costs: the smallest of some batches.
func clockCost() float64 {
	base, best := time.Now(), time.Duration(1<<62)
	const looks = 200
	for range 20 {
		from := time.Since(base)
		for range looks {
			time.Since(base)
		}
		best = min(best, time.Since(base)-from)
	}
	return float64(best) / looks
}

// burn works for a number of rounds that the compiler cannot skip.
//
//go:noinline
func burn(rounds uint32) uint32 {
	x := rounds
	for range rounds {
		x = bits.RotateLeft32(x*2654435761, 7)
	}
	return x
}

// spinsFor returns the rounds of burn that take about ns nanoseconds.
func spinsFor(ns int64) uint32 {
	if ns == 0 {
		return 0
	}
	const rounds = 20_000
	best, burnt := time.Duration(1<<62), uint32(0)
	for range 10 {
		from := time.Now()
		burnt ^= burn(rounds)
		best = min(best, time.Since(from))
	}
	runtime.KeepAlive(burnt)
	return max(uint32(float64(ns)*rounds/float64(best)), 1)
}
