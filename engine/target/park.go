package target

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Park closes a file's descriptor until [Target.Unpark]; everything that is known about the target stays
// known. FD is -1 meanwhile, and methods that need the descriptor open the file for as long as they take. A
// device stays open: it is claimed, and somebody else could begin to use it.
func (t *Target) Park() error {
	h := t.handle
	if h == nil || t.kind != File {
		return nil
	}
	t.handle, t.parked = nil, &handle{opener: h.opener, key: h.key}
	return h.release()
}

// Unpark opens a parked target again, on a descriptor of its own, and checks that it is still the same file. A
// planned file is made first, with nothing in it. A target that is open stays as it is.
func (t *Target) Unpark() error {
	h := t.parked
	if h == nil {
		return nil
	}
	if h.planned {
		if err := t.makePlanned(); err != nil {
			return err
		}
	} else if err := t.reopen(h, h.flags()); err != nil {
		return err
	}
	t.handle, t.parked = h, nil
	return nil
}

// flags says how the handle's descriptor is opened.
func (h *handle) flags() blk.Flags {
	return blk.Flags{
		Write: h.key.access == ReadWrite, Direct: h.key.direct, Sync: h.key.sync == SyncFull, DataSync: h.key.sync == SyncData,
	}
}

// reopen opens the file of a parked handle.
func (t *Target) reopen(h *handle, how blk.Flags) error {
	file, err := blk.Open(t.resolved, how)
	if err != nil {
		return openFault(t.path, Spec{Direct: h.key.direct}, err)
	}
	info, err := blk.Fstat(file)
	if err == nil && info.ID != h.key.id {
		err = changedFault(t.path)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	h.file, h.refs = file, 1
	return nil
}

// makePlanned makes the file of a planned target. When another worker of this run was faster, its file is
// the one; what else has come to the path meanwhile is nobody's to write to.
func (t *Target) makePlanned() error {
	h := t.parked
	o := h.opener
	o.mu.Lock()
	defer o.mu.Unlock()
	how := h.flags()
	how.Create, how.Exclusive = true, true
	file, err := blk.Open(t.resolved, how)
	if errors.Is(err, fs.ErrExist) {
		s, err := identify(t.resolved)
		if err != nil {
			return err
		}
		if !o.isMade(s) {
			return changedFault(t.path)
		}
		h.key.id, h.planned = s.info.ID, false
		return t.reopen(h, h.flags())
	}
	if err != nil {
		return openFault(t.path, Spec{Direct: h.key.direct}, err)
	}
	info, err := blk.Fstat(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	o.remember(subject{resolved: t.resolved, info: info})
	h.file, h.refs, h.key.id, h.planned = file, 1, info.ID, false
	return nil
}

// Replan removes a file that blkmeter made in this run, for Unpark to make it again, empty. Others are left
// as they are.
func (t *Target) Replan() error {
	if !t.created {
		return nil
	}
	if err := errors.Join(t.Park(), t.Remove()); err != nil {
		return err
	}
	if t.parked != nil {
		t.parked.planned = true
	}
	return nil
}

// opened calls f while the target is open, for which it opens a parked one. There is nothing to do for a
// planned file, or without a descriptor at all.
func (t *Target) opened(f func() error) error {
	switch {
	case t.handle != nil:
		return f()
	case t.parked == nil || t.parked.planned:
		return nil
	}
	if err := t.Unpark(); err != nil {
		return err
	}
	return errors.Join(f(), t.Park())
}

// plan makes the target of a file that does not exist, and that Unpark is to make.
func (o *Opener) plan(spec Spec, inv *device.Inventory) (*Target, error) {
	dir, err := o.placeFor(spec, inv)
	if err != nil {
		return nil, err
	}
	info, err := blk.Stat(dir)
	if err != nil {
		return nil, err
	}
	s := subject{path: spec.Path, resolved: filepath.Join(dir, filepath.Base(spec.Path)), kind: File, info: info}
	spec.Access = ReadWrite
	t := describe(s, spec, &handle{opener: o}, inv)
	t.handle, t.parked = nil, &handle{opener: o, key: keyOf(s, spec), planned: true}
	t.size, t.created = spec.SizeBytes, true
	t.logical = max(t.facts.LogicalBytes, minLogicalBytes)
	t.align = blk.DirectAlign{Memory: 1, Offset: 1}
	if t.direct { // the kernel tells of files that exist only
		t.align = blk.DirectAlign{Memory: t.logical, Offset: t.logical}
	}
	return &t, nil
}

func changedFault(path string) error {
	return fault.New(fault.ExitRefused, "REFUSED_CHANGED", "run again when nothing renames or replaces it",
		"refused to use %s: it became another file or device while it was opened", path)
}
