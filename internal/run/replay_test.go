package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/iolog"
)

// readIOLog returns the entries of a log and the paths of its files.
func readIOLog(t *testing.T, path string) ([]iolog.Entry, []string) {
	t.Helper()
	l, err := iolog.OpenFile(path, iolog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var entries []iolog.Entry
	for len(entries) < l.Len() {
		entries = append(entries, l.From(len(entries))...)
	}
	var paths []string
	for _, f := range l.Files {
		paths = append(paths, f.Path)
	}
	return entries, paths
}

// writeIOLog writes a log of I/Os on files of those paths.
func writeIOLog(t *testing.T, path string, entries []iolog.Entry, paths ...string) {
	t.Helper()
	var b bytes.Buffer
	w := iolog.NewWriter(&b, paths)
	w.Write(entries)
	if err := w.Close(entries[len(entries)-1].TimeNS); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// someIOs draws n I/Os in blocks of 4 KiB of a file of so many bytes, at times up to length.
func someIOs(n int, fileBytes int64, length time.Duration, ops ...iolog.Op) []iolog.Entry {
	rng := rand.New(rand.NewPCG(1, 2))
	entries := make([]iolog.Entry, n)
	for i := range entries {
		e := iolog.Entry{TimeNS: rng.Int64N(int64(length)/1000) * 1000, Op: ops[rng.IntN(len(ops))]}
		if e.Op <= iolog.Trim {
			e.Length = 4096 * uint32(1+rng.IntN(4))
			e.Offset = 4096 * rng.Int64N((fileBytes-int64(e.Length))/4096+1)
		}
		entries[i] = e
	}
	slices.SortStableFunc(entries, func(a, b iolog.Entry) int { return int(a.TimeNS - b.TimeNS) })
	return entries
}

// replayOf returns a job that replays a log.
func replayOf(log, engine string) workloads.Job {
	j := job("", engine, workloads.RWRead)
	j.Filenames, j.Destroy, j.Replay.Logs = nil, "", []string{log}
	return j
}

// sameIOs compares what entries do: without their lines, and without times unless they are asked for.
func sameIOs(t *testing.T, what string, want, got []iolog.Entry, times bool) {
	t.Helper()
	strip := func(list []iolog.Entry) []iolog.Entry {
		list = slices.Clone(list)
		for i := range list {
			list[i].Line = 0
			if !times {
				list[i].TimeNS = 0
			}
			if list[i].Op > iolog.Trim { // fio gives a sync the offset of the write before it
				list[i].Offset, list[i].Length = 0, 0
			}
		}
		return list
	}
	if diff := cmp.Diff(strip(want), strip(got)); diff != "" {
		t.Errorf("%s (- want, + got):\n%.2000s", what, diff)
	}
}

// amounts are counts by what they count.
type amounts map[string]float64

func amountsOf(j *report.Job) amounts {
	a := amounts{}
	for d := workloads.Read; d < workloads.Directions; d++ {
		if s := j.Dir(d); s != nil {
			a[d.String()+" bytes"], a[d.String()+" I/Os"] = float64(s.Bytes), float64(s.IOs)
		}
	}
	if j.Sync != nil {
		a["syncs"] = float64(j.Sync.IOs)
	}
	return a
}

// fioJob is the part of fio's JSON that says how much was done.
type fioJob struct {
	Read, Write, Trim struct {
		Bytes float64 `json:"io_bytes"`
		IOs   float64 `json:"total_ios"`
	}
	Sync struct {
		IOs float64 `json:"total_ios"`
	}
}

func (j *fioJob) amounts() amounts {
	return amounts{
		"read bytes": j.Read.Bytes, "read I/Os": j.Read.IOs, "write bytes": j.Write.Bytes, "write I/Os": j.Write.IOs,
		"trim bytes": j.Trim.Bytes, "trim I/Os": j.Trim.IOs, "syncs": j.Sync.IOs,
	}
}

// totalsOf adds up what a log holds, in the words of amountsOf.
func totalsOf(entries []iolog.Entry) amounts {
	a := amounts{}
	for _, e := range entries {
		if e.Op > iolog.Trim {
			a["syncs"]++
			continue
		}
		a[e.Op.String()+" I/Os"]++
		a[e.Op.String()+" bytes"] += float64(e.Length)
	}
	return a
}

// Arrivals are open loop: each I/O is intended for its recorded time, whatever happens. So recording a replay
// gives the same log again, times included; and no run is shorter than its log.
func TestAReplayKeepsTheTimesOfItsLog(t *testing.T) {
	dir := t.TempDir()
	log, again := filepath.Join(dir, "log"), filepath.Join(dir, "again")
	want := someIOs(300, 1<<30, 300*time.Millisecond, iolog.Read, iolog.Write, iolog.Trim, iolog.Sync, iolog.Datasync)
	writeIOLog(t, log, want, "/a")
	for _, c := range []struct {
		percent, loops int64
		depth          int
	}{{100, 1, 4}, {300, 1, 1}, {200, 2, 32}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			j := replayOf(log, catalog.Null)
			j.IODepth, j.Replay.TimePercent, j.Loops, j.RecordTo = c.depth, c.percent, int(c.loops), again
			r := do(t, j)
			var expect []iolog.Entry
			length := int64(0)
			for range c.loops {
				from := length
				for _, e := range want {
					e.TimeNS = from + e.TimeNS*100/c.percent
					length = e.TimeNS
					e.TimeNS -= e.TimeNS % 1000 // as a log has it
					expect = append(expect, e)
				}
			}
			got, _ := readIOLog(t, again)
			sameIOs(t, "recorded", expect, got, true)
			out := &r.Jobs[0]
			if out.RuntimeNS < length {
				t.Errorf("it took %v, the log %v", time.Duration(out.RuntimeNS), time.Duration(length))
			}
			if diff := cmp.Diff(totalsOf(expect), amountsOf(out)); diff != "" {
				t.Error(diff)
			}
			if out.Arrivals != int64(len(expect)) {
				t.Errorf("%d arrivals of %d I/Os", out.Arrivals, len(expect))
			}
			for d := range workloads.Direction(workloads.Directions) {
				if s := out.Dir(d); s.Response == nil || s.Response.N != s.IOs || s.Response.MinNS < 0 {
					t.Errorf("%s: response times %+v of %d I/Os", d, s.Response, s.IOs)
				}
			}
			if p := out.Replay; p == nil || !p.Timed || p.IOs != int64(len(want)) || p.DurationNS > length/c.loops+1 || len(p.Logs) != 1 || out.Spec.RW != "replay" {
				t.Errorf("the Result says %+v, %s", p, out.Spec.RW)
			}
		})
	}
}

