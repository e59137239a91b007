package target

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// claim is an exclusive hold on a device: while it lasts the kernel lets nobody mount it, swap on it or
// build on it.
type claim struct {
	devT blk.DevT
	file *os.File
	refs int
}

// claimDevice takes the exclusive hold, or shares the one that this run has, and asks the guard again: from
// here on nobody can begin to use the device.
func (o *Opener) claimDevice(s subject, spec Spec) (*claim, error) {
	if c := o.claims[s.blockDevT]; c != nil {
		c.refs++
		return c, nil
	}
	file, err := blk.Open(s.blockPath, blk.Flags{Write: true, Exclusive: true})
	if err != nil {
		return nil, openFault(s.path, spec, err)
	}
	err = sameDevice(file, s)
	if err == nil {
		err = o.agreeAgain(s, spec)
	}
	if err == nil {
		err = refuseReadOnly(file, s)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	c := &claim{devT: s.blockDevT, file: file, refs: 1}
	if o.claims == nil {
		o.claims = map[blk.DevT]*claim{}
	}
	o.claims[c.devT] = c
	return c, nil
}

// agreeAgain asks the guard once more, now that the device is claimed, and looks for processes that write to
// it: nothing but their open descriptors shows them.
func (o *Opener) agreeAgain(s subject, spec Spec) error {
	inv := o.inventory()
	if err := o.guard(inv).consent(s, spec); err != nil {
		return err
	}
	n := inv.ByDevT(s.blockDevT)
	if n == nil {
		return nil
	}
	if writers := inv.Writers(n); len(writers) > 0 {
		return writerFault(s.path, "it", writers[0])
	}
	return o.refuseBusy(s, inv, inv.BeyondClaim(n))
}

// refuseBusy refuses to write to a subject when one of the devices that a write to it reaches, and that no claim
// of it holds, is claimed by somebody else, however hidden, or open for writing.
func (o *Opener) refuseBusy(s subject, inv *device.Inventory, beyond []*device.Node) error {
	for _, n := range beyond {
		if o.claimed(inv, n) {
			continue
		}
		path := filepath.Join("/dev", n.Name)
		file, err := blk.Open(path, blk.Flags{Exclusive: true})
		switch {
		case errors.Is(err, syscall.EBUSY):
			return fault.Wrap(err, fault.ExitRefused, "REFUSED_IN_USE", "find who uses "+path+" and end that; --destroy does not lift this",
				"refused to write to %s: %s stores the same data, and the kernel says that it is in use [found by opening it with O_EXCL]", s.path, path)
		case err == nil:
			if err := file.Close(); err != nil {
				return err
			}
		}
		if writers := inv.Writers(n); len(writers) > 0 {
			return writerFault(s.path, path+", which stores the same data,", writers[0])
		}
	}
	return nil
}

// claimed says whether this run has a claim by which the kernel would keep it from claiming n.
func (o *Opener) claimed(inv *device.Inventory, n *device.Node) bool {
	for devT := range o.claims {
		c := inv.ByDevT(devT)
		if c == n || c != nil && (c.Disk == n.Name || c.Name == n.Disk) {
			return true
		}
	}
	return false
}

func writerFault(path, what string, w device.Process) error {
	return fault.New(fault.ExitRefused, "REFUSED_IN_USE", "end that process first; --destroy does not lift this",
		"refused to write to %s: process %d (%s) has %s open for writing [found in %s]", path, w.PID, w.Command, what, w.Found)
}

// sameDevice checks that what was opened to be claimed is the block device that the guard was asked about.
func sameDevice(file *os.File, s subject) error {
	info, err := blk.Fstat(file)
	if err == nil && info.Rdev != s.blockDevT {
		err = changedFault(s.path)
	}
	return err
}

// refuseReadOnly finds out before the first I/O that the kernel will take no writes.
func refuseReadOnly(file *os.File, s subject) error {
	readOnly, err := blk.ReadOnly(int(file.Fd()))
	if err != nil || !readOnly {
		return err
	}
	return readOnlyFault(s.path, nil)
}

func (o *Opener) unclaim(c *claim) error {
	if c == nil {
		return nil
	}
	if c.refs--; c.refs > 0 {
		return nil
	}
	delete(o.claims, c.devT)
	return c.file.Close()
}
