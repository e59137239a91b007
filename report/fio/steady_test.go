package fio

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/reporttest"
)

// The object has fio's keys in fio's order, and its samples are those of the last duration before the state
// was steady.
func TestSteadyState(t *testing.T) {
	r := reporttest.Small()
	j := &r.Jobs[0]
	j.Series = nil
	for i := range 10 {
		j.Series = append(j.Series, report.Interval{
			StartNS: int64(i) * 5e8, LengthNS: 5e8, Read: &report.IntervalStat{IOs: int64(500 + 10*i), Bytes: int64(500+10*i) * 4096},
		})
	}
	j.SteadyState = &report.SteadyState{
		Metric: "iops", Limit: 5, LimitIsPercent: true, DurationNS: 2e9, IntervalNS: 1e9, Attained: true, AttainedNS: 4e9,
		Criterion: 1.75, Mean: 1110,
	}
	var out strings.Builder
	if err := Write(&out, r, JSON, OptionsOf(r)); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Jobs []struct {
			SteadyState json.RawMessage `json:"steadystate"`
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &doc); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(string(doc.Jobs[0].SteadyState)), "")
	want := `{"ss":"iops:5.000000%","duration":2,"attained":1,"criterion":"1.750000%","max_deviation":19.425000,"slope":0.000000,` +
		`"data":{"bw_mean":4546560,"iops_mean":1110,"iops":[1090,1130],"bw":[4464640,4628480]}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A saved Result can claim checks more often than anything was measured, or more seldom than time lasts.
func TestSteadyStateOfStrangeIntervals(t *testing.T) {
	for _, interval := range []int64{1, 1 << 62} {
		j := &report.Job{
			SteadyState: &report.SteadyState{DurationNS: 1<<63 - 1, IntervalNS: interval},
			Series:      []report.Interval{{LengthNS: 5e8}, {LengthNS: 5e8}},
		}
		if s := steadyOf(j); len(s.iops) == 0 || len(s.iops) > len(j.Series) {
			t.Errorf("%d samples of %d windows", len(s.iops), len(j.Series))
		}
	}
}
