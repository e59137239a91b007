package run

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/hist"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// knownQueue is a device whose latency is known: every request completes so many nanoseconds after it was
// submitted, however many there are, and the device itself records when it handed each over, since a busy
// machine makes it late at times. Once, it may freeze inside Submit.
type knownQueue struct {
	clock    *clock.Clock
	latency  int64
	serial   bool  // one request at a time, the others wait: the latency is that of a request without others
	freezeAt int64 // when to freeze, ns of the clock; 0 never
	freeze   int64 // for how long
	inFlight []knownIO
	truth    *hist.Recorder
}

type knownIO struct {
	slot     uint32
	length   int32
	taken    int64
	finishes int64
}

func (q *knownQueue) Submit(reqs []engine.Request) (int, error) {
	if q.freezeAt != 0 && q.clock.Now() >= q.freezeAt {
		for until := q.freezeAt + q.freeze; q.clock.Now() < until; {
		}
		q.freezeAt = 0
	}
	now := q.clock.Now()
	for i := range reqs {
		begins := now
		if n := len(q.inFlight); q.serial && n > 0 {
			begins = q.inFlight[n-1].finishes
		}
		q.inFlight = append(q.inFlight, knownIO{reqs[i].Slot, int32(reqs[i].Length), now, begins + q.latency})
	}
	return len(reqs), nil
}

func (q *knownQueue) Reap(done []engine.Completion, min int, timeout time.Duration) (int, error) {
	started := q.clock.Now()
	for n := 0; ; {
		now := q.clock.Now()
		for n < len(done) && len(q.inFlight) > 0 && q.inFlight[0].finishes <= now {
			q.truth.Record(now-q.inFlight[0].taken, 1)
			done[n] = engine.Completion{Slot: q.inFlight[0].slot, Result: q.inFlight[0].length}
			q.inFlight = q.inFlight[1:]
			n++
		}
		if n >= min || timeout >= 0 && now-started >= int64(timeout) {
			return n, nil
		}
	}
}

func (q *knownQueue) Counters() engine.Counters { return engine.Counters{} }
func (q *knownQueue) Close() error              { return nil }

// onKnown runs a job on such a device for d and returns its worker and the device.
func onKnown(t *testing.T, depth int, q *knownQueue, d time.Duration, change func(*workloads.Job)) *worker {
	t.Helper()
	var w *worker
	done := make(chan struct{})
	go func() { // a worker keeps its thread for good
		defer close(done)
		w = hotWorker(t, depth, func(j *workloads.Job) {
			j.NoRandomMap = true
			if change != nil {
				change(j)
			}
		})
		q.clock = w.clock
		w.queue = q
		if q.freeze != 0 {
			q.freezeAt = w.clock.Now() + int64(d)/4
		}
		loopFor(w, d)
	}()
	<-done
	if w.failure.err != nil {
		t.Fatal(w.failure.err)
	}
	return w
}

// all adds up a histogram over the worker's windows.
func all(w *worker, which func(*opWindow) *hist.Recorder) *hist.Totals {
	sum := hist.NewTotals()
	for _, win := range []*window{w.win, w.box.take()} {
		if win != nil {
			sum.Add(which(&win.ops[engine.OpRead]))
			w.box.full.Store(win)
		}
	}
	return sum
}

// Against a device of known latency the mean and the 99th percentile are right within 2 us or 2 %, whichever
// is more.
func TestLatencyIsRight(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own time is more than what is allowed")
	}
	for _, latency := range []time.Duration{10 * time.Microsecond, 80 * time.Microsecond, 2 * time.Millisecond} {
		for _, depth := range []int{1, 16} {
			t.Run(fmt.Sprintf("%v/depth=%d", latency, depth), func(t *testing.T) {
				worst := math.Inf(1)
				for range 5 { // the CPU may be taken away between the device's reading and the loop's
					q := &knownQueue{latency: int64(latency), truth: hist.NewRecorder()}
					w := onKnown(t, depth, q, 200*time.Millisecond, nil)
					lat, truth := all(w, func(o *opWindow) *hist.Recorder { return o.lat }), hist.NewTotals()
					truth.Add(q.truth)
					if lat.N() != truth.N() || truth.Min() < int64(latency) {
						t.Fatalf("%d I/Os, the device counted %d of at least %d ns", lat.N(), truth.N(), truth.Min())
					}
					if lat.N() < 20 {
						continue
					}
					off := 0.0
					for _, p := range [][2]float64{
						{lat.Mean(), truth.Mean()},
						{float64(lat.Percentile(99)), float64(truth.Percentile(99))},
					} {
						off = max(off, math.Abs(p[0]-p[1])/max(2000, 0.02*p[1]))
					}
					if worst = min(worst, off); worst <= 1 {
						t.Logf("mean %.0f ns, truly %.0f; p99 %d, truly %d", lat.Mean(), truth.Mean(), lat.Percentile(99), truth.Percentile(99))
						return
					}
				}
				t.Errorf("off by %.2f times what is allowed", worst)
			})
		}
	}
}

// A freeze of a second in a paced run shows in the response times at its true size: the I/Os that were due
// meanwhile waited for as long as it lasted. Latencies from start to completion cannot show it.
func TestAFreezeShowsInTheResponseTimes(t *testing.T) {
	const freeze = time.Second
	testlab.Undisturbed(t, func() string {
		q := &knownQueue{latency: int64(50 * time.Microsecond), freeze: int64(freeze), truth: hist.NewRecorder()}
		w := onKnown(t, 4, q, 3*time.Second, func(j *workloads.Job) { j.RateIOPS[workloads.Read] = 500 })
		late := w.win.late
		if full := w.box.take(); full != nil {
			late += full.late
			w.box.full.Store(full)
		}
		response := all(w, func(o *opWindow) *hist.Recorder { return o.response })
		lat := all(w, func(o *opWindow) *hist.Recorder { return o.lat })
		// A third of all arrivals fell into the freeze, evenly: they waited for 0 to 1 s.
		p83, p50 := time.Duration(response.Percentile(83)), time.Duration(lat.Percentile(50))
		switch longest := time.Duration(response.Max()); {
		case response.N() < 1400 || response.N() > 1510:
			return fmt.Sprintf("%d arrivals in 3 s at 500 per second", response.N())
		case longest < freeze*98/100 || longest > freeze*120/100:
			return fmt.Sprintf("the longest response is %v, the freeze lasted %v", longest, freeze)
		case p83 < 350*time.Millisecond || p83 > 650*time.Millisecond:
			return fmt.Sprintf("p83 of the response is %v, want about half a second", p83)
		case p50 > time.Millisecond:
			return fmt.Sprintf("p50 of the latency is %v on a device of 50 us", p50)
		case late < 400:
			return fmt.Sprintf("%d late arrivals, about 500 were due during the freeze", late)
		}
		return ""
	})
}
