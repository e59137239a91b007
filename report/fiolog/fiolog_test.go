package fiolog_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/report/fiolog"
	"github.com/blkmeter/blkmeter/report/reporttest"
	"github.com/blkmeter/blkmeter/workloads"
)

// disk keeps files in memory.
type disk struct {
	mu    sync.Mutex
	files map[string]*memory
	gate  chan struct{} // writes wait until it is closed, unless it is nil
	fail  error         // of every write, unless it is nil
}

type memory struct {
	bytes.Buffer
	disk *disk
}

func (d *disk) create(name string, shared bool) (io.WriteCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		d.files = map[string]*memory{}
	}
	d.files[name] = &memory{disk: d}
	return d.files[name], nil
}

func (m *memory) Write(p []byte) (int, error) {
	if m.disk.gate != nil {
		<-m.disk.gate
	}
	if m.disk.fail != nil {
		return 0, m.disk.fail
	}
	return m.Buffer.Write(p)
}

func (m *memory) Close() error { return nil }

// write records ios of one worker and returns the logs.
func write(t testing.TB, o fiolog.Options, endNS int64, ios []fiolog.IO) map[string]string {
	t.Helper()
	d := &disk{}
	set, err := fiolog.Open(o, 1, d.create)
	if err != nil {
		t.Fatal(err)
	}
	r := set.Recorder(0)
	r.Begin(time.UnixMilli(1_795_452_768_000)) // counts only where times are since 1970
	for i := range ios {
		r.Add(&ios[i])
	}
	r.Close(endNS)
	if err := set.Close(); err != nil {
		t.Fatal(err)
	}
	logs := map[string]string{}
	for name, f := range d.files {
		logs[name] = f.String()
	}
	return logs
}

func allLogs() fiolog.Options {
	o := fiolog.Options{}
	for k := range o.Prefix {
		o.Prefix[k] = "x"
	}
	return o
}

const ms = int64(time.Millisecond)

func someIOs() []fiolog.IO {
	return []fiolog.IO{
		{EndNS: 1*ms + 999_999, IssueNS: 1*ms + 1, SlatNS: 200, ClatNS: 1_000_000, LatNS: 1_000_200, Offset: 8192, Bytes: 4096, Dir: workloads.Read},
		{EndNS: 700 * ms, IssueNS: 690 * ms, SlatNS: 400, ClatNS: 10_000_000, LatNS: 10_000_400, Offset: 4096, Bytes: 512, Priority: 1<<13 | 4, Dir: workloads.Write},
		{EndNS: 1000 * ms, IssueNS: 999 * ms, SlatNS: 300, ClatNS: 3_000_001, LatNS: 3_000_301, Bytes: 4096, Dir: workloads.Read},
		{EndNS: 1400 * ms, IssueNS: 999 * ms, SlatNS: 301, ClatNS: 1_000_000, LatNS: 1_000_301, Bytes: 4096, Dir: workloads.Read},
		{EndNS: 4500 * ms, IssueNS: 4499 * ms, SlatNS: 7, ClatNS: 50, LatNS: 57, Bytes: 1 << 20, Dir: workloads.Trim},
	}
}

