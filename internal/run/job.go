package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/shared"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fiolog"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/content"
	"github.com/blkmeter/blkmeter/workloads/iolog"
	"github.com/blkmeter/blkmeter/workloads/pattern"
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

// open opens the job's targets, in every clone's order, and says what each clone works on.
func (c *conductor) open(ctx context.Context, j *jobRun) error {
	if err := c.readIOLogs(j); err != nil {
		return err
	}
	for clone := range j.spec.NumJobs {
		w := &worker{clock: c.clock, job: j, index: clone, stop: j.stop}
		targets, err := c.openClone(ctx, j, clone)
		if err != nil {
			return err
		}
		w.targets = targets
		j.workers = append(j.workers, w)
	}
	if j.spec.Engine == catalog.Null {
		j.choice = catalog.Choice{Name: catalog.Null, Asked: catalog.Null, Why: "asked for"}
	} else if err := c.chooseEngine(j); err != nil {
		return err
	}
	if j.spec.Offload {
		if err := j.offload(); err != nil {
			return err
		}
	}
	return c.assignAll(ctx, j)
}

// assignAll gives each worker of a job its part, and then what they have in common.
func (c *conductor) assignAll(ctx context.Context, j *jobRun) error {
	for clone, w := range j.workers {
		if err := c.assign(ctx, j, w, clone); err != nil {
			return err
		}
	}
	c.lockFiles(j)
	if err := c.serialize(j); err != nil {
		return err
	}
	return c.verify(j)
}

// openClone opens the files of one clone.
func (c *conductor) openClone(ctx context.Context, j *jobRun, clone int) ([]*target.Target, error) {
	s := j.spec
	if j.replays != nil {
		return c.openReplayed(ctx, j, j.replays[clone])
	}
	if s.Engine == catalog.Null {
		if s.Size.Bytes <= 0 {
			return nil, fault.Usage("NO_SIZE", "give --size", "job %s: the null engine needs a size", s.Name)
		}
		t := target.Null(s.Offset.Bytes + s.Size.Bytes)
		c.register(t, false)
		return []*target.Target{t}, nil
	}
	if s.Scratch {
		t, err := c.scratchTarget(ctx, s)
		return []*target.Target{t}, err
	}
	var targets []*target.Target
	paths := s.Paths(clone)
	for file, path := range paths {
		t, err := c.openPath(ctx, j, path, s.PlannedBytes(file))
		if err != nil {
			return nil, err
		}
		if targets = append(targets, t); rotates(s, len(paths)) {
			if err := t.Park(); err != nil {
				return nil, err
			}
		}
	}
	return targets, nil
}

// openPath opens one target of a job. A file that does not exist is made, of the planned size, and written
// when it will be read.
func (c *conductor) openPath(ctx context.Context, j *jobRun, path string, planned int64) (*target.Target, error) {
	s := j.spec
	if path == "-" {
		return nil, fault.Usage("STREAM_TARGET", "name a device or a file; ./- is a file called -", "job %s: filename=- is standard input or output for fio, and blkmeter needs a target that has offsets", s.Name)
	}
	fills := planned == 0 && s.Layout.FillDevice && changes(s) && !s.RW.Does(workloads.Read)
	if fills {
		planned = roomAround(path)
	}
	spec := target.Spec{
		Path: path, Passthrough: s.Engine == catalog.UringCmd, Direct: s.Direct, Destroy: destroyNames(s.Destroy), Overwrite: c.o.Overwrite && s.Layout.OpenDir == "",
		Sparse: s.Layout.Fallocate == "none" || s.Layout.Fallocate == "truncate",
		Create: s.AllowFileCreate && !s.Verify.Only && planned > 0, SizeBytes: planned, Later: s.Layout.CreateOnOpen || fills,
	}
	switch s.SyncMode {
	case "sync":
		spec.Sync = target.SyncFull
	case "dsync":
		spec.Sync = target.SyncData
	}
	if changes(s) || s.Fill {
		spec.Access = target.ReadWrite
	}
	t, err := c.opener.Open(spec)
	if err != nil {
		return nil, err
	}
	c.register(t, false)
	if t.Planned() {
		return t, nil
	}
	if fills {
		t.Grow(planned)
	} else if s.Layout.FillDevice && planned == 0 && t.Kind() == target.File {
		return nil, fault.Usage("FILL_DEVICE", "give rw=write or randwrite, or size=", "job %s: fill_device makes %s larger until nothing is left, which is for jobs that write only", s.Name, path)
	}
	if t.Created() && t.Writable() && (s.RW.Does(workloads.Read) || s.Layout.Overwrite) && !c.filled[t.Resolved()] {
		c.say("laying out " + path)
		lay := t.Fill
		if !s.Layout.CreateFsync {
			lay = t.Lay
		}
		if err := lay(ctx, 0, t.SizeBytes(), nil); err != nil {
			return nil, errors.Join(err, t.Remove())
		}
		c.filled[t.Resolved()] = true
	}
	return t, nil
}

