package perf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Event is a tracepoint of this kernel.
type Event struct {
	System string // "block"
	Name   string // "block_rq_issue"
	ID     uint64 // the kernel's number for it, another on each kernel
}

// String returns "system:name", as perf writes it.
func (e Event) String() string { return e.System + ":" + e.Name }

// Tracing is tracefs: where the kernel describes its tracepoints.
type Tracing struct {
	dir   string
	mount *os.File // of an own mount; nil where one was found
}

// OpenTracing finds tracefs below root ("" is this machine): at /sys/kernel/tracing, or in debugfs. Where
// it is not mounted, a process with CAP_SYS_ADMIN mounts it for itself: without a place in the tree of
// directories, so that nobody else sees it and nothing is left when it is closed (fsmount(2), Linux 5.2).
func OpenTracing(root string) (*Tracing, error) {
	var denied error
	for _, dir := range []string{"sys/kernel/tracing", "sys/kernel/debug/tracing"} {
		dir = filepath.Join("/", root, dir)
		_, err := os.Stat(filepath.Join(dir, "events"))
		switch {
		case err == nil:
			return &Tracing{dir: dir}, nil
		case errors.Is(err, fs.ErrPermission):
			denied = err
		}
	}
	if root == "" || root == "/" {
		mount, err := mountTracefs()
		if err == nil {
			return &Tracing{dir: fmt.Sprintf("/proc/self/fd/%d", mount.Fd()), mount: mount}, nil
		}
		if errors.Is(err, unix.ENODEV) {
			return nil, &Unavailable{What: "tracefs", State: Absent, Why: "this kernel was built without tracepoints", Err: err}
		}
	}
	if denied != nil {
		return nil, &Unavailable{
			What: "tracefs", State: Forbidden, Why: "this process may not read it", Err: denied,
			Remedy: "run as root, or mount -o remount,mode=0755 /sys/kernel/tracing and give the program CAP_PERFMON",
		}
	}
	return nil, &Unavailable{
		What: "tracefs", State: Forbidden, Why: "it is not mounted, and this process may not mount it", Err: fs.ErrNotExist,
		Remedy: "run as root, or mount -t tracefs -o mode=0755 none /sys/kernel/tracing and give the program CAP_PERFMON",
	}
}

// mountTracefs makes a mount that is attached nowhere; it ends with the descriptor.
func mountTracefs() (*os.File, error) {
	name, err := unix.BytePtrFromString("tracefs")
	if err != nil {
		return nil, err
	}
	ctx, _, errno := unix.Syscall(unix.SYS_FSOPEN, uintptr(unsafe.Pointer(name)), unix.FSOPEN_CLOEXEC, 0)
	if errno != 0 {
		return nil, os.NewSyscallError("fsopen", errno)
	}
	defer unix.Close(int(ctx))
	if err := unix.FsconfigCreate(int(ctx)); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	mount, _, errno := unix.Syscall(unix.SYS_FSMOUNT, ctx, unix.FSMOUNT_CLOEXEC, 0)
	if errno != 0 {
		return nil, os.NewSyscallError("fsmount", errno)
	}
	return os.NewFile(mount, "tracefs"), nil
}

// Event finds a tracepoint.
func (t *Tracing) Event(system, name string) (Event, error) {
	e := Event{System: system, Name: name}
	text, err := os.ReadFile(filepath.Join(t.dir, "events", system, name, "id"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e, &Unavailable{What: e.String(), State: Absent, Why: "this kernel, as built and loaded, has no such tracepoint", Err: err}
	case errors.Is(err, fs.ErrPermission):
		return e, &Unavailable{
			What: e.String(), State: Forbidden, Why: "this process may not read tracefs", Err: err,
			Remedy: "run as root, or mount -o remount,mode=0755 /sys/kernel/tracing and give the program CAP_PERFMON",
		}
	case err != nil:
		return e, &Unavailable{What: e.String(), State: Unknown, Why: err.Error(), Err: err}
	}
	e.ID, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return e, &Unavailable{What: e.String(), State: Unknown, Why: "tracefs gives no number for it", Err: err}
	}
	return e, nil
}

// Close gives the mount back, where Tracing made one.
func (t *Tracing) Close() error {
	if t.mount == nil {
		return nil
	}
	return t.mount.Close()
}
