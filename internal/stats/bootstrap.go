// Package stats is the statistics of paired, interleaved blocks: how sure may one be of a ratio, a share, a
// tail, a scaling curve. Everything random is seeded, so that every interval can be computed again from the
// recorded blocks.
//
// The unit of replication is the block, a fresh start of an experiment, never the single I/O: millions of
// I/Os of one run share one placement, one frequency and one state of the collector.
package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is an estimate with the interval that covers the truth with the Confidence asked for.
type Interval struct {
	Estimate   float64 `json:"estimate"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"` // 0..1, of the two-sided interval
}

// Map returns the interval under an increasing function, such as exp.
func (i Interval) Map(f func(float64) float64) Interval {
	return Interval{Estimate: f(i.Estimate), Low: f(i.Low), High: f(i.High), Confidence: i.Confidence}
}

// Bootstrap says how to resample.
type Bootstrap struct {
	Resamples  int     // 4000 is plenty for 95 %
	Confidence float64 // 0..1
	Seed       uint64
}

// Default is 4000 resamples and 95 %.
func Default(seed uint64) Bootstrap { return Bootstrap{Resamples: 4000, Confidence: 0.95, Seed: seed} }

// Statistic is a number computed from some of the blocks of an experiment, given by their indices from 0, in any
// order, repeated at will.
type Statistic func(blocks []int) float64

// Distribution is a statistic of n blocks with its bootstrap replicates, from which intervals of any
// confidence and p-values against any threshold follow.
type Distribution struct {
	Estimate     float64
	n            int
	sorted       []float64 // replicates, ascending
	bias         float64   // z0 of BCa
	acceleration float64   // a of BCa
	confidence   float64
}

// Resample computes the statistic on all n blocks, on o.Resamples bootstrap samples of them, and with each
// block left out.
//
// The intervals are bias-corrected and accelerated (Efron, JASA 82(397), 1987), with the tails widened for
// small n as Hesterberg proposes (The American Statistician 69(4), 2015, "expanded percentile"): a plain
// bootstrap of ten blocks covers 90 % when it says 95 %.
func Resample(n int, statistic Statistic, o Bootstrap) (*Distribution, error) {
	if n < 2 {
		return nil, fmt.Errorf("an interval needs at least 2 blocks, there are %d", n)
	}
	if !(o.Confidence > 0 && o.Confidence < 1) {
		return nil, fmt.Errorf("no interval has a confidence of %v", o.Confidence)
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	d := &Distribution{Estimate: statistic(all), n: n, confidence: o.Confidence}
	if math.IsNaN(d.Estimate) || math.IsInf(d.Estimate, 0) {
		return nil, fmt.Errorf("the statistic of %d blocks is %v", n, d.Estimate)
	}

	rng := rand.New(rand.NewPCG(o.Seed, 0))
	drawn := make([]int, n)
	d.sorted = make([]float64, 0, o.Resamples)
	below := 0.0
	for range o.Resamples {
		for i := range drawn {
			drawn[i] = rng.IntN(n)
		}
		v := statistic(drawn)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue // a resample on which the statistic does not exist tells nothing
		}
		d.sorted = append(d.sorted, v)
		switch {
		case v < d.Estimate:
			below++
		case v == d.Estimate:
			below += 0.5
		}
	}
	if len(d.sorted) < o.Resamples*9/10 || len(d.sorted) == 0 {
		return nil, fmt.Errorf("the statistic exists on %d of %d resamples", len(d.sorted), o.Resamples)
	}
	slices.Sort(d.sorted)

	without := make([]float64, n)
	rest := make([]int, n-1)
	for i := range n {
		copy(rest, all[:i])
		copy(rest[i:], all[i+1:])
		without[i] = statistic(rest)
	}
	d.acceleration = acceleration(without)
	d.bias = distuv.UnitNormal.Quantile(clampShare(below/float64(len(d.sorted)), len(d.sorted)))
	return d, nil
}

