package target

import (
	"fmt"
	"math/bits"
	"slices"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
)

// CheckUncached finds out, by one read, whether the target takes buffered I/O that leaves nothing in the page
// cache (RWF_DONTCACHE).
func (t *Target) CheckUncached() error {
	if t.handle == nil {
		return nil
	}
	if t.direct {
		return fault.Usage("UNCACHED_DIRECT", "leave out one of them", "%s is opened with direct=1, which goes around the page cache, so uncached=1 asks for nothing", t.path)
	}
	if n := fileio.PreadFlags(t.FD(), make([]byte, 1), 0, fileio.DontCache); n < 0 {
		return fault.Wrap(syscall.Errno(-n), fault.ExitEnvironment, "UNCACHED_UNSUPPORTED",
			"it takes Linux 6.14 and a file on ext4, XFS or btrfs; direct=1 keeps out of the page cache anywhere",
			"%s does not take uncached I/O (RWF_DONTCACHE)", t.path)
	}
	return nil
}

// CheckAtomic finds out whether writes of the given sizes from the offset on happen whole or not at all on the
// target (RWF_ATOMIC).
func (t *Target) CheckAtomic(offset int64, sizes []int64) error {
	if t.handle == nil {
		return nil
	}
	can, err := blk.StatAtomicWrite(t.FD())
	if err != nil {
		return err
	}
	return allowAtomic(can, t.path, offset, sizes)
}

// allowAtomic refuses atomic writes that the kernel would refuse, with the reason.
func allowAtomic(can blk.AtomicWrite, path string, offset int64, sizes []int64) error {
	if can.Max == 0 {
		return fault.New(fault.ExitEnvironment, "ATOMIC_UNSUPPORTED",
			"it takes Linux 6.11 and a drive with atomic writes (queue/atomic_write_unit_max_bytes in /sys/block), directly or under XFS or ext4",
			"%s does no atomic writes: the kernel knows no size that it writes whole or not at all", path)
	}
	size := slices.Max(sizes)
	switch {
	case slices.Min(sizes) != size:
		return fault.Usage("ATOMIC_SIZE", "give one --bs", "atomic writes to %s need one block size, since each must lie at a multiple of its own", path)
	case bits.OnesCount64(uint64(size)) != 1 || size < can.Min || size > can.Max:
		return fault.Usage("ATOMIC_SIZE", fmt.Sprintf("give a --bs of %d to %d, a power of two", can.Min, can.Max),
			"a write of %d bytes cannot be atomic on %s", size, path)
	case offset%size != 0:
		return fault.Usage("ATOMIC_SIZE", "give an --offset that is a multiple of --bs", "writes of %d bytes from offset %d on cannot be atomic on %s", size, offset, path)
	}
	return nil
}

// SetLifetime tells the kernel how long data written to the target will live, and returns what tells it again
// what it was told before.
func (t *Target) SetLifetime(l fileio.Lifetime) (undo func() error, err error) {
	if t.handle == nil {
		return func() error { return nil }, nil
	}
	before, err := fileio.LifetimeOf(t.FD())
	if err == nil {
		err = fileio.SetLifetime(t.FD(), l)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.ExitEnvironment, "WRITE_HINT", "it takes Linux 4.13, and the owner of the file or device", "cannot tell the kernel how long data on %s will live", t.path)
	}
	return func() error { return fileio.SetLifetime(t.FD(), before) }, nil
}
