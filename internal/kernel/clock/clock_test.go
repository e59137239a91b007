package clock

import (
	"math"
	"testing"
	"time"
)

func TestClockAdvancesWithTheMonotonicClock(t *testing.T) {
	for _, want := range []string{"", "monotonic"} {
		c := New(want)
		if want == "monotonic" && c.Source() != "monotonic" {
			t.Fatalf("asked for the monotonic clock, got %s", c.Source())
		}
		if c.Reason() == "" {
			t.Errorf("%s: no reason given", c.Source())
		}
		a, ta := c.Now(), time.Now()
		last := a
		for time.Since(ta) < 50*time.Millisecond {
			now := c.Now()
			if now < last {
				t.Fatalf("%s: went back from %d to %d ns", c.Source(), last, now)
			}
			last = now
		}
		got, real := c.Now()-a, int64(time.Since(ta))
		// 50 ms at 100 ppm is 5 us; being descheduled between the two readings is the larger term.
		if d := math.Abs(float64(got - real)); d > 2e6 {
			t.Errorf("%s: %d ns passed, the monotonic clock says %d", c.Source(), got, real)
		}
		if ppm := c.DriftPPM(); math.Abs(ppm) > 1000 {
			t.Errorf("%s: drift of %.1f ppm", c.Source(), ppm)
		}
		t.Logf("%s: %.1f ns a reading, %.3f ticks/us, drift %.2f ppm", c.Source(), c.CostNS(), c.TicksPerMicrosecond(), c.DriftPPM())
	}
}

func BenchmarkNow(b *testing.B) {
	for _, want := range []string{"", "monotonic"} {
		c := New(want)
		b.Run(c.Source(), func(b *testing.B) {
			for b.Loop() {
				c.Now()
			}
		})
	}
}

func TestClocksByNumber(t *testing.T) {
	before := time.Now()
	now, err := Read(0)
	if since := time.Unix(0, int64(now)).Sub(before); err != nil || since < -time.Second || since > time.Minute {
		t.Errorf("clock 0 shows %v: %v", now, err)
	}
	one, err := Read(1)
	two, err2 := Read(1)
	if err != nil || err2 != nil || one <= 0 || two < one {
		t.Errorf("clock 1 shows %v, then %v: %v, %v", one, two, err, err2)
	}
	if _, err := Read(99); err == nil {
		t.Error("there is a clock 99")
	}
}
