package run

import (
	"context"
	"slices"
	"syscall"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// begin lets a job's workers start at t0, unless its exec_prerun has failed.
func (s *stageRun) begin(j *jobRun, t0 int64) {
	if j.workers[0].failure.err != nil {
		s.end(j)
		return
	}
	j.begun = true
	for _, w := range j.workers {
		if r := j.spec.Runtime; r > 0 && j.spec.RampBytes == 0 {
			w.endsAt = t0 + int64(delayOf(w)+j.spec.RampTime+r)
		}
	}
	j.series = newSeries(t0+int64(j.spec.RampTime)+int64(j.spec.StartDelay.Min), int64(Interval), len(j.workers))
	j.series.floating = j.spec.LatencyTarget.Limit > 0 && !j.spec.LatencyTarget.Run
	j.seekSteadyState()
	for range j.workers {
		j.start <- t0
	}
}

// waits says whether a job waits for another one (wait_for) that still runs. Jobs of earlier stages have
// ended.
func (s *stageRun) waits(j *jobRun) bool {
	return j.spec.WaitFor != "" && slices.ContainsFunc(s.jobs, func(other *jobRun) bool {
		return other.index < j.index && other.spec.Name == j.spec.WaitFor && other.running > 0
	})
}

// end makes a job's workers stop once what they have in flight is done; those that wait do not start.
func (s *stageRun) end(j *jobRun) {
	if j.stop.Swap(true) {
		return
	}
	close(j.halt)
	if !j.begun {
		j.begun = true
		close(j.start)
	}
}

// left takes the last figures of a worker that has ended: that may end other jobs, and start those that waited for its own.
func (s *stageRun) left(ctx context.Context, w *worker) {
	s.takeLast(w)
	j := w.job
	if j.running--; j.running == 0 && j.spec.ExecPostrun != "" && j.series != nil {
		j.running++ // for those that wait for the job
		s.launch(ctx, j, true)
	}
	if j.spec.ExitAll || j.spec.ExitAllOnError && (w.failed() || w.verify != nil && w.verify.counts.Mismatched > 0) {
		s.exit(j)
	}
	s.beginWaiting(ctx)
}

// beginWaiting lets jobs begin that do not have to wait any more.
func (s *stageRun) beginWaiting(ctx context.Context) {
	for _, j := range s.jobs {
		switch {
		case j.begun || j.preparing || s.waits(j):
		case j.spec.ExecPrerun != "" && !j.prepared:
			j.preparing = true
			s.launch(ctx, j, false)
		default:
			s.begin(j, s.clock.Now())
		}
	}
}

// exit ends the jobs that exit_what names, as seen from j.
func (s *stageRun) exit(j *jobRun) {
	for _, other := range s.jobs {
		if j.spec.ExitWhat != "group" || other.group == j.group {
			s.end(other)
		}
	}
	if j.spec.ExitWhat == "all" {
		s.halted = true
	}
	s.wake()
}

// checkLatency ends the job when an I/O of the window took longer than max_latency. It looks once per window,
// so that the loop itself does not have to.
func (w *worker) checkLatency() {
	for d := workloads.Read; d < workloads.Directions; d++ {
		limit, o := w.job.spec.MaxLatency[d], &w.win.ops[d]
		if limit == 0 || o.clat == nil || w.timing.ramping {
			continue
		}
		lat := o.clat
		if o.lat != nil {
			lat = o.lat
		}
		if worst := lat.Max(); worst > int64(limit) {
			w.fail(fault.Wrap(syscall.ETIMEDOUT, fault.ExitThreshold, "MAX_LATENCY", "raise max_latency, or find out what held the I/O up",
				"a %s took %d ns, max_latency allows %d", engine.Op(d), worst, int64(limit)))
		}
	}
}
