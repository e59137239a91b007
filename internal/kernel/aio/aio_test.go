package aio

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"golang.org/x/sys/unix"
)

func TestLayoutsEqualTheKernels(t *testing.T) {
	if s := unsafe.Sizeof(IOCB{}); s != 64 {
		t.Errorf("struct iocb is %d bytes, the kernel's is 64", s)
	}
	if s := unsafe.Offsetof(IOCB{}.Buf); s != 24 {
		t.Errorf("iocb.aio_buf is at %d, the kernel's is at 24", s)
	}
	if s := unsafe.Sizeof(Event{}); s != 32 {
		t.Errorf("struct io_event is %d bytes, the kernel's is 32", s)
	}
	if s := unsafe.Sizeof(ring{}); s != ringHeader {
		t.Errorf("struct aio_ring's header is %d bytes, the kernel's is %d", s, ringHeader)
	}
}

func TestWrittenBlocksAreReadBack(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "data"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const blocks, size = 8, 4096
	region, err := unix.Mmap(-1, 0, 2*blocks*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(region)
	out, in := region[:blocks*size], region[blocks*size:]
	for i := range out {
		out[i] = byte(i>>12 + i)
	}
	c, err := New(blocks)
	if err != nil {
		t.Skipf("this kernel has no AIO: %v", err)
	}
	defer c.Close()
	for _, pass := range []struct {
		cmd Command
		buf []byte
	}{{CmdPwrite, out}, {CmdPread, in}} {
		cbs := make([]*IOCB, blocks)
		for i := range cbs {
			cbs[i] = &IOCB{
				Data: uint64(i), Opcode: pass.cmd, FD: uint32(f.Fd()),
				Buf: mem.Address(pass.buf[i*size:]), NBytes: size, Offset: int64(i) * size,
			}
		}
		if n, errno := c.Submit(cbs); errno != 0 || n != blocks {
			t.Fatalf("submitted %d of %d: %v", n, blocks, errno)
		}
		events, seen := make([]Event, blocks), 0
		for got := 0; got < blocks; {
			n := c.Ready(events)
			if n == 0 {
				if n, err = c.Wait(events, 1, time.Second); err != nil {
					t.Fatal(err)
				}
			}
			for _, e := range events[:n] {
				if e.Res != size {
					t.Fatalf("block %d: %d bytes", e.Data, e.Res)
				}
				seen |= 1 << e.Data
			}
			got += n
		}
		if seen != 1<<blocks-1 {
			t.Fatalf("completions seen: %b", seen)
		}
	}
	if !bytes.Equal(out, in) {
		t.Error("data read back differ from the data written")
	}
	if n, err := c.Wait(make([]Event, 1), 1, 10*time.Millisecond); n != 0 || err != nil {
		t.Errorf("a wait with nothing in flight gave %d, %v", n, err)
	}
}
