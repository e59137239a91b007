package fio

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/blkmeter/blkmeter/report"
)

// fio counts latencies in groups of 64 bins, one group for each power of two: the values below 128 ns are
// exact, above that the seven highest bits count. The last bin takes all that is above 17.05 s.
const (
	binBits  = 6
	binGroup = 1 << binBits
	BinCount = 29 * binGroup // how many bins there are
)

// bins is a histogram in fio's resolution.
type bins [BinCount]int64

// BinOf returns the index of the bin of a latency in ns, 0 to BinCount-1.
func BinOf(ns int64) int {
	low := max(0, bits.Len64(uint64(ns))-1-binBits) // bits that do not count
	return min(low<<binBits+int(ns>>low), BinCount-1)
}

// binValue returns what fio prints for a bin: the middle of it, rounded down.
func binValue(bin int) int64 {
	if bin < 2*binGroup {
		return int64(bin)
	}
	low := bin>>binBits - 1
	return int64(binGroup+bin%binGroup)<<low + int64(1)<<low/2
}

// percentiles returns the values of the first bins at which the running count reaches each percentage of
// all; percents ascend. Without samples, all are 0.
func (b *bins) percentiles(percents []float64) []int64 {
	values := make([]int64, len(percents))
	if b == nil {
		return values
	}
	var all, running int64
	for _, n := range b {
		all += n
	}
	next := 0
	for i, n := range b {
		running += n
		for next < len(percents) && float64(running) >= percents[next]/100*float64(all) {
			values[next] = binValue(i)
			next++
		}
	}
	return values
}

// latency is one kind of latency of one direction: exact moments and extremes, and the bins.
type latency struct {
	n        int64
	min, max int64
	mean     float64
	squares  float64 // sum of squared differences from the mean
	bins     *bins   // nil without samples, or where no output needs them
}

// stddev is the sample standard deviation.
func (l *latency) stddev() float64 {
	if l.n < 2 {
		return 0
	}
	return math.Sqrt(l.squares / float64(l.n-1))
}

// add merges o into l.
func (l *latency) add(o *latency) {
	if o.n == 0 {
		return
	}
	if l.n == 0 {
		l.min = o.min
	}
	l.min, l.max = min(l.min, o.min), max(l.max, o.max)
	n := float64(l.n + o.n)
	apart := o.mean - l.mean
	l.squares += o.squares + apart*apart*float64(l.n)*float64(o.n)/n
	l.mean = (l.mean*float64(l.n) + o.mean*float64(o.n)) / n
	l.n += o.n
	if o.bins == nil {
		return
	}
	if l.bins == nil {
		l.bins = new(bins)
	}
	for i, c := range o.bins {
		l.bins[i] += c
	}
}

// latencyOf converts l. The counts fold exactly: the edges of fio's bins are edges of l's buckets. Each
// bucket is also shown to also, if there is one.
func latencyOf(l *report.Latency, withBins bool, also func(lowestNS, count int64)) (latency, error) {
	if l == nil || l.N == 0 {
		return latency{}, nil
	}
	out := latency{n: l.N, min: l.MinNS, max: l.MaxNS, mean: l.MeanNS, squares: l.StddevNS * l.StddevNS * float64(l.N-1)}
	if !withBins {
		return out, nil
	}
	buckets, err := l.Buckets()
	if err != nil {
		return latency{}, fmt.Errorf("fold into bins: %w", err)
	}
	out.bins = new(bins)
	for _, b := range buckets {
		out.bins[BinOf(b.LowestNS)] += b.Count
		if also != nil {
			also(b.LowestNS, b.Count)
		}
	}
	return out, nil
}

// rate is a bandwidth (KiB/s) or IOPS over windows.
type rate struct {
	min, max      int64
	mean, squares float64
	n             int64
}

// rateOf converts r, whose values are unit times as big. Extremes are whole numbers, as fio's samples are.
func rateOf(r report.Rate, unit float64) rate {
	stddev := r.Stddev / unit
	return rate{
		min: int64(r.Min / unit), max: int64(r.Max / unit), mean: r.Mean / unit,
		squares: stddev * stddev * float64(max(0, r.N-1)), n: r.N,
	}
}

// add sums up the rates of clones: everything is added, the extremes too.
func (r *rate) add(o *rate) {
	r.min += o.min
	r.max += o.max
	r.mean += o.mean
	r.squares += o.squares
	r.n += o.n
}

func (r *rate) stddev() float64 {
	if r.n < 2 {
		return 0
	}
	return math.Sqrt(r.squares / float64(r.n-1))
}

// spans counts I/Os by latency in the spans of the latency_ns, latency_us and latency_ms objects.
type spans struct {
	ns, us [10]int64
	ms     [12]int64
}

// add counts n I/Os that took ns.
func (s *spans) add(ns, n int64) {
	switch {
	case ns < 1000:
		s.ns[spanOf(ns)] += n
	case ns < 1_000_000:
		s.us[spanOf(ns/1000)] += n
	default:
		s.ms[spanOf(ns/1_000_000)] += n
	}
}

// spanOf returns the span of a value: spans end below 2, 4, 10, 20, 50, 100, 250, 500, 750, 1000, 2000.
func spanOf(v int64) int {
	for i, end := range [...]int64{2, 4, 10, 20, 50, 100, 250, 500, 750, 1000, 2000} {
		if v < end {
			return i
		}
	}
	return 11
}

// spanNames are the keys of the spans; ns and us use the first ten.
func spanNames() []string {
	return []string{"2", "4", "10", "20", "50", "100", "250", "500", "750", "1000", "2000", ">=2000"}
}
