package catalog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// batch is one request of op to each of the first blocks.
func batch(op engine.Op) []engine.Request {
	var reqs []engine.Request
	for s := range uint32(depth) {
		reqs = append(reqs, engine.Request{Op: op, Slot: s, Offset: int64(s) * block, Length: block})
	}
	return reqs
}

// Buffered reads leave (next to) nothing in the page cache when they are not to, and all otherwise: a read that must
// not wait tells. (When the pages of writes go is the kernel's choice.)
func TestUncachedIOLeavesNothingInThePageCache(t *testing.T) {
	for _, name := range engines {
		for _, uncached := range []bool{false, true} {
			t.Run(name+map[bool]string{true: "/uncached"}[uncached], func(t *testing.T) {
				tg := file(t, t.TempDir())
				if err := tg.CheckUncached(); err != nil {
					if fault.Of(err).Code != "UNCACHED_UNSUPPORTED" {
						t.Fatal(err)
					}
					t.Skipf("the file system of the tests' directory: %v", err)
				}
				q, _ := queue(t, name, tg, func(c *engine.Config) { c.Uncached = uncached })
				cached := 0
				for range 5 { // a page that is busy may stay, and on a busy machine many are
					// Without reading ahead, which brings in pages that other reads find and leave.
					if err := errors.Join(tg.DropCache(), tg.Advise(fileio.Random)); err != nil {
						t.Fatal(err)
					}
					for s, r := range turn(t, q, batch(engine.OpRead)) {
						if r != block {
							t.Errorf("read %d: %d", s, r)
						}
					}
					cached = 0
					for s := range depth {
						if fileio.PreadFlags(tg.FD(), make([]byte, block), int64(s)*block, fileio.NoWait) == block {
							cached++
						}
					}
					if uncached && cached <= depth/2 || !uncached && cached == depth {
						return
					}
				}
				t.Errorf("%d of %d blocks are in the page cache", cached, depth)
			})
		}
	}
}

// The memory of tmpfs is the page cache, which it says of each read and write.
func TestUncachedIsAskedOfReadsAndWrites(t *testing.T) {
	for _, name := range engines {
		t.Run(name, func(t *testing.T) {
			tg := file(t, testlab.Dir(t, true))
			if err := tg.CheckUncached(); err == nil || fault.Of(err).Code != "UNCACHED_UNSUPPORTED" {
				t.Errorf("the check beforehand: %v", err)
			}
			q, _ := queue(t, name, tg, func(c *engine.Config) { c.Uncached = true })
			for op := range engine.OpTrim {
				for s, r := range turn(t, q, batch(op)) {
					if r != -int32(syscall.EOPNOTSUPP) {
						t.Errorf("%s %d: %d, want EOPNOTSUPP", op, s, r)
					}
				}
			}
		})
	}
}

// file makes a file of as many blocks as a queue has slots, and opens it.
func file(t *testing.T, dir string) *target.Target {
	t.Helper()
	path := filepath.Join(dir, "data")
	if err := os.WriteFile(path, make([]byte, depth*block), 0o600); err != nil {
		t.Fatal(err)
	}
	tg, err := target.Open(target.Spec{Path: path, Access: target.ReadWrite, Overwrite: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tg.Close() })
	return tg
}

// A loop device writes nothing atomically, and says so of each write and of no read.
func TestAtomicIsAskedOfWritesOnly(t *testing.T) {
	for _, name := range engines {
		t.Run(name, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20})
			tg := open(t, dev.Path, target.ReadWrite, true)
			if err := tg.CheckAtomic(0, []int64{block}); err == nil || fault.Of(err).Code != "ATOMIC_UNSUPPORTED" {
				t.Errorf("the check beforehand: %v", err)
			}
			q, _ := queue(t, name, tg, func(c *engine.Config) { c.Atomic = true })
			for op, want := range []int32{engine.OpRead: block, engine.OpWrite: -int32(syscall.EOPNOTSUPP)} {
				for s, r := range turn(t, q, batch(engine.Op(op))) {
					if r != want {
						t.Errorf("%s %d: %d, want %d", engine.Op(op), s, r, want)
					}
				}
			}
		})
	}
}

// A target that takes no I/O which must not wait says so of each.
func TestNoWaitIsAskedOfReadsAndWrites(t *testing.T) {
	for _, name := range engines {
		t.Run(name, func(t *testing.T) {
			tg := file(t, testlab.Dir(t, true))
			if tg.NoWait() {
				t.Skip("tmpfs takes NOWAIT here, and nothing tells that it was asked for")
			}
			q, _ := queue(t, name, tg, func(c *engine.Config) { c.NoWait = true })
			for op := range engine.OpTrim {
				for s, r := range turn(t, q, batch(op)) {
					if r != -int32(syscall.EOPNOTSUPP) {
						t.Errorf("%s %d: %d, want EOPNOTSUPP", op, s, r)
					}
				}
			}
		})
	}
}

// sync_file_range gets the flags and the range: the kernel refuses a flag that there is not, and a range that ends
// before it begins.
func TestSyncRangesReachTheKernel(t *testing.T) {
	for _, name := range engines {
		for flags, want := range map[int]int32{fileio.WriteBack: block, 8: -int32(syscall.EINVAL)} {
			t.Run(fmt.Sprintf("%s/flags=%d", name, flags), func(t *testing.T) {
				tg := file(t, t.TempDir())
				q, _ := queue(t, name, tg, func(c *engine.Config) { c.SyncRange = flags })
				results := turn(t, q, []engine.Request{
					{Op: engine.OpSyncRange, Slot: 0, Offset: block, Length: block},
					{Op: engine.OpSyncRange, Slot: 1, Offset: -block, Length: block},
				})
				if results[0] != want || results[1] != -int32(syscall.EINVAL) {
					t.Errorf("results %v, want %d and EINVAL", results, want)
				}
			})
		}
	}
}
