package testlab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// LoopOptions says what loop device a test wants. The zero value is 64 MiB of 512-byte blocks over a sparse
// file in the test's own directory.
type LoopOptions struct {
	SizeBytes   int64  // of the backing file; 0: 64 MiB
	SectorBytes int    // logical block size; 0: 512
	DirectIO    bool   // the device reads and writes its file around the page cache
	ReadOnly    bool   // the device refuses writes
	Tmpfs       bool   // keep the file in memory (/dev/shm): fast, and free of the disk's noise
	Backing     string // attach this existing file instead of making one
}

// LoopDevice is a loop device of the test's own.
type LoopDevice struct {
	*blk.Loop
	Name    string // loopN
	Backing string // path of the file under it
}

// Loop attaches a loop device and detaches it when the test ends. The test needs what Require(t, "loop")
// asks for, which Loop does itself.
func Loop(t testing.TB, o LoopOptions) *LoopDevice {
	t.Helper()
	Require(t, "loop")
	backing := o.Backing
	if backing == "" {
		backing = backingFile(t, o)
	}
	loop, err := blk.AttachLoop(backing, blk.LoopOptions{
		SectorBytes: o.SectorBytes, DirectIO: o.DirectIO, ReadOnly: o.ReadOnly,
		AutoClear: true, // the kernel detaches it when a killed test can not
	})
	if err != nil {
		t.Fatalf("attach loop device: %v", err)
	}
	device := &LoopDevice{Loop: loop, Name: filepath.Base(loop.Path), Backing: backing}
	t.Cleanup(func() { device.release(t) })
	return device
}

func backingFile(t testing.TB, o LoopOptions) string {
	t.Helper()
	size := o.SizeBytes
	if size == 0 {
		size = 64 << 20
	}
	path := filepath.Join(Dir(t, o.Tmpfs), "backing.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// Dir returns a directory of the test's own, in memory if tmpfs, that is removed when the test ends.
func Dir(t testing.TB, tmpfs bool) string {
	t.Helper()
	if !tmpfs {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "blkmeter-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// release detaches the device and waits until it is gone. A test may have detached it already.
func (d *LoopDevice) release(t testing.TB) {
	err := d.Detach()
	if err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, syscall.ENXIO) && !errors.Is(err, syscall.EBADF) {
		t.Errorf("detach %s: %v", d.Path, err)
	}
	if !Eventually(5*time.Second, func() bool { return !d.attached() }) {
		t.Errorf("%s is still attached to %s: something holds it open", d.Path, d.Backing)
	}
}

// attached says whether the device still has this test's file under it.
func (d *LoopDevice) attached() bool {
	path, err := os.ReadFile("/sys/block/" + d.Name + "/loop/backing_file")
	return err == nil && strings.TrimSuffix(strings.TrimSpace(string(path)), " (deleted)") == d.Backing
}

// Eventually asks cond every few milliseconds until it is true or limit has passed, and returns its last
// answer.
func Eventually(limit time.Duration, cond func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return cond()
		}
	}
	return true
}

// Undisturbed tries something that measures time until it goes undisturbed, five times at most, for others may take
// the CPU away meanwhile. What try returns is why it did not.
func Undisturbed(t testing.TB, try func() (why string)) {
	t.Helper()
	var why string
	for range 5 {
		if why = try(); why == "" {
			return
		}
	}
	t.Fatal(why)
}