// An I/O that the device holds up makes those after it late, and not due later: their response tells.
func TestALateReplayKeepsItsIntendedTimes(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	entries := make([]iolog.Entry, 50)
	for i := range entries {
		entries[i] = iolog.Entry{TimeNS: int64(i) * 1e6, Offset: int64(i) * 4096, Length: 4096}
	}
	writeIOLog(t, log, entries, "/a")
	tab := &timetable{cursor: cursor{log: mustOpen(t, log)}}
	tab.Start(1e9)
	intended := make([]int64, 8)
	if n := tab.Due(1e9-1, intended, nil); n != 0 {
		t.Errorf("%d are due before the start", n)
	}
	if n := tab.Due(1e9+2e6, intended, nil); n != 3 || !slices.Equal(intended[:3], []int64{1e9, 1e9 + 1e6, 1e9 + 2e6}) {
		t.Errorf("after 2 ms: %d, %v", n, intended)
	}
	if next := tab.Next(); next != 1e9+3e6 {
		t.Errorf("the next is due at %d", next)
	}
	for i := 3; i < len(entries); { // everything else is late
		n := tab.Due(100e9, intended, nil)
		for k := range n {
			if intended[k] != 1e9+int64(i+k)*1e6 {
				t.Fatalf("entry %d is intended for %d", i+k, intended[k])
			}
		}
		if i += n; n == 0 {
			t.Fatalf("nothing is due after %d", i)
		}
	}
	if n := tab.Due(200e9, intended, nil); n != 0 || tab.Next() < 1<<62 {
		t.Errorf("%d arrivals behind the end, the next at %d", n, tab.Next())
	}
}

