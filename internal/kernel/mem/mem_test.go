package mem

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"
)

func TestMap(t *testing.T) {
	for _, o := range []Options{{}, {Populate: true}, {Huge: true}, {Huge: true, Populate: true}} {
		for _, bytes := range []int{1, os.Getpagesize() - 1, 3 << 20} {
			a, err := Map(bytes, o)
			if err != nil {
				t.Fatalf("Map(%d, %+v): %v", bytes, o, err)
			}
			b := a.Bytes()
			if len(b) != bytes || cap(b) != bytes {
				t.Errorf("Map(%d, %+v): len %d, cap %d", bytes, o, len(b), cap(b))
			}
			if at := uintptr(unsafe.Pointer(&b[0])); at%uintptr(os.Getpagesize()) != 0 {
				t.Errorf("Map(%d, %+v) starts at %#x, inside a page", bytes, o, at)
			}
			for i := range b {
				if b[i] != 0 {
					t.Fatalf("Map(%d, %+v): byte %d is %d", bytes, o, i, b[i])
				}
			}
			b[0], b[bytes-1] = 1, 2
			if o.Huge == (a.Pages() == Small) {
				t.Errorf("Map(%d, %+v) made %s pages", bytes, o, a.Pages())
			}
			if err := a.Unmap(); err != nil {
				t.Error(err)
			}
			if err := a.Unmap(); err != nil {
				t.Errorf("second Unmap: %v", err)
			}
		}
	}
}

func TestMapRefusesNothing(t *testing.T) {
	for _, bytes := range []int{0, -1} {
		if _, err := Map(bytes, Options{}); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("Map(%d) = %v, want EINVAL", bytes, err)
		}
	}
	if _, err := Map(1<<62, Options{Huge: true}); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("mapping 4 EiB: %v, want ENOMEM", err)
	}
}

func TestPopulateFaultsPagesIn(t *testing.T) {
	for _, o := range []Options{{Populate: true}, {Huge: true, Populate: true}} {
		a, err := Map(64*os.Getpagesize(), o)
		if err != nil {
			t.Fatal(err)
		}
		resident := make([]byte, 64)
		_, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&a.Bytes()[0])),
			uintptr(len(a.Bytes())), uintptr(unsafe.Pointer(&resident[0])))
		if errno != 0 {
			t.Fatal(errno)
		}
		for i, r := range resident {
			if r&1 == 0 {
				t.Errorf("%+v: page %d is not resident", o, i)
			}
		}
		if err := a.Unmap(); err != nil {
			t.Error(err)
		}
	}
}

func TestSlotsDoNotShareLines(t *testing.T) {
	type word struct{ v atomic.Uint32 }
	a, words, err := Slots[word](5)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Unmap(); err != nil {
			t.Error(err)
		}
	}()
	for i, w := range words {
		if at := uintptr(unsafe.Pointer(w)); at%LineBytes != 0 {
			t.Errorf("word %d at %#x", i, at)
		}
		w.v.Store(uint32(i))
	}
	for i, w := range words {
		if got := w.v.Load(); got != uint32(i) {
			t.Errorf("word %d holds %d", i, got)
		}
	}
}

func TestSlotsRefusePointers(t *testing.T) {
	refused := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, ErrPointers) {
			t.Errorf("%s: %v, want ErrPointers", name, err)
		}
	}
	_, _, err := Slots[*int](1)
	refused("pointer", err)
	_, _, err = Slots[struct{ s [2]string }](1)
	refused("string in an array in a struct", err)
	_, _, err = Slots[any](1)
	refused("interface", err)
	a, _, err := Slots[struct {
		n [4]uint64
		e [0]*int
	}](2)
	if err != nil {
		t.Fatalf("plain words: %v", err)
	}
	if err := a.Unmap(); err != nil {
		t.Error(err)
	}
}

func TestMappedWordsAreInTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(name, make([]byte, 2*os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	words, unmap, err := MapWords(f, int64(os.Getpagesize()), 16)
	if err != nil {
		t.Fatal(err)
	}
	words[15].Store(0x01020304)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.NativeEndian.Uint32(data[os.Getpagesize()+60:]); got != 0x01020304 {
		t.Errorf("the file has %x", got)
	}
	if err := unmap(); err != nil {
		t.Error(err)
	}
	if _, _, err := MapWords(f, 0, 0); err == nil {
		t.Error("nothing was mapped, without an error")
	}
}
