package target

import (
	"errors"
	"os"

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
	writers := inv.Writers(n)
	if len(writers) == 0 {
		return nil
	}
	w := writers[0]
	return fault.New(fault.ExitRefused, "REFUSED_IN_USE", "end that process first; --destroy does not lift this",
		"refused to write to %s: process %d (%s) has it open for writing [found in %s]", s.path, w.PID, w.Command, w.Found)
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
