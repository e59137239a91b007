package futex

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"golang.org/x/sys/unix"
)

func word(t *testing.T) *atomic.Uint32 {
	t.Helper()
	arena, words, err := mem.Slots[atomic.Uint32](1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := arena.Unmap(); err != nil {
			t.Error(err)
		}
	})
	return words[0]
}

func TestWaitRefusesAnotherValue(t *testing.T) {
	w := word(t)
	w.Store(7)
	if errno := Wait(w, 8); errno != syscall.EAGAIN {
		t.Errorf("Wait for 8 on 7 = %v, want EAGAIN", errno)
	}
	if n := Wake(w, 1); n != 0 {
		t.Errorf("woke %d threads of none", n)
	}
}

func TestWakeWakes(t *testing.T) {
	w := word(t)
	const sleepers = 3
	woken := make(chan syscall.Errno, sleepers)
	for range sleepers {
		go func() {
			for {
				if errno := Wait(w, 0); errno != syscall.EINTR {
					woken <- errno
					return
				}
			}
		}()
	}
	total := 0
	for deadline := time.Now().Add(10 * time.Second); total < sleepers; {
		if time.Now().After(deadline) {
			t.Fatalf("woke %d of %d sleepers", total, sleepers)
		}
		total += Wake(w, 1)
		runtime.Gosched()
	}
	for range sleepers {
		if errno := <-woken; errno != 0 {
			t.Errorf("a sleeper returned %v", errno)
		}
	}
}

func TestWaitForEndsAtItsLimit(t *testing.T) {
	w := word(t)
	const limit = 20 * time.Millisecond
	for start := time.Now(); ; { // a signal, as the Go runtime sends them, may end a wait early
		errno := WaitFor(w, 0, limit)
		if errno == syscall.EINTR {
			continue
		}
		if errno != syscall.ETIMEDOUT || time.Since(start) < limit {
			t.Errorf("%v after %v", errno, time.Since(start))
		}
		break
	}
	if errno := WaitFor(w, 1, -1); errno != syscall.EAGAIN {
		t.Errorf("WaitFor for 1 on 0 without a limit = %v, want EAGAIN", errno)
	}
}

func TestPI(t *testing.T) {
	w := word(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	me := uint32(unix.Gettid())
	if errno := UnlockPI(w); errno != syscall.EPERM {
		t.Errorf("unlocking what is free = %v, want EPERM", errno)
	}
	if errno := LockPI(w); errno != 0 || w.Load()&^Waiters != me {
		t.Fatalf("LockPI = %v, word %#x, thread %#x", errno, w.Load(), me)
	}
	if errno := LockPI(w); errno != syscall.EDEADLK {
		t.Errorf("locking twice = %v, want EDEADLK", errno)
	}
	handed := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		errno := LockPI(w)
		for errno == syscall.EINTR || errno == syscall.EAGAIN {
			errno = LockPI(w)
		}
		if errno == 0 {
			errno = UnlockPI(w)
		}
		handed <- errno
	}()
	for deadline := time.Now().Add(10 * time.Second); w.Load()&Waiters == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the kernel never marked the word as waited for")
		}
	}
	if errno := UnlockPI(w); errno != 0 {
		t.Errorf("UnlockPI = %v", errno)
	}
	if errno := <-handed; errno != 0 {
		t.Errorf("the waiter got %v", errno)
	}
	if v := w.Load(); v != 0 {
		t.Errorf("the word is %#x after all unlocked", v)
	}
}
