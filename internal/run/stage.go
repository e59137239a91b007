package run

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/shared"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/explain"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/journal"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/report"
)

// stageRun is the jobs that run at the same time.
type stageRun struct {
	*conductor
	jobs     []*jobRun
	number   int
	stages   int
	t0       int64 // the common start, ns of the run's clock
	workers  []*worker
	events   chan *worker // that have ended
	commands chan commandEnd
	launched int // commands that run
	done     sync.WaitGroup
	last     lastWindow
	session  *explain.Session // counts while the workers run; nil in a measured pass
	counts   explain.Counts   // what it counted
}

// lastWindow is what the progress line shows.
type lastWindow struct {
	iops, bw float64
	p99      int64
}

// run prepares the stage's workers, starts them together, and returns when all have ended.
func (s *stageRun) run(ctx context.Context) {
	for _, j := range s.jobs {
		s.workers = append(s.workers, j.workers...)
	}
	restore, err := s.useSchedulers()
	if err != nil {
		s.fail(err)
		return
	}
	defer restore()
	defer s.addProcessors()()
	if err := s.checkMemory(); err != nil {
		s.fail(err)
		return
	}
	opens, closeShared, err := s.queues()
	if err != nil {
		s.fail(err)
		return
	}
	defer func() { s.fail(s.whenBack(closeShared)) }()
	err = s.prepare(opens)
	if err == nil {
		s.beforehand(ctx)
		err = s.prepareTargets()
	}
	s.tellPages()
	if err == nil {
		var forget func() error
		forget, err = s.setLifetimes()
		defer func() { s.fail(forget()) }()
	}
	if err != nil || ctx.Err() != nil {
		for _, j := range s.jobs {
			close(j.start)
		}
		s.done.Wait()
		s.fail(err)
		return
	}
	for _, j := range s.jobs {
		for _, w := range j.workers {
			j.totals = append(j.totals, newTotals(j, j.depth))
			if w.index == 0 && w.features != nil {
				j.features = w.features
			}
		}
	}
	defer s.keepAway()()
	from, until := s.load(ctx)
	s.finalWindows()
	if s.o.Cost {
		s.noteCost(from, until)
	}
}

// addProcessors gives the Go scheduler a processor for each thread of the stage, and returns what undoes that: a
// worker that returns from a system call needs one at once.
func (s *stageRun) addProcessors() func() {
	procs := runtime.GOMAXPROCS(0)
	if need := len(s.workers) + 2 + s.logWriters() + s.poolThreads() + s.checkers(); need > procs {
		runtime.GOMAXPROCS(need)
	}
	s.result.Host.GOMAXPROCS = max(s.result.Host.GOMAXPROCS, runtime.GOMAXPROCS(0))
	return func() { runtime.GOMAXPROCS(procs) }
}