// acceleration is BCa's a, from the jackknife; 0 where the jackknife tells nothing.
func acceleration(without []float64) float64 {
	mean := Mean(without)
	var squares, cubes float64
	for _, v := range without {
		d := mean - v
		squares += d * d
		cubes += d * d * d
	}
	a := cubes / (6 * math.Pow(squares, 1.5))
	if math.IsNaN(a) || math.IsInf(a, 0) {
		return 0
	}
	return a
}

// clampShare keeps a share of k replicates away from 0 and 1, which k replicates cannot tell apart from
// something a little inside.
func clampShare(share float64, k int) float64 {
	edge := 0.5 / float64(k)
	return min(max(share, edge), 1-edge)
}

// widen is Hesterberg's factor from a normal to a small-sample quantile.
func (d *Distribution) widen(p float64) float64 {
	n := float64(d.n)
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(p)
	return t * math.Sqrt(n/(n-1))
}

// At returns the value below which the truth lies with probability p: one end of an interval.
func (d *Distribution) At(p float64) float64 {
	z := d.bias + d.widen(p)
	share := distuv.UnitNormal.CDF(d.bias + z/(1-d.acceleration*z))
	if math.IsNaN(share) {
		share = p
	}
	edge := 0.5 / float64(len(d.sorted))
	if share < edge || share > 1-edge {
		return d.beyond(p)
	}
	// Linear between the two nearest replicates.
	at := clampShare(share, len(d.sorted)) * float64(len(d.sorted)-1)
	low := int(at)
	high := min(low+1, len(d.sorted)-1)
	return d.sorted[low] + (at-float64(low))*(d.sorted[high]-d.sorted[low])
}

// beyond is At where no replicate reaches: the means of six blocks cannot tell 99.5 %. There the interval is
// Student's, with the replicates' spread as standard error, and never inside the outermost replicate.
func (d *Distribution) beyond(p float64) float64 {
	at := d.Estimate + d.widen(p)*d.spread()
	if p < 0.5 {
		return min(at, d.sorted[0])
	}
	return max(at, d.sorted[len(d.sorted)-1])
}

// Interval returns the two-sided interval of the confidence that was asked for.
func (d *Distribution) Interval() Interval { return d.IntervalAt(d.confidence) }

// IntervalAt returns the two-sided interval of another confidence, 0..1.
func (d *Distribution) IntervalAt(confidence float64) Interval {
	tail := (1 - confidence) / 2
	return Interval{Estimate: d.Estimate, Low: d.At(tail), High: d.At(1 - tail), Confidence: confidence}
}

// P returns the two-sided p-value against the hypothesis that the truth is threshold: one minus the largest
// confidence whose interval does not hold the threshold. Where no replicate reaches the threshold, k of them
// can only say "below 1/k", and Student's t takes over with the replicates' spread as standard error.
func (d *Distribution) P(threshold float64) float64 {
	if threshold == d.Estimate {
		return 1
	}
	first, _ := slices.BinarySearch(d.sorted, threshold)
	share := clampShare(float64(first)/float64(len(d.sorted)), len(d.sorted))
	w := distuv.UnitNormal.Quantile(share) - d.bias
	z := w/(1+d.acceleration*w) - d.bias
	p := d.tails(z)
	if first == 0 || first == len(d.sorted) {
		p = min(p, d.tails((d.Estimate-threshold)/d.spread()))
	}
	return p
}

// tails is the probability of a deviation of z standard errors, as a plain bootstrap counts them, to either
// side.
func (d *Distribution) tails(z float64) float64 {
	n := float64(d.n)
	return min(1, 2*distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.CDF(-math.Abs(z)/math.Sqrt(n/(n-1))))
}

// spread is the standard deviation of the replicates.
func (d *Distribution) spread() float64 {
	mean, squares := Mean(d.sorted), 0.0
	for _, v := range d.sorted {
		squares += (v - mean) * (v - mean)
	}
	return math.Sqrt(squares / float64(len(d.sorted)))
}
