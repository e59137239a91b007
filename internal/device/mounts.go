package device

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/moby/sys/mountinfo"
)

// Mount is one mount of one mount namespace.
type Mount struct {
	DevT       blk.DevT // as files on it report; major 0 where the file system is not on one device
	Point      string   // where, in its namespace
	Source     string   // what, as the mounting process called it
	Type       string   // of the file system
	Options    string   // of the file system as a whole
	Foreign    bool     // in another mount namespace than this process's
	From       string   // the file that listed it: how it was found
	sourceRoot string   // what Source is relative to: the root directory of a process that sees it
}

// readMounts reads the mount table of every mount namespace that a visible process lives in, once each and
// this process's first. Namespaces that no visible process lives in cannot be read; the kernel still
// refuses an exclusive open of what is mounted there.
func readMounts(root Root) []Mount {
	own := root.namespace("self")
	seen := map[string]bool{own: true}  // namespaces
	tables := map[string]bool{"": true} // texts, for namespaces whose names may not be read
	var mounts []Mount
	for _, pid := range append([]string{"self"}, root.list("proc")...) {
		ns := root.namespace(pid)
		if pid != "self" && (numberOf(pid) < 0 || ns != "" && seen[ns]) {
			continue
		}
		seen[ns] = true
		from := filepath.Join("/proc", pid, "mountinfo")
		table := root.readAll(from)
		if !tables[table] {
			mounts = append(mounts, mountsOf(table, from, pid, ns != own)...)
		}
		tables[table] = true
	}
	return mounts
}

// namespace returns the name of a process's mount namespace, "" when it may not be asked.
func (r Root) namespace(pid string) string {
	ns, err := os.Readlink(r.Path("proc", pid, "ns/mnt"))
	if err != nil {
		return ""
	}
	return ns
}

func mountsOf(table, from, pid string, foreign bool) []Mount {
	var mounts []Mount
	for _, i := range parseMounts(table) {
		mounts = append(mounts, Mount{
			DevT:  blk.DevT{Major: uint32(i.Major), Minor: uint32(i.Minor)},
			Point: i.Mountpoint, Source: i.Source, Type: i.FSType, Options: i.VFSOptions,
			Foreign: foreign, From: from, sourceRoot: filepath.Join("/proc", pid, "root"),
		})
	}
	return mounts
}

// parseMounts reads the text of a mountinfo file. A line that cannot be understood must not hide the others:
// they may be what keeps a device from being overwritten.
func parseMounts(text string) []*mountinfo.Info {
	if infos, err := mountinfo.GetMountsFromReader(strings.NewReader(text), noDevice); err == nil {
		return infos
	}
	var infos []*mountinfo.Info
	for line := range strings.Lines(text) {
		if one, err := mountinfo.GetMountsFromReader(strings.NewReader(line), noDevice); err == nil {
			infos = append(infos, one...)
		}
	}
	return infos
}

// noDevice tells a reader of mountinfo to leave out a line whose device number is negative, which the kernel
// never writes: taken for a DevT it would be the number of another device.
func noDevice(i *mountinfo.Info) (skip, stop bool) {
	return i.Major < 0 || i.Minor < 0, false
}

// mountDevices returns the block devices that a mounted file system is on. Most report the one they are on
// as their device number; file systems over several (btrfs, bcachefs) report a number of no device, and
// are found by their source and by what they publish in sysfs.
func (inv *Inventory) mountDevices(m Mount) []*Node {
	if n := inv.byDevT[m.DevT]; n != nil {
		return []*Node{n}
	}
	if m.DevT.Major != 0 || !strings.HasPrefix(m.Source, "/") {
		return nil
	}
	var nodes []*Node
	for source := range strings.SplitSeq(m.Source, ":") {
		if n := inv.bySource(m, source); n != nil {
			nodes = append(nodes, n)
		}
	}
	if m.Type == "btrfs" && len(nodes) == 1 {
		return inv.btrfsMembers(nodes[0])
	}
	return nodes
}

// bySource finds the device that a mount's source names, first as the mounting process saw it.
func (inv *Inventory) bySource(m Mount, source string) *Node {
	if inv.root.Real() {
		if info, err := blk.Stat(filepath.Join(m.sourceRoot, source)); err == nil && !info.Rdev.IsZero() {
			return inv.byDevT[info.Rdev]
		}
	}
	return inv.ByPath(source)
}

// btrfsMembers returns all devices of the mounted btrfs that one is part of.
func (inv *Inventory) btrfsMembers(one *Node) []*Node {
	for _, uuid := range inv.root.list("sys/fs/btrfs") {
		var members []*Node
		found := false
		for _, name := range inv.root.list("sys/fs/btrfs", uuid, "devices") {
			if n := inv.byName[name]; n != nil {
				members = append(members, n)
				found = found || n == one
			}
		}
		if found {
			return members
		}
	}
	return []*Node{one}
}
