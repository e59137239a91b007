package blk

import (
	"errors"
	"fmt"
	"os"
	"structs"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PunchHole deallocates length bytes at offset of a file open for writing; they read as zeros after. The
// file keeps its size.
func PunchHole(fd int, offset, length int64) error {
	return fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
}

// Allocate reserves length bytes at offset of a file open for writing and grows it when they end past its
// end. The blocks are unwritten: the file system knows that they read as zeros, without reading them.
func Allocate(fd int, offset, length int64) error { return fallocate(fd, 0, offset, length) }

func fallocate(fd int, mode uint32, offset, length int64) error {
	for {
		err := unix.Fallocate(fd, mode, offset, length)
		if err == nil || !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fallocate", err)
		}
	}
}

// Extent is a run of a file that the file system allocated.
type Extent struct {
	Offset    int64 // in the file, bytes
	Length    int64
	Unwritten bool // allocated and never written: reads as zeros without touching the device
}

// fiemapHeader is struct fiemap of linux/fiemap.h without its extents.
type fiemapHeader struct {
	_             structs.HostLayout
	start, length uint64
	flags         uint32
	mappedExtents uint32
	extentCount   uint32
	_             uint32
}

// fiemapExtent is struct fiemap_extent of linux/fiemap.h.
type fiemapExtent struct {
	_        structs.HostLayout
	logical  uint64
	physical uint64
	length   uint64
	_        [2]uint64
	flags    uint32
	_        [3]uint32
}

const (
	fsIocFiemap         = 0xC020660B // _IOWR('f', 11, struct fiemap)
	fiemapFlagSync      = 0x1        // write dirty data back first, so that delayed allocations have extents
	fiemapExtentLast    = 0x1
	fiemapExtentUnwrite = 0x800
	fiemapBatch         = 512
)

// Extents calls yield for each allocated extent that overlaps length bytes at offset, in order of offset
// and clipped to that range, until yield returns false. Holes are what is left out. It writes dirty pages
// of the file back first. EOPNOTSUPP means that the file system has no extent map.
func Extents(fd int, offset, length int64, yield func(Extent) bool) error {
	var request struct {
		head    fiemapHeader
		extents [fiemapBatch]fiemapExtent
	}
	end := uint64(offset + length)
	for start := uint64(offset); start < end; {
		request.head = fiemapHeader{start: start, length: end - start, flags: fiemapFlagSync, extentCount: fiemapBatch}
		if err := ioctl("FS_IOC_FIEMAP", fd, fsIocFiemap, unsafe.Pointer(&request)); err != nil {
			return err
		}
		if request.head.mappedExtents == 0 {
			return nil
		}
		for _, e := range request.extents[:request.head.mappedExtents] {
			low, high := max(e.logical, uint64(offset)), min(e.logical+e.length, end)
			if low < high && !yield(Extent{int64(low), int64(high - low), e.flags&fiemapExtentUnwrite != 0}) {
				return nil
			}
			if e.flags&fiemapExtentLast != 0 {
				return nil
			}
			start = e.logical + e.length
		}
	}
	return nil
}

// DataExtents is Extents for file systems without an extent map, by lseek's SEEK_DATA and SEEK_HOLE. It
// moves the descriptor's file position, and it cannot tell whether data was written or only allocated
// where the file system does not.
func DataExtents(fd int, offset, length int64, yield func(Extent) bool) error {
	end := offset + length
	for at := offset; at < end; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, syscall.ENXIO) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lseek SEEK_DATA: %w", err)
		}
		hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("lseek SEEK_HOLE: %w", err)
		}
		low, high := max(data, offset), min(hole, end)
		if low < high && !yield(Extent{Offset: low, Length: high - low}) {
			return nil
		}
		at = hole
	}
	return nil
}
