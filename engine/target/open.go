package target

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Access is what a job will do to a target.
type Access uint8

// The accesses. Trim, write-zeroes and laying out are writes.
const (
	ReadOnly Access = iota
	ReadWrite
)

// Sync is when a write counts as done.
type Sync uint8

// The sync modes, as fio's sync= option has them.
const (
	SyncNone Sync = iota // when the device has it
	SyncFull             // O_SYNC: when data and metadata are stable
	SyncData             // O_DSYNC: when the data is stable
)

// Spec says what to open and what will be done to it.
type Spec struct {
	Path      string
	Access    Access
	Direct    bool // O_DIRECT
	Sync      Sync
	Destroy   []string // names that the user gave up: each the last element of a resolved path
	Create    bool     // make a regular file of SizeBytes if there is nothing at Path
	SizeBytes int64
	Overwrite bool // an existing regular file may be overwritten within its size without being named (fio's way)
}

// Opener opens the targets of one run. Targets that are the same device or file, opened the same way,
// share one descriptor; a device that is written is claimed once. The zero value is ready to use.
type Opener struct {
	Root device.Root // where /sys and /proc are read; "" is this machine's

	mu      sync.Mutex
	handles map[key]*handle
	claims  map[blk.DevT]*claim
	made    map[blk.FileID]string // files made in this run, with their paths: a number is used again after a file is gone
}

// Open opens one target outside a run.
func Open(spec Spec) (*Target, error) { return new(Opener).Open(spec) }

// key tells descriptors apart that cannot be shared.
type key struct {
	id     blk.FileID // of the file; zero for a device
	rdev   blk.DevT   // of the device; zero for a file
	access Access
	direct bool
	sync   Sync
}

// handle is an open descriptor shared by targets.
type handle struct {
	opener *Opener
	key    key
	file   *os.File
	claim  *claim // of a device that is written
	refs   int
}

// claim is an exclusive hold on a device: while it lasts the kernel lets nobody mount it, swap on it or
// build on it.
type claim struct {
	devT blk.DevT
	file *os.File
	refs int
}

// Open opens what spec names after the guard agreed. Every error that reaches the user says what to do:
// see package fault for the exit codes (2 for what the guard refused).
func (o *Opener) Open(spec Spec) (*Target, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	inv := o.inventory()
	s, err := identify(spec.Path, inv)
	switch {
	case err == nil && s.kind == character:
		return nil, o.character(s, spec, inv)
	case err == nil:
		return o.existing(s, spec, inv)
	case errors.Is(err, fs.ErrNotExist) && spec.Create:
		return o.create(spec, inv)
	}
	return nil, err
}

// inventory takes a snapshot of the block devices and, where this user may, asks each loop device which
// file is under it: the path in sysfs is only what it was called when it was attached.
func (o *Opener) inventory() *device.Inventory {
	inv := device.ReadInventory(o.Root)
	if !o.Root.Real() {
		return inv
	}
	for _, n := range inv.Nodes {
		if n.Backing == "" {
			continue
		}
		if status, err := loopStatus("/dev/" + n.Name); err == nil && status.BackingRdev.IsZero() {
			n.BackingID = status.Backing
		}
	}
	return inv
}

func loopStatus(path string) (blk.LoopStatus, error) {
	file, err := blk.Open(path, blk.Flags{NonBlock: true})
	if err != nil {
		return blk.LoopStatus{}, err
	}
	defer file.Close()
	return blk.LoopInfo(int(file.Fd()))
}

// character refuses a character device: because of what it would destroy if it was to be written, else
// because no engine does I/O on one.
func (o *Opener) character(s subject, spec Spec, inv *device.Inventory) error {
	if spec.Access == ReadWrite {
		if err := (guard{inv: inv}).refuseInUse(s); err != nil {
			return err
		}
	}
	return characterDevice(s)
}

// guard returns the guard over a snapshot.
func (o *Opener) guard(inv *device.Inventory) guard { return guard{inv: inv, look: lookAt} }

// lookAt reads what a subject holds.
func lookAt(s subject) string {
	file, err := blk.Open(s.resolved, blk.Flags{})
	if err != nil {
		return fmt.Sprintf("what it holds could not be read (%v)", err)
	}
	defer file.Close()
	size := s.info.SizeBytes
	if s.kind == Block {
		if size, err = blk.SizeBytes(int(file.Fd())); err != nil {
			return fmt.Sprintf("its size could not be read (%v)", err)
		}
	}
	return contents(file, size)
}

