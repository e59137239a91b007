package fio_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/workloads"
)

// TestAgainstFio runs fio itself, makes a Result of what its JSON+ tells, and compares what this package
// makes of that Result with what fio wrote in each of its formats, to the letter and the last decimal. What
// cannot agree is taken out first, and named there: keys and words that came after the installed version, the clock, and
// the coarse spans of latencies, which JSON+ does not tell exactly.
func TestAgainstFio(t *testing.T) {
	testlab.Require(t, "fio")
	for name, args := range map[string][]string{ // of jobs; the size is a global option
		"mix with fsyncs": {"--rw=randrw", "--bs=4k", "--ioengine=libaio", "--iodepth=8", "--direct=1", "--runtime=1", "--time_based", "--fsync=64", "--description=a 'b' \"c\"", "--slat_percentiles=1", "--lat_percentiles=1"},
		"group":           {"--rw=write", "--bs=64k", "--numjobs=3", "--group_reporting", "--percentile_list=1:50:99.9:100"},
		"clones":          {"--rw=randread", "--bs=512", "--numjobs=2", "--continue_on_error=all", "--latency_target=20ms", "--latency_window=50ms", "--latency_percentile=99.9", "--iodepth=4", "--ioengine=libaio"},
		"mixed":           {"--rw=randrw", "--bs=4k", "--unified_rw_reporting=1", "--runtime=1", "--time_based", "--rate_iops=500", "--kb_base=1000"},
		"trims":           {"--rw=randtrimwrite", "--ioengine=null", "--iodepth=16", "--bs=8k"},
		"both":            {"--rw=randrw", "--ioengine=null", "--unified_rw_reporting=both", "--lat_percentiles=1"},
		"two groups":      {"--rw=read", "--bs=4k", "--numjobs=2", "--name=second", "--stonewall", "--rw=randwrite", "--bs=4k,2k", "--ioengine=libaio", "--iodepth=70", "--direct=1", "--description=last"},
		"many figures":    {"--rw=randrw", "--bs=16k", "--significant_figures=7", "--percentile_list=50:99.9999", "--slat_percentiles=1", "--ioengine=libaio", "--unit_base=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			testlab.Output(t, dir, "fio", append([]string{
				"--filename=" + filepath.Join(dir, "data"), "--size=4m", "--output=" + out,
				"--output-format=json+,terse,normal", "--terse-version=5", "--eta=never", "--name=oracle",
			}, args...)...)
			text, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			theirs := splitOutput(t, string(text))
			r, change := resultOfFio(t, theirs.json)
			ours := splitOutput(t, render(t, r, fio.Terse|fio.JSONPlus|fio.Normal, change))
			if diff := cmp.Diff(comparableJSON(theirs.json), comparableJSON(ours.json), cmp.Comparer(sameButForRounding)); diff != "" {
				t.Errorf("JSON+: -fio +blkmeter\n%s", diff)
			}
			if diff := cmp.Diff(comparableTerse(theirs.terse), comparableTerse(ours.terse), cmp.Comparer(sameButForRounding)); diff != "" {
				t.Errorf("terse: -fio +blkmeter\n%s", diff)
			}
			if name == "both" { // 3.33 prints the first line of mixed with the figures of read
				theirs.normal, ours.normal = withoutMixed(theirs.normal), withoutMixed(ours.normal)
			}
			if diff := cmp.Diff(comparableNormal(theirs.normal), comparableNormal(ours.normal), cmp.Comparer(sameButForRounding)); diff != "" {
				t.Errorf("normal: -fio +blkmeter\n%s", diff)
			}
			compareSpans(t, decode(t, theirs.json), decode(t, ours.json))
		})
	}
}

type outputs struct{ terse, json, normal string }

// splitOutput takes the formats of one output apart; what precedes the terse lines is fio's banner.
func splitOutput(t *testing.T, text string) outputs {
	t.Helper()
	begin, end := strings.Index(text, "\n{\n"), strings.Index(text, "\n}\n")
	if begin < 0 || end < 0 {
		t.Fatalf("no JSON document in\n%s", text)
	}
	head := text[:begin+1]
	return outputs{terse: head[strings.Index(head, "5;"):], json: text[begin+1 : end+3], normal: text[end+3:]}
}