// I/Os that wait for others on the same bytes keep their arrivals: all of the log is replayed, in its order, and
// none before its time.
func TestAReplayThatKeepsIOsApart(t *testing.T) {
	dir := t.TempDir()
	log, again, file := filepath.Join(dir, "log"), filepath.Join(dir, "again"), filepath.Join(dir, "file")
	entries := make([]iolog.Entry, 200)
	for i := range entries {
		entries[i] = iolog.Entry{TimeNS: int64(i) * 100_000, Offset: int64(i % 3 * 4096), Length: 1 << 20, Op: iolog.Write}
	}
	writeIOLog(t, log, entries, file)
	j := replayOf(log, "io_uring")
	j.IODepth, j.SerializeOverlap, j.RecordTo = 16, true, again
	r := do(t, j)
	got, _ := readIOLog(t, again)
	sameIOs(t, "recorded", entries, got, true)
	if out := &r.Jobs[0]; out.Write.IOs != int64(len(entries)) || out.Arrivals != out.Write.IOs || out.Write.Response.N != out.Write.IOs {
		t.Errorf("%d writes and %d arrivals of %d; response %+v", out.Write.IOs, out.Arrivals, len(entries), out.Write.Response)
	}
}

// What is read back between paced writes is recorded at the time of that, and not at an arrival's.
func TestReadingBackIsRecordedWhenItHappens(t *testing.T) {
	dir := t.TempDir()
	j := verifyJob(filepath.Join(dir, "file"), "psync", workloads.RWWrite, "crc32c")
	j.Destroy, j.Direct, j.Size.Bytes, j.RateIOPS[workloads.Write] = "", false, 8*4096, 1000
	j.Verify.Backlog, j.RecordTo = 2, filepath.Join(dir, "log")
	do(t, j)
	entries, _ := readIOLog(t, j.RecordTo)
	reads := 0
	for i, e := range entries {
		if e.Op == iolog.Read {
			if reads++; i > 0 && entries[i-1].Op == iolog.Write && e.TimeNS <= entries[i-1].TimeNS {
				t.Errorf("entry %d reads back at %d ns what was to be written at %d", i, e.TimeNS, entries[i-1].TimeNS)
			}
		}
	}
	if reads != 16 { // between the writes, and at the end
		t.Errorf("%d reads were recorded", reads)
	}
}

