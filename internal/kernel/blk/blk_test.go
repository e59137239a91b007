package blk_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"pgregory.net/rapid"
)

func TestDevTIsReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := blk.DevT{Major: rapid.Uint32().Draw(t, "major"), Minor: rapid.Uint32().Draw(t, "minor")}
		got, err := blk.ParseDevT(d.String() + "\n")
		if err != nil || got != d {
			t.Fatalf("%v became %v, %v", d, got, err)
		}
	})
	for _, s := range []string{"", ":", "1", "1:", ":1", "1:2:3", "-1:2", "a:b", "4294967296:0"} {
		if d, err := blk.ParseDevT(s); err == nil {
			t.Errorf("%q became %v", s, d)
		}
	}
}

// pattern is n bytes without a zero.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i%251) + 1
	}
	return b
}

func open(t *testing.T, path string, how blk.Flags) *os.File {
	t.Helper()
	f, err := blk.Open(path, how)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestExtentsAndHoles(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "file"), blk.Flags{Write: true, Create: true, Exclusive: true})
	fd := int(f.Fd())
	const mib = 1 << 20
	if err := blk.Allocate(fd, 0, 8*mib); err != nil {
		t.Skipf("this file system does not allocate: %v", err)
	}
	for _, at := range []int64{0, 4 * mib} {
		if _, err := f.WriteAt(pattern(mib), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := blk.PunchHole(fd, 6*mib, mib); err != nil {
		t.Fatal(err)
	}
	sum := func(offset, length int64) (written, unwritten int64) {
		err := blk.Extents(fd, offset, length, func(e blk.Extent) bool {
			if e.Offset < offset || e.Offset+e.Length > offset+length {
				t.Errorf("extent %+v is outside the range", e)
			}
			if e.Unwritten {
				unwritten += e.Length
			} else {
				written += e.Length
			}
			return true
		})
		if errors.Is(err, syscall.EOPNOTSUPP) {
			t.Skip("this file system has no extent map")
		}
		if err != nil {
			t.Fatal(err)
		}
		return written, unwritten
	}
	for _, c := range []struct{ offset, length, written, unwritten int64 }{
		{0, 8 * mib, 2 * mib, 5 * mib},
		{mib / 2, mib, mib / 2, mib / 2},
		{6 * mib, mib, 0, 0},
		{4 * mib, mib, mib, 0},
		{7 * mib, 100 * mib, 0, mib},
	} {
		if w, u := sum(c.offset, c.length); w != c.written || u != c.unwritten {
			t.Errorf("%d bytes at %d: written %d, unwritten %d; want %d and %d", c.length, c.offset, w, u, c.written, c.unwritten)
		}
	}
}

func TestDataExtents(t *testing.T) {
	f := open(t, filepath.Join(testlab.Dir(t, false), "sparse"), blk.Flags{Write: true, Create: true})
	if _, err := f.WriteAt(pattern(1<<20), 2<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(8 << 20); err != nil {
		t.Fatal(err)
	}
	var got []blk.Extent
	err := blk.DataExtents(int(f.Fd()), 0, 8<<20, func(e blk.Extent) bool { got = append(got, e); return true })
	want := []blk.Extent{{Offset: 2 << 20, Length: 1 << 20}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("data = %v, %v; want %v", got, err, want)
	}
}

func TestDiscardAndZeroOut(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true, SizeBytes: 4 << 20})
	f := open(t, d.Path, blk.Flags{Write: true})
	fd := int(f.Fd())
	for name, zero := range map[string]func(int, int64, int64) error{"discard": blk.Discard, "zero out": blk.ZeroOut} {
		t.Run(name, func(t *testing.T) {
			if _, err := f.WriteAt(pattern(4<<20), 0); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Sync(), zero(fd, 1<<20, 1<<20)); err != nil {
				t.Fatal(err)
			}
			want := pattern(4 << 20)
			clear(want[1<<20 : 2<<20])
			got := make([]byte, 4<<20)
			if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("not exactly the range became zeros (%v)", err)
			}
		})
	}
	if err := blk.Discard(fd, 100, 512); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a misaligned discard gave %v", err)
	}
}

func TestLoopGrows(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true, SizeBytes: 1 << 20})
	if err := os.Truncate(d.Backing, 3<<20); err != nil {
		t.Fatal(err)
	}
	if err := d.Grow(); err != nil {
		t.Fatal(err)
	}
	if n, err := blk.SizeBytes(int(open(t, d.Path, blk.Flags{}).Fd())); err != nil || n != 3<<20 {
		t.Errorf("size = %d, %v", n, err)
	}
}

func TestDirectAlignIsTheDevices(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{SectorBytes: 4096, Tmpfs: true})
	align, ok := blk.StatDirectAlign(int(open(t, d.Path, blk.Flags{Direct: true}).Fd()))
	if !ok {
		t.Skip("this kernel does not tell (statx STATX_DIOALIGN)")
	}
	if align.Offset != 4096 || align.Memory < 1 || align.Memory > 4096 {
		t.Errorf("alignment = %+v", align)
	}
}

func TestNoWait(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	if ok, err := blk.TakesNoWait(int(open(t, d.Path, blk.Flags{}).Fd()), make([]byte, 512)); err != nil || !ok {
		t.Errorf("a loop device takes no NOWAIT: %v, %v", ok, err)
	}
	if ok, err := blk.TakesNoWait(int(open(t, d.Backing, blk.Flags{}).Fd()), make([]byte, 512)); err != nil || ok {
		t.Errorf("tmpfs takes NOWAIT: %v, %v", ok, err)
	}
}

func TestExclusiveOpen(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	open(t, d.Path, blk.Flags{Write: true, Exclusive: true})
	if f, err := blk.Open(d.Path, blk.Flags{Exclusive: true}); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("second exclusive open: %v, %v", f, err)
	}
	open(t, d.Path, blk.Flags{Write: true})
}

func TestNothingIsCreatedUnasked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent")
	for _, how := range []blk.Flags{{}, {Write: true}, {Write: true, Direct: true}, {Write: true, Exclusive: true}} {
		if _, err := blk.Open(path, how); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%+v: %v", how, err)
		}
	}
}

func TestNVMeCommandsOnSomethingElse(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	fd := int(open(t, d.Path, blk.Flags{}).Fd())
	if _, err := blk.NVMeLogPage(fd, 2, 512); err == nil {
		t.Error("a loop device answered an NVMe command")
	}
}
