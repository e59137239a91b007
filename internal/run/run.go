// Package run is the conductor: it opens the targets of a plan, places the workers, starts them together,
// takes their figures window by window, and stops them. It is the only room that puts load on a device.
package run

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/shared"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/explain"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/journal"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/watch"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Interval is the length of a window of the series.
const Interval = 500 * time.Millisecond

// Options is what a run needs beside its plan.
type Options struct {
	Tool      report.Tool
	Command   []string            // argv, for the Result
	Env       func(string) string // the environment; nil: empty
	Scratch   *target.Target      // for jobs that ask for a scratch file, instead of one of the run's own; it stays open
	Say       func(string)        // told in words what takes time before the load starts; nil: silent
	Progress  func(Progress)      // called about once per window while workers run; nil: silent
	Overwrite bool                // existing regular files named by write jobs are overwritten within their size, as fio does
	GoOn      bool                // stages behind a job that failed run, too, as in fio
	Clock     string              // "monotonic" rules the time stamp counter out
	Root      device.Root         // of /sys and /proc; "" is this machine's
	DumpDir   string              // where verify_dump puts blocks and verify states lie; "": the working directory
	Explain   bool                // repeat each stage for a moment with the kernel's tracepoints counting
	Set       []device.Setting    // changes to the queues of the targets' disks, for the run
	NoIdle    bool                // keep the CPUs awake meanwhile
	IdleCPUs  IdleCPUs            // whether to tell how idle the CPUs were
	Cost      bool                // whether to tell what the stages cost in processor time, kernel threads included

	// Each receive from Ask while workers run has Interim called with the Result of what was done until about
	// the last window's end, with [report.StatusRunning], and with the time left, negative when that is not
	// known. Interim must not block: it holds up the taking of windows. Both nil: never.
	Ask     <-chan struct{}
	Interim func(soFar *report.Result, left time.Duration)
}

// Progress is the state of a run that is going on.
type Progress struct {
	Elapsed   time.Duration // since the start of the stage
	Remaining time.Duration // until its time is over; negative when that is not known
	Jobs      []string      // names of the jobs that run
	IOPS      float64       // of the last window, all directions
	BW        float64       // bytes per second of the last window
	P99NS     int64         // completion latency of the last window: the highest of the jobs
	Stage     int           // from 1
	Stages    int
}

// conductor is one run.
type conductor struct {
	o         Options
	clock     *clock.Clock
	opener    target.Opener
	topo      device.Topology
	result    *report.Result
	jobs      []*jobRun
	targets   []*target.Target     // in the order in which they were opened
	indices   map[targetKey]int    // into result.Targets
	filled    map[string]bool      // files laid out by this run
	asked     map[askedRegion]bool // whether they were ever written
	scratch   *target.Target
	locks     map[string]*sync.RWMutex // of lockfile, by resolved path
	flows     map[int]*flow            // by flow_id
	halted    bool                     // no further stage is to run
	broken    bool                     // likewise: something failed that is not a job's work
	before    map[blk.DevT]device.Counters
	countedAt int64 // when, ns of the clock
	started   int64 // of the first job, ns of the clock
	idleFrom  []device.CPUTimes
}

// Run does what the plan says and returns what happened. The Result is nil only when nothing was started:
// the error then says why. Otherwise the Result is complete or partial, and says itself what went wrong
// and with which code to exit. When ctx ends, workers finish what they have in flight and the Result is
// that of an interrupted run.
func Run(ctx context.Context, plan *workloads.Plan, o Options) (*report.Result, error) {
	if o.Env == nil {
		o.Env = func(string) string { return "" }
	}
	if len(plan.Jobs) == 0 {
		return nil, fault.Usage("NO_JOBS", "name a job file, or give options such as --filename and --rw", "there is nothing to run")
	}
	allowed, err := cpu.Affinity()
	if err != nil {
		return nil, fmt.Errorf("asking for the CPUs that this process may use: %w", err)
	}
	c := &conductor{
		o: o, clock: clock.New(o.Clock), opener: target.Opener{Root: o.Root},
		topo: device.ReadTopology(o.Root, allowed), filled: map[string]bool{}, flows: map[int]*flow{}, asked: map[askedRegion]bool{},
		result: newResult(o, plan),
	}
	defer c.closeTargets()
	defer c.closeStates()
	c.jobs = arrange(plan.Jobs)
	for _, j := range c.jobs {
		if j.spec, err = FindFiles(j.spec); err != nil {
			return nil, err
		}
	}
	c.limitOpenFiles(device.OpenFilesLimit())
	for _, j := range c.jobs {
		if err := unsupported(j.spec); err != nil {
			return nil, err
		}
	}
	for _, j := range c.jobs {
		j.seed = seedOf(j.spec)
		if j.ignored, err = errnos(j.spec); err != nil {
			return nil, err
		}
		if err := c.open(ctx, j); err != nil {
			return nil, err
		}
	}
	if err := c.checkApart(); err != nil {
		return nil, err
	}
	if err := c.placeAll(); err != nil {
		return nil, err
	}
	c.say(c.placesInWords())
	if len(o.Set) > 0 {
		restore, err := c.applySettings()
		if err != nil {
			return nil, err
		}
		defer restore()
	}
	if err := c.checkClocks(); err != nil {
		return nil, err
	}
	if err := c.checkSchedulers(); err != nil {
		return nil, err
	}
	if err := c.openLogs(); err != nil {
		return nil, err
	}
	if err := c.openRecordings(); err != nil {
		return nil, err
	}
	c.describe()
	if o.NoIdle {
		awake, err := watch.KeepAwake(o.Root)
		if err != nil {
			return nil, err
		}
		defer awake.Close()
	}
	c.started = c.clock.Now()
	c.result.StartedAt = c.clock.At(c.started)
	c.readCounters()
	watcher := c.watchOver(c.started)
	c.measure(ctx, c.started)
	c.watched(watcher)
	c.finish(ctx, c.started)
	for _, j := range c.jobs {
		c.fail(c.closeLogs(j))
		c.fail(c.closeRecordings(j))
	}
	if o.Explain {
		c.explain(ctx)
	}
	return c.result, nil
}

