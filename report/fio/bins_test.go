package fio

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/report"
)

func TestBins(t *testing.T) {
	for _, c := range []struct {
		ns    int64
		value int64
	}{
		{0, 0},
		{1, 1},
		{127, 127},
		{128, 129},
		{129, 129},
		{130, 131},
		{217, 217},
		{222, 223},
		{216_064, 216_064},
		{17_045_651_455, 16_978_542_592},
		{17_045_651_456, 17_112_760_320},
		{94e9, 17_112_760_320},
		{report.HistogramHighestNS, 17_112_760_320},
	} {
		if got := binValue(BinOf(c.ns)); got != c.value {
			t.Errorf("%d ns is printed as %d, want %d", c.ns, got, c.value)
		}
	}
}

// TestBinsFoldExactly: the bucket of a Result's histogram that holds a value lies in the bin of the value.
func TestBinsFoldExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(0, report.HistogramHighestNS).Draw(t, "ns")
		h := report.NewHistogram()
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
		l, err := latencyOf(report.LatencyOf(h, 1, v, v, float64(v), 0, 0), true, nil)
		if err != nil {
			t.Fatal(err)
		}
		if l.bins[BinOf(v)] != 1 {
			t.Fatalf("%d ns is not in bin %d", v, BinOf(v))
		}
		if got := l.bins.percentiles([]float64{50})[0]; got != binValue(BinOf(v)) {
			t.Fatalf("p50 of %d ns alone is %d", v, got)
		}
		if v < 17_045_651_456 {
			if off := float64(binValue(BinOf(v)) - v); off > float64(v)/128+1 || -off > float64(v)/128+1 {
				t.Fatalf("%d ns is printed as %d", v, binValue(BinOf(v)))
			}
		}
	})
}

func TestSpans(t *testing.T) {
	for ns, want := range map[int64]func(*spans) int64{
		0:              func(s *spans) int64 { return s.ns[0] },
		999:            func(s *spans) int64 { return s.ns[9] },
		1000:           func(s *spans) int64 { return s.us[0] },
		2000:           func(s *spans) int64 { return s.us[1] },
		249_999:        func(s *spans) int64 { return s.us[6] },
		999_999:        func(s *spans) int64 { return s.us[9] },
		1_000_000:      func(s *spans) int64 { return s.ms[0] },
		1_999_999_999:  func(s *spans) int64 { return s.ms[10] },
		2_000_000_000:  func(s *spans) int64 { return s.ms[11] },
		94_000_000_000: func(s *spans) int64 { return s.ms[11] },
	} {
		var s spans
		s.add(ns, 3)
		if want(&s) != 3 {
			t.Errorf("%d ns: %+v", ns, s)
		}
	}
}

func TestClasses(t *testing.T) {
	for value, want := range map[int][2]int{0: {0, 0}, 1: {0, 1}, 2: {1, 1}, 3: {1, 1}, 4: {2, 1}, 5: {2, 2}, 8: {3, 2}, 9: {3, 3}, 31: {4, 4}, 32: {5, 4}, 33: {5, 5}, 63: {5, 5}, 64: {6, 5}, 65: {6, 6}, 4096: {6, 6}} {
		if got := [2]int{depthClass(value), batchClass(value)}; got != want {
			t.Errorf("%d: classes %v, want %v", value, got, want)
		}
	}
}

func TestAbbreviate(t *testing.T) {
	for _, c := range []struct {
		n       uint64
		figures int
		binary  bool
		want    string
	}{
		{0, 4, false, "0"},
		{999, 4, false, "999"},
		{9999, 4, false, "9999"},
		{10_000, 4, false, "10.0k"},
		{42_516, 4, false, "42.5k"},
		{1_048_576, 4, true, "1024Ki"},
		{65_536, 4, true, "64.0Ki"},
		{10_000, 4, true, "9.77Ki"},
		{74_088_388, 4, true, "70.7Mi"},
		{105_103_000, 6, false, "105103k"},
		{3_828_300, 6, false, "3828.3k"},
		{999_999, 4, false, "1000k"},
		{18_446_744_073_709_551_615, 4, true, "16.0Ei"},
	} {
		if got := abbreviate(c.n, c.figures, c.binary, ""); got != c.want {
			t.Errorf("abbreviate(%d, %d, %v) = %q, want %q", c.n, c.figures, c.binary, got, c.want)
		}
	}
}
