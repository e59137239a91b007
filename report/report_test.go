package report_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/reporttest"
	"github.com/blkmeter/blkmeter/workloads"
)

var update = flag.Bool("update", false, "rewrite the committed files that tests compare with")

func TestSaveAndLoadKeepEverything(t *testing.T) {
	want := reporttest.Result()
	path := filepath.Join(t.TempDir(), "result.json")
	if err := report.Save(path, want); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := report.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSaveFileReplacesWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "result.json")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	err := report.SaveFile(path, func(w io.Writer) error {
		fmt.Fprint(w, strings.Repeat("half a document", 10_000))
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("error %v does not tell the cause", err)
	}
	wantContent(t, path, "old")
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink("result.json", link); err != nil {
		t.Fatal(err)
	}
	if err := report.SaveFile(link, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "new")
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v: the file's permissions were not kept", fi.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("directory holds %v, %v: want the file and the link alone", entries, err)
	}
}

func TestSaveOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if slices.Contains(strings.Split(os.Getenv("BLKMETER_REQUIRE"), ","), "root") {
			t.Fatalf("BLKMETER_REQUIRE demands root, but a tmpfs cannot be mounted: %v", err)
		}
		t.Skipf("needs a tmpfs of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "result.json")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := report.Save(path, reporttest.Result())
	if e := fault.Of(err); !errors.Is(err, syscall.ENOSPC) || e.Exit != fault.ExitIO || !strings.Contains(e.Hint, "full") {
		t.Errorf("%v, hint %q", err, fault.Of(err).Hint)
	}
	wantContent(t, path, "old")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v, %v: want the old file alone", entries, err)
	}
}

func TestSaveFileWritesThroughToWhatCannotBeReplaced(t *testing.T) {
	if err := report.SaveFile("/dev/null", func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat("/dev/null"); err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		t.Fatalf("/dev/null is now %v, %v", fi.Mode(), err)
	}
	if err := report.SaveFile(t.TempDir(), func(io.Writer) error { return nil }); fault.Of(err).Code != "OUTPUT_FAILED" {
		t.Errorf("saving over a directory: %v", err)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s holds %.40q, want %q", filepath.Base(path), got, want)
	}
}

func TestCanSave(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "new"): "", "/dev/null": "", filepath.Join(dir, "no/such"): "OUTPUT_FAILED", dir: "OUTPUT_FAILED",
	} {
		switch err := report.CanSave(path); {
		case want == "" && err != nil:
			t.Errorf("%s: %v", path, err)
		case want != "" && (err == nil || fault.Of(err).Code != want):
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, code, says string }{
		"nothing":        {"", "NOT_A_RESULT", "not JSON"},
		"text":           {"hello", "NOT_A_RESULT", "not JSON"},
		"no schema":      {"{}", "NOT_A_RESULT", "no schema"},
		"fio's JSON":     {`{"fio version":"fio-3.42"}`, "NOT_A_RESULT", "fio's JSON"},
		"newer schema":   {`{"schema":"blkmeter.result/9"}`, "RESULT_SCHEMA", "result/9"},
		"wrong type":     {`{"schema":"blkmeter.result/1","jobs":7}`, "NOT_A_RESULT", "valid"},
		"two documents":  {`{"schema":"blkmeter.result/1"} {}`, "NOT_A_RESULT", "not JSON"},
		"unknown target": {`{"schema":"blkmeter.result/1","jobs":[{"spec":{"targets":[0]}}]}`, "NOT_A_RESULT", "target 0 of 0"},
		"negative":       {`{"schema":"blkmeter.result/1","jobs":[{"read":{"ios":-1}}]}`, "NOT_A_RESULT", "negative"},
		"nameless":       {`{"schema":"blkmeter.result/1","jobs":[{"options":[{"value":"4k"}]}]}`, "NOT_A_RESULT", "without a name"},
		"endless clones": {`{"schema":"blkmeter.result/1","jobs":[{"skipped":"x","spec":{"numjobs":4000}},{"skipped":"x","spec":{"numjobs":97}}]}`, "NOT_A_RESULT", "97 workers"},
		"a bomb":         {`{"schema":"blkmeter.result/1","jobs":[` + strings.Repeat("{},", 100_000) + `{}]}`, "NOT_A_RESULT", "empty"},
	} {
		_, err := report.Load(strings.NewReader(c.in))
		if e := fault.Of(err); e.Code != c.code || !strings.Contains(e.Error(), c.says) {
			t.Errorf("%s: got %s %q, want %s saying %q", name, e.Code, e.Error(), c.code, c.says)
		}
	}
}

