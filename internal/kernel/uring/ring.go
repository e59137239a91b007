// Package uring is io_uring by raw system calls: rings mapped into the process, positions shared with the
// kernel through atomics, and nothing between the caller and the submission queue entry.
//
// # Layout
//
// Two rings live in memory shared with the kernel. Positions only ever grow (modulo 2^32); an entry's
// place is position & mask; positions are compared by subtraction, never by order.
//
//	            kernel reads            we write
//	SQ   head ──────▶ ░░░░░░░░░░░ tail ──────▶        entries head..tail-1 wait for the kernel
//	            we write                kernel writes
//	CQ   head ──────▶ ▓▓▓▓▓▓▓▓▓▓▓ tail ──────▶        entries head..tail-1 wait for us
//
// Whoever produces stores the tail after the entries (release), whoever consumes loads the tail before the
// entries (acquire). Go's atomics are sequentially consistent, so the rule of SQPOLL rings, "store the
// tail, full barrier, load the flags", needs nothing more. Each side keeps its own position in a plain
// field and publishes it once per batch.
//
// A Ring made with SetupSingleIssuer or SetupDeferTaskrun must be used only by the thread that made it.
package uring

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ring is one io_uring instance.
type Ring struct {
	// What every submission and reap touches.
	sqTailLocal uint32 // entries before this are filled; published up to sqTail
	sqMask      uint32
	sqEntries   uint32
	cqHeadLocal uint32
	cqMask      uint32
	enterFD     uint32
	enterFlags  uint32 // always set: enterRegisteredRing when the descriptor is registered
	flags       SetupFlags
	sqHead      *atomic.Uint32
	sqTail      *atomic.Uint32
	sqFlags     *atomic.Uint32
	cqHead      *atomic.Uint32
	cqTail      *atomic.Uint32
	cqOverflow  *atomic.Uint32
	sqes        []SQE
	cqes        []CQE
	commands    []CommandSQE // instead of sqes, on a ring made with CommandFlags
	results     []CommandCQE // instead of cqes

	unsubmitted uint32 // published entries that the kernel has not taken yet

	// Calls of io_uring_enter to submit and to wait, apart because two threads may count on a shared ring.
	SubmitEnters, WaitEnters uint64

	wait     *waitArg // off the stack: the kernel reads it during enter
	fd       int
	features uint32
	maps     [][]byte
	files    []int32
}

// waitArg is what a wait with a time limit passes to the kernel. It is allocated once, since a pointer
// hidden in an integer keeps neither a stack variable in place nor a heap variable alive.
type waitArg struct {
	arg getEventsArg
	ts  kernelTimespec
}

// Options shape a Ring.
type Options struct {
	Entries  uint32 // submission entries, rounded up to a power of two; at most 32768
	CQ       uint32 // completion entries; 0 for the kernel's choice of twice the submission entries
	Flags    SetupFlags
	SQCPU    uint32        // with SetupSQAff
	SQIdle   time.Duration // with SetupSQPoll: the thread sleeps after this long without work
	Register bool          // register the ring's own descriptor, which saves a lookup per call (5.18)
}

// Errors that make a setup failure understood; errors.Is finds them beside the errno.
var (
	ErrNoSyscall = errors.New("the kernel has no io_uring (it is older than 5.1 or was built without it)")
	ErrDenied    = errors.New("io_uring is denied to this process")
	ErrMemlock   = errors.New("the locked-memory limit is too low")
)

// New sets up a ring and maps it.
func New(o Options) (*Ring, error) {
	p := params{flags: uint32(o.Flags), sqThreadCPU: o.SQCPU, sqThreadIdle: uint32(o.SQIdle / time.Millisecond)}
	if o.CQ != 0 {
		p.flags |= uint32(SetupCQSize)
		p.cqEntries = o.CQ
	}
	fd, errno := retryNoMemory(func() (int, syscall.Errno) {
		fd, _, errno := syscall.Syscall(sysSetup, uintptr(o.Entries), uintptr(unsafe.Pointer(&p)), 0)
		return int(fd), errno
	})
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup with %d entries and flags %#x: %w", o.Entries, p.flags, setupError(errno))
	}
	r := &Ring{fd: fd, enterFD: uint32(fd), flags: o.Flags, features: p.features, wait: new(waitArg)}
	if err := r.mapRings(&p); err != nil {
		r.Close()
		return nil, err
	}
	if o.Register {
		r.registerOwnFD()
	}
	return r, nil
}

