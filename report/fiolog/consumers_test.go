package fiolog_test

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/report/fiolog"
	"github.com/blkmeter/blkmeter/workloads"
)

const seconds = 5

// logs writes all logs of a job that read every millisecond for some seconds into dir, and returns the
// completion latencies by second.
func logs(t *testing.T, dir string) [seconds][]int64 {
	t.Helper()
	o := allLogs()
	for k := range o.Prefix {
		o.Prefix[k] = filepath.Join(dir, "job")
	}
	o.Window, o.HistWindow = time.Second, time.Second
	set, err := fiolog.Open(o, 1, fiolog.Create)
	if err != nil {
		t.Fatal(err)
	}
	var latencies [seconds][]int64
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range seconds * 1000 {
		clat := int64(200_000 * math.Exp(0.5*rng.NormFloat64()))
		latencies[i/1000] = append(latencies[i/1000], clat)
		set.Recorder(0).Add(&fiolog.IO{EndNS: int64(i) * ms, SlatNS: 1000, ClatNS: clat, LatNS: clat + 1000, Bytes: 4096, Dir: workloads.Read})
	}
	set.Recorder(0).Close(seconds * 1000 * ms)
	if err := set.Close(); err != nil {
		t.Fatal(err)
	}
	for _, l := range latencies {
		slices.Sort(l)
	}
	return latencies
}

// TestHistogramPercentiles lets fio-histo-log-pctiles.py find percentiles in the histogram log, which must
// be those of the samples within a bin.
func TestHistogramPercentiles(t *testing.T) {
	tool := testlab.FioScript(t, "fio-histo-log-pctiles.py")
	dir := t.TempDir()
	latencies := logs(t, dir)
	out := testlab.Output(t, dir, "python3", tool, "--log-hist-msec", "1000", "job_clat_hist.1.log")
	found := 0
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), ",")
		at, err := strconv.Atoi(strings.TrimSpace(f[0]))
		if err != nil || at == 0 {
			continue // a title, or the empty window that the tool begins with
		}
		l := latencies[at/1000-1]
		if n := strings.TrimSpace(f[1]); n != strconv.Itoa(len(l)) {
			t.Errorf("%d ms: %s samples, want %d", at, n, len(l))
		}
		for column, percent := range map[int]int{3: 50, 4: 95, 5: 99} { // the tool interpolates in a bin
			want := float64(l[len(l)*percent/100])
			got, err := strconv.ParseFloat(strings.TrimSpace(f[column]), 64)
			got *= 1000 // it prints us
			if err != nil || math.Abs(got-want) > want/32 {
				t.Errorf("%d ms: p%d is %v, want %v, %v", at, percent, got, want, err)
			}
		}
		if got, err := strconv.ParseFloat(strings.TrimSpace(f[6]), 64); err != nil || fio.BinOf(int64(got*1000))-fio.BinOf(l[len(l)-1]) > 1 {
			t.Errorf("%d ms: the maximum is %v, want %d", at, got, l[len(l)-1])
		}
		found++
	}
	if found != seconds {
		t.Errorf("%d windows, want %d, in\n%s", found, seconds, out)
	}
}

// TestLogParser lets fiologparser.py average the completion latencies. It wants four fields to a line and
// chokes on the five that its own fio writes, so it gets the first four.
func TestLogParser(t *testing.T) {
	tool := testlab.FioScript(t, "fiologparser.py")
	dir := t.TempDir()
	latencies := logs(t, dir)
	text, err := os.ReadFile(filepath.Join(dir, "job_clat.1.log"))
	if err != nil {
		t.Fatal(err)
	}
	var four strings.Builder
	for line := range strings.Lines(string(text)) {
		four.WriteString(line[:strings.LastIndex(line, ",")] + "\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "four.log"), []byte(four.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(testlab.Output(t, dir, "python3", tool, "-i", "1000", "-a", "four.log")), "\n")
	if len(lines) != seconds {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	for i, line := range lines {
		var sum int64
		for _, v := range latencies[i] {
			sum += v
		}
		_, average, _ := strings.Cut(line, ", ")
		got, err := strconv.ParseFloat(average, 64)
		if want := float64(sum) / 1000; err != nil || math.Abs(got-want) > 1 {
			t.Errorf("second %d: %q, want an average of %v", i+1, line, want)
		}
	}
}

// TestPlots lets fio2gnuplot and fio_generate_plots draw what we logged.
func TestPlots(t *testing.T) {
	testlab.Require(t, "fio2gnuplot", "fio_generate_plots", "gnuplot")
	dir := t.TempDir()
	logs(t, dir)
	testlab.Output(t, dir, "fio2gnuplot", "-i", "-g", "-k")
	average, err := os.ReadFile(filepath.Join(dir, "result.average"))
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(average)), "\n0 1000") {
		t.Errorf("average IOPS are %q, want 1000; %v", average, err)
	}
	testlab.Output(t, dir, "fio_generate_plots", "plots")
	for _, name := range []string{"job_iops.1-2Draw.png", "result.average.png", "plots-iops.svg", "plots-bw.svg", "plots-lat.svg", "plots-clat.svg", "plots-slat.svg"} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Size() < 1000 {
			t.Errorf("%s was not drawn: %v", name, err)
		}
	}
}
