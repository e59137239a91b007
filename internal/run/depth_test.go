package run

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/hist"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Whatever depth is the highest that keeps the target, the search finds it, in few windows.
func TestTheSearchFindsTheHighestDepth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 300).Draw(t, "iodepth")
		highest := rapid.IntRange(1, most).Draw(t, "highest")
		s := depthSearch{all: make([]slot, most), depth: 1}
		tried := []int{}
		for {
			tried = append(tried, s.depth)
			next := s.after(s.depth <= highest)
			if next < 1 || next > most || len(tried) > 20 {
				t.Fatalf("depth %d comes after %v", next, tried)
			}
			if s.depth = next; s.settled(next) {
				break
			}
		}
		if s.depth != highest {
			t.Fatalf("settled on %d after %v", s.depth, tried)
		}
	})
}

// A search that never ends follows a device that becomes faster or slower.
func TestTheSearchFollowsTheDevice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 64
		s := depthSearch{all: make([]slot, most), depth: 1}
		for range 4 {
			highest := rapid.IntRange(1, most).Draw(t, "highest")
			for range 4 * most { // upwards it goes by one depth in a few windows
				s.depth = s.after(s.depth <= highest)
			}
			if s.depth < highest-1 || s.depth > highest+1 {
				t.Fatalf("at depth %d where %d is the highest", s.depth, highest)
			}
		}
	})
}

// On a device that does one request after another, each in 100 us, an I/O takes depth times 100 us.
func TestDepthOnADeviceOfKnownLatency(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own time is more than what is allowed")
	}
	const service = 100 * time.Microsecond
	var found *report.DepthSearch
	var disturbed string
	for range 10 { // the CPU may be taken away
		q := &knownQueue{latency: int64(service), serial: true, truth: hist.NewRecorder()}
		w := onKnown(t, 32, q, 5*time.Second, func(j *workloads.Job) {
			j.LatencyTarget = workloads.LatencyTarget{Limit: 8*service + service/2, Window: 20 * time.Millisecond, Percentile: 50}
		})
		found = &w.search.found
		if len(w.slots) != 8 {
			continue
		}
		if !found.Settled || found.IODepth != 8 || w.timing.ramping {
			t.Errorf("found %+v", found)
		}
		lat := hist.NewTotals()
		lat.Add(w.win.ops[engine.OpRead].lat)
		if p := time.Duration(lat.Percentile(50)); p < 7*service || p > 9*service {
			disturbed = fmt.Sprintf("the figures are not those of the depth that was found: p50 is %v", p)
			continue
		}
		if n := lat.N(); n < 100 || n > 300 {
			disturbed = fmt.Sprintf("%d I/Os were measured in a window of 20 ms", n)
			continue
		}
		depths := []int{}
		for _, tried := range found.Tried {
			depths = append(depths, tried.IODepth)
			if tried.Met != (tried.IODepth <= 8) || tried.MeanNS < 0.9*float64(tried.IODepth)*float64(service) {
				t.Errorf("window %+v", tried)
			}
		}
		if want := []int{1, 2, 4, 8, 16, 12, 10, 9, 8}; !slices.Equal(depths, want) {
			t.Errorf("tried %v, want %v", depths, want)
		}
		return
	}
	t.Errorf("found %+v; %s", found, disturbed)
}

func TestLatencyTargetOnADevice(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	const window = 20 * time.Millisecond
	for _, c := range []struct {
		name   string
		target workloads.LatencyTarget
		change func(*workloads.Job)
		exit   int
		code   string
		depth  int // settled on; 0: none
	}{
		{"kept at any depth", workloads.LatencyTarget{Limit: time.Hour, Percentile: 100}, nil, fault.ExitDone, "", 16},
		{"two clones, and a ramp", workloads.LatencyTarget{Limit: time.Hour, Percentile: 100}, func(j *workloads.Job) { j.NumJobs, j.RampTime = 2, 2*window }, fault.ExitDone, "", 16},
		{"a synchronous engine", workloads.LatencyTarget{Limit: time.Hour, Percentile: 100}, func(j *workloads.Job) { j.Engine = "psync" }, fault.ExitDone, "", 1},
		{"paced", workloads.LatencyTarget{Limit: time.Hour, Percentile: 100}, func(j *workloads.Job) { j.RateIOPS[workloads.Read] = 5000 }, fault.ExitDone, "", 16},
		{"short of time", workloads.LatencyTarget{Limit: time.Hour, Percentile: 100}, func(j *workloads.Job) { j.Runtime = 3*window + window/2 }, fault.ExitDone, "", 4},
		{"missed by the first", workloads.LatencyTarget{Limit: 1, Percentile: 100}, nil, fault.ExitThreshold, "LATENCY_TARGET", 0},
		{"missed by a share", workloads.LatencyTarget{Limit: 1, Percentile: 50}, nil, fault.ExitThreshold, "LATENCY_TARGET", 0},
		{"without enough to do", workloads.LatencyTarget{Limit: time.Hour, Percentile: 100}, func(j *workloads.Job) { j.NumberIOs = 10 }, fault.ExitNotReached, "DEPTH_NOT_FOUND", 0},
		{"adjusted all the time", workloads.LatencyTarget{Limit: 1, Percentile: 50, Run: true}, func(j *workloads.Job) { j.Runtime = 30 * window }, fault.ExitDone, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := reader(dev, "search", 10*time.Second)
			j.LatencyTarget, j.NoRandomMap = c.target, true
			j.LatencyTarget.Window = window
			if c.change != nil {
				c.change(&j)
			}
			r := do(t, j)
			if r.ExitCode != c.exit || c.code != "" && (r.Error == nil || r.Error.Code != c.code) {
				t.Fatalf("exit %d, %+v; want %d %s", r.ExitCode, r.Error, c.exit, c.code)
			}
			for _, w := range r.Jobs[0].Workers {
				s := w.DepthSearch
				short := c.name == "short of time"
				if s == nil || s.Settled != (c.depth > 0) || c.depth > 0 && s.IODepth != c.depth && (!short || s.IODepth > c.depth) {
					t.Fatalf("found %+v, want depth %d", s, c.depth)
				}
				if s.CutShort != short || s.Continuous != c.target.Run {
					t.Errorf("found %+v", s)
				}
				if c.depth > 0 {
					last := 0 // where nothing was measured
					if n := len(w.Depth); n > 0 {
						last = w.Depth[n-1].Value
					}
					if last != s.IODepth && c.name != "paced" && !(short && last == 0) {
						t.Errorf("%d I/Os were in flight at depth %d", last, c.depth)
					}
					if d := time.Duration(w.RuntimeNS); d > 20*window || d < window*8/10 && !short {
						t.Errorf("measured for %v", d)
					}
				}
				if c.target.Run && (w.Read.IOs == 0 || s.IODepth != 1 || s.Windows < 2) {
					t.Errorf("%d I/Os, %+v", w.Read.IOs, s)
				}
			}
			if spec := r.Jobs[0].Spec; spec.LatencyTargetNS != int64(c.target.Limit) || spec.LatencyWindowNS != int64(window) || fmt.Sprint(spec.LatencyPercent) != fmt.Sprint(c.target.Percentile) {
				t.Errorf("spec %+v", spec)
			}
		})
	}
}
