package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/sysv"
)

// A semaphore set outlives its process, so a record of it is on disk before it exists and until it is gone.
// A set is made under a key of its own rather than IPC_PRIVATE: only then can the record come first, and only
// then is there no moment at which SIGKILL leaves a set that nobody knows of.

// record is what a later process needs to know to decide whether a set is a leak, and to remove it.
type record struct {
	Key        int32     `json:"key"`        // of semget(2)
	PID        int       `json:"pid"`        // of the process that made it
	Started    string    `json:"started"`    // that process's start, in clock ticks since boot
	Boot       string    `json:"boot_id"`    // sets do not survive a boot
	Namespaces string    `json:"namespaces"` // ids and processes of another namespace are none of ours
	MadeAt     time.Time `json:"made_at"`
}

const recordPrefix = "semaphore-"

// StateDir returns where blkmeter keeps what must survive it: $XDG_STATE_HOME/blkmeter, or
// ~/.local/state/blkmeter, or without a home a directory of this user's in $TMPDIR or /tmp.
func StateDir(env func(string) string) string {
	if dir := env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "blkmeter")
	}
	if home := env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "blkmeter")
	}
	tmp := env("TMPDIR")
	if tmp == "" {
		tmp = "/tmp"
	}
	return filepath.Join(tmp, fmt.Sprintf("blkmeter-%d", os.Getuid()))
}

// createRecorded makes a semaphore set whose record is the returned file.
func createRecorded(dir string) (id int, file string, err error) {
	if dir == "" {
		dir = StateDir(os.Getenv)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, "", fmt.Errorf("keeping a record of a semaphore set: %w", err)
	}
	for {
		r := describeSelf(rand.Int32N(1<<30) + 1)
		file = filepath.Join(dir, fmt.Sprintf("%s%08x.json", recordPrefix, r.Key))
		text, err := json.Marshal(r)
		if err != nil {
			return 0, "", fmt.Errorf("keeping a record of a semaphore set: %w", err)
		}
		if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
			return 0, "", fmt.Errorf("keeping a record of a semaphore set: %w", err)
		}
		id, err = sysv.Create(r.Key)
		if err == nil {
			return id, file, nil
		}
		if rmErr := os.Remove(file); rmErr != nil {
			return 0, "", errors.Join(err, rmErr)
		}
		if !errors.Is(err, syscall.EEXIST) {
			return 0, "", err
		}
	}
}

// removeRecorded removes the set, then its record.
func removeRecorded(id int, file string) error {
	if err := sysv.Remove(id); err != nil && !errors.Is(err, syscall.EIDRM) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return os.Remove(file)
}

// Leak is a semaphore set that a process left behind.
type Leak struct {
	Key  int32
	PID  int  // of the process that made it
	Gone bool // the set did not exist any more; only its record was left
}

// Clean removes every semaphore set that is recorded in dir and whose process is dead, with its record, and
// says which. Sets of living processes, of other boots and of other namespaces are left alone; of another
// boot only the record is left, and that goes. An error does not keep it from the rest.
func Clean(dir string) ([]Leak, error) {
	files, err := filepath.Glob(filepath.Join(dir, recordPrefix+"*.json"))
	if err != nil {
		return nil, fmt.Errorf("looking for records of semaphore sets: %w", err)
	}
	self := describeSelf(0)
	var leaks []Leak
	var errs []error
	for _, file := range files {
		r, err := readRecord(file)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue // its owner was faster
		case err != nil:
			errs = append(errs, err)
			continue
		case r.Boot == self.Boot && r.Namespaces != self.Namespaces:
			continue
		case r.Boot == self.Boot && startOf(r.PID) == r.Started:
			continue
		}
		leak := Leak{Key: r.Key, PID: r.PID, Gone: true}
		if r.Boot == self.Boot {
			id, err := sysv.Lookup(r.Key)
			if err == nil {
				leak.Gone = false
				err = sysv.Remove(id)
			}
			if err != nil && !errors.Is(err, syscall.ENOENT) {
				errs = append(errs, err)
				continue
			}
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		leaks = append(leaks, leak)
	}
	return leaks, errors.Join(errs...)
}

// readRecord reads one record. An empty file is what a process leaves that died between creating and writing
// it, so before its semaphore set existed; once it is too old to be in the making it is removed.
func readRecord(file string) (record, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return record{}, err
	}
	if len(text) == 0 {
		if info, err := os.Stat(file); err == nil && time.Since(info.ModTime()) > time.Minute {
			return record{}, errors.Join(os.ErrNotExist, os.Remove(file))
		}
		return record{}, os.ErrNotExist
	}
	r, err := parseRecord(text)
	if err != nil {
		return record{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return r, nil
}

// parseRecord understands one record.
func parseRecord(text []byte) (record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, err
	}
	if r.Key <= 0 || r.PID <= 0 {
		return record{}, errors.New("it is not the record of a semaphore set")
	}
	return r, nil
}

// describeSelf returns the record of a set with that key made by this process.
func describeSelf(key int32) record {
	pid := os.Getpid()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without /proc: empty, the same for all
	ipc, _ := os.Readlink("/proc/self/ns/ipc")
	pids, _ := os.Readlink("/proc/self/ns/pid")
	return record{
		Key: key, PID: pid, Started: startOf(pid), Boot: strings.TrimSpace(string(boot)),
		Namespaces: ipc + " " + pids, MadeAt: time.Now().UTC(),
	}
}

// startOf returns when a process started, in clock ticks since boot: field 22 of /proc/PID/stat
// (proc_pid_stat(5)), or "" when there is no such process. With the pid it names a process for good, since
// pids are used again. A zombie is as good as dead.
func startOf(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything; state is the third field, the first after it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}
