package testlab

import (
	"context"
	"math"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Op is an operation that a [Fault] can befall.
type Op uint8

// The operations.
const (
	Reads Op = iota
	Writes
	Syncs
)

// Fault is something that goes wrong with I/O on a [FaultDisk]. The zero value of every field but Op means
// "any" or "nothing".
type Fault struct {
	Op     Op
	Offset int64         // the fault befalls what touches Length bytes from here; syncs have no place
	Length int64         // 0: to the end
	Skip   int           // this many pass unharmed first
	Times  int           // it befalls this many, then no more; 0 for ever
	Delay  time.Duration // answer so much later
	Hang   bool          // answer when Clear is called
	Errno  syscall.Errno // answer with this error, doing nothing
	Short  int           // transfer at most so many bytes
	Drop   bool          // say that a write was done, and lose it
	Flip   bool          // turn over the first bit of what is read
}

// FaultDisk is a file in a file system of the test's own that fails as told: EIO at an offset, short
// transfers, delays, hangs, lost writes, wrong data. Direct I/O reaches it in parallel. A loop device over
// it (LoopOptions.Backing) is a block device with the same faults, except short transfers, which the loop
// driver completes itself.
type FaultDisk struct {
	Path string

	mu     sync.Mutex
	data   []byte
	faults []*armed
	clear  chan struct{} // closed by Clear: ends hangs
}

// armed is a fault and how often it was met.
type armed struct {
	Fault
	met, struck int
}

// NewFaultDisk mounts a file system with one file of size zero bytes, and unmounts it when the test ends.
// The test needs what Require(t, "root", "fuse") asks for.
func NewFaultDisk(t testing.TB, size int) *FaultDisk {
	t.Helper()
	Require(t, "root", "fuse")
	d := &FaultDisk{data: make([]byte, size), clear: make(chan struct{})}
	dir := t.TempDir()
	options := &fs.Options{MountOptions: fuse.MountOptions{
		DirectMount: true, FsName: "blkmeter-faults",
		MaxBackground: 1024,
		// Without it the kernel passes on direct I/O one at a time.
		ExtraCapabilities: fuse.CAP_ASYNC_DIO,
	}}
	root := &faultRoot{disk: d}
	server, err := fs.Mount(dir, root, options)
	if err != nil {
		t.Skipf("needs fuse: %v", err)
	}
	t.Cleanup(func() {
		d.Clear()
		var err error
		// The kernel lets go of a closed io_uring's files a moment later.
		if !Eventually(10*time.Second, func() bool { err = server.Unmount(); return err == nil }) {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	d.Path = filepath.Join(dir, "disk")
	return d
}

// Inject adds a fault.
func (d *FaultDisk) Inject(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, &armed{Fault: f})
}

// Clear takes all faults away and lets go of what hangs.
func (d *FaultDisk) Clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = nil
	close(d.clear)
	d.clear = make(chan struct{})
}

// Struck returns how many operations faults befell since the last Clear.
func (d *FaultDisk) Struck() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, f := range d.faults {
		n += f.struck
	}
	return n
}

// Bytes returns a copy of what is really stored.
func (d *FaultDisk) Bytes() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]byte(nil), d.data...)
}

// strike finds the first fault that befalls an operation, waits as it says, and returns it; the zero Fault
// when all is well.
func (d *FaultDisk) strike(ctx context.Context, op Op, offset, length int64) Fault {
	d.mu.Lock()
	var f Fault
	for _, a := range d.faults {
		if a.Op == op && a.befalls(offset, length) {
			a.struck++
			f = a.Fault
			break
		}
	}
	clear := d.clear
	d.mu.Unlock()
	f.wait(ctx, clear)
	return f
}

func (a *armed) befalls(offset, length int64) bool {
	end := int64(math.MaxInt64)
	if a.Length > 0 {
		end = a.Offset + a.Length
	}
	if a.Op != Syncs && (offset+length <= a.Offset || offset >= end) {
		return false
	}
	a.met++
	return a.met > a.Skip && (a.Times == 0 || a.met <= a.Skip+a.Times)
}

func (f Fault) wait(ctx context.Context, clear <-chan struct{}) {
	var late <-chan time.Time
	switch {
	case f.Hang:
	case f.Delay > 0:
		late = time.After(f.Delay)
	default:
		return
	}
	select {
	case <-late:
	case <-clear:
	case <-ctx.Done():
	}
}

// faultRoot is the directory, faultNode the file in it.
type faultRoot struct {
	fs.Inode
	disk *FaultDisk
}

var _ fs.NodeOnAdder = (*faultRoot)(nil)

func (r *faultRoot) OnAdd(ctx context.Context) {
	child := r.NewPersistentInode(ctx, &faultNode{disk: r.disk}, fs.StableAttr{Mode: syscall.S_IFREG})
	r.AddChild("disk", child, true)
}

type faultNode struct {
	fs.Inode
	disk *FaultDisk
}

var (
	_ fs.NodeOpener    = (*faultNode)(nil)
	_ fs.NodeGetattrer = (*faultNode)(nil)
	_ fs.NodeSetattrer = (*faultNode)(nil)
	_ fs.NodeReader    = (*faultNode)(nil)
	_ fs.NodeWriter    = (*faultNode)(nil)
	_ fs.NodeFsyncer   = (*faultNode)(nil)
)

// Open makes every read and write reach the disk, whether it asks for direct I/O or not.
func (n *faultNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (n *faultNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	out.Size = uint64(len(n.disk.data))
	out.Mode = 0o600
	return 0
}

// Setattr keeps the size: the disk does not grow.
func (n *faultNode) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.Getattr(ctx, h, out)
}

func (n *faultNode) Read(ctx context.Context, _ fs.FileHandle, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	f := n.disk.strike(ctx, Reads, offset, int64(len(dest)))
	if f.Errno != 0 {
		return nil, f.Errno
	}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if offset >= int64(len(n.disk.data)) {
		return fuse.ReadResultData(nil), 0
	}
	dest = dest[:f.limit(copy(dest, n.disk.data[offset:]))]
	if f.Flip && len(dest) > 0 {
		dest[0] ^= 1
	}
	return fuse.ReadResultData(dest), 0
}

func (n *faultNode) Write(ctx context.Context, _ fs.FileHandle, data []byte, offset int64) (uint32, syscall.Errno) {
	f := n.disk.strike(ctx, Writes, offset, int64(len(data)))
	if f.Errno != 0 {
		return 0, f.Errno
	}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if offset >= int64(len(n.disk.data)) {
		return 0, syscall.ENOSPC
	}
	data = data[:f.limit(min(len(data), len(n.disk.data)-int(offset)))]
	if !f.Drop {
		copy(n.disk.data[offset:], data)
	}
	return uint32(len(data)), 0
}

func (n *faultNode) Fsync(ctx context.Context, _ fs.FileHandle, _ uint32) syscall.Errno {
	return n.disk.strike(ctx, Syncs, 0, 0).Errno
}

// limit cuts a transfer of n bytes as the fault says.
func (f Fault) limit(n int) int {
	if f.Short > 0 {
		return min(n, f.Short)
	}
	return n
}
