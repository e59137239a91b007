// Package target decides what I/O may go to, and is the only place that opens it. An engine is handed a
// [Target], which exists only after the guard agreed; there is no other way to a writable descriptor.
//
// The rules:
//   - Reading is always allowed, of mounted devices too, and never creates, enlarges or rewrites anything.
//   - Writing (trim counts as writing) to something that exists, and that blkmeter did not make in this
//     run, needs the user's explicit word: its name in Destroy.
//   - Writing to what somebody uses (mounted, swap, held by another device, under a loop device in use, open
//     for writing by another process) is refused, whatever the user says.
//   - Devices are told apart by number, never by name, and a device to be written is claimed exclusively
//     (O_EXCL) and checked again after the claim.
//   - Nothing is created under /dev.
package target

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
	"github.com/ncw/directio"
)

// Kind is what a target is.
type Kind string

// The kinds of targets.
const (
	Block   Kind = "block"        // a block device
	File    Kind = "file"         // a regular file
	Generic Kind = "nvme-generic" // the character device of an NVMe namespace, which takes commands and no read(2)
	NoIO    Kind = "null"         // nothing: the null engine's

	character Kind = "character" // never becomes a Target
)

// Target is something open that I/O may go to. Its descriptor may be shared by all workers of a run.
// Methods other than Close, Fill and Remove may be called from any goroutine.
type Target struct {
	path     string
	resolved string
	kind     Kind
	size     int64 // how far I/O may go
	end      int64 // where a file ended when it was opened
	writable bool
	created  bool
	direct   bool
	align    blk.DirectAlign
	logical  int
	nsid     uint32 // of a Generic
	devT     blk.DevT
	facts    device.Facts
	fs       device.FileSystem
	stack    []string
	handle   *handle
	parked   *handle // without a descriptor: how it is opened again; nil while handle is not
}

// Null returns the target of the null engine: size bytes of nothing, with no descriptor (FD is -1).
func Null(size int64) *Target {
	return &Target{
		path: "null", resolved: "null", kind: NoIO, size: size, writable: true, logical: 512,
		align: blk.DirectAlign{Memory: 1, Offset: 1}, facts: device.Facts{NUMANode: -1}, stack: []string{"null"},
	}
}

// FD returns the open descriptor, -1 for a Null target. It stays valid until Close.
func (t *Target) FD() int {
	if t.handle == nil {
		return -1
	}
	return int(t.handle.file.Fd())
}

// TrimFD returns the descriptor to trim through: of a device that is written, the one that claims it. Through any
// other the kernel does not dare to drop what the page cache holds of the range, and answers EBUSY
// (truncate_bdev_range in block/bdev.c).
func (t *Target) TrimFD() int {
	if t.Exclusive() {
		return int(t.handle.claim.file.Fd())
	}
	return t.FD()
}

// Kind returns what the target is.
func (t *Target) Kind() Kind { return t.kind }

// Path returns the path as the user gave it.
func (t *Target) Path() string { return t.path }

// Resolved returns the path with its links resolved.
func (t *Target) Resolved() string { return t.resolved }

// SizeBytes returns the size that the target had when it was opened, or that it may grow to ([Target.Grow]).
func (t *Target) SizeBytes() int64 { return t.size }

// EndBytes returns where the target ended when it was opened: 0 for a file that is made later.
func (t *Target) EndBytes() int64 { return t.end }

// Grow lets writes make a file larger, up to size. It changes nothing itself, and does nothing to a device,
// or to what is open for reading only.
func (t *Target) Grow(size int64) {
	if t.kind == File && t.writable {
		t.size = max(t.size, size)
	}
}

// LogicalBytes returns the logical block size of the device that gets the I/O; 512 when it is not known.
func (t *Target) LogicalBytes() int { return t.logical }

// OffsetAlign returns what offsets and lengths must be multiples of: 1 without direct I/O.
func (t *Target) OffsetAlign() int { return t.align.Offset }

// MemAlign returns what buffer addresses must be multiples of: 1 without direct I/O.
func (t *Target) MemAlign() int { return t.align.Memory }

// Writable says whether the target may be written and trimmed.
func (t *Target) Writable() bool { return t.writable }

// Created says whether blkmeter made the target in this run.
func (t *Target) Created() bool { return t.created }

