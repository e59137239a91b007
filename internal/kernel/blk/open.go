package blk

import (
	"errors"
	"os"
	"syscall"

	"github.com/ncw/directio"
)

// Flags says how to open. The zero value opens for buffered reading.
type Flags struct {
	Write     bool // for reading and writing, instead of reading only
	Direct    bool // O_DIRECT: around the page cache
	Exclusive bool // O_EXCL: on a block device, only if nobody mounted, swaps on or holds it; with Create, only if it is new
	Sync      bool // O_SYNC: a write returns when data and metadata are stable
	DataSync  bool // O_DSYNC: a write returns when the data is stable
	Create    bool // O_CREAT with mode 0600, never through a symbolic link
	NonBlock  bool // O_NONBLOCK: do not wait for a medium or a FIFO's other end
}

// Open opens path. Direct opens go through directio, which knows the flag of each platform. Where the caller
// may ask for it (the file is its own, or it is root), reading does not update the access time: that is work
// of the file system's and not of the I/O that is measured.
//
// Errors worth telling apart: EBUSY (Exclusive: in use), EINVAL (Direct: the file system cannot), EROFS,
// EACCES, ENXIO and ENODEV (a node without a device).
func Open(path string, how Flags) (*os.File, error) {
	open := os.OpenFile
	if how.Direct {
		open = directio.OpenFile
	}
	f, err := open(path, how.bits()|syscall.O_NOATIME, 0o600)
	if errors.Is(err, syscall.EPERM) {
		return open(path, how.bits(), 0o600)
	}
	return f, err
}

func (f Flags) bits() int {
	flag := os.O_RDONLY
	if f.Write {
		flag = os.O_RDWR
	}
	for _, b := range []struct {
		on  bool
		bit int
	}{
		{f.Exclusive, os.O_EXCL},
		{f.Sync, syscall.O_SYNC},
		{f.DataSync, syscall.O_DSYNC},
		{f.Create, os.O_CREATE | syscall.O_NOFOLLOW},
		{f.NonBlock, syscall.O_NONBLOCK},
	} {
		if b.on {
			flag |= b.bit
		}
	}
	return flag
}
