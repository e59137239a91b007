package device

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Use is one reason why a device must not be written to: somebody relies on what it stores right now.
type Use struct {
	Kind   UseKind
	Device string // the kernel's name of the device that is used: the one asked about, or one of its stack
	By     string // the mount point, or the name of the holder
	Detail string // file system type of a mount, maker of a holder; may be empty
	Found  string // the file that told
}

// UseKind says in which way a device is used.
type UseKind string

// The ways in which a device is used.
const (
	UseMount  UseKind = "mounted"
	UseSwap   UseKind = "swap"
	UseHolder UseKind = "held"
	UseLoop   UseKind = "loop"
)

// String returns the use as the end of a sentence that starts with the device's name.
func (u Use) String() string {
	detail := ""
	if u.Detail != "" {
		detail = " (" + u.Detail + ")"
	}
	switch u.Kind {
	case UseMount:
		return fmt.Sprintf("%s is mounted on %s%s", u.Device, u.By, detail)
	case UseSwap:
		return fmt.Sprintf("%s is an active swap area", u.Device)
	case UseLoop:
		return fmt.Sprintf("%s is under loop device %s", u.Device, u.By)
	default:
		return fmt.Sprintf("%s is held by %s%s", u.Device, u.By, detail)
	}
}

// Uses returns everything that relies on what device n stores, none when it is nil: mounts, swap and holders
// of the device itself, of its partitions, and of whatever is built on them; of a partition, also the uses
// of its disk as a whole; of a stacked device, also mounts and swap directly on what it is built on; of a
// loop device, also what else relies on what is under it. The most telling come first: mounts, then swap,
// then holders.
func (inv *Inventory) Uses(n *Node) []Use {
	if n == nil {
		return nil
	}
	w := walk{inv: inv, seen: map[*Node]bool{}}
	w.all(n)
	return w.sorted()
}

// FileUses returns what relies on the regular file with the given identity: a swap area on it, and loop
// devices over it that are used themselves.
func (inv *Inventory) FileUses(name string, file blk.FileID) []Use {
	w := walk{inv: inv, seen: map[*Node]bool{}}
	w.file(name, file)
	return w.sorted()
}

// BeyondClaim returns the devices that a write to device n reaches, and that an exclusive claim of n does not
// hold: loop devices over n or over the file under it, and what a loop device is on. The kernel claims nothing
// for a loop device.
func (inv *Inventory) BeyondClaim(n *Node) []*Node {
	if n == nil {
		return nil
	}
	w := walk{inv: inv, seen: map[*Node]bool{}}
	w.all(n)
	return w.beyond
}

// BeyondFile returns the devices that a write to the regular file with the given identity reaches: loop
// devices over it, and over those.
func (inv *Inventory) BeyondFile(file blk.FileID) []*Node {
	w := walk{inv: inv, seen: map[*Node]bool{}}
	w.file("", file)
	return w.beyond
}

// walk collects uses over the stack of devices, each visited once: several ways may lead to one, and sysfs
// of a live system can change between two readings and show a circle.
type walk struct {
	inv  *Inventory
	seen map[*Node]bool
	uses []Use

	// Devices that a write reaches through a loop device: an exclusive claim of what is written does not hold them.
	beyond []*Node
}

func (w *walk) sorted() []Use {
	slices.SortStableFunc(w.uses, func(a, b Use) int { return rank(a.Kind) - rank(b.Kind) })
	return w.uses
}

func rank(k UseKind) int { return slices.Index([]UseKind{UseMount, UseSwap, UseHolder, UseLoop}, k) }

// all visits everything that a write to n could hit.
func (w *walk) all(n *Node) {
	w.up(n)
	if disk := w.inv.byName[n.Disk]; disk != nil {
		w.onto(disk)
		w.down(disk)
	}
	w.down(n)
}

// up visits n, its partitions, and everything built on them.
func (w *walk) up(n *Node) {
	if n == nil || w.seen[n] {
		return
	}
	w.onto(n)
	for _, p := range n.Partitions {
		w.up(w.inv.byName[p])
	}
}

// onto visits n and everything built on it, but not its partitions.
func (w *walk) onto(n *Node) {
	if w.seen[n] {
		return
	}
	w.seen[n] = true
	w.direct(n)
	for _, holder := range n.Holders {
		h := w.inv.byName[holder]
		w.uses = append(w.uses, Use{
			Kind: UseHolder, Device: n.Name, By: holder, Detail: holderDetail(h), Found: n.holderFile(holder),
		})
		w.up(h)
	}
	for _, loop := range w.inv.LoopsOn(n.DevT) {
		w.loop(n.Name, loop)
	}
}

// file visits a file's users: a swap area, and the loop devices over it.
func (w *walk) file(name string, file blk.FileID) {
	if s := w.inv.SwapOnFile(file); s != nil {
		w.uses = append(w.uses, Use{Kind: UseSwap, Device: name, By: s.Path, Found: "/proc/swaps"})
	}
	for _, loop := range w.inv.LoopsOnFile(file) {
		w.loop(name, loop)
	}
}

// loop visits a loop device over something, which uses that only if it is used itself.
func (w *walk) loop(under string, loop *Node) {
	before := len(w.uses)
	if !w.seen[loop] {
		w.beyond = append(w.beyond, loop)
	}
	w.up(loop)
	if len(w.uses) > before {
		w.uses = append(w.uses, loopUse(under, loop))
	}
}

// down visits what n is built on, for uses that bypass n.
func (w *walk) down(n *Node) {
	if n.BackingID != (blk.FileID{}) {
		w.file(n.Backing, n.BackingID)
	} else if under := w.inv.byDevT[n.BackingDev]; under != nil && !w.seen[under] {
		w.beyond = append(w.beyond, under)
		w.all(under)
	}
	for _, name := range n.Slaves {
		s := w.inv.byName[name]
		if s == nil || w.seen[s] {
			continue
		}
		w.seen[s] = true
		w.direct(s)
		if disk := w.inv.byName[s.Disk]; disk != nil && !w.seen[disk] {
			w.direct(disk)
		}
		w.down(s)
	}
}

// direct adds the mounts and swap areas on n itself.
func (w *walk) direct(n *Node) {
	points := map[string]bool{}
	for _, m := range w.inv.mountsOn[n] {
		// Other namespaces mostly repeat this one's mounts; telling each once is enough.
		if !points[m.Point] {
			w.uses = append(w.uses, mountUse(n, m))
		}
		points[m.Point] = true
	}
	for _, s := range w.inv.swapsOn[n] {
		w.uses = append(w.uses, Use{Kind: UseSwap, Device: n.Name, By: s.Path, Found: "/proc/swaps"})
	}
}

func mountUse(n *Node, m Mount) Use {
	detail := m.Type
	if m.Foreign {
		detail += ", in another mount namespace"
	}
	return Use{Kind: UseMount, Device: n.Name, By: m.Point, Detail: detail, Found: m.From}
}

func loopUse(under string, loop *Node) Use {
	return Use{
		Kind: UseLoop, Device: under, By: loop.Name,
		Found: filepath.Join("/sys/class/block", loop.Name, "loop/backing_file"),
	}
}

// holderFile is the file that tells that holder is built on n.
func (n *Node) holderFile(holder string) string {
	if n.Hidden {
		return filepath.Join("/sys/class/block", n.Name, "hidden")
	}
	return filepath.Join("/sys/class/block", n.Name, "holders", holder)
}

func holderDetail(h *Node) string {
	if h == nil {
		return ""
	}
	return h.Mapper
}
