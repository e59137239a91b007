package run

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Whatever the weights, and in whatever order workers come by, each keeps to its share but for its lead, and
// never do all wait. Those that join late have nothing to make up, and nobody waits for those that left.
func TestFlowKeepsShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := new(flow)
		workers := make([]*flowing, rapid.IntRange(2, 5).Draw(t, "workers"))
		sum := int64(0)
		for i := range workers {
			workers[i] = &flowing{all: all, weight: rapid.Int64Range(1, 1000).Draw(t, "weight")}
			workers[i].join()
			sum += workers[i].weight
		}
		now := int64(0)
		for range 300 {
			now += int64(time.Second)
			waiting := 0
			for _, f := range workers {
				if f.budget(now) == 0 {
					waiting++
				}
				f.until = 0
			}
			if waiting == len(workers) {
				t.Fatal("all wait")
			}
			f := rapid.SampledFrom(workers).Draw(t, "worker")
			if n := min(f.budget(now), rapid.IntRange(1, 64).Draw(t, "batch")); n > 0 {
				f.took(n)
				if share := float64(all.issued.Load()) * float64(f.weight) / float64(sum); float64(f.issued) > share+flowLead {
					t.Fatalf("%d issued, its share is %.1f, beyond its lead", f.issued, share)
				}
			}
		}
		late := &flowing{all: all, weight: 7}
		late.join()
		if share := float64(all.issued.Load()) * 7 / float64(sum+7); math.Abs(float64(late.issued)-share) > 1 {
			t.Fatalf("one that joins has %d, its share is %.1f", late.issued, share)
		}
		for _, f := range workers {
			f.leave()
		}
		if n := late.budget(now); n != math.MaxInt {
			t.Fatalf("the last may issue only %d", n)
		}
		if late.leave(); all.issued.Load() != 0 || all.weight.Load() != 0 {
			t.Fatalf("left behind: %d I/Os, weight %d", all.issued.Load(), all.weight.Load())
		}
	})
}

// Jobs on one device do I/Os in the ratio of their weights, per clone, whatever their engines and depths; a
// job without a weight and one of another flow are not held up.
func TestFlowOnADevice(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	flowing := func(name, engine string, weight, id int) workloads.Job {
		j := reader(dev, name, 800*time.Millisecond)
		j.Engine, j.NoRandomMap = engine, true
		j.Flow = workloads.Flow{Weight: weight, ID: id}
		return j
	}
	slow := flowing("slow", "psync", 1, 0)
	slow.RateIOPS[workloads.Read] = 200 // sets the pace
	twice := flowing("twice", "io_uring", 2, 0)
	twice.NumJobs = 2
	asleep := flowing("asleep", "libaio", 3, 0)
	asleep.Flow.Sleep = 2 * time.Millisecond
	var r *report.Result
	var each float64
	testlab.Undisturbed(t, func() string {
		r = do(t, slow, twice, asleep, flowing("alone", "io_uring", 5, 1))
		if each = float64(r.Jobs[0].Read.IOs); each < 30 {
			return fmt.Sprintf("%.0f I/Os at 200 per second in 0.8 s", each)
		}
		return ""
	})
	for i, weight := range []float64{1, 2, 3} {
		for _, w := range r.Jobs[i].Workers {
			// Ahead by its lead and those of the others, which count as if the slow one had to follow, and
			// behind by what one wait misses.
			if got := float64(w.Read.IOs); math.Abs(got-weight*each) > 5*flowLead*weight+0.1*weight*each {
				t.Errorf("%s, clone %d: %.0f I/Os, %g times %.0f are its share", r.Jobs[i].Name, w.Index, got, weight, each)
			}
		}
	}
	if n := float64(r.Jobs[3].Read.IOs); n < 10*each {
		t.Errorf("a job of another flow did only %.0f I/Os", n)
	}
	if s := r.Jobs[2].Spec; s.FlowWeight != 3 || s.FlowID != 0 {
		t.Errorf("spec %+v", s)
	}
}
