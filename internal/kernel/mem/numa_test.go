package mem

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// policyOf asks the kernel for the policy of a page.
func policyOf(t *testing.T, page *byte) (Policy, []int) {
	t.Helper()
	var mode int32
	var mask nodeMask
	_, _, errno := syscall.Syscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), uintptr(unsafe.Pointer(&mask)), maxNodes+1,
		uintptr(unsafe.Pointer(page)), unix.MPOL_F_ADDR, 0)
	if errors.Is(errno, unix.ENOSYS) {
		t.Skip("this kernel was built without NUMA")
	}
	if errno != 0 {
		t.Fatalf("get_mempolicy: %v", errno)
	}
	var nodes []int
	for n := range maxNodes {
		if mask[n/64]>>(n%64)&1 == 1 {
			nodes = append(nodes, n)
		}
	}
	return Policy(mode), nodes
}

func TestPagesHaveTheirPolicy(t *testing.T) {
	for _, c := range []struct {
		policy Policy
		nodes  []int
	}{{DefaultPolicy, nil}, {Preferred, []int{0}}, {Bind, []int{0}}, {Interleave, []int{0}}, {Local, nil}} {
		for _, o := range []Options{{}, {Populate: true}, {Huge: true, Populate: true}} {
			o.Policy, o.Nodes = c.policy, c.nodes
			a, err := Map(4<<20, o)
			if errors.Is(err, unix.ENOSYS) {
				t.Skip("this kernel was built without NUMA")
			}
			if err != nil {
				t.Fatalf("%+v: %v", o, err)
			}
			b := a.Bytes()
			for _, page := range []*byte{&b[0], &b[len(b)-1]} {
				if p, nodes := policyOf(t, page); p != c.policy || len(nodes) != len(c.nodes) || len(nodes) == 1 && nodes[0] != 0 {
					t.Errorf("%+v: the kernel says policy %d, nodes %v", o, p, nodes)
				}
			}
			if err := a.Unmap(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, node := range []int{-1, maxNodes - 1, maxNodes} {
		if _, err := Map(4096, Options{Policy: Bind, Nodes: []int{node}}); err == nil {
			t.Errorf("memory on node %d", node)
		}
	}
}

func TestAnArenaMayStartInsideAPage(t *testing.T) {
	a, err := Map(8192, Options{Skip: 512, Populate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Unmap()
	if at := Address(a.Bytes()); int(at)%os.Getpagesize() != 512 || len(a.Bytes()) != 8192 {
		t.Errorf("%d bytes at %#x", len(a.Bytes()), at)
	}
	a.Bytes()[8191] = 1
	if _, err := Map(1, Options{Skip: -1}); err == nil {
		t.Error("an arena before its first page")
	}
}

// lockedKiB is what this process has locked.
func lockedKiB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmLck:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLockedMemoryIsLocked(t *testing.T) {
	before := lockedKiB(t)
	a, err := Lock(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if got := lockedKiB(t) - before; got != 1024 {
		t.Errorf("%d KiB are locked", got)
	}
	if err := a.Unmap(); err != nil {
		t.Fatal(err)
	}
	if got := lockedKiB(t); got != before {
		t.Errorf("%d KiB stay locked", got-before)
	}
	if _, err := Lock(1 << 62); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("locking 4 EiB: %v", err)
	}
}

// Reserved huge pages of a given size are that, or there are none.
func TestHugePagesOfASize(t *testing.T) {
	for _, size := range []int{2 << 20, 1 << 30} {
		a, err := Map(4096, Options{HugeBytes: size})
		free, readErr := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-" + strconv.Itoa(size>>10) + "kB/free_hugepages")
		switch {
		case readErr != nil || strings.TrimSpace(string(free)) == "0" && err != nil:
			if err == nil {
				t.Errorf("huge pages of %d bytes that this kernel does not have", size)
				a.Unmap()
			}
		case err != nil:
			t.Errorf("huge pages of %d bytes: %v", size, err)
		default:
			if a.Pages() != Huge || Address(a.Bytes())%uint64(size) != 0 {
				t.Errorf("huge pages of %d bytes: %s at %#x", size, a.Pages(), Address(a.Bytes()))
			}
			a.Unmap()
		}
	}
}
