package fio_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/report/reporttest"
)

// TestClat2CSV feeds JSON+ to fio's own converter and compares its cumulative counts and percentiles with
// ours.
func TestClat2CSV(t *testing.T) {
	testlab.Require(t, "fio_jsonplus_clat2csv")
	dir := t.TempDir()
	text := render(t, reporttest.Result(), fio.JSONPlus, func(o *fio.Options) { o.LatPercentiles = true })
	input := filepath.Join(dir, "in.json")
	if err := os.WriteFile(input, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	testlab.Output(t, dir, "fio_jsonplus_clat2csv", "in.json", "out.csv")
	for i, j := range decode(t, text).Jobs {
		f, err := os.Open(filepath.Join(dir, "out_job"+strconv.Itoa(i)+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		rows := csv.NewReader(f)
		rows.TrimLeadingSpace = true
		table, err := rows.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for name, l := range map[string]typedLatency{
			"read_clat_ns": j.Read.Clat, "read_lat_ns": j.Read.Lat, "write_clat_ns": j.Write.Clat, "trim_clat_ns": j.Trim.Clat,
		} {
			if l.N > 0 {
				checkTable(t, table, name, l)
			}
		}
	}
}

// checkTable compares one distribution of a converted table: value, count, running count, its share.
func checkTable(t *testing.T, table [][]string, name string, l typedLatency) {
	t.Helper()
	column := -1
	for i, title := range table[0] {
		if title == name+"_cumulative" {
			column = i
		}
	}
	if column < 0 {
		t.Fatalf("no column for %s in %v", name, table[0])
	}
	var last, p99 int64
	for _, row := range table[1:] {
		if row[column] == "" {
			continue
		}
		cumulative, err := strconv.ParseInt(row[column], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if last = cumulative; p99 == 0 && float64(cumulative) >= 0.99*float64(l.N) {
			p99, _ = strconv.ParseInt(row[0], 10, 64)
		}
	}
	if last != l.N || p99 != l.Percentiles["99.000000"] {
		t.Errorf("%s: %d samples, p99 %d; ours are %d and %d", name, last, p99, l.N, l.Percentiles["99.000000"])
	}
}

// TestExtractionLines runs the patterns by which scripts in the wild take figures from fio's text: those of
// YABS, dbench and the Phoronix test suite.
func TestExtractionLines(t *testing.T) {
	r := reporttest.Result()
	job := decode(t, render(t, r, fio.JSON, nil)).Jobs[0]
	terse := strings.Split(strings.SplitN(render(t, r, fio.Terse, nil), "\n", 2)[0], ";")
	for field, want := range map[int]int64{7: job.Read.BW, 8: int64(job.Read.IOPS), 48: job.Write.BW, 49: int64(job.Write.IOPS)} {
		if got := terse[field-1]; got != strconv.FormatInt(want, 10) {
			t.Errorf("terse field %d is %s, want %d", field, got, want)
		}
	}
	normal := render(t, r, fio.Normal, nil)
	for pattern, want := range map[string]string{
		`(?i)read: IOPS=([0-9k.]+)`:                    "171k",
		`read: IOPS=.*BW=([0-9GMKiBs/.]+)`:             "667MiB/s",
		`(?s)read:.*? lat.*?avg=([0-9.]+)`:             "259.43",
		`(?m)^ +READ: bw=([0-9.]+[KMG]iB/s)`:           "667MiB/s",
		`(?m)^ +WRITE: bw=[^ ]+ \(([0-9.]+[kMG]B/s)\)`: "300MB/s",
		`err= ?([0-9]+)`:                               "5",
		`run=([0-9]+)-[0-9]+msec`:                      "10003",
	} {
		m := regexp.MustCompile(pattern).FindStringSubmatch(normal)
		if m == nil || m[1] != want {
			t.Errorf("%s finds %q, want %s", pattern, m, want)
		}
	}
}
