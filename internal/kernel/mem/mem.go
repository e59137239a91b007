// Package mem is memory that the Go runtime knows nothing of: mapped, never moved, not scanned, and not
// freed before it is unmapped. I/O buffers and words shared with the kernel or between spinning threads
// live here.
package mem

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"reflect"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pages says what pages an arena asked for and got.
type Pages string

const (
	Small       Pages = "small"       // the base page size
	Transparent Pages = "transparent" // base pages that the kernel may merge into huge ones (MADV_HUGEPAGE)
	Huge        Pages = "huge"        // reserved huge pages (MAP_HUGETLB)
)

// hugeBytes is the default huge page of amd64 and of arm64 with 4 KiB base pages.
const hugeBytes = 2 << 20

// Options says how an arena is to be mapped.
type Options struct {
	Huge      bool   // reserved huge pages, or failing that transparent ones, or failing that base pages
	HugeBytes int    // reserved huge pages of this size, a power of two, and no others; 0: as Huge says
	Populate  bool   // fault every page in now rather than at its first use
	Skip      int    // bytes between the start of the first page and the arena
	Policy    Policy // on which NUMA nodes the pages are to be
	Nodes     []int  // of the policy
}

// Arena is one private anonymous mapping, zeroed, aligned to a page.
type Arena struct {
	mapped []byte
	used   []byte
	pages  Pages
}

// Map returns an arena of at least bytes bytes (mmap(2)). With o.Huge it falls back from reserved to
// transparent huge pages and then to base pages; Pages tells what it became.
func Map(bytes int, o Options) (*Arena, error) {
	if bytes <= 0 || o.Skip < 0 {
		return nil, fmt.Errorf("mapping %d bytes: %w", bytes, unix.EINVAL)
	}
	b, pages, err := mapPages(bytes+o.Skip, o)
	if err != nil {
		return nil, fmt.Errorf("mapping %d bytes: %w", bytes, err)
	}
	a := &Arena{mapped: b, used: b[o.Skip : o.Skip+bytes : o.Skip+bytes], pages: pages}
	if o.Policy != DefaultPolicy {
		if err := bind(b, o.Policy, o.Nodes); err != nil {
			return nil, errors.Join(err, a.Unmap())
		}
	}
	// Transparent huge pages and a policy must be asked for before the first fault, so populating comes last.
	if o.Populate {
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 0
		}
	}
	return a, nil
}

// mapPages maps pages as o asks, which are not there yet.
func mapPages(bytes int, o Options) ([]byte, Pages, error) {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	const prot = unix.PROT_READ | unix.PROT_WRITE
	if o.HugeBytes > 0 {
		size := bits.TrailingZeros(uint(o.HugeBytes)) << unix.MAP_HUGE_SHIFT
		b, err := unix.Mmap(-1, 0, roundUp(bytes, o.HugeBytes), prot, flags|unix.MAP_HUGETLB|size)
		return b, Huge, err
	}
	if o.Huge {
		// A failure only says that no huge pages are reserved, or that their size is another one.
		if b, err := unix.Mmap(-1, 0, roundUp(bytes, hugeBytes), prot, flags|unix.MAP_HUGETLB); err == nil {
			return b, Huge, nil
		}
	}
	b, err := unix.Mmap(-1, 0, roundUp(bytes, os.Getpagesize()), prot, flags)
	if err == nil && o.Huge && unix.Madvise(b, unix.MADV_HUGEPAGE) == nil {
		return b, Transparent, nil
	}
	return b, Small, err
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

// Bytes is the arena's memory. It must not be used after Unmap.
func (a *Arena) Bytes() []byte { return a.used }

// Pages says what the arena is made of.
func (a *Arena) Pages() Pages { return a.pages }

// Unmap gives the memory back (munmap(2)). Unmapping twice is harmless; using the memory afterwards is a
// fault that ends the process.
func (a *Arena) Unmap() error {
	if a.mapped == nil {
		return nil
	}
	b := a.mapped
	a.mapped, a.used = nil, nil
	if err := unix.Munmap(b); err != nil {
		return fmt.Errorf("unmapping %d bytes: %w", len(b), err)
	}
	return nil
}

// LineBytes is the distance that keeps two words from sharing a cache line: two 64-byte lines, since the
// adjacent-line prefetcher of x86 and the 128-byte lines of some arm64 cores pair them.
const LineBytes = 128

// ErrPointers refuses a type that holds Go pointers: the collector does not look into an arena.
var ErrPointers = errors.New("holds Go pointers, which the collector would not see")

// Slots maps an arena of n values of T, each starting on a cache line of its own (see [LineBytes]), and
// returns pointers to them. T must not hold Go pointers.
func Slots[T any](n int) (*Arena, []*T, error) {
	t := reflect.TypeFor[T]()
	if pointers(t) {
		return nil, nil, fmt.Errorf("%v: %w", t, ErrPointers)
	}
	stride := (int(t.Size()) + LineBytes - 1) / LineBytes * LineBytes
	a, err := Map(max(n*stride, 1), Options{Populate: true})
	if err != nil {
		return nil, nil, err
	}
	slots := make([]*T, n)
	for i := range slots {
		slots[i] = (*T)(unsafe.Pointer(&a.used[i*stride]))
	}
	return a, slots, nil
}

// pointers says whether a value of t holds anything the collector follows.
func pointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() > 0 && pointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if pointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	default:
		return t.Kind() < reflect.Bool || t.Kind() > reflect.Complex128
	}
}
