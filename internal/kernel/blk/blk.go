// Package blk holds the system calls and kernel layouts that have to do with block devices and the files
// under them: geometry, direct I/O alignment, discard, extents, loop devices, partitions and the read-only
// NVMe admin commands. It decides nothing.
//
// Every function that takes a descriptor works on the caller's open one and says in its comment which
// access it needs. Errors are the kernel's, wrapped with the name of the call.
package blk

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DevT is a device number. The kernel's names for devices can change, be linked to and be imitated; two
// nodes with one DevT are one device.
type DevT struct {
	Major, Minor uint32
}

// String returns "major:minor", as sysfs writes it.
func (d DevT) String() string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }

// IsZero says whether d is 0:0, which no block device has.
func (d DevT) IsZero() bool { return d == DevT{} }

// MakeDevT splits the device number that stat(2) returns.
func MakeDevT(dev uint64) DevT { return DevT{unix.Major(dev), unix.Minor(dev)} }

// ParseDevT reads "major:minor".
func ParseDevT(s string) (DevT, error) {
	major, minor, ok := strings.Cut(strings.TrimSpace(s), ":")
	a, errA := strconv.ParseUint(major, 10, 32)
	b, errB := strconv.ParseUint(minor, 10, 32)
	if !ok || errA != nil || errB != nil {
		return DevT{}, fmt.Errorf("device number %q is not major:minor", s)
	}
	return DevT{uint32(a), uint32(b)}, nil
}

// SizeBytes returns a block device's size (BLKGETSIZE64).
func SizeBytes(fd int) (int64, error) {
	var n uint64
	if err := ioctl("BLKGETSIZE64", fd, unix.BLKGETSIZE64, unsafe.Pointer(&n)); err != nil {
		return 0, err
	}
	return int64(n), nil
}

// LogicalBlockBytes returns a block device's logical block size: the unit of its addresses (BLKSSZGET).
func LogicalBlockBytes(fd int) (int, error) { return ioctlInt("BLKSSZGET", fd, unix.BLKSSZGET) }

// ReadOnly says whether the kernel refuses writes to a block device (BLKROGET).
func ReadOnly(fd int) (bool, error) {
	n, err := ioctlInt("BLKROGET", fd, unix.BLKROGET)
	return n != 0, err
}

// Discard tells a block device that length bytes at offset are no longer needed (BLKDISCARD). Both must be
// multiples of the logical block size; the descriptor must be open for writing.
func Discard(fd int, offset, length int64) error {
	return ioctlRange("BLKDISCARD", fd, unix.BLKDISCARD, offset, length)
}

// ZeroOut makes length bytes at offset of a block device read as zeros (BLKZEROOUT). Both must be multiples
// of the logical block size; the descriptor must be open for writing.
func ZeroOut(fd int, offset, length int64) error {
	return ioctlRange("BLKZEROOUT", fd, unix.BLKZEROOUT, offset, length)
}

func ioctlRange(name string, fd int, request uintptr, offset, length int64) error {
	span := [2]uint64{uint64(offset), uint64(length)}
	return ioctl(name, fd, request, unsafe.Pointer(&span))
}

func ioctlInt(name string, fd int, request uintptr) (int, error) {
	var n int32
	err := ioctl(name, fd, request, unsafe.Pointer(&n))
	return int(n), err
}

// ioctl retries when a signal interrupts it.
func ioctl(name string, fd int, request uintptr, arg unsafe.Pointer) error {
	_, err := ioctlValue(name, fd, request, uintptr(0), arg)
	return err
}

// ioctlValue passes value, or arg when it is not nil, and returns what the call returned.
func ioctlValue(name string, fd int, request, value uintptr, arg unsafe.Pointer) (int, error) {
	for {
		var ret uintptr
		var errno syscall.Errno
		if arg != nil {
			ret, _, errno = syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		} else {
			ret, _, errno = syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, value)
		}
		switch {
		case errno == 0:
			return int(ret), nil
		case !errors.Is(errno, syscall.EINTR):
			return 0, fmt.Errorf("%s: %w", name, errno)
		}
	}
}