// retryNoMemory tries a call for a while when there is too little lockable memory: what a closed ring took of it, the
// kernel gives back some milliseconds later (io_ring_exit_work).
func retryNoMemory(call func() (int, syscall.Errno)) (n int, errno syscall.Errno) {
	const pause, tries = 5 * time.Millisecond, 40
	for try := 1; ; try++ {
		if n, errno = call(); errno != syscall.ENOMEM || try == tries {
			return n, errno
		}
		time.Sleep(pause)
	}
}

func setupError(errno syscall.Errno) error {
	switch errno {
	case syscall.ENOSYS:
		return fmt.Errorf("%w (%w)", ErrNoSyscall, errno)
	case syscall.EPERM:
		return fmt.Errorf("%w (%w)", ErrDenied, errno)
	case syscall.ENOMEM:
		return fmt.Errorf("%w (%w)", ErrMemlock, errno)
	}
	return errno
}

func (r *Ring) mapRings(p *params) error {
	sqSize := uintptr(p.sq.array) + uintptr(p.sqEntries)*4
	if r.flags&SetupNoSQArray != 0 {
		sqSize = uintptr(p.cq.cqes) // no array behind the entries; the CQ's part follows in the same mapping
	}
	sqeSize, cqeSize := unsafe.Sizeof(SQE{}), unsafe.Sizeof(CQE{})
	if r.flags&CommandFlags == CommandFlags {
		sqeSize, cqeSize = unsafe.Sizeof(CommandSQE{}), unsafe.Sizeof(CommandCQE{})
	}
	cqSize := uintptr(p.cq.cqes) + uintptr(p.cqEntries)*cqeSize
	if p.features&featSingleMmap != 0 {
		sqSize = max(sqSize, cqSize)
	}
	sq, err := r.mmap(sqSize, offSQRing)
	if err != nil {
		return fmt.Errorf("mapping the submission ring: %w", err)
	}
	cq := sq
	if p.features&featSingleMmap == 0 {
		if cq, err = r.mmap(cqSize, offCQRing); err != nil {
			return fmt.Errorf("mapping the completion ring: %w", err)
		}
	}
	entries, err := r.mmap(uintptr(p.sqEntries)*sqeSize, offSQEs)
	if err != nil {
		return fmt.Errorf("mapping the submission entries: %w", err)
	}
	at := func(ring []byte, off uint32) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&ring[off])) }
	r.sqHead, r.sqTail, r.sqFlags = at(sq, p.sq.head), at(sq, p.sq.tail), at(sq, p.sq.flags)
	r.cqHead, r.cqTail, r.cqOverflow = at(cq, p.cq.head), at(cq, p.cq.tail), at(cq, p.cq.overflow)
	r.sqMask, r.sqEntries = at(sq, p.sq.ringMask).Load(), p.sqEntries
	r.cqMask = at(cq, p.cq.ringMask).Load()
	if r.flags&CommandFlags == CommandFlags {
		r.mapCommands(unsafe.Pointer(&entries[0]), unsafe.Pointer(&cq[p.cq.cqes]), p)
	} else {
		r.sqes = unsafe.Slice((*SQE)(unsafe.Pointer(&entries[0])), p.sqEntries)
		r.cqes = unsafe.Slice((*CQE)(unsafe.Pointer(&cq[p.cq.cqes])), p.cqEntries)
	}
	r.sqTailLocal, r.cqHeadLocal = r.sqTail.Load(), r.cqHead.Load()
	if r.flags&SetupNoSQArray == 0 {
		// The index array maps places to entries one to one, once and for all.
		array := unsafe.Slice((*uint32)(unsafe.Pointer(&sq[p.sq.array])), p.sqEntries)
		for i := range array {
			array[i] = uint32(i)
		}
	}
	return nil
}

