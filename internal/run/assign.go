package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/content"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

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
	for _, t := range w.targets {
		low, high, err := regionOf(s, t, clone)
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
