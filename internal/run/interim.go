package run

import (
	"slices"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/report"
)

// IdleCPUs says what to tell of how idle the CPUs were.
type IdleCPUs string

// The values of fio's idle-prof; "" tells nothing.
const (
	IdleSystem IdleCPUs = "system" // the mean of all CPUs
	IdlePerCPU IdleCPUs = "percpu" // each of them, too
)

// interim makes the Result of what was done so far. Workers are not asked: it is made of the windows that
// they handed over, which end up to an interval ago.
func (s *stageRun) interim(now int64) *report.Result {
	result := *s.result
	result.Status, result.EndedAt, result.ElapsedNS = report.StatusRunning, s.clock.At(now), now-s.started
	result.Jobs, result.Warnings = slices.Clone(result.Jobs), slices.Clone(result.Warnings)
	result.Targets = slices.Clone(result.Targets)
	view := &conductor{
		o: s.o, clock: s.clock, started: s.started, result: &result, jobs: s.conductor.jobs, targets: s.targets, before: s.before,
		countedAt: s.countedAt, idleFrom: s.idleFrom,
	}
	for _, j := range s.conductor.jobs {
		if j.stage >= s.number-1 {
			view.reportJob(j.soFar(now), s.started)
		}
	}
	view.readKernel()
	view.readIdle()
	return &result
}

// soFar is the job as its windows show it until now: what a running worker keeps for itself is left out.
func (j *jobRun) soFar(now int64) *jobRun {
	view := *j
	view.workers, view.totals = nil, nil
	if j.series != nil {
		view.series = &series{closed: slices.Clone(j.series.closed)}
	}
	for i := range j.workers {
		w, t := j.standIn(i, now)
		w.job = &view
		view.workers, view.totals = append(view.workers, w), append(view.totals, t)
	}
	return &view
}

// settled is a job that has ended, with stand-ins for workers that did not come back: those may still write to
// what is their own.
func (j *jobRun) settled(now int64) *jobRun {
	if !j.lost() {
		return j
	}
	view := *j
	view.workers = slices.Clone(j.workers)
	for i, w := range j.workers {
		if w.lost && i < len(j.totals) {
			view.workers[i], _ = j.standIn(i, now)
			view.workers[i].lost = true
		}
	}
	return &view
}

// standIn is a worker as its windows show it until now, and their totals.
func (j *jobRun) standIn(i int, now int64) (*worker, *totals) {
	w, t := j.workers[i], &totals{} // of a job that has not begun
	if i < len(j.totals) {
		t = j.totals[i]
	}
	seen := &worker{
		clock: w.clock, job: j, index: w.index, place: w.place, targets: w.targets, regionLow: w.regionLow, regionHigh: w.regionHigh,
		timing: timing{measured: t.from, ended: t.to}, outcome: outcome{usage: t.usage},
	}
	if t.to == 0 {
		seen.timing.measured, seen.timing.ended = now, now
	}
	if len(j.totals) > 0 {
		seen.outcome.threadID = w.outcome.threadID
	}
	if w.ended.Load() {
		seen.failure = w.failure
	}
	return seen, t
}

// readIdle tells how idle the CPUs were since the start, if that was asked for.
func (c *conductor) readIdle() {
	if c.idleFrom == nil {
		return
	}
	idle := &report.Idle{CPUs: []report.CPUIdle{}}
	n := 0
	for _, now := range device.ReadCPUTimes(c.o.Root) {
		i := slices.IndexFunc(c.idleFrom, func(before device.CPUTimes) bool { return before.CPU == now.CPU })
		if i < 0 || now.Total <= c.idleFrom[i].Total {
			continue // it came online during the run, or the run was shorter than a tick
		}
		percent := 100 * float64(now.Idle-c.idleFrom[i].Idle) / float64(now.Total-c.idleFrom[i].Total)
		idle.Percent += percent
		n++
		if c.o.IdleCPUs == IdlePerCPU {
			idle.CPUs = append(idle.CPUs, report.CPUIdle{CPU: now.CPU, Percent: percent})
		}
	}
	if n > 0 {
		idle.Percent /= float64(n)
		c.result.Idle = idle
	}
}