func (c *conductor) say(words string) {
	if c.o.Say != nil {
		c.o.Say(words)
	}
}

func (c *conductor) warn(code, sentence, hint string) {
	w := workloads.Warning{Code: code, Sentence: sentence, Hint: hint}
	if !slices.Contains(c.result.Warnings, w) {
		c.result.Warnings = append(c.result.Warnings, w)
	}
}

// register notes an open target; several opens of the same one are one target of the Result.
func (c *conductor) register(t *target.Target, scratch bool) {
	c.targets = append(c.targets, t)
	if c.targetIndex(t) >= 0 {
		return
	}
	var sibling *report.Target // on the same disk: what is known of that need not be asked again
	if i := len(c.result.Targets) - 1; i >= 0 && c.result.Targets[i].Device == t.Facts().Disk {
		sibling = &c.result.Targets[i]
	}
	c.result.Targets = append(c.result.Targets, describeTarget(c.o.Root, t, sibling, scratch))
}

// askedRegion is a part of a target of which is known whether it was ever written: clones share it, and so do jobs.
type askedRegion struct {
	resolved  string
	low, high int64
}

// targetKey tells the Result's targets apart.
type targetKey struct {
	path, resolved string
	direct         bool
}

// targetIndex returns which of the Result's targets t is, or -1.
func (c *conductor) targetIndex(t *target.Target) int {
	if c.indices == nil {
		c.indices = map[targetKey]int{}
	}
	for i := len(c.indices); i < len(c.result.Targets); i++ {
		r := &c.result.Targets[i]
		c.indices[targetKey{r.Path, r.Resolved, r.DirectIO}] = i
	}
	if i, ok := c.indices[targetKey{t.Path(), t.Resolved(), t.Direct()}]; ok {
		return i
	}
	return -1
}

func (c *conductor) closeTargets() {
	for _, t := range c.targets {
		if t != c.o.Scratch {
			t.Close()
		}
	}
}

// placeAll places the workers of each stage: jobs that run together share the CPUs in turn.
func (c *conductor) placeAll() error {
	taken := map[int]int{}
	for _, j := range c.jobs {
		if err := c.placeWorkers(j, taken[j.stage]); err != nil {
			return fmt.Errorf("job %s: %w", j.spec.Name, err)
		}
		taken[j.stage] += len(j.workers)
	}
	for _, n := range taken {
		if n > len(c.topo.CPUs) {
			c.warn("MORE_WORKERS_THAN_CPUS", fmt.Sprintf("%d workers run together on %d CPUs, so they take turns and latencies include waiting for a CPU", n, len(c.topo.CPUs)),
				"use fewer --numjobs and a deeper --iodepth")
		}
	}
	return nil
}

// measure runs the stages one after another.
func (c *conductor) measure(ctx context.Context, startedAt int64) {
	stages := c.stages()
	for stage, jobs := range stages {
		s := &stageRun{conductor: c, jobs: jobs, number: stage + 1, stages: len(stages)}
		s.run(ctx)
		c.sealStates(jobs)
		for _, j := range jobs {
			c.compareWithCeiling(j)
			c.reportJob(j, startedAt)
			c.removeFiles(j)
		}
		why := ""
		switch {
		case ctx.Err() != nil:
			why = "the run was interrupted"
		case c.halted:
			why = "a job before it ended all others (exit_what=all)"
		case c.broken, c.result.Error != nil && !c.o.GoOn:
			why = "the run ended with an error"
		}
		if why != "" {
			for _, jobs := range stages[stage+1:] {
				c.skip(jobs, why)
			}
			return
		}
	}
}