func mustOpen(t *testing.T, path string) *iolog.Log {
	t.Helper()
	l, err := iolog.OpenFile(path, iolog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Without stalls, times do not count; with a runtime and time_based, the log begins again.
func TestAReplayWithoutStalls(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	entries := someIOs(100_000, 1<<30, time.Hour, iolog.Read, iolog.Write)
	writeIOLog(t, log, entries, "/a")
	j := replayOf(log, catalog.Null)
	j.Replay.NoStall, j.Loops = true, 3
	r := do(t, j)
	want := totalsOf(entries)
	for k := range want {
		want[k] *= 3
	}
	if diff := cmp.Diff(want, amountsOf(&r.Jobs[0])); diff != "" {
		t.Error(diff)
	}
	if s := r.Jobs[0].Read; s.Response != nil || r.Jobs[0].Replay.Timed {
		t.Errorf("response times without intended times: %+v", s.Response)
	}
	j.Loops, j.TimeBased, j.Runtime = 1, true, 200*time.Millisecond
	if r := do(t, j); r.Jobs[0].Read.IOs+r.Jobs[0].Write.IOs <= int64(len(entries)) || r.Jobs[0].RuntimeNS < int64(j.Runtime) {
		t.Errorf("%d reads and %d writes in %v", r.Jobs[0].Read.IOs, r.Jobs[0].Write.IOs, time.Duration(r.Jobs[0].RuntimeNS))
	}
	j.Replay.NoStall = false // the hour is cut short
	if r := do(t, j); r.ExitCode != 0 || r.Jobs[0].Arrivals > 1000 {
		t.Errorf("exit %d, %d arrivals", r.ExitCode, r.Jobs[0].Arrivals)
	}
}

// Clones take the logs in turn, each with files of its own.
func TestClonesReplayTheLogsInTurn(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	writeIOLog(t, a, []iolog.Entry{{Length: 4096}, {Offset: 8192, Length: 512, File: 1}}, "/x", "/y")
	writeIOLog(t, b, []iolog.Entry{{Length: 1024, Op: iolog.Write}}, "/z")
	j := replayOf(a, catalog.Null)
	j.Replay.Logs, j.NumJobs = []string{a, b}, 3
	j.RecordTo = filepath.Join(dir, "out")
	other := nullJob(5 * time.Millisecond)
	other.RecordTo, other.RateIOPS[workloads.Read] = filepath.Join(dir, "single"), 1000
	r := do(t, other, j)
	if diff := cmp.Diff([]string{a, b, a}, r.Jobs[1].Replay.Logs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(amounts{"read bytes": 2 * 4608, "read I/Os": 4, "write bytes": 1024, "write I/Os": 1}, amountsOf(&r.Jobs[1])); diff != "" {
		t.Error(diff)
	}
	// Where several workers would share a name, each adds its number in the run.
	for _, c := range []struct {
		name string
		ios  int64
	}{{"single", r.Jobs[0].Read.IOs}, {"out.2", 2}, {"out.3", 1}, {"out.4", 2}} {
		if got, _ := readIOLog(t, filepath.Join(dir, c.name)); int64(len(got)) != c.ios {
			t.Errorf("%s has %d I/Os, want %d", c.name, len(got), c.ios)
		}
	}
	j.NumJobs = 1
	if r := do(t, j); !slices.ContainsFunc(r.Warnings, func(w workloads.Warning) bool { return w.Code == "IOLOG_UNUSED" }) {
		t.Errorf("nobody says that a log is left: %+v", r.Warnings)
	}
}

// On a device, exactly the blocks that the log writes change, and the kernel counts what the log says. A file
// that is only read is not opened for writing.
func TestReplayOnADevice(t *testing.T) {
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		t.Run(engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
			dir := t.TempDir()
			log, plain := filepath.Join(dir, "log"), filepath.Join(dir, "plain")
			if err := os.WriteFile(plain, make([]byte, 1<<20), 0o400); err != nil {
				t.Fatal(err)
			}
			entries := someIOs(400, 1<<20, 50*time.Millisecond, iolog.Read, iolog.Write, iolog.Sync)
			for i := range entries {
				if entries[i].Op != iolog.Write {
					entries[i].File = uint16(i % 2)
				}
			}
			writeIOLog(t, log, entries, dev.Path, plain)
			j := replayOf(log, engine)
			j.Destroy, j.Buffers.Refill = filepath.Base(dev.Path), true
			r := do(t, j)
			if diff := cmp.Diff(totalsOf(entries), amountsOf(&r.Jobs[0])); diff != "" || r.ExitCode != 0 {
				t.Errorf("exit %d, %+v\n%s", r.ExitCode, r.Error, diff)
			}
			written := map[int64]bool{}
			bytesWritten := int64(0)
			for _, e := range entries {
				for off := int64(0); e.Op == iolog.Write && off < int64(e.Length); off += 4096 {
					written[e.Offset+off] = true
					bytesWritten += 4096
				}
			}
			i := slices.IndexFunc(r.Targets, func(x report.Target) bool { return x.Path == dev.Path })
			if k := r.Targets[i].Kernel; k == nil || k.WriteBytes != bytesWritten {
				t.Errorf("the kernel counted %+v, want %d bytes written", k, bytesWritten)
			}
			data, err := os.ReadFile(dev.Backing)
			if err != nil {
				t.Fatal(err)
			}
			zero := make([]byte, 4096)
			for off := int64(0); off < devBytes; off += 4096 {
				if changed := !bytes.Equal(data[off:off+4096], zero); changed != written[off] {
					t.Fatalf("the block at %d: changed %v, written by the log %v", off, changed, written[off])
				}
			}
		})
	}
}

// What cannot be replayed, or recorded, ends the run before its first I/O, and nothing is changed.
func TestReplaysThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	data := bytes.Repeat([]byte("precious"), 8192) // 64 KiB
	if err := os.WriteFile(at("data"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(at("data"), at("link")); err != nil {
		t.Fatal(err)
	}
	write := func(e ...iolog.Entry) func(j *workloads.Job) {
		return func(*workloads.Job) { writeIOLog(t, at("log"), e, at("data")) }
	}
	read := iolog.Entry{Length: 4096}
	tests := []struct {
		name  string
		setup func(j *workloads.Job)
		exit  int
		code  string
		want  string
	}{
		{"a write that nobody allowed", write(read, iolog.Entry{Length: 512, Op: iolog.Write}), fault.ExitRefused, "REFUSED_EXISTS", at("data")},
		{"a trim that nobody allowed", write(iolog.Entry{Length: 512, Op: iolog.Trim}), fault.ExitRefused, "REFUSED_EXISTS", at("data")},
		{"beyond the end", write(read, iolog.Entry{Offset: 65536, Length: 1}), fault.ExitUsage, "IOLOG_BEYOND_TARGET", at("log") + ":5: a read of 1 bytes at offset 65536"},
		{"an offset that is not aligned", func(j *workloads.Job) { j.Direct = true; write(read, iolog.Entry{Offset: 1, Length: 512})(j) }, fault.ExitUsage, "IOLOG_ALIGNMENT", at("log") + ":5"},
		{"a length that is not aligned", func(j *workloads.Job) { j.Direct = true; write(iolog.Entry{Length: 513})(j) }, fault.ExitUsage, "IOLOG_ALIGNMENT", at("log") + ":4"},
		{"nothing left", func(j *workloads.Job) { j.Replay.Skip = []string{"read"}; write(read)(j) }, fault.ExitUsage, "IOLOG_EMPTY", at("log")},
		{"no log", func(j *workloads.Job) { j.Replay.Logs = []string{at("none")} }, fault.ExitUsage, "IOLOG_UNREADABLE", at("none")},
		{"a binary trace", func(*workloads.Job) { os.WriteFile(at("log"), []byte("\x07tae\x01"), 0o600) }, fault.ExitUsage, "IOLOG_BLKTRACE", "blktrace"},
		{"recording over a target", func(j *workloads.Job) { write(read)(j); j.RecordTo = at("data") }, fault.ExitRefused, "IOLOG_IN_USE", at("data")},
		{"recording over a target by another name", func(j *workloads.Job) { write(read)(j); os.Link(at("data"), at("link")); j.RecordTo = at("link") }, fault.ExitRefused, "IOLOG_IN_USE", at("link")},
		{"recording over the log by another path", func(j *workloads.Job) { write(read)(j); j.RecordTo = at(".") + "/./log" }, fault.ExitUsage, "IOLOG_IN_USE", "would overwrite"},
		{"recording over the log", func(j *workloads.Job) { write(read)(j); j.RecordTo = at("log") }, fault.ExitUsage, "IOLOG_IN_USE", at("log")},
		{"recording over a target's other name", func(j *workloads.Job) { write(read)(j); j.RecordTo = at("link") }, fault.ExitRefused, "IOLOG_IN_USE", at("link")},
		{"recording over the log by another way", func(j *workloads.Job) { write(read)(j); j.RecordTo = dir + "/./log" }, fault.ExitUsage, "IOLOG_IN_USE", dir + "/./log"},
		{"recording to a device", func(j *workloads.Job) { write(read)(j); j.RecordTo = "/dev/null" }, fault.ExitRefused, "IOLOG_NOT_A_FILE", "/dev/null"},
		{"recording nowhere", func(j *workloads.Job) { write(read)(j); j.RecordTo = at("no/such/dir") }, fault.ExitUsage, "IOLOG_UNWRITABLE", at("no/such/dir")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := replayOf(at("log"), "psync")
			j.Direct = false
			tt.setup(&j)
			r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{})
			if e := fault.Of(err); r != nil || e.Exit != tt.exit || e.Code != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v; want %s, exit %d, %q", r, err, tt.code, tt.exit, tt.want)
			}
		})
	}
	if now, err := os.ReadFile(at("data")); err != nil || !bytes.Equal(now, data) {
		t.Errorf("the data was changed: %v", err)
	}
}