func TestLines(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fiolog.Options)
		want   map[string]string
	}{
		"each I/O": {
			func(o *fiolog.Options) {},
			map[string]string{
				"x_bw.1.log":   "1, 4096, 0, 4096, 0\n700, 51, 1, 512, 1\n1000, 1365, 0, 4096, 0\n1400, 4096, 0, 4096, 0\n4500, 20971520000, 2, 1048576, 0\n",
				"x_iops.1.log": "1, 1, 0, 4096, 0\n700, 1, 1, 512, 1\n1000, 1, 0, 4096, 0\n1400, 1, 0, 4096, 0\n4500, 1, 2, 1048576, 0\n",
				"x_slat.1.log": "1, 200, 0, 4096, 0\n700, 400, 1, 512, 1\n1000, 300, 0, 4096, 0\n1400, 301, 0, 4096, 0\n4500, 7, 2, 1048576, 0\n",
				"x_clat.1.log": "1, 1000000, 0, 4096, 0\n700, 10000000, 1, 512, 1\n1000, 3000001, 0, 4096, 0\n1400, 1000000, 0, 4096, 0\n4500, 50, 2, 1048576, 0\n",
				"x_lat.1.log":  "1, 1000200, 0, 4096, 0\n700, 10000400, 1, 512, 1\n1000, 3000301, 0, 4096, 0\n1400, 1000301, 0, 4096, 0\n4500, 57, 2, 1048576, 0\n",
			},
		},
		"all fields": {
			func(o *fiolog.Options) {
				o.Offset, o.Priority, o.IssueTime, o.UnixEpoch = true, true, true, true
				o.Prefix[fiolog.BW], o.Prefix[fiolog.IOPS], o.Prefix[fiolog.Slat] = "", "", ""
			},
			map[string]string{
				"x_clat.1.log": "1795452768001, 1000000, 0, 4096, 8192, 0x0000, 1000001\n1795452768700, 10000000, 1, 512, 4096, 0x2004, 690000000\n" +
					"1795452769000, 3000001, 0, 4096, 0, 0x0000, 999000000\n1795452769400, 1000000, 0, 4096, 0, 0x0000, 999000000\n1795452772500, 50, 2, 1048576, 0, 0x0000, 4499000000\n",
				"x_lat.1.log": "1795452768001, 1000200, 0, 4096, 8192, 0x0000, 0\n1795452768700, 10000400, 1, 512, 4096, 0x2004, 0\n" +
					"1795452769000, 3000301, 0, 4096, 0, 0x0000, 0\n1795452769400, 1000301, 0, 4096, 0, 0x0000, 0\n1795452772500, 57, 2, 1048576, 0, 0x0000, 0\n",
			},
		},
		"windows": {
			func(o *fiolog.Options) { o.Window = time.Second },
			map[string]string{
				"x_bw.1.log":   "1000, 4, 0, 0, 0\n1000, 0, 1, 0, 0\n2000, 8, 0, 0, 0\n4600, 1706, 2, 0, 0\n",
				"x_iops.1.log": "1000, 1, 0, 0, 0\n1000, 1, 1, 0, 0\n2000, 2, 0, 0, 0\n4600, 1, 2, 0, 0\n",
				"x_slat.1.log": "1000, 200, 0, 0, 0\n1000, 400, 1, 0, 0\n2000, 301, 0, 0, 0\n4600, 7, 2, 0, 0\n",
				"x_clat.1.log": "1000, 1000000, 0, 0, 0\n1000, 10000000, 1, 0, 0\n2000, 2000001, 0, 0, 0\n4600, 50, 2, 0, 0\n",
				"x_lat.1.log":  "1000, 1000200, 0, 0, 0\n1000, 10000400, 1, 0, 0\n2000, 2000301, 0, 0, 0\n4600, 57, 2, 0, 0\n",
			},
		},
		"both values": {
			func(o *fiolog.Options) {
				o.Window, o.Value, o.Offset, o.Priority, o.IssueTime = time.Second, fiolog.AverageAndMax, true, true, true
				o.Prefix = [6]string{fiolog.Clat: "y"}
				o.Shared = true
			},
			map[string]string{
				"y_clat.log": "1000, 1000000, 1000000, 0, 0, 0, 0x0000, 0\n1000, 10000000, 10000000, 1, 0, 0, 0x0000, 0\n2000, 2000001, 3000001, 0, 0, 0, 0x0000, 0\n4600, 50, 50, 2, 0, 0, 0x0000, 0\n",
			},
		},
		"maximum": {
			func(o *fiolog.Options) {
				o.Window, o.Value, o.Prefix = time.Second, fiolog.Max, [6]string{fiolog.Clat: "y"}
			},
			map[string]string{"y_clat.1.log": "1000, 1000000, 0, 0, 0\n1000, 10000000, 1, 0, 0\n2000, 3000001, 0, 0, 0\n4600, 50, 2, 0, 0\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := allLogs()
			c.change(&o)
			if diff := cmp.Diff(c.want, write(t, o, 4600*ms, someIOs())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSyncEnginesHaveNoSlat(t *testing.T) {
	ios := someIOs()
	for i := range ios {
		ios[i].SlatNS = -1
	}
	for _, window := range []time.Duration{0, time.Second} {
		o := allLogs()
		o.Window = window
		if log, ok := write(t, o, 5000*ms, ios)["x_slat.1.log"]; !ok || log != "" {
			t.Errorf("slat log %q, there: %v; fio makes an empty one", log, ok)
		}
	}
}

func TestHistogramLines(t *testing.T) {
	for coarseness := range 7 {
		o := fiolog.Options{HistWindow: time.Second, Coarseness: coarseness}
		o.Prefix[fiolog.Hist] = "h"
		lines := strings.Split(strings.TrimSuffix(write(t, o, 4600*ms, someIOs())["h_clat_hist.1.log"], "\n"), "\n")
		var heads []string
		for _, line := range lines {
			f := strings.Split(line, ", ")
			if len(f) != 3+fio.BinCount>>coarseness {
				t.Fatalf("coarseness %d: %d fields", coarseness, len(f))
			}
			sum := 0
			for _, field := range f[3:] {
				n, err := strconv.Atoi(field)
				if err != nil {
					t.Fatal(err)
				}
				sum += n
			}
			heads = append(heads, fmt.Sprint(f[:3], sum))
			if f[0] == "4600" && f[3+fio.BinOf(50)>>coarseness] != "1" {
				t.Errorf("coarseness %d: 50 ns is not in its bin", coarseness)
			}
		}
		want := []string{"[1000 0 4096] 1", "[1000 1 512] 1", "[2000 0 4096] 2", "[4600 2 1048576] 1"}
		if diff := cmp.Diff(want, heads); diff != "" {
			t.Errorf("coarseness %d: %s", coarseness, diff)
		}
	}
}

// TestWindowsLoseNothing: whatever the I/Os, the windows' counts and sums are those of all I/Os, and each
// window ends at a multiple of its length or at the end.
func TestWindowsLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := time.Duration(rapid.IntRange(1, 50).Draw(t, "window")) * time.Millisecond
		var ios []fiolog.IO
		var now int64
		for range rapid.IntRange(0, 100).Draw(t, "ios") {
			now += rapid.Int64Range(0, 30*ms).Draw(t, "gap")
			ios = append(ios, fiolog.IO{EndNS: now, ClatNS: 1000, LatNS: 1000, SlatNS: -1, Bytes: 1024, Dir: workloads.Direction(rapid.IntRange(0, 2).Draw(t, "dir"))})
		}
		end := now + rapid.Int64Range(0, 60*ms).Draw(t, "rest")
		o := fiolog.Options{HistWindow: window}
		o.Prefix[fiolog.Hist] = "h"
		d := &disk{}
		set, err := fiolog.Open(o, 1, d.create)
		if err != nil {
			t.Fatal(err)
		}
		for i := range ios {
			set.Recorder(0).Add(&ios[i])
		}
		set.Recorder(0).Close(end)
		if err := set.Close(); err != nil {
			t.Fatal(err)
		}
		total := 0
		for line := range strings.Lines(d.files["h_clat_hist.1.log"].String()) {
			f := strings.Split(strings.TrimSpace(line), ", ")
			at, _ := strconv.ParseInt(f[0], 10, 64)
			if at%window.Milliseconds() != 0 && at != end/ms {
				t.Fatalf("a window ends at %d ms", at)
			}
			n, _ := strconv.Atoi(f[3+fio.BinOf(1000)])
			total += n
		}
		if total != len(ios) {
			t.Fatalf("%d of %d I/Os are in a window", total, len(ios))
		}
	})
}

// TestSlowFilesLoseNothing: while the disk stands still the worker waits instead of dropping lines, and
// what it waited is told.
func TestSlowFilesLoseNothing(t *testing.T) {
	d := &disk{gate: make(chan struct{})}
	o := fiolog.Options{}
	o.Prefix[fiolog.IOPS] = "x"
	set, err := fiolog.Open(o, 1, d.create)
	if err != nil {
		t.Fatal(err)
	}
	const ios = 200_000
	r := set.Recorder(0)
	added := make(chan int, ios)
	go func() {
		for i := range ios {
			r.Add(&fiolog.IO{EndNS: int64(i), Bytes: 512})
			added <- i
		}
		close(added)
	}()
	const most = 5*4096 + 1<<18/len("0, 1, 0, 512, 0\n") + 1 // batches under way, one being written, the file's buffer
	last, deadline := 0, time.After(10*time.Second)
	for waiting := true; waiting; {
		select {
		case last = <-added:
		case <-time.After(50 * time.Millisecond):
			waiting = false
		case <-deadline:
			t.Fatal("the worker never waits")
		}
	}
	if last > most {
		t.Errorf("%d I/Os wait to be written, more than %d", last, most)
	}
	close(d.gate)
	for range added {
		continue
	}
	r.Close(ios)
	if err := set.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(d.files["x_iops.1.log"].String(), "\n"); n != ios {
		t.Errorf("%d lines of %d", n, ios)
	}
	if r.Blocked() < 40*time.Millisecond {
		t.Errorf("blocked for %v", r.Blocked())
	}
}

func TestFailingFilesEndTheLogNotTheRun(t *testing.T) {
	d := &disk{fail: errors.New("no space")}
	o := allLogs()
	o.HistWindow = time.Millisecond
	set, err := fiolog.Open(o, 2, d.create)
	if err != nil {
		t.Fatal(err)
	}
	for w := range 2 {
		for i := range 100_000 {
			set.Recorder(w).Add(&fiolog.IO{EndNS: int64(i) * 1000, Bytes: 512})
		}
		set.Recorder(w).Close(int64(time.Second))
	}
	if err := set.Close(); !errors.Is(err, d.fail) || fault.Of(err).Code != "LOG_FAILED" {
		t.Errorf("error %v", err)
	}
}

func TestWorkersShareFiles(t *testing.T) {
	d := &disk{}
	o := fiolog.Options{Shared: true}
	o.Prefix[fiolog.Clat] = "x"
	set, err := fiolog.Open(o, 3, d.create)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 10_000 {
				set.Recorder(w).Add(&fiolog.IO{EndNS: int64(i), ClatNS: int64(w), Bytes: 512})
			}
			set.Recorder(w).Close(10_000)
		})
	}
	wg.Wait()
	if err := set.Close(); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for line := range strings.Lines(d.files["x_clat.log"].String()) {
		counts[line]++
	}
	if want := map[string]int{"0, 0, 0, 512, 0\n": 10_000, "0, 1, 0, 512, 0\n": 10_000, "0, 2, 0, 512, 0\n": 10_000}; !cmp.Equal(counts, want) {
		t.Errorf("lines %v", counts)
	}
}

