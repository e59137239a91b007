package blk

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// FileID names a file or node for as long as it exists, whatever paths lead to it.
type FileID struct {
	Dev DevT   // the device that its file system reports
	Ino uint64 // its number there
}

// Info is what stat(2) knows about a path or descriptor.
type Info struct {
	ID        FileID
	Mode      os.FileMode // type and permission bits
	Rdev      DevT        // the device that a node stands for; zero for anything else
	SizeBytes int64       // of a regular file; 0 for a device
	Blocks512 int64       // 512-byte blocks allocated
}

// Stat looks at path, following symbolic links.
func Stat(path string) (Info, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return Info{}, err
	}
	return infoOf(fi), nil
}

// Fstat looks at an open file.
func Fstat(f *os.File) (Info, error) {
	fi, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	return infoOf(fi), nil
}

func infoOf(fi os.FileInfo) Info {
	st := fi.Sys().(*syscall.Stat_t)
	info := Info{
		ID:   FileID{Dev: MakeDevT(uint64(st.Dev)), Ino: st.Ino},
		Mode: fi.Mode(), SizeBytes: fi.Size(), Blocks512: st.Blocks,
	}
	if fi.Mode()&os.ModeDevice != 0 {
		info.Rdev = MakeDevT(uint64(st.Rdev))
		info.SizeBytes = 0
	}
	return info
}

// DirectAlign is what direct I/O on a file demands, in bytes.
type DirectAlign struct {
	Memory int // of a buffer's address
	Offset int // of offsets and lengths
}

// StatDirectAlign asks the kernel what direct I/O on the open file demands (statx STATX_DIOALIGN, Linux
// 6.1). ok is false when the kernel, or this file's file system, does not say; an Offset of 0 with ok means
// that it cannot do direct I/O on this file.
func StatDirectAlign(fd int) (align DirectAlign, ok bool) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	if err != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return DirectAlign{}, false
	}
	return DirectAlign{Memory: int(st.Dio_mem_align), Offset: int(st.Dio_offset_align)}, true
}

// AtomicWrite is the sizes in bytes, powers of two, of which writes to a file happen whole or not at all; both
// are 0 where none do.
type AtomicWrite struct {
	Min, Max int64
}

// StatAtomicWrite asks the kernel for them (statx STATX_WRITE_ATOMIC, Linux 6.11).
func StatAtomicWrite(fd int) (AtomicWrite, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_WRITE_ATOMIC, &st); err != nil {
		return AtomicWrite{}, fmt.Errorf("statx STATX_WRITE_ATOMIC: %w", err)
	}
	if st.Mask&unix.STATX_WRITE_ATOMIC == 0 {
		return AtomicWrite{}, nil
	}
	return AtomicWrite{Min: int64(st.Atomic_write_unit_min), Max: int64(st.Atomic_write_unit_max)}, nil
}

// FileSystem is what statfs(2) knows about the file system that holds a path.
type FileSystem struct {
	Magic      int64
	FreeBytes  int64 // that this user may still allocate
	TotalBytes int64
	BlockBytes int64
}

// Magic numbers of file systems without a device, from linux/magic.h.
const (
	MagicTmpfs = unix.TMPFS_MAGIC
	MagicRamfs = unix.RAMFS_MAGIC
)

// Statfs looks at the file system that holds path.
func Statfs(path string) (FileSystem, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return FileSystem{}, fmt.Errorf("statfs %s: %w", path, err)
		}
		return FileSystem{Magic: int64(st.Type), FreeBytes: int64(st.Bavail) * st.Bsize, TotalBytes: int64(st.Blocks) * st.Bsize, BlockBytes: st.Bsize}, nil
	}
}
