package fio_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/report/reporttest"
	"github.com/blkmeter/blkmeter/workloads"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// render writes r with the options that it asks for, in UTC.
func render(t testing.TB, r *report.Result, formats fio.Format, change func(*fio.Options)) string {
	t.Helper()
	o := fio.OptionsOf(r)
	o.Location = time.UTC
	if change != nil {
		change(&o)
	}
	var out bytes.Buffer
	if err := fio.Write(&out, r, formats, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		formats fio.Format
		change  func(*fio.Options)
	}{
		"json.json":     {fio.JSON, nil},
		"jsonplus.json": {fio.JSONPlus, nil},
		"latencies.json": {fio.JSONPlus, func(o *fio.Options) {
			o.SlatPercentiles, o.LatPercentiles, o.Percentiles = true, true, []float64{50, 99.9}
		}},
		"unified-mixed.json": {fio.JSON, func(o *fio.Options) { o.Unified = fio.Mixed }},
		"unified-both.json":  {fio.JSON, func(o *fio.Options) { o.Unified = fio.Both }},
		"terse2.txt":         {fio.Terse, func(o *fio.Options) { o.TerseVersion = 2 }},
		"terse3.txt":         {fio.Terse, nil},
		"terse4.txt":         {fio.Terse, func(o *fio.Options) { o.TerseVersion = 4 }},
		"terse5.txt":         {fio.Terse, func(o *fio.Options) { o.TerseVersion = 5 }},
		"terse5-both.txt":    {fio.Terse, func(o *fio.Options) { o.TerseVersion, o.Unified = 5, fio.Both }},
		"normal.txt":         {fio.Normal, func(o *fio.Options) { o.Banner = true }},
		"normal-bits.txt": {fio.Normal, func(o *fio.Options) {
			o.Bits, o.KBBase, o.Figures, o.Percentiles = true, 1000, 6, []float64{50, 99.9999}
		}},
		"normal-both.txt": {fio.Normal, func(o *fio.Options) { o.Unified, o.SlatPercentiles, o.LatPercentiles = fio.Both, true, true }},
	} {
		t.Run(name, func(t *testing.T) {
			got := render(t, reporttest.Result(), c.formats, c.change)
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOrderOfFormats: whatever the order asked for, one output holds terse, then JSON, then normal.
func TestOrderOfFormats(t *testing.T) {
	formats, err := fio.ParseFormat("normal,json,terse")
	if err != nil {
		t.Fatal(err)
	}
	r := reporttest.Result()
	got := render(t, r, formats, nil)
	want := render(t, r, fio.Terse, nil) + render(t, r, fio.JSON, nil) + render(t, r, fio.Normal, nil)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := fio.ParseFormat("json,xml"); err == nil {
		t.Error("xml is no format of fio's")
	}
}

func TestOptionsOf(t *testing.T) {
	r := &report.Result{
		Globals: []workloads.Option{{Name: "percentile_list", Value: "99.9:50"}, {Name: "lat_percentiles"}, {Name: "significant_figures", Value: "99"}},
		Jobs:    []report.Job{{Options: []workloads.Option{{Name: "clat_percentiles", Value: "0"}, {Name: "unified_rw_reporting", Value: "both"}, {Name: "kb_base", Value: "1000"}}}},
	}
	want := fio.DefaultOptions()
	want.Percentiles = []float64{50, 99.9}
	want.LatPercentiles, want.ClatPercentiles, want.Unified, want.KBBase = true, false, fio.Both, 1000
	if diff := cmp.Diff(want, fio.OptionsOf(r)); diff != "" {
		t.Error(diff)
	}
}

// The types that Go consumers of fio's JSON decode into: a count printed as a float, or a float as a
// string, would fail here.
type (
	typedDocument struct {
		Version     string             `json:"fio version"`
		Timestamp   int64              `json:"timestamp"`
		TimestampMS int64              `json:"timestamp_ms"`
		Time        string             `json:"time"`
		Globals     map[string]string  `json:"global options"`
		Jobs        []typedJob         `json:"jobs"`
		Disks       []typedDisk        `json:"disk_util"`
		Idle        map[string]float64 `json:"cpu_idleness"`
	}
	typedJob struct {
		Name              string             `json:"jobname"`
		GroupID           int                `json:"groupid"`
		Start             int64              `json:"job_start"`
		Error             int                `json:"error"`
		ETA               int64              `json:"eta"`
		Elapsed           int64              `json:"elapsed"`
		Options           map[string]string  `json:"job options"`
		Read              typedDirection     `json:"read"`
		Write             typedDirection     `json:"write"`
		Trim              typedDirection     `json:"trim"`
		Mixed             *typedDirection    `json:"mixed"`
		Sync              typedSync          `json:"sync"`
		Runtime           int64              `json:"job_runtime"`
		User              float64            `json:"usr_cpu"`
		System            float64            `json:"sys_cpu"`
		Switches          int64              `json:"ctx"`
		Major             int64              `json:"majf"`
		Minor             int64              `json:"minf"`
		Levels            map[string]float64 `json:"iodepth_level"`
		Submit            map[string]float64 `json:"iodepth_submit"`
		Complete          map[string]float64 `json:"iodepth_complete"`
		NS                map[string]float64 `json:"latency_ns"`
		US                map[string]float64 `json:"latency_us"`
		MS                map[string]float64 `json:"latency_ms"`
		TotalErr          int64              `json:"total_err"`
		FirstError        int                `json:"first_error"`
		LatencyDepth      int                `json:"latency_depth"`
		LatencyTarget     int64              `json:"latency_target"`
		LatencyTargetNS   int64              `json:"latency_target_ns"`
		LatencyPercentile float64            `json:"latency_percentile"`
		LatencyWindow     int64              `json:"latency_window"`
		LatencyWindowUS   int64              `json:"latency_window_us"`
		Description       string             `json:"desc"`
		SteadyState       struct {
			SS           string  `json:"ss"`
			Duration     int64   `json:"duration"`
			Attained     int64   `json:"attained"`
			Criterion    string  `json:"criterion"`
			MaxDeviation float64 `json:"max_deviation"`
			Slope        float64 `json:"slope"`
			Data         struct {
				BWMean   int64   `json:"bw_mean"`
				IOPSMean int64   `json:"iops_mean"`
				IOPS     []int64 `json:"iops"`
				BW       []int64 `json:"bw"`
			} `json:"data"`
		} `json:"steadystate"`
	}
	typedDirection struct {
		Bytes       int64        `json:"io_bytes"`
		KBytes      int64        `json:"io_kbytes"`
		BWBytes     int64        `json:"bw_bytes"`
		BW          int64        `json:"bw"`
		IOPS        float64      `json:"iops"`
		Runtime     int64        `json:"runtime"`
		IOs         int64        `json:"total_ios"`
		Short       int64        `json:"short_ios"`
		Dropped     int64        `json:"drop_ios"`
		Slat        typedLatency `json:"slat_ns"`
		Clat        typedLatency `json:"clat_ns"`
		Lat         typedLatency `json:"lat_ns"`
		Prios       []typedPrio  `json:"prios"`
		BWMin       int64        `json:"bw_min"`
		BWMax       int64        `json:"bw_max"`
		BWAgg       float64      `json:"bw_agg"`
		BWMean      float64      `json:"bw_mean"`
		BWDev       float64      `json:"bw_dev"`
		BWSamples   int64        `json:"bw_samples"`
		IOPSMin     int64        `json:"iops_min"`
		IOPSMax     int64        `json:"iops_max"`
		IOPSMean    float64      `json:"iops_mean"`
		IOPSStddev  float64      `json:"iops_stddev"`
		IOPSSamples int64        `json:"iops_samples"`
	}
	typedPrio struct {
		Class int          `json:"prioclass"`
		Level int          `json:"prio"`
		Hint  int          `json:"priohint"`
		Clat  typedLatency `json:"clat_ns"`
		Lat   typedLatency `json:"lat_ns"`
	}
	typedSync struct {
		IOs int64        `json:"total_ios"`
		Lat typedLatency `json:"lat_ns"`
	}
	typedLatency struct {
		Min         int64            `json:"min"`
		Max         int64            `json:"max"`
		Mean        float64          `json:"mean"`
		Stddev      float64          `json:"stddev"`
		N           int64            `json:"N"`
		Percentiles map[string]int64 `json:"percentile"`
		Bins        map[string]int64 `json:"bins"`
	}
	typedDisk struct {
		Name         string  `json:"name"`
		ReadIOs      int64   `json:"read_ios"`
		WriteIOs     int64   `json:"write_ios"`
		ReadSectors  int64   `json:"read_sectors"`
		WriteSectors int64   `json:"write_sectors"`
		ReadMerges   int64   `json:"read_merges"`
		WriteMerges  int64   `json:"write_merges"`
		ReadTicks    int64   `json:"read_ticks"`
		WriteTicks   int64   `json:"write_ticks"`
		InQueue      int64   `json:"in_queue"`
		Util         float64 `json:"util"`
	}
)

// decode reads text into the typed document, without tolerance for unknown keys.
func decode(t *testing.T, text string) typedDocument {
	t.Helper()
	var d typedDocument
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("more than one document: %v", err)
	}
	return d
}

// TestJSONAgreesWithItself checks the figures that must follow from each other.
func TestJSONAgreesWithItself(t *testing.T) {
	r := reporttest.Result()
	d := decode(t, render(t, r, fio.JSONPlus, func(o *fio.Options) { o.SlatPercentiles, o.LatPercentiles = true, true }))
	if len(d.Jobs) != 3 { // one for the group, two for the clones that are reported each
		t.Fatalf("%d jobs", len(d.Jobs))
	}
	for _, j := range d.Jobs {
		for name, s := range map[string]typedDirection{"read": j.Read, "write": j.Write, "trim": j.Trim} {
			if s.IOs == 0 {
				if s.Runtime != 0 || s.Clat.Bins != nil || s.Clat.Percentiles != nil {
					t.Errorf("%s %s: figures for no I/O", j.Name, name)
				}
				continue
			}
			if want := s.Bytes * 1000 / s.Runtime; s.BWBytes != want || s.BW != want/1024 || s.KBytes != s.Bytes/1024 {
				t.Errorf("%s %s: bw_bytes %d, bw %d, want %d = io_bytes / runtime", j.Name, name, s.BWBytes, s.BW, want)
			}
			if got := s.IOPS * float64(s.Runtime) / 1000; math.Abs(got-float64(s.IOs)) > 0.5 {
				t.Errorf("%s %s: iops * runtime = %v, total_ios = %d", j.Name, name, got, s.IOs)
			}
			if s.Slat.N > 0 && math.Abs(s.Slat.Mean+s.Clat.Mean-s.Lat.Mean) > 1 {
				t.Errorf("%s %s: slat %v + clat %v is not lat %v", j.Name, name, s.Slat.Mean, s.Clat.Mean, s.Lat.Mean)
			}
			for kind, l := range map[string]typedLatency{"slat": s.Slat, "clat": s.Clat, "lat": s.Lat} {
				checkLatency(t, j.Name+" "+name+" "+kind, l)
			}
			var prios int64
			for _, p := range s.Prios {
				checkLatency(t, fmt.Sprintf("%s %s prio %d/%d", j.Name, name, p.Class, p.Level), p.Lat)
				prios += p.Lat.N
			}
			if s.Prios != nil && prios != s.Lat.N {
				t.Errorf("%s %s: %d I/Os by priority, %d in all", j.Name, name, prios, s.Lat.N)
			}
		}
		checkLatency(t, j.Name+" sync", j.Sync.Lat)
		var all float64
		for _, spans := range []map[string]float64{j.NS, j.US, j.MS} {
			for _, share := range spans {
				all += share
			}
		}
		if all < 99.9 || all > 100.3 {
			t.Errorf("%s: the spans add up to %v %%", j.Name, all)
		}
	}
}

func checkLatency(t *testing.T, name string, l typedLatency) {
	t.Helper()
	if l.N == 0 {
		return
	}
	var n int64
	var sum float64
	for value, count := range l.Bins {
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		n += count
		sum += v * float64(count)
	}
	if n != l.N {
		t.Errorf("%s: the bins hold %d of %d", name, n, l.N)
	}
	if mean := sum / float64(n); math.Abs(mean-l.Mean) > l.Mean/64 {
		t.Errorf("%s: the bins' mean is %v, the mean %v", name, mean, l.Mean)
	}
	if len(l.Percentiles) != 17 {
		t.Errorf("%s: %d percentiles", name, len(l.Percentiles))
	}
	for p, v := range l.Percentiles {
		if l.Bins[strconv.FormatInt(v, 10)] == 0 {
			t.Errorf("%s: p%s = %d is no bin", name, p, v)
		}
	}
}

// TestTerseIsJSONInMicroseconds compares terse 3 with JSON field by field.
func TestTerseIsJSONInMicroseconds(t *testing.T) {
	r := reporttest.Result()
	d := decode(t, render(t, r, fio.JSON, nil))
	lines := strings.Split(strings.TrimSpace(render(t, r, fio.Terse, nil)), "\n")
	if len(lines) != len(d.Jobs) {
		t.Fatalf("%d lines for %d jobs", len(lines), len(d.Jobs))
	}
	for i, line := range lines {
		j := d.Jobs[i]
		f := strings.Split(line, ";")
		fields := 121 + 9*len(d.Disks)
		if j.TotalErr > 0 {
			fields += 2
		}
		if j.Description != "" {
			fields++
		}
		if len(f) != fields {
			t.Errorf("%s: %d fields, want %d", j.Name, len(f), fields)
		}
		for at, s := range map[int]typedDirection{5: j.Read, 46: j.Write} { // YABS reads $7, $8, $48 and $49
			for offset, want := range map[int]int64{
				0: s.KBytes, 1: s.BW, 2: int64(s.IOPS), 3: s.Runtime, 4: s.Slat.Min / 1000, 9: s.Clat.Max / 1000,
				33: s.Lat.Max / 1000, 36: s.BWMin, 37: s.BWMax,
			} {
				if got, err := strconv.ParseInt(f[at+offset], 10, 64); err != nil || got != want {
					t.Errorf("%s: field %d is %s, want %d", j.Name, at+offset+1, f[at+offset], want)
				}
			}
			for offset, want := range map[int]float64{6: s.Slat.Mean / 1000, 10: s.Clat.Mean / 1000, 35: s.Lat.Stddev / 1000} {
				if got, err := strconv.ParseFloat(f[at+offset], 64); err != nil || math.Abs(got-want) > 1e-5 {
					t.Errorf("%s: field %d is %s, want %v", j.Name, at+offset+1, f[at+offset], want)
				}
			}
			if p99 := s.Clat.Percentiles["99.000000"]; s.IOs > 0 && f[at+12+12] != "99.000000%="+strconv.FormatInt(p99/1000, 10) {
				t.Errorf("%s: field %d is %s, want p99 %d ns", j.Name, at+25, f[at+24], p99)
			}
		}
	}
}

func TestEverythingStaysOneDocument(t *testing.T) {
	r := reporttest.Result()
	r.Jobs[0].Name = "quote \" back \\ line\nbell\x07 bad \xff"
	r.Jobs[0].Description = "two\nlines"
	r.Jobs[0].Workers[0].Read.Clat.StddevNS = math.MaxFloat64 // its square is infinite
	if d := decode(t, render(t, r, fio.JSON, nil)); d.Jobs[0].Description != "two\nlines" {
		t.Errorf("description %q", d.Jobs[0].Description)
	}
	if n := strings.Count(render(t, r, fio.Terse, nil), "\n"); n != 3 {
		t.Errorf("%d terse lines for 3 entries", n)
	}
}

func TestEmptyResult(t *testing.T) {
	for _, r := range []*report.Result{{}, {Jobs: []report.Job{{Name: "idle"}}}} {
		d := decode(t, render(t, r, fio.JSONPlus, nil))
		if len(d.Jobs) != len(r.Jobs) || d.Disks != nil || d.Globals != nil {
			t.Errorf("%+v", d)
		}
		render(t, r, fio.Terse|fio.Normal, func(o *fio.Options) { o.Banner, o.Unified = true, fio.Both })
	}
}

func TestDamagedHistogramIsAnError(t *testing.T) {
	r := reporttest.Result()
	r.Jobs[0].Workers[3].Write.Clat.Histogram = "damaged"
	err := fio.Write(io.Discard, r, fio.JSON, fio.DefaultOptions())
	if err == nil || !strings.Contains(err.Error(), `job "oltp", worker 3: write: clat`) {
		t.Errorf("error %v", err)
	}
}

func TestFailedIOsCountAsFioCountsThem(t *testing.T) {
	r := reporttest.Result()
	read := decode(t, render(t, r, fio.JSON, nil)).Jobs[0].Read
	var issued, done int64
	for _, w := range r.Jobs[0].Workers {
		issued += w.Read.Issued
		done += w.Read.IOs
	}
	if read.IOs != issued || read.Clat.N != done || issued == done {
		t.Errorf("total_ios %d, N %d; issued %d, done %d", read.IOs, read.Clat.N, issued, done)
	}
}

func TestRatesOfTheJobStandInForItsWorkers(t *testing.T) {
	r := reporttest.Result()
	for i := range r.Jobs[0].Workers {
		r.Jobs[0].Workers[i].Read.IOPSRate, r.Jobs[0].Workers[i].Read.BWRate = report.Rate{}, report.Rate{}
	}
	read, want := decode(t, render(t, r, fio.JSON, nil)).Jobs[0].Read, r.Jobs[0].Read
	if read.IOPSSamples != want.IOPSRate.N || read.IOPSMax != int64(want.IOPSRate.Max) || read.BWMin != int64(want.BWRate.Min/1024) {
		t.Errorf("%+v, want those of %+v", read, want.IOPSRate)
	}
}

// What is read back to be checked is among the reads, after the job's own: runtimes and counts add up, and samples of
// rates stay those of the load.
func TestReadingBackIsReading(t *testing.T) {
	before := decode(t, render(t, reporttest.Result(), fio.JSONPlus, nil)).Jobs[0]
	r := reporttest.Result()
	var ios, bytes int64
	for i := range r.Jobs[0].Workers {
		w := &r.Jobs[0].Workers[i]
		back := *r.Jobs[0].Workers[i].Read
		back.RuntimeNS /= 2
		ios, bytes = ios+back.Issued, bytes+back.Bytes
		w.Verify = &report.VerifyStats{RuntimeNS: back.RuntimeNS, ReadBack: &report.ReadBack{Read: back, Depth: w.Depth}}
	}
	after := decode(t, render(t, r, fio.JSONPlus, nil)).Jobs[0]
	if after.Read.IOs != before.Read.IOs+ios || after.Read.Bytes != before.Read.Bytes+bytes || after.Read.Clat.N != 2*before.Read.Clat.N {
		t.Errorf("%d reads of %d bytes, %d of them timed; before %+v", after.Read.IOs, after.Read.Bytes, after.Read.Clat.N, before.Read)
	}
	if want := before.Read.Runtime * 3 / 2; after.Read.Runtime < want-1 || after.Read.Runtime > want+1 {
		t.Errorf("a runtime of %d ms, want %d", after.Read.Runtime, want)
	}
	if after.Read.IOPSSamples != before.Read.IOPSSamples || after.Read.BWMin != before.Read.BWMin || after.Write.IOs != before.Write.IOs {
		t.Errorf("rates %+v, want those of %+v", after.Read, before.Read)
	}
}

// TestHiddenFigures: what a job's options keep out of fio's formats is zero there, as with fio.
func TestHiddenFigures(t *testing.T) {
	for option, left := range map[string][3]bool{ // slat, clat, lat
		"disable_slat": {false, true, true}, "disable_clat": {true, false, true}, "disable_lat": {true, true, false}, "gtod_reduce": {},
	} {
		r := reporttest.Result()
		r.Jobs[0].Options = append(r.Jobs[0].Options, workloads.Option{Name: option, Value: "1"})
		d := decode(t, render(t, r, fio.JSONPlus, nil))
		j := d.Jobs[0]
		if got := [3]bool{j.Read.Slat.N > 0, j.Read.Clat.N > 0, j.Read.Lat.N > 0}; got != left {
			t.Errorf("%s leaves slat, clat, lat %v, want %v", option, got, left)
		}
		if spans := slices.Max(slices.Collect(maps.Values(j.US))); (spans > 0) != left[1] {
			t.Errorf("%s: the spans, which are clat's, hold %v %%", option, spans)
		}
		if (j.Write.Prios != nil) != left[1] {
			t.Errorf("%s: clat by priority %+v", option, j.Write.Prios)
		}
		if (j.Read.Clat.Percentiles != nil) != left[1] || j.Read.IOs == 0 || j.Read.BWSamples == 0 || d.Jobs[1].Read.Clat.N+d.Jobs[1].Trim.Clat.N == 0 {
			t.Errorf("%s: %+v", option, j.Read)
		}
	}
	r := reporttest.Result()
	r.Jobs[0].Options = append(r.Jobs[0].Options, workloads.Option{Name: "stats", Value: "0"}, workloads.Option{Name: "disk_util", Value: "0"})
	d := decode(t, render(t, r, fio.JSON, nil))
	if len(d.Jobs) != 2 || d.Jobs[0].Name == r.Jobs[0].Name || d.Disks != nil {
		t.Errorf("%d jobs from %s on, disks %v", len(d.Jobs), d.Jobs[0].Name, d.Disks)
	}
}

// FuzzWrite renders whatever passes as a Result: there may be errors, but no panics, and always one valid
// JSON document.
func FuzzWrite(f *testing.F) {
	var whole bytes.Buffer
	if err := report.Write(&whole, reporttest.Small()); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add([]byte(`{"schema":"blkmeter.result/1","jobs":[{"name":"\u0000","read":{"ios":9223372036854775807,"bytes":9223372036854775807,"issued":9223372036854775807,"runtime_ns":1}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := report.Load(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, unified := range []fio.UnifiedRW{fio.Separate, fio.Mixed, fio.Both} {
			o := fio.OptionsOf(r)
			o.Unified, o.SlatPercentiles, o.LatPercentiles, o.Banner = unified, true, true, true
			var out bytes.Buffer
			if err := fio.Write(&out, r, fio.JSONPlus, o); err != nil {
				return
			}
			if !json.Valid(out.Bytes()) {
				t.Errorf("invalid JSON:\n%s", out.Bytes())
			}
			if err := fio.Write(io.Discard, r, fio.Terse|fio.Normal, o); err != nil {
				t.Error(err)
			}
		}
	})
}

func BenchmarkJSONPlus128Jobs(b *testing.B) {
	r := reporttest.Result()
	worker := r.Jobs[0].Workers[0]
	r.Jobs[0].Grouped = false
	r.Jobs = r.Jobs[:1]
	r.Jobs[0].Workers = nil
	for range 128 {
		r.Jobs[0].Workers = append(r.Jobs[0].Workers, worker)
	}
	o := fio.OptionsOf(r)
	o.SlatPercentiles, o.LatPercentiles = true, true
	for b.Loop() {
		if err := fio.Write(io.Discard, r, fio.JSONPlus, o); err != nil {
			b.Fatal(err)
		}
	}
}

// A job that never began has an entry per clone, without figures, as fio has it; the text for people leaves
// it out.
func TestSkippedJobs(t *testing.T) {
	r := reporttest.Result()
	r.Jobs = append(r.Jobs, report.Job{Name: "never", GroupID: 2, Spec: report.Spec{NumJobs: 2, IODepth: 4}, Skipped: "the run was interrupted"})
	var d struct{ Jobs []map[string]any }
	if err := json.Unmarshal([]byte(render(t, r, fio.JSON, nil)), &d); err != nil {
		t.Fatal(err)
	}
	for _, j := range d.Jobs[len(d.Jobs)-2:] {
		read, _ := j["read"].(map[string]any)
		if _, depth := j["latency_depth"]; j["jobname"] != "never" || j["error"] != 0.0 || j["job_start"] != 0.0 || read["total_ios"] != 0.0 || depth {
			t.Errorf("%v", j)
		}
	}
	if n := strings.Count(render(t, r, fio.Terse, nil), ";never;2;0;0;0;"); n != 2 {
		t.Errorf("%d lines of terse output", n)
	}
	if text := render(t, r, fio.Normal, nil); strings.Contains(text, "never: (groupid") {
		t.Error(text)
	}
}
