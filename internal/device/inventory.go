package device

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Node is one block device in the stack of block devices: a disk, a partition, or something built on them.
type Node struct {
	Name       string // the kernel's name: the last element of its directory in /sys/class/block
	DevT       blk.DevT
	Disk       string     // of a partition: the device that it is part of; else empty
	Number     int        // of a partition: its number
	Partitions []string   // of a disk
	Holders    []string   // what is built on it: md, dm, bcache
	Slaves     []string   // what it is built on
	Mapper     string     // of a dm device: its name under /dev/mapper
	MapperUUID string     // of a dm device: says who made it: LVM-, CRYPT-, mpath-, part1-
	Backing    string     // of a loop device: the path of its file when it was attached
	BackingID  blk.FileID // of a loop device over a file: the file that Backing leads to now; zero when none
	BackingDev blk.DevT   // of a loop device over a block device: the device that Backing leads to now
	Hidden     bool       // a path of a multipath device: not to be opened
	dir        string     // its directory in /sys/devices
}

// Inventory is a snapshot of all block devices, mounts and swap areas: who is on top of whom.
type Inventory struct {
	root   Root
	Nodes  []*Node // in order of name
	Mounts []Mount // of every mount namespace that can be seen
	Swaps  []Swap
	byName map[string]*Node
	byDevT map[blk.DevT]*Node

	mountsOn map[*Node][]Mount
	swapsOn  map[*Node][]Swap
}

// ReadInventory takes the snapshot.
func ReadInventory(root Root) *Inventory {
	inv := &Inventory{root: root, byName: map[string]*Node{}, byDevT: map[blk.DevT]*Node{}}
	for _, name := range root.list("sys/class/block") {
		n := readNode(root, name)
		inv.Nodes = append(inv.Nodes, n)
		inv.byName[name] = n
		if !n.DevT.IsZero() {
			inv.byDevT[n.DevT] = n
		}
	}
	for _, n := range inv.Nodes {
		if disk := inv.byName[n.Disk]; disk != nil {
			disk.Partitions = append(disk.Partitions, n.Name)
		}
		for _, below := range n.Slaves {
			// The kernel lists holders itself, except of the paths of a multipath device.
			if path := inv.byName[below]; path != nil && path.Hidden {
				path.Holders = append(path.Holders, n.Name)
			}
		}
	}
	inv.Mounts = readMounts(root)
	inv.Swaps = readSwaps(root)
	inv.index()
	return inv
}

// index notes which device each mount, swap area and loop device is on.
func (inv *Inventory) index() {
	inv.mountsOn, inv.swapsOn = map[*Node][]Mount{}, map[*Node][]Swap{}
	for _, m := range inv.Mounts {
		for _, n := range inv.mountDevices(m) {
			inv.mountsOn[n] = append(inv.mountsOn[n], m)
		}
	}
	for _, s := range inv.Swaps {
		if n := inv.ByPath(s.Path); !s.File && n != nil {
			inv.swapsOn[n] = append(inv.swapsOn[n], s)
		}
	}
	for _, loop := range inv.Nodes {
		if n := inv.ByPath(loop.Backing); loop.Backing != "" && n != nil {
			loop.BackingDev = n.DevT
		}
	}
}

func readNode(root Root, name string) *Node {
	n := &Node{Name: name, dir: realDir(root, "sys/class/block", name)}
	n.DevT = root.devT(n.dir, "dev")
	n.Holders = root.list(n.dir, "holders")
	switch {
	case root.has(n.dir, "partition"):
		n.Number = int(root.readInt(0, n.dir, "partition"))
		n.Disk = filepath.Base(filepath.Dir(n.dir)) // a partition's directory lies in its disk's
	case strings.HasPrefix(name, "dm-"):
		n.Mapper, n.MapperUUID = root.read(n.dir, "dm/name"), root.read(n.dir, "dm/uuid")
		n.Slaves = root.list(n.dir, "slaves")
	case strings.HasPrefix(name, "nvme"):
		n.Hidden = root.read(n.dir, "hidden") == "1"
		n.Slaves = multipathPaths(root, n.dir)
	case strings.HasPrefix(name, "loop"):
		n.readBacking(root)
	default:
		n.Slaves = root.list(n.dir, "slaves")
	}
	return n
}

// realDir follows the one symbolic link by which sysfs lists a device, so that each attribute of it is then
// reached without following it again.
func realDir(root Root, dir, name string) string {
	path := filepath.Join(dir, name)
	to, err := os.Readlink(root.Path(path))
	if err != nil {
		return path
	}
	return filepath.Join(dir, to)
}

func (n *Node) readBacking(root Root) {
	n.Backing = root.read(n.dir, "loop/backing_file")
	if n.Backing == "" {
		return
	}
	info, err := Patiently(func() (blk.Info, error) { return blk.Stat(root.Path(n.Backing)) })
	if err == nil && info.Rdev.IsZero() {
		n.BackingID = info.ID
	}
}

// patience is how long to wait for what the kernel has to ask a file system for.
const patience = time.Second

// Patiently asks for something about a file that need not have to do with this run, such as that of any loop
// device of the machine: its file system may not answer any more. After a second that is an error.
func Patiently[T any](ask func() (T, error)) (T, error) {
	var answer T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer, err = ask()
	}()
	select {
	case <-done:
		return answer, err
	case <-time.After(patience):
		var none T
		return none, os.ErrDeadlineExceeded
	}
}

// ByDevT returns the device with a number, or nil.
func (inv *Inventory) ByDevT(d blk.DevT) *Node { return inv.byDevT[d] }

// ByName returns the device with the kernel's name, or nil.
func (inv *Inventory) ByName(name string) *Node { return inv.byName[name] }

// ByPath returns the block device that a path leads to, or nil: by the number of the node there, else by
// the names that the kernel and the device mapper give.
func (inv *Inventory) ByPath(path string) *Node {
	if info, err := blk.Stat(inv.root.Path(path)); err == nil && !info.Rdev.IsZero() {
		return inv.byDevT[info.Rdev]
	}
	if mapper, ok := strings.CutPrefix(path, "/dev/mapper/"); ok {
		for _, n := range inv.Nodes {
			if n.Mapper == mapper {
				return n
			}
		}
		return nil
	}
	// The kernel writes a slash in a device's name (cciss/c0d0) as an exclamation mark in sysfs.
	if name, ok := strings.CutPrefix(path, "/dev/"); ok {
		return inv.byName[strings.ReplaceAll(name, "/", "!")]
	}
	return nil
}

// LoopsOnFile returns the loop devices whose file has the given identity.
func (inv *Inventory) LoopsOnFile(file blk.FileID) []*Node {
	var loops []*Node
	for _, n := range inv.Nodes {
		if n.Backing != "" && n.BackingID == file {
			loops = append(loops, n)
		}
	}
	return loops
}

// LoopsOn returns the loop devices whose backing is the block device with number d.
func (inv *Inventory) LoopsOn(d blk.DevT) []*Node {
	var loops []*Node
	for _, n := range inv.Nodes {
		if !d.IsZero() && n.BackingDev == d {
			loops = append(loops, n)
		}
	}
	return loops
}
