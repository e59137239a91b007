package uring

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"syscall"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/internal/kernel/uring"
)

// commands makes a queue one of NVMe commands, which go through the ring to the driver of a namespace's
// character device, around the block layer's bios, scheduler and accounting. A command is done whole or not at
// all, and nobody splits one that is too large.
type commands struct {
	namespaces []namespace // by Request.File
	kinds      [engine.OpWrite + 1]command
	lengths    []uint32   // by slot: what was asked for
	ranges     *mem.Arena // by slot: the blocks that a trim is about
	rangesAt   uint64     // where the first of them is
	dataFlags  uint32     // of commands that carry data
}

// namespace is where the commands for a target go.
type namespace struct {
	id       uint32
	shift    uint8 // of a byte offset to a logical block
	writable bool
}

// command is what a kind of request becomes.
type command struct {
	opcode  uring.NVMeOpcode
	data    bool   // it carries data
	control uint32 // upper half of dword 12
}

// NewCommands is New for a queue of NVMe commands. All targets must be of kind target.Generic.
func NewCommands(c engine.Config, targets []*target.Target) (*Queue, error) {
	m := &commands{lengths: make([]uint32, c.Depth), kinds: kindsOf(&c.NVMe)}
	for _, t := range targets {
		if t.Kind() != target.Generic {
			return nil, fmt.Errorf("%w: %s takes no NVMe commands", engine.ErrUnsupported, t.Path())
		}
		m.namespaces = append(m.namespaces, namespace{t.NVMeNamespace(), uint8(bits.TrailingZeros(uint(t.LogicalBytes()))), t.Writable()})
	}
	var err error
	if m.ranges, err = mem.Map(c.Depth*uring.NVMeRangeBytes, mem.Options{Populate: true}); err != nil {
		return nil, err
	}
	m.rangesAt = mem.Address(m.ranges.Bytes())
	q, err := build(c, targets, m)
	if errors.Is(err, syscall.EINVAL) {
		err = fmt.Errorf("%w: %w; NVMe commands need the larger ring entries of Linux 5.19", engine.ErrUnsupported, err)
	}
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	if q.fixedBuffers() {
		m.dataFlags = uring.CommandFixed
	}
	q.features = append(q.features, m.describe(&c.NVMe))
	return q, nil
}

// kindsOf chooses the commands for reads and writes.
func kindsOf(n *engine.NVMe) (kinds [engine.OpWrite + 1]command) {
	kinds[engine.OpRead] = command{opcode: uring.NVMeRead, data: true}
	switch n.Write {
	case engine.NVMeData:
		kinds[engine.OpWrite] = command{opcode: uring.NVMeWrite, data: true}
	case engine.NVMeZeroes:
		kinds[engine.OpWrite] = command{opcode: uring.NVMeWriteZeroes}
		if n.Deallocate {
			kinds[engine.OpWrite].control = uring.NVMeDeallocate
		}
	case engine.NVMeUncorrectable:
		kinds[engine.OpWrite] = command{opcode: uring.NVMeWriteUncorrectable}
	case engine.NVMeVerify:
		kinds[engine.OpWrite] = command{opcode: uring.NVMeVerify}
	}
	for op, fua := range n.FUA {
		if fua {
			kinds[op].control |= uring.NVMeFUA
		}
	}
	return kinds
}

func (m *commands) describe(n *engine.NVMe) string {
	parts := []string{"NVMe commands"}
	if n.Write != engine.NVMeData {
		parts = append(parts, "writes are "+n.Write.String())
	}
	for op, fua := range n.FUA {
		if fua {
			parts = append(parts, fmt.Sprintf("%ss with FUA", engine.Op(op)))
		}
	}
	return strings.Join(parts, ", ")
}

// fill writes a command for each request, for which there is room, and returns how many are for the kernel to do.
func (m *commands) fill(q *Queue, reqs []engine.Request) (queued uint32) {
	for i := range reqs {
		r := &reqs[i]
		ns := &m.namespaces[r.File]
		// Root may write through a descriptor that is open for reading only: the kernel asks for the right to
		// administer devices, and not how this one was opened.
		if r.Op != engine.OpRead && !ns.writable {
			q.early.Add(engine.Completion{Slot: r.Slot, Result: -int32(syscall.EBADF)})
			continue
		}
		e := q.ring.NextCommand(queued)
		*e = uring.CommandSQE{
			Opcode: uring.OpCommand, Flags: q.sqe, FD: q.fds[r.File], Command: uring.NVMeIO, UserData: uint64(r.Slot),
			NVMe: uring.NVMeCommand{NSID: ns.id},
		}
		m.lengths[r.Slot] = r.Length
		if r.Op <= engine.OpWrite {
			m.readOrWrite(q, r, ns, e)
		} else if !m.other(r, ns, &e.NVMe) {
			q.early.Add(engine.Completion{Slot: r.Slot, Result: -int32(syscall.EOPNOTSUPP)})
			continue
		}
		if q.forceAsync != 0 {
			if q.sinceAsync++; q.sinceAsync == q.forceAsync {
				e.Flags |= uring.SQEAsync
				q.sinceAsync = 0
			}
		}
		queued++
	}
	return queued
}

func (m *commands) readOrWrite(q *Queue, r *engine.Request, ns *namespace, e *uring.CommandSQE) {
	kind, first := &m.kinds[r.Op], uint64(r.Offset)>>ns.shift
	c := &e.NVMe
	c.Opcode = kind.opcode
	c.CDW10, c.CDW11 = uint32(first), uint32(first>>32)
	c.CDW12 = (r.Length>>ns.shift - 1) | kind.control
	if !kind.data {
		return
	}
	c.Addr, c.DataLen = q.buffers+uint64(r.Slot)*q.stride, r.Length
	e.OpFlags = m.dataFlags
	if q.perBuf <= r.Slot { // beyond the first registered buffer
		e.BufIndex = uint16(r.Slot / q.perBuf)
	}
}

// other makes the command of a trim or a sync; there is none for a sync of a range.
func (m *commands) other(r *engine.Request, ns *namespace, c *uring.NVMeCommand) bool {
	switch r.Op {
	case engine.OpTrim:
		at := int(r.Slot) * uring.NVMeRangeBytes
		uring.PutNVMeRange(m.ranges.Bytes()[at:at+uring.NVMeRangeBytes], uint64(r.Offset)>>ns.shift, r.Length>>ns.shift)
		c.Opcode, c.CDW11 = uring.NVMeDatasetManagement, uring.NVMeDSMDeallocate // of CDW10+1 ranges
		c.Addr, c.DataLen = m.rangesAt+uint64(at), uring.NVMeRangeBytes
	case engine.OpSync, engine.OpDatasync:
		c.Opcode = uring.NVMeFlush
		m.lengths[r.Slot] = 0
	default:
		return false
	}
	return true
}

// results reads as many completions out of the ring as done has room for.
func (m *commands) results(ring *uring.Ring, done []engine.Completion) {
	for i := range done {
		c := ring.CommandResult(uint32(i))
		done[i] = engine.Completion{Slot: uint32(c.UserData), Result: c.Res}
		switch {
		case c.Res == 0:
			done[i].Result = int32(m.lengths[uint32(c.UserData)])
		case c.Res > 0:
			done[i].Result = engine.NVMeFailure(uint16(c.Res))
		}
	}
}

func (m *commands) close() error { return m.ranges.Unmap() }
