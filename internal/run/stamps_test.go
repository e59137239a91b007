package run

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/hist"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// stamper stands between the loop and a real queue and reads the clock for every single I/O, as a program does
// that knows no batches: when the pattern made it, and when its turn among the reaped ones came.
type stamper struct {
	engine.Queue
	pattern.Source
	w          *worker
	made       []int64 // of I/Os not yet submitted, in order
	bySlot     []int64
	each       *hist.Recorder // latencies by these stamps
	difference *hist.Recorder // |the loop's latency - this one| of the same I/O
}

func (s *stamper) Next(ios []pattern.IO) int {
	for i := range ios {
		now := s.w.clock.Now()
		if s.Source.Next(ios[i:i+1]) == 0 {
			return i
		}
		s.made = append(s.made, now)
	}
	return len(ios)
}

func (s *stamper) Submit(reqs []engine.Request) (int, error) {
	n, err := s.Queue.Submit(reqs)
	for i := range reqs[:n] {
		s.bySlot[reqs[i].Slot] = s.made[i]
	}
	s.made = s.made[:copy(s.made, s.made[n:])]
	return n, err
}

func (s *stamper) Reap(done []engine.Completion, min int, timeout time.Duration) (int, error) {
	n, err := s.Queue.Reap(done, min, timeout)
	var at [512]int64
	for i := range done[:n] {
		at[i] = s.w.clock.Now()
	}
	complete := s.w.clock.Now() // the loop reads the clock next
	for i := range done[:n] {
		slot := done[i].Slot
		each := at[i] - s.bySlot[slot]
		s.each.Record(each, 1)
		s.difference.Record(max(complete-s.w.slots[slot].start-each, each-complete+s.w.slots[slot].start), 1)
	}
	return n, err
}

// Latencies from one reading of the clock per batch are those from one reading per I/O, on the same run: they
// differ by no more than the time in which the loop makes a batch of requests and goes through one of
// completions.
func TestBatchStampsAgainstStampsOfEachIO(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own time is more than what is allowed")
	}
	targets := map[string]func(t testing.TB) string{
		"completes inside the submission": unwritten,
		"completes later": func(t testing.TB) string {
			testlab.Require(t, "root", "loop")
			return testlab.Loop(t, testlab.LoopOptions{DirectIO: true, Tmpfs: true}).Path
		},
	}
	for name, path := range targets {
		for _, depth := range []int{1, 32, 128} {
			t.Run(fmt.Sprintf("%s/depth=%d", name, depth), func(t *testing.T) {
				worst := math.Inf(1)
				for range 5 { // the CPU may be taken away between two readings
					s := stamped(t, path(t), depth)
					lat, each, difference := all(s.w, func(o *opWindow) *hist.Recorder { return o.lat }), hist.NewTotals(), hist.NewTotals()
					each.Add(s.each)
					difference.Add(s.difference)
					if lat.N() < 1000 || lat.N() != each.N() {
						t.Fatalf("%d I/Os by the loop's stamps, %d by their own", lat.N(), each.N())
					}
					t.Logf("mean %.0f ns by the batch, %.0f each; p99 %d and %d; differences: median %d, p99 %d, largest %d ns",
						lat.Mean(), each.Mean(), lat.Percentile(99), each.Percentile(99),
						difference.Percentile(50), difference.Percentile(99), difference.Max())
					perIO := 60.0 // ns that the loop may take to make and to go through one I/O, the clock included
					off := math.Abs(lat.Mean()-each.Mean()) / max(2000, 0.02*each.Mean())
					off = max(off, float64(difference.Percentile(50))/(500+perIO*float64(depth)))
					if worst = min(worst, off); worst <= 1 {
						return
					}
				}
				t.Errorf("off by %.2f times what is allowed", worst)
			})
		}
	}
}

// stamped runs random reads on the target for a while.
func stamped(t *testing.T, path string, depth int) *stamper {
	t.Helper()
	tg, err := target.Open(target.Spec{Path: path, Access: target.ReadOnly, Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tg.Close()
	s := &stamper{bySlot: make([]int64, depth), each: hist.NewRecorder(), difference: hist.NewRecorder()}
	var lacks error
	done := make(chan struct{})
	go func() { // a worker keeps its thread for good
		defer close(done)
		w := hotWorker(t, depth, func(j *workloads.Job) { j.NoRandomMap = true })
		if lacks = w.readFrom(t, catalog.Uring, tg); lacks != nil || t.Failed() {
			return
		}
		defer w.queue.Close()
		s.w, s.Queue, s.Source = w, w.queue, w.source
		w.queue, w.source = s, s
		loopFor(w, 100*time.Millisecond)
	}()
	<-done
	if lacks != nil {
		t.Skipf("needs io_uring: %v", lacks)
	}
	if t.Failed() {
		t.FailNow()
	}
	if s.w.failure.err != nil {
		t.Fatal(s.w.failure.err)
	}
	return s
}
