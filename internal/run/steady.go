package run

import (
	"fmt"
	"math"
	"strings"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// steadyState is the search for a job's steady state while it runs (fio's steadystate).
type steadyState struct {
	spec     workloads.SteadyState
	samples  []float64 // of the metric, one per check interval since the ramp's end
	next     int       // the first window of the series that no sample has taken in
	attained int64     // ns from the start of the measured window; 0: not yet
}

// look takes in the windows that were closed since the last look, and says whether the state is steady.
func (s *steadyState) look(windows []report.Interval) bool {
	perSample := max(int(s.spec.Interval/Interval), 1)
	if s.next == 0 {
		s.next = int((s.spec.Ramp + Interval - 1) / Interval)
	}
	for s.attained == 0 && len(windows) >= s.next+perSample {
		s.samples = append(s.samples, s.sample(windows[s.next:s.next+perSample]))
		s.next += perSample
		if c, ok := s.criterion(); ok && c < s.spec.Limit {
			last := windows[s.next-1]
			s.attained = last.StartNS + last.LengthNS
		}
	}
	return s.attained > 0
}

// sample is the metric over some windows: I/Os or bytes per second, or the mean completion latency in ns.
func (s *steadyState) sample(windows []report.Interval) float64 {
	var ios, bytes, latency, seconds float64
	for i := range windows {
		seconds += float64(windows[i].LengthNS) / 1e9
		for d := range workloads.Direction(workloads.Directions) {
			if st := windows[i].Dir(d); st != nil {
				ios += float64(st.IOs)
				bytes += float64(st.Bytes)
				latency += float64(st.IOs) * st.MeanNS
			}
		}
	}
	switch metric, _, _ := strings.Cut(s.spec.Metric, "_"); metric {
	case "bw":
		return bytes / seconds
	case "lat":
		return latency / max(ios, 1)
	}
	return ios / seconds
}

// window returns the samples of the last steadystate_duration; false when there are not enough yet.
func (s *steadyState) window() ([]float64, bool) {
	n := max(int(s.spec.Duration/s.spec.Interval), 2)
	if len(s.samples) < n {
		return s.samples, false
	}
	return s.samples[len(s.samples)-n:], true
}

// criterion is what the limit is compared with, as in fio: the slope of the line of least squares through
// the samples, per sample, or the largest deviation from their mean; a percentage of the mean if asked.
func (s *steadyState) criterion() (float64, bool) {
	y, ok := s.window()
	if !ok {
		return 0, false
	}
	mean := meanOf(y)
	value := 0.0
	if strings.HasSuffix(s.spec.Metric, "_slope") {
		var xy, xx float64
		middle := float64(len(y)-1) / 2
		for i, v := range y {
			xy += (float64(i) - middle) * (v - mean)
			xx += (float64(i) - middle) * (float64(i) - middle)
		}
		value = math.Abs(xy / xx)
	} else {
		for _, v := range y {
			value = max(value, math.Abs(v-mean))
		}
	}
	if s.spec.Percent {
		if mean == 0 {
			return 0, false
		}
		value = 100 * value / mean
	}
	return value, true
}

func meanOf(y []float64) float64 {
	sum := 0.0
	for _, v := range y {
		sum += v
	}
	return sum / float64(max(len(y), 1))
}

// report tells how the search ended.
func (s *steadyState) report() *report.SteadyState {
	y, _ := s.window()
	criterion, _ := s.criterion()
	return &report.SteadyState{
		Metric: s.spec.Metric, Limit: s.spec.Limit, LimitIsPercent: s.spec.Percent, DurationNS: int64(s.spec.Duration), RampNS: int64(s.spec.Ramp),
		IntervalNS: int64(s.spec.Interval), Attained: s.attained > 0, AttainedNS: s.attained, Criterion: criterion, Mean: meanOf(y), Samples: orEmpty(y),
	}
}

// seekSteadyState starts a job's search, if it asks for one.
func (j *jobRun) seekSteadyState() {
	if j.spec.SteadyState.Duration > 0 {
		j.steady = &steadyState{spec: j.spec.SteadyState}
	}
}

// judgeSteadyState lets a run that did not reach a steady state that it was to reach end with that exit code.
func (c *conductor) judgeSteadyState() {
	for i := range c.result.Jobs {
		j := &c.result.Jobs[i]
		if j.SteadyState == nil || j.SteadyState.Attained || c.result.Error != nil || c.result.ExitCode != fault.ExitDone {
			continue
		}
		c.result.ExitCode = fault.ExitNotReached
		c.result.Error = &report.Error{
			Code:     "NOT_STEADY",
			Sentence: fmt.Sprintf("job %s did not reach a steady state: %s has %.4g where %.4g is the limit", j.Name, j.SteadyState.Metric, j.SteadyState.Criterion, j.SteadyState.Limit),
			Hint:     "raise runtime, or the limit of steadystate",
		}
	}
}
