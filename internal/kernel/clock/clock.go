// Package clock reads time cheaply enough for the hot loop: the CPU's time stamp counter where the kernel
// itself trusts it, the monotonic clock elsewhere. All values are nanoseconds since the Clock was made.
package clock

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"strings"
	"time"
)

// Clock is a monotonic nanosecond clock. It is read-only after New and may be shared.
type Clock struct {
	start  time.Time // the monotonic reading that is 0 ns
	base   uint64    // the counter's reading at the same moment
	mult   uint64    // nanoseconds per tick, as a 32.32 fixed-point number
	useTSC bool

	reason string
	ticks  float64 // per microsecond
}

// calibrateFor is how long the counter is compared with the monotonic clock at start. Each end is bracketed
// to some tens of nanoseconds, so that the rate is good to a few parts per million.
const calibrateFor = 10 * time.Millisecond

// New returns a Clock. The time stamp counter is used when the kernel's current clock source is "tsc" (the
// kernel then watches it for us and has found it constant and synchronised over the CPUs) and reading it is
// implemented for this architecture; want "monotonic" rules it out. New takes 10 ms when it calibrates.
func New(want string) *Clock {
	if want == "monotonic" {
		return monotonic("asked for")
	}
	if !haveTSC {
		return monotonic("no time stamp counter on this architecture")
	}
	src, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil {
		return monotonic("the kernel does not tell its clock source: " + err.Error())
	}
	if s := strings.TrimSpace(string(src)); s != "tsc" {
		return monotonic(fmt.Sprintf("the kernel's clock source is %s, not tsc", s))
	}
	t0, c0 := pair()
	for time.Since(t0) < calibrateFor {
	}
	t1, c1 := pair()
	nsPerTick := float64(t1.Sub(t0)) / float64(c1-c0)
	if math.IsInf(nsPerTick, 0) || nsPerTick <= 0 || nsPerTick > 100 {
		return monotonic("the time stamp counter does not advance")
	}
	return &Clock{
		start: t0, base: c0, mult: uint64(nsPerTick * (1 << 32)), useTSC: true,
		reason: "the kernel's clock source is tsc", ticks: 1000 / nsPerTick,
	}
}

func monotonic(reason string) *Clock {
	return &Clock{start: time.Now(), reason: reason, ticks: 1000}
}

// pair reads both clocks at the same moment: of several tries the one in which the monotonic reading was
// most closely enclosed by two readings of the counter.
func pair() (time.Time, uint64) {
	var at time.Time
	var ticks uint64
	best := uint64(math.MaxUint64)
	for range 16 {
		before := readTSC()
		now := time.Now()
		after := readTSC()
		if d := after - before; d < best {
			best, at, ticks = d, now, before+d/2
		}
	}
	return at, ticks
}

// Now returns the nanoseconds since the clock was made.
func (c *Clock) Now() int64 {
	if c.useTSC {
		hi, lo := bits.Mul64(readTSC()-c.base, c.mult)
		return int64(hi<<32 | lo>>32)
	}
	return int64(time.Since(c.start))
}

// At returns the wall-clock time of a reading.
func (c *Clock) At(ns int64) time.Time { return c.start.Add(time.Duration(ns)) }

// Source is "tsc" or "monotonic".
func (c *Clock) Source() string {
	if c.useTSC {
		return "tsc"
	}
	return "monotonic"
}

// Reason says why that source is used.
func (c *Clock) Reason() string { return c.reason }

// TicksPerMicrosecond is the calibrated rate of the source.
func (c *Clock) TicksPerMicrosecond() float64 { return c.ticks }

// DriftPPM compares the clock with the monotonic clock since New, in parts per million. Call it once at
// the end of a run: over less than a second the comparison itself is not good to a few ppm.
func (c *Clock) DriftPPM() float64 {
	if !c.useTSC {
		return 0
	}
	at, ticks := pair()
	hi, lo := bits.Mul64(ticks-c.base, c.mult)
	mono := float64(at.Sub(c.start))
	return (float64(hi<<32|lo>>32) - mono) / mono * 1e6
}

// CostNS measures what one reading costs: the least of several short loops, in nanoseconds.
func (c *Clock) CostNS() float64 {
	const n = 1000
	best := math.Inf(1)
	for range 5 {
		t0 := time.Now()
		for range n {
			c.Now()
		}
		best = min(best, float64(time.Since(t0))/n)
	}
	return best
}
