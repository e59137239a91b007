// Package hist records latencies. A [Recorder] is the private array of one worker, cheap enough for every
// I/O; a [Totals] is what the collector adds recorders up into, and the bridge to HdrHistogram.
//
// Both use HdrHistogram's bucket layout for three significant digits and a lowest value of 1 ns: values
// below 2,048 ns have a bucket each, above that every power of two is cut into 1,024 buckets, so a value is
// known to 0.1 %. The counts are those that HdrHistogram itself would hold.
package hist

import (
	"math"
	"math/bits"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// MaxNS is the largest latency told apart: one hour. Longer ones count as MaxNS and as Clamped.
	MaxNS = 3_600_000_000_000
	// Digits is the number of significant decimal digits kept.
	Digits = 3

	subBits = 10    // log2 of the buckets per power of two
	buckets = 33792 // (32+1) << subBits: HdrHistogram's count for 1..MaxNS at three digits
)

// index returns the bucket of v, which must be in 0..MaxNS.
func index(v uint64) int {
	shift := 53 - bits.LeadingZeros64(v|(2<<subBits-1))
	return shift<<subBits + int(v>>shift)
}

// Recorder counts values. It must be used by one goroutine at a time. Its counters are 32 bits wide: hand
// it to a Totals more often than every 2^32 values.
type Recorder struct {
	counts  [buckets]uint32
	sum     uint64
	min     uint64
	max     uint64
	clamped uint64
}

// NewRecorder returns an empty Recorder. It takes 132 KiB of address space, of which only the pages of
// the buckets in use become resident.
func NewRecorder() *Recorder { return &Recorder{min: math.MaxUint64} }

// Record counts n values of ns nanoseconds. A negative value, which only a broken clock can give, counts
// as 0 and as clamped.
func (r *Recorder) Record(ns int64, n uint32) {
	v := uint64(ns)
	if v > MaxNS {
		v = r.clamp(ns, n)
	}
	r.counts[index(v)] += n
	r.sum += v * uint64(n)
	r.min = min(r.min, v)
	r.max = max(r.max, v)
}

//go:noinline
func (r *Recorder) clamp(ns int64, n uint32) uint64 {
	r.clamped += uint64(n)
	if ns < 0 {
		return 0
	}
	return MaxNS
}

// Max returns the largest value counted since the last Reset, 0 if there was none.
func (r *Recorder) Max() int64 { return int64(r.max) }

// Reset empties the recorder, touching only the buckets that can be in use.
func (r *Recorder) Reset() {
	if r.min <= r.max {
		clear(r.counts[index(r.min) : index(r.max)+1])
	}
	r.sum, r.min, r.max, r.clamped = 0, math.MaxUint64, 0, 0
}

// Totals is a sum of recorders.
type Totals struct {
	counts  [buckets]int64
	n       int64
	sum     uint64
	min     uint64
	max     uint64
	clamped uint64
}

// NewTotals returns an empty Totals.
func NewTotals() *Totals { return &Totals{min: math.MaxUint64} }

// Add adds what r counted; r is unchanged.
func (t *Totals) Add(r *Recorder) {
	if r.min > r.max {
		return
	}
	lo, hi := index(r.min), index(r.max)+1
	from, to := r.counts[lo:hi], t.counts[lo:hi]
	n := int64(0)
	for i, c := range from {
		to[i] += int64(c)
		n += int64(c)
	}
	t.n += n
	t.sum += r.sum
	t.min, t.max = min(t.min, r.min), max(t.max, r.max)
	t.clamped += r.clamped
}

// Merge adds what o holds; o is unchanged.
func (t *Totals) Merge(o *Totals) {
	if o.n == 0 {
		return
	}
	for i := index(o.min); i <= index(o.max); i++ {
		t.counts[i] += o.counts[i]
	}
	t.n += o.n
	t.sum += o.sum
	t.min, t.max = min(t.min, o.min), max(t.max, o.max)
	t.clamped += o.clamped
}

// N is how many values there are.
func (t *Totals) N() int64 { return t.n }

// Clamped is how many of them were outside 0..MaxNS.
func (t *Totals) Clamped() int64 { return int64(t.clamped) }

// Min is the exact smallest value in nanoseconds, 0 without values.
func (t *Totals) Min() int64 {
	if t.n == 0 {
		return 0
	}
	return int64(t.min)
}

// Max is the exact largest value in nanoseconds.
func (t *Totals) Max() int64 { return int64(t.max) }

// Mean is the exact mean in nanoseconds, 0 without values.
func (t *Totals) Mean() float64 {
	if t.n == 0 {
		return 0
	}
	return float64(t.sum) / float64(t.n)
}

// Stddev is the sample standard deviation in nanoseconds, from the middle of each bucket (good to 0.1 % of
// the values) around the exact mean; 0 with fewer than two values.
func (t *Totals) Stddev() float64 {
	if t.n < 2 || t.min == t.max {
		return 0
	}
	mean, sq := t.Mean(), 0.0
	for i := index(t.min); i <= index(t.max); i++ {
		if c := t.counts[i]; c != 0 {
			d := middle(i) - mean
			sq += d * d * float64(c)
		}
	}
	return math.Sqrt(sq / float64(t.n-1))
}

// lowest returns the smallest value of bucket i, and the bucket's width.
func lowest(i int) (v, width uint64) {
	shift := max(i>>subBits-1, 0)
	return uint64(i-shift<<subBits) << shift, 1 << shift
}

func middle(i int) float64 {
	v, width := lowest(i)
	return float64(v) + float64(width-1)/2
}

// Percentile returns the largest value of the bucket in which percent (0..100) of the values are reached,
// never above the exact maximum nor below the exact minimum; 0 without values.
func (t *Totals) Percentile(percent float64) int64 {
	if t.n == 0 {
		return 0
	}
	want := max(int64(math.Ceil(percent/100*float64(t.n)-1e-9)), 1)
	seen := int64(0)
	for i := index(t.min); i <= index(t.max); i++ {
		if seen += t.counts[i]; seen >= want {
			v, width := lowest(i)
			return int64(max(min(v+width-1, t.max), t.min))
		}
	}
	return int64(t.max)
}

// HDR returns the same counts as an HdrHistogram.
func (t *Totals) HDR() *hdr.Histogram {
	return hdr.Import(&hdr.Snapshot{
		LowestTrackableValue: 1, HighestTrackableValue: MaxNS, SignificantFigures: Digits,
		Counts: t.counts[:],
	})
}
