package run

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

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
	for _, path := range paths {
		planned := s.PlannedBytes(clone, path)
		if planned > 0 { // other jobs may need more of it
			planned = c.planned.Bytes(path)
		}
		t, err := c.openPath(ctx, j, path, planned)
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
		Path: path, Passthrough: s.Engine == catalog.UringCmd, Direct: s.Direct, Destroy: destroyNames(s.Destroy), Overwrite: c.o.Overwrite && changes(s) && s.Layout.OpenDir == "",
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

// destroyNames splits --destroy, which may name several targets.
func destroyNames(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ':' })
}

// register notes an open target; several opens of the same one are one target of the Result.
func (c *conductor) register(t *target.Target, scratch bool) {
	c.targets = append(c.targets, t)
	if c.targetIndex(t) >= 0 {
		return
	}
	var sibling *report.Target // on the same disk: what is known of that need not be asked again
	if i := len(c.result.Targets) - 1; i >= 0 && c.result.Targets[i].Device == t.Facts().Disk {
		sibling = &c.result.Targets[i]
	}
	c.result.Targets = append(c.result.Targets, describeTarget(c.o.Root, t, sibling, scratch))
}

// askedRegion is a part of a target of which is known whether it was ever written: clones share it, and so do jobs.
type askedRegion struct {
	resolved  string
	low, high int64
}

// targetKey tells the Result's targets apart.
type targetKey struct {
	path, resolved string
	direct         bool
}

// targetIndex returns which of the Result's targets t is, or -1.
func (c *conductor) targetIndex(t *target.Target) int {
	if c.indices == nil {
		c.indices = map[targetKey]int{}
	}
	for i := len(c.indices); i < len(c.result.Targets); i++ {
		r := &c.result.Targets[i]
		c.indices[targetKey{r.Path, r.Resolved, r.DirectIO}] = i
	}
	if i, ok := c.indices[targetKey{t.Path(), t.Resolved(), t.Direct()}]; ok {
		return i
	}
	return -1
}

// closeTargets closes what was opened for the run. When nothing was started, files that were made for it and hold
// nothing yet go away again: they would be too small for the job with its mistake put right.
func (c *conductor) closeTargets() error {
	var errs []error
	for _, t := range c.targets {
		if t == c.o.Scratch {
			continue
		}
		if c.started == 0 && !c.filled[t.Resolved()] {
			_ = t.Remove() // the error that ended the run is the one to tell
		}
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}
