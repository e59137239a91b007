package target

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/blkmeter/blkmeter/internal/device"
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
	Path        string
	Access      Access
	Direct      bool // O_DIRECT
	Sync        Sync
	Destroy     []string // names that the user gave up: each the last element of a resolved path
	Create      bool     // make a regular file of SizeBytes if there is nothing at Path
	SizeBytes   int64
	Later       bool // a file that is to be made is made when it is first opened: it is Planned until then
	Sparse      bool // a file that is made gets its size, and its blocks only when they are written
	Passthrough bool // NVMe commands will be sent: Path must be a namespace's character device (/dev/ngXnY), and becomes a Generic
	Overwrite   bool // an existing regular file may be written to, within its size unless it is to Grow, without being named (fio's way)
}

// Opener opens the targets of one run. Targets that are the same device or file, opened the same way,
// share one descriptor; a device that is written is claimed once. The zero value is ready to use.
type Opener struct {
	Root device.Root // where /sys and /proc are read; "" is this machine's

	mu      sync.Mutex
	handles map[key]*handle
	claims  map[blk.DevT]*claim
	recent  snapshot
	made    map[blk.FileID]string // files made in this run, with their paths: a number is used again after a file is gone
}

// Open opens one target outside a run.
func Open(spec Spec) (*Target, error) { return new(Opener).Open(spec) }

// key tells descriptors apart that cannot be shared.
type key struct {
	id       blk.FileID // of the file, or of the node of a character device; zero for a block device
	rdev     blk.DevT   // of the block device; zero for others
	access   Access
	direct   bool
	sync     Sync
	commands bool // Passthrough
}

// handle is an open descriptor shared by targets.
type handle struct {
	opener *Opener
	key    key
	file   *os.File
	claim  *claim // of a device that is written
	model  Target // what all its targets have in common
	refs   int

	planned bool // the file does not exist yet
}

// Open opens what spec names after the guard agreed. Every error that reaches the user says what to do:
// see package fault for the exit codes (2 for what the guard refused).
func (o *Opener) Open(spec Spec) (*Target, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, err := identify(spec.Path)
	if h := o.handles[keyOf(s, spec)]; err == nil && h != nil {
		return h.target(s, o.isMade(s)), nil
	}
	var inv *device.Inventory
	if errors.Is(err, fs.ErrNotExist) || err == nil && s.kind == File {
		inv = o.inventoryOfFiles()
	} else {
		inv = o.inventory()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && spec.Create && spec.Later:
		return o.plan(spec, inv)
	case errors.Is(err, fs.ErrNotExist) && spec.Create:
		return o.create(spec, inv, false)
	case err != nil:
		return nil, missing(spec.Path, err, inv)
	case s.kind == character:
		return o.character(s, spec, inv)
	case spec.Passthrough:
		return nil, o.notGeneric(s, inv)
	}
	return o.existing(s, spec, inv)
}

// isMade says whether this run made the subject.
func (o *Opener) isMade(s subject) bool { return s.kind == File && o.made[s.info.ID] == s.resolved }

// guard returns the guard over a snapshot.
func (o *Opener) guard(inv *device.Inventory) guard { return guard{inv: inv, look: lookAt} }

// existing opens something that is already there, and not open yet.
func (o *Opener) existing(s subject, spec Spec, inv *device.Inventory) (*Target, error) {
	if err := notStored(s, inv); err != nil {
		return nil, err
	}
	made := o.isMade(s)
	if spec.Access == ReadWrite && !made {
		err := o.guard(inv).consent(s, spec)
		if err == nil && s.kind == File {
			err = o.refuseBusy(s, inv, inv.BeyondFile(s.info.ID))
		}
		if err != nil {
			return nil, err
		}
	}
	h, err := o.open(s, spec)
	if err != nil {
		return nil, err
	}
	return o.begin(h, s, spec, inv, made)
}

// begin describes what a new handle opened, keeps it for the targets that will share it, and returns the
// first of them.
func (o *Opener) begin(h *handle, s subject, spec Spec, inv *device.Inventory, made bool) (*Target, error) {
	h.model = describe(s, spec, h, inv)
	if err := h.model.measure(); err != nil {
		return nil, errors.Join(err, h.close())
	}
	if o.handles == nil {
		o.handles = map[key]*handle{}
	}
	o.handles[h.key] = h
	return h.target(s, made), nil
}

// target returns one more target that shares the handle.
func (h *handle) target(s subject, made bool) *Target {
	h.refs++
	t := h.model
	t.path, t.resolved, t.created = s.path, s.resolved, made
	return &t
}

func keyOf(s subject, spec Spec) key {
	k := key{access: spec.Access, direct: spec.Direct && !spec.Passthrough, sync: spec.Sync, commands: spec.Passthrough}
	if s.kind == Block {
		k.rdev = s.info.Rdev
	} else {
		k.id = s.info.ID
	}
	return k
}

// open opens the descriptor that I/O goes to, and checks that it is still what was asked about.
func (o *Opener) open(s subject, spec Spec) (*handle, error) {
	h := &handle{opener: o, key: keyOf(s, spec)}
	if s.kind != File && spec.Access == ReadWrite {
		var err error
		if h.claim, err = o.claimDevice(s, spec); err != nil {
			return nil, err
		}
	}
	file, err := blk.Open(s.resolved, h.flags())
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
		return changedFault(s.path)
	}
	return nil
}

// release gives one target's share back.
func (h *handle) release() error {
	o := h.opener
	o.mu.Lock()
	defer o.mu.Unlock()
	if h.refs--; h.refs > 0 {
		return nil
	}
	if o.handles[h.key] == h {
		delete(o.handles, h.key)
	}
	return h.close()
}

func (h *handle) close() error { return errors.Join(h.file.Close(), h.opener.unclaim(h.claim)) }
