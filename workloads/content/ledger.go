package content

import (
	"sync/atomic"

	"github.com/blkmeter/blkmeter/internal/fault"
)

// Ledger knows of every block of a region which of its writes was the last to be acknowledged, and whether
// an I/O has it now. It sees to it that no two I/Os of which one is a write ever hold the same block at
// once, since nobody could say what that block contains afterwards. All workers on a region share one
// Ledger; it takes no lock.
//
// A block takes one byte. A region of more than 2^26 blocks (256 GiB in blocks of 4 KiB) would take more
// than 64 MiB: there neighbouring blocks share a byte, which still keeps I/Os apart, but does not tell
// generations; blocks that carry a header are then checked against that only ([Ledger.Exact]).
//
// A nil Ledger stands for what an earlier run wrote: every block should carry a header.
type Ledger struct {
	low, high int64
	block     int64
	shift     uint // blocks per cell, as a power of two
	words     []atomic.Uint32
	inherited bool // an earlier run's: what is busy was in flight when that run was cut
	trims     bool // trims may have been in flight then
}

// maxCells is how many blocks are told apart.
const maxCells = 1 << 26

// What a cell holds: the busy bit, and in the other seven the block's generation or one of these.
const (
	busy        = 0x80
	unwritten   = 0   // nothing is known to have been written
	generations = 125 // the generations are 1..generations, in a circle
	trimmed     = 126
	touched     = 1   // of a cell of several blocks: one of them was written
	unknown     = 127 // a write failed, and left the old data, the new, or some of both
)

// Expected is what a block should hold.
type Expected struct {
	State      State
	Generation uint8 // of a Written block: 1..125, counted in a circle; 0: any

	// Of a block InFlight: what it holds when the write did not reach it, and whether it may have been a
	// trim. Generation is that of the write.
	Before           State
	BeforeGeneration uint8
	Trims            bool
}

// State is what is known of a block.
type State uint8

// The states.
const (
	Unknown   State = iota // anything: it was not written by this job, or a write of it failed
	Written                // a write of it was acknowledged
	Discarded              // a trim of it was acknowledged
	Perhaps                // it or a neighbour was written: when it carries a header, that has to be right
	InFlight               // a run was cut while it wrote, trimmed or read the block: it is old or new, and not torn
)

// NewLedger returns the ledger of the bytes low..high in blocks of block bytes, of which every I/O has to
// be made up.
func NewLedger(low, high, block int64) (*Ledger, error) {
	l := &Ledger{low: low, high: high, block: block}
	n, err := l.size()
	if err != nil {
		return nil, err
	}
	l.words = make([]atomic.Uint32, n)
	return l, nil
}

// size decides how many blocks share a cell, and returns how many words the cells need.
func (l *Ledger) size() (words int, err error) {
	const most = 1 << 62 // bytes; keeps sums from overflowing
	if l.low < 0 || l.high <= l.low || l.high > most || l.block <= 0 || l.block > most {
		return 0, fault.Usage("VERIFY_REGION", "give a region of at least one block", "bytes %d to %d in blocks of %d cannot be verified", l.low, l.high, l.block)
	}
	blocks := (l.high - l.low + l.block - 1) / l.block
	for blocks>>l.shift > maxCells {
		l.shift++
	}
	return int(blocks>>l.shift+1+3) / 4, nil
}

// Exact says whether generations are known, and so stale blocks can be told.
func (l *Ledger) Exact() bool { return l.shift == 0 }

// cells returns the range of cells of an I/O.
func (l *Ledger) cells(offset int64, length uint32) (from, to int64) {
	from = (offset - l.low) / l.block
	to = (offset - l.low + int64(length) + l.block - 1) / l.block
	return from >> l.shift, (to-1)>>l.shift + 1
}

func (l *Ledger) cell(i int64) uint8 { return uint8(l.words[i/4].Load() >> (i % 4 * 8)) }

// update replaces a cell by what f makes of it, unless f refuses.
func (l *Ledger) update(i int64, f func(old uint8) (uint8, bool)) bool {
	word, shift := &l.words[i/4], uint(i%4*8)
	for {
		old := word.Load()
		cell, ok := f(uint8(old >> shift))
		if !ok {
			return false
		}
		if word.CompareAndSwap(old, old&^(0xff<<shift)|uint32(cell)<<shift) {
			return true
		}
	}
}

