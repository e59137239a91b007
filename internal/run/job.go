package run

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/shared"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fiolog"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/iolog"
)

// jobRun is one job section while it runs.
type jobRun struct {
	spec      *workloads.Job
	index     int
	first     int // number of its first clone among those of all jobs
	stage     int // jobs of one stage run together; a stonewall starts a new one
	group     int // reporting group
	choice    catalog.Choice
	depth     int                                   // requests in flight per worker
	ignored   [workloads.Directions][]syscall.Errno // ignore_error: for reads, writes, verification
	paced     bool                                  // its arrivals have intended times
	seed      uint64
	workers   []*worker
	totals    []*totals // by worker
	series    *series
	decisions []report.Decision
	features  []string
	shared    *shared.Queue        // with a single queue for all workers
	memory    mem.Options          // of its I/O buffers
	steady    *steadyState         // nil when the job looks for none
	prios     []workloads.Priority // by engine.Request.Prio, the threads' own first; nil when all I/Os have that
	state     *stateFile           // nil unless what the job writes is to be known to later runs

	// Its course, in the hands of the conductor.
	stop      *atomic.Bool  // its workers are to end
	halt      chan struct{} // closed with it, for those that wait
	start     chan int64    // tells each worker its start, or is closed
	begun     bool          // start has been used
	preparing bool          // exec_prerun runs
	prepared  bool          // it has run
	running   int           // workers that have not ended
	logs      *fiolog.Set   // nil without
	replays   []*iolog.Log  // of each clone; nil when a pattern says what is done
	rampEnds  *atomic.Int64 // when a ramp of ramp_size ends, ns of the run's clock; 0 not yet known
}

func (j *jobRun) decide(what, chosen, why string) {
	j.decisions = append(j.decisions, report.Decision{What: what, Chosen: chosen, Why: why})
}

// issues says whether the job's pattern yields operations of kind op.
func (j *jobRun) issues(op engine.Op) bool {
	if j.replayed(op) {
		return true
	}
	switch op {
	case engine.OpSync:
		return j.spec.FsyncEvery > 0 || j.syncsAtEnd()
	case engine.OpDatasync:
		return j.spec.FdatasyncEvery > 0
	case engine.OpSyncRange:
		return j.spec.SyncRange.Every > 0
	}
	return j.spec.RW.Does(workloads.Direction(op)) || op == engine.OpTrim && j.spec.Trims()
}

// syncsAtEnd says whether each worker makes its writes stable before it ends.
func (j *jobRun) syncsAtEnd() bool {
	onClose := j.spec.FsyncOnClose && j.workers[0].rotation == nil // which syncs each file that it closes
	return (j.spec.EndFsync || onClose) && j.spec.RW.Does(workloads.Write) && j.choice.Name != catalog.Null
}

// toleratesError says whether the job goes on after such an error.
func (j *jobRun) toleratesError(op engine.Op, errno syscall.Errno) bool {
	if op <= engine.OpTrim && slices.Contains(j.ignored[min(op, engine.OpWrite)], errno) {
		return true
	}
	if errno != syscall.EIO && errno != syscall.EILSEQ {
		return false
	}
	switch j.spec.ContinueOnError {
	case "all", "io":
		return true
	case "read":
		return op == engine.OpRead
	case "write":
		return op != engine.OpRead
	}
	return false
}

// arrange numbers stages and reporting groups as fio does: a stonewall begins both, new_group only a group.
func arrange(jobs []workloads.Job) []*jobRun {
	runs := make([]*jobRun, len(jobs))
	stage, group, first := 0, 0, 0
	for i := range jobs {
		j := &jobs[i]
		if i > 0 && j.Stonewall {
			stage++
		}
		if i > 0 && (j.Stonewall || j.NewGroup) {
			group++
		}
		runs[i] = &jobRun{spec: j, index: i, first: first, stage: stage, group: group, stop: new(atomic.Bool), rampEnds: new(atomic.Int64)}
		first += j.NumJobs
	}
	return runs
}

