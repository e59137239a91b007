package text

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/report"
)

func TestQuantities(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{duration(0), "0 ns"},
		{duration(217), "217 ns"},
		{duration(17.25), "17.2 ns"},
		{duration(999.4), "999 ns"},
		{duration(999.6), "1.00 us"},
		{duration(35_249), "35.2 us"},
		{duration(999_499), "999 us"},
		{duration(999_500), "1.00 ms"},
		{duration(10e9), "10.0 s"},
		{duration(3600e9), "3600 s"},
		{count(0), "0"},
		{count(812), "812"},
		{count(84.3712), "84.37"},
		{count(42_516), "42.52k"},
		{count(999_960), "1.000M"},
		{count(1_708_465), "1.708M"},
		{binary(4096), "4 KiB"},
		{binary(1536), "1.5 KiB"},
		{binary(512), "512 B"},
		{decimal(3_840_755_982_336), "3.84 TB"},
		{bandwidth(699e6), "667 MiB/s"},
		{percent(0), "0.00"},
		{percent(0.004), "<0.01"},
		{percent(45.204), "45.20"},
		{percent(100), "100.00"},
		{significant(0.9932, 3), "0.993"},
		{significant(9.999, 3), "10.0"},
		{plural(1, "core"), "1 core"},
		{plural(2, "core"), "2 cores"},
	} {
		if got := strings.ReplaceAll(c.got, nbsp, " "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestRowsCoverTheScope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marks := rapid.SliceOfN(rapid.Float64Range(0, float64(report.HistogramHighestNS)), 4, 4).Draw(t, "marks")
		slices.Sort(marks)
		s := scope{math.Floor(marks[0]), math.Floor(marks[1]), math.Floor(marks[2]), math.Floor(marks[3])}
		rows := s.rows()
		if len(rows) == 0 || len(rows) > mostRows {
			t.Fatalf("%d rows", len(rows))
		}
		if rows[0] > s.low || rows[len(rows)-1] > s.high && len(rows) > 1 {
			t.Fatalf("rows %v do not cover %+v", rows, s)
		}
		for i := 1; i < len(rows); i++ {
			if rows[i] <= rows[i-1] {
				t.Fatalf("rows %v do not ascend", rows)
			}
		}
	})
}

func TestRowsAreFineWhereTheSamplesAre(t *testing.T) {
	got := scope{47_000, 79_000, 577_000, 5_870_000}.rows()
	want := []float64{
		20_000, 50_000, 68_000, 82_000, 100_000, 120_000, 150_000, 180_000, 220_000, 270_000, 330_000, 390_000, 470_000, 560_000,
		1_000_000, 2_000_000, 5_000_000,
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

func TestRowCountsLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, report.HistogramHighestNS), 1, 100).Draw(t, "values")
		h := report.NewHistogram()
		low, high := values[0], values[0]
		for _, v := range values {
			if err := h.RecordValue(v); err != nil {
				t.Fatal(err)
			}
			low, high = min(low, v), max(high, v)
		}
		buckets, err := report.LatencyOf(h, int64(len(values)), low, high, 0, 0, 0).Buckets()
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, n := range rowCounts(buckets, scope{float64(low), float64(low), float64(high), float64(high)}.rows()) {
			sum += n
		}
		if sum != int64(len(values)) {
			t.Fatalf("%d of %d samples are in a row", sum, len(values))
		}
	})
}

func TestPlacement(t *testing.T) {
	at := func(pairs ...int) (workers []report.Worker) {
		for i := 0; i < len(pairs); i += 2 {
			workers = append(workers, report.Worker{Index: i / 2, CPU: pairs[i], HCTX: pairs[i+1]})
		}
		return workers
	}
	var spread, straight []int
	for i := range 128 {
		spread = append(spread, i*7%128, i%4)
		straight = append(straight, i, i)
	}
	for _, c := range []struct {
		workers []report.Worker
		want    string
	}{
		{nil, ""},
		{at(3, 2), "worker 0 -> CPU 3 -> hctx 2"},
		{at(-1, -1, -1, -1), "workers 0-1 not pinned"},
		{at(0, 0, 1, 0, 2, 0), "workers 0-2 -> CPU 0-2 -> hctx 0"},
		{at(0, 0, 8, 1), "worker 0 -> CPU 0 -> hctx 0; worker 1 -> CPU 8 -> hctx 1"},
		{at(0, -1, 1, 0), "worker 0 -> CPU 0; worker 1 -> CPU 1 -> hctx 0"},
		{at(straight...), "workers 0-127 -> CPU 0-127 -> hctx 0-127"},
		{at(spread...), "128 workers on 128 CPUs and 4 hardware queues"},
	} {
		if got := strings.ReplaceAll(placement(c.workers), nbsp, " "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"", 10, ""},
		{"one two three", 80, "one two three"},
		{"one two three", 7, "one two|three"},
		{"unbreakable x", 4, "unbreakable|x"},
		{"  a   b", 2, "a|b"},
	} {
		if got := strings.Join(wrap(c.in, c.width), "|"); got != c.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.in, c.width, got, c.want)
		}
	}
}
