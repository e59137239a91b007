package uring

import (
	"encoding/binary"
	"structs"
	"unsafe"
)

// Commands that the kernel passes through a ring to a device's driver (IORING_OP_URING_CMD) need room that plain
// entries do not have: submission entries of 128 bytes and completions of 32.

// CommandFlags are the setup flags of a ring for such commands (5.19). Its entries are reached with
// [Ring.NextCommand] and [Ring.CommandResult] instead of Next and Completion.
const CommandFlags = SetupSQE128 | SetupCQE32

// OpCommand hands an entry to the driver of the file (IORING_OP_URING_CMD).
const OpCommand Opcode = 46

// CommandFixed in [CommandSQE].OpFlags says that the data is in the registered buffer BufIndex (6.1).
const CommandFixed = 1 << 0

// NVMeIO is the driver command that NVMe namespaces take on their character device: an [NVMeCommand] for the
// namespace itself. It is _IOWR('N', 0x80, struct nvme_uring_cmd) of linux/nvme_ioctl.h.
const NVMeIO = 0xC0484E80

// CommandSQE is struct io_uring_sqe of 128 bytes with a command for NVMe behind its first 48.
type CommandSQE struct {
	_        structs.HostLayout
	Opcode   Opcode
	Flags    uint8
	IOPrio   uint16
	FD       int32
	Command  uint32 // cmd_op: what the driver is asked for
	_        uint32
	_        uint64 // addr
	_        uint32 // len
	OpFlags  uint32 // uring_cmd_flags
	UserData uint64
	BufIndex uint16
	_        uint16 // personality
	_        int32  // file_index
	NVMe     NVMeCommand
	_        uint64
}

// NVMeCommand is struct nvme_uring_cmd of linux/nvme_ioctl.h, 72 bytes: dwords of a submission queue entry as
// the NVM Express specifications number them, with addresses and lengths of the process's memory.
type NVMeCommand struct {
	_           structs.HostLayout
	Opcode      NVMeOpcode
	Flags       uint8
	_           uint16
	NSID        uint32 // the namespace
	CDW2, CDW3  uint32
	Metadata    uint64
	Addr        uint64
	MetadataLen uint32
	DataLen     uint32 // bytes at Addr
	CDW10       uint32
	CDW11       uint32
	CDW12       uint32
	CDW13       uint32
	CDW14       uint32
	CDW15       uint32
	TimeoutMS   uint32 // 0: the driver's
	_           uint32
}

// NVMeOpcode is a command of the NVM command set (NVM Express NVM command set specification, section 3).
type NVMeOpcode uint8

const (
	NVMeFlush              NVMeOpcode = 0x00
	NVMeWrite              NVMeOpcode = 0x01
	NVMeRead               NVMeOpcode = 0x02
	NVMeWriteUncorrectable NVMeOpcode = 0x04
	NVMeWriteZeroes        NVMeOpcode = 0x08
	NVMeDatasetManagement  NVMeOpcode = 0x09
	NVMeVerify             NVMeOpcode = 0x0c
)

// Bits of command dwords.
const (
	NVMeDSMDeallocate = 1 << 2  // CDW11 of NVMeDatasetManagement: the ranges are no longer needed
	NVMeDeallocate    = 1 << 25 // CDW12 of NVMeWriteZeroes: and may be deallocated
	NVMeFUA           = 1 << 30 // CDW12 of reads, writes and write zeroes: on the medium, not in a cache
)

// NVMeRangeBytes is the size of one of the ranges of NVMeDatasetManagement (struct nvme_dsm_range).
const NVMeRangeBytes = 16

// PutNVMeRange writes a range of blocks from the logical block start on: attributes, length, start, of which the
// device reads the low byte first on any host.
func PutNVMeRange(b []byte, start uint64, blocks uint32) {
	binary.LittleEndian.PutUint32(b, 0)
	binary.LittleEndian.PutUint32(b[4:], blocks)
	binary.LittleEndian.PutUint64(b[8:], start)
}

// CommandCQE is struct io_uring_cqe of 32 bytes. Res is 0 when the device did the command, its NVMe status when
// it refused (above 0), and a negated errno when the command did not get there.
type CommandCQE struct {
	CQE
	Result uint64 // what the command returns, where it returns anything
	_      uint64
}

// mapCommands sets up access to the entries of a ring for commands.
func (r *Ring) mapCommands(entries, completions unsafe.Pointer, p *params) {
	r.commands = unsafe.Slice((*CommandSQE)(entries), p.sqEntries)
	r.results = unsafe.Slice((*CommandCQE)(completions), p.cqEntries)
}

// NextCommand is Next for a ring made with CommandFlags.
func (r *Ring) NextCommand(i uint32) *CommandSQE { return &r.commands[(r.sqTailLocal+i)&r.sqMask] }

// CommandResult is Completion for a ring made with CommandFlags.
func (r *Ring) CommandResult(i uint32) *CommandCQE { return &r.results[(r.cqHeadLocal+i)&r.cqMask] }
