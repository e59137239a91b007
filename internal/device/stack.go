package device

import (
	"strings"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// FileSystem is the file system that holds a file.
type FileSystem struct {
	Type   string   // ext4, xfs, tmpfs ...; empty when no visible mount holds the file
	Point  string   // where it is mounted
	Source string   // what is mounted there
	DevT   blk.DevT // the block device under it; zero when there is none (tmpfs, NFS) or it cannot be told (overlay)
}

// FileSystemOf finds the file system of a file: path with its links resolved, dev the device that stat(2)
// reports for it. File systems over several devices are said to be on the one that they were mounted from.
func (inv *Inventory) FileSystemOf(path string, dev blk.DevT) FileSystem {
	var best *Mount
	for i := range inv.Mounts {
		m := &inv.Mounts[i]
		if m.Foreign || !within(path, m.Point) {
			continue
		}
		// Of mounts on one point the last covers the others; a longer point is closer to the file.
		if best == nil || len(m.Point) >= len(best.Point) {
			best = m
		}
	}
	if best == nil {
		return FileSystem{DevT: inv.known(dev)}
	}
	fs := FileSystem{Type: best.Type, Point: best.Point, Source: best.Source, DevT: inv.known(dev)}
	if nodes := inv.mountDevices(*best); fs.DevT.IsZero() && len(nodes) > 0 {
		fs.DevT = nodes[0].DevT
	}
	return fs
}

// known returns d if a block device has that number, else zero.
func (inv *Inventory) known(d blk.DevT) blk.DevT {
	if inv.byDevT[d] == nil {
		return blk.DevT{}
	}
	return d
}

func within(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// stackLimit bounds how deep a stack is followed: deeper than the kernel lets devices be stacked.
const stackLimit = 32

// Stack names what I/O to device n passes on its way down, n itself first, none when it is nil: devices by name,
// the files of loop devices by path followed by their file system's type. Of several devices on one level
// (RAID) all are named, joined by "+", and the way ends there unless they lie on one disk.
func (inv *Inventory) Stack(n *Node) []string {
	var stack []string
	for n != nil && len(stack) < stackLimit {
		stack = append(stack, n.label())
		var more []string
		n, more = inv.below(n)
		stack = append(stack, more...)
	}
	return stack
}

// label is a device's name, with its mapper name where it has one.
func (n *Node) label() string {
	if n.Mapper != "" {
		return n.Name + " (" + n.Mapper + ")"
	}
	return n.Name
}

// below takes one step down from n: to the next device, past whatever lies between.
func (inv *Inventory) below(n *Node) (next *Node, between []string) {
	switch {
	case n.Disk != "":
		return inv.byName[n.Disk], nil
	case n.Backing != "":
		return inv.belowLoop(n)
	case len(n.Slaves) == 1:
		return inv.byName[n.Slaves[0]], nil
	case len(n.Slaves) > 1:
		return inv.commonDisk(n.Slaves), []string{strings.Join(n.Slaves, "+")}
	}
	return nil, nil
}

func (inv *Inventory) belowLoop(n *Node) (next *Node, between []string) {
	if under := inv.byDevT[n.BackingDev]; under != nil {
		return under, nil
	}
	fs := inv.FileSystemOf(n.Backing, n.BackingID.Dev)
	between = []string{n.Backing}
	if fs.Type != "" {
		between = append(between, fs.Type)
	}
	return inv.byDevT[fs.DevT], between
}

// commonDisk returns the disk that all the partitions are part of, or nil.
func (inv *Inventory) commonDisk(names []string) *Node {
	disk := ""
	for _, name := range names {
		n := inv.byName[name]
		if n == nil || n.Disk == "" || disk != "" && n.Disk != disk {
			return nil
		}
		disk = n.Disk
	}
	return inv.byName[disk]
}
