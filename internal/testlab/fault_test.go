package testlab

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/ncw/directio"
)

func openDisk(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := blk.Open(path, blk.Flags{Write: true, Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func block(fill byte) []byte {
	b := directio.AlignedBlock(4096)
	for i := range b {
		b[i] = fill
	}
	return b
}

func TestFaultDisk(t *testing.T) {
	d := NewFaultDisk(t, 1<<20)
	f := openDisk(t, d.Path)
	if _, err := f.WriteAt(block(7), 8192); err != nil {
		t.Fatal(err)
	}
	if got := d.Bytes(); got[8191] != 0 || got[8192] != 7 || got[12287] != 7 || got[12288] != 0 {
		t.Error("a write did not land where it was meant to")
	}
	for name, c := range map[string]struct {
		fault Fault
		do    func() error
		want  error
	}{
		"read error":       {Fault{Op: Reads, Offset: 4096, Length: 4096, Errno: syscall.EIO}, func() error { _, err := f.ReadAt(block(0), 4096); return err }, syscall.EIO},
		"beside it":        {Fault{Op: Reads, Offset: 4096, Length: 4096, Errno: syscall.EIO}, func() error { _, err := f.ReadAt(block(0), 8192); return err }, nil},
		"other direction":  {Fault{Op: Writes, Errno: syscall.EIO}, func() error { _, err := f.ReadAt(block(0), 4096); return err }, nil},
		"write error":      {Fault{Op: Writes, Errno: syscall.ENOSPC}, func() error { _, err := f.WriteAt(block(0), 0); return err }, syscall.ENOSPC},
		"sync error":       {Fault{Op: Syncs, Errno: syscall.EIO}, f.Sync, syscall.EIO},
		"only the second":  {Fault{Op: Syncs, Errno: syscall.EIO, Skip: 1, Times: 1}, func() error { return errors.Join(f.Sync(), ignore(f.Sync(), syscall.EIO), f.Sync()) }, nil},
		"beyond the disk":  {Fault{}, func() error { _, err := f.WriteAt(block(0), 1<<20); return err }, syscall.ENOSPC},
		"the second, seen": {Fault{Op: Syncs, Errno: syscall.EIO, Skip: 1}, func() error { return errors.Join(f.Sync(), f.Sync()) }, syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			d.Inject(c.fault)
			defer d.Clear()
			if err := c.do(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// ignore returns nil for the error that is expected, and an error for its absence.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return errors.New("the expected error did not come")
}

func TestFaultDiskLies(t *testing.T) {
	d := NewFaultDisk(t, 1<<20)
	f := openDisk(t, d.Path)
	d.Inject(Fault{Op: Writes, Drop: true})
	if n, err := f.WriteAt(block(9), 0); n != 4096 || err != nil {
		t.Fatal(n, err)
	}
	if d.Bytes()[0] != 0 || d.Struck() != 1 {
		t.Error("a write that should be lost was stored")
	}
	d.Clear()
	d.Inject(Fault{Op: Reads, Flip: true, Times: 1})
	got := block(1)
	if _, err := f.ReadAt(got, 0); err != nil || got[0] != 1 || got[1] != 0 {
		t.Errorf("read %v %v, %v; want the first bit turned", got[0], got[1], err)
	}
	d.Inject(Fault{Op: Reads, Short: 512})
	if n, err := syscall.Pread(int(f.Fd()), block(0), 4096); n != 512 || err != nil {
		t.Errorf("a short read gave %d, %v", n, err)
	}
}

func TestFaultDiskHangsUntilCleared(t *testing.T) {
	d := NewFaultDisk(t, 1<<20)
	f := openDisk(t, d.Path)
	d.Inject(Fault{Op: Reads, Hang: true})
	done := make(chan error, 1)
	go func() { _, err := f.ReadAt(block(0), 0); done <- err }()
	if !Eventually(5*time.Second, func() bool { return d.Struck() == 1 }) {
		t.Fatal("the read did not arrive")
	}
	select {
	case err := <-done:
		t.Fatalf("the read returned: %v", err)
	default:
	}
	d.Clear()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFaultDiskTakesIOInParallel(t *testing.T) {
	d := NewFaultDisk(t, 1<<20)
	f := openDisk(t, d.Path)
	const parallel = 16
	d.Inject(Fault{Op: Reads, Hang: true})
	var wg sync.WaitGroup
	for i := range parallel {
		wg.Go(func() {
			if _, err := f.ReadAt(block(0), int64(i)*4096); err != nil {
				t.Error(err)
			}
		})
	}
	if !Eventually(5*time.Second, func() bool { return d.Struck() == parallel }) {
		t.Errorf("%d of %d reads were under way at once", d.Struck(), parallel)
	}
	d.Clear()
	wg.Wait()
}

func TestLoopDeviceOverAFaultDisk(t *testing.T) {
	d := NewFaultDisk(t, 8<<20)
	loop := Loop(t, LoopOptions{Backing: d.Path, DirectIO: true})
	f := openDisk(t, loop.Path)
	if _, err := f.WriteAt(block(5), 4096); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d.Bytes()[4096:8192], block(5)) {
		t.Error("the write did not reach the disk")
	}
	d.Inject(Fault{Op: Reads, Offset: 1 << 20, Length: 4096, Errno: syscall.EIO})
	if _, err := f.ReadAt(block(0), 1<<20); !errors.Is(err, syscall.EIO) {
		t.Errorf("read error = %v, want EIO", err)
	}
}
