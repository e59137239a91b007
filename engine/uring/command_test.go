package uring

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/internal/kernel/uring"
)

const (
	testDepth   = 4
	testStride  = 0x2000
	testBuffers = 0x7f0012340000
)

// commandQueue is a queue of commands whose entries nobody submits: a namespace of 512-byte blocks that may be
// written, and one of 4096-byte blocks that may not.
func commandQueue(t *testing.T, n engine.NVMe) *Queue {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	ring, err := uring.New(uring.Options{Entries: testDepth, Flags: uring.CommandFlags})
	if err != nil {
		t.Skipf("this kernel makes no rings for commands: %v", err)
	}
	ranges, err := mem.Map(testDepth*uring.NVMeRangeBytes, mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := engine.Config{Depth: testDepth}
	q := &Queue{
		ring: ring, fds: []int32{7, 9}, stride: testStride, buffers: testBuffers, perBuf: 3, early: engine.NewEarly(&c),
		commands: &commands{
			namespaces: []namespace{{id: 5, shift: 9, writable: true}, {id: 6, shift: 12}},
			kinds:      kindsOf(&n), lengths: make([]uint32, testDepth), ranges: ranges, rangesAt: 0x5000, dataFlags: uring.CommandFixed,
		},
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

// entry is what a request becomes in the ring, as the kernel reads it.
func entry(t *testing.T, q *Queue, r engine.Request) string {
	t.Helper()
	*q.ring.NextCommand(0) = uring.CommandSQE{OpFlags: ^uint32(0), NVMe: uring.NVMeCommand{CDW12: ^uint32(0), CDW13: ^uint32(0)}} // what the last one left
	if taken, queued := q.fill([]engine.Request{r}); taken != 1 || queued != 1 {
		t.Fatalf("%+v: %d taken, %d queued", r, taken, queued)
	}
	q.submitted = 0
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, q.ring.NextCommand(0)); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b.Bytes())
}

// Requests become the bytes that the kernel and the device read: those of the entry first, then the 72 of the
// command.
func TestRequestsBecomeCommands(t *testing.T) {
	const (
		// opcode, flags, ioprio, fd, cmd_op and its padding, addr, len
		writable = "2e000000 07000000 804e48c0 00000000 0000000000000000 00000000 "
		readOnly = "2e000000 09000000 804e48c0 00000000 0000000000000000 00000000 "
		fixed    = "01000000 " // uring_cmd_flags
		plain    = "00000000 "
	)
	for _, c := range []struct {
		name string
		nvme engine.NVMe
		req  engine.Request
		want string
	}{
		{
			"read of 8 blocks above block 2^32",
			engine.NVMe{},
			engine.Request{Op: engine.OpRead, Slot: 2, Offset: 0x100000003 << 9, Length: 4096},
			writable + fixed + "0200000000000000 0000 0000 00000000" +
				"02000000 05000000 0000000000000000 0000000000000000 0040341200 7f0000 00000000 00100000 03000000 01000000 07000000",
		},
		{
			"read of a 4096-byte block, in the second registered buffer",
			engine.NVMe{},
			engine.Request{Op: engine.OpRead, Slot: 3, File: 1, Offset: 5 << 12, Length: 4096},
			readOnly + fixed + "0300000000000000 0100 0000 00000000" +
				"02000000 06000000 0000000000000000 0000000000000000 0060341200 7f0000 00000000 00100000 05000000 00000000 00000000",
		},
		{
			"write with FUA",
			engine.NVMe{FUA: [2]bool{false, true}},
			engine.Request{Op: engine.OpWrite, Offset: 512, Length: 512},
			writable + fixed + "0000000000000000 0000 0000 00000000" +
				"01000000 05000000 0000000000000000 0000000000000000 0000341200 7f0000 00000000 00020000 01000000 00000000 00000040",
		},
		{
			"read when writes have FUA",
			engine.NVMe{FUA: [2]bool{false, true}},
			engine.Request{Op: engine.OpRead, Offset: 512, Length: 512},
			writable + fixed + "0000000000000000 0000 0000 00000000" +
				"02000000 05000000 0000000000000000 0000000000000000 0000341200 7f0000 00000000 00020000 01000000 00000000 00000000",
		},
		{
			"write zeroes, deallocating",
			engine.NVMe{Write: engine.NVMeZeroes, Deallocate: true},
			engine.Request{Op: engine.OpWrite, Offset: 1024, Length: 1024},
			writable + plain + "0000000000000000 0000 0000 00000000" +
				"08000000 05000000 0000000000000000 0000000000000000 0000000000000000 00000000 00000000 02000000 00000000 01000002",
		},
		{
			"write uncorrectable",
			engine.NVMe{Write: engine.NVMeUncorrectable},
			engine.Request{Op: engine.OpWrite, Offset: 1024, Length: 512},
			writable + plain + "0000000000000000 0000 0000 00000000" +
				"04000000 05000000 0000000000000000 0000000000000000 0000000000000000 00000000 00000000 02000000 00000000 00000000",
		},
		{
			"verify",
			engine.NVMe{Write: engine.NVMeVerify},
			engine.Request{Op: engine.OpWrite, Offset: 1024, Length: 512},
			writable + plain + "0000000000000000 0000 0000 00000000" +
				"0c000000 05000000 0000000000000000 0000000000000000 0000000000000000 00000000 00000000 02000000 00000000 00000000",
		},
		{
			"trim",
			engine.NVMe{},
			engine.Request{Op: engine.OpTrim, Slot: 1, Offset: 1 << 20, Length: 8192},
			writable + plain + "0100000000000000 0000 0000 00000000" +
				"09000000 05000000 0000000000000000 0000000000000000 1050000000000000 00000000 10000000 00000000 04000000 00000000",
		},
		{
			"sync",
			engine.NVMe{},
			engine.Request{Op: engine.OpSync, Slot: 1},
			writable + plain + "0100000000000000 0000 0000 00000000" +
				"00000000 05000000 0000000000000000 0000000000000000 0000000000000000 00000000 00000000 00000000 00000000 00000000",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := commandQueue(t, c.nvme)
			want := strings.ReplaceAll(c.want, " ", "")
			want += strings.Repeat("0", 256-len(want))
			if got := entry(t, q, c.req); got != want {
				t.Errorf("entry\n%s, want\n%s", got, want)
			}
			if c.req.Op == engine.OpTrim {
				got := hex.EncodeToString(q.commands.ranges.Bytes()[16:32])
				if want := "00000000" + "10000000" + "0008000000000000"; got != want {
					t.Errorf("range %s, want %s", got, want)
				}
			}
		})
	}
}