func TestCompressed(t *testing.T) {
	o := fiolog.Options{Compress: true}
	o.Prefix[fiolog.IOPS] = "x"
	z, err := gzip.NewReader(strings.NewReader(write(t, o, 5000*ms, someIOs())["x_iops.1.log.gz"]))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || strings.Count(string(text), "\n") != 5 {
		t.Errorf("%q, %v", text, err)
	}
}

func TestNoLogs(t *testing.T) {
	set, err := fiolog.Open(fiolog.Options{}, 4, (&disk{}).create)
	if set != nil || err != nil {
		t.Errorf("%v, %v", set, err)
	}
}

func TestAggregate(t *testing.T) {
	d := &disk{}
	r := reporttest.Result()
	a, err := fiolog.OpenAggregate("agg", d.create)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(r); err != nil {
		t.Fatal(err)
	}
	for dir, name := range []string{"agg-read_bw.log", "agg-write_bw.log", "agg-trim_bw.log"} {
		var kib, want int64
		for line := range strings.Lines(d.files[name].String()) {
			f := strings.Split(strings.TrimSpace(line), ", ")
			v, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil || len(f) != 5 || f[2] != strconv.Itoa(dir) {
				t.Fatalf("%s: %q", name, line)
			}
			kib += v
		}
		for _, j := range r.Jobs {
			for i := range j.Series {
				if s := j.Series[i].Dir(workloads.Direction(dir)); s != nil {
					want += s.Bytes
				}
			}
		}
		if diff := want/1024 - kib; diff < 0 || diff > 20 {
			t.Errorf("%s: %d KiB of %d", name, kib, want/1024)
		}
	}
}

