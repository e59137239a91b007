package target

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// An NVMe namespace has two nodes: a block device (/dev/nvme0n1) and a character device (/dev/ng0n1) that takes
// NVMe commands. What is sent through the one changes what the other stores, so whatever is asked about the
// character device is asked about the block device: who uses it, what it holds, and whether it can be claimed.

// asGeneric returns the subject that a character device is for passthrough: the namespace with that number, and
// the block device of the same namespace. It is false for any other character device.
func (s subject) asGeneric(inv *device.Inventory) (subject, bool) {
	n := inv.NamespaceOf(s.info.Rdev)
	if n == nil || n.DevT.IsZero() {
		return s, false
	}
	s.kind, s.blockDevT, s.blockPath = Generic, n.DevT, filepath.Join("/dev", n.Name)
	return s, true
}

// character opens a namespace's character device if commands are to be sent there. Any other is refused: because
// of what it would destroy if it was to be written, else because no engine does I/O on one.
func (o *Opener) character(s subject, spec Spec, inv *device.Inventory) (*Target, error) {
	if g, ok := s.asGeneric(inv); ok && spec.Passthrough {
		return o.existing(g, spec, inv)
	}
	if spec.Access == ReadWrite {
		if err := (guard{inv: inv}).refuseInUse(s); err != nil {
			return nil, err
		}
	}
	return nil, characterDevice(s)
}

// notGeneric says that NVMe commands cannot be sent to a subject, and to which device they can.
func (o *Opener) notGeneric(s subject, inv *device.Inventory) error {
	hint := "name a namespace's character device (ls /dev/ng*), or use another engine"
	if n := inv.ByDevT(s.info.Rdev); s.kind == Block && n != nil {
		generic := device.GenericOf(o.Root, cmp.Or(n.Disk, n.Name))
		switch {
		case generic != "" && n.Disk == "":
			hint = "name the character device of the same namespace: /dev/" + generic
		case generic != "":
			hint = fmt.Sprintf("commands go to a whole namespace: name /dev/%s, and the place of %s on it with --offset and --size", generic, n.Name)
		}
	}
	return fault.Usage("TARGET_NOT_GENERIC", hint, "%s takes no NVMe commands: io_uring_cmd sends them to character devices such as /dev/ng0n1", s.path)
}

// measureGeneric asks the namespace for its size and format, and makes sure that it is the one whose block device
// the guard was asked about.
func (t *Target) measureGeneric() error {
	nsid, err := blk.NVMeNamespaceID(t.FD())
	if err != nil {
		return err
	}
	if known := t.facts.NVMeNamespace; known != 0 && uint32(known) != nsid {
		return changedFault(t.path)
	}
	format, err := device.ReadNamespaceFormat(t.FD(), nsid)
	if errors.Is(err, fs.ErrPermission) { // before Linux 6.2 only root may ask
		return noPermission(t.path, err)
	}
	if err != nil {
		return err
	}
	if format.MetadataBytes != 0 {
		return fault.New(fault.ExitEnvironment, "NVME_METADATA", "measure its block device, or format it without metadata (nvme format)",
			"%s is formatted with %d bytes of metadata for each block, which blkmeter's commands do not carry", t.path, format.MetadataBytes)
	}
	t.nsid, t.logical, t.size = nsid, int(format.BlockBytes), int64(format.Blocks)*format.BlockBytes
	return nil
}

// NVMeNamespace returns the number of the namespace behind a Generic target.
func (t *Target) NVMeNamespace() uint32 { return t.nsid }

// CheckCommand refuses commands with more data than the device takes at once: nobody splits them.
func (t *Target) CheckCommand(bytes int64) error {
	most, err := strconv.ParseInt(t.facts.Settings["max_hw_sectors_kb"], 10, 64)
	if t.kind != Generic || err != nil || bytes <= most<<10 {
		return nil
	}
	return fault.Usage("COMMAND_TOO_LARGE", "lower --bs, or measure the block device, where the kernel splits requests",
		"%s takes at most %d KiB in one command, and a block has %d bytes", t.path, most, bytes)
}

// openStorage opens what a target stores for reading and writing as a file is: a namespace's character device
// has no read(2), so there it is the block device. release ends that.
func (t *Target) openStorage() (file *os.File, release func() error, err error) {
	if t.kind != Generic {
		return t.handle.file, func() error { return nil }, nil
	}
	path := filepath.Join("/dev", t.facts.Disk)
	if file, err = blk.Open(path, blk.Flags{Write: t.writable, Direct: true}); err != nil {
		return nil, nil, fmt.Errorf("open the block device of %s: %w", t.path, err)
	}
	if info, err := blk.Fstat(file); err != nil || info.Rdev != t.devT {
		return nil, nil, fmt.Errorf("%s is not the block device of %s (%w)", path, t.path, file.Close())
	}
	return file, file.Close, nil
}
