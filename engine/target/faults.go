package target

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/fault"
)

// openFault says what the kernel's answer to an open means.
func openFault(path string, spec Spec, err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fault.Wrap(err, fault.ExitRefused, "REFUSED_IN_USE",
			"something that /sys and /proc do not show here uses it: a mount in a namespace without processes, ZFS, or another program's exclusive open",
			"refused to write to %s: the kernel says it is in use [found by opening it with O_EXCL]", path)
	case errors.Is(err, syscall.ETXTBSY):
		return fault.Wrap(err, fault.ExitRefused, "REFUSED_IN_USE", "swapoff it first, or stop the program that runs from it",
			"refused to write to %s: the kernel says it is in use", path)
	case errors.Is(err, syscall.EROFS):
		return readOnlyFault(path, err)
	case errors.Is(err, fs.ErrPermission):
		return noPermission(path, err)
	case errors.Is(err, syscall.EINVAL) && spec.Direct:
		return fault.Wrap(err, fault.ExitUsage, "NO_DIRECT_IO", "--direct=0 goes through the page cache, which measures memory as well",
			"the file system of %s has no direct I/O", path)
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return fault.Wrap(err, fault.ExitUsage, "TARGET_NO_DEVICE", "blkmeter devices lists what the kernel has",
			"%s is a node without a device behind it", path)
	}
	return fault.Wrap(err, fault.ExitUsage, "TARGET_OPEN", "", "cannot open %s", path)
}

func readOnlyFault(path string, err error) error {
	return fault.Wrap(err, fault.ExitUsage, "TARGET_READ_ONLY", "blockdev --setrw, or a job that only reads",
		"%s is read-only", path)
}

func spaceFault(err error, path string, size int64) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return fault.Wrap(err, fault.ExitUsage, "NO_SPACE", "give a smaller --size, or a directory with more room",
			"there is no room for %s of %d bytes", path, size)
	}
	return fault.Wrap(err, fault.ExitIO, "LAYOUT", "", "cannot lay out %s", path)
}
