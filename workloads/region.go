package workloads

import (
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/units"
)

// Region returns the bytes [low, high) of a target of targetBytes that a job's clone works on; clone counts
// from 0. It is fio's arithmetic of size, filesize, offset, offset_increment, offset_align and their
// percentages; a size given in bytes is spread evenly over NrFiles files. high-low is a multiple of the job's
// smallest block size: the last block of a size that is none is left out, except that a sequential job does it
// whole when the target has room, as in fio. The zones of zonemode=strided follow one another to the end of the
// target, whatever size is: [Job.ShareBytes] says how much of the region a pass is.
//
// A region that does not lie within the target or holds no block is an error with a hint.
func Region(job *Job, clone int, targetBytes int64) (low, high int64, err error) {
	block := job.MinBlock()
	low, err = startOffset(job, clone, targetBytes, block)
	if err != nil {
		return 0, 0, err
	}
	if low >= targetBytes {
		return 0, 0, fault.Usage("OFFSET_BEYOND_END", "lower offset= or offset_increment=",
			"job %s: its region starts at byte %d, and the target ends at %d", job.Name, low, targetBytes)
	}
	length, err := regionLength(job, low, targetBytes, block)
	if err != nil {
		return 0, 0, err
	}
	if length > targetBytes-low {
		return 0, 0, fault.Usage("SIZE_BEYOND_END", "lower size=, or leave it out to use the target to its end",
			"job %s: its region is bytes %d to %d, and the target ends at %d", job.Name, low, low+length, targetBytes)
	}
	if length < block {
		return 0, 0, fault.Usage("REGION_TOO_SMALL", "raise size= or lower bs=",
			"job %s: its region at byte %d holds no whole block of %s", job.Name, low, units.Bytes(block))
	}
	if rest := length % block; rest != 0 {
		length -= rest
		if !job.Size.IsPct && !job.RW.Random() && length+block <= targetBytes-low {
			length += block
		}
	}
	return low, low + length, nil
}

// startOffset is where a clone's region starts. As in fio, an offset computed from a percentage is rounded
// up to offset_align, or to the smallest block.
func startOffset(job *Job, clone int, targetBytes, block int64) (int64, error) {
	align := int64(1)
	if job.Offset.IsPct || job.OffsetIncrement.IsPct {
		align = block
		if job.OffsetAlign > 0 {
			align = job.OffsetAlign
		}
	}
	offset, increment := job.Offset.Of(targetBytes), job.OffsetIncrement.Of(targetBytes)
	if increment != 0 && int64(clone) > (maxOffset-offset)/increment {
		return 0, fault.Usage("OFFSET_BEYOND_END", "lower offset_increment=",
			"job %s: the offset of its clone %d does not fit into 63 bits", job.Name, clone)
	}
	offset += int64(clone) * increment
	if rest := offset % align; rest != 0 {
		offset += align - rest
	}
	return offset, nil
}

const maxOffset = 1<<62 - 1

// regionLength is how many bytes from low on belong to the region, before it is cut to whole blocks.
func regionLength(job *Job, low, targetBytes, block int64) (int64, error) {
	rest := targetBytes - low
	switch fs := job.FileSize; {
	case fs.Max > 0 && (targetBytes < fs.Min || targetBytes > fs.Max):
		return max(fs.Max-low, 0), nil
	case fs.Max > 0:
		return rest, nil
	case job.Size.IsPct && !job.Zones.Strided():
		return min(job.Size.Of(targetBytes), rest), nil
	case job.Size.IsPct || job.Size.Bytes == 0:
		return rest, nil
	}
	share := job.Size.Bytes / int64(max(job.NrFiles, 1))
	if share < block && job.NrFiles > 1 {
		return 0, fault.Usage("REGION_TOO_SMALL", "raise size=, or lower bs= or nrfiles=",
			"job %s: size %s over %d files leaves no block of %s for each", job.Name,
			units.Bytes(job.Size.Bytes), job.NrFiles, units.Bytes(block))
	}
	if job.Zones.Strided() {
		share = max(share, rest)
	}
	return share, nil
}

