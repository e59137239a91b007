package content

import (
	"encoding/binary"
	"hash/crc32"
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
}

// State is what is known of a block.
type State uint8

const (
	Unknown   State = iota // anything: it was not written by this job, or a write of it failed
	Written                // a write of it was acknowledged
	Discarded              // a trim of it was acknowledged
	Perhaps                // it or a neighbour was written: when it carries a header, that has to be right
)

// NewLedger returns the ledger of the bytes low..high in blocks of block bytes, of which every I/O has to
// be made up.
func NewLedger(low, high, block int64) (*Ledger, error) {
	const most = 1 << 62 // bytes; keeps sums from overflowing
	if low < 0 || high <= low || high > most || block <= 0 || block > most {
		return nil, fault.Usage("VERIFY_REGION", "give a region of at least one block", "bytes %d to %d in blocks of %d cannot be verified", low, high, block)
	}
	l := &Ledger{low: low, high: high, block: block}
	blocks := (high - low + block - 1) / block
	for blocks>>l.shift > maxCells {
		l.shift++
	}
	l.words = make([]atomic.Uint32, (blocks>>l.shift+1+3)/4)
	return l, nil
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
		if l.Exact() {
			l.update(i, f)
		} else {
			l.update(i, func(uint8) (uint8, bool) { return touched, true })
		}
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
	i, _ := l.cells(offset, 1)
	return l.expect(i)
}

func (l *Ledger) expect(i int64) Expected {
	switch c := l.cell(i) &^ busy; {
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

// stateMagic begins a saved ledger; the last byte is the format's version.
const stateMagic = "blkmetV\x01"

// MarshalBinary returns the ledger for a later run to check against: what is in flight counts as unknown.
func (l *Ledger) MarshalBinary() ([]byte, error) {
	out := []byte(stateMagic)
	for _, v := range []int64{l.low, l.high, l.block} {
		out = binary.LittleEndian.AppendUint64(out, uint64(v))
	}
	if l.Exact() {
		// Runs of equal cells: a length and the cell.
		_, cells := l.cells(l.high-1, 1)
		for i := int64(0); i < cells; {
			c, n := l.settled(i), int64(1)
			for i+n < cells && l.settled(i+n) == c {
				n++
			}
			out = append(binary.AppendUvarint(out, uint64(n)), c)
			i += n
		}
	}
	return binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(out)), nil
}

func (l *Ledger) settled(i int64) uint8 {
	c := l.cell(i)
	if c&busy != 0 {
		return unknown
	}
	return c
}

// UnmarshalBinary makes l the ledger that MarshalBinary saved.
func (l *Ledger) UnmarshalBinary(data []byte) error {
	bad := func(why string) error {
		return fault.New(fault.ExitUsage, "VERIFY_STATE", "run the writing job again, with verify_state_save", "the saved verify state cannot be used: %s", why)
	}
	const head = len(stateMagic) + 3*8
	if len(data) < head+4 || string(data[:len(stateMagic)]) != stateMagic {
		return bad("it is no state of this version")
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return bad("its checksum is wrong")
	}
	var v [3]int64
	for i := range v {
		v[i] = int64(binary.LittleEndian.Uint64(body[len(stateMagic)+8*i:]))
	}
	fresh, err := NewLedger(v[0], v[1], v[2])
	if err != nil {
		return bad("it describes no region")
	}
	body = body[head:]
	if fresh.Exact() {
		_, cells := fresh.cells(fresh.high-1, 1)
		at := int64(0)
		for len(body) > 0 {
			n, used := binary.Uvarint(body)
			if used <= 0 || used >= len(body) || n == 0 || n > uint64(cells-at) || body[used]&busy != 0 {
				return bad("its blocks do not fit its region")
			}
			for end := at + int64(n); at < end; at++ {
				fresh.update(at, func(uint8) (uint8, bool) { return body[used], true })
			}
			body = body[used+1:]
		}
		if at != cells {
			return bad("it ends early")
		}
	} else if len(body) > 0 {
		return bad("it has more blocks than its region")
	}
	*l = Ledger{low: fresh.low, high: fresh.high, block: fresh.block, shift: fresh.shift, words: fresh.words}
	return nil
}
