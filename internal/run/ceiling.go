package run

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// Ceiling is what the loop itself can do on one CPU, with everything on and no I/O behind it.
type Ceiling struct {
	Engine   string  `json:"engine"` // "null", or "io_uring no-op": through the kernel's ring and back
	IODepth  int     `json:"iodepth"`
	IOPS     float64 `json:"iops_per_s"` // per second of CPU time: others may have had the CPU, too
	UserNS   float64 `json:"user_per_io_ns"`
	SystemNS float64 `json:"sys_per_io_ns"`
}

// MeasureCeiling runs random 4 KiB reads without a map through the whole loop for d, on a queue that does no
// I/O: catalog.Null or catalog.Nop. The worker runs on the CPUs given, or anywhere.
func MeasureCeiling(engineName string, depth int, cpus []int, d time.Duration) (Ceiling, error) {
	const block = 4096
	j := workloads.DefaultJob()
	j.Name, j.RW, j.TimeBased, j.NoRandomMap, j.IODepth = "ceiling", workloads.RWRandRead, true, true, depth
	src, err := pattern.New(pattern.Config{Job: &j, Files: []pattern.File{{High: 1 << 40}}, Seed: 1, Align: block})
	if err != nil {
		return Ceiling{}, err
	}
	w := &worker{
		clock: clock.New(""), source: src, stop: new(atomic.Bool), reapMax: depth,
		job:   &jobRun{spec: &j, depth: depth, choice: catalog.Choice{Name: engineName}},
		batch: batching{submit: depth, low: depth, reapMin: 1}, place: place{cpu: -1, cpus: cpus},
		config: engine.Config{Depth: depth, BlockBytes: block},
	}
	done := make(chan error)
	go func() { // a worker keeps its thread for good
		err := safely(func() error {
			return w.prepare(func(w *worker, c engine.Config) (engine.Queue, error) {
				q, err := catalog.Open(engineName, c, nil)
				return q.Queue, err
			})
		})
		if err == nil {
			now := w.clock.Now()
			w.endsAt = now + int64(d)
			w.runFrom(now)
			err = w.failure.err
		}
		if e := w.close(); err == nil {
			err = e
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return Ceiling{}, fmt.Errorf("measuring the ceiling on %s: %w", engineName, err)
	}
	ios := w.win.ops[engine.OpRead].ios
	if full := w.box.take(); full != nil {
		ios += full.ops[engine.OpRead].ios
	}
	n, used := max(float64(ios), 1), w.outcome.usage
	return Ceiling{
		Engine: engineName, IODepth: depth, IOPS: n * 1e9 / float64(max(used.UserNS+used.SysNS, 1)),
		UserNS: float64(used.UserNS) / n, SystemNS: float64(used.SysNS) / n,
	}, nil
}

const (
	// mayBind is the rate per worker below which the loop cannot be the limit: its ceiling at depth 1 is
	// several times that on any machine that has NVMe.
	mayBind = 100_000
	// ceilingShare is the share of the ceiling from which the loop's own cost shapes the result.
	ceilingShare = 0.5
	ceilingTime  = 100 * time.Millisecond
)

// compareWithCeiling warns when a worker's rate is so near to what the loop can do on its queue without any
// I/O that the figures are blkmeter's as well as the device's.
func (c *conductor) compareWithCeiling(j *jobRun) {
	on := map[string]string{catalog.Uring: catalog.Nop, catalog.UringCmd: catalog.Nop, catalog.Null: catalog.Null}[j.choice.Name]
	if on == "" || j.paced || j.spec.Offload || len(j.totals) == 0 {
		return
	}
	w, ios := j.workers[0], uint64(0)
	for op := range j.totals[0].ops {
		ios += j.totals[0].ops[op].ios
	}
	rate := float64(ios) * 1e9 / float64(max(w.timing.ended-w.timing.measured-j.totals[0].asideNS, 1))
	if rate < mayBind {
		return
	}
	ceiling, err := MeasureCeiling(on, j.depth, w.place.cpus, ceilingTime)
	if err != nil {
		return
	}
	j.decide("ceiling", fmt.Sprintf("%s IOPS", units.Count(ceiling.IOPS)),
		fmt.Sprintf("measured on %s at depth %d, on the worker's CPU: what blkmeter itself can do without I/O", on, j.depth))
	if rate > ceilingShare*ceiling.IOPS {
		c.warn("GENERATOR_BOUND", fmt.Sprintf("job %s: a worker did %s IOPS, %.0f %% of what blkmeter can do on such a queue without any I/O (%s); the generator is part of the limit", j.spec.Name, units.Count(rate), 100*rate/ceiling.IOPS, units.Count(ceiling.IOPS)),
			"use more --numjobs on more CPUs, or a deeper --iodepth")
	}
}
