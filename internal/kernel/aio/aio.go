// Package aio is Linux native asynchronous I/O (the interface under libaio) by raw system calls.
//
// A completion ring lives at the context's own address in our memory. Its head may be advanced by
// whoever reaps, which saves the call of io_getevents when completions are already there (struct
// aio_ring in fs/aio.c).
package aio

import (
	"fmt"
	"runtime"
	"structs"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Command is the operation of an IOCB (include/uapi/linux/aio_abi.h).
type Command uint16

const (
	CmdPread    Command = 0
	CmdPwrite   Command = 1
	CmdFsync    Command = 2
	CmdFdsync   Command = 3
	ringMagic           = 0xa10a10a1
	ringHeader          = 32
	maxRingSize         = 1 << 20
)

// FlagIOPrio in IOCB.Flags makes ReqPrio the request's priority (IOCB_FLAG_IOPRIO, Linux 4.18).
const FlagIOPrio = 1 << 1

// IOCB is struct iocb, 64 bytes.
type IOCB struct {
	_       structs.HostLayout
	Data    uint64 // comes back in Event.Data
	key     uint32
	RWFlags uint32 // RWF_*, see preadv2(2)
	Opcode  Command
	ReqPrio uint16 // as ioprio_set(2) has it; used with FlagIOPrio
	FD      uint32
	Buf     uint64 // mem.Address of a buffer off the Go heap that outlives the request
	NBytes  uint64
	Offset  int64
	_       uint64
	Flags   uint32
	resFD   uint32
}

// Event is struct io_event.
type Event struct {
	_    structs.HostLayout
	Data uint64
	Obj  uint64
	Res  int64
	res2 int64
}

type ring struct {
	_            structs.HostLayout
	id, nr       uint32
	head, tail   atomic.Uint32
	magic        uint32
	compat       uint32
	incompat     uint32
	headerLength uint32
}

// Context is one AIO context with room for a number of requests.
type Context struct {
	id     uintptr
	ring   *ring
	events []Event
	ts     *unix.Timespec

	// Calls of io_submit and of io_getevents, apart because two threads may count on a shared context.
	SubmitCalls, WaitCalls uint64
}

// New makes a context for depth requests in flight. EAGAIN means that the system-wide limit
// /proc/sys/fs/aio-max-nr is reached.
func New(depth int) (*Context, error) {
	c := &Context{ts: new(unix.Timespec)}
	if _, _, errno := syscall.Syscall(unix.SYS_IO_SETUP, uintptr(depth), uintptr(unsafe.Pointer(&c.id)), 0); errno != 0 {
		return nil, fmt.Errorf("io_setup for %d requests: %w", depth, errno)
	}
	// The id is the address at which the kernel mapped the ring. The double indirection spells "memory
	// that Go does not manage" for vet.
	r := *(**ring)(unsafe.Pointer(&c.id))
	if r.magic == ringMagic && r.headerLength == ringHeader && r.incompat == 0 && r.nr < maxRingSize {
		c.ring = r
		c.events = unsafe.Slice((*Event)(unsafe.Add(unsafe.Pointer(r), ringHeader)), r.nr)
	}
	return c, nil
}

// UserReap says whether completions can be read without a system call.
func (c *Context) UserReap() bool { return c.ring != nil }

// Submit passes requests to the kernel and returns how many it took; 0 without an error when the context
// is full. An error is the kernel's answer to the first of them alone. The pointed-to control blocks must
// stay in place only during the call.
func (c *Context) Submit(cbs []*IOCB) (int, syscall.Errno) {
	for {
		c.SubmitCalls++
		n, _, errno := syscall.Syscall(unix.SYS_IO_SUBMIT, c.id, uintptr(len(cbs)), uintptr(unsafe.Pointer(unsafe.SliceData(cbs))))
		runtime.KeepAlive(cbs)
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, 0
		}
		return 0, errno
	}
}

// Ready copies finished requests out of the ring without a system call.
func (c *Context) Ready(out []Event) int {
	if c.ring == nil {
		return 0
	}
	head, tail := c.ring.head.Load(), c.ring.tail.Load()
	n := 0
	for head != tail && n < len(out) {
		out[n] = c.events[head]
		n++
		if head++; head == c.ring.nr {
			head = 0
		}
	}
	if n > 0 {
		c.ring.head.Store(head)
	}
	return n
}

// Wait stores at least min finished requests, waiting up to timeout (negative: no limit). A signal ends
// the wait early without an error.
func (c *Context) Wait(out []Event, min int, timeout time.Duration) (int, error) {
	var ts *unix.Timespec
	if timeout >= 0 {
		*c.ts = unix.NsecToTimespec(int64(timeout))
		ts = c.ts
	}
	c.WaitCalls++
	n, _, errno := syscall.Syscall6(unix.SYS_IO_GETEVENTS, c.id, uintptr(min), uintptr(len(out)),
		uintptr(unsafe.Pointer(unsafe.SliceData(out))), uintptr(unsafe.Pointer(ts)), 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EINTR:
		return 0, nil
	}
	return 0, errno
}

// Close destroys the context, waiting for what is in flight.
func (c *Context) Close() error {
	if c.id == 0 {
		return nil
	}
	_, _, errno := syscall.Syscall(unix.SYS_IO_DESTROY, c.id, 0, 0)
	c.id, c.ring, c.events = 0, nil, nil
	if errno != 0 {
		return fmt.Errorf("io_destroy: %w", errno)
	}
	return nil
}