func FuzzLoad(f *testing.F) {
	var whole bytes.Buffer
	if err := report.Write(&whole, reporttest.Small()); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add([]byte(`{"schema":"blkmeter.result/1","jobs":[{"read":{"clat":{"n":1,"hdr_v2":"HISTFAAAABl42pNpmSzMwMDAxAABzFCaEUoz2X+AMQB4Ugcl"}}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := report.Load(bytes.NewReader(data))
		if err != nil {
			return
		}
		for i := range r.Jobs {
			if _, err := report.Merge(r.Jobs[i].Workers, r.Jobs[i].Series); err != nil {
				t.Log(err)
			}
		}
		if err := report.Write(io.Discard, r); err != nil {
			t.Errorf("what was loaded cannot be written: %v", err)
		}
	})
}

func TestLatencyOfStaysBetweenTheExtremes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, report.HistogramHighestNS), 1, 300).Draw(t, "values")
		l := latencyOf(values)
		if int(l.N) != len(values) || len(l.Percentiles) != len(report.Percents()) {
			t.Fatalf("N %d, %d percentiles", l.N, len(l.Percentiles))
		}
		last := l.MinNS
		for _, p := range l.Percentiles {
			if p.ValueNS < last || p.ValueNS > l.MaxNS {
				t.Fatalf("p%v = %d, not in %d..%d", p.Percent, p.ValueNS, last, l.MaxNS)
			}
			last = p.ValueNS
		}
		h, err := l.Decode()
		if err != nil || h.TotalCount() != l.N {
			t.Fatalf("decoded %v, %v", h, err)
		}
	})
}

func TestBucketsHoldWhatWasRecorded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(0, report.HistogramHighestNS).Draw(t, "value")
		buckets, err := latencyOf([]int64{v}).Buckets()
		if err != nil {
			t.Fatal(err)
		}
		if len(buckets) != 1 {
			t.Fatalf("%d is in %d buckets", v, len(buckets))
		}
		if low := buckets[0].LowestNS; low > v || float64(v-low) > 0.001*float64(v) || buckets[0].Count != 1 {
			t.Fatalf("%d is in %+v", v, buckets[0])
		}
	})
}

func TestLastBucketIsTheLibrarys(t *testing.T) {
	h := report.NewHistogram()
	last := len(h.Export().Counts) - 1
	if want := int64(1)<<42 - 1<<31; want < report.HistogramHighestNS {
		t.Fatalf("bucket %d begins at %d", last, want)
	} else if err := h.RecordValue(want); err != nil || h.Export().Counts[last] != 1 {
		t.Fatalf("the last of %d buckets does not hold %d: %v", last+1, want, err)
	} else if b, err := report.LatencyOf(h, 1, want, want, 0, 0, 0).Buckets(); err != nil || b[0].LowestNS != want {
		t.Fatalf("%v, %v", b, err)
	}
}

// TestBucketsAgreeWithTheLibrary compares the decoder with that of hdrhistogram-go, also on what it must
// refuse.
func TestBucketsAgreeWithTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := report.NewHistogram()
		for range rapid.IntRange(1, 60).Draw(t, "values") {
			v := rapid.Int64Range(0, report.HistogramHighestNS).Draw(t, "value")
			if err := h.RecordValues(v, rapid.Int64Range(1, 1<<54).Draw(t, "count")); err != nil {
				t.Fatal(err)
			}
		}
		l := report.LatencyOf(h, h.TotalCount(), 0, report.HistogramHighestNS, 0, 0, 0)
		text := []byte(l.Histogram)
		if rapid.Bool().Draw(t, "damage") {
			text[rapid.IntRange(0, len(text)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		l.Histogram = string(text)
		want, wantErr := hdrhistogram.Decode(text)
		got, err := l.Decode()
		if err != nil && wantErr == nil && want.TotalCount() == l.N && want.HighestTrackableValue() == report.HistogramHighestNS {
			t.Fatalf("refused: %v", err)
		}
		if err == nil && wantErr == nil && !got.Equals(want) {
			t.Fatal("the histograms differ")
		}
	})
}

// latencyOf makes a Latency of exact samples.
func latencyOf(values []int64) *report.Latency {
	h := report.NewHistogram()
	low, high, sum := int64(math.MaxInt64), int64(0), 0.0
	for _, v := range values {
		if err := h.RecordValue(v); err != nil {
			panic(err)
		}
		low, high, sum = min(low, v), max(high, v), sum+float64(v)
	}
	mean, squares := sum/float64(len(values)), 0.0
	for _, v := range values {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	return report.LatencyOf(h, int64(len(values)), low, high, mean, math.Sqrt(squares/max(1, float64(len(values)-1))), 0)
}

func TestLatencyOfNothingIsNil(t *testing.T) {
	if l := report.LatencyOf(report.NewHistogram(), 0, 0, 0, 0, 0, 0); l != nil {
		t.Errorf("got %+v", l)
	}
}

func TestValueNeedsEnoughSamples(t *testing.T) {
	for _, c := range []struct {
		n       int
		percent float64
		ok      bool
	}{{99, 99, false}, {100, 99, true}, {999, 99.9, false}, {1000, 99.9, true}, {1, 50, false}, {2, 50, true}, {5000, 42, false}} {
		values := make([]int64, c.n)
		for i := range values {
			values[i] = int64(i)
		}
		if _, ok := latencyOf(values).Value(c.percent); ok != c.ok {
			t.Errorf("p%v of %d samples: ok = %v", c.percent, c.n, ok)
		}
	}
	if _, ok := (*report.Latency)(nil).Value(50); ok {
		t.Error("a percentile of nothing")
	}
}

func TestMergedLatencyIsThatOfAllSamples(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Int64Range(1, 20_000_000_000), 0, 50), 1, 5).Draw(t, "parts")
		var all []int64
		var latencies []*report.Latency
		for _, p := range parts {
			if all = append(all, p...); len(p) > 0 {
				latencies = append(latencies, latencyOf(p))
			} else {
				latencies = append(latencies, nil)
			}
		}
		got, err := report.MergeLatencies(latencies)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			if got != nil {
				t.Fatalf("merged nothing into %+v", got)
			}
			return
		}
		want := latencyOf(all)
		if !near(got.MeanNS, want.MeanNS) || !near(got.StddevNS, want.StddevNS) {
			t.Fatalf("mean %v stddev %v, want %v and %v", got.MeanNS, got.StddevNS, want.MeanNS, want.StddevNS)
		}
		got.MeanNS, got.StddevNS = want.MeanNS, want.StddevNS
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

func TestMergeAddsUp(t *testing.T) {
	job := reporttest.Result().Jobs[0]
	sum, err := report.Merge(job.Workers, job.Series)
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ ios, bytes, errors, syscalls, user, submissions int64 }
	for _, w := range job.Workers {
		want.ios += w.Read.IOs
		want.bytes += w.Read.Bytes
		want.errors += w.Read.Errors
		want.syscalls += w.Syscalls
		want.user += w.Stats.CPU.UserNS
		for _, b := range w.SubmitBatch {
			want.submissions += b.Count
		}
	}
	got := want
	got.ios, got.bytes, got.errors, got.syscalls, got.user = sum.Read.IOs, sum.Read.Bytes, sum.Read.Errors, sum.Syscalls, sum.CPU.UserNS
	got.submissions = 0
	for _, b := range sum.SubmitBatch {
		got.submissions += b.Count
	}
	if got != want {
		t.Errorf("sums %+v, want %+v", got, want)
	}
	last := job.Workers[len(job.Workers)-1]
	if sum.RuntimeNS != last.RuntimeNS || sum.Read.RuntimeNS != last.Read.RuntimeNS {
		t.Errorf("runtimes %d and %d, want the longest worker's %d and %d", sum.RuntimeNS, sum.Read.RuntimeNS, last.RuntimeNS, last.Read.RuntimeNS)
	}
	if sum.Read.Clat.N != sum.Read.IOs || sum.Trim != nil || sum.Sync.IOs != 4*211 {
		t.Errorf("clat.N %d of %d reads, trim %v, %d syncs", sum.Read.Clat.N, sum.Read.IOs, sum.Trim, sum.Sync.IOs)
	}
	if p := sum.Write.Priorities; len(p) != 2 || p[0].IOs+p[1].IOs != sum.Write.IOs || p[1].Class != 1 || p[1].Level != 3 || p[1].Hint != 2 ||
		p[1].IOs != p[1].Clat.N || p[1].IOs != p[1].Lat.N || sum.Read.Priorities != nil {
		t.Errorf("priorities of %d writes: %+v", sum.Write.IOs, p)
	}
	if sum.Error == nil || sum.FirstErrno != 5 {
		t.Errorf("error %v, errno %d: worker 2's are lost", sum.Error, sum.FirstErrno)
	}
	if sum.Read.IOPSRate.N != 20 {
		t.Errorf("%d windows, want the 20 full ones", sum.Read.IOPSRate.N)
	}
}

func TestMergeTellsOfDamagedHistograms(t *testing.T) {
	job := reporttest.Result().Jobs[0]
	for name, text := range map[string]string{
		"cut":            job.Workers[0].Read.Clat.Histogram[:40],
		"not base64":     "!!!!",
		"empty":          "",
		"endless":        strings.Repeat("A", 2_000_000),
		"other geometry": "HISTFAAAABl42pNpmSzMwMDAxAABzFCaEUoz2X+AMQB4Ugcl",
	} {
		job.Workers[1].Read.Clat.Histogram = text
		if _, err := report.Merge(job.Workers, nil); err == nil || !strings.Contains(err.Error(), "histogram") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestRatesLeaveOutThePartialWindow(t *testing.T) {
	var series []report.Interval
	for i, length := range []int64{5e8, 5e8, 5e8, 1e8} {
		series = append(series, report.Interval{LengthNS: length, Read: &report.IntervalStat{IOPS: float64(10 + i), BW: 5}})
	}
	iops, bw := report.Rates(series, workloads.Read)
	if want := (report.Rate{Min: 10, Max: 12, Mean: 11, Stddev: 1, N: 3}); iops != want {
		t.Errorf("iops %+v, want %+v", iops, want)
	}
	if want := (report.Rate{Min: 5, Max: 5, Mean: 5, N: 3}); bw != want {
		t.Errorf("bw %+v, want %+v", bw, want)
	}
	if iops, _ := report.Rates(series, workloads.Write); iops != (report.Rate{}) {
		t.Errorf("rates of a direction that is not there: %+v", iops)
	}
}
