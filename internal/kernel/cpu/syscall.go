package cpu

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Current returns the CPU that the calling thread is on and that CPU's NUMA node (getcpu(2)). It is a real
// system call here (the vDSO is not reachable from Go), so it is for once per window, not once per I/O.
// Both are -1 when the kernel refuses, as a seccomp filter may make it do.
func Current() (cpu, node int) {
	var c, n uint32
	_, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&c)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return -1, -1
	}
	return int(c), int(n)
}

// Yield lets another thread of the same priority run on this CPU (sched_yield(2)).
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// SyscallNS returns what entering the kernel and leaving it again takes, in nanoseconds: the least of some loops of
// getppid(2), which does next to nothing there.
func SyscallNS() float64 {
	const loops, calls = 20, 1000
	best := time.Duration(1 << 62)
	for range loops {
		from := time.Now()
		for range calls {
			unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
		best = min(best, time.Since(from))
	}
	return float64(best.Nanoseconds()) / calls
}

// Wake interrupts the system call in which a thread of this process waits: the call ends with EINTR, or with
// what it has so far. It sends SIGURG, which the Go runtime uses for the same purpose and otherwise ignores.
// A thread that does not wait, or waits uninterruptibly, is not disturbed.
func Wake(threadID int) {
	unix.RawSyscall(unix.SYS_TGKILL, uintptr(unix.Getpid()), uintptr(threadID), uintptr(unix.SIGURG))
}

// Sleep puts the calling thread to sleep (clock_nanosleep(2)), for d or until a signal comes. Unlike
// time.Sleep it does not go through the Go scheduler, so a thread that is locked to its goroutine wakes as
// precisely as the kernel's timers are.
func Sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
}
