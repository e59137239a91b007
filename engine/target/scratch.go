package target

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/ncw/directio"
)

// fillBlockBytes is the write size of Fill: large enough that any device writes at its full speed.
const fillBlockBytes = 1 << 20

// Scratch makes a scratch file outside a run; see [Opener.Scratch].
func Scratch(ctx context.Context, dir string, size int64, direct bool) (*Target, error) {
	return new(Opener).Scratch(ctx, dir, size, direct)
}

// Scratch makes a file of size bytes in dir, rounded up to whole 4 KiB blocks, fills it with written,
// incompressible data and returns it open for reading and writing. The file has no name from the start, so
// that nothing is left behind however the process ends; its space is freed by Close. Where the file system
// has no direct I/O, or direct is false, it goes through the page cache; Target.Direct tells.
func (o *Opener) Scratch(ctx context.Context, dir string, size int64, direct bool) (*Target, error) {
	size = (size + directio.BlockSize - 1) / directio.BlockSize * directio.BlockSize
	if err := checkRoom(dir, size); err != nil {
		return nil, err
	}
	t, err := o.createScratch(filepath.Join(dir, scratchName()), size, direct)
	if err != nil {
		return nil, err
	}
	if err := t.Fill(ctx, 0, size, nil); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (o *Opener) createScratch(path string, size int64, direct bool) (*Target, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	inv := o.inventory()
	spec := Spec{Path: path, Access: ReadWrite, Direct: direct, Create: true, SizeBytes: size}
	t, err := o.create(spec, inv, true)
	if err != nil && direct && fault.Of(err).Code == "NO_DIRECT_IO" {
		spec.Direct = false
		t, err = o.create(spec, inv, true)
	}
	return t, err
}

// scratchName is a name that no other process takes.
func scratchName() string {
	var b [6]byte
	rand.Read(b[:])
	return "blkmeter-scratch-" + hex.EncodeToString(b[:])
}

// reserveBytes is left free on a file system: a full one breaks other programs.
const reserveBytes = 64 << 20

func checkRoom(dir string, size int64) error {
	fs, err := blk.Statfs(dir)
	if err != nil {
		return fault.Wrap(err, fault.ExitUsage, "NO_DIRECTORY", "name a directory that exists with --directory", "cannot use %s for the scratch file", dir)
	}
	if fs.FreeBytes < size+reserveBytes {
		return fault.Usage("NO_SPACE", "give a smaller --size, or a directory with more room",
			"a scratch file of %d bytes does not fit %s: %d bytes are free, and %d stay so", size, dir, fs.FreeBytes, int64(reserveBytes))
	}
	return nil
}

// ScratchDir chooses where a scratch file of size bytes goes: the first of $TMPDIR, the working directory,
// /var/tmp and /tmp that has room on a real device. note says so when only a file system in memory is left,
// whose figures are not a device's.
func ScratchDir(env func(string) string, size int64) (dir, note string, err error) {
	inMemory := ""
	for _, dir := range []string{env("TMPDIR"), ".", "/var/tmp", "/tmp"} {
		if dir == "" || checkRoom(dir, size) != nil || !mayCreate(dir) {
			continue
		}
		fs, err := blk.Statfs(dir)
		if err == nil && fs.Magic != blk.MagicTmpfs && fs.Magic != blk.MagicRamfs {
			return absolute(dir), "", nil
		}
		if inMemory == "" {
			inMemory = dir
		}
	}
	if inMemory != "" {
		return absolute(inMemory), fmt.Sprintf("%s is a file system in memory: the figures are the memory's", inMemory), nil
	}
	return "", "", fault.Usage("NO_SPACE", "give a smaller --size, or a --directory with room",
		"no directory has room for a scratch file of %d bytes", size)
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// mayCreate tries to make a file that never gets a name.
func mayCreate(dir string) bool {
	f, err := os.CreateTemp(dir, "blkmeter-try-")
	if err != nil {
		return false
	}
	return errors.Join(os.Remove(f.Name()), f.Close()) == nil
}

// Fill writes length bytes at offset with data that does not compress, so that the blocks are real to the
// file system and the device, and makes them stable. Both must be multiples of the target's offset
// alignment. progress, if not nil, is told after each block how many bytes are written. The target must
// be writable; ctx ends the writing between two blocks.
func (t *Target) Fill(ctx context.Context, offset, length int64, progress func(done int64)) error {
	if err := t.Lay(ctx, offset, length, progress); err != nil {
		return err
	}
	return t.Sync()
}

// Lay is Fill without making what was written stable.
func (t *Target) Lay(ctx context.Context, offset, length int64, progress func(done int64)) error {
	if !t.writable {
		return fmt.Errorf("fill %s: it is open for reading only", t.path)
	}
	file, release, err := t.openStorage()
	if err != nil {
		return err
	}
	defer release()
	var seed [32]byte
	rand.Read(seed[:])
	random := mrand.NewChaCha8(seed)
	block := directio.AlignedBlock(int(min(length, fillBlockBytes)))
	for done := int64(0); done < length; {
		if err := ctx.Err(); err != nil {
			return fault.Wrap(err, fault.ExitInterrupted, "INTERRUPTED", "", "stopped while writing %s", t.path)
		}
		part := block[:min(length-done, int64(len(block)))]
		random.Read(part)
		n, err := file.WriteAt(part, offset+done)
		if err != nil {
			return fillFault(err, t.path, offset+done+int64(n), length)
		}
		if done += int64(n); progress != nil {
			progress(done)
		}
	}
	return nil
}

func fillFault(err error, path string, at, length int64) error {
	if errors.Is(err, syscall.ENOSPC) {
		return spaceFault(err, path, length)
	}
	return fault.Wrap(err, fault.ExitIO, "FILL", "", "cannot write %s at offset %d", path, at)
}