// existing opens something that is already there.
func (o *Opener) existing(s subject, spec Spec, inv *device.Inventory) (*Target, error) {
	k := keyOf(s, spec)
	made := s.kind == File && o.made[s.info.ID] == s.resolved
	h := o.handles[k]
	if h == nil {
		if spec.Access == ReadWrite && !made {
			if err := o.guard(inv).consent(s, spec); err != nil {
				return nil, err
			}
		}
		var err error
		if h, err = o.open(s, spec, k); err != nil {
			return nil, err
		}
		o.keep(h)
	}
	h.refs++
	t := newTarget(s, spec, h, inv)
	t.created = made
	if err := t.measure(); err != nil {
		return nil, errors.Join(err, o.drop(h))
	}
	return t, nil
}

func keyOf(s subject, spec Spec) key {
	k := key{access: spec.Access, direct: spec.Direct, sync: spec.Sync}
	if s.kind == Block {
		k.rdev = s.info.Rdev
	} else {
		k.id = s.info.ID
	}
	return k
}

// open opens the descriptor that I/O goes to, and checks that it is still what was asked about.
func (o *Opener) open(s subject, spec Spec, k key) (*handle, error) {
	h := &handle{opener: o, key: k}
	if s.kind == Block && spec.Access == ReadWrite {
		var err error
		if h.claim, err = o.claimDevice(s, spec); err != nil {
			return nil, err
		}
	}
	file, err := blk.Open(s.resolved, blk.Flags{
		Write: spec.Access == ReadWrite, Direct: spec.Direct,
		Sync: spec.Sync == SyncFull, DataSync: spec.Sync == SyncData,
	})
	if err != nil {
		return nil, errors.Join(openFault(s.path, spec, err), o.unclaim(h.claim))
	}
	h.file = file
	if err := sameAs(file, s); err != nil {
		return nil, errors.Join(err, file.Close(), o.unclaim(h.claim))
	}
	return h, nil
}

// sameAs checks that the path was not changed between the guard's look and the opening.
func sameAs(file *os.File, s subject) error {
	info, err := blk.Fstat(file)
	if err != nil {
		return err
	}
	if info.ID != s.info.ID || info.Rdev != s.info.Rdev {
		return fault.New(fault.ExitRefused, "REFUSED_CHANGED", "run again when nothing renames or replaces it",
			"refused to use %s: it became another file or device while it was opened", s.path)
	}
	return nil
}

// claimDevice takes the exclusive hold, or shares the one that this run has, and asks the guard again: from
// here on nobody can begin to use the device.
func (o *Opener) claimDevice(s subject, spec Spec) (*claim, error) {
	if c := o.claims[s.info.Rdev]; c != nil {
		c.refs++
		return c, nil
	}
	file, err := blk.Open(s.resolved, blk.Flags{Write: true, Exclusive: true})
	if err != nil {
		return nil, openFault(s.path, spec, err)
	}
	err = sameAs(file, s)
	if err == nil {
		err = o.guard(o.inventory()).consent(s, spec)
	}
	if err == nil {
		err = refuseReadOnly(file, s)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	c := &claim{devT: s.info.Rdev, file: file, refs: 1}
	if o.claims == nil {
		o.claims = map[blk.DevT]*claim{}
	}
	o.claims[c.devT] = c
	return c, nil
}

// refuseReadOnly finds out before the first I/O that the kernel will take no writes.
func refuseReadOnly(file *os.File, s subject) error {
	readOnly, err := blk.ReadOnly(int(file.Fd()))
	if err != nil || !readOnly {
		return err
	}
	return readOnlyFault(s.path, nil)
}

func readOnlyFault(path string, err error) error {
	return fault.Wrap(err, fault.ExitUsage, "TARGET_READ_ONLY", "blockdev --setrw, or a job that only reads",
		"%s is read-only", path)
}

// openFault says what the kernel's answer to an open means.
func openFault(path string, spec Spec, err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fault.Wrap(err, fault.ExitRefused, "REFUSED_IN_USE",
			"something that /sys and /proc do not show here uses it: a mount in a namespace without processes, ZFS, or another program's exclusive open",
			"refused to write to %s: the kernel says it is in use [found by opening it with O_EXCL]", path)
	case errors.Is(err, syscall.ETXTBSY):
		return fault.Wrap(err, fault.ExitRefused, "REFUSED_IN_USE", "swapoff it first, or stop the program that runs from it",
			"refused to write to %s: the kernel says it is in use", path)
	case errors.Is(err, syscall.EROFS):
		return readOnlyFault(path, err)
	case errors.Is(err, fs.ErrPermission):
		return noPermission(path, err)
	case errors.Is(err, syscall.EINVAL) && spec.Direct:
		return fault.Wrap(err, fault.ExitUsage, "NO_DIRECT_IO", "--direct=0 goes through the page cache, which measures memory as well",
			"the file system of %s has no direct I/O", path)
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return fault.Wrap(err, fault.ExitUsage, "TARGET_NO_DEVICE", "blkmeter devices lists what the kernel has",
			"%s is a node without a device behind it", path)
	}
	return fault.Wrap(err, fault.ExitUsage, "TARGET_OPEN", "", "cannot open %s", path)
}

