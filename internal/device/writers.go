package device

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Process is a process that has a device open.
type Process struct {
	PID     int
	Command string
	Found   string // the file that told
}

// Writers returns the processes that have the block device n, one of its partitions, or the disk that it is
// part of, open for writing: a virtual machine whose disk it is, a database on a raw device. The kernel's
// claims do not show them. This process and those it descends from are left out, and so are processes
// that this user may not look into.
func (inv *Inventory) Writers(n *Node) []Process {
	root := inv.root
	devices := map[blk.DevT]bool{n.DevT: true}
	for _, name := range append([]string{n.Disk}, n.Partitions...) {
		if other := inv.byName[name]; other != nil {
			devices[other.DevT] = true
		}
	}
	own := ancestors(root, os.Getpid())
	var writers []Process
	for _, name := range root.list("proc") {
		pid := numberOf(name)
		if pid < 0 || own[pid] {
			continue
		}
		if found := writes(root, name, devices); found != "" {
			writers = append(writers, Process{PID: pid, Command: root.read("proc", name, "comm"), Found: found})
		}
	}
	return writers
}

// writes returns the descriptor by which a process may write to one of devices, or "".
func writes(root Root, pid string, devices map[blk.DevT]bool) string {
	for _, fd := range root.list("proc", pid, "fd") {
		link := filepath.Join("/proc", pid, "fd", fd)
		info, err := blk.Stat(root.Path(link))
		if err != nil || info.Mode&(os.ModeDevice|os.ModeCharDevice) != os.ModeDevice || !devices[info.Rdev] {
			continue
		}
		if mayWrite(root.read("proc", pid, "fdinfo", fd)) {
			return link
		}
	}
	return ""
}

// mayWrite reads the access mode from a descriptor's fdinfo: "flags: 0100002", in octal (proc(5)).
func mayWrite(fdinfo string) bool {
	for line := range strings.Lines(fdinfo) {
		if value, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(value), 8, 64)
			return err == nil && flags&3 != 0
		}
	}
	return false
}

// ancestors returns pid and the processes it descends from.
func ancestors(root Root, pid int) map[int]bool {
	line := map[int]bool{}
	for pid > 0 && !line[pid] {
		line[pid] = true
		pid = parent(root.read("proc", strconv.Itoa(pid), "status"))
	}
	return line
}

// parent reads the parent's number from a process's status.
func parent(status string) int {
	for l := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(l, "PPid:"); ok {
			return numberOf(strings.TrimSpace(value))
		}
	}
	return -1
}
