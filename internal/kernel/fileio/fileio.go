// Package fileio is the synchronous calls that move data on an open descriptor.
//
// All of them may wait, so none is a raw system call (a thread that waits inside one cannot be stopped by
// the collector). Being interrupted by a signal is handled here.
package fileio

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pread is pread64(2). It returns the bytes read, or the negated errno.
func Pread(fd int, buf []byte, offset int64) int {
	return transfer(syscall.SYS_PREAD64, fd, buf, offset)
}

// Pwrite is pwrite64(2). It returns the bytes written, or the negated errno.
func Pwrite(fd int, buf []byte, offset int64) int {
	return transfer(syscall.SYS_PWRITE64, fd, buf, offset)
}

func transfer(call uintptr, fd int, buf []byte, offset int64) int {
	for {
		n, _, errno := syscall.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), uintptr(offset), 0, 0)
		switch errno {
		case 0:
			return int(n)
		case syscall.EINTR:
			continue
		}
		return -int(errno)
	}
}

// Flags of [PreadFlags] and [PwriteFlags], see preadv2(2).
const (
	HiPri     = unix.RWF_HIPRI
	NoWait    = unix.RWF_NOWAIT
	Atomic    = unix.RWF_ATOMIC    // Linux 6.11
	DontCache = unix.RWF_DONTCACHE // Linux 6.14
)

// PreadFlags is preadv2(2) with one buffer.
func PreadFlags(fd int, buf []byte, offset int64, flags int) int {
	return vectored(unix.SYS_PREADV2, fd, buf, offset, flags)
}

// PwriteFlags is pwritev2(2) with one buffer.
func PwriteFlags(fd int, buf []byte, offset int64, flags int) int {
	return vectored(unix.SYS_PWRITEV2, fd, buf, offset, flags)
}

func vectored(call uintptr, fd int, buf []byte, offset int64, flags int) int {
	vec := unix.Iovec{Base: unsafe.SliceData(buf)}
	vec.SetLen(len(buf))
	for {
		// The position is passed as two halves; on 64-bit systems the low one holds all of it.
		n, _, errno := syscall.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&vec)), 1, uintptr(offset), 0, uintptr(flags))
		switch errno {
		case 0:
			return int(n)
		case syscall.EINTR:
			continue
		}
		return -int(errno)
	}
}

// Fsync is fsync(2): data and metadata are on stable storage when it returns 0; else the negated errno.
func Fsync(fd int) int { return plain(syscall.SYS_FSYNC, fd) }

// Fdatasync is fdatasync(2).
func Fdatasync(fd int) int { return plain(syscall.SYS_FDATASYNC, fd) }

// Flags of [SyncRange], see sync_file_range(2).
const (
	WaitBefore = unix.SYNC_FILE_RANGE_WAIT_BEFORE
	WriteBack  = unix.SYNC_FILE_RANGE_WRITE
	WaitAfter  = unix.SYNC_FILE_RANGE_WAIT_AFTER
)

// SyncRange is sync_file_range(2): the file's dirty pages between offset and offset+length, 0 for all behind
// offset, are written back as the flags say. It returns 0 or the negated errno. Nothing is durable by it.
func SyncRange(fd int, offset, length int64, flags int) int {
	for {
		err := unix.SyncFileRange(fd, offset, length, flags)
		var errno syscall.Errno
		switch {
		case err == nil:
			return 0
		case !errors.As(err, &errno):
			return -int(syscall.EIO)
		case errno != syscall.EINTR:
			return -int(errno)
		}
	}
}

func plain(call uintptr, fd int) int {
	for {
		_, _, errno := syscall.Syscall(call, uintptr(fd), 0, 0)
		switch errno {
		case 0:
			return 0
		case syscall.EINTR:
			continue
		}
		return -int(errno)
	}
}