// resultOfFio makes a Result of fio's JSON+: what fio measured, as if blkmeter had.
func resultOfFio(t *testing.T, text string) (*report.Result, func(*fio.Options)) {
	t.Helper()
	d := decode(t, text)
	r := &report.Result{EndedAt: time.UnixMilli(d.TimestampMS), ElapsedNS: d.Jobs[0].Elapsed * 1e9}
	for _, k := range d.Disks {
		r.Targets = append(r.Targets, report.Target{Device: k.Name, Kernel: &report.KernelCounters{
			ReadIOs: k.ReadIOs, WriteIOs: k.WriteIOs, ReadMerges: k.ReadMerges, WriteMerges: k.WriteMerges, ReadTicksMS: k.ReadTicks, WriteTicksMS: k.WriteTicks,
			InQueueMS: k.InQueue, IOTicksMS: int64(math.Round(k.Util * 1e6)), WindowNS: 1e14,
		}})
	}
	options := jobOptions(t, text)
	for _, name := range slices.Sorted(maps.Keys(d.Globals)) {
		r.Globals = append(r.Globals, workloads.Option{Name: name, Value: d.Globals[name]})
	}
	for i, j := range d.Jobs {
		if j.Mixed != nil && j.Mixed.IOs > j.Read.IOs+j.Write.IOs+j.Trim.IOs { // all that there is
			j.Read = *j.Mixed
		}
		s := report.Stats{
			RuntimeNS: j.Runtime * 1e6,
			Read:      dirOfFio(j.Read), Write: dirOfFio(j.Write), Trim: dirOfFio(j.Trim),
			CPU: report.CPU{
				UserNS: int64(math.Round(j.User * float64(j.Runtime) * 1e4)), SysNS: int64(math.Round(j.System * float64(j.Runtime) * 1e4)),
				VoluntarySwitches: j.Switches, MinorFaults: j.Minor, MajorFaults: j.Major,
			},
			Depth:       levelsOfFio(j.Levels, j.Read.IOs+j.Write.IOs+j.Trim.IOs, []int{1, 2, 4, 8, 16, 32, 64}),
			SubmitBatch: levelsOfFio(j.Submit, 1e9, []int{0, 4, 8, 16, 32, 64, 65}),
			ReapBatch:   levelsOfFio(j.Complete, 1e9, []int{0, 4, 8, 16, 32, 64, 65}),
			TotalErrors: j.TotalErr, FirstErrno: j.FirstError,
		}
		if j.Sync.IOs > 0 {
			s.Sync = &report.SyncStats{IOs: j.Sync.IOs, Lat: latencyOfFio(j.Sync.Lat)}
		}
		job := report.Job{
			Name: j.Name, Description: j.Description, GroupID: j.GroupID, Options: options[i], Stats: s, Workers: []report.Worker{{Stats: s}},
			Spec: report.Spec{
				IODepth: j.LatencyDepth, LatencyTargetNS: j.LatencyTarget, LatencyPercent: j.LatencyPercentile, LatencyWindowNS: j.LatencyWindow * 1000,
			},
		}
		for _, o := range job.Options {
			switch members, _ := strconv.Atoi(o.Value); {
			case o.Name == "continue_on_error":
				job.Spec.ContinueOnError = o.Value
			case o.Name == "numjobs" && len(d.Jobs) == 1: // a group, of which the first has it all
				job.Grouped = true
				job.Workers = append(job.Workers, make([]report.Worker, members-1)...)
			}
		}
		r.Jobs = append(r.Jobs, job)
	}
	return r, func(o *fio.Options) {
		*o = fio.OptionsOf(r)
		o.Version, o.TerseVersion, o.ETA, o.Location = d.Version, 5, d.Jobs[0].ETA, time.Local
	}
}

func dirOfFio(s typedDirection) *report.DirStats {
	if s.IOs == 0 {
		return nil
	}
	return &report.DirStats{
		IOs: s.Clat.N, Bytes: s.Bytes, Issued: s.IOs, Short: s.Short, RuntimeNS: s.Runtime * 1e6,
		Slat: latencyOfFio(s.Slat), Clat: latencyOfFio(s.Clat), Lat: latencyOfFio(s.Lat),
		BWRate:   report.Rate{Min: float64(s.BWMin) * 1024, Max: float64(s.BWMax) * 1024, Mean: s.BWMean * 1024, Stddev: s.BWDev * 1024, N: s.BWSamples},
		IOPSRate: report.Rate{Min: float64(s.IOPSMin), Max: float64(s.IOPSMax), Mean: s.IOPSMean, Stddev: s.IOPSStddev, N: s.IOPSSamples},
	}
}

// latencyOfFio puts each bin's samples at the value that fio prints for it.
func latencyOfFio(l typedLatency) *report.Latency {
	if l.N == 0 {
		return nil
	}
	h := report.NewHistogram()
	for value, n := range l.Bins {
		ns, err := strconv.ParseInt(value, 10, 64)
		if err == nil {
			err = h.RecordValues(ns, n)
		}
		if err != nil {
			panic(err)
		}
	}
	return report.LatencyOf(h, l.N, l.Min, l.Max, l.Mean, l.Stddev, 0)
}

// levelsOfFio turns percentages of all into counts. Where fio prints 0.1, the least it does, there may be
// as few as one; these get what the others leave.
func levelsOfFio(percent map[string]float64, all int64, values []int) []report.CountBucket {
	var buckets, least []report.CountBucket
	rest := all
	for key, p := range percent {
		i := 6
		if key != ">=64" {
			level, _ := strconv.Atoi(key)
			i = slices.Index(values, level)
		}
		switch p {
		case 0:
		case 0.1:
			least = append(least, report.CountBucket{Value: values[i], Count: 1})
		default:
			b := report.CountBucket{Value: values[i], Count: int64(math.Round(p * float64(all) / 100))}
			rest -= b.Count
			buckets = append(buckets, b)
		}
	}
	if len(least) > 0 {
		least[0].Count = max(1, rest-int64(len(least)-1))
	}
	return append(buckets, least...)
}

