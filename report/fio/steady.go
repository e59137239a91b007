package fio

import (
	"fmt"
	"strings"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// steady is fio's account of a job that looked for a steady state. fio keeps both rates whatever it judged,
// one sample for each check of the last steadystate_duration.
type steady struct {
	*report.SteadyState
	iops, bw []int64 // per second; bytes per second
}

// steadyOf returns the account of a job, or nil when it looked for no steady state.
func steadyOf(j *report.Job) *steady {
	s := j.SteadyState
	if s == nil || s.IntervalNS <= 0 {
		return nil
	}
	out := &steady{SteadyState: s}
	windows := j.Series
	if s.Attained {
		for len(windows) > 0 && windows[len(windows)-1].StartNS >= s.AttainedNS {
			windows = windows[:len(windows)-1]
		}
	}
	for checks := s.DurationNS / s.IntervalNS; checks > 0 && len(windows) > 0; checks-- {
		var ios, bytes, length int64
		for enough := s.IntervalNS / 10 * 9; len(windows) > 0 && (length == 0 || length < enough); {
			last := &windows[len(windows)-1]
			windows = windows[:len(windows)-1]
			length += last.LengthNS
			for d := range workloads.Direction(workloads.Directions) {
				if st := last.Dir(d); st != nil {
					ios += st.IOs
					bytes += st.Bytes
				}
			}
		}
		seconds := float64(max(length, 1)) / 1e9
		out.iops = append([]int64{int64(float64(ios) / seconds)}, out.iops...)
		out.bw = append([]int64{int64(float64(bytes) / seconds)}, out.bw...)
	}
	return out
}

// print writes the steadystate object.
func (s *steady) print(p *printer) {
	percent := ""
	absolute := s.Criterion
	if s.LimitIsPercent {
		percent = "%"
		absolute = s.Criterion * s.Mean / 100
	}
	attained := int64(0)
	if s.Attained {
		attained = 1
	}
	var deviation, slope float64
	if strings.HasSuffix(s.Metric, "_slope") {
		slope = absolute
	} else {
		deviation = absolute
	}
	p.object("steadystate", func() {
		p.string("ss", fmt.Sprintf("%s:%f%s", s.Metric, s.Limit, percent))
		p.int("duration", s.DurationNS/1e9)
		p.int("attained", attained)
		p.string("criterion", fmt.Sprintf("%f%s", s.Criterion, percent))
		p.float("max_deviation", deviation)
		p.float("slope", slope)
		p.object("data", func() {
			p.int("bw_mean", meanOf(s.bw))
			p.int("iops_mean", meanOf(s.iops))
			p.ints("iops", s.iops)
			p.ints("bw", s.bw)
		})
	})
}

func meanOf(values []int64) int64 {
	sum := int64(0)
	for _, v := range values {
		sum += v
	}
	return sum / int64(max(len(values), 1))
}

// ints writes an array of whole numbers.
func (p *printer) ints(key string, values []int64) {
	p.array(key, func() {
		for _, v := range values {
			p.int("", v)
		}
	})
}
