package run

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// Ceiling is what the loop itself can do on one CPU, with everything on and no I/O behind it.
type Ceiling struct {
	Engine   string  `json:"engine"` // "null", or "io_uring no-op": through the kernel's ring and back
	IODepth  int     `json:"iodepth"`
	IOPS     float64 `json:"iops_per_s"`
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
	n := math.Max(float64(ios), 1)
	return Ceiling{
		Engine: engineName, IODepth: depth, IOPS: n * 1e9 / float64(w.timing.ended-w.timing.measured),
		UserNS: float64(w.outcome.usage.UserNS) / n, SystemNS: float64(w.outcome.usage.SysNS) / n,
	}, nil
}