// jobOptions returns the echoed options of each job, in order.
func jobOptions(t *testing.T, text string) [][]workloads.Option {
	t.Helper()
	var d struct {
		Jobs []struct {
			Options json.RawMessage `json:"job options"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	var all [][]workloads.Option
	for _, j := range d.Jobs {
		var options []workloads.Option
		dec := json.NewDecoder(strings.NewReader(string(j.Options)))
		for dec.More() {
			token, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			if name, ok := token.(string); ok {
				value, err := dec.Token()
				if err != nil {
					t.Fatal(err)
				}
				options = append(options, workloads.Option{Name: name, Value: fmt.Sprint(value)})
			}
		}
		all = append(all, options)
	}
	return all
}

// newerKeys came with later versions of fio than Debian's 3.33.
var newerKeys = regexp.MustCompile(`(?m)^ *"(job_start|latency_target_ns|latency_window_us|read_sectors|write_sectors)" : .*\n`)

var (
	lastComma = regexp.MustCompile(`,\n( *[}\]])`)
	spanLines = regexp.MustCompile(`(?m)( *"latency_[num]s" : \{\n)([^}]*\n)( *\})`)
)

func comparableJSON(text string) []string {
	text = newerKeys.ReplaceAllString(text, "")
	text = lastComma.ReplaceAllString(text, "\n$1")
	return strings.Split(spanLines.ReplaceAllString(text, "$1$3"), "\n")
}

// comparableTerse drops the 22 shares of the latency spans.
func comparableTerse(text string) [][]string {
	var lines [][]string
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\n"), ";")
		before := 5 + 3*47 + 5 + 7
		if len(f) < before { // one direction, mixed, instead of three
			before -= 2 * 47
		}
		f = slices.Delete(f, before, before+22)
		lines = append(lines, f)
	}
	return lines
}

func comparableNormal(text string) []string {
	for _, r := range []struct{ pattern, replacement string }{
		{`pid=\d+: .*`, "pid"},
		{`; 0 zone resets`, ""},                         // only zoned devices have them since 3.36
		{`sync_file_range/syncfs:`, "sync_file_range:"}, // syncfs is new
		{` sectors=[^ ]* `, " "},                        // new
		{`target=[^,]*, window=[^,]*, `, ""},            // was in us without a unit
		{`(?m)^  lat \([num]sec\)   : .*\n`, ""},        // not told exactly by JSON+
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.replacement)
	}
	return strings.Split(text, "\n")
}

// sameButForRounding allows decimals, not whole numbers, to differ by one in the last place: JSON+ has told
// us the figures in six decimals, and what is made of them is rounded once more.
func sameButForRounding(a, b string) bool {
	if a == b {
		return true
	}
	decimal := regexp.MustCompile(`\d+\.\d+`)
	x, y := decimal.FindAllString(a, -1), decimal.FindAllString(b, -1)
	if decimal.ReplaceAllString(a, "") != decimal.ReplaceAllString(b, "") || len(x) != len(y) {
		return false
	}
	for i := range x {
		places := len(x[i]) - strings.Index(x[i], ".") - 1
		p, errP := strconv.ParseFloat(x[i], 64)
		q, errQ := strconv.ParseFloat(y[i], 64)
		if errP != nil || errQ != nil || places != len(y[i])-strings.Index(y[i], ".")-1 || math.Abs(p-q) > 1.01*math.Pow10(-places) {
			return false
		}
	}
	return true
}

func withoutMixed(normal string) string {
	return regexp.MustCompile(`(?m)^  mixed: .*\n`).ReplaceAllString(normal, "")
}

// compareSpans allows for the width of fio's bins: what lies in a bin that the edge of a span cuts.
func compareSpans(t *testing.T, theirs, ours typedDocument) {
	t.Helper()
	for i, j := range theirs.Jobs {
		spans := func(j typedJob) map[string]float64 {
			all := map[string]float64{}
			for unit, m := range map[string]map[string]float64{"ns": j.NS, "us": j.US, "ms": j.MS} {
				for key, share := range m {
					all[key+unit] = share
				}
			}
			return all
		}
		got, want := spans(ours.Jobs[i]), spans(j)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Error(diff)
		}
		tolerance := 0.1
		for _, s := range []*typedDirection{&j.Read, &j.Write, &j.Trim, j.Mixed} {
			if s != nil && s.Clat.N > 0 { // a span has two edges
				tolerance += 2 * 100 * float64(slices.Max(slices.Collect(maps.Values(s.Clat.Bins)))) / float64(s.Clat.N)
			}
		}
		for key, share := range want {
			if math.Abs(got[key]-share) > tolerance {
				t.Errorf("%s: span %s is %v, fio says %v", j.Name, key, got[key], share)
			}
		}
	}
}
