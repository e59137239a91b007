package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// targetKind is what a case reads.
type targetKind int

const (
	noTarget      targetKind = iota
	unwrittenFile            // 1 GiB, allocated and never written: the file system answers without the device
	loopDevice               // over a written file in memory, around the page cache
	zramDevice               // compressed memory, written with what does not compress
)

const (
	fileBytes = 1 << 30
	loopBytes = 256 << 20
	zramBytes = 256 << 20
)

// errUnavailable says that this machine or user cannot have the target.
var errUnavailable = errors.New("not available here")

// targets makes each target once, and removes all.
type targets struct {
	dir   string
	paths map[targetKind]string
	undo  []func() error // in the order of making
}

// path returns the target's path, and makes it first if need be.
func (t *targets) path(kind targetKind) (string, error) {
	if path, ok := t.paths[kind]; ok {
		return path, nil
	}
	var path string
	var err error
	switch kind {
	case noTarget:
	case unwrittenFile:
		path, err = t.makeFile()
	case loopDevice:
		path, err = t.makeLoop()
	case zramDevice:
		path, err = t.makeZram()
	}
	if err != nil {
		return "", err
	}
	if t.paths == nil {
		t.paths = map[targetKind]string{}
	}
	t.paths[kind] = path
	return path, nil
}

// remove takes everything away, the last first.
func (t *targets) remove() error {
	var errs []error
	for len(t.undo) > 0 {
		last := t.undo[len(t.undo)-1]
		t.undo = t.undo[:len(t.undo)-1]
		errs = append(errs, last())
	}
	return errors.Join(errs...)
}

func (t *targets) makeFile() (string, error) {
	path := filepath.Join(t.dir, "unwritten")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	t.undo = append(t.undo, func() error { return os.Remove(path) })
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, fileBytes); err != nil {
		return "", fmt.Errorf("%w: %s cannot allocate %d bytes unwritten: %w", errUnavailable, t.dir, fileBytes, err)
	}
	return path, f.Sync()
}

func (t *targets) makeLoop() (string, error) {
	f, err := os.CreateTemp("/dev/shm", "blkmeter-bench-")
	if err != nil {
		return "", err
	}
	t.undo = append(t.undo, func() error { return os.Remove(f.Name()) })
	_, err = io.CopyN(f, rand.Reader, loopBytes)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	loop, err := blk.AttachLoop(f.Name(), blk.LoopOptions{DirectIO: true})
	if err != nil {
		return "", notPermitted(err)
	}
	t.undo = append(t.undo, loop.Detach)
	return loop.Path, nil
}

func (t *targets) makeZram() (string, error) {
	const control = "/sys/class/zram-control/"
	number, err := os.ReadFile(control + "hot_add")
	if err != nil {
		return "", notPermitted(err)
	}
	n := strings.TrimSpace(string(number))
	t.undo = append(t.undo, func() error { return os.WriteFile(control+"hot_remove", []byte(n), 0) })
	if err := os.WriteFile("/sys/block/zram"+n+"/disksize", []byte(fmt.Sprint(zramBytes)), 0); err != nil {
		return "", err
	}
	t.undo = append(t.undo, func() error { return os.WriteFile("/sys/block/zram"+n+"/reset", []byte("1"), 0) })
	path := "/dev/zram" + n
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_EXCL, 0)
	if err != nil {
		return "", err
	}
	_, err = io.CopyN(f, rand.Reader, zramBytes)
	return path, errors.Join(err, f.Sync(), f.Close())
}

// notPermitted makes the lack of a right, or of the thing, an absent target instead of a failure.
func notPermitted(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return err
}
