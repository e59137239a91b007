package blk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// TakesNoWait asks whether I/O on an open file can be started without a thread that may block, by one read
// of buf at offset 0 with RWF_NOWAIT. Where it cannot (zram, tmpfs, FUSE), io_uring hands each request to a
// kernel worker. buf must satisfy the file's alignment for direct I/O.
func TakesNoWait(fd int, buf []byte) (bool, error) {
	for {
		_, err := unix.Preadv2(fd, [][]byte{buf}, 0, unix.RWF_NOWAIT)
		switch {
		case err == nil, errors.Is(err, unix.EAGAIN):
			return true, nil
		case errors.Is(err, unix.EOPNOTSUPP):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, fmt.Errorf("preadv2 RWF_NOWAIT: %w", err)
		}
	}
}