func (r *Ring) mmap(size uintptr, offset int64) ([]byte, error) {
	b, err := unix.Mmap(r.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err == nil {
		r.maps = append(r.maps, b)
	}
	return b, err
}

// registerOwnFD lets enter skip the descriptor lookup. Kernels before 5.18 refuse it, which is no loss of
// function.
func (r *Ring) registerOwnFD() {
	u := rsrcUpdate{offset: ^uint32(0), data: uint64(r.fd)}
	if n, errno := r.register(registerRingFDs, unsafe.Pointer(&u), 1); errno == 0 && n == 1 {
		r.enterFD, r.enterFlags = u.offset, enterRegisteredRing
	}
}

// RegisteredFD says whether the ring's own descriptor is registered.
func (r *Ring) RegisteredFD() bool { return r.enterFlags&enterRegisteredRing != 0 }

// Flags returns the setup flags that the ring was made with.
func (r *Ring) Flags() SetupFlags { return r.flags }

// Room returns how many entries can be filled before the ring is full.
func (r *Ring) Room() uint32 { return r.sqEntries - (r.sqTailLocal - r.sqHead.Load()) }

// Next returns the i-th free entry after the filled ones; i must be below Room. The caller sets every
// field it needs: entries keep what they last held. Advance makes them count.
func (r *Ring) Next(i uint32) *SQE { return &r.sqes[(r.sqTailLocal+i)&r.sqMask] }

// Advance publishes the next n entries to the kernel.
func (r *Ring) Advance(n uint32) {
	r.sqTailLocal += n
	r.unsubmitted += n
	r.sqTail.Store(r.sqTailLocal)
}

// Submit passes the published entries to the kernel. With a deferred ring it also runs the completion work
// that waits, so that Ready sees what has finished. It does not wait. What the kernel did not take for
// want of memory stays published and goes with the next Submit.
func (r *Ring) Submit() error {
	var flags uint32
	switch {
	case r.flags&SetupSQPoll != 0:
		r.unsubmitted = 0 // the kernel's thread takes them from the ring by itself
		if r.sqFlags.Load()&sqNeedWakeup == 0 {
			return nil
		}
		flags = enterSQWakeup
	case r.flags&(SetupDeferTaskrun|SetupIOPoll) != 0:
		flags = enterGetEvents
	}
	for {
		r.SubmitEnters++
		took, errno := r.enter(r.unsubmitted, 0, flags, nil, 0)
		switch errno {
		case 0:
			if r.flags&SetupSQPoll == 0 {
				r.unsubmitted -= uint32(took)
			}
			return nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN, syscall.EBUSY:
			return nil // out of requests, or completions overflowed: reap, then try again
		}
		return errno
	}
}

// Publish is Advance for a ring whose entries are passed on with Enter.
func (r *Ring) Publish(n uint32) {
	r.sqTailLocal += n
	r.sqTail.Store(r.sqTailLocal)
}

// Enter has the kernel take n published entries, whoever published them. Several threads may call it at the
// same time, as long as each asks for as many as it published, on a ring without SetupSQPoll,
// SetupSingleIssuer and SetupIOPoll. It returns how many were taken (fewer when the kernel is out of memory)
// and does not wait.
func (r *Ring) Enter(n uint32) (uint32, error) {
	for {
		took, errno := r.enter(n, 0, 0, nil, 0)
		switch errno {
		case 0:
			return uint32(took), nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN, syscall.EBUSY:
			return 0, nil
		}
		return 0, errno
	}
}

// Unsubmitted is how many published entries the kernel has not taken yet.
func (r *Ring) Unsubmitted() uint32 { return r.unsubmitted }

// Ready returns how many completions can be read.
func (r *Ring) Ready() uint32 { return r.cqTail.Load() - r.cqHeadLocal }

// Completion returns the i-th completion that waits; i must be below Ready.
func (r *Ring) Completion(i uint32) *CQE { return &r.cqes[(r.cqHeadLocal+i)&r.cqMask] }

// Consume gives the first n completions' places back to the kernel.
func (r *Ring) Consume(n uint32) {
	r.cqHeadLocal += n
	r.cqHead.Store(r.cqHeadLocal)
}

// Wait waits until at least min completions can be read or timeout has passed (negative: no limit; 0: it
// only lets the kernel post what has finished). A signal ends it early without an error.
func (r *Ring) Wait(min uint32, timeout time.Duration) error {
	var arg unsafe.Pointer
	var size uintptr
	flags := uint32(enterGetEvents)
	if timeout == 0 {
		min = 0
	} else if timeout > 0 {
		if r.features&featExtArg == 0 {
			return fmt.Errorf("waiting with a time limit: %w", syscall.ENOSYS)
		}
		r.wait.ts = kernelTimespec{sec: int64(timeout / time.Second), nsec: int64(timeout % time.Second)}
		r.wait.arg.ts = uint64(uintptr(unsafe.Pointer(&r.wait.ts)))
		arg, size = unsafe.Pointer(&r.wait.arg), unsafe.Sizeof(r.wait.arg)
		flags |= enterExtArg
	}
	r.WaitEnters++
	_, errno := r.enter(0, min, flags, arg, size)
	runtime.KeepAlive(r.wait)
	switch errno {
	case 0, syscall.EINTR, syscall.ETIME, syscall.EAGAIN, syscall.EBUSY:
		return nil
	}
	return errno
}

func (r *Ring) enter(submit, min, flags uint32, arg unsafe.Pointer, size uintptr) (int, syscall.Errno) {
	// Syscall6, not RawSyscall6: any enter may wait, and a thread that waits inside a raw call cannot be
	// stopped by the collector. The hooks cost some 20 ns per call.
	n, _, errno := syscall.Syscall6(sysEnter, uintptr(r.enterFD), uintptr(submit), uintptr(min),
		uintptr(flags|r.enterFlags), uintptr(arg), size)
	return int(n), errno
}

// Overflows is how many completions the kernel lost for want of room in the completion ring.
func (r *Ring) Overflows() uint32 { return r.cqOverflow.Load() }

// RegisterBuffers registers buf, cut into pieces of at most 1 GiB, as fixed buffers 0.. and returns the
// size of a piece. The memory counts against RLIMIT_MEMLOCK unless the process has CAP_IPC_LOCK.
func (r *Ring) RegisterBuffers(buf []byte, piece int) error {
	var vec []iovec
	for off := 0; off < len(buf); off += piece {
		vec = append(vec, iovec{base: uintptr(unsafe.Pointer(&buf[off])), len: uintptr(min(piece, len(buf)-off))})
	}
	_, errno := retryNoMemory(func() (int, syscall.Errno) {
		return r.register(registerBuffers, unsafe.Pointer(&vec[0]), uintptr(len(vec)))
	})
	runtime.KeepAlive(buf)
	if errno == syscall.ENOMEM {
		return fmt.Errorf("registering %d bytes of buffers: %w (%w)", len(buf), ErrMemlock, errno)
	}
	if errno != 0 {
		return fmt.Errorf("registering %d bytes of buffers: %w", len(buf), errno)
	}
	return nil
}

// UnregisterBuffers gives back what the registered buffers took of RLIMIT_MEMLOCK. Closing the ring does so, too,
// but some time later. No request may be in flight: it would wait for them.
func (r *Ring) UnregisterBuffers() error {
	const tries = 100 // a signal, such as the Go runtime's own, ends the kernel's wait
	var errno syscall.Errno
	for range tries {
		if _, errno = r.register(unregisterBuffers, nil, 0); errno != syscall.EINTR {
			break
		}
	}
	if errno != 0 {
		return fmt.Errorf("unregistering buffers: %w", errno)
	}
	return nil
}

// RegisterFiles registers descriptors as fixed files 0...
func (r *Ring) RegisterFiles(fds []int) error {
	r.files = make([]int32, len(fds))
	for i, fd := range fds {
		r.files[i] = int32(fd)
	}
	if _, errno := r.register(registerFiles, unsafe.Pointer(&r.files[0]), uintptr(len(fds))); errno != 0 {
		return fmt.Errorf("registering %d files: %w", len(fds), errno)
	}
	return nil
}

func (r *Ring) register(op uintptr, arg unsafe.Pointer, n uintptr) (int, syscall.Errno) {
	v, _, errno := syscall.Syscall6(sysRegister, uintptr(r.fd), op, uintptr(arg), n, 0, 0)
	return int(v), errno
}

// Close unmaps the rings and closes the descriptor; the kernel cancels what is still in flight. The caller
// must not let go of buffers that requests in flight point into before those were reaped.
func (r *Ring) Close() error {
	var errs []error
	if r.RegisteredFD() {
		u := rsrcUpdate{offset: r.enterFD}
		r.register(unregisterRing, unsafe.Pointer(&u), 1)
		r.enterFlags, r.enterFD = 0, uint32(r.fd)
	}
	for _, m := range r.maps {
		errs = append(errs, unix.Munmap(m))
	}
	r.maps = nil
	if r.fd >= 0 {
		errs = append(errs, unix.Close(r.fd))
		r.fd = -1
	}
	return errors.Join(errs...)
}