// skip reports jobs that never begin.
func (c *conductor) skip(jobs []*jobRun, why string) {
	for _, j := range jobs {
		out := c.headOf(j)
		out.Skipped = why
		c.result.Jobs = append(c.result.Jobs, out)
	}
}

// stages returns the jobs by stage.
func (c *conductor) stages() [][]*jobRun {
	stages := make([][]*jobRun, c.jobs[len(c.jobs)-1].stage+1)
	for _, j := range c.jobs {
		stages[j.stage] = append(stages[j.stage], j)
	}
	return stages
}

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
	procs := runtime.GOMAXPROCS(0)
	if need := len(s.workers) + 2 + s.logWriters() + s.poolThreads() + s.checkers(); need > procs {
		// A worker that returns from a system call needs a processor of the Go scheduler at once.
		runtime.GOMAXPROCS(need)
		defer runtime.GOMAXPROCS(procs)
	}
	s.result.Host.GOMAXPROCS = max(s.result.Host.GOMAXPROCS, runtime.GOMAXPROCS(0))

	ready := make(chan error, len(s.workers))
	s.events = make(chan *worker, len(s.workers))
	s.commands = make(chan commandEnd, 2*len(s.jobs))
	if err := s.checkLockedMemory(); err != nil {
		s.fail(err)
		return
	}
	opens, closeShared, err := s.queues()
	if err != nil {
		s.fail(err)
		return
	}
	defer func() { s.fail(closeShared()) }()
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
			if w.verify != nil {
				defer w.verify.leave()
			}
			err := safely(func() error { return w.prepare(opens[w.job]) })
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
		}()
	}
	var failed error
	for range s.workers {
		if err := <-ready; err != nil && failed == nil {
			failed = err
		}
	}
	if failed == nil {
		s.beforehand(ctx)
	}
	for _, j := range s.jobs {
		if j.state != nil && failed == nil {
			failed = j.state.publish()
		}
		for _, w := range j.workers {
			for _, t := range w.targets {
				if failed == nil {
					failed = j.prepareCache(t)
				}
			}
		}
	}
	s.tellPages()
	if failed == nil {
		var forget func() error
		forget, failed = s.setLifetimes()
		defer func() { s.fail(forget()) }()
	}
	if failed != nil || ctx.Err() != nil {
		for _, j := range s.jobs {
			close(j.start)
		}
		s.done.Wait()
		s.fail(failed)
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
	resume := holdCollector()
	collections, pauses := collectorCycles()
	if s.session != nil {
		s.session.Start()
	}
	s.joinFlows()
	var from, until cost
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
	resume()
	s.finalWindows()
	if s.o.Cost {
		s.noteCost(from, until)
	}
}

func (c *conductor) fail(err error) {
	if err == nil {
		return
	}
	if c.broken = true; c.result.Error != nil {
		return
	}
	f := fault.Of(err)
	c.result.Error = &report.Error{Code: f.Code, Sentence: err.Error(), Hint: f.Hint}
	c.result.ExitCode = f.Exit
	c.result.Status = report.StatusFailed
}

// opener makes a worker's queue on the worker's thread.
type opener func(*worker, engine.Config) (engine.Queue, error)

// queues returns, per job, how its workers come by their queues: each its own, or a place at the one that
// all share; and what frees the shared ones.
func (s *stageRun) queues() (map[*jobRun]opener, func() error, error) {
	opens := map[*jobRun]opener{}
	var queues []*shared.Queue
	closeAll := func() error {
		var errs []error
		for _, q := range queues {
			errs = append(errs, q.Close())
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
		queues = append(queues, q)
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
	s.fail(fault.New(fault.ExitIO, "DEVICE_HANGS", "look at the kernel's log; the I/O stays in flight until the device answers or is reset",
		"%d workers did not come back from the kernel within %v of the end", n, stuckAfter))
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

// finalWindows takes what the workers had not handed over when they ended.
func (s *stageRun) finalWindows() {
	for _, j := range s.jobs {
		if j.series == nil {
			continue // it never began
		}
		for i, w := range j.workers {
			if w.lost || w.win == nil {
				continue // still the worker's
			}
			if full := w.box.take(); full != nil {
				j.totals[i].add(full)
				j.series.add(full)
			}
			j.totals[i].add(w.win)
			j.series.add(w.win)
		}
		if j.shared != nil && !slices.ContainsFunc(j.workers, func(w *worker) bool { return w.lost }) {
			// Nobody can say which of the workers a system call was for: the first has them all.
			c := j.shared.Counters()
			j.workers[0].outcome.counters.Syscalls, j.workers[0].outcome.counters.Overflows = c.Syscalls, c.Overflows
		}
		j.series.close(true)
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

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
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