// changes says whether the job changes what is stored.
func changes(s *workloads.Job) bool { return s.RW.Destructive() && !s.Verify.Only }

// scratchTarget makes the run's scratch file, once.
func (c *conductor) scratchTarget(ctx context.Context, s *workloads.Job) (*target.Target, error) {
	if c.scratch == nil && c.o.Scratch != nil {
		c.scratch = c.o.Scratch
		c.register(c.scratch, true)
	}
	if c.scratch != nil {
		return c.scratch, nil
	}
	dir := ""
	if len(s.Directories) > 0 {
		dir = s.Directories[0]
	} else {
		var note string
		var err error
		if dir, note, err = target.ScratchDir(c.o.Env, s.Size.Bytes); err != nil {
			return nil, err
		}
		if note != "" {
			c.warn("SCRATCH_IN_MEMORY", note, "give --directory=DIR on a device's file system, or --filename=/dev/...")
		}
	}
	c.say(fmt.Sprintf("writing a scratch file of %d MiB in %s", s.Size.Bytes>>20, dir))
	t, err := c.opener.Scratch(ctx, dir, s.Size.Bytes, s.Direct)
	if err != nil {
		return nil, err
	}
	c.scratch = t
	c.register(t, true)
	return t, nil
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

// assign gives a worker its regions, its source of I/Os, batches and buffers.
func (c *conductor) assign(ctx context.Context, j *jobRun, w *worker, clone int) error {
	s := j.spec
	j.depth = s.IODepth
	if j.choice.Sync && j.depth > 1 {
		j.depth = 1
		if clone == 0 {
			j.decide("iodepth", "1", fmt.Sprintf("%s has one I/O in flight per worker; %d was asked for", j.choice.Name, s.IODepth))
			c.warn("DEPTH_CAPPED", fmt.Sprintf("job %s: %s has one I/O in flight per worker, not the %d asked for", s.Name, j.choice.Name, s.IODepth),
				"use --ioengine=io_uring or libaio, or more --numjobs")
		}
	}
	if (s.RW == workloads.RWTrimWrite || s.RW == workloads.RWRandTrimWrite) && j.depth > 1 {
		j.depth = 1
		if clone == 0 {
			j.decide("iodepth", "1", "a block is written only after its trim has completed")
		}
	}
	source := c.generate
	if j.replays != nil {
		source = c.replay
	}
	if err := source(ctx, j, w, clone); err != nil {
		return err
	}
	return c.equip(j, w, clone)
}

// generate gives a worker its region of each target, and the pattern that works on it.
func (c *conductor) generate(ctx context.Context, j *jobRun, w *worker, clone int) error {
	s := j.spec
	var files []pattern.File
	var err error
	for i, t := range w.targets {
		low, high, err := regionOf(s, t, clone, i)
		if err != nil {
			return err
		}
		check := target.IO{Offset: low, Size: high - low, Blocks: blockSizes(s)}
		if err := t.CheckIO(check); err != nil {
			return fmt.Errorf("job %s: %w", s.Name, err)
		}
		if err := errors.Join(checkFlags(s, t, low), checkMemory(s, t)); err != nil {
			return fmt.Errorf("job %s: %w", s.Name, err)
		}
		files = append(files, pattern.File{Low: low, High: high})
		if err := c.checkWritten(ctx, j, t, low, high); err != nil {
			return err
		}
	}
	w.files, w.regionLow, w.regionHigh = files, files[0].Low, files[0].High
	kind := *s
	kind.TimeBased = s.TimeBased && !s.Verify.Only
	if passesOf(s) > 1 || renews(s) {
		kind.Loops = 1 // each pass has a source of its own
	}
	w.pattern = pattern.Config{Job: &kind, Files: files, Clone: clone, Seed: j.seed, Align: uint32(max(w.targets[0].OffsetAlign(), 1)), Directed: directed(s)}
	if w.source, err = pattern.New(w.pattern); err != nil {
		return err
	}
	if s.Layout.CreateOnly {
		w.source = noIO{}
	}
	if slices.ContainsFunc(w.targets, func(t *target.Target) bool { return t.Parked() }) {
		if err := w.rotate(); err != nil {
			return err
		}
		if clone == 0 {
			j.decide("open files", fmt.Sprintf("%d of %d", w.rotation.limit, len(w.targets)), "openfiles or create_on_open: files are opened and closed in the middle of the run")
		}
	}
	return nil
}

// equip gives a worker its arrivals, data, batches and buffers.
func (c *conductor) equip(j *jobRun, w *worker, clone int) error {
	s := j.spec
	if err := c.pace(j, w, clone); err != nil {
		return err
	}
	if err := c.fill(j, w); err != nil {
		return err
	}
	w.batch = batching{submit: j.depth, low: j.depth, reapMin: 1}
	reapMax := j.depth
	if s.BatchSubmitSet && s.BatchSubmit > 0 {
		w.batch.submit = min(s.BatchSubmit, j.depth)
	}
	if s.BatchCompleteSet {
		w.batch.reapMin = min(s.BatchCompleteMin, j.depth)
		if s.BatchCompleteMax > 0 {
			reapMax = min(max(s.BatchCompleteMax, s.BatchCompleteMin), j.depth)
		}
	}
	if s.IODepthLow > 0 {
		w.batch.low = min(s.IODepthLow, j.depth)
	}
	w.reapMax = reapMax
	j.seekDepth(w)
	w.config = engine.Config{
		Depth: j.depth, BlockBytes: int(s.BufferBytes()), HiPri: s.HiPri,
		FixedBufs: want(s, "fixedbufs", s.FixedBufs), FixedFiles: want(s, "registerfiles", s.RegisterFiles),
		SQPoll: s.SQThreadPoll, SQPollCPU: s.SQThreadPollCPU, ForceAsync: s.ForceAsync, NoWait: s.NoWait,
		Uncached: s.Uncached, Atomic: s.Atomic, SyncRange: syncRangeFlags(s.SyncRange), NVMe: commandsOf(s),
	}
	j.prioritize(w)
	if w.rotation != nil {
		w.config.FixedFiles = engine.Never
	}
	var err error
	j.memory, err = c.memoryOf(s)
	return err
}

// fill gives a worker that writes the maker of its data.
func (c *conductor) fill(j *jobRun, w *worker) error {
	s := j.spec
	if !s.RW.Does(workloads.Write) || j.choice.Name == catalog.Null || commandsOf(s).Write != engine.NVMeData {
		return nil
	}
	var p *content.Pattern
	if s.Buffers.Pattern != "" {
		var err error
		if p, err = content.ParsePattern(s.Buffers.Pattern, os.ReadFile); err != nil {
			return fmt.Errorf("job %s: buffer_pattern: %w", s.Name, err)
		}
	}
	filler, err := content.NewFiller(&s.Buffers, p, int(s.BufferBytes()), s.RW.Does(workloads.Read), j.seed+uint64(w.index))
	if err != nil {
		return err
	}
	w.filler = filler
	if s.Buffers.DedupeSet && s.Buffers.DedupePercent > 0 {
		set, seed := c.dedupeSet(j, w)
		if set == 0 {
			return fault.Usage("DEDUPE_SET", "raise size, or dedupe_working_set_percentage",
				"job %s: %d %% of the region's blocks are none, so dedupe_mode=working_set has nothing to repeat", s.Name, s.Buffers.DedupeSetShare)
		}
		filler.DrawFrom(set, seed)
	}
	return nil
}

// dedupeSet returns how many blocks a worker's repeats are drawn from, and the seed that they follow from: with
// dedupe_global, that of the first such job.
func (c *conductor) dedupeSet(j *jobRun, w *worker) (blocks, seed uint64) {
	var bytes int64
	for _, f := range w.files {
		bytes += f.High - f.Low
	}
	blocks = uint64(bytes) / 100 * uint64(j.spec.Buffers.DedupeSetShare) / uint64(j.spec.BS[workloads.Write].Min)
	if !j.spec.Buffers.DedupeGlobal {
		return blocks, j.seed + uint64(w.index)
	}
	for _, other := range c.jobs {
		if other.spec.Buffers.DedupeGlobal {
			return blocks, other.seed
		}
	}
	return blocks, j.seed
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

// checkWritten finds out how much of a region that will be read was ever written, and says so or writes it:
// reading what never was written is answered from a map in memory. A null_blk device is memory at best.
func (c *conductor) checkWritten(ctx context.Context, j *jobRun, t *target.Target, low, high int64) error {
	if j.choice.Name == catalog.Null || !j.spec.RW.Does(workloads.Read) || t.Facts().Kind == device.KindNull || t == c.scratch || t.Created() {
		return nil
	}
	asked := askedRegion{t.Resolved(), low, high}
	if c.asked[asked] {
		return nil
	}
	c.asked[asked] = true
	w := t.Written(low, high-low)
	if w.Known && w.Percent < 99 && j.spec.Fill {
		c.say("writing " + t.Path() + ", of which parts were never written")
		if err := t.Fill(ctx, low, high-low, nil); err != nil {
			return err
		}
		w = t.Written(low, high-low)
	}
	if i := c.targetIndex(t); i >= 0 {
		r := &c.result.Targets[i]
		r.WrittenKnown, r.WrittenPercent = w.Known, w.Percent
	}
	if w.Known && w.Percent < 99 {
		c.warn("UNWRITTEN", fmt.Sprintf("%s: %.0f %% of the region was never written (%s); reading that is as fast as memory and says nothing about the device", t.Path(), 100-w.Percent, w.How),
			"--fill writes it first; that needs --destroy=NAME where something exists")
	}
	return nil
}

// blockSizes lists the sizes that must fit the target's alignment.
func blockSizes(s *workloads.Job) []int64 {
	var sizes []int64
	for d := workloads.Read; d < workloads.Directions; d++ {
		if s.RW.Does(d) {
			sizes = append(sizes, sizesOf(s, d)...)
		}
	}
	return sizes
}

// sizesOf lists the sizes of one direction.
func sizesOf(s *workloads.Job, d workloads.Direction) []int64 {
	sizes := []int64{int64(s.BS[d].Min), int64(s.BS[d].Max)}
	for _, e := range s.BSSplit[d] {
		sizes = append(sizes, int64(e.Bytes))
	}
	return sizes
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

// placeWorkers decides where the job's workers run.
func (c *conductor) placeWorkers(j *jobRun, first int) error {
	facts := &device.Facts{NUMANode: -1}
	if len(j.workers[0].targets) > 0 {
		f := j.workers[0].targets[0].Facts()
		facts = &f
	}
	spec, err := c.onNodes(j.spec)
	if err != nil {
		return err
	}
	all, err := places(spec, first+len(j.workers), c.topo, facts)
	if err != nil {
		return err
	}
	for i, w := range j.workers {
		w.place = all[first+i]
	}
	return nil
}

// destroyNames splits --destroy, which may name several targets.
func destroyNames(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ':' })
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
