package run

import (
	"math"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// windows makes a series with so many I/Os in each window.
func windows(ios ...int64) []report.Interval {
	var out []report.Interval
	for i, n := range ios {
		out = append(out, report.Interval{
			StartNS: int64(i) * int64(Interval), LengthNS: int64(Interval),
			Read: &report.IntervalStat{IOs: n, Bytes: n * 4096, MeanNS: 1e9 / float64(n)},
		})
	}
	return out
}

func TestSteadyStateCriteria(t *testing.T) {
	for _, c := range []struct {
		metric    string
		percent   bool
		ios       []int64 // two windows are a sample
		criterion float64
	}{
		{"iops", false, []int64{50, 50, 55, 55, 60, 60}, 10},
		{"iops", true, []int64{50, 50, 55, 55, 60, 60}, 100. / 11},
		{"iops_slope", false, []int64{50, 50, 55, 55, 60, 60}, 10},
		{"iops_slope", false, []int64{60, 60, 50, 50, 60, 60}, 0},
		{"bw_slope", false, []int64{60, 60, 55, 55, 50, 50}, 10 * 4096},
		{"lat", false, []int64{100, 100, 100, 100, 50, 50}, 2e7 - 4e7/3},
	} {
		s := steadyState{spec: workloads.SteadyState{Metric: c.metric, Limit: 0, Percent: c.percent, Duration: 3 * time.Second, Interval: time.Second}}
		if s.look(windows(c.ios...)) {
			t.Errorf("%s %v: steady at a limit of 0", c.metric, c.ios)
		}
		if got, ok := s.criterion(); !ok || math.Abs(got-c.criterion) > 1e-6*max(c.criterion, 1) {
			t.Errorf("%s of %v is %v, want %v", c.metric, c.ios, got, c.criterion)
		}
	}
}

// The ramp is left out, and the first window that keeps the limit ends the search.
func TestSteadyStateIsFoundWhereItBegins(t *testing.T) {
	s := steadyState{spec: workloads.SteadyState{Metric: "iops", Limit: 1, Percent: true, Duration: 2 * time.Second, Ramp: time.Second, Interval: time.Second}}
	w := windows(100, 100, 10, 10, 50, 50, 50, 50, 90, 90)
	for n := range len(w) + 1 {
		if got, want := s.look(w[:n]), n >= 8; got != want {
			t.Errorf("after %d windows: %t", n, got)
		}
	}
	if r := s.report(); !r.Attained || r.AttainedNS != 4e9 || r.Mean != 100 || len(r.Samples) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestSteadyStateEndsTheJobOrFailsTheRun(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	j := reader(dev, "steady", 20*time.Second)
	j.SteadyState = workloads.SteadyState{Metric: "iops", Limit: 1000, Percent: true, Duration: 2 * time.Second, Interval: time.Second}
	r := do(t, j)
	if s := r.Jobs[0].SteadyState; r.ExitCode != 0 || s == nil || !s.Attained || r.Jobs[0].RuntimeNS > 8e9 {
		t.Errorf("exit %d, %+v after %d ns", r.ExitCode, s, r.Jobs[0].RuntimeNS)
	}
	j.SteadyState.Limit, j.Runtime = 0, 300*time.Millisecond
	if r := do(t, j); r.ExitCode != fault.ExitNotReached || r.Error == nil || r.Error.Code != "NOT_STEADY" || r.Jobs[0].SteadyState.Attained {
		t.Errorf("exit %d, %+v", r.ExitCode, r.Error)
	}
}
