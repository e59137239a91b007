package run

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fiolog"
	"github.com/blkmeter/blkmeter/workloads"
)

// readLog returns the fields of a log's lines.
func readLog(t *testing.T, path string) [][]int64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]int64
	for line := range strings.Lines(string(text)) {
		var fields []int64
		for f := range strings.SplitSeq(strings.TrimSpace(line), ", ") {
			v, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				t.Fatalf("%s: %q: %v", path, line, err)
			}
			fields = append(fields, v)
		}
		lines = append(lines, fields)
	}
	return lines
}

// logsOf asks for all of fio's logs under one prefix.
func logsOf(prefix string) workloads.Logs {
	file := workloads.LogFile{Want: true, Prefix: prefix}
	return workloads.Logs{BW: file, IOPS: file, Lat: file, Hist: file, HistEvery: 100 * time.Millisecond, PerJob: true}
}

// The per-I/O logs of a real run tell every I/O: as many lines as I/Os, their bytes, offsets inside the
// region, and latencies whose percentiles are those of the Result within fio's resolution.
func TestLogsTellEveryIO(t *testing.T) {
	testlab.Require(t, "loop")
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			dir := t.TempDir()
			j := job(dev.Path, engine, workloads.RWRandRW)
			j.NumJobs, j.Logs = 2, logsOf(filepath.Join(dir, "x"))
			j.Logs.Offset, j.Logs.IssueTime = true, true
			r := do(t, j)
			for i, w := range r.Jobs[0].Workers {
				name := func(kind string) string { return filepath.Join(dir, "x_"+kind+"."+strconv.Itoa(i+1)+".log") }
				for kind, of := range map[string]func(*report.DirStats) *report.Latency{
					"slat": func(s *report.DirStats) *report.Latency { return s.Slat },
					"clat": func(s *report.DirStats) *report.Latency { return s.Clat },
					"lat":  func(s *report.DirStats) *report.Latency { return s.Lat },
				} {
					checkLatencyLog(t, readLog(t, name(kind)), &w, of)
				}
				bytes := [2]int64{}
				for _, line := range readLog(t, name("iops")) {
					bytes[line[2]] += line[1] * line[3]
				}
				if bytes != [2]int64{w.Read.Bytes, w.Write.Bytes} {
					t.Errorf("the log has %d bytes read and written, the Result %d and %d", bytes, w.Read.Bytes, w.Write.Bytes)
				}
				inBins := int64(0)
				for _, line := range readLog(t, name("clat_hist")) {
					for _, n := range line[3:] {
						inBins += n
					}
				}
				if inBins != w.Read.IOs+w.Write.IOs {
					t.Errorf("%d I/Os in the histograms, %d in the Result", inBins, w.Read.IOs+w.Write.IOs)
				}
			}
		})
	}
}

// checkLatencyLog compares a latency log with what the Result has of the worker.
func checkLatencyLog(t *testing.T, lines [][]int64, w *report.Worker, of func(*report.DirStats) *report.Latency) {
	t.Helper()
	for d, s := range []*report.DirStats{w.Read, w.Write} {
		var values []int64
		for _, f := range lines {
			if int(f[2]) != d {
				continue
			}
			if f[3] != 4096 || f[4] < w.RegionLow || f[4] >= w.RegionHigh || f[4]%4096 != 0 || f[6] > (f[0]+1)*1e6 {
				t.Fatalf("line %v of a worker on %d to %d", f, w.RegionLow, w.RegionHigh)
			}
			values = append(values, f[1])
		}
		l := of(s)
		if l == nil && len(values) == 0 {
			continue // a synchronous engine's slat
		}
		if l == nil || int64(len(values)) != l.N {
			t.Fatalf("%d lines for the latencies %+v", len(values), l)
		}
		slices.Sort(values)
		for _, p := range l.Percentiles {
			rank := max(int(math.Round(p.Percent/100*float64(len(values)))), 1)
			if want := float64(values[rank-1]); math.Abs(float64(p.ValueNS)-want) > want/128+1 {
				t.Errorf("p%v is %d ns in the Result, %v in the log", p.Percent, p.ValueNS, want)
			}
		}
	}
}