// PlannedBytes is how large a clone's file of that path has to be when it does not exist: long
// enough for the clone's region. With a range of filesizes it is drawn from that, the same for every clone that
// uses the path. It is 0 when the job does not say.
func (j *Job) PlannedBytes(clone int, path string) int64 {
	if j.FileSize.Max > 0 {
		return j.drawFileBytes(path)
	}
	offset, err := startOffset(j, clone, 0, j.MinBlock())
	if err != nil || j.Size.IsPct || j.Size.Bytes <= 0 {
		return 0
	}
	return offset + max(j.Size.Bytes/int64(max(j.NrFiles, 1)), 1)
}

// drawFileBytes draws the size of a file from the range of filesize, in whole blocks, as far as that has any.
func (j *Job) drawFileBytes(path string) int64 {
	low, high, block := j.FileSize.Min, j.FileSize.Max, j.MinBlock()
	low = max(low, min(block, high))
	if low >= high {
		return high
	}
	h := fnv.New64a()
	h.Write([]byte(path))
	size := low + rand.New(rand.NewPCG(h.Sum64(), j.RandSeed)).Int64N(high-low+1)
	return max(size-size%block, low)
}

// PlannedFiles says how large each file will be that a run makes: long enough for all that use it. Its keys are
// cleaned paths.
type PlannedFiles map[string]int64

// Add adds the files of a job.
func (p PlannedFiles) Add(j *Job) {
	if j.Engine == "null" || j.Replays() {
		return
	}
	for clone := range max(j.NumJobs, 1) {
		for _, path := range j.Paths(clone) {
			clean := filepath.Clean(path)
			p[clean] = max(p[clean], j.PlannedBytes(clone, path))
		}
	}
}

// Bytes returns the size of the file of that path, 0 when no job says one.
func (p PlannedFiles) Bytes(path string) int64 { return p[filepath.Clean(path)] }

// MinBlock is the smallest block in bytes that the job may issue in any direction it works in.
func (j *Job) MinBlock() int64 {
	smallest := int64(0)
	for d := range Direction(Directions) {
		if b := int64(j.BS[d].Min); j.RW.Does(d) && (smallest == 0 || b < smallest) {
			smallest = b
		}
	}
	return max(smallest, 1)
}

// MaxBlock is the largest block in bytes that the job may issue in any direction it works in.
func (j *Job) MaxBlock() int64 {
	largest := int64(1)
	for d := range Direction(Directions) {
		if j.RW.Does(d) {
			largest = max(largest, int64(j.BS[d].Max))
		}
	}
	return largest
}

// BufferBytes is how large the buffer of each I/O has to be. It is MaxBlock, except that trims of a log, which
// may discard a whole device at once, need none.
func (j *Job) BufferBytes() int64 {
	if !j.Replays() {
		return j.MaxBlock()
	}
	return max(int64(j.BS[Read].Max), int64(j.BS[Write].Max), 1)
}

// ShareBytes is how much of a region [low, high), which [Region] gave, a pass transfers: all of it, except that
// with zonemode=strided size is an amount and does not bound the region.
func (j *Job) ShareBytes(low, high int64) int64 {
	switch {
	case !j.Zones.Strided() || j.FileSize.Max > 0:
		return high - low
	case j.Size.IsPct:
		return min(j.Size.Of(high), high-low)
	case j.Size.Bytes > 0:
		return min(j.Size.Bytes/int64(max(j.NrFiles, 1)), high-low)
	}
	return high - low
}

// TransferBytes is how much a clone transfers per loop over the regions of its files, which are regionBytes
// together: io_size when given, else the regions once, but no block more than size has.
func (j *Job) TransferBytes(regionBytes int64) int64 {
	if !j.IOSize.Set {
		if block := j.MinBlock(); !j.Size.IsPct && j.Size.Bytes > 0 {
			return min(regionBytes, (j.Size.Bytes+block-1)/block*block)
		}
		return regionBytes
	}
	return j.IOSize.Of(regionBytes)
}
