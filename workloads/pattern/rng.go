package pattern

import "math/bits"

// wyrand is Wang Yi's generator of that name: a 64-bit counter and one multiplication. Its state advances
// by an addition alone, so the numbers of a batch do not wait for one another. Period 2^64.
type wyrand uint64

const (
	wyrandStep = 0xa0761d6478bd642f
	wyrandMix  = 0xe7037ed1a0b428db
)

// newWyrand returns a generator whose sequence depends on all of parts, each bit of which changes it.
func newWyrand(parts ...uint64) wyrand {
	s := uint64(0)
	for _, p := range parts {
		s = splitmix(s ^ p)
	}
	return wyrand(s)
}

// splitmix is the output function of Steele, Lea and Flood's SplitMix64: neighbouring inputs give
// unrelated outputs.
func splitmix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (w *wyrand) next() uint64 {
	*w += wyrandStep
	hi, lo := bits.Mul64(uint64(*w), uint64(*w)^wyrandMix)
	return hi ^ lo
}

// Uint64 makes a generator a rand.Source.
func (w *wyrand) Uint64() uint64 { return w.next() }

// below returns a number in 0..n-1 and a fraction of 2^64 that is independent of it as far as the 64 bits
// behind both reach. It is Lemire's multiplication without his rejection step: for n of 2^32 blocks a
// block is at most 2^-32 of its share more or less likely than another.
func (w *wyrand) below(n uint64) (value, fraction uint64) {
	return bits.Mul64(w.next(), n)
}

// float returns a number from 0 up to but not including 1.
func (w *wyrand) float() float64 { return float64(w.next()>>11) / (1 << 53) }
