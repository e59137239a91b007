package run

import (
	"errors"
	"fmt"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
	"github.com/blkmeter/blkmeter/workloads"
)

// checkFlags refuses what the kernel would refuse of the flags of single I/Os to a target, whose region begins
// at offset.
func checkFlags(s *workloads.Job, t *target.Target, offset int64) error {
	if s.Uncached {
		if err := t.CheckUncached(); err != nil {
			return err
		}
	}
	if err := t.CheckCommand(s.BufferBytes()); err != nil {
		return err
	}
	if s.Atomic && s.RW.Does(workloads.Write) {
		return t.CheckAtomic(offset, sizesOf(s, workloads.Write))
	}
	return nil
}

// commandsOf says which NVMe commands a job's engine is to send, if it sends any.
func commandsOf(s *workloads.Job) engine.NVMe {
	n := engine.NVMe{FUA: s.NVMe.FUA, Deallocate: s.NVMe.Deallocate}
	for _, w := range []engine.NVMeWrite{engine.NVMeZeroes, engine.NVMeUncorrectable, engine.NVMeVerify} {
		if s.NVMe.Write == w.String() {
			n.Write = w
		}
	}
	return n
}

// setLifetimes tells the kernel how long the data will live that the jobs write (write_hint), and returns what
// takes that back.
func (s *stageRun) setLifetimes() (undo func() error, err error) {
	var undos []func() error
	undo = func() error {
		var errs []error
		for i := len(undos) - 1; i >= 0; i-- { // what was told first is told again last
			errs = append(errs, undos[i]())
		}
		return errors.Join(errs...)
	}
	for _, j := range s.jobs {
		l, ok := lifetimes[j.spec.WriteHint]
		if !ok || !j.spec.RW.Does(workloads.Write) {
			continue
		}
		for _, w := range j.workers {
			for _, t := range w.targets {
				one, err := t.SetLifetime(l)
				if err != nil {
					return undo, fmt.Errorf("job %s: %w", j.spec.Name, err)
				}
				undos = append(undos, one)
			}
		}
		j.decide("write_hint", j.spec.WriteHint, "the kernel passes it on where the device has a use for it, and was told what it had before afterwards")
	}
	return undo, nil
}

// lifetimes are fio's words for them.
var lifetimes = map[string]fileio.Lifetime{
	"none": fileio.None, "short": fileio.Short, "medium": fileio.Medium, "long": fileio.Long, "extreme": fileio.Extreme,
}

// syncRangeFlags returns the flags of sync_file_range(2).
func syncRangeFlags(r workloads.SyncRange) (flags int) {
	if r.WaitBefore {
		flags |= fileio.WaitBefore
	}
	if r.Write {
		flags |= fileio.WriteBack
	}
	if r.WaitAfter {
		flags |= fileio.WaitAfter
	}
	return flags
}
