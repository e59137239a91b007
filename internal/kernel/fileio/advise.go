package fileio

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// Advice is what the page cache may expect of a file.
type Advice int

// The advice, as posix_fadvise(2) has it.
const (
	Normal     Advice = unix.FADV_NORMAL
	Random     Advice = unix.FADV_RANDOM
	Sequential Advice = unix.FADV_SEQUENTIAL
	NoReuse    Advice = unix.FADV_NOREUSE
	DontNeed   Advice = unix.FADV_DONTNEED // its clean pages may go
)

// Advise is posix_fadvise(2) for the whole file.
func Advise(fd int, a Advice) error {
	for {
		if err := unix.Fadvise(fd, 0, 0, int(a)); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// SyncFS is syncfs(2).
func SyncFS(fd int) error {
	for {
		if err := unix.Syncfs(fd); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// ErrnoNamed returns the error of a name such as EIO.
func ErrnoNamed(name string) (syscall.Errno, bool) {
	const last = 133 // EHWPOISON: the kernel's errors of userspace end there
	for e := syscall.Errno(1); e <= last; e++ {
		if unix.ErrnoName(e) == name {
			return e, true
		}
	}
	return 0, false
}
