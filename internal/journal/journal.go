// Package journal keeps on disk what a process changed on the system and has to undo, so that a later
// process can undo it when this one is killed. An entry is written, and is safe on the medium, before the
// change is made; it is removed when the change is undone.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// owner names the process that made an entry, for good: process ids are used again, but not with the same
// start, and changes to the kernel do not survive a boot.
type owner struct {
	PID       int    `json:"pid"`
	Started   string `json:"started"`       // in clock ticks since boot
	Boot      string `json:"boot_id"`       // of that boot
	Namespace string `json:"pid_namespace"` // in which PID counts
}

type document struct {
	Owner owner           `json:"owner"`
	Body  json.RawMessage `json:"body"`
}

// Entry is an entry of this process.
type Entry struct{ path string }

// Dir returns where blkmeter keeps what must survive it: $XDG_STATE_HOME/blkmeter, or
// ~/.local/state/blkmeter, or without a home a directory of this user's in $TMPDIR or /tmp.
func Dir(env func(string) string) string {
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

// Write makes an entry of the given kind in dir, which it makes if need be. body is what is needed to undo
// the change, as JSON.
func Write(dir, kind string, body any) (*Entry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("write %s journal: %w", kind, err)
	}
	e := &Entry{}
	file, err := os.CreateTemp(dir, kind+"-*.new")
	if err == nil {
		e.path = strings.TrimSuffix(file.Name(), ".new") + ".json"
		err = e.fill(file, body)
	}
	if err != nil {
		return nil, fmt.Errorf("write %s journal: %w", kind, err)
	}
	return e, nil
}

// Update gives the entry another body. Whenever the process dies, one of the two is there.
func (e *Entry) Update(body any) error {
	file, err := os.OpenFile(strings.TrimSuffix(e.path, ".json")+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = e.fill(file, body)
	}
	if err != nil {
		return fmt.Errorf("update journal %s: %w", e.path, err)
	}
	return nil
}

// fill writes the entry into a file that then takes its place, or goes.
func (e *Entry) fill(file *os.File, body any) error {
	text, err := json.Marshal(body)
	if err == nil {
		text, err = json.Marshal(document{Owner: self(), Body: text})
	}
	if err == nil {
		_, err = file.Write(append(text, '\n'))
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), e.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncDir(filepath.Dir(e.path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remove removes the entry: the change is undone.
func (e *Entry) Remove() error { return os.Remove(e.path) }

// Found is an entry of another process.
type Found struct {
	Entry
	PID       int
	OtherBoot bool // the machine was booted since: what was changed in the kernel is gone
	owner     owner
	body      json.RawMessage
}

// Body decodes the entry's body.
func (o *Found) Body(into any) error {
	if err := json.Unmarshal(o.body, into); err != nil {
		return fmt.Errorf("read journal %s: %w", o.path, err)
	}
	return nil
}

// Orphans returns the entries of a kind whose processes are gone. Those of living processes, and of other
// containers, where process ids mean something else, are left out. An entry that cannot be read does not
// keep it from the rest.
func Orphans(dir, kind string) ([]Found, error) {
	if err := removeUnfinished(dir, kind); err != nil {
		return nil, err
	}
	return find(dir, kind, func(f *Found, me owner) bool {
		return f.OtherBoot || f.owner.Namespace == me.Namespace && startOf(f.PID) != f.owner.Started
	})
}

// Living returns the entries of a kind whose processes live, but for this one's. Those of other containers are
// left out.
func Living(dir, kind string) ([]Found, error) {
	return find(dir, kind, func(f *Found, me owner) bool {
		return f.owner != me && !f.OtherBoot && f.owner.Namespace == me.Namespace && startOf(f.PID) == f.owner.Started
	})
}

// find returns the entries of a kind that are wanted. One that cannot be read does not keep it from the rest.
func find(dir, kind string, wanted func(f *Found, me owner) bool) ([]Found, error) {
	paths, err := filepath.Glob(filepath.Join(dir, kind+"-*.json"))
	if err != nil {
		return nil, fmt.Errorf("look for %s journals: %w", kind, err)
	}
	me := self()
	var found []Found
	var errs []error
	for _, path := range paths {
		text, err := readOwn(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // its process was faster
		}
		var d document
		if err == nil {
			d, err = parse(text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read journal %s: %w", path, err))
			continue
		}
		f := Found{Entry: Entry{path}, PID: d.Owner.PID, OtherBoot: d.Owner.Boot != me.Boot, owner: d.Owner, body: d.Body}
		if wanted(&f, me) {
			found = append(found, f)
		}
	}
	return found, errors.Join(errs...)
}

// readOwn reads a file of this user's. Another's is not believed: root would do to the system what it says.
func readOwn(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not waiting for a FIFO
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return nil, errors.New("it belongs to another user")
	}
	return io.ReadAll(file)
}

// unfinished is the age at which a file that is not an entry yet is no longer in the making.
const unfinished = time.Minute

// removeUnfinished removes what processes left that were killed while they wrote an entry, so before they
// changed anything.
func removeUnfinished(dir, kind string) error {
	paths, err := filepath.Glob(filepath.Join(dir, kind+"-*.new"))
	if err != nil {
		return fmt.Errorf("look for %s journals: %w", kind, err)
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || time.Since(info.ModTime()) < unfinished {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove an unfinished %s journal: %w", kind, err)
		}
	}
	return nil
}

// parse understands an entry.
func parse(text []byte) (document, error) {
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return document{}, err
	}
	if d.Owner.PID <= 0 || len(d.Body) == 0 {
		return document{}, errors.New("it is not an entry of a journal")
	}
	return d, nil
}

func self() owner {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without /proc: empty, the same for all
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	return owner{PID: os.Getpid(), Started: startOf(os.Getpid()), Boot: strings.TrimSpace(string(boot)), Namespace: namespace}
}

// startOf returns when a process started, in clock ticks since boot (field 22 of /proc/PID/stat,
// proc_pid_stat(5)), or "" when there is none, or only a zombie.
func startOf(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything; the state is the first field after it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}