// Windows begin at multiples of their length, the last partial one is kept, and together they make up the run.
func TestWindowedLogsAddUp(t *testing.T) {
	dir := t.TempDir()
	j := nullJob(250 * time.Millisecond)
	j.Logs = logsOf(filepath.Join(dir, "x"))
	j.Logs.Average = 100 * time.Millisecond
	var r *report.Result
	var lines [][]int64
	testlab.Undisturbed(t, func() string {
		r = do(t, j)
		lines = readLog(t, filepath.Join(dir, "x_iops.1.log"))
		for i := range 2 {
			if lines[i][0] != int64(i+1)*100 { // as it does when there was no I/O at its end
				return fmt.Sprintf("window %d ends at %d ms", i, lines[i][0])
			}
		}
		return ""
	})
	var ios, kib float64
	last := int64(0)
	for _, line := range lines {
		ios += float64(line[1]) * float64(line[0]-last) / 1000
		last = line[0]
	}
	last = 0
	for _, line := range readLog(t, filepath.Join(dir, "x_bw.1.log")) {
		kib += float64(line[1]) * float64(line[0]-last) / 1000
		last = line[0]
	}
	s := r.Jobs[0].Read
	if math.Abs(ios-float64(s.IOs)) > 0.02*float64(s.IOs) || math.Abs(kib*1024-float64(s.Bytes)) > 0.02*float64(s.Bytes) {
		t.Errorf("the windows make %.0f I/Os and %.0f KiB, the Result has %d and %d", ios, kib, s.IOs, s.Bytes>>10)
	}
	if end := r.Jobs[0].RuntimeNS / 1e6; last < end-1 || last > end {
		t.Errorf("the last window ends at %d ms, the run at %d", last, end)
	}
}

// nullJob reads nothing for so long.
func nullJob(d time.Duration) workloads.Job {
	j := workloads.DefaultJob()
	j.Name, j.Engine, j.RW, j.IODepth = "test", catalog.Null, workloads.RWRead, 4
	j.Size = workloads.Amount{Bytes: 1 << 30, Set: true}
	j.Runtime, j.TimeBased = d, true
	return j
}

// The ramp is not logged, and the log's time begins at its end.
func TestLogsBeginAfterTheRamp(t *testing.T) {
	j := nullJob(100 * time.Millisecond)
	j.RampTime = 100 * time.Millisecond
	j.RateIOPS[workloads.Read] = 1000
	testlab.Undisturbed(t, func() (why string) {
		dir := t.TempDir()
		j.Logs.IOPS, j.Logs.PerJob = workloads.LogFile{Want: true, Prefix: filepath.Join(dir, "x")}, true
		r := do(t, j)
		lines := readLog(t, filepath.Join(dir, "x_iops.1.log"))
		if int64(len(lines)) != r.Jobs[0].Read.IOs {
			t.Errorf("%d lines for %d I/Os", len(lines), r.Jobs[0].Read.IOs)
		}
		for _, line := range lines {
			if line[0] < 0 || line[0] > 120 {
				why = fmt.Sprintf("line %v: the measured window has 100 ms", line)
			}
		}
		return why
	})
}

// Workers are numbered over all jobs; with per_job_logs=0 they share a file, to which a later run appends.
func TestNamesOfLogs(t *testing.T) {
	dir := t.TempDir()
	a, b, c := nullJob(20*time.Millisecond), nullJob(20*time.Millisecond), nullJob(20*time.Millisecond)
	a.NumJobs, a.Logs.IOPS, a.Logs.PerJob = 2, workloads.LogFile{Want: true, Prefix: filepath.Join(dir, "a")}, true
	b.Logs.IOPS, b.Logs.PerJob, b.Stonewall = workloads.LogFile{Want: true, Prefix: filepath.Join(dir, "b")}, true, true
	c.NumJobs, c.Logs.BW, c.Logs.PerJob = 2, workloads.LogFile{Want: true, Prefix: filepath.Join(dir, "c")}, false
	for _, j := range []*workloads.Job{&a, &b, &c} {
		j.RateIOPS[workloads.Read] = 1000
	}
	do(t, a, b, c)
	want := []string{"a_iops.1.log", "a_iops.2.log", "b_iops.3.log", "c_bw.log"}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, want) {
		t.Errorf("the logs are %v, want %v", names, want)
	}
	before := len(readLog(t, filepath.Join(dir, "c_bw.log")))
	r := do(t, c)
	if after := len(readLog(t, filepath.Join(dir, "c_bw.log"))); int64(after-before) != r.Jobs[0].Read.IOs {
		t.Errorf("%d lines, then %d, for %d I/Os", before, after, r.Jobs[0].Read.IOs)
	}
}

