package report

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// Bucket is a bucket of a histogram that holds samples.
type Bucket struct {
	LowestNS int64 // the lowest value that falls into it
	Count    int64
}

// Buckets decodes the full histogram into the buckets that hold samples, ascending. Below 2048 ns a bucket
// is one value; above, it is less than 0.1 % wide, and its bounds are multiples of a power of two.
//
// It fails on text that is not an HdrHistogram V2 of the geometry above or does not hold N samples, as in a
// damaged file; what it allocates is bounded whatever the text says.
func (l *Latency) Buckets() ([]Bucket, error) {
	buckets, err := decode(l.Histogram)
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	var total int64
	for _, b := range buckets {
		if total += b.Count; total < 0 {
			return nil, errors.New("histogram: counts overflow")
		}
	}
	if total != l.N {
		return nil, fmt.Errorf("histogram: it holds %d samples, not %d", total, l.N)
	}
	return buckets, nil
}

// Decode returns the full histogram, in nanoseconds; it fails as [Latency.Buckets] does.
func (l *Latency) Decode() (*hdrhistogram.Histogram, error) {
	buckets, err := l.Buckets()
	if err != nil {
		return nil, err
	}
	h := NewHistogram()
	return h, record(h, buckets)
}

// record adds buckets to h.
func record(h *hdrhistogram.Histogram, buckets []Bucket) error {
	for _, b := range buckets {
		if err := h.RecordValues(b.LowestNS, b.Count); err != nil {
			return fmt.Errorf("histogram: %w", err)
		}
	}
	return nil
}

// header begins the compressed part of an encoded histogram.
type header struct {
	Cookie, Length, Offset, Digits int32 // Length is that of the counts, in bytes
	Lowest, Highest                int64
	Ratio                          float64
}

const (
	cookieMask   = ^int32(0xf0) // these bits give the width of a count, which only older versions vary
	outerHeader  = 8            // cookie and length of the compressed part
	longestCount = 9            // bytes

	// From 2048 on each power of two has 1024 buckets; below are twice as many of one value each. An hour
	// lies in the 31st power from there.
	bucketsPerOctave = 1024
	bucketCount      = (2 + 31) * bucketsPerOctave
)

// decode reads the V2 format of HdrHistogram: base64 around cookie and length and a zlib stream of a header
// and counts. A count is a ZigZag LEB128 number of at most nine bytes, a negative one stands for so many
// empty buckets. hdrhistogram-go has a decoder too; it makes the dense array of the geometry that the text
// names, however large, where the outputs of a Result with hundreds of histograms need a few hundred
// buckets of each.
func decode(encoded string) ([]Bucket, error) {
	packed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	if len(packed) < outerHeader || int32(binary.BigEndian.Uint32(packed))&cookieMask != hdrhistogram.V2CompressedEncodingCookieBase {
		return nil, errors.New("it does not begin as HdrHistogram V2 does")
	}
	stream, err := zlib.NewReader(bytes.NewReader(packed[outerHeader:]))
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var h header
	if err := binary.Read(stream, binary.BigEndian, &h); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if h.Cookie&cookieMask != hdrhistogram.V2EncodingCookieBase {
		return nil, errors.New("the compressed part does not begin as HdrHistogram V2 does")
	}
	if h.Digits != HistogramDigits || h.Lowest != HistogramLowestNS || h.Highest != HistogramHighestNS {
		return nil, fmt.Errorf("range %d..%d ns with %d digits, not %d..%d ns with %d",
			h.Lowest, h.Highest, h.Digits, HistogramLowestNS, HistogramHighestNS, HistogramDigits)
	}
	if h.Length < 0 || h.Length > bucketCount*longestCount {
		return nil, fmt.Errorf("%d bytes of counts", h.Length)
	}
	counts := make([]byte, h.Length)
	if _, err := io.ReadFull(stream, counts); err != nil {
		return nil, fmt.Errorf("read the counts: %w", err)
	}
	return decodeCounts(counts)
}

func decodeCounts(counts []byte) ([]Bucket, error) {
	buckets := make([]Bucket, 0, len(counts)/2)
	var index int64
	for len(counts) > 0 {
		n, length := zigzag(counts)
		if length == 0 {
			return nil, errors.New("it ends within a count")
		}
		counts = counts[length:]
		switch {
		case n < 0:
			index -= n
		case n == 0:
			index++
		default:
			if index >= bucketCount {
				return nil, fmt.Errorf("bucket %d of %d", index, bucketCount)
			}
			buckets = append(buckets, Bucket{LowestNS: lowestOf(index), Count: n})
			index++
		}
		if index < 0 || index > bucketCount {
			return nil, fmt.Errorf("bucket %d of %d", index, bucketCount)
		}
	}
	return buckets, nil
}

// zigzag reads one number: seven bits to a byte, lowest first, all eight of the ninth. length is 0 when
// the bytes end too early.
func zigzag(b []byte) (n int64, length int) {
	var u uint64
	for i := range min(len(b), longestCount) {
		if i == longestCount-1 {
			u |= uint64(b[i]) << (7 * i)
		} else if u |= uint64(b[i]&0x7f) << (7 * i); b[i] >= 0x80 {
			continue
		}
		return int64(u>>1) ^ -int64(u&1), i + 1
	}
	return 0, 0
}

// lowestOf returns the lowest value of the bucket with an index.
func lowestOf(index int64) int64 {
	if index < 2*bucketsPerOctave {
		return index
	}
	return (bucketsPerOctave + index%bucketsPerOctave) << (index/bucketsPerOctave - 1)
}
