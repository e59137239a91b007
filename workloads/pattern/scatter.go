package pattern

import "math/bits"

// scatter is a keyed bijection of the numbers 0..size-1 that throws neighbours far apart: what hot blocks
// need. It is no shuffle: for the order of a pass there is [permutation]. Its domain is at most a
// thirty-second larger than what it was asked to hold, so that cycle walking hardly ever happens, and a
// misprediction with it.
type scatter struct {
	n      uint64
	m      uint64 // the upper part of a number is below it
	k      uint   // bits of the lower part
	k1, k2 uint64
}

func newScatter(n uint64, rng *wyrand) scatter {
	k := uint(max(bits.Len64(n-1)-6, 0))
	return scatter{n: n, m: (n-1)>>k + 1, k: k, k1: rng.next(), k2: rng.next()}
}

// at returns the image of x, both below n.
func (s *scatter) at(x uint64) uint64 {
	for {
		if x = s.step(x); x < s.n {
			return x
		}
	}
}

// step turns the upper part by what the lower one says, then mixes the lower one under the upper.
func (s *scatter) step(x uint64) uint64 {
	k := s.k & 63
	mask := uint64(1)<<k - 1
	high, low := x>>k, x&mask
	u := (low ^ s.k1) * 0x9e3779b97f4a7c15
	turn, _ := bits.Mul64((u^u>>32)*0xd6e8feb86659fd93, s.m)
	high += turn
	_, below := bits.Sub64(high, s.m, 0) // the borrow: 1 when high < m
	high -= s.m & (below - 1)
	low = (low + high*0xd6e8feb86659fd93>>32 + s.k2) * 0xbf58476d1ce4e5b9 & mask
	low = (low ^ low>>((k+1)/2)) * 0x94d049bb133111eb & mask
	return high<<k | low
}
