package pattern

import "math/bits"

// permutation is a keyed bijection of the numbers 0..mask, mask being 2^k-1: three rounds of an odd
// multiplication and an xor with the upper half of the bits, as in the finalizers of hash functions,
// but cut to k bits. Both steps can be undone, so no two inputs meet. It takes 48 bytes whatever the
// size of the region.
type permutation struct {
	mask       uint64
	shift      uint
	add        uint64
	m1, m2, m3 uint64 // odd
}

// newPermutation draws a permutation of the smallest power of two that holds n numbers, n >= 1.
func newPermutation(n uint64, rng *wyrand) permutation {
	k := uint(bits.Len64(n - 1))
	return permutation{
		mask: 1<<k - 1, shift: max((k+1)/2, 1), add: rng.next(),
		m1: rng.next() | 1, m2: rng.next() | 1, m3: rng.next() | 1,
	}
}

// at returns the image of x, x <= mask.
func (p *permutation) at(x uint64) uint64 {
	s := p.shift & 63
	x = (x + p.add) * p.m1 & p.mask
	x = (x ^ x>>s) * p.m2 & p.mask
	x = (x ^ x>>s) * p.m3 & p.mask
	return x ^ x>>s
}