// A file that is missing is made, as long as the log needs it; replay_align and replay_redirect make an odd
// log fit.
func TestReplayMakesItsFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writeIOLog(t, at("log"), []iolog.Entry{{Offset: 5000, Length: 4096, Op: iolog.Write}, {Offset: 20481, Length: 4096}}, at("a"))
	j := replayOf(at("log"), "psync")
	j.Direct, j.Replay.AlignBytes = true, 4096
	if r := do(t, j); r.ExitCode != 0 || r.Jobs[0].Write.Bytes != 4096 || r.Jobs[0].Read.Bytes != 4096 {
		t.Errorf("exit %d, %+v", r.ExitCode, r.Error)
	}
	if info, err := os.Stat(at("a")); err != nil || info.Size() != 24576 {
		t.Errorf("%v, %v", info, err)
	}
	j.Direct, j.Replay.AlignBytes, j.Replay.Redirect, j.RecordTo = false, 0, at("b"), at("again")
	do(t, j)
	got, paths := readIOLog(t, at("again"))
	if len(got) != 2 || got[1].Offset != 20481 || !slices.Equal(paths, []string{at("b")}) {
		t.Errorf("%v on %v", got, paths)
	}
}

// What Debian's fio records, blkmeter replays I/O by I/O.
func TestReplaysWhatFioRecorded(t *testing.T) {
	testlab.Require(t, "fio")
	for i, options := range []string{
		"--rw=randrw --bsrange=512-16k --fsync=8 --ioengine=psync",
		"--rw=randwrite --bs=4k --ioengine=libaio --iodepth=16 --fdatasync=4",
		"--rw=read --bs=64k --nrfiles=3 --ioengine=psync",
		"--rw=randread --bs=4k --rate_iops=500 --number_ios=100 --ioengine=psync",
	} {
		t.Run(options, func(t *testing.T) {
			dir := t.TempDir()
			log, again := filepath.Join(dir, "log"), filepath.Join(dir, "again")
			args := append(strings.Fields(options), "--name=x", "--size=1m", "--directory="+dir, "--write_iolog="+log, "--output="+filepath.Join(dir, "out"))
			testlab.Output(t, dir, "fio", args...)
			want, files := readIOLog(t, log)
			j := replayOf(log, []string{"psync", "io_uring", "libaio", "io_uring"}[i])
			j.Direct, j.RecordTo = false, again
			r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Overwrite: true})
			if err != nil || r.ExitCode != 0 {
				t.Fatalf("%v, %+v", err, r.Error)
			}
			valid(t, r)
			if diff := cmp.Diff(totalsOf(want), amountsOf(&r.Jobs[0])); diff != "" {
				t.Error(diff)
			}
			got, ours := readIOLog(t, again)
			sameIOs(t, "replayed", want, got, true)
			if !slices.Equal(files, ours) {
				t.Errorf("the files are %v, fio had %v", ours, files)
			}
			if last := want[len(want)-1].TimeNS; r.Jobs[0].RuntimeNS < last {
				t.Errorf("it took %v, fio's log %v", time.Duration(r.Jobs[0].RuntimeNS), time.Duration(last))
			}
		})
	}
}

