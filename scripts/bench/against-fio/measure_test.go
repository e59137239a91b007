package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseFio(t *testing.T) {
	// 2 s of which a quarter was user time, for 1000 I/Os.
	const doc = `{"jobs": [{"read": {"iops": 500, "total_ios": 1000, "lat_ns": {"mean": 1500.5, "percentile": {"99.000000": 9000}}},
		"job_runtime": 2000, "usr_cpu": 25, "sys_cpu": 50}]}`
	got, err := parseFio([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := figures{IOPS: 500, UserNS: 500_000, SysNS: 1_000_000, MeanNS: 1500.5, P99NS: 9000}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "{}", `{"jobs": [{"read": {"total_ios": 0}}]}`} {
		if _, err := parseFio([]byte(bad)); err == nil {
			t.Errorf("%q was read without an error", bad)
		}
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		q, r   float64
	}{
		{[]float64{7}, 0.5, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 2, 3}, 0.5, 2.5},
		{[]float64{1, 2, 3, 4, 5}, 0.25, 2},
		{[]float64{1, 2}, 1, 2},
	} {
		if got := quantile(c.values, c.q); got != c.r {
			t.Errorf("the %g-quantile of %v is %g, want %g", c.q, c.values, got, c.r)
		}
	}
}

func TestTheTableFitsAHundredColumns(t *testing.T) {
	r := result{
		Ours:   []figures{{IOPS: 28.88e6, UserNS: 1234, SysNS: 12345, P99NS: 12345678}},
		Theirs: []figures{{IOPS: 11.11e6, UserNS: 9999, SysNS: 99999, P99NS: 87654321}},
	}
	lines := strings.Split(header(), "\n")
	for _, c := range allCases() {
		r.Name = c.name
		lines = append(lines, strings.TrimSuffix(r.row(), "\n"))
		if (c.theirs == nil) == (c.base == nil) {
			t.Errorf("%s is compared with fio and with blkmeter, or with neither", c.name)
		}
		if len(c.name) > nameWidth {
			t.Errorf("%q is longer than %d columns", c.name, nameWidth)
		}
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
