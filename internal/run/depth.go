package run

import (
	"math"
	"syscall"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// depthSearch is a worker's search for the highest queue depth at which latency_target is kept, by fio's
// rules: from 1 the depth doubles until a window fails, then bisects. Between two windows the queue drains, so
// that no I/O of one depth counts for another. Once the depth is found, the worker's figures begin anew, last
// for one more window, and are those of that depth alone. With latency_run the search never ends.
//
// The loop does not know of depths: the worker's slots are the front of all slots, as many as the depth.
type depthSearch struct {
	spec   workloads.LatencyTarget
	all    []slot
	submit int // batching.submit of the job

	depth  int
	kept   int // the highest depth that kept the target; 0: none has
	missed int // the lowest that did not; 0: none has
	stable int // windows in a row that kept the target just below missed
	next   int // the depth to go on with once the queue has drained; 0: it is not draining
	final  bool

	// The window that is being tried.
	from, until int64 // ns of the run's clock
	ios, within int64
	sum, max    int64 // ns

	found report.DepthSearch
}

// mostTried is how many windows of a search are told one by one.
const mostTried = 256

// stableWindows in a row that keep the target let latency_run try one depth more than the last that missed
// it, as fio does.
const stableWindows = 3

// seekDepth gives a worker its search, if its job asks for one.
func (j *jobRun) seekDepth(w *worker) {
	if j.spec.LatencyTarget.Limit > 0 && !j.spec.Verify.Only && !j.spec.Layout.CreateOnly {
		w.search = &depthSearch{
			spec: j.spec.LatencyTarget, submit: w.batch.submit, depth: 1,
			found: report.DepthSearch{IODepth: 1, Continuous: j.spec.LatencyTarget.Run, Tried: make([]report.DepthWindow, 0, mostTried)},
		}
	}
}

// begin starts the search where the measured window would start.
func (s *depthSearch) begin(w *worker) {
	s.all = w.slots
	if !s.spec.Run {
		w.timing.ramping = true
		w.flipAt = math.MaxInt64
	}
	s.resize(w, 1)
	s.open(w.timing.measureAt)
}

// open starts a window.
func (s *depthSearch) open(now int64) {
	s.from, s.until = now, now+int64(s.spec.Window)
	s.ios, s.within, s.sum, s.max = 0, 0, 0, 0
}

// resize gives the worker as many slots as the depth. Nothing is in flight.
func (s *depthSearch) resize(w *worker, depth int) {
	s.depth = depth
	w.slots, w.free = s.all[:depth], w.free[:0]
	for i := range depth {
		w.free = append(w.free, uint32(depth-1-i))
	}
	w.batch.submit, w.batch.draining = s.submit, false
}

// look takes note of what a reap found at now, before it is recorded, and ends the window when it is over.
func (s *depthSearch) look(w *worker, done []engine.Completion, now int64) {
	if s.next > 0 {
		if len(w.free) == len(w.slots) {
			s.resume(w, now)
		}
		return
	}
	if now < s.from || w.spent {
		return
	}
	for i := range done {
		io := &w.slots[done[i].Slot]
		if io.req.Op > engine.OpTrim || done[i].Result != int32(io.req.Length) {
			continue
		}
		lat := now - io.start
		s.ios++
		s.sum += lat
		s.max = max(s.max, lat)
		if lat <= int64(s.spec.Limit) {
			s.within++
		}
	}
	// When every I/O has to keep the target, the first that does not ends the window.
	if now >= s.until && s.ios > 0 || s.within < s.ios && s.spec.Percentile == 100 && !s.final {
		s.judge(w, now)
	}
}

// judge ends a window and decides how to go on.
func (s *depthSearch) judge(w *worker, now int64) {
	tried := report.DepthWindow{
		IODepth: s.depth, LengthNS: now - s.from, IOs: s.ios, IOPS: float64(s.ios) * 1e9 / float64(max(now-s.from, 1)),
		WithinPercent: 100 * float64(s.within) / float64(s.ios), MeanNS: float64(s.sum) / float64(s.ios), MaxNS: s.max,
	}
	tried.Met = tried.WithinPercent >= s.spec.Percentile
	s.found.Windows++
	if len(s.found.Tried) < mostTried {
		s.found.Tried = append(s.found.Tried, tried)
	}
	if s.final {
		w.spent = true
		return
	}
	if !tried.Met && s.depth == 1 && (!s.spec.Run || s.spec.Percentile == 100) {
		w.fail(fault.Wrap(syscall.ETIMEDOUT, fault.ExitThreshold, "LATENCY_TARGET", "raise latency_target, or lower latency_percentile",
			"latency_target cannot be kept: at depth 1 only %.4g %% of the I/Os took at most %v, the longest took %d ns", tried.WithinPercent, s.spec.Limit, tried.MaxNS))
		return
	}
	s.next = s.after(tried.Met)
	// The last window has to fit into the time as well.
	if !s.spec.Run && s.next != s.depth && s.kept > 0 && w.endAt-now < 2*int64(s.spec.Window) {
		s.next, s.found.CutShort = s.kept, true
	}
	s.final = !s.spec.Run && (s.found.CutShort || s.settled(s.next))
	s.found.Settled = s.final
	w.batch.submit, w.batch.draining = 0, true // until the queue has drained
}

// after returns the depth to go on with after a window that met the target or did not.
func (s *depthSearch) after(met bool) int {
	if !met {
		s.missed, s.stable = s.depth, 0
		s.kept = min(s.kept, s.depth-1) // what kept the target once may not do so for ever
		return max((s.depth+s.kept)/2, 1)
	}
	s.kept = s.depth
	if s.missed == s.depth+1 {
		if s.stable++; s.stable >= stableWindows {
			s.missed, s.stable = s.missed+1, 0
		}
	}
	if s.missed <= s.depth || s.missed > len(s.all) {
		s.missed = 0
	}
	if s.missed == 0 {
		return min(2*s.depth, len(s.all))
	}
	return (s.depth + s.missed) / 2
}

// settled says whether the depth to go on with is known to be the highest that keeps the target.
func (s *depthSearch) settled(next int) bool {
	return next == s.kept && (next == len(s.all) || next+1 == s.missed)
}

// resume goes on with the next depth. The figures of a job that looks for one begin when it is found.
func (s *depthSearch) resume(w *worker, now int64) {
	s.resize(w, s.next)
	s.next, s.found.IODepth = 0, s.depth
	s.open(now)
	if s.final {
		w.timing.measureAt, w.flipAt = now, now
		w.flip(now)
	}
}

// judgeDepthSearches lets a run whose search did not end have that exit code.
func (c *conductor) judgeDepthSearches() {
	for _, j := range c.jobs {
		for _, w := range j.workers {
			if s := w.search; s != nil && !s.spec.Run && !s.found.Settled && w.win != nil && !w.lost {
				c.fail(fault.New(fault.ExitNotReached, "DEPTH_NOT_FOUND", "raise runtime, lower latency_window, or add time_based",
					"job %s: the search for the depth that keeps latency_target had not ended when the job did: it was at depth %d in its window %d",
					j.spec.Name, s.depth, s.found.Windows+1))
			}
		}
	}
}
