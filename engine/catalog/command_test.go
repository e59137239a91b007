package catalog_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// generic opens the character device of the drive's first namespace.
func generic(t *testing.T, access target.Access) *target.Target {
	t.Helper()
	testlab.Require(t, "root", "nvme")
	tg, err := target.Open(target.Spec{Path: "/dev/ng0n1", Access: access, Passthrough: true, Destroy: []string{"ng0n1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tg.Close() })
	return tg
}

// A command that the device refuses comes back with the device's status, the others of its batch with their data.
func TestNVMeCommandsBeyondTheEndFail(t *testing.T) {
	tg := generic(t, target.ReadWrite)
	q, _ := queue(t, catalog.UringCmd, tg, nil)
	end := tg.SizeBytes()
	got := turn(t, q, []engine.Request{
		{Op: engine.OpRead, Slot: 0, Offset: end - block, Length: block},
		{Op: engine.OpRead, Slot: 1, Offset: end, Length: block},
		{Op: engine.OpWrite, Slot: 2, Offset: end, Length: block},
		{Op: engine.OpSync, Slot: 4},
		{Op: engine.OpSyncRange, Slot: 5},
	})
	for slot, want := range map[uint32]int32{
		0: block, 1: engine.NVMeFailure(0x4080), 2: engine.NVMeFailure(0x4080), 4: 0, 5: -int32(syscall.EOPNOTSUPP),
	} {
		if got[slot] != want {
			errno, status := engine.FailureOf(got[slot])
			t.Errorf("slot %d: %d (%v, status %#x), want %d", slot, got[slot], errno, status, want)
		}
	}
}

// The kernel lets root write through a descriptor that is open for reading; the engine does not.
func TestNVMeCommandsDoNotWriteToWhatIsRead(t *testing.T) {
	q, _ := queue(t, catalog.UringCmd, generic(t, target.ReadOnly), nil)
	got := turn(t, q, []engine.Request{
		{Op: engine.OpWrite, Slot: 0, Length: block}, {Op: engine.OpTrim, Slot: 1, Length: block}, {Op: engine.OpRead, Slot: 2, Length: block},
	})
	if got[0] != -int32(syscall.EBADF) || got[1] != -int32(syscall.EBADF) || got[2] != block {
		t.Errorf("results %v", got)
	}
}

func TestATurnOfNVMeCommandsAllocatesNothing(t *testing.T) {
	q, _ := queue(t, catalog.UringCmd, generic(t, target.ReadWrite), nil)
	ops := []engine.Op{engine.OpRead, engine.OpWrite, engine.OpTrim, engine.OpSync}
	reqs := make([]engine.Request, depth)
	for s := range reqs {
		reqs[s] = engine.Request{Op: ops[s%len(ops)], Slot: uint32(s), Offset: int64(s) * block, Length: block}
	}
	done := make([]engine.Completion, depth)
	if n := testing.AllocsPerRun(50, func() {
		if n, err := q.Submit(reqs); n != depth || err != nil {
			t.Fatal(n, err)
		}
		for got := 0; got < depth; {
			n, err := q.Reap(done, 1, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}); n != 0 {
		t.Errorf("%v allocations per turn", n)
	}
}