// A log that cannot be created stops the run before its first I/O; one that cannot be written to its end
// makes it fail, with its figures.
func TestLogsThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	j := nullJob(20 * time.Millisecond)
	j.Logs = logsOf(filepath.Join(dir, "no", "such", "dir"))
	r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{})
	var f *fault.Error
	if r != nil || !errors.As(err, &f) || f.Code != "LOG_FAILED" {
		t.Errorf("%v, %v", r, err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(dir, "x_clat.1.log")); err != nil {
		t.Fatal(err)
	}
	j.Logs = logsOf(filepath.Join(dir, "x"))
	if r := do(t, j); r.Error == nil || r.Error.Code != "LOG_FAILED" || r.ExitCode != fault.ExitIO || r.Jobs[0].Read.IOs == 0 {
		t.Errorf("%+v, exit %d", r.Error, r.ExitCode)
	}
}

// Whoever asks gets Results of what was done so far, each with more than the one before; the run itself is
// as without.
func TestInterimResults(t *testing.T) {
	first, second := nullJob(1400*time.Millisecond), nullJob(200*time.Millisecond)
	first.NumJobs, second.Stonewall = 2, true
	ask := make(chan struct{}, 1)
	var results []*report.Result
	o := Options{Ask: ask, IdleCPUs: IdlePerCPU}
	o.Progress = func(Progress) {
		select {
		case ask <- struct{}{}:
		default:
		}
	}
	o.Interim = func(r *report.Result, left time.Duration) {
		loadable(t, r)
		if r.Status != report.StatusRunning || len(r.Jobs) != 2 || left < 0 || left > 1400*time.Millisecond {
			t.Errorf("%s with %d jobs and %v left", r.Status, len(r.Jobs), left)
		}
		results = append(results, r)
	}
	end, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{first, second}}, o)
	if err != nil {
		t.Fatal(err)
	}
	valid(t, end)
	results = append(results, end)
	before := int64(-1)
	for i, r := range results {
		s := r.Jobs[0].Read
		if s == nil {
			t.Fatalf("result %d of %d has no reads", i, len(results))
		}
		if s.IOs < before || len(r.Jobs[0].Workers) != 2 {
			t.Errorf("result %d: %d I/Os of %d workers after %d", i, s.IOs, len(r.Jobs[0].Workers), before)
		}
		before = s.IOs
		if rate := float64(s.IOs) / (float64(s.RuntimeNS) / 1e9); s.IOs > 0 && math.Abs(s.IOPS-rate) > rate/1000 {
			t.Errorf("result %d: %v IOPS, but %d I/Os in %d ns", i, s.IOPS, s.IOs, s.RuntimeNS)
		}
	}
	if len(results) < 4 || results[len(results)-2].Jobs[0].Read.IOs == 0 {
		t.Errorf("%d results", len(results))
	}
	if end.Idle == nil || len(end.Idle.CPUs) == 0 || end.Idle.Percent < 0 || end.Idle.Percent > 100 {
		t.Errorf("idle CPUs: %+v", end.Idle)
	}
}

