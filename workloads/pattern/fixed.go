package pattern

import (
	"math"
	"math/bits"

	"github.com/blkmeter/blkmeter/workloads"
)

// fixed is what the sources with one file and one block size share.
type fixed struct {
	mix
	low    int64
	bs     uint32
	blocks uint64 // whole blocks in the region; what is left behind them is never touched, as with fio
	left   int64  // I/Os still to do
}

// specialise returns the source that does what g does, only faster, or nil when there is none.
func (g *general) specialise() Source {
	f, s := &g.files[0], &g.sizes[g.first]
	if len(g.files) > 1 || g.directed || g.zone.SizeBytes > 0 || g.run > 1 || g.skip != 0 || g.seqRand || !s.fixed() || s.align != s.min {
		return nil
	}
	for _, op := range []uint8{g.first, g.second} {
		if !g.sizes[op].same(s) || g.mapped[op] != g.mapped[g.first] {
			return nil
		}
		if g.random && (g.randomUpTo[op] != math.MaxUint64 || f.skew[op] != f.skew[g.first]) {
			return nil
		}
	}
	x := fixed{mix: g.mix, low: f.Low, bs: s.min, blocks: uint64(f.work) / uint64(s.min), left: g.left}
	if g.bytesLeft != unlimited {
		ios := g.bytesLeft / int64(x.bs)
		if g.bytesLeft%int64(x.bs) > 0 {
			ios++ // the last one is whole, too
		}
		x.left = min(x.left, ios)
	}
	switch {
	case !g.random && g.first == g.second:
		return &sequential{fixed: x}
	case !g.random:
		return &sequentialMix{fixed: x, rng: g.rng}
	case f.skew[g.first] != nil:
		return &hot{fixed: x, rng: g.rng, skew: f.skew[g.first]}
	case g.mapped[g.first]:
		return newMapped(x, g.rng)
	default:
		return &random{fixed: x, rng: g.rng}
	}
}

// take returns how many of want I/Os may still be done, and counts them as done.
func (f *fixed) take(want int) int {
	n := int(min(int64(want), f.left))
	if f.left != unlimited {
		f.left -= int64(n)
	}
	return n
}

func (f *fixed) offset(block uint64) int64 { return f.low + int64(block)*int64(f.bs) }

// sequential goes through the region block by block, again and again.
type sequential struct {
	fixed
	next uint64 // block
}

func (s *sequential) Next(ios []IO) int {
	ios = ios[:s.take(len(ios))]
	for i := range ios {
		ios[i] = IO{Offset: s.offset(s.next), Length: s.bs, Op: s.first}
		if s.next++; s.next == s.blocks {
			s.next = 0
		}
	}
	return len(ios)
}

// sequentialMix draws the direction of each I/O; each direction goes through the region on its own, as
// with fio.
type sequentialMix struct {
	fixed
	rng  wyrand
	next [workloads.Directions]uint64 // block
}

func (s *sequentialMix) Next(ios []IO) int {
	ios = ios[:s.take(len(ios))]
	for i := range ios {
		op := s.op(s.rng.next())
		next := &s.next[op]
		ios[i] = IO{Offset: s.offset(*next), Length: s.bs, Op: op}
		if *next++; *next == s.blocks {
			*next = 0
		}
	}
	return len(ios)
}

// random draws each block independently of those before (norandommap).
type random struct {
	fixed
	rng wyrand
}

func (r *random) Next(ios []IO) int {
	ios = ios[:r.take(len(ios))]
	rng, blocks := r.rng, r.blocks
	for i := range ios {
		block, fraction := rng.below(blocks)
		ios[i] = IO{Offset: r.offset(block), Length: r.bs, Op: r.op(fraction)}
	}
	r.rng = rng
	return len(ios)
}

// hot draws each block from a distribution in which some are likelier than others.
type hot struct {
	fixed
	rng  wyrand
	skew *distribution
}

func (h *hot) Next(ios []IO) int {
	ios = ios[:h.take(len(ios))]
	rng := h.rng
	for i := range ios {
		ios[i] = IO{Offset: h.offset(h.skew.draw(&rng)), Length: h.bs, Op: h.op(rng.next())}
	}
	h.rng = rng
	return len(ios)
}

// mapped touches every block once before any block again, in an order that is new in each pass. It needs
// no map for that: the order is a keyed permutation of the numbers below the next power of two, and those
// that name no block are passed over.
type mapped struct {
	fixed
	rng   wyrand
	order permutation
	next  uint64              // position in order
	ready [readyBlocks]uint64 // blocks drawn ahead
	used  int                 // how many of ready were used
}

// readyBlocks is how many blocks are drawn at a time, so that small batches do not pay for starting and
// ending the loop that draws them.
const readyBlocks = 64

func newMapped(f fixed, rng wyrand) *mapped {
	m := &mapped{fixed: f, rng: rng, used: readyBlocks}
	m.order = newPermutation(f.blocks, &m.rng)
	return m
}

func (m *mapped) Next(ios []IO) int {
	ios = ios[:m.take(len(ios))]
	for i := range ios {
		if m.used == readyBlocks {
			m.draw()
		}
		ios[i] = IO{Offset: m.offset(m.ready[m.used%readyBlocks]), Length: m.bs, Op: m.first}
		m.used++
	}
	if m.first != m.second {
		rng := m.rng
		for i := range ios {
			ios[i].Op = m.op(rng.next())
		}
		m.rng = rng
	}
	return len(ios)
}

// draw fills ready with the blocks that come next, from the next pass too when this one ends. A position
// that names no block is overwritten by the following one: no branch depends on what the permutation
// yields, so there is none to mispredict.
func (m *mapped) draw() {
	m.used = 0
	for i := 0; i < readyBlocks; {
		if m.next == m.order.size {
			m.order = newPermutation(m.blocks, &m.rng)
			m.next = 0
		}
		order, blocks, next := m.order, m.blocks, m.next
		for ; i < readyBlocks && next < order.size; next++ {
			block := order.at(next)
			m.ready[i] = block
			_, isBlock := bits.Sub64(block, blocks, 0) // the borrow: 1 when block < blocks
			i += int(isBlock)
		}
		m.next = next
	}
}
