package fileio

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	out := []byte("0123456789abcdef")
	if n := Pwrite(fd, out, 100); n != len(out) {
		t.Fatalf("pwrite: %d", n)
	}
	if n := PwriteFlags(fd, out, 200, 0); n != len(out) {
		t.Fatalf("pwritev2: %d", n)
	}
	if Fsync(fd) != 0 || Fdatasync(fd) != 0 {
		t.Error("syncing a file failed")
	}
	for name, read := range map[string]func([]byte) int{
		"pread":   func(b []byte) int { return Pread(fd, b, 100) },
		"preadv2": func(b []byte) int { return PreadFlags(fd, b, 200, 0) },
	} {
		in := make([]byte, len(out))
		if n := read(in); n != len(in) || !bytes.Equal(in, out) {
			t.Errorf("%s: %d bytes, %q", name, n, in)
		}
	}
	if n := Pread(fd, make([]byte, 8), 212); n != 4 {
		t.Errorf("a read over the end gave %d bytes, want 4", n)
	}
}

func TestErrorsAreNegatedErrnos(t *testing.T) {
	if n := Pread(-1, make([]byte, 8), 0); n != -int(syscall.EBADF) {
		t.Errorf("pread of a closed descriptor: %d", n)
	}
	if n := Fsync(-1); n != -int(syscall.EBADF) {
		t.Errorf("fsync of a closed descriptor: %d", n)
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	f, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, buf := int(f.Fd()), make([]byte, 512)
	if n := testing.AllocsPerRun(100, func() { Pread(fd, buf, 0); PreadFlags(fd, buf, 0, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
