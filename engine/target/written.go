package target

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/ncw/directio"
)

// Written is what is known about how much of a region was ever written. Reading what never was is answered
// from a map in memory, by the file system or by the drive, and says nothing about the medium.
type Written struct {
	Percent float64 // 0..100 of the region
	Known   bool    // false: nothing could be found out, and Percent means nothing
	Sampled bool    // estimated from a sample of blocks that read as zeros or not
	How     string  // what was asked
}

// Written finds out how much of length bytes at offset was ever written. It asks the file system's extent
// map for a file, and for the file under a loop device; an NVMe controller how much of the namespace it has
// allocated; of anything else it reads a sample and counts blocks of zeros. It changes nothing.
func (t *Target) Written(offset, length int64) Written {
	length = min(length, t.size-offset)
	if offset < 0 || length <= 0 {
		return Written{}
	}
	var w Written
	_ = t.opened(func() error { w = t.written(offset, length); return nil }) // what cannot be opened is not known
	return w
}

func (t *Target) written(offset, length int64) Written {
	for _, ask := range []func(int64, int64) (Written, error){t.writtenInFile, t.writtenUnderLoop, t.writtenOnNVMe} {
		if w, err := ask(offset, length); err == nil {
			return w
		}
	}
	return t.writtenSample(offset, length)
}

// errNotThatKind says that a way of asking does not apply to the target.
var errNotThatKind = errors.New("not that kind of target")

func (t *Target) writtenInFile(offset, length int64) (Written, error) {
	if t.kind != File {
		return Written{}, errNotThatKind
	}
	return writtenExtents(t.FD(), offset, length, "the extent map of the file")
}

// writtenUnderLoop asks about the file under a loop device, if the path that the device remembers still
// leads to it.
func (t *Target) writtenUnderLoop(offset, length int64) (Written, error) {
	if t.facts.Kind != device.KindLoop {
		return Written{}, errNotThatKind
	}
	offset += t.partitionStart()
	status, err := blk.LoopInfo(t.FD())
	if err != nil {
		return Written{}, err
	}
	file, err := blk.Open(t.facts.BackingFile, blk.Flags{NonBlock: true})
	if err != nil {
		return Written{}, err
	}
	defer file.Close()
	info, err := blk.Fstat(file)
	if err != nil || info.ID != status.Backing || !info.Mode.IsRegular() {
		return Written{}, errors.Join(err, errNotThatKind)
	}
	return writtenExtents(int(file.Fd()), offset+status.OffsetBytes, length, "the extent map of "+t.facts.BackingFile)
}

// writtenExtents adds up the extents that are not marked as unwritten.
func writtenExtents(fd int, offset, length int64, how string) (Written, error) {
	var written int64
	count := func(e blk.Extent) bool {
		if !e.Unwritten {
			written += e.Length
		}
		return true
	}
	err := blk.Extents(fd, offset, length, count)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		written = 0
		err = blk.DataExtents(fd, offset, length, count)
	}
	if err != nil {
		return Written{}, err
	}
	return Written{Percent: 100 * float64(written) / float64(length), Known: true, How: how}, nil
}

// writtenOnNVMe asks the controller. It counts for the namespace only, so a small region is sampled.
func (t *Target) writtenOnNVMe(offset, length int64) (Written, error) {
	if t.kind == File || t.facts.Kind != device.KindNVMe || length < t.size/10*9 || t.facts.Name != t.facts.Disk {
		return Written{}, errNotThatKind
	}
	u, err := device.ReadUtilisation(t.FD(), uint32(t.facts.NVMeNamespace))
	if err != nil {
		return Written{}, err
	}
	if u.Used >= u.Capacity || u.Capacity == 0 {
		return Written{}, fmt.Errorf("the controller does not count: %w", errNotThatKind)
	}
	return Written{
		Percent: 100 * float64(u.Used) / float64(u.Capacity), Known: true,
		How: fmt.Sprintf("the NVMe controller: %d of %d blocks allocated", u.Used, u.Capacity),
	}, nil
}

// How many blocks are read of a region, at most: enough to see a few per cent, little enough for a disk with
// a moving head.
const (
	sampleBlocks           = 256
	sampleBlocksRotational = 64
)

// writtenSample reads blocks spread over the region and counts those with anything but zeros.
func (t *Target) writtenSample(offset, length int64) Written {
	blockBytes := int64(max(t.align.Offset, directio.BlockSize))
	buf := directio.AlignedBlock(int(blockBytes))
	file, release, err := t.openStorage()
	if err != nil {
		return Written{}
	}
	defer release()
	blocks := length / blockBytes
	count := min(blocks, sampleBlocks)
	if t.facts.Rotational {
		count = min(blocks, sampleBlocksRotational)
	}
	read, written := 0, 0
	for i := range count {
		// One block at random from each of count equal parts, so that no period of the data can hide.
		low, high := blocks*i/count, blocks*(i+1)/count
		at := offset + (low+rand.Int64N(high-low))*blockBytes
		n, err := file.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			continue
		}
		read++
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			written++
		}
	}
	if read == 0 {
		return Written{}
	}
	return Written{
		Percent: 100 * float64(written) / float64(read), Known: true, Sampled: true,
		How: fmt.Sprintf("a sample of %d blocks of %d bytes: the rest read as zeros", read, blockBytes),
	}
}

// partitionStart is where a partition begins on its disk, in bytes; 0 for a whole disk.
func (t *Target) partitionStart() int64 {
	return device.PartitionStart(t.handle.opener.Root, t.facts.Name)
}
