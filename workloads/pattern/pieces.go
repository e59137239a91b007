package pattern

// pieces is the random map for I/Os of varying size. The region is divided into extents, which are taken
// in the order of a permutation and cut into I/Os one after the other; those wait in a pool of bounded
// size, from which each next I/O is drawn at random. So every byte of the region comes up exactly once
// per pass, the lengths keep their shares, and the memory does not grow with the device: a bitmap of 16
// TiB in blocks of 512 bytes would take 4 GiB, and would leave ever shorter holes as it fills.
//
// Directions whose sizes differ have a pool each, as large as their share of the I/Os, so that all pools run dry
// together at the end of a pass.
//
// What it gives up is a little distance: I/Os of one extent are spread over about as many I/Os as the
// pool holds, not over the whole pass.
type pieces struct {
	extents *extents
	sizes   *sizes
	pool    []piece
	share   float64  // of the I/Os that come from this pool
	at, end int64    // what is left of the extent being cut
	owed    uint64   // 1 + number of the length that did not fit into the last extent; 0: none
	ahead   []uint32 // per length: how often it was taken to fill up an extent before it was drawn
}

type piece struct {
	offset int64
	length uint32
}

const (
	poolPieces   = 4096    // pieces that wait, over all files of a clone
	poolLeast    = 16      // .. but so many per file, since the choice of files mixes as well
	poolStart    = 512     // how many must wait before the first is drawn ..
	startShare   = 16      // .. but at most one for so many extents, so that a direction leaves some to the others
	extentPieces = 2       // an extent is this many of the largest I/Os long
	maxAhead     = 1 << 16 // lengths beyond so many are not balanced
)

// extents hands out the parts of a region in random order. All directions of a job share it, so that
// what one reads no other writes in the same pass.
type extents struct {
	from, to int64
	size     int64
	count    uint64
	order    permutation
	next     uint64
}

// restart begins a pass over the bytes from..to.
func (e *extents) restart(from, to int64, rng *wyrand) {
	e.from, e.to = from, to
	e.count = uint64((to - from + e.size - 1) / e.size)
	e.order = newPermutation(e.count, rng)
	e.next = 0
}

// take returns the next extent, or false when the pass has no more.
func (e *extents) take() (from, to int64, ok bool) {
	for e.next < e.order.size {
		i := e.order.at(e.next)
		e.next++
		if i < e.count {
			from = e.from + int64(i)*e.size
			return from, min(from+e.size, e.to), true
		}
	}
	return 0, 0, false
}

func newPieces(e *extents, s *sizes, files int, share float64) *pieces {
	return &pieces{
		extents: e, sizes: s, share: share,
		pool:  make([]piece, 0, max(int(share*poolPieces)/files, poolLeast)),
		ahead: make([]uint32, min(s.count, maxAhead)),
	}
}

// restart forgets what waits.
func (p *pieces) restart() {
	p.pool = p.pool[:0]
	p.at, p.end = 0, 0
}

// take returns an I/O at random, or false when the pass has no more for these sizes.
func (p *pieces) take(rng *wyrand) (piece, bool) {
	// Two are added for each that is taken until the pool is full, so that no I/O waits for filling it.
	for range 2 {
		p.cut(rng)
	}
	for start := p.start(); len(p.pool) < start && p.cut(rng); {
	}
	if len(p.pool) == 0 {
		return piece{}, false
	}
	i, _ := rng.below(uint64(len(p.pool)))
	taken := p.pool[i]
	last := len(p.pool) - 1
	p.pool[i] = p.pool[last]
	p.pool = p.pool[:last]
	return taken, true
}

// start returns how many I/Os must wait before the first is drawn.
func (p *pieces) start() int {
	return int(p.share * float64(min(poolStart, uint64(cap(p.pool)), p.extents.count/startShare)))
}

// cut adds one piece to the pool; false when it is full or nothing is left to cut.
func (p *pieces) cut(rng *wyrand) bool {
	if len(p.pool) == cap(p.pool) {
		return false
	}
	if p.at == p.end {
		var ok bool
		if p.at, p.end, ok = p.extents.take(); !ok {
			p.at, p.end = 0, 0
			return false
		}
	}
	length := p.length(rng, p.end-p.at)
	p.pool = append(p.pool, piece{p.at, length})
	p.at += int64(length)
	return true
}

// length draws a length of at most room bytes. One that does not fit is owed to the next extent, and what
// fills up this one instead is remembered: the next time that it is drawn it counts as done. So the ends
// of extents do not favour short I/Os.
func (p *pieces) length(rng *wyrand, room int64) uint32 {
	if p.owed == 0 {
		i := p.sizes.choose(rng)
		for i < uint64(len(p.ahead)) && p.ahead[i] > 0 {
			p.ahead[i]--
			i = p.sizes.choose(rng)
		}
		p.owed = i + 1
	}
	if length := p.sizes.length(p.owed - 1); int64(length) <= room {
		p.owed = 0
		return length
	}
	i, ok := p.sizes.largest(room)
	if !ok {
		return uint32(room) // a rest that no length fits is still covered
	}
	if i < uint64(len(p.ahead)) {
		p.ahead[i]++
	}
	return p.sizes.length(i)
}
