// Package futex is the kernel's wait queue on a word of memory (futex(2)), always in its private form: the
// word is never shared with another process. Words must not lie on a goroutine's stack, which moves.
//
// Constants from include/uapi/linux/futex.h.
package futex

import (
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	opWait     = 0
	opWake     = 1
	opLockPI   = 6
	opUnlockPI = 7
	private    = 128

	// Waiters is the bit that the kernel sets in a priority-inheriting word when a thread sleeps on it;
	// the low 30 bits are the owner's thread id.
	Waiters = 0x8000_0000
)

// Wait sleeps while *word is value, until a Wake. It returns 0 after being woken, EAGAIN when *word had
// another value, EINTR after a signal. None of them says anything about *word now: look again.
//
// It goes through the scheduler's hooks, since it may sleep for long.
func Wait(word *atomic.Uint32, value uint32) syscall.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opWait|private, uintptr(value), 0, 0, 0)
	return errno
}

// WaitFor is Wait with a limit: after d it returns ETIMEDOUT. A negative d is no limit.
func WaitFor(word *atomic.Uint32, value uint32, d time.Duration) syscall.Errno {
	if d < 0 {
		return Wait(word, value)
	}
	ts := unix.NsecToTimespec(int64(d))
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opWait|private, uintptr(value), uintptr(unsafe.Pointer(&ts)), 0, 0)
	return errno
}

// Wake wakes up to n threads that sleep on word and returns how many it woke. It never sleeps, so it skips
// the scheduler's hooks.
func Wake(word *atomic.Uint32, n int32) int {
	woken, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opWake|private, uintptr(n), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(woken)
}

// LockPI takes the priority-inheriting lock in word, sleeping while another thread owns it and lending that
// thread the caller's priority (Documentation/locking/pi-futex.rst). On success the word holds the caller's
// thread id. EINTR and EAGAIN ask for another try; EDEADLK says that the caller owns it already, ESRCH that
// the owner does not exist.
func LockPI(word *atomic.Uint32) syscall.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opLockPI|private, 0, 0, 0, 0)
	return errno
}

// UnlockPI hands the priority-inheriting lock in word to its most urgent waiter. EPERM says that the
// calling thread does not own it.
func UnlockPI(word *atomic.Uint32) syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opUnlockPI|private, 0, 0, 0, 0)
	return errno
}
