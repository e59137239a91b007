// Package run is the conductor: it opens the targets of a plan, places the workers, starts them together,
// takes their figures window by window, and stops them. It is the only room that puts load on a device.
package run

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
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
	targets   []*target.Target  // in the order in which they were opened
	indices   map[targetKey]int // into result.Targets
	planned   workloads.PlannedFiles
	filled    map[string]bool      // files laid out by this run
	asked     map[askedRegion]bool // whether they were ever written
	scratch   *target.Target
	locks     map[string]*sync.RWMutex // of lockfile, by resolved path
	flows     map[int]*flow            // by flow_id
	away      *sync.WaitGroup          // of the stage's workers, when some of them were given up
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
		topo: device.ReadTopology(o.Root, allowed), planned: workloads.PlannedFiles{}, filled: map[string]bool{}, flows: map[int]*flow{}, asked: map[askedRegion]bool{},
		result: newResult(o, plan),
	}
	defer func() { _ = c.whenBack(c.closeTargets) }()
	defer c.closeStates()
	c.jobs = arrange(plan.Jobs)
	for _, j := range c.jobs {
		if j.spec, err = FindFiles(j.spec); err != nil {
			return nil, err
		}
		c.planned.Add(j.spec)
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

// measure runs the stages one after another.
func (c *conductor) measure(ctx context.Context, startedAt int64) {
	stages := c.stages()
	for stage, jobs := range stages {
		s := &stageRun{conductor: c, jobs: jobs, number: stage + 1, stages: len(stages)}
		s.run(ctx)
		c.sealStates(jobs)
		for _, j := range jobs {
			view := j.settled(c.clock.Now())
			c.compareWithCeiling(view)
			c.reportJob(view, startedAt)
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
