package uring

import "structs"

// The kernel's interface, from include/uapi/linux/io_uring.h. Sizes and offsets are held by a test.

// System call numbers are the same on every architecture (asm-generic/unistd.h).
const (
	sysSetup    = 425
	sysEnter    = 426
	sysRegister = 427
)

// SetupFlags is the flags word of io_uring_setup(2).
type SetupFlags uint32

const (
	SetupIOPoll       SetupFlags = 1 << 0  // poll the device for completions
	SetupSQPoll       SetupFlags = 1 << 1  // a kernel thread submits
	SetupSQAff        SetupFlags = 1 << 2  // on the CPU given
	SetupCQSize       SetupFlags = 1 << 3  // the completion ring's size is given
	SetupSubmitAll    SetupFlags = 1 << 7  // go on after a request that fails to submit (5.18)
	SetupCoopTaskrun  SetupFlags = 1 << 8  // no interrupt to run completion work (5.19)
	SetupSQE128       SetupFlags = 1 << 10 // submission entries of 128 bytes (5.19)
	SetupCQE32        SetupFlags = 1 << 11 // completions of 32 bytes (5.19)
	SetupSingleIssuer SetupFlags = 1 << 12 // one task submits (6.0)
	SetupDeferTaskrun SetupFlags = 1 << 13 // completion work runs only when the task asks for completions (6.1)
	SetupNoSQArray    SetupFlags = 1 << 16 // entries are taken in ring order, without the index array (6.6)
	SetupHybridIOPoll SetupFlags = 1 << 17 // sleep before polling (6.13)
)

// Features that io_uring_setup reports.
const (
	featSingleMmap uint32 = 1 << 0
	featExtArg     uint32 = 1 << 8
)

// Flags of io_uring_enter(2).
const (
	enterGetEvents      = 1 << 0
	enterSQWakeup       = 1 << 1
	enterExtArg         = 1 << 3
	enterRegisteredRing = 1 << 4
)

// Bits of the SQ ring's flags word, written by the kernel.
const (
	sqNeedWakeup = 1 << 0
)

// Offsets at which the ring's parts are mapped.
const (
	offSQRing = 0
	offCQRing = 0x8000000
	offSQEs   = 0x10000000
)

// Operations of io_uring_register(2).
const (
	registerBuffers   = 0
	unregisterBuffers = 1
	registerFiles     = 2
	registerRingFDs   = 20
	unregisterRing    = 21
)

// Opcode is the operation of a submission queue entry.
type Opcode uint8

const (
	OpNop        Opcode = 0
	OpFsync      Opcode = 3
	OpReadFixed  Opcode = 4
	OpWriteFixed Opcode = 5
	OpRead       Opcode = 22
	OpWrite      Opcode = 23
)

// Flags of a submission queue entry.
const (
	SQEFixedFile uint8 = 1 << 0
	SQEAsync     uint8 = 1 << 4
)

// FsyncDatasync in SQE.OpFlags makes OpFsync an fdatasync(2).
const FsyncDatasync = 1

// SQE is struct io_uring_sqe, 64 bytes: one cache line.
type SQE struct {
	_        structs.HostLayout
	Opcode   Opcode
	Flags    uint8
	IOPrio   uint16
	FD       int32
	Off      uint64
	Addr     uint64
	Len      uint32
	OpFlags  uint32 // rw_flags, fsync_flags, timeout_flags ...
	UserData uint64
	BufIndex uint16
	_        uint16 // personality
	_        int32  // splice_fd_in, file_index
	_        uint64 // addr3
	_        uint64
}

// CQE is struct io_uring_cqe, 16 bytes.
type CQE struct {
	_        structs.HostLayout
	UserData uint64
	Res      int32
	Flags    uint32
}

type sqOffsets struct {
	_                                                              structs.HostLayout
	head, tail, ringMask, ringEntries, flags, dropped, array, resv uint32
	userAddr                                                       uint64
}

type cqOffsets struct {
	_                                                               structs.HostLayout
	head, tail, ringMask, ringEntries, overflow, cqes, flags, resv1 uint32
	userAddr                                                        uint64
}

type params struct {
	_                                              structs.HostLayout
	sqEntries, cqEntries, flags                    uint32
	sqThreadCPU, sqThreadIdle, features, workQueue uint32
	resv                                           [3]uint32
	sq                                             sqOffsets
	cq                                             cqOffsets
}

// getEventsArg is struct io_uring_getevents_arg.
type getEventsArg struct {
	_       structs.HostLayout
	sigmask uint64
	sigSize uint32
	minWait uint32
	ts      uint64
}

type kernelTimespec struct {
	_         structs.HostLayout
	sec, nsec int64
}

type iovec struct {
	_    structs.HostLayout
	base uintptr
	len  uintptr
}

// rsrcUpdate is struct io_uring_rsrc_update, used to register the ring's own descriptor.
type rsrcUpdate struct {
	_      structs.HostLayout
	offset uint32
	resv   uint32
	data   uint64
}
