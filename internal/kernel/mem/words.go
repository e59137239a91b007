package mem

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MapWords maps n words of f from offset on, a multiple of the page size (mmap(2), MAP_SHARED): what is
// stored in them is in the file at once, also when the process is killed. The file must be that long and its
// blocks allocated, since a page that the file system has no room for ends the process (SIGBUS). unmap gives
// the memory back; the words must not be used afterwards.
func MapWords(f *os.File, offset int64, n int) (words []atomic.Uint32, unmap func() error, err error) {
	if n <= 0 {
		return nil, nil, fmt.Errorf("mapping %d words of %s: %w", n, f.Name(), unix.EINVAL)
	}
	b, err := unix.Mmap(int(f.Fd()), offset, n*4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping %d words of %s: %w", n, f.Name(), err)
	}
	words = unsafe.Slice((*atomic.Uint32)(unsafe.Pointer(unsafe.SliceData(b))), n)
	return words, func() error {
		if err := unix.Munmap(b); err != nil {
			return fmt.Errorf("unmapping %d words: %w", n, err)
		}
		return nil
	}, nil
}
