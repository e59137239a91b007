package report

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Geometry of every histogram in a Result. With three significant digits each power of two above 2048 ns
// has 1024 buckets, so a value is known to better than 0.1 %, and the buckets nest in those of any
// histogram with fewer buckets per octave, such as fio's.
const (
	HistogramLowestNS  = 1
	HistogramHighestNS = int64(time.Hour)
	HistogramDigits    = 3
)

// NewHistogram returns an empty histogram of the geometry that Results carry.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(HistogramLowestNS, HistogramHighestNS, HistogramDigits)
}

// Percents lists the percentiles that every [Latency] holds.
func Percents() []float64 {
	return []float64{
		1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999,
	}
}

// LatencyOf makes a Latency of a histogram in nanoseconds and what is known exactly beside it: the number
// of samples n, their extremes, mean and sample standard deviation, and how many of them lay above the
// histogram's range and were counted in its last bucket. Of no samples it makes nil: nothing has no
// distribution.
//
// A percentile is the upper edge of the bucket that holds the sample of rank round(percent/100 * n), as
// HdrHistogram defines it in every language, but never outside [min, max]. All of [Percents] are listed
// whatever n is; [Latency.Value] says which of them n samples can support.
func LatencyOf(h *hdrhistogram.Histogram, n, min, max int64, mean, stddev float64, clamped int64) *Latency {
	if n == 0 {
		return nil
	}
	percents := Percents()
	values := h.ValueAtPercentilesSlice(percents)
	l := &Latency{
		N: n, MinNS: min, MaxNS: max, MeanNS: mean, StddevNS: stddev, Clamped: clamped,
		Percentiles: make([]Percentile, len(percents)),
		Histogram:   encode(h),
	}
	for i, p := range percents {
		l.Percentiles[i] = Percentile{Percent: p, ValueNS: clampTo(values[i], min, max)}
	}
	return l
}

func clampTo(v, low, high int64) int64 { return max(low, min(v, high)) }

// encode returns h in HdrHistogram's V2 format. Encoding fails only when its writers do, and they are
// buffers in memory.
func encode(h *hdrhistogram.Histogram) string {
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		panic(fmt.Sprintf("encoding a histogram into memory: %v", err))
	}
	return string(b)
}

// Value returns the listed percentile. ok is false when it is not listed, or when fewer than
// 100/(100-percent) samples stand behind it: then it would only repeat the maximum, as p99.9 of 500
// samples does.
func (l *Latency) Value(percent float64) (ns int64, ok bool) {
	if l == nil {
		return 0, false
	}
	i := slices.IndexFunc(l.Percentiles, func(p Percentile) bool { return p.Percent == percent })
	if i < 0 {
		return 0, false
	}
	// Rounding keeps 100-99.9 from asking for 1001 samples.
	return l.Percentiles[i].ValueNS, float64(l.N) >= math.Round(100/(100-percent))
}

// maxEncodedBytes bounds an encoded histogram: a histogram with every bucket filled by a count near 2^63
// takes 33 times 1024 counts of 9 bytes, and base64 a third more.
const maxEncodedBytes = 33 * 1024 * 9 * 4 / 3 * 2

// Decode returns the full histogram, in nanoseconds. It fails on text that is not an HdrHistogram V2
// of the geometry above, before memory for another geometry is taken.
func (l *Latency) Decode() (*hdrhistogram.Histogram, error) {
	if len(l.Histogram) > maxEncodedBytes {
		return nil, fmt.Errorf("histogram of %d characters is longer than any of this geometry (%d)", len(l.Histogram), maxEncodedBytes)
	}
	if err := checkGeometry(l.Histogram); err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	h, err := hdrhistogram.Decode([]byte(l.Histogram))
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	return h, nil
}

// Buckets returns the buckets that hold samples, in ascending order: the lowest value that falls into a
// bucket, in ns, and how many samples did. Below 2048 ns a bucket is one value; above, it is less than
// 0.1 % wide, and its bounds are multiples of a power of two.
func (l *Latency) Buckets() (iter.Seq2[int64, int64], error) {
	h, err := l.Decode()
	if err != nil {
		return nil, err
	}
	counts := h.Export().Counts
	return func(yield func(lowestNS, count int64) bool) {
		for i, n := range counts {
			if n != 0 && !yield(lowestOf(i), n) {
				return
			}
		}
	}, nil
}

// lowestOf returns the lowest value of the bucket with index i: 2048 buckets of one value, then 1024 for
// each further power of two.
func lowestOf(i int) int64 {
	const half = 1024
	if i < 2*half {
		return int64(i)
	}
	return int64(half+i%half) << (i/half - 1)
}

// checkGeometry reads the header of an encoded histogram: 8 bytes (cookie, compressed length), then,
// compressed, cookie, payload length, index offset, digits, lowest and highest value.
func checkGeometry(encoded string) error {
	packed := base64.NewDecoder(base64.StdEncoding, bytes.NewReader([]byte(encoded)))
	if _, err := io.CopyN(io.Discard, packed, 8); err != nil {
		return fmt.Errorf("read the outer header: %w", err)
	}
	plain, err := zlib.NewReader(packed)
	if err != nil {
		return fmt.Errorf("read the compressed part: %w", err)
	}
	defer plain.Close()
	var header struct {
		Cookie, Length, Offset, Digits int32
		Lowest, Highest                int64
	}
	if err := binary.Read(plain, binary.BigEndian, &header); err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	if header.Digits != HistogramDigits || header.Lowest != HistogramLowestNS || header.Highest != HistogramHighestNS {
		return fmt.Errorf("range %d..%d ns with %d digits, not %d..%d ns with %d",
			header.Lowest, header.Highest, header.Digits, HistogramLowestNS, HistogramHighestNS, HistogramDigits)
	}
	return nil
}
