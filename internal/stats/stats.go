package stats

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Mean returns the arithmetic mean; NaN of nothing.
func Mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// Median returns the middle value, or the mean of the two middle ones; NaN of nothing.
func Median(xs []float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(xs))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// CV returns the coefficient of variation, the sample standard deviation over the mean; NaN of fewer than
// two values.
func CV(xs []float64) float64 {
	if len(xs) < 2 {
		return math.NaN()
	}
	mean, squares := Mean(xs), 0.0
	for _, x := range xs {
		squares += (x - mean) * (x - mean)
	}
	return math.Sqrt(squares/float64(len(xs)-1)) / mean
}

// Jain returns the fairness index of Jain, Chiu and Hawe (DEC-TR-301, 1984): 1 when all shares are equal,
// 1/n when one of n has everything. Nothing shared at all is fair.
func Jain(shares []float64) float64 {
	var sum, squares float64
	for _, s := range shares {
		sum += s
		squares += s * s
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// LogRatio is the mean of ln(b/a) over blocks, rule R1: what one arm did over what the other did under the same
// conditions. Its exponential is the ratio. All values must be positive.
func LogRatio(a, b []float64) (Statistic, error) {
	if len(a) != len(b) {
		return nil, fmt.Errorf("%d blocks of one arm and %d of the other cannot be paired", len(a), len(b))
	}
	ratios := make([]float64, len(a))
	for i := range a {
		if !(a[i] > 0) || !(b[i] > 0) || math.IsInf(a[i], 0) || math.IsInf(b[i], 0) {
			return nil, fmt.Errorf("block %d: no ratio of %v and %v", i, b[i], a[i])
		}
		ratios[i] = math.Log(b[i] / a[i])
	}
	return MeanOf(ratios), nil
}

// MeanOf is the mean of a value per block.
func MeanOf(xs []float64) Statistic {
	return func(blocks []int) float64 {
		sum := 0.0
		for _, i := range blocks {
			sum += xs[i]
		}
		return sum / float64(len(blocks))
	}
}

// MedianOf is the median of a value per block.
func MedianOf(xs []float64) Statistic {
	picked := make([]float64, 0, len(xs))
	return func(blocks []int) float64 {
		picked = picked[:0]
		for _, i := range blocks {
			picked = append(picked, xs[i])
		}
		slices.Sort(picked)
		return (picked[(len(picked)-1)/2] + picked[len(picked)/2]) / 2
	}
}

// Share is sum(part)/sum(whole) over blocks, rule R3. A block's part and whole stay together.
func Share(part, whole []float64) (Statistic, error) {
	if len(part) != len(whole) {
		return nil, fmt.Errorf("%d parts of %d wholes", len(part), len(whole))
	}
	return func(blocks []int) float64 {
		var p, w float64
		for _, i := range blocks {
			p += part[i]
			w += whole[i]
		}
		return p / w
	}, nil
}

// Bucket is one step of a latency histogram: N samples of about Value.
type Bucket struct {
	Value int64 `json:"value"`
	N     int64 `json:"n"`
}

// LogTailRatio is ln(quantile of b / quantile of a), each taken from the blocks' histograms merged: rule R4.
// Percentiles themselves are never averaged. Block i of a and block i of b stay together.
func LogTailRatio(a, b [][]Bucket, quantile float64) (Statistic, error) {
	if len(a) != len(b) {
		return nil, fmt.Errorf("%d blocks of one arm and %d of the other cannot be paired", len(a), len(b))
	}
	qa, qb := newMerged(a), newMerged(b)
	return func(blocks []int) float64 {
		return math.Log(qb.quantile(blocks, quantile) / qa.quantile(blocks, quantile))
	}, nil
}

// Quantile returns the value at or under which the share quantile (0..1) of all samples of the blocks lies;
// NaN when there are none.
func Quantile(blocks [][]Bucket, quantile float64) float64 {
	m := newMerged(blocks)
	all := make([]int, len(blocks))
	for i := range all {
		all[i] = i
	}
	return m.quantile(all, quantile)
}

// merged holds blocks' histograms over one common list of values, so that merging some of them is adding rows.
type merged struct {
	values []int64
	rows   [][]int64
	sum    []int64
}

func newMerged(blocks [][]Bucket) *merged {
	m := &merged{}
	for _, b := range blocks {
		for _, k := range b {
			m.values = append(m.values, k.Value)
		}
	}
	slices.Sort(m.values)
	m.values = slices.Compact(m.values)
	for _, b := range blocks {
		row := make([]int64, len(m.values))
		for _, k := range b {
			at, _ := slices.BinarySearch(m.values, k.Value)
			row[at] += k.N
		}
		m.rows = append(m.rows, row)
	}
	m.sum = make([]int64, len(m.values))
	return m
}

// quantile merges those blocks, of which one may be given more than once.
func (m *merged) quantile(blocks []int, q float64) float64 {
	clear(m.sum)
	total := int64(0)
	for _, i := range blocks {
		for k, n := range m.rows[i] {
			m.sum[k] += n
			total += n
		}
	}
	rank := max(int64(math.Ceil(q*float64(total))), 1)
	for k, n := range m.sum {
		if rank -= n; rank <= 0 {
			return float64(m.values[k])
		}
	}
	return math.NaN()
}

// Holm returns the p-values corrected for having asked several questions at once (Holm, Scandinavian Journal
// of Statistics 6(2), 1979), in the order given.
func Holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(ps[i], ps[j]) })
	corrected := make([]float64, len(ps))
	largest := 0.0
	for rank, i := range order {
		largest = max(largest, min(1, ps[i]*float64(len(ps)-rank)))
		corrected[i] = largest
	}
	return corrected
}

// MannWhitney returns the two-sided p-value of the U test as benchstat computes it, with its warnings. It
// ignores the pairing, so it is for readers who know benchstat, not for verdicts.
func MannWhitney(a, b []float64) (p float64, warnings []string) {
	thresholds := benchmath.DefaultThresholds
	c := benchmath.AssumeNothing.Compare(
		benchmath.NewSample(slices.Clone(a), &thresholds), benchmath.NewSample(slices.Clone(b), &thresholds))
	for _, w := range c.Warnings {
		warnings = append(warnings, w.Error())
	}
	return c.P, warnings
}

// BlocksNeeded estimates how many blocks would decide what n blocks left open, if the estimate holds: the
// half-width of the interval shrinks with the root of n and must become smaller than the distance of the
// estimate from the threshold. It returns 0 when the estimate sits on the threshold: no number would do.
func BlocksNeeded(n int, halfWidth, distance float64) int {
	if !(distance > 0) {
		return 0
	}
	need := math.Ceil(float64(n) * (halfWidth / distance) * (halfWidth / distance))
	if need > 1e6 {
		return 0
	}
	return max(int(need), n+1)
}
