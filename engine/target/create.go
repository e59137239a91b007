package target

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// create makes a new regular file of the wanted size. Its blocks are allocated where the file system can,
// and unwritten: Fill writes them. An unnamed one loses its name first, since allocating can take long and the
// process can be killed meanwhile.
func (o *Opener) create(spec Spec, inv *device.Inventory, unnamed bool) (*Target, error) {
	dir, err := o.placeFor(spec, inv)
	if err != nil {
		return nil, err
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
	if unnamed {
		if err := os.Remove(s.resolved); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return o.adopt(s, spec, file, inv)
	}
	t, err := o.adopt(s, spec, file, inv)
	if err != nil {
		return nil, errors.Join(err, os.Remove(s.resolved))
	}
	return t, nil
}

// placeFor returns the directory, its links resolved, that a new file goes to.
func (o *Opener) placeFor(spec Spec, inv *device.Inventory) (string, error) {
	dir, err := resolve(filepath.Dir(spec.Path))
	if err != nil {
		return "", missing(filepath.Dir(spec.Path), err, inv)
	}
	if err := refuseUnderDev(spec.Path, dir); err != nil {
		return "", err
	}
	if spec.SizeBytes <= 0 {
		return "", fault.Usage("NO_SIZE", "give --size", "a size is needed to make %s", spec.Path)
	}
	return dir, nil
}

// adopt sizes the file just made and makes it a target. It owns file.
func (o *Opener) adopt(s subject, spec Spec, file *os.File, inv *device.Inventory) (*Target, error) {
	err := allocate(file, spec.SizeBytes, spec.Sparse)
	if err == nil {
		s.info, err = blk.Fstat(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	spec.Access = ReadWrite
	t, err := o.begin(&handle{opener: o, key: keyOf(s, spec), file: file}, s, spec, inv, true)
	if err != nil {
		return nil, err
	}
	o.remember(s)
	return t, nil
}

// remember notes that this run made the subject.
func (o *Opener) remember(s subject) {
	if o.made == nil {
		o.made = map[blk.FileID]string{}
	}
	o.made[s.info.ID] = s.resolved
}

// allocate gives a new file its size, with its blocks, unless it is to be sparse, where the file system can
// reserve them.
func allocate(file *os.File, size int64, sparse bool) error {
	if sparse {
		return file.Truncate(size)
	}
	err := blk.Allocate(int(file.Fd()), 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		err = file.Truncate(size)
	}
	if err != nil {
		return spaceFault(err, file.Name(), size)
	}
	return nil
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
