// Package engine is the contract between the worker loop and whatever moves the data.
//
// A [Queue] is one submission/completion pair owned by one worker: userspace's mirror of a blk-mq
// software queue. The contract is batch-first, so that the interface call is paid once per batch and
// not once per I/O.
//
// Engines never open anything. They are handed an open target (package engine/target), which exists
// only after the guard agreed; there is no other way to a writable descriptor.
package engine

import (
	"errors"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
)

// Op is what a request does. The first three values equal fio's data directions (read 0, write 1,
// trim 2) and workloads.Direction, so that an Op below [OpSync] indexes per-direction arrays.
type Op uint8

const (
	OpRead      Op = iota // read Length bytes at Offset
	OpWrite               // write Length bytes at Offset
	OpTrim                // discard Length bytes at Offset: BLKDISCARD on a device, a punched hole in a file
	OpSync                // fsync: data and metadata (a device flush)
	OpDatasync            // fdatasync: data and the metadata needed to read it back
	OpSyncRange           // sync_file_range, as Config.SyncRange says: Length bytes at Offset, 0 up to the end
)

// String returns the field's word for the operation.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "op?"
}

var opNames = [...]string{OpRead: "read", OpWrite: "write", OpTrim: "trim", OpSync: "sync", OpDatasync: "datasync", OpSyncRange: "sync_file_range"}

// Request is one I/O to submit. It is small and plain: everything else about an I/O in flight lives in
// arrays indexed by its Slot, allocated before the run.
type Request struct {
	Offset int64  // byte offset in the target; a multiple of its offset alignment for direct I/O
	Length uint32 // bytes; at most the queue's BlockBytes, of a trim at most 1 GiB
	Slot   uint32 // 0..depth-1: names the I/O and its buffer; free again once its Completion was reaped
	Skip   uint32 // bytes of the slot's buffer already done: non-zero only when the rest of a short I/O is resubmitted
	File   uint16 // index of the target among the queue's targets
	Op     Op
	Prio   uint8 // its I/O priority, by its place in Config.Priorities
}

// Completion is one finished request.
type Completion struct {
	Slot   uint32
	Result int32 // bytes transferred, or the negated errno, see [FailureOf]. Short transfers are reported as they are.
}

// errnoBits hold any errno; the NVMe status of a failed command stands above them.
const errnoBits = 12

// NVMeFailure returns the Result of a command that an NVMe device failed with a status: an EIO that keeps it.
func NVMeFailure(status uint16) int32 { return -(int32(status)<<errnoBits | int32(syscall.EIO)) }

// FailureOf takes a Result below 0 apart: the error, and the NVMe status behind it, 0 when it is none's.
func FailureOf(result int32) (errno syscall.Errno, status uint16) {
	return syscall.Errno(-result & (1<<errnoBits - 1)), uint16(-result >> errnoBits)
}

// Queue is one submission/completion pair. Unless an implementation says otherwise it must be used only
// from the goroutine (locked to its thread) that created it.
//
// Submit hands requests over in order and returns how many it took: fewer than given when the queue is
// full, never blocking on completions. An error means that nothing after the n taken requests will ever
// go through; a request that the kernel rejects is not an error of Submit but a Completion with a
// negative Result.
//
// Reap stores up to len(done) finished requests and returns how many. It waits until at least min have
// finished, or timeout has passed (0: do not wait, negative: no limit), and may return more than min.
// Being interrupted by a signal is not an error: Reap then returns what there is.
//
// Close frees the queue. The owner must have reaped everything it submitted; a queue that still has
// requests in flight waits for them, since the kernel may still write to their buffers. With [ErrInFlight]
// it has given up: the buffers must stay where they are.
type Queue interface {
	Submit(reqs []Request) (n int, err error)
	Reap(done []Completion, min int, timeout time.Duration) (n int, err error)
	Counters() Counters
	Close() error
}

// Reopener is a private queue whose targets may be closed while none of their requests is in flight, and
// opened again: Reopened says that the target of that index has a new descriptor.
type Reopener interface {
	Reopened(file int)
}

// A queue that can be shared (engine/shared) lets Submit and Reap run at the same time in two threads, as
// long as there is one caller of each; its Config says Shared.