func take(old uint8) (uint8, bool) { return old | busy, old&busy == 0 }
func free(old uint8) (uint8, bool) { return old &^ busy, true }

// Acquire takes the blocks of an I/O; false when another I/O holds one of them, and then it takes none.
func (l *Ledger) Acquire(offset int64, length uint32) bool {
	from, to := l.cells(offset, length)
	for i := from; i < to; i++ {
		if !l.update(i, take) {
			for i--; i >= from; i-- {
				l.update(i, free)
			}
			return false
		}
	}
	return true
}

// Release gives the blocks of a read back.
func (l *Ledger) Release(offset int64, length uint32) {
	from, to := l.cells(offset, length)
	for i := from; i < to; i++ {
		l.update(i, free)
	}
}

// Wrote gives the blocks of a write back and notes its outcome: done when it was acknowledged in full.
func (l *Ledger) Wrote(offset int64, length uint32, done bool) {
	l.settle(offset, length, func(old uint8) (uint8, bool) {
		if !done {
			return unknown, true
		}
		return following(old &^ busy), true
	})
}

// Trimmed gives the blocks of a trim back and notes its outcome.
func (l *Ledger) Trimmed(offset int64, length uint32, done bool) {
	l.settle(offset, length, func(uint8) (uint8, bool) {
		if !done {
			return unknown, true
		}
		return trimmed, true
	})
}

func (l *Ledger) settle(offset int64, length uint32, f func(uint8) (uint8, bool)) {
	from, to := l.cells(offset, length)
	for i := from; i < to; i++ {
		l.update(i, func(old uint8) (uint8, bool) {
			cell, ok := f(old)
			switch {
			case l.Exact():
			case cell == unknown || old&^busy == unknown:
				cell = unknown // for good: which of the blocks may be torn is not kept
			default:
				cell = touched
			}
			return cell, ok
		})
	}
}

// following returns the generation after cell's.
func following(cell uint8) uint8 {
	if cell >= generations {
		return 1 // around the circle, or after a trim or a failure
	}
	return cell + 1
}

// Next returns the generation that a write of the block at offset will have; the caller holds the block. It
// is 0 where generations are not known.
func (l *Ledger) Next(offset int64) uint8 {
	if l == nil || !l.Exact() {
		return 0
	}
	i, _ := l.cells(offset, 1)
	return following(l.cell(i) &^ busy)
}

// Expect returns what the block at offset should hold; the caller holds the block, or no I/O is going on.
func (l *Ledger) Expect(offset int64) Expected {
	if l == nil {
		return Expected{State: Written}
	}
	if offset < l.low || offset >= l.high {
		return Expected{}
	}
	i, _ := l.cells(offset, 1)
	return l.expect(i)
}

func (l *Ledger) expect(i int64) Expected {
	c := l.cell(i)
	if l.inherited && l.Exact() && c&busy != 0 {
		before := l.settled(c &^ busy)
		return Expected{
			State: InFlight, Generation: following(c &^ busy),
			Before: before.State, BeforeGeneration: before.Generation, Trims: l.trims,
		}
	}
	return l.settled(c &^ busy)
}

// settled returns what a cell that is not busy stands for.
func (l *Ledger) settled(c uint8) Expected {
	switch {
	case c == unwritten || c == unknown:
		return Expected{}
	case !l.Exact():
		return Expected{State: Perhaps}
	case c == trimmed:
		return Expected{State: Discarded}
	default:
		return Expected{State: Written, Generation: c}
	}
}

// Known returns the first blocks at or behind offset, at most so many bytes of them but at least one, of
// which something is expected: what is to be read back when a job verifies what it wrote. It returns false
// when there are no more.
func (l *Ledger) Known(offset int64, most uint32) (at int64, length uint32, ok bool) {
	end := (l.high - l.low + l.block - 1) / l.block
	from := (max(offset, l.low) - l.low + l.block - 1) / l.block
	for from < end && l.expect(from>>l.shift).State == Unknown {
		from = (from>>l.shift + 1) << l.shift
	}
	if from >= end {
		return 0, 0, false
	}
	to := from + 1
	for to < end && (to+1-from)*l.block <= int64(most) && l.expect(to>>l.shift).State != Unknown {
		to++
	}
	at = l.low + from*l.block
	return at, uint32(min((to-from)*l.block, l.high-at)), true
}
