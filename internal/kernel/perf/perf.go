// Package perf counts kernel tracepoints exactly, per CPU and with a filter, by perf_event_open(2). The
// kernel does the counting: nothing is sampled, recorded or lost, and an event that the filter drops costs
// some tens of nanoseconds.
//
// Whether an event can be counted is told by trying. What cannot is an [*Unavailable] error, which says
// whether this kernel lacks it, this process may not, or the trial itself failed, and what would help.
package perf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// State says why something cannot be counted.
type State string

// The reasons. What can be counted has none.
const (
	Absent    State = "absent"    // this kernel does not have it
	Forbidden State = "forbidden" // this process may not use it
	Unknown   State = "unknown"   // it could not be tried
)

// Unavailable is the error of what cannot be counted here.
type Unavailable struct {
	What   string // "tracefs", or an event: "block:block_rq_issue"
	State  State
	Why    string
	Remedy string // what would make it available; empty when nothing here can
	Err    error
}

func (u *Unavailable) Error() string { return u.What + " cannot be counted: " + u.Why }

// Unwrap returns the kernel's answer.
func (u *Unavailable) Unwrap() error { return u.Err }

// Counter counts one event on one CPU, whichever process it happens in. It is made stopped at 0.
type Counter struct {
	fd int // -1 when closed
}

// Open makes a counter of an event on a CPU. The filter is in the language of
// Documentation/trace/events.rst, over the event's fields ("dev == 7340033"); empty counts all. It needs
// CAP_PERFMON (before Linux 5.8 CAP_SYS_ADMIN) or kernel.perf_event_paranoid at 0 or below. A counter
// takes a file descriptor until it is closed.
func Open(e Event, cpu int, filter string) (*Counter, error) {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: e.ID, Bits: unix.PerfBitDisabled}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, e.unavailable(cpu, err)
	}
	c := &Counter{fd: fd}
	if filter == "" {
		return c, nil
	}
	text, err := unix.BytePtrFromString(filter)
	if err == nil {
		err = c.ioctl("PERF_EVENT_IOC_SET_FILTER", unix.PERF_EVENT_IOC_SET_FILTER, unsafe.Pointer(text))
	}
	if err != nil {
		return nil, errors.Join(&Unavailable{
			What: e.String(), State: Absent, Why: fmt.Sprintf("the kernel does not take the filter %q", filter), Err: err,
		}, c.Close())
	}
	return c, nil
}

// unavailable says what the kernel's answer to perf_event_open means.
func (e Event) unavailable(cpu int, err error) *Unavailable {
	u := &Unavailable{What: e.String(), State: Unknown, Err: err, Why: fmt.Sprintf("perf_event_open on CPU %d: %v", cpu, err)}
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		u.State = Forbidden
		u.Why = "this process has no CAP_PERFMON" + paranoid()
		u.Remedy = "run as root, or setcap cap_perfmon+ep on the program, or sysctl kernel.perf_event_paranoid=0"
	case errors.Is(err, syscall.ENOSYS):
		u.State = Absent
		u.Why = "this kernel was built without perf events"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		u.Remedy = "raise the limit of open files (ulimit -n)"
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		u.Why = fmt.Sprintf("CPU %d is offline", cpu)
	}
	return u
}

func paranoid() string {
	level, err := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
	if err != nil {
		return ""
	}
	return ", and kernel.perf_event_paranoid is " + strings.TrimSpace(string(level))
}

// Enable starts counting.
func (c *Counter) Enable() error {
	return c.ioctl("PERF_EVENT_IOC_ENABLE", unix.PERF_EVENT_IOC_ENABLE, nil)
}

// Disable stops counting; the count stays.
func (c *Counter) Disable() error {
	return c.ioctl("PERF_EVENT_IOC_DISABLE", unix.PERF_EVENT_IOC_DISABLE, nil)
}

// Read returns the count, exact to 64 bits.
func (c *Counter) Read() (uint64, error) {
	var b [8]byte
	for {
		n, err := unix.Read(c.fd, b[:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("read perf counter: %w", err)
		case n != len(b):
			return 0, fmt.Errorf("read perf counter: %d bytes instead of %d", n, len(b))
		default:
			return binary.NativeEndian.Uint64(b[:]), nil
		}
	}
}

// Close frees the counter. Closing twice is harmless.
func (c *Counter) Close() error {
	if c.fd < 0 {
		return nil
	}
	err := unix.Close(c.fd)
	c.fd = -1
	return err
}

func (c *Counter) ioctl(name string, request uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), request, uintptr(arg))
		switch {
		case errno == 0:
			return nil
		case !errors.Is(errno, unix.EINTR):
			return fmt.Errorf("%s: %w", name, errno)
		}
	}
}
