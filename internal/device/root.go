// Package device reads facts about block devices, CPUs and the host from /sys and /proc: what a device is,
// which CPU feeds which of its queues, what is stacked on it and under it, and who uses it. It reports and
// never decides; it opens no device node, so that looking wakes and changes nothing ([ReadHealth] alone asks an
// NVMe controller, when a user does).
//
// Every reader takes a [Root], so that tests read archived trees of machines that are not there.
package device

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Root is the directory that holds proc, sys and dev; "" is this machine's.
type Root string

// Real says whether r is this machine.
func (r Root) Real() bool { return r == "" || r == "/" }

// Path returns where the absolute path made of elem is found under r.
func (r Root) Path(elem ...string) string {
	return filepath.Join(append([]string{"/", string(r)}, elem...)...)
}

// attributeBytes is the most that a sysfs attribute can hold: a page (Documentation/filesystems/sysfs.rst).
const attributeBytes = 4096

// read returns the text of a sysfs attribute, or of a short file of /proc, without the white space around
// it. It is "" when it cannot be read: an attribute that this kernel or driver does not have is not an
// error. One read gets it whole; os.ReadFile would take two, and a list of devices reads thousands.
func (r Root) read(elem ...string) string {
	fd, err := syscall.Open(r.Path(elem...), syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	var buf [attributeBytes]byte
	n, _ := syscall.Read(fd, buf[:])
	syscall.Close(fd)
	return strings.Trim(string(buf[:max(n, 0)]), " \t\n\x00")
}

// readAll returns the text of a file of any length, or "".
func (r Root) readAll(elem ...string) string {
	b, err := os.ReadFile(r.Path(elem...))
	if err != nil {
		return ""
	}
	return string(b)
}

// readInt returns a file's number, or missing.
func (r Root) readInt(missing int64, elem ...string) int64 {
	n, err := strconv.ParseInt(r.read(elem...), 10, 64)
	if err != nil {
		return missing
	}
	return n
}

// list returns a directory's entries in order of name, numbers by value; none when it cannot be read. Like
// read it makes no more system calls than it must.
func (r Root) list(elem ...string) []string {
	fd, err := syscall.Open(r.Path(elem...), syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	var names []string
	var buf [8192]byte
	for {
		n, err := syscall.ReadDirent(fd, buf[:])
		if err != nil || n <= 0 {
			break
		}
		_, _, names = syscall.ParseDirent(buf[:n], -1, names)
	}
	slices.SortFunc(names, CompareNames)
	return names
}

// linkBase returns the last element of what a symbolic link points to, or "".
func (r Root) linkBase(elem ...string) string {
	to, err := os.Readlink(r.Path(elem...))
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}

// has says whether a path exists.
func (r Root) has(elem ...string) bool {
	_, err := os.Lstat(r.Path(elem...))
	return err == nil
}

// devT reads a device number from an attribute.
func (r Root) devT(elem ...string) blk.DevT {
	d, _ := blk.ParseDevT(r.read(elem...))
	return d
}

// CompareNames orders device names as people count: nvme2n1 before nvme10n1.
func CompareNames(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

// digits returns how many digits s starts with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// numberOf returns the number that s spells, or -1.
func numberOf(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