// Direct says whether I/O goes around the page cache.
func (t *Target) Direct() bool { return t.direct }

// Planned says whether the target is a file that is made when it is first opened ([Target.Unpark]).
func (t *Target) Planned() bool { return t.parked != nil && t.parked.planned }

// Parked says whether the target has no descriptor until it is opened again ([Target.Unpark]).
func (t *Target) Parked() bool { return t.parked != nil }

// Exclusive says whether the kernel keeps others from mounting or holding the device meanwhile.
func (t *Target) Exclusive() bool { return t.handle != nil && t.handle.claim != nil }

// DevT returns the number of the block device that gets the I/O: the target, the one of the same namespace, or
// the device under its file system. Zero when there is none that can be told (tmpfs, NFS, overlay, null).
func (t *Target) DevT() blk.DevT { return t.devT }

// Facts returns what is known about the block device that gets the I/O; of a target without one only
// NUMANode (-1) is set.
func (t *Target) Facts() device.Facts { return t.facts }

// FileSystem returns the file system that holds a file; the zero value for anything else.
func (t *Target) FileSystem() device.FileSystem { return t.fs }

// Stack names what the I/O passes on its way down, the target first: "loop0", "/data/img", "ext4", "nvme0n1".
func (t *Target) Stack() []string { return t.stack }

// NoWait says whether the target takes I/O that must not block (RWF_NOWAIT). Where it does not, io_uring
// hands every request to a kernel worker thread, many times slower at low depth. It reads the first block
// to find out; a target that cannot be read that way counts as one that does not.
func (t *Target) NoWait() bool {
	takes := true
	err := t.opened(func() (err error) {
		takes, err = blk.TakesNoWait(t.FD(), directio.AlignedBlock(max(t.align.Offset, 512)))
		return err
	})
	return err == nil && takes
}

// Close gives the target back; the descriptor closes with the last target that shares it. Of a scratch
// file, the space is freed then. Closing twice is harmless.
func (t *Target) Close() error {
	h := t.handle
	t.handle, t.parked = nil, nil
	if h == nil {
		return nil
	}
	return h.release()
}

// Remove deletes the name of a file that blkmeter made in this run, if it still has it; the target stays
// usable until Close. It deletes nothing else.
func (t *Target) Remove() error {
	h := cmp.Or(t.handle, t.parked)
	if !t.created || h == nil || h.planned {
		return nil
	}
	o := h.opener
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.made, h.key.id)
	info, err := blk.Stat(t.resolved)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil || info.ID != h.key.id {
		return err
	}
	return os.Remove(t.resolved)
}

// Advise tells the kernel how the target's pages will be used.
func (t *Target) Advise(a fileio.Advice) error {
	err := t.opened(func() error { return fileio.Advise(t.FD(), a) })
	if err != nil {
		return fmt.Errorf("advising the kernel about %s: %w", t.path, err)
	}
	return nil
}

// Sync makes stable what was written to the target.
func (t *Target) Sync() error {
	return t.opened(func() error {
		file, release, err := t.openStorage()
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), release())
	})
}

// SyncFS makes everything stable that was written to the file system that holds the target.
func (t *Target) SyncFS() error {
	err := t.opened(func() error { return fileio.SyncFS(t.FD()) })
	if err != nil {
		return fmt.Errorf("syncing the file system of %s: %w", t.path, err)
	}
	return nil
}

// DropCache makes what was written stable and takes the target's pages out of the page cache, so that what
// is read next comes from the device. Pages that others use may stay.
func (t *Target) DropCache() error {
	if t.direct {
		return nil
	}
	return t.opened(func() error {
		if t.writable {
			if err := t.handle.file.Sync(); err != nil {
				return err
			}
		}
		return t.Advise(fileio.DontNeed)
	})
}

// ReadThrough reads the whole target once, into the page cache.
func (t *Target) ReadThrough() error {
	return t.opened(func() error {
		block := directio.AlignedBlock(fillBlockBytes)
		for at := int64(0); at < t.size; {
			n, err := t.handle.file.ReadAt(block[:min(t.size-at, fillBlockBytes)], at)
			if err != nil {
				return err
			}
			at += int64(n)
		}
		return nil
	})
}