// chooseEngine picks the engine and the depth for a job's targets.
func (c *conductor) chooseEngine(j *jobRun) error {
	s := j.spec
	choice, err := catalog.Choose(catalog.Want{
		Name: s.Engine, Depth: s.IODepth, Direct: s.Direct, HiPri: s.HiPri,
		Shared: s.SharedQueue, Targets: j.workers[0].targets,
	})
	if err != nil {
		return fmt.Errorf("job %s: %w", s.Name, err)
	}
	j.choice = choice
	if err := checkVariant(s, choice.Name); err != nil {
		return err
	}
	if err := checkPriorities(s, choice.Name); err != nil {
		return err
	}
	j.decide("engine", choice.Name, choice.Why)
	if s.HiPri && choice.Sync {
		c.warn("HIPRI_IGNORED", fmt.Sprintf("job %s: Linux has stopped polling for pread and pwrite: interrupts end its I/Os, whatever hipri says", s.Name),
			"use --ioengine=io_uring")
	}
	if choice.Punted {
		c.warn("PUNTED", fmt.Sprintf("job %s: %s takes no NOWAIT, so the kernel hands every io_uring request to a worker thread; at low depth that is many times slower than the target", s.Name, j.workers[0].targets[0].Path()),
			"use --ioengine=psync or libaio, or leave it out")
	}
	return nil
}

// checkVariant refuses variants of a shared queue that could not do what they promise.
func checkVariant(s *workloads.Job, engineName string) error {
	refuse := func(hint, why string) error {
		return fault.Usage("QUEUE_VARIANT", hint, "job %s: %s", s.Name, why)
	}
	variant := cmp.Or(shared.Variant(s.QueueVariant), shared.U2C)
	u1 := variant == shared.U1
	switch {
	case !s.SharedQueue && (variant != shared.U2C || s.HoldNS > 0):
		return refuse("add --queue=single", "queue_variant and hold_ns are about the lock of a shared queue, and every worker has a queue of its own")
	case variant == shared.U3 && s.HoldNS == 0:
		return refuse("add --hold-ns=700 (mq-deadline) or 1900 (BFQ)", "queue_variant=u3 is u2c with a longer critical section, and hold_ns is 0")
	case variant != shared.U3 && s.HoldNS > 0:
		return refuse("add --queue-variant=u3", "hold_ns needs queue_variant=u3; the other variants hold the lock as long as the work takes")
	case u1 && engineName != catalog.Uring:
		return refuse("use --ioengine=io_uring, or another variant", engineName+" fills and submits in one system call, so the lock cannot be let go in between")
	case u1 && s.SQThreadPoll:
		return refuse("leave out --sqthread_poll, or use another variant", "with SQPOLL a kernel thread takes what was filled, so u1 has no system call to make without the lock")
	case u1 && s.HiPri:
		return refuse("leave out --hipri, or use another variant", "a polled ring takes one thread at a time, so u1 cannot submit from several")
	case u1 && (s.RW.Does(workloads.Trim) || s.FsyncEvery > 0 || s.FdatasyncEvery > 0 || s.SyncRange.Every > 0 || s.EndFsync || s.FsyncOnClose):
		return refuse("use another variant", "u1 takes reads and writes only: trims and syncs are done inside the submission")
	}
	return nil
}

// want reads a feature flag: asked for, asked against, or left to us.
func want(s *workloads.Job, name string, on bool) engine.Want {
	if on {
		return engine.Must
	}
	for _, o := range s.Options {
		if o.Name == name {
			return engine.Never
		}
	}
	return engine.IfPossible
}

// seedOf returns what the job's random numbers start from.
func seedOf(s *workloads.Job) uint64 {
	switch {
	case s.RandSeedSet:
		return s.RandSeed
	case s.RandRepeat:
		return repeatSeed
	}
	return rand.Uint64()
}

// repeatSeed makes every run with randrepeat the same.
const repeatSeed = 0x626c6b6d65746572

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// explainErrno gives a failed I/O a code and a hint.
func explainErrno(f *failure) (code, hint string) {
	switch f.errno {
	case syscall.ENOSPC, syscall.EDQUOT:
		return "NO_SPACE", "the file system, or the one under the loop device, is full"
	case syscall.EINVAL:
		return "IO_INVALID", "direct I/O needs offsets, sizes and memory that fit the device's logical block: blkmeter devices shows it"
	case syscall.EOPNOTSUPP:
		return "IO_UNSUPPORTED", "the target does not do this kind of I/O: no discard, no polling, no NOWAIT, or no uncached or atomic I/O"
	case syscall.EPERM, syscall.EROFS, syscall.EACCES:
		return "IO_DENIED", "the target is read-only"
	case syscall.ENODEV, syscall.ENXIO:
		return "DEVICE_GONE", "the device was removed or detached during the run; look at the kernel's log"
	case syscall.EIO:
		if f.short {
			return "IO_NOTHING", "the device was removed, or the file was truncated during the run"
		}
		return "IO_ERROR", "look at the kernel's log; --continue_on_error=all counts such errors and goes on"
	}
	return "IO_ERROR", "look at the kernel's log"
}
