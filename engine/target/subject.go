package target

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// subject is what a path turned out to lead to, before anything is opened.
type subject struct {
	path     string // as given
	resolved string // links resolved, absolute
	kind     Kind
	info     blk.Info

	// Of a block device itself, and of a Generic the one of the same namespace.
	blockPath string
	blockDevT blk.DevT
}

// base is the name that the user must give to have the subject destroyed.
func (s subject) base() string { return filepath.Base(s.resolved) }

// identify finds out what path leads to. An error is the kernel's when nothing can be found there, or tells
// the user what else it is.
func identify(path string) (subject, error) {
	resolved, err := resolve(path)
	if err != nil {
		return subject{}, err
	}
	info, err := blk.Stat(resolved)
	if err != nil {
		return subject{}, err
	}
	s := subject{path: path, resolved: resolved, info: info}
	switch mode := info.Mode; {
	case mode.IsRegular():
		s.kind = File
	case mode.IsDir():
		return s, fault.Usage("TARGET_IS_DIRECTORY", "name a device, or a file in the directory", "%s is a directory", path)
	case mode&fs.ModeCharDevice != 0:
		s.kind = character
	case mode&fs.ModeDevice != 0:
		s.kind, s.blockPath, s.blockDevT = Block, resolved, info.Rdev
	default:
		return s, fault.Usage("TARGET_KIND", "name a block device or a regular file", "%s is %s", path, modeWord(mode))
	}
	return s, nil
}

// interfaces are the file systems whose files are switches of the kernel, the firmware or a container, not
// storage. Writing to one can stop the machine, or keep it from starting again.
var interfaces = []string{
	"proc", "sysfs", "debugfs", "tracefs", "securityfs", "configfs", "cgroup", "cgroup2", "efivarfs", "pstore", "bpf", "selinuxfs",
}

// notStored refuses files that are not storage.
func notStored(s subject, inv *device.Inventory) error {
	if s.kind != File {
		return nil
	}
	fs := inv.FileSystemOf(s.resolved, s.info.ID.Dev)
	if !slices.Contains(interfaces, fs.Type) {
		return nil
	}
	return fault.Usage("TARGET_KIND", "name a block device, or a file on a disk", "%s is not stored anywhere: it is an interface of the kernel (%s)", s.path, fs.Type)
}

func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

func modeWord(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "neither a block device nor a regular file"
}

// characterDevice says why a character device is no target, and what to take instead.
func characterDevice(s subject) error {
	hint := "name a block device or a regular file"
	switch name := s.base(); {
	case name == "null" || name == "zero":
		hint = "--ioengine=null measures blkmeter without any device"
	case strings.HasPrefix(name, "ng"):
		hint = "--ioengine=io_uring_cmd sends NVMe commands to it; other engines take the block device of the same namespace: /dev/nvme" + strings.TrimPrefix(name, "ng")
	case strings.HasPrefix(name, "nvme"):
		hint = "this is a controller; take one of its namespaces: /dev/" + name + "n1"
	case strings.HasPrefix(name, "raw"):
		hint = "take the block device with --direct=1 instead of a raw device"
	}
	return fault.Usage("TARGET_IS_CHARACTER", hint, "%s is a character device", s.path)
}

// missing says that nothing usable is at path, and what may have been meant, unless err says it already.
func missing(path string, err error, inv *device.Inventory) error {
	var told *fault.Error
	switch {
	case errors.As(err, &told):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		hint := "blkmeter devices lists the block devices"
		if near := nearest(path, inv); near != "" {
			hint = "did you mean " + near + "? " + hint
		} else if !strings.HasPrefix(path, "/dev/") {
			hint = "give --size to have a write job make a file; " + hint
		}
		return fault.Wrap(fs.ErrNotExist, fault.ExitUsage, "TARGET_MISSING", hint, "there is no %s", path)
	case errors.Is(err, fs.ErrPermission):
		return noPermission(path, err)
	}
	return fault.Wrap(err, fault.ExitUsage, "TARGET_UNREACHABLE", "", "cannot look at %s", path)
}

func noPermission(path string, err error) error {
	return fault.Wrap(err, fault.ExitEnvironment, "TARGET_PERMISSION",
		"run as root, or as a user who may open it (group disk for block devices)", "this user may not open %s", path)
}

// nearest returns the sibling of path whose name is most like it, if one is close: a block device for a
// path in /dev, a directory entry elsewhere.
func nearest(path string, inv *device.Inventory) string {
	dir, name := filepath.Split(path)
	var names []string
	if filepath.Clean(dir) == "/dev" {
		for _, n := range inv.Nodes {
			names = append(names, n.Name)
		}
	} else if entries, err := os.ReadDir(filepath.Clean(dir)); err == nil {
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	best, distance := "", 3
	for _, n := range names {
		if d := editDistance(name, n); d < distance && d < len(name) {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return filepath.Join(dir, best)
}

// editDistance counts the insertions, deletions and replacements that turn a into b (Levenshtein 1965).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
