package pace

import (
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// Floor checks the least that a clone has to achieve (rate_min and rate_iops_min), once per rate_cycle.
type Floor struct {
	job        *workloads.Job
	since      int64 // ns
	bytes, ios [workloads.Directions]uint64
}

// NewFloor returns the check of a job, or false when it asks for none. now is the time in ns from which the
// first cycle counts.
func NewFloor(job *workloads.Job, now int64) (*Floor, bool) {
	asked := false
	for d := range job.RateMin {
		asked = asked || job.RateMin[d] > 0 || job.RateIOPSMin[d] > 0
	}
	return &Floor{job: job, since: now}, asked
}

// From returns the same check with its first cycle counting from now.
func (f *Floor) From(now int64) *Floor { return &Floor{job: f.job, since: now} }

// Check compares what was done in the cycle that is over at now with what was asked for; bytes and ios are
// totals since the start. It returns a fault for the first direction that fell short, nil when none did or
// the cycle is not over.
func (f *Floor) Check(now int64, bytes, ios [workloads.Directions]uint64) error {
	spent := time.Duration(now - f.since)
	if spent < f.job.RateCycle || spent <= 0 {
		return nil
	}
	lastBytes, lastIOs := f.bytes, f.ios
	f.since, f.bytes, f.ios = now, bytes, ios
	for d := workloads.Read; d < workloads.Directions; d++ {
		if err := f.below(d, "rate_min", "bytes/s", bytes[d]-lastBytes[d], f.job.RateMin[d], spent); err != nil {
			return err
		}
		if err := f.below(d, "rate_iops_min", "IOPS", ios[d]-lastIOs[d], f.job.RateIOPSMin[d], spent); err != nil {
			return err
		}
	}
	return nil
}

func (f *Floor) below(d workloads.Direction, option, unit string, done, least uint64, spent time.Duration) error {
	got := float64(done) / spent.Seconds()
	if least == 0 || got >= float64(least) {
		return nil
	}
	return fault.New(fault.ExitThreshold, "RATE_MIN", "lower "+option+", or find out what held the job up",
		"job %s: %s reached %.0f %s within %v, %s asks for %d", f.job.Name, d, got, unit, spent.Round(time.Millisecond), option, least)
}
