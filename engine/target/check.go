package target

import "github.com/blkmeter/blkmeter/internal/fault"

// IO is what a job will do to a target, as far as that must fit it.
type IO struct {
	Offset int64   // where its region starts, bytes
	Size   int64   // length of the region, bytes
	Blocks []int64 // every block size that will be used, and every alignment of offsets, bytes
}

// CheckIO finds out before the first I/O that a job cannot work on the target: a region beyond its end, or
// blocks and offsets that direct I/O does not take. Nothing fits only by being cut down silently.
func (t *Target) CheckIO(io IO) error {
	switch {
	case io.Offset < 0 || io.Size < 0:
		return fault.Usage("BAD_REGION", "give a positive --offset and --size", "offset %d and size %d on %s", io.Offset, io.Size, t.path)
	case t.size == 0:
		return fault.Usage("TARGET_EMPTY", "give a device or file that has a size", "%s is empty", t.path)
	case io.Offset >= t.size:
		return fault.Usage("BEYOND_TARGET", "give an --offset inside it", "offset %d is beyond the end of %s (%d bytes)", io.Offset, t.path, t.size)
	case io.Size > t.size-io.Offset:
		return fault.Usage("BEYOND_TARGET", "give a smaller --size; without one the region ends with the target",
			"%d bytes at offset %d end beyond %s (%d bytes)", io.Size, io.Offset, t.path, t.size)
	}
	if err := t.checkAlign("offset", io.Offset); err != nil {
		return err
	}
	for _, block := range io.Blocks {
		if block > io.Size {
			return fault.Usage("BLOCK_TOO_LARGE", "give a larger --size or a smaller --bs",
				"a block of %d bytes does not fit a region of %d bytes on %s", block, io.Size, t.path)
		}
		if err := t.checkAlign("block size", block); err != nil {
			return err
		}
	}
	return nil
}

func (t *Target) checkAlign(what string, bytes int64) error {
	align := int64(t.align.Offset)
	if bytes%align == 0 {
		return nil
	}
	if t.kind == Generic {
		return fault.Usage("BAD_ALIGNMENT", "take a multiple of it",
			"%s %d is not a multiple of the logical block of %s, %d bytes", what, bytes, t.path, align)
	}
	return fault.Usage("BAD_ALIGNMENT",
		"take a multiple of it, or --direct=0 to go through the page cache",
		"%s %d is not a multiple of the %d bytes that direct I/O on %s needs", what, bytes, align, t.path)
}