// TestLogAgreesWithHistograms: percentiles recomputed from a log of each I/O are those that fio's output
// has, within the width of a bin.
func TestLogAgreesWithHistograms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(100, 50_000_000), 20, 200).Draw(t, "clat")
		h := report.NewHistogram()
		for _, v := range values {
			if err := h.RecordValue(v); err != nil {
				t.Fatal(err)
			}
		}
		buckets, err := report.LatencyOf(h, int64(len(values)), 0, 50_000_000, 0, 0, 0).Buckets()
		if err != nil {
			t.Fatal(err)
		}
		fromLog := map[int]int64{}
		for _, v := range values {
			fromLog[fio.BinOf(v)]++
		}
		fromResult := map[int]int64{}
		for _, b := range buckets {
			fromResult[fio.BinOf(b.LowestNS)] += b.Count
		}
		if diff := cmp.Diff(fromLog, fromResult); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	for name, o := range map[string]fiolog.Options{
		"each":    {Prefix: [6]string{fiolog.Clat: "x"}},
		"five":    {Prefix: [6]string{"x", "x", "x", "x", "x"}},
		"windows": {Prefix: [6]string{"x", "x", "x", "x", "x"}, Window: time.Second},
		"hist":    {Prefix: [6]string{fiolog.Hist: "x"}, HistWindow: time.Second},
	} {
		b.Run(name, func(b *testing.B) {
			set, err := fiolog.Open(o, 1, func(string, bool) (io.WriteCloser, error) { return discard{io.Discard}, nil })
			if err != nil {
				b.Fatal(err)
			}
			r := set.Recorder(0)
			one := fiolog.IO{IssueNS: 5, SlatNS: 1234, ClatNS: 87_654, LatNS: 88_888, Offset: 1 << 30, Bytes: 4096}
			for b.Loop() {
				one.EndNS += 1000
				one.ClatNS = one.ClatNS&0x3ffff + 77
				r.Add(&one)
			}
			r.Close(one.EndNS)
			if err := set.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

type discard struct{ io.Writer }

func (discard) Close() error { return nil }

func TestAddAllocatesNothing(t *testing.T) {
	for name, o := range map[string]fiolog.Options{
		"each": {Prefix: [6]string{fiolog.Clat: "x"}}, "windows": {Prefix: [6]string{fiolog.Clat: "x"}, Window: time.Hour},
	} {
		d := &disk{}
		set, err := fiolog.Open(o, 1, d.create)
		if err != nil {
			t.Fatal(err)
		}
		one := fiolog.IO{Bytes: 4096}
		if n := testing.AllocsPerRun(2000, func() { set.Recorder(0).Add(&one) }); n != 0 {
			t.Errorf("%s: %v allocations per I/O", name, n)
		}
		set.Recorder(0).Close(1)
		if err := set.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
