package lock

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/journal"
	"github.com/blkmeter/blkmeter/internal/kernel/sysv"
)

// A semaphore set outlives its process, so a record of it is on disk before it exists and until it is gone.
// A set is made under a key of its own rather than IPC_PRIVATE: only then can the record come first, and only
// then is there no moment at which SIGKILL leaves a set that nobody knows of.

// record is what a later process needs to know, beside its maker, to remove a set.
type record struct {
	Key       int32  `json:"key"`           // of semget(2)
	Namespace string `json:"ipc_namespace"` // in which Key counts
}

// recordKind is that of the journal's entries.
const recordKind = "semaphore"

// recorded is a semaphore set and its record.
type recorded struct {
	id    int
	entry *journal.Entry
}

// createRecorded makes a semaphore set whose record is in dir, or where the journal is when dir is empty.
func createRecorded(dir string) (recorded, error) {
	if dir == "" {
		dir = journal.Dir(os.Getenv)
	}
	for {
		r := record{Key: rand.Int32N(1<<30) + 1, Namespace: ipcNamespace()}
		entry, err := journal.Write(dir, recordKind, r)
		if err != nil {
			return recorded{}, fmt.Errorf("keeping a record of a semaphore set: %w", err)
		}
		id, err := sysv.Create(r.Key)
		if err == nil {
			return recorded{id, entry}, nil
		}
		if rmErr := entry.Remove(); rmErr != nil || !errors.Is(err, syscall.EEXIST) {
			return recorded{}, errors.Join(err, rmErr)
		}
	}
}

// remove removes the set, then its record.
func (r recorded) remove() error {
	if err := sysv.Remove(r.id); err != nil && !errors.Is(err, syscall.EIDRM) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return r.entry.Remove()
}

// Leak is a semaphore set that a process left behind.
type Leak struct {
	Key  int32
	PID  int  // of the process that made it
	Gone bool // the set did not exist any more, or is somebody else's; only its record was left
}

// Clean removes every semaphore set that is recorded in dir and whose process is dead, with its record, and
// says which. Sets of living processes, of other boots and of other namespaces are left alone; of another
// boot only the record is left, and that goes. An error does not keep it from the rest.
func Clean(dir string) ([]Leak, error) {
	orphans, err := journal.Orphans(dir, recordKind)
	errs := []error{err}
	var leaks []Leak
	for i := range orphans {
		o := &orphans[i]
		r, err := read(o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !o.OtherBoot && r.Namespace != ipcNamespace() {
			continue
		}
		leak := Leak{Key: r.Key, PID: o.PID, Gone: true}
		if !o.OtherBoot {
			removed, err := removeOf(o.PID, r.Key)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			leak.Gone = !removed
		}
		if err := o.Remove(); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		leaks = append(leaks, leak)
	}
	return leaks, errors.Join(errs...)
}

// removeOf removes the set with that key if it is of that process and still there. The record comes before the
// set and goes after it, so at its key may be a set of somebody else: one that was there first, or that was made
// since. Its maker set the value of ours, so no other process was the last to change it.
func removeOf(pid int, key int32) (removed bool, err error) {
	id, err := sysv.Lookup(key)
	if err == nil {
		var last int
		if last, err = sysv.LastPID(id); err == nil && (last == 0 || last == pid) {
			err = sysv.Remove(id)
			removed = err == nil
		}
	}
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EACCES) { // ours we could read
		err = nil
	}
	return removed, err
}

// read returns an orphan's record.
func read(o *journal.Found) (record, error) {
	var r record
	err := o.Body(&r)
	if err == nil && r.Key <= 0 {
		err = fmt.Errorf("the journal of process %d is not the record of a semaphore set", o.PID)
	}
	return r, err
}

// ipcNamespace names the namespace of this process's semaphores; without /proc it is empty, the same for all.
func ipcNamespace() string {
	name, _ := os.Readlink("/proc/self/ns/ipc")
	return name
}
