package uring

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

const limited = "BLKMETER_TEST_MEMLOCK"

// What a closed ring took of the locked-memory limit is there for the next one, as stages of a run follow one
// another: else every second of them would silently do without registered buffers.
func TestAClosedRingGivesItsMemoryBack(t *testing.T) {
	if os.Getenv(limited) == "" {
		testlab.Require(t, "root")
		cmd := testlab.Command(t, "/proc/self/exe", "-test.run=^TestAClosedRingGivesItsMemoryBack$", "-test.v")
		cmd.Env = append(os.Environ(), limited+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 61234, Gid: 61234}} // a user of its own
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") && !strings.Contains(string(out), "--- SKIP") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	const limit = 1 << 20
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	arena, err := mem.Map(limit*3/4, mem.Options{Populate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Unmap()
	for range 50 {
		r, err := New(Options{Entries: 64})
		if errors.Is(err, ErrNoSyscall) || errors.Is(err, ErrDenied) {
			t.Skipf("this kernel does not set up a ring: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.RegisterBuffers(arena.Bytes(), len(arena.Bytes())); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.UnregisterBuffers(), r.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
