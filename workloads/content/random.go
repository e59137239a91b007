package content

import (
	"encoding/binary"
	"math/bits"
)

// fillRandom fills buf with numbers that follow from seed alone: Wang Yi's wyrand, whose state advances by
// an addition, so that the words do not wait for one another.
func fillRandom(buf []byte, seed uint64) {
	for len(buf) >= 32 {
		a := seed + step
		b := a + step
		c := b + step
		d := c + step
		binary.LittleEndian.PutUint64(buf, mix(a))
		binary.LittleEndian.PutUint64(buf[8:], mix(b))
		binary.LittleEndian.PutUint64(buf[16:], mix(c))
		binary.LittleEndian.PutUint64(buf[24:], mix(d))
		seed, buf = d, buf[32:]
	}
	var last [8]byte
	for len(buf) > 0 {
		seed += step
		binary.LittleEndian.PutUint64(last[:], mix(seed))
		buf = buf[copy(buf, last[:]):]
	}
}

// step is wyrand's increment.
const step uint64 = 0xa0761d6478bd642f

func mix(x uint64) uint64 {
	hi, lo := bits.Mul64(x, x^0xe7037ed1a0b428db)
	return hi ^ lo
}

// seedOf makes a seed that depends on every bit of its parts.
func seedOf(parts ...uint64) uint64 {
	s := uint64(0)
	for _, p := range parts {
		s = blend(s, p)
	}
	return s
}

// blend is SplitMix64's output function over a and b.
func blend(a, b uint64) uint64 {
	x := (a ^ b) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