// create makes a new regular file of the wanted size. Its blocks are allocated where the file system can,
// and unwritten: Fill writes them.
func (o *Opener) create(spec Spec, inv *device.Inventory) (*Target, error) {
	dir, err := resolve(filepath.Dir(spec.Path))
	if err != nil {
		return nil, missing(filepath.Dir(spec.Path), err, inv)
	}
	if err := refuseUnderDev(spec.Path, dir); err != nil {
		return nil, err
	}
	if spec.SizeBytes <= 0 {
		return nil, fault.Usage("NO_SIZE", "give --size", "a size is needed to make %s", spec.Path)
	}
	s := subject{path: spec.Path, resolved: filepath.Join(dir, filepath.Base(spec.Path)), kind: File}
	file, err := blk.Open(s.resolved, blk.Flags{
		Write: true, Direct: spec.Direct, Create: true, Exclusive: true,
		Sync: spec.Sync == SyncFull, DataSync: spec.Sync == SyncData,
	})
	if err != nil {
		// A file system without direct I/O has made the file before it says so.
		if errors.Is(err, syscall.EINVAL) {
			err = errors.Join(err, os.Remove(s.resolved))
		}
		return nil, openFault(spec.Path, spec, err)
	}
	t, err := o.adopt(s, spec, file, inv)
	if err != nil {
		return nil, errors.Join(err, os.Remove(s.resolved))
	}
	return t, nil
}

// adopt sizes the file just made and makes it a target. It owns file.
func (o *Opener) adopt(s subject, spec Spec, file *os.File, inv *device.Inventory) (*Target, error) {
	err := allocate(file, spec.SizeBytes)
	if err == nil {
		s.info, err = blk.Fstat(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	spec.Access = ReadWrite
	h := &handle{opener: o, key: keyOf(s, spec), file: file, refs: 1}
	o.keep(h)
	if o.made == nil {
		o.made = map[blk.FileID]string{}
	}
	o.made[s.info.ID] = s.resolved
	t := newTarget(s, spec, h, inv)
	t.created = true
	if err := t.measure(); err != nil {
		return nil, errors.Join(err, o.drop(h))
	}
	return t, nil
}

// allocate gives a new file its size, with its blocks where the file system can reserve them.
func allocate(file *os.File, size int64) error {
	err := blk.Allocate(int(file.Fd()), 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		err = file.Truncate(size)
	}
	if err != nil {
		return spaceFault(err, file.Name(), size)
	}
	return nil
}

func spaceFault(err error, path string, size int64) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return fault.Wrap(err, fault.ExitUsage, "NO_SPACE", "give a smaller --size, or a directory with more room",
			"there is no room for %s of %d bytes", path, size)
	}
	return fault.Wrap(err, fault.ExitIO, "LAYOUT", "", "cannot lay out %s", path)
}

// refuseUnderDev keeps a mistyped device name from becoming a file in the directory of device nodes. File
// systems mounted below it (/dev/shm) are file systems like any other.
func refuseUnderDev(path, dir string) error {
	dev, err := blk.Stat("/dev")
	if err != nil {
		return nil
	}
	info, err := blk.Stat(dir)
	if err != nil || info.ID.Dev != dev.ID.Dev || dir != "/dev" && !isUnder(dir, "/dev") {
		return nil
	}
	return fault.New(fault.ExitRefused, "REFUSED_UNDER_DEV", "check the device's name; blkmeter devices lists them",
		"refused to make %s: nothing is ever created under /dev", path)
}

func isUnder(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

func (o *Opener) keep(h *handle) {
	if o.handles == nil {
		o.handles = map[key]*handle{}
	}
	o.handles[h.key] = h
}

// release gives one reference back.
func (h *handle) release() error {
	h.opener.mu.Lock()
	defer h.opener.mu.Unlock()
	return h.opener.drop(h)
}

func (o *Opener) drop(h *handle) error {
	if h.refs--; h.refs > 0 {
		return nil
	}
	delete(o.handles, h.key)
	return errors.Join(h.file.Close(), o.unclaim(h.claim))
}

func (o *Opener) unclaim(c *claim) error {
	if c == nil {
		return nil
	}
	if c.refs--; c.refs > 0 {
		return nil
	}
	delete(o.claims, c.devT)
	return c.file.Close()
}
