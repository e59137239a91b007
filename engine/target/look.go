package target

import (
	"fmt"
	"time"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// filesSnapshotAge is how old a snapshot may be that files are looked up in. Between a look and an opening
// something may change in any case; thousands of files must not need thousands of snapshots.
const filesSnapshotAge = time.Second

// snapshot is an inventory with what was found out about devices that hold files.
type snapshot struct {
	inv   *device.Inventory
	facts map[blk.DevT]device.Facts
	taken time.Time
}

// inventoryOfFiles returns a snapshot that is recent enough to look files up in.
func (o *Opener) inventoryOfFiles() *device.Inventory {
	if o.recent.inv == nil || time.Since(o.recent.taken) > filesSnapshotAge {
		o.recent = snapshot{inv: o.inventory(), facts: map[blk.DevT]device.Facts{}, taken: time.Now()}
	}
	return o.recent.inv
}

// factsOf describes the device that gets the I/O.
func (o *Opener) factsOf(d blk.DevT, kind Kind) device.Facts {
	none := device.Facts{NUMANode: -1}
	if d.IsZero() {
		return none
	}
	if facts, ok := o.recent.facts[d]; ok && kind == File {
		return facts
	}
	facts, err := device.Describe(o.Root, d)
	if err != nil {
		return none
	}
	if kind == File && o.recent.facts != nil {
		o.recent.facts[d] = facts
	}
	return facts
}

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
		status, err := device.Patiently(func() (blk.LoopStatus, error) { return loopStatus("/dev/" + n.Name) })
		if err != nil {
			continue
		}
		if n.BackingID, n.BackingDev = status.Backing, status.BackingRdev; !n.BackingDev.IsZero() {
			n.BackingID = blk.FileID{} // of a device it is the node's, and one of many
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
	path := s.resolved
	if s.kind == Generic {
		path = s.blockPath
	}
	file, err := blk.Open(path, blk.Flags{})
	if err != nil {
		return fmt.Sprintf("what it holds could not be read (%v)", err)
	}
	defer file.Close()
	size := s.info.SizeBytes
	if s.kind != File {
		if size, err = blk.SizeBytes(int(file.Fd())); err != nil {
			return fmt.Sprintf("its size could not be read (%v)", err)
		}
	}
	return contents(file, size)
}
