package run

import "math"

// rampNotice is how long before its end a ramp of ramp_size is ended: workers that flip their windows several
// times meanwhile learn of it, and end it together.
const rampNotice = int64(Interval) / 2

// beginRamp sets when the worker's windows end, and when the ramp does; of ramp_size the conductor will say.
func (w *worker) beginRamp(t0 int64) {
	w.timing.interval = int64(Interval)
	w.timing.measureAt = t0 + int64(w.job.spec.RampTime)
	switch {
	case w.job.spec.RampBytes > 0:
		w.timing.ramping, w.timing.measureAt = true, math.MaxInt64
		w.timing.interval = rampNotice / 4
		w.flipAt = t0 + w.timing.interval
	case w.job.spec.RampTime > 0:
		w.timing.ramping = true
		w.flipAt = w.timing.measureAt
	default:
		w.flipAt = t0 + w.timing.interval
	}
}

// ramp closes a window of the ramp, and with it the ramp when its time has come. What the ramp did is thrown
// away by the collector, not by us: it counts as load on the device.
func (w *worker) ramp(now int64) {
	w.win.ramp = true
	if w.timing.measureAt == math.MaxInt64 {
		if at := w.job.rampEnds.Load(); at != 0 {
			w.timing.measureAt, w.flipAt = at, at
		}
	}
	// Without an empty window the measured figures would stay in the ramp's: it goes on until there is one.
	if now < w.timing.measureAt || w.box.empty.Load() == nil {
		return
	}
	w.timing.ramping = false
	w.timing.measured = now
	if w.job.spec.RampBytes > 0 {
		w.timing.interval = int64(Interval)
		if end := w.deadline(); end != 0 {
			w.endAt = end
		}
		if w.logging != nil {
			w.beginLogs()
		}
	}
	w.measureFrom()
}

// deadline is when the worker's time is over, ns of the run's clock; 0 when it has no limit, or its ramp has not
// transferred ramp_size yet.
func (w *worker) deadline() int64 {
	if w.job.spec.RampBytes == 0 {
		return w.endsAt
	}
	at := w.job.rampEnds.Load()
	if at == 0 || w.job.spec.Runtime == 0 {
		return 0
	}
	return at + int64(w.job.spec.Runtime)
}

// endRamp says when a job's ramp ends, once its workers have transferred ramp_size: each of them, or all
// together if they are reported so.
func (s *stageRun) endRamp(j *jobRun) {
	if j.spec.RampBytes == 0 || j.rampEnds.Load() != 0 {
		return
	}
	least, sum := int64(math.MaxInt64), int64(0)
	for i, w := range j.workers {
		bytes := int64(0)
		for _, n := range j.totals[i].rampBytes[:3] {
			bytes += int64(n)
		}
		if sum += bytes; !w.ended.Load() {
			least = min(least, bytes)
		}
	}
	if j.spec.GroupReporting {
		least = sum
	}
	if least >= j.spec.RampBytes {
		at := s.clock.Now() + rampNotice
		j.series.from = at
		j.rampEnds.Store(at)
	}
}