// prepare starts the workers' goroutines, each of which makes all that its loop needs and then waits for its job to
// begin. It returns the first error when all are ready or have failed.
func (s *stageRun) prepare(opens map[*jobRun]opener) error {
	ready := make(chan error, len(s.workers))
	s.events = make(chan *worker, len(s.workers))
	s.commands = make(chan commandEnd, 2*len(s.jobs))
	for _, j := range s.jobs {
		j.start, j.halt, j.running = make(chan int64, len(j.workers)), make(chan struct{}), len(j.workers)
	}
	for _, w := range s.workers {
		s.done.Add(1)
		go func() {
			defer func() {
				w.ended.Store(true)
				s.events <- w
				s.done.Done()
			}()
			w.live(opens[w.job], ready)
		}()
	}
	var first error
	for range s.workers {
		if err := <-ready; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// prepareTargets publishes the verify states that the jobs will leave, and drops the targets' caches.
func (s *stageRun) prepareTargets() error {
	for _, j := range s.jobs {
		if j.state != nil {
			if err := j.state.publish(); err != nil {
				return err
			}
		}
		for _, w := range j.workers {
			for _, t := range w.targets {
				if err := j.prepareCache(t); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// load has the jobs begin and waits for all that was started, with the garbage collector held and everything that
// is to count counting. Where the cost is asked for, it returns what it was at both ends.
func (s *stageRun) load(ctx context.Context) (from, until cost) {
	defer holdCollector()()
	collections, pauses := collectorCycles()
	if s.session != nil {
		s.session.Start()
	}
	s.joinFlows()
	if s.o.Cost {
		from = s.readCost()
	}
	s.t0 = s.clock.Now()
	for _, j := range s.jobs {
		if !s.waits(j) {
			s.begin(j, s.t0)
		}
	}
	s.watch(ctx)
	for len(s.events) > 0 {
		s.left(ctx, <-s.events)
	}
	for s.launched > 0 {
		s.landed(ctx, <-s.commands)
	}
	if s.session != nil {
		s.counts = s.session.Stop()
	}
	if s.o.Cost {
		until = s.readCost()
	}
	after, pausesAfter := collectorCycles()
	s.result.Collector.Cycles += after - collections
	s.result.Collector.PauseNS += pausesAfter - pauses
	return from, until
}

// opener makes a worker's queue on the worker's thread.
type opener func(*worker, engine.Config) (engine.Queue, error)

// queues returns, per job, how its workers come by their queues: each its own, or a place at the one that
// all share; and what frees the shared ones.
func (s *stageRun) queues() (map[*jobRun]opener, func() error, error) {
	opens := map[*jobRun]opener{}
	closeAll := func() error {
		var errs []error
		for _, j := range s.jobs {
			if j.shared != nil {
				errs = append(errs, j.shared.Close())
			}
		}
		return errors.Join(errs...)
	}
	for _, j := range s.jobs {
		if j.spec.Offload {
			opens[j] = (*worker).openPool
			continue
		}
		if !j.spec.SharedQueue {
			opens[j] = func(w *worker, cfg engine.Config) (engine.Queue, error) {
				q, err := catalog.Open(j.choice.Name, cfg, w.targets)
				w.features = q.Features
				return q.Queue, err
			}
			continue
		}
		q, err := shared.New(shared.Options{
			Lock: j.spec.QueueLock, Variant: shared.Variant(j.spec.QueueVariant), HoldNS: j.spec.HoldNS, Members: len(j.workers), Config: j.workers[0].config, Memory: j.memory, StateDir: journal.Dir(s.o.Env), Now: s.clock.Now,
			Open: func(cfg engine.Config) (engine.Queue, error) {
				q, err := catalog.Open(j.choice.Name, cfg, j.workers[0].targets)
				j.features = q.Features
				return q.Queue, err
			},
		})
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		j.shared = q
		for i, w := range j.workers {
			w.config.Buffers = q.Buffers(i)
		}
		opens[j] = func(w *worker, cfg engine.Config) (engine.Queue, error) { return q.Join(w.index) }
	}
	return opens, closeAll, nil
}

// keepAway binds all threads but the workers to CPUs without workers, where there are any, and returns what
// undoes it: a runtime thread that wakes on a worker's CPU, as its timers do thousands of times a second while
// workers wait in the kernel, delays the worker's own wake-up.
func (s *stageRun) keepAway() func() {
	var rest, workers []int
	for _, c := range s.topo.CPUs {
		if !slices.ContainsFunc(s.workers, func(w *worker) bool { return w.place.cpus == nil || slices.Contains(w.place.cpus, c.ID) }) {
			rest = append(rest, c.ID)
		}
	}
	for _, w := range s.workers {
		workers = append(workers, w.outcome.threadID)
		if w.pool != nil {
			workers = append(workers, w.pool.ThreadIDs()...)
		}
	}
	if len(rest) == 0 {
		return func() {}
	}
	undo, err := cpu.Confine(rest, workers)
	if err != nil {
		return func() {}
	}
	for _, j := range s.jobs {
		j.decide("other threads", "CPUs "+device.FormatCPUList(rest), "the program's own threads keep off the workers' CPUs")
	}
	return undo
}

// holdCollector collects garbage now and keeps the collector away from the measured windows, unless memory
// would grow by much. It returns what undoes that.
func holdCollector() func() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	limit := debug.SetMemoryLimit(int64(m.Sys) + 1<<30)
	percent := debug.SetGCPercent(-1)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

func collectorCycles() (cycles, pauseNS int64) {
	var st debug.GCStats
	debug.ReadGCStats(&st)
	return st.NumGC, int64(st.PauseTotal)
}

// watch takes windows from the workers until all have ended, ends them when ctx does or their time is over,
// and gives up on those that do not come back from the kernel.
func (s *stageRun) watch(ctx context.Context) {
	ended := make(chan struct{})
	go func() { s.done.Wait(); close(ended) }()
	tick := time.NewTicker(Interval / 4)
	defer tick.Stop()
	interrupted := ctx.Done()
	var stopAt int64 // when the workers were told to stop, ns of the run's clock
	for {
		select {
		case <-ended:
			return
		case <-interrupted:
			interrupted = nil
			for _, j := range s.jobs {
				s.end(j)
			}
			stopAt = s.clock.Now()
			s.wake()
		case w := <-s.events:
			s.left(ctx, w)
		case e := <-s.commands:
			s.landed(ctx, e)
		case <-tick.C:
			s.collect()
			now := s.clock.Now()
			switch overdue := s.overdue(now); {
			case stopAt == 0 && overdue:
				stopAt = now
			case !overdue && interrupted != nil:
				stopAt = 0 // a worker that was late has come to read back what it wrote
			}
			if stopAt != 0 {
				s.wake()
				if now-stopAt > int64(stuckAfter) {
					s.giveUp()
					return
				}
			}
			s.progress(now)
		case <-s.o.Ask:
			s.collect()
			now := s.clock.Now()
			s.o.Interim(s.interim(now), s.remaining(now))
		}
	}
}

// overdue says whether every running worker's time is over: those that wait for the kernel must be woken.
func (s *stageRun) overdue(now int64) bool {
	for _, w := range s.workers {
		if !w.ended.Load() && (w.deadline() == 0 || now < w.deadline() || w.reading.Load()) {
			return false
		}
	}
	return true
}

// wake interrupts the system calls in which workers wait, so that they look at the clock and the stop flag.
func (s *stageRun) wake() {
	for _, w := range s.workers {
		if !w.ended.Load() {
			cpu.Wake(w.outcome.threadID)
		}
	}
}

// giveUp reports workers that did not come back: the device does not answer, and nothing in userspace can
// take its I/O back.
func (s *stageRun) giveUp() {
	n := 0
	for _, w := range s.workers {
		if !w.ended.Load() {
			n++
			w.lost = true
		}
	}
	for _, j := range s.jobs {
		s.end(j)
	}
	s.away = &s.done
	s.fail(fault.New(fault.ExitIO, "DEVICE_HANGS", "look at the kernel's log; the I/O stays in flight until the device answers or is reset",
		"%d workers did not come back from the kernel within %v of the end", n, stuckAfter))
}

// whenBack calls what frees things that workers use: now, or when those that were given up have come back from the
// kernel, if they ever do. By then nobody asks for errors any more.
func (c *conductor) whenBack(free func() error) error {
	if c.away == nil {
		return free()
	}
	go func() {
		c.away.Wait()
		_ = free()
	}()
	return nil
}

// collect moves finished windows into the totals.
func (s *stageRun) collect() {
	for _, j := range s.jobs {
		if j.series == nil {
			continue // it waits for another job
		}
		for i, w := range j.workers {
			if full := w.box.take(); full != nil {
				j.totals[i].add(full)
				j.series.add(full)
				w.box.giveBack(full)
			}
		}
		s.endRamp(j)
		for _, iv := range j.series.close(false) {
			s.last.note(iv)
		}
		if j.steady != nil && j.steady.look(j.series.closed) {
			s.end(j)
		}
	}
}

func (l *lastWindow) note(iv report.Interval) {
	*l = lastWindow{}
	for _, d := range []*report.IntervalStat{iv.Read, iv.Write, iv.Trim} {
		if d != nil {
			l.iops += d.IOPS
			l.bw += d.BW
			l.p99 = max(l.p99, d.P99NS)
		}
	}
}

func (s *stageRun) progress(now int64) {
	if s.o.Progress == nil {
		return
	}
	p := Progress{
		Elapsed: time.Duration(now - s.t0), Remaining: s.remaining(now), IOPS: s.last.iops, BW: s.last.bw, P99NS: s.last.p99,
		Stage: s.number, Stages: s.stages,
	}
	for _, j := range s.jobs {
		p.Jobs = append(p.Jobs, j.spec.Name)
	}
	s.o.Progress(p)
}

// remaining is how long the stage's workers still may run, negative when one of them has no time limit.
func (s *stageRun) remaining(now int64) time.Duration {
	end := int64(0)
	for _, w := range s.workers {
		end = max(end, w.deadline())
	}
	if end == 0 {
		return -1
	}
	return max(time.Duration(end-now), 0)
}

// finalWindows closes what the windows of all workers were added to.
func (s *stageRun) finalWindows() {
	for _, j := range s.jobs {
		if j.series == nil {
			continue // it never began
		}
		if j.shared != nil && !j.lost() {
			// Nobody can say which of the workers a system call was for: the first has them all.
			c := j.shared.Counters()
			j.workers[0].outcome.counters.Syscalls, j.workers[0].outcome.counters.Overflows = c.Syscalls, c.Overflows
		}
		j.series.close(true)
	}
}

// takeLast takes what a worker that has ended had not handed over.
func (s *stageRun) takeLast(w *worker) {
	j := w.job
	if j.series == nil || w.lost || w.win == nil {
		return // it never began, was given up, or failed to begin
	}
	if full := w.box.take(); full != nil {
		j.totals[w.index].add(full)
		j.series.add(full)
	}
	j.totals[w.index].add(w.win)
	j.series.leave(j.series.add(w.win))
}