// Counters is what a queue counted about itself since it was made; the two longest times are those of the measured
// window.
type Counters struct {
	Syscalls      uint64 // system calls made to submit, wait and reap
	LockWaitNS    int64  // time spent waiting for the shared queue's lock; 0 on a private queue
	LockWaitMaxNS int64  // the longest of those waits
	LockGapMaxNS  int64  // the longest time between two acquisitions of the lock by this queue's owner
	LockAcquires  uint64 // how often that lock was taken
	Overflows     uint64 // completions that the kernel had to buffer because the ring was full
}

// Config is what every queue is built from.
type Config struct {
	Depth      int    // slots: the most requests in flight; 1..32768
	BlockBytes int    // the largest request that carries data; slot s owns Buffers[s*BlockBytes : (s+1)*BlockBytes]
	Buffers    []byte // Depth*BlockBytes bytes, page-aligned, off the Go heap, never moved or freed while the queue lives
	HiPri      bool   // poll for completions instead of waiting for interrupts (IOPOLL)
	FixedBufs  Want   // register Buffers with the kernel
	FixedFiles Want   // register the targets' descriptors with the kernel
	SQPoll     bool   // let a kernel thread submit
	SQPollCPU  int    // its CPU, -1 for any
	SQPollIdle time.Duration
	Shared     bool // submitted to from several threads (under a lock): no single-issuer optimisations
	ForceAsync int  // every n-th request goes to a kernel worker thread; 0 never
	NoWait     bool // RWF_NOWAIT
	Uncached   bool // RWF_DONTCACHE: buffered I/O leaves nothing in the page cache
	Atomic     bool // RWF_ATOMIC: writes happen whole or not at all
	SyncRange  int  // SYNC_FILE_RANGE_* flags of OpSyncRange, see sync_file_range(2)
	NVMe       NVMe // what an engine that sends NVMe commands is to send

	// Priorities are the I/O priorities that requests name, at most 256, as ioprio_set(2) has them; 0 is that of
	// the submitting thread, and so are all when it is nil. Engines that cannot set them ignore them.
	Priorities []uint16
}

// NVMe says which commands an engine that sends its own sends for reads and writes.
type NVMe struct {
	Write      NVMeWrite
	FUA        [OpWrite + 1]bool // of reads and writes: to the medium and not to a cache (force unit access)
	Deallocate bool              // NVMeZeroes may deallocate the blocks
}

// NVMeWrite is the command that a write sends.
type NVMeWrite uint8

// The commands. Only the first carries data.
const (
	NVMeData          NVMeWrite = iota // Write
	NVMeZeroes                         // Write Zeroes: the blocks read as zeros
	NVMeUncorrectable                  // Write Uncorrectable: reading the blocks fails until they are written again
	NVMeVerify                         // Verify: the device checks what is stored, and writes nothing
)

// String returns fio's word for the command.
func (w NVMeWrite) String() string {
	return [...]string{NVMeData: "write", NVMeZeroes: "zeroes", NVMeUncorrectable: "uncor", NVMeVerify: "verify"}[w]
}

// Want says how much an optional feature matters to the user.
type Want uint8

const (
	IfPossible Want = iota // use it where the kernel allows it, and record when it does not
	Must                   // asked for: fail with the reason where it is refused
	Never                  // asked not to
)

// Buffer returns the part of the configuration's buffers that slot owns.
func (c *Config) Buffer(slot uint32) []byte {
	return c.Buffers[int(slot)*c.BlockBytes : (int(slot)+1)*c.BlockBytes : (int(slot)+1)*c.BlockBytes]
}

// RWFlags returns the flags of preadv2(2) and pwritev2(2) that all reads (or all writes) carry, by Op.
func (c *Config) RWFlags() (flags [OpWrite + 1]uint32) {
	both := uint32(0)
	if c.NoWait {
		both |= fileio.NoWait
	}
	if c.Uncached {
		both |= fileio.DontCache
	}
	flags[OpRead], flags[OpWrite] = both, both
	if c.Atomic {
		flags[OpWrite] |= fileio.Atomic
	}
	return flags
}

// ErrUnsupported is the class of errors that say that this kernel, target or permission lacks something
// an engine needs; errors.Is finds it. The error's text names what is missing, why, and the remedy.
var ErrUnsupported = errors.New("not supported here")

// ErrInFlight is the class of errors of a Close that left requests in flight.
var ErrInFlight = errors.New("still in flight")
