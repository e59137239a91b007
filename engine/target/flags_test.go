package target

import (
	"path/filepath"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

func TestAtomicWritesThatTheKernelWouldRefuse(t *testing.T) {
	can := blk.AtomicWrite{Min: 512, Max: 65536}
	for _, c := range []struct {
		can    blk.AtomicWrite
		offset int64
		sizes  []int64
		code   string // empty: allowed
	}{
		{can, 0, []int64{4096, 4096}, ""},
		{can, 65536, []int64{65536}, ""},
		{can, 1024, []int64{512}, ""},
		{blk.AtomicWrite{}, 0, []int64{4096}, "ATOMIC_UNSUPPORTED"},
		{can, 0, []int64{4096, 8192}, "ATOMIC_SIZE"},
		{can, 0, []int64{12288}, "ATOMIC_SIZE"},
		{can, 0, []int64{131072}, "ATOMIC_SIZE"},
		{blk.AtomicWrite{Min: 4096, Max: 65536}, 0, []int64{512}, "ATOMIC_SIZE"},
		{can, 4096, []int64{8192}, "ATOMIC_SIZE"},
	} {
		err := allowAtomic(c.can, "/dev/x", c.offset, c.sizes)
		if code := codeOf(err); code != c.code {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.Of(err).Code
}

// The kernel has the lifetime that it was told, and what it had before when that is taken back; for a device
// as for a file.
func TestTheKernelIsToldHowLongDataLive(t *testing.T) {
	targets := map[string]*Target{
		"file": mustOpen(t, &Opener{}, Spec{Path: filepath.Join(t.TempDir(), "new"), Access: ReadWrite, Create: true, SizeBytes: 1 << 20}),
	}
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20})
	targets["device"] = mustOpen(t, &Opener{}, Spec{Path: dev.Path, Access: ReadWrite, Destroy: []string{dev.Name}})
	for name, tg := range targets {
		t.Run(name, func(t *testing.T) {
			want := func(l fileio.Lifetime) {
				t.Helper()
				if got, err := fileio.LifetimeOf(tg.FD()); err != nil || got != l {
					t.Errorf("the kernel has lifetime %d, %v; want %d", got, err, l)
				}
			}
			want(fileio.NotSet)
			toShort, err := tg.SetLifetime(fileio.Short)
			if err != nil {
				t.Fatal(err)
			}
			want(fileio.Short)
			toExtreme, err := tg.SetLifetime(fileio.Extreme)
			if err != nil {
				t.Fatal(err)
			}
			want(fileio.Extreme)
			for _, back := range []struct {
				undo func() error
				to   fileio.Lifetime
			}{{toExtreme, fileio.Short}, {toShort, fileio.NotSet}} {
				if err := back.undo(); err != nil {
					t.Fatal(err)
				}
				want(back.to)
			}
		})
	}
}
