package target

import (
	"fmt"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// inventory takes a snapshot of the block devices and, where this user may, asks each loop device which
// file is under it: the path in sysfs is only what it was called when it was attached.
func (o *Opener) inventory() *device.Inventory {
	inv := device.ReadInventory(o.Root)
	if !o.Root.Real() {
		return inv
	}
	for _, n := range inv.Nodes {
		if n.Backing == "" {
			continue
		}
		if status, err := loopStatus("/dev/" + n.Name); err == nil && status.BackingRdev.IsZero() {
			n.BackingID = status.Backing
		}
	}
	return inv
}

func loopStatus(path string) (blk.LoopStatus, error) {
	file, err := blk.Open(path, blk.Flags{NonBlock: true})
	if err != nil {
		return blk.LoopStatus{}, err
	}
	defer file.Close()
	return blk.LoopInfo(int(file.Fd()))
}

// lookAt reads what a subject holds.
func lookAt(s subject) string {
	file, err := blk.Open(s.resolved, blk.Flags{})
	if err != nil {
		return fmt.Sprintf("what it holds could not be read (%v)", err)
	}
	defer file.Close()
	size := s.info.SizeBytes
	if s.kind == Block {
		if size, err = blk.SizeBytes(int(file.Fd())); err != nil {
			return fmt.Sprintf("its size could not be read (%v)", err)
		}
	}
	return contents(file, size)
}
