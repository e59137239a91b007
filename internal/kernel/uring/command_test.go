package uring

import (
	"bytes"
	"testing"
	"time"
	"unsafe"
)

func TestCommandLayoutsEqualTheKernels(t *testing.T) {
	var e CommandSQE
	var n NVMeCommand
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"sizeof(struct io_uring_sqe) with IORING_SETUP_SQE128", unsafe.Sizeof(e), 128},
		{"offsetof(sqe, fd)", unsafe.Offsetof(e.FD), 4},
		{"offsetof(sqe, cmd_op)", unsafe.Offsetof(e.Command), 8},
		{"offsetof(sqe, uring_cmd_flags)", unsafe.Offsetof(e.OpFlags), 28},
		{"offsetof(sqe, user_data)", unsafe.Offsetof(e.UserData), 32},
		{"offsetof(sqe, buf_index)", unsafe.Offsetof(e.BufIndex), 40},
		{"offsetof(sqe, cmd)", unsafe.Offsetof(e.NVMe), 48},
		{"sizeof(struct io_uring_cqe) with IORING_SETUP_CQE32", unsafe.Sizeof(CommandCQE{}), 32},
		{"offsetof(cqe, big_cqe)", unsafe.Offsetof(CommandCQE{}.Result), 16},
		{"sizeof(struct nvme_uring_cmd)", unsafe.Sizeof(n), 72},
		{"size in NVME_URING_CMD_IO", NVMeIO >> 16 & 0x3fff, unsafe.Sizeof(n)},
		{"offsetof(nvme_uring_cmd, nsid)", unsafe.Offsetof(n.NSID), 4},
		{"offsetof(nvme_uring_cmd, metadata)", unsafe.Offsetof(n.Metadata), 16},
		{"offsetof(nvme_uring_cmd, addr)", unsafe.Offsetof(n.Addr), 24},
		{"offsetof(nvme_uring_cmd, metadata_len)", unsafe.Offsetof(n.MetadataLen), 32},
		{"offsetof(nvme_uring_cmd, data_len)", unsafe.Offsetof(n.DataLen), 36},
		{"offsetof(nvme_uring_cmd, cdw10)", unsafe.Offsetof(n.CDW10), 40},
		{"offsetof(nvme_uring_cmd, cdw15)", unsafe.Offsetof(n.CDW15), 60},
		{"offsetof(nvme_uring_cmd, timeout_ms)", unsafe.Offsetof(n.TimeoutMS), 64},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, the kernel's is %d", c.name, c.got, c.want)
		}
	}
}

func TestRangesAreAsTheDeviceReadsThem(t *testing.T) {
	b := bytes.Repeat([]byte{0xff}, NVMeRangeBytes)
	PutNVMeRange(b, 0x0102030405060708, 0x0a0b0c0d)
	want := []byte{0, 0, 0, 0, 0x0d, 0x0c, 0x0b, 0x0a, 8, 7, 6, 5, 4, 3, 2, 1}
	if !bytes.Equal(b, want) {
		t.Errorf("% x, want % x", b, want)
	}
}

// In a ring for commands entries and completions are where the kernel looks for them, over several turns of it.
func TestEntriesOfACommandRing(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			r := newRing(t, Options{Entries: 4, Flags: s.flags | CommandFlags, SQIdle: 100 * time.Millisecond})
			for sent := uint64(0); sent < 40; {
				n := min(uint32(sent%4+1), r.Room())
				for i := range n {
					*r.NextCommand(i) = CommandSQE{Opcode: OpNop, UserData: sent}
					sent++
				}
				r.Advance(n)
				if err := r.Submit(); err != nil {
					t.Fatal(err)
				}
				for seen := sent - uint64(n); seen < sent; {
					if err := r.Wait(1, time.Second); err != nil || r.Ready() == 0 {
						t.Fatalf("%d did not come back: %v", seen, err)
					}
					if c := r.CommandResult(0); c.UserData != seen || c.Res != 0 {
						t.Fatalf("completion %+v, want that of %d", *c, seen)
					}
					r.Consume(1)
					seen++
				}
			}
		})
	}
}
