package run

import (
	"math"
	"sync/atomic"
	"time"
)

// flow is what the workers of all jobs with one flow_id share: how many I/Os they issued together, and the sum
// of their weights. It is all that workers share while they run; each touches it once per batch, and those
// without flow never do. It has a cache line of its own.
type flow struct {
	_      [64]byte
	issued atomic.Int64
	weight atomic.Int64
	_      [48]byte
}

// flowing is a worker's part in a flow: it issues no more than its weight's share of all I/Os, so that the
// slowest worker for its weight sets the pace of all.
type flowing struct {
	all    *flow
	weight int64
	issued int64         // this worker's part of all.issued
	sleep  time.Duration // flow_sleep
	until  int64         // ns: when a worker that was ahead looks again
	joined bool
}

const (
	// flowLead is by how many I/Os a worker may be ahead of its share. With less, workers that are equally fast
	// would wait for each other all the time; what it lets the fast do before the slow adds up once.
	flowLead = 4
	// flowLook is how long a worker that is ahead waits before it looks again, unless flow_sleep says so.
	flowLook = 50 * time.Microsecond
)

// flow returns a worker's part in its job's flow, or nil.
func (c *conductor) flow(j *jobRun) *flowing {
	s := &j.spec.Flow
	if s.Weight == 0 {
		return nil
	}
	if c.flows[s.ID] == nil {
		c.flows[s.ID] = new(flow)
	}
	return &flowing{all: c.flows[s.ID], weight: int64(s.Weight), sleep: s.Sleep}
}

// joinFlows lets all workers that are about to start join their flows first, or the first of them would go
// without the others.
func (s *stageRun) joinFlows() {
	for _, w := range s.workers {
		if w.pacing != nil && w.pacing.flow != nil && !s.waits(w.job) && delayOf(w) == 0 {
			w.pacing.flow.join()
		}
	}
}

// join takes part from now on: what the others issued before counts as if this worker had done its share.
func (f *flowing) join() {
	if f.joined {
		return
	}
	f.joined = true
	others := f.all.weight.Add(f.weight) - f.weight
	if others > 0 {
		f.issued = f.all.issued.Load() * f.weight / others
	}
	f.all.issued.Add(f.issued)
}

// leave lets the others go on without this worker.
func (f *flowing) leave() {
	f.all.issued.Add(-f.issued)
	f.all.weight.Add(-f.weight)
	f.issued, f.until, f.joined = 0, 0, false
}

// budget returns how many I/Os the worker may issue at now: the most with which it has, but for the lead, no
// more than its weight's share of all.
func (f *flowing) budget(now int64) int {
	if now < f.until {
		return 0
	}
	weight := f.all.weight.Load()
	if weight <= f.weight {
		return math.MaxInt // nobody else takes part
	}
	// issued - flowLead + n <= (all + n) * share
	n := (f.weight*f.all.issued.Load() - (f.issued-flowLead)*weight) / (weight - f.weight)
	if n <= 0 {
		f.until = now + int64(max(f.sleep, flowLook))
		return 0
	}
	return int(n)
}

// took counts I/Os that were issued.
func (f *flowing) took(n int) {
	f.issued += int64(n)
	f.all.issued.Add(int64(n))
}
