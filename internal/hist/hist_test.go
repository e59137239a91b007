package hist

import (
	"math"
	"slices"
	"testing"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"
)

func values(t *rapid.T) []int64 {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) int64 {
		// Spread over the octaves, so that every bucket width is met.
		shift := rapid.IntRange(0, 41).Draw(t, "shift")
		return min(rapid.Int64Range(0, 2<<shift).Draw(t, "v"), MaxNS)
	}), 1, 200).Draw(t, "values")
}

func TestCountsEqualHdrHistograms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ref := hdr.New(1, MaxNS, Digits)
		a, b, total := NewRecorder(), NewRecorder(), NewTotals()
		vs := values(t)
		for i, v := range vs {
			if err := ref.RecordValue(v); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				a.Record(v, 1)
			} else {
				b.Record(v, 1)
			}
		}
		total.Add(a)
		other := NewTotals()
		other.Add(b)
		total.Merge(other)
		if !total.HDR().Equals(ref) {
			t.Fatalf("counts differ from HdrHistogram's for %v", vs)
		}
		sum := int64(0)
		for _, v := range vs {
			sum += v
		}
		if total.N() != int64(len(vs)) || total.Min() != slices.Min(vs) || total.Max() != slices.Max(vs) ||
			total.Mean() != float64(sum)/float64(len(vs)) {
			t.Fatalf("n %d min %d max %d mean %f of %v", total.N(), total.Min(), total.Max(), total.Mean(), vs)
		}
	})
}

func TestPercentilesAndDeviationAreWithinABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := values(t)
		r, total := NewRecorder(), NewTotals()
		for _, v := range vs {
			r.Record(v, 1)
		}
		total.Add(r)
		slices.Sort(vs)
		for _, p := range []float64{0, 1, 50, 90, 99, 99.9, 100} {
			want := vs[max(int(math.Ceil(p/100*float64(len(vs))-1e-9)), 1)-1]
			got := total.Percentile(p)
			if got < want || float64(got-want) > float64(want)/1024+1 {
				t.Fatalf("p%g is %d, want %d of %v", p, got, want, vs)
			}
		}
		mean, sq := total.Mean(), 0.0
		for _, v := range vs {
			sq += (float64(v) - mean) * (float64(v) - mean)
		}
		if len(vs) > 1 {
			want := math.Sqrt(sq / float64(len(vs)-1))
			if d := math.Abs(total.Stddev() - want); d > float64(vs[len(vs)-1])/1024+1 {
				t.Fatalf("stddev %f, want %f", total.Stddev(), want)
			}
		}
	})
}

func TestOutOfRangeIsClampedAndCounted(t *testing.T) {
	r, total := NewRecorder(), NewTotals()
	r.Record(-5, 1)
	r.Record(MaxNS+1, 2)
	r.Record(math.MaxInt64, 1)
	r.Record(MaxNS, 1)
	total.Add(r)
	if total.N() != 5 || total.Clamped() != 4 || total.Min() != 0 || total.Max() != MaxNS {
		t.Fatalf("n %d, clamped %d, min %d, max %d", total.N(), total.Clamped(), total.Min(), total.Max())
	}
}

func TestResetLeavesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, total := NewRecorder(), NewTotals()
		for _, v := range values(t) {
			r.Record(v, 3)
		}
		r.Reset()
		total.Add(r)
		if *r != *NewRecorder() || *total != *NewTotals() {
			t.Fatal("something was left after Reset")
		}
	})
}

func TestRecordAllocatesNothing(t *testing.T) {
	r := NewRecorder()
	if n := testing.AllocsPerRun(1000, func() { r.Record(80_000, 1) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	r := NewRecorder()
	vs := make([]int64, 4096)
	for i := range vs {
		vs[i] = int64(60_000 + (i*7919)%40_000)
	}
	i := 0
	for b.Loop() {
		r.Record(vs[i&4095], 1)
		i++
	}
}

func BenchmarkAdd(b *testing.B) {
	r, total := NewRecorder(), NewTotals()
	for v := int64(10_000); v < 10_000_000; v += 1000 {
		r.Record(v, 1)
	}
	for b.Loop() {
		total.Add(r)
	}
}