// What blkmeter records, Debian's fio replays I/O by I/O, as its own latency log tells.
func TestFioReplaysWhatWeRecorded(t *testing.T) {
	testlab.Require(t, "fio")
	dir := t.TempDir()
	log, data := filepath.Join(dir, "log"), filepath.Join(dir, "data")
	if err := os.WriteFile(data, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	j := job(data, "io_uring", workloads.RWRandRW)
	sizes := workloads.SizeRange{Min: 4096, Max: 16384}
	j.BS[workloads.Read], j.BS[workloads.Write], j.FsyncEvery = sizes, sizes, 16
	j.Direct, j.RecordTo = false, log
	r := do(t, j)
	recorded, _ := readIOLog(t, log)
	if diff := cmp.Diff(amountsOf(&r.Jobs[0]), totalsOf(recorded)); diff != "" {
		t.Errorf("recorded is not what was done:\n%s", diff)
	}
	out := testlab.Output(t, dir, "fio", "--name=x", "--read_iolog="+log, "--ioengine=psync", "--output-format=json", "--write_lat_log=x", "--log_offset=1")
	var doc struct{ Jobs []fioJob }
	if err := json.Unmarshal([]byte(out[max(strings.IndexByte(out, '{'), 0):]), &doc); err != nil || len(doc.Jobs) != 1 {
		t.Fatalf("fio's JSON: %v\n%s", err, out)
	}
	for what, n := range totalsOf(recorded) {
		if got := doc.Jobs[0].amounts()[what]; got != n {
			t.Errorf("fio did %s: %.0f, recorded were %.0f", what, got, n)
		}
	}
	var theirs []iolog.Entry
	for _, line := range readLog(t, filepath.Join(dir, "x_lat.1.log")) {
		theirs = append(theirs, iolog.Entry{Op: iolog.Op(line[2]), Length: uint32(line[3]), Offset: line[4]})
	}
	moved := slices.DeleteFunc(slices.Clone(recorded), func(e iolog.Entry) bool { return e.Op > iolog.Trim })
	sameIOs(t, "replayed by fio", moved, theirs, false)
}

// Replaying and recording allocate nothing for an I/O.
func TestReplayingAndRecordingAllocateNothing(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	writeIOLog(t, log, someIOs(1000, 1<<30, time.Second, iolog.Read), "/a")
	done := make(chan struct{})
	go func() { // a worker keeps its thread for good
		defer close(done)
		w := hotWorker(t, 32, nil)
		w.source = &replaying{cursor: cursor{log: mustOpen(t, log), passes: 1 << 60}}
		w.recording = &recording{recorder: iolog.NewRecorder(iolog.NewWriter(io.Discard, []string{"/a"}))}
		if n := loopFor(w, 50*time.Millisecond); n < 1000 {
			t.Errorf("the loop did only %d I/Os", n)
		}
		w.win.reset()
		if got := testing.AllocsPerRun(20, func() {
			w.spent = false
			w.endAt = w.clock.Now() + 100_000
			if err := w.loop(); err != nil {
				t.Error(err)
			}
		}); got != 0 {
			t.Errorf("%v allocations per 100 us of looping", got)
		}
		if err := w.recording.recorder.Close(0); err != nil {
			t.Error(err)
		}
	}()
	<-done
}
