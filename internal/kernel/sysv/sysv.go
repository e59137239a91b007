// Package sysv is System V semaphore sets (semget(2), semop(2), semctl(2)). A set outlives the process that
// made it, and only a fixed number of them exists system-wide (kernel.sem), so whoever creates one must see
// to its removal.
package sysv

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Constants from include/uapi/linux/ipc.h and sem.h.
const (
	ipcCreate = 0o1000
	ipcExcl   = 0o2000
	ipcRemove = 0
	getPID    = 11
	setValue  = 16
	semUndo   = 0x1000
)

// Operation is one step of semop(2): struct sembuf.
type Operation struct {
	Number uint16 // semaphore in the set
	Delta  int16  // added to its value; a negative one waits until the value is large enough
	flags  int16
}

// Undo returns the operation with SEM_UNDO: the kernel takes it back when the process ends.
func (o Operation) Undo() Operation {
	o.flags |= semUndo
	return o
}

// Create makes a set of one semaphore with value 0, for this user only, under a key that must be free
// (EEXIST otherwise), and returns its id.
func Create(key int32) (id int, err error) {
	r, _, errno := unix.Syscall(unix.SYS_SEMGET, uintptr(key), 1, ipcCreate|ipcExcl|0o600)
	if errno != 0 {
		return 0, fmt.Errorf("creating a semaphore set with key %#x: %w", key, errno)
	}
	return int(r), nil
}

// Lookup returns the id of the set with that key; the error is ENOENT when there is none.
func Lookup(key int32) (id int, err error) {
	r, _, errno := unix.Syscall(unix.SYS_SEMGET, uintptr(key), 0, 0)
	if errno != 0 {
		return 0, fmt.Errorf("looking for the semaphore set with key %#x: %w", key, errno)
	}
	return int(r), nil
}

// SetValue sets the value of the set's first semaphore.
func SetValue(id, value int) error {
	if _, _, errno := unix.Syscall6(unix.SYS_SEMCTL, uintptr(id), 0, setValue, uintptr(value), 0, 0); errno != 0 {
		return fmt.Errorf("setting semaphore %d to %d: %w", id, value, errno)
	}
	return nil
}

// LastPID returns the process that last changed the set's first semaphore, in the caller's pid namespace; 0 when
// none has.
func LastPID(id int) (int, error) {
	r, _, errno := unix.Syscall6(unix.SYS_SEMCTL, uintptr(id), 0, getPID, 0, 0, 0)
	if errno != 0 {
		return 0, fmt.Errorf("asking who used semaphore set %d: %w", id, errno)
	}
	return int(r), nil
}

// Remove removes a set (IPC_RMID); everyone who waits on it wakes with EIDRM.
func Remove(id int) error {
	if _, _, errno := unix.Syscall6(unix.SYS_SEMCTL, uintptr(id), 0, ipcRemove, 0, 0, 0); errno != 0 {
		return fmt.Errorf("removing semaphore set %d: %w", id, errno)
	}
	return nil
}

// Do performs one operation and may sleep. EINTR is not restarted by the kernel, ever (signal(7)); EIDRM
// and EINVAL say that the set was removed.
func Do(id int, o *Operation) syscall.Errno {
	_, _, errno := unix.Syscall(unix.SYS_SEMOP, uintptr(id), uintptr(unsafe.Pointer(o)), 1)
	return errno
}
