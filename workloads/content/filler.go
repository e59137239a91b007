// Package content makes what writes carry and checks what reads bring back.
//
// A [Filler] makes data that nobody will check: random, compressible or repeated as far as the job asks.
// A [Verifier] makes blocks that can be checked, and tells a block that is stale, torn, misdirected or
// zeroed from one that is merely corrupted; a [Ledger] tells it what each block should hold.
package content

import (
	"encoding/binary"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// Filler fills the buffers of writes. It belongs to one worker.
type Filler struct {
	kind    kind
	seed    uint64 // of the buffers so far: each takes the next
	pattern *Pattern

	// Compression: of each chunk of so many bytes the first random ones are random, the rest zeros or pattern.
	chunk, random int

	// Deduplication: a share repeatUpTo/2^64 of the buffers repeats an earlier one, named by its seed.
	repeatUpTo uint64
	set        uint64 // of how many buffers repeats are drawn from; 0: from the recent ones
	setSeed    uint64 // that the seeds of those follow from
	recent     [dedupeWindow]uint64
	filled     uint64

	template []byte // what scrambled buffers hold but for their stamps; nil: they hold it already
}

type kind uint8

const (
	scrambled    kind = iota // filled once; eight bytes in each 512 are new for each write
	constant                 // filled once with random data and never changed
	zeros                    //
	repeated                 // a pattern
	fresh                    // random data for each write
	compressible             //
)

const (
	stampEvery   = 512 // bytes: the smallest logical block, so that no two written blocks are alike
	dedupeWindow = 64  // distinct buffers that repeats are drawn from
)

// NewFiller returns the filler of one worker for writes of up to blockBytes. mixed says that reads use the
// same buffers and leave in them what they read. pattern is the parsed buffer_pattern, or nil.
func NewFiller(spec *workloads.BufferSpec, pattern *Pattern, blockBytes int, mixed bool, seed uint64) (*Filler, error) {
	f := &Filler{seed: seedOf(seed, 0xf111), pattern: pattern}
	if spec.CompressPercent > 100 || spec.DedupePercent > 100 {
		return nil, fault.Usage("BUFFER_PERCENT", "give a percentage from 0 to 100",
			"buffer_compress_percentage=%d, dedupe_percentage=%d: more than 100", spec.CompressPercent, spec.DedupePercent)
	}
	switch {
	case spec.CompressPercent > 0 || spec.DedupePercent > 0:
		f.kind = compressible
		f.chunk = max(spec.CompressChunk, 1)
		f.random = f.chunk - f.chunk*max(spec.CompressPercent, 0)/100
		f.repeatUpTo = share(spec.DedupePercent)
	case pattern != nil:
		f.kind = repeated
	case spec.Zero:
		f.kind = zeros
	case spec.Refill:
		f.kind = fresh
	case spec.Scramble:
		f.kind = scrambled
	default:
		f.kind = constant
	}
	if mixed && (f.kind == scrambled || f.kind == constant) {
		f.template = make([]byte, blockBytes)
		fillRandom(f.template, seedOf(f.seed, 0x7e3a))
	}
	return f, nil
}

// share returns percent of 2^64, less than 0 being none.
func share(percent int) uint64 {
	switch {
	case percent <= 0:
		return 0
	case percent >= 100:
		return ^uint64(0)
	}
	return ^uint64(0) / 100 * uint64(percent)
}

// Prepare fills a slot's buffer before the run, so that what Fill leaves alone is there.
func (f *Filler) Prepare(buf []byte) {
	switch f.kind {
	case zeros:
		clear(buf)
	case repeated:
		f.pattern.Fill(buf, 0)
	default:
		f.seed += step
		fillRandom(buf, mix(f.seed))
	}
}

// Fill makes buf the data of a write at offset.
func (f *Filler) Fill(buf []byte, offset int64) {
	switch f.kind {
	case scrambled:
		if f.template != nil {
			copy(buf, f.template)
		}
		f.stamp(buf, offset)
	case constant:
		if f.template != nil {
			copy(buf, f.template)
		}
	case zeros:
		clear(buf)
	case repeated:
		f.pattern.Fill(buf, offset)
	case fresh:
		f.seed += step
		fillRandom(buf, mix(f.seed)^uint64(offset))
	case compressible:
		f.compress(buf, offset, f.next())
	}
}

// stamp makes each 512 bytes of buf unlike any other written.
func (f *Filler) stamp(buf []byte, offset int64) {
	f.seed += step
	stamp := mix(f.seed) ^ uint64(offset)
	for len(buf) >= 8 {
		binary.LittleEndian.PutUint64(buf, stamp)
		stamp += step
		buf = buf[min(stampEvery, len(buf)):]
	}
}

// DrawFrom makes repeats come from a fixed set of so many buffers, which follow from seed: fillers with the same
// one have them in common.
func (f *Filler) DrawFrom(buffers uint64, seed uint64) {
	f.set, f.setSeed = buffers, seedOf(seed, 0x5e7)
}

// next returns the seed of the next buffer: a new one, or one used lately or of the set.
func (f *Filler) next() uint64 {
	f.seed += step
	draw := mix(f.seed)
	known := min(f.filled, dedupeWindow)
	if f.repeatUpTo > 0 && draw <= f.repeatUpTo {
		switch {
		case f.set > 0:
			return blend(f.setSeed, mix(draw)%f.set)
		case known > 0:
			return f.recent[mix(draw)%known]
		}
	}
	f.recent[f.filled%dedupeWindow] = draw
	f.filled++
	return draw
}

// compress fills buf chunk by chunk with random data and something that compresses.
func (f *Filler) compress(buf []byte, offset int64, seed uint64) {
	for len(buf) > 0 {
		n := min(f.chunk, len(buf))
		random := min(f.random, n)
		fillRandom(buf[:random], seed)
		seed = mix(seed + step)
		if f.pattern != nil {
			f.pattern.Fill(buf[random:n], offset)
		} else {
			clear(buf[random:n])
		}
		buf = buf[n:]
	}
}
