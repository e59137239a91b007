package fileio

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Lifetime is how long data written to a file is expected to live (RWH_WRITE_LIFE_* of fcntl(2)).
type Lifetime uint64

// The lifetimes. NotSet is that of a file that nobody gave one.
const (
	NotSet Lifetime = iota
	None
	Short
	Medium
	Long
	Extreme
)

// SetLifetime tells the kernel what to expect of writes to an open file or device (F_SET_RW_HINT, Linux 4.13).
// It holds for all who write to it, until it is set again or the kernel forgets the file. Only the owner may
// (CAP_FOWNER).
func SetLifetime(fd int, l Lifetime) error {
	return lifetime(fd, unix.F_SET_RW_HINT, &l)
}

// LifetimeOf returns what the kernel was told (F_GET_RW_HINT).
func LifetimeOf(fd int) (l Lifetime, err error) {
	err = lifetime(fd, unix.F_GET_RW_HINT, &l)
	return l, err
}

func lifetime(fd, command int, l *Lifetime) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), uintptr(command), uintptr(unsafe.Pointer(l))); errno != 0 {
		return os.NewSyscallError("fcntl", errno)
	}
	return nil
}
