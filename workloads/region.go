package workloads

import (
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/units"
)

// Region returns the bytes [low, high) of a target of targetBytes that a job's clone works on; clone counts
// from 0. It is fio's arithmetic of size, filesize, offset, offset_increment, offset_align and their
// percentages for the job's first file. high-low is a multiple of the job's smallest block size: the last
// block of a size that is none is left out, except that a sequential job does it whole when the target has
// room, as in fio.
//
// A region that does not lie within the target or holds no block is an error with a hint.
func Region(job *Job, clone int, targetBytes int64) (low, high int64, err error) {
	return FileRegion(job, clone, 0, targetBytes)
}

// FileRegion is Region for one of a job's NrFiles files, over which fio spreads a size given in bytes: in
// whole blocks, the first files taking what is left over.
func FileRegion(job *Job, clone, file int, targetBytes int64) (low, high int64, err error) {
	block := job.MinBlock()
	low, err = startOffset(job, clone, targetBytes, block)
	if err != nil {
		return 0, 0, err
	}
	if low >= targetBytes {
		return 0, 0, fault.Usage("OFFSET_BEYOND_END", "lower offset= or offset_increment=",
			"job %s: its region starts at byte %d, and the target ends at %d", job.Name, low, targetBytes)
	}
	length, err := regionLength(job, file, low, targetBytes, block)
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
func regionLength(job *Job, file int, low, targetBytes, block int64) (int64, error) {
	rest := targetBytes - low
	switch fs := job.FileSize; {
	case fs.Max > 0 && (targetBytes < fs.Min || targetBytes > fs.Max):
		return max(fs.Max-low, 0), nil
	case fs.Max > 0:
		return rest, nil
	case job.Size.IsPct:
		return min(job.Size.Of(targetBytes), rest), nil
	case job.Size.Bytes == 0:
		return rest, nil
	case job.NrFiles <= 1:
		return job.Size.Bytes, nil
	}
	files := int64(job.NrFiles)
	share := job.Size.Bytes / files
	share -= share % block
	if share == 0 {
		return 0, fault.Usage("REGION_TOO_SMALL", "raise size=, or lower bs= or nrfiles=",
			"job %s: size %s over %d files leaves no block of %s for each", job.Name,
			units.Bytes(job.Size.Bytes), files, units.Bytes(block))
	}
	extra := (job.Size.Bytes - share*files) / block
	if int64(file) < extra {
		share += block
	}
	return share, nil
}

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

// TransferBytes is how much a job transfers per loop over a region of regionBytes: io_size when given,
// else the region once.
func (j *Job) TransferBytes(regionBytes int64) int64 {
	if !j.IOSize.Set {
		return regionBytes
	}
	return j.IOSize.Of(regionBytes)
}
