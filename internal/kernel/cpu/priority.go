package cpu

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// SetNice sets the nice value of the calling thread, -20 to 19: setpriority(2), which on Linux works on
// threads. Values below the present one need a privilege.
func SetNice(nice int) error {
	return os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, ThreadID(), nice))
}

// SetIOPriority sets the I/O priority of the calling thread, as ioprio_set(2) has it: class (1 real time, 2 best
// effort, 3 idle), hint and level (0 the highest, to 7); 0 takes a priority of its own away.
func SetIOPriority(priority uint16) error {
	const whoProcess = 1 // IOPRIO_WHO_PROCESS: a thread
	if _, _, errno := syscall.Syscall(unix.SYS_IOPRIO_SET, whoProcess, 0, uintptr(priority)); errno != 0 {
		return os.NewSyscallError("ioprio_set", errno)
	}
	return nil
}

// SetTimerSlack sets by how many nanoseconds the kernel may delay the timers of the calling thread to fire
// them together with others, 1 or more: PR_SET_TIMERSLACK of prctl(2). Threads begin with 50,000. Threads of
// a real-time policy have none.
func SetTimerSlack(ns int) error {
	return os.NewSyscallError("prctl(PR_SET_TIMERSLACK)", unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0))
}
