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

// Uses returns everything that relies on what device n stores, none when it is nil: mounts, swap and holders of
// the device itself, of its partitions, and of whatever is built on them; of a partition, also the uses of
// its disk as a whole; of a stacked device, also mounts and swap directly on what it is built on. The most
// telling come first: mounts, then swap, then holders.
func (inv *Inventory) Uses(n *Node) []Use {
	if n == nil {
		return nil
	}
	w := walk{inv: inv, seen: map[*Node]bool{}}
	w.up(n)
	if disk := inv.byName[n.Disk]; disk != nil {
		w.onto(disk)
		w.down(disk)
	}
	w.down(n)
	slices.SortStableFunc(w.uses, func(a, b Use) int { return rank(a.Kind) - rank(b.Kind) })
	return w.uses
}

func rank(k UseKind) int { return slices.Index([]UseKind{UseMount, UseSwap, UseHolder, UseLoop}, k) }

// walk collects uses over the stack of devices, each visited once: sysfs of a live system can change
// between two readings and show a circle.
type walk struct {
	inv  *Inventory
	seen map[*Node]bool
	uses []Use
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
			Kind: UseHolder, Device: n.Name, By: holder, Detail: holderDetail(h),
			Found: n.holderFile(holder),
		})
		w.up(h)
	}
	for _, loop := range w.inv.loopsOn[n] {
		before := len(w.uses)
		w.up(loop)
		if len(w.uses) > before {
			w.uses = append(w.uses, loopUse(n.Name, loop))
		}
	}
}

// down visits what n is built on, for mounts and swap that bypass n.
func (w *walk) down(n *Node) {
	below := slices.Clone(n.Slaves)
	if under := w.inv.ByPath(n.Backing); n.Backing != "" && under != nil {
		below = append(below, under.Name)
		w.onto(under)
	}
	for _, name := range below {
		s := w.inv.byName[name]
		if s == nil || w.seen[s] {
			continue
		}
		w.seen[s] = true
		w.direct(s)
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

// FileUses returns what relies on the regular file with the given identity: a swap area on it, and loop
// devices over it that are used themselves. except is left out: the loop device that asks.
func (inv *Inventory) FileUses(name string, file blk.FileID, except blk.DevT) []Use {
	var uses []Use
	if s := inv.SwapOnFile(file); s != nil {
		uses = append(uses, Use{Kind: UseSwap, Device: name, By: s.Path, Found: "/proc/swaps"})
	}
	for _, loop := range inv.LoopsOnFile(file) {
		if loop.DevT == except {
			continue
		}
		if above := inv.Uses(loop); len(above) > 0 {
			uses = append(append(uses, above...), loopUse(name, loop))
		}
	}
	return uses
}

// BackingUses returns what else relies on the file under a loop device.
func (inv *Inventory) BackingUses(loop *Node) []Use {
	if loop.BackingID == (blk.FileID{}) {
		return nil
	}
	return inv.FileUses(loop.Backing, loop.BackingID, loop.DevT)
}