// Windowed logs cost the loop less than 5 ns per I/O, and a worker that logs the latencies of every I/O still
// does more than a million per second, with a line in each of three files for every one. Other load on the
// machine makes it slower, never faster, so that it may try again.
func TestLogsAreCheap(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes everything slower")
	}
	var cost, each float64
	for range 20 {
		plain, logged := loggedLoop(t, 32, func(l *workloads.Logs) { l.Average, l.Hist = 100*time.Millisecond, workloads.LogFile{} }, 5)
		_, each = loggedLoop(t, 32, func(l *workloads.Logs) {
			l.BW, l.IOPS, l.Hist = workloads.LogFile{}, workloads.LogFile{}, workloads.LogFile{}
		}, 5)
		if cost = logged - plain; cost < 5 && each < 1000 {
			return
		}
	}
	t.Errorf("windowed logs cost %.1f ns per I/O; with every I/O logged one takes %.0f ns", cost, each)
}

// What logging costs the loop, as the difference of the fastest slices with and without it; a batch of a
// worker's log is on its way to the disk meanwhile.
func BenchmarkLoggedLoop(b *testing.B) {
	for _, c := range []struct {
		name  string
		depth int
		logs  func(*workloads.Logs)
	}{
		{"windows/qd=1", 1, func(l *workloads.Logs) { l.Average, l.Hist = 100*time.Millisecond, workloads.LogFile{} }},
		{"windows/qd=32", 32, func(l *workloads.Logs) { l.Average, l.Hist = 100*time.Millisecond, workloads.LogFile{} }},
		{"each/qd=32", 32, func(l *workloads.Logs) {
			l.BW, l.IOPS, l.Hist = workloads.LogFile{}, workloads.LogFile{}, workloads.LogFile{}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			plain, logged := loggedLoop(b, c.depth, c.logs, b.N)
			b.ReportMetric(0, "ns/op") // b.N counts slices of time
			b.ReportMetric(logged-plain, "log-ns/IO")
			b.ReportMetric(1e3/logged, "M-IO/s")
		})
	}
}

// loggedLoop returns the least time per I/O over slices of the loop, without and with logs.
func loggedLoop(t testing.TB, depth int, change func(*workloads.Logs), slices int) (plainNS, loggedNS float64) {
	done := make(chan struct{})
	go func() { // a worker keeps its thread for good
		defer close(done)
		logs := logsOf(filepath.Join(t.TempDir(), "x"))
		change(&logs)
		set, err := fiolog.Open(fiolog.OptionsOf(&workloads.Job{Logs: logs}, 0), 1, fiolog.Create)
		if err != nil {
			t.Error(err)
			return
		}
		r := set.Recorder(0)
		w := hotWorker(t, depth, func(j *workloads.Job) { j.NoRandomMap = true })
		with := &logging{recorder: r, perIO: r.PerIO(), prios: w.job.priorities()}
		begin := w.clock.Now()
		const slice = 10 * time.Millisecond
		each := func(l *logging) float64 {
			w.win.reset()
			w.logging = l
			n := loopFor(w, slice)
			return float64(w.timing.ended-w.timing.measured) / float64(n)
		}
		plainNS, loggedNS = each(nil), each(with)
		for range slices {
			plainNS, loggedNS = min(plainNS, each(nil)), min(loggedNS, each(with))
		}
		r.Close(w.clock.Now() - begin)
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	}()
	<-done
	return plainNS, loggedNS
}

// Logs and fio's job_start follow the clock that a job names.
func TestClocksThatJobsName(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "log")
	j := nullJob(50 * time.Millisecond)
	j.TimeBased, j.NumberIOs, j.StartClock = false, 10, 1
	j.Logs = logsOf(prefix)
	j.Logs.AlternateEpoch, j.Logs.EpochClock = true, 1
	before, err := clock.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	r := do(t, j)
	after, err := clock.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	lines := readLog(t, prefix+"_lat.1.log")
	if at := time.Duration(lines[0][0]) * time.Millisecond; at < before-time.Millisecond || at > after {
		t.Errorf("the log begins at %v of a clock that went from %v to %v", at, before, after)
	}
	if at := time.Duration(r.Jobs[0].Spec.StartClockNS); at < before || at > after {
		t.Errorf("the job started at %v of a clock that went from %v to %v", at, before, after)
	}
	j.StartClock = 99
	if _, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{}); fault.Of(err).Code != "CLOCK_ID" {
		t.Errorf("a clock that there is not: %v", err)
	}
}
