package mem

import (
	"fmt"
	"math"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Policy says on which NUMA nodes pages are to be, as mbind(2) has it.
type Policy uintptr

// The policies.
const (
	DefaultPolicy Policy = unix.MPOL_DEFAULT    // the thread's
	Preferred     Policy = unix.MPOL_PREFERRED  // on the node given, or failing that on others
	Bind          Policy = unix.MPOL_BIND       // on the nodes given and no others
	Interleave    Policy = unix.MPOL_INTERLEAVE // on the nodes given in turn
	Local         Policy = unix.MPOL_LOCAL      // on the node of the CPU that first uses a page
)

// maxNodes is the most nodes that a kernel may be built for (NODES_SHIFT is at most 10).
const maxNodes = 1024

// nodeMask has a bit for each node.
type nodeMask [maxNodes / 64]uint64

// bind gives memory that has no pages yet a policy.
func bind(b []byte, p Policy, nodes []int) error {
	var mask nodeMask
	for _, n := range nodes {
		if n < 0 || n >= maxNodes {
			return fmt.Errorf("mbind: node %d: %w", n, unix.EINVAL)
		}
		mask[n/64] |= 1 << (n % 64)
	}
	_, _, errno := syscall.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(p),
		uintptr(unsafe.Pointer(&mask)), maxNodes+1, 0) // the kernel takes one from the number of bits
	if errno != 0 {
		return os.NewSyscallError("mbind", errno)
	}
	return nil
}

// Lock maps so many bytes and keeps them in memory (mlock(2)), so that nobody else can use that memory until
// the arena is unmapped. What a process may lock is limited (RLIMIT_MEMLOCK) unless it has CAP_IPC_LOCK: beyond
// that it is ENOMEM, or EPERM where the limit is 0.
func Lock(bytes int64) (*Arena, error) {
	if bytes > math.MaxInt {
		return nil, fmt.Errorf("locking %d bytes: %w", bytes, unix.ENOMEM)
	}
	a, err := Map(int(bytes), Options{})
	if err != nil {
		return nil, err
	}
	if err := unix.Mlock(a.mapped); err != nil {
		if unmapErr := a.Unmap(); unmapErr != nil {
			return nil, unmapErr
		}
		return nil, fmt.Errorf("locking %d bytes: %w", bytes, err)
	}
	return a, nil
}
