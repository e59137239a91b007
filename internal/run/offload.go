package run

import (
	"fmt"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/offload"
	"github.com/blkmeter/blkmeter/internal/fault"
)

// mostPoolThreads bounds the threads of a job's pools: each has a stack, a queue, and a place in the scheduler.
const mostPoolThreads = 4096

// offload makes the job's I/O go through pools of threads.
func (j *jobRun) offload() error {
	s := j.spec
	if s.SharedQueue {
		return fault.Usage("OFFLOAD_SHARED", "leave out one of them", "job %s: io_submit_mode=offload gives each worker a pool of queues, and --queue=single takes its queue away", s.Name)
	}
	if threads := s.NumJobs * s.IODepth; threads > mostPoolThreads {
		return fault.Usage("OFFLOAD_THREADS", "lower iodepth or numjobs, or leave out io_submit_mode=offload",
			"job %s: io_submit_mode=offload needs a thread for each of %d I/Os in flight, and blkmeter starts at most %d", s.Name, threads, mostPoolThreads)
	}
	j.choice.Sync = false // the worker goes on while a thread waits
	j.decide("io_submit_mode", "offload", fmt.Sprintf("%d threads per worker, on its CPUs, each with a queue of depth 1 of %s; slat is handing over, clat includes waking the thread", s.IODepth, j.choice.Name))
	return nil
}

// openPool makes a worker's queue, and the pool behind it.
func (w *worker) openPool(c engine.Config) (engine.Queue, error) {
	features := make([][]string, c.Depth)
	pool, err := offload.New(offload.Options{
		Config: c, Setup: w.setUpThread,
		Open: func(slot int, c engine.Config) (engine.Queue, error) {
			q, err := catalog.Open(w.job.choice.Name, c, w.targets)
			features[slot] = q.Features
			return q.Queue, err
		},
	})
	if err != nil {
		return nil, err
	}
	w.pool, w.features = pool, features[0]
	return pool, nil
}

// poolThreads is how many threads the pools of the stage's jobs have.
func (s *stageRun) poolThreads() int {
	n := 0
	for _, j := range s.jobs {
		if j.spec.Offload {
			n += len(j.workers) * j.depth
		}
	}
	return n
}
