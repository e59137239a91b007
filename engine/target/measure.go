package target

import (
	"fmt"
	"slices"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// describe says what was opened.
func describe(s subject, spec Spec, h *handle, inv *device.Inventory) Target {
	t := Target{
		path: s.path, resolved: s.resolved, kind: s.kind, direct: spec.Direct,
		writable: spec.Access == ReadWrite, handle: h,
	}
	switch s.kind {
	case Block:
		t.devT = s.blockDevT
		t.stack = inv.Stack(inv.ByDevT(t.devT))
	case Generic:
		t.devT, t.direct = s.blockDevT, true
		t.stack = append([]string{s.base()}, inv.Stack(inv.ByDevT(t.devT))...)
	default:
		t.fs = inv.FileSystemOf(s.resolved, s.info.ID.Dev)
		t.devT = t.fs.DevT
		t.stack = append(fileStack(s, t.fs), inv.Stack(inv.ByDevT(t.devT))...)
	}
	t.facts = h.opener.factsOf(t.devT, s.kind)
	if s.kind == Generic {
		t.facts.Notes = append(slices.Clone(t.facts.Notes), "NVMe commands go past the scheduler, merging, and the kernel's counters of I/O")
	}
	return t
}

func fileStack(s subject, fs device.FileSystem) []string {
	if fs.Type == "" {
		return []string{s.resolved}
	}
	return []string{s.resolved, fs.Type}
}

// measure reads size and alignment from the open descriptor.
func (t *Target) measure() error {
	var err error
	switch t.kind {
	case Block:
		err = t.measureDevice()
	case Generic:
		err = t.measureGeneric()
	default:
		err = t.measureFile()
	}
	if err != nil {
		return fmt.Errorf("measure %s: %w", t.path, err)
	}
	t.end = t.size
	return t.measureAlign()
}

func (t *Target) measureDevice() (err error) {
	if t.size, err = blk.SizeBytes(t.FD()); err != nil {
		return err
	}
	t.logical, err = blk.LogicalBlockBytes(t.FD())
	return err
}

func (t *Target) measureFile() error {
	info, err := blk.Fstat(t.handle.file)
	if err != nil {
		return err
	}
	t.size = info.SizeBytes
	t.logical = max(t.facts.LogicalBytes, minLogicalBytes)
	return nil
}

// minLogicalBytes is the smallest logical block that the kernel knows.
const minLogicalBytes = 512

// nvmeMemoryAlign is what addresses in NVMe commands must be multiples of: a dword.
const nvmeMemoryAlign = 4

// measureAlign finds what direct I/O demands: as the kernel says, or where it does not (before Linux 6.1,
// or a file system that keeps silent) the logical block, which always satisfies a device.
func (t *Target) measureAlign() error {
	if t.kind == Generic {
		t.align = blk.DirectAlign{Memory: nvmeMemoryAlign, Offset: t.logical}
		return nil
	}
	if !t.direct {
		t.align = blk.DirectAlign{Memory: 1, Offset: 1}
		return nil
	}
	align, ok := blk.StatDirectAlign(t.FD())
	switch {
	case !ok:
		t.align = blk.DirectAlign{Memory: t.logical, Offset: t.logical}
	case align.Offset == 0:
		return fault.Usage("NO_DIRECT_IO", "--direct=0 goes through the page cache, which measures memory as well",
			"the file system of %s has no direct I/O for this file", t.path)
	default:
		t.align = align
	}
	return nil
}