// Root may send any command through a descriptor that is open for reading: that nothing is written through one
// is up to the engine.
func TestNothingIsWrittenToWhatIsOpenForReading(t *testing.T) {
	q := commandQueue(t, engine.NVMe{})
	for _, op := range []engine.Op{engine.OpWrite, engine.OpTrim, engine.OpSync, engine.OpDatasync, engine.OpSyncRange} {
		if taken, queued := q.fill([]engine.Request{{Op: op, File: 1, Length: 4096}}); taken != 1 || queued != 0 {
			t.Errorf("%s: %d taken, %d queued", op, taken, queued)
		}
		done := make([]engine.Completion, 2)
		if n, err := q.Reap(done, 1, 0); n != 1 || err != nil || done[0].Result != -int32(syscall.EBADF) {
			t.Errorf("%s: %d completions, %v, %+v", op, n, err, done[0])
		}
	}
	if taken, queued := q.fill([]engine.Request{{Op: engine.OpSyncRange, Length: 4096}}); taken != 1 || queued != 0 {
		t.Errorf("sync_file_range: %d taken, %d queued", taken, queued)
	}
}

func TestStatusesKeepTheirPlaceInResults(t *testing.T) {
	for _, status := range []uint16{1, 0x80, 0x281, 0x4281, 0x7fff} {
		result := engine.NVMeFailure(status)
		if errno, got := engine.FailureOf(result); result >= 0 || errno != syscall.EIO || got != status {
			t.Errorf("status %#x is result %d, which is %v and %#x", status, result, errno, got)
		}
	}
	if errno, status := engine.FailureOf(-int32(syscall.ENOSPC)); errno != syscall.ENOSPC || status != 0 {
		t.Errorf("ENOSPC is %v and %#x", errno, status)
	}
}

func TestWhatIsSentIsTold(t *testing.T) {
	m := commands{}
	for want, n := range map[string]engine.NVMe{
		"NVMe commands": {},
		"NVMe commands, writes are zeroes, writes with FUA": {Write: engine.NVMeZeroes, FUA: [2]bool{false, true}},
		"NVMe commands, reads with FUA":                     {FUA: [2]bool{true, false}},
	} {
		if got := m.describe(&n); got != want {
			t.Errorf("%s: %q, want %q", fmt.Sprint(n), got, want)
		}
	}
}
