package pattern

import "math/bits"

// permutation is a keyed bijection of the numbers 0..size-1, size being a power of two: four rounds of
// adding a key, multiplying by an odd constant and folding the upper half of the bits onto the lower, as
// in the finalizers of hash functions, but cut to the domain's width. Each step can be undone, so no two
// inputs meet. It takes 48 bytes whatever the size of the region.
//
// With three rounds the places of neighbours fail a chi-square test, with four they pass it; so they do
// with a Feistel network, which fits the region closer but takes more than twice as long.
type permutation struct {
	size           uint64
	shift          uint
	k1, k2, k3, k4 uint64 // not an array: those stay in memory, these in registers
}

// minDomain is the smallest size: in smaller ones the orders of successive passes are not alike enough to
// independent ones.
const minDomain = 256

// newPermutation draws a permutation of the smallest domain that holds n numbers, n >= 1.
func newPermutation(n uint64, rng *wyrand) permutation {
	k := uint(bits.Len64(max(n, minDomain) - 1))
	return permutation{size: 1 << k, shift: (k + 1) / 2, k1: rng.next(), k2: rng.next(), k3: rng.next(), k4: rng.next()}
}

// at returns the image of x, x < size.
func (p *permutation) at(x uint64) uint64 {
	mask, s := p.size-1, p.shift&63
	x = (x + p.k1) * 0xd6e8feb86659fd93 & mask
	x = ((x ^ x>>s) + p.k2) * 0x9e3779b97f4a7c15 & mask
	x = ((x ^ x>>s) + p.k3) * 0xbf58476d1ce4e5b9 & mask
	x = ((x ^ x>>s) + p.k4) * 0x94d049bb133111eb & mask
	return x ^ x>>s
}
