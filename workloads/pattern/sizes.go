package pattern

import (
	"math/bits"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// sizes draws the length of I/Os: one length, the multiples of the smallest in a range, any number of
// bytes in it (bs_unaligned), or a list with shares (bssplit). Lengths are numbered, so that a choice can
// be remembered and not just its length.
type sizes struct {
	min, max uint32
	step     uint32 // between the lengths of a range
	count    uint64 // lengths
	list     []uint32
	shares   alias
	align    uint32 // of random offsets: blockalign, or the smallest length
}

// newSizes reads the block sizes of one direction.
func newSizes(j *workloads.Job, d workloads.Direction) (sizes, error) {
	s := sizes{min: j.BS[d].Min, max: j.BS[d].Max, count: 1}
	if split := j.BSSplit[d]; len(split) > 0 {
		var weights []float64
		s.min, s.max = split[0].Bytes, split[0].Bytes
		for _, e := range split {
			if e.Percent < 0 || e.Bytes == 0 {
				return s, fault.Usage("BSSPLIT", "give sizes and shares like 4k/60:64k/40", "job %s: %s bssplit has %d/%g", j.Name, d, e.Bytes, e.Percent)
			}
			if e.Percent == 0 {
				continue
			}
			s.list = append(s.list, e.Bytes)
			weights = append(weights, e.Percent)
		}
		if len(s.list) == 0 {
			return s, fault.Usage("BSSPLIT", "give sizes and shares like 4k/60:64k/40", "job %s: all shares of the %s bssplit are 0", j.Name, d)
		}
		s.min, s.max = s.list[0], s.list[0]
		for _, b := range s.list {
			s.min, s.max = min(s.min, b), max(s.max, b)
		}
		s.count = uint64(len(s.list))
		s.shares = newAlias(weights)
	}
	if s.min == 0 || s.max < s.min {
		return s, fault.Usage("BS", "give a size like 4k or a range like 4k-16k", "job %s: the %s block size %d-%d is none", j.Name, d, s.min, s.max)
	}
	if s.list == nil && s.max > s.min {
		s.step = s.min
		if j.BSUnaligned {
			s.step = 1
		}
		s.count = uint64((s.max-s.min)/s.step) + 1
		s.max = s.min + uint32(s.count-1)*s.step
	}
	s.align = s.min
	if j.BlockAlign[d] != 0 {
		s.align = j.BlockAlign[d]
	}
	return s, nil
}

// fixed says whether there is one length only.
func (s *sizes) fixed() bool { return s.min == s.max }

// same says whether lengths drawn from s and t are alike.
func (s *sizes) same(t *sizes) bool {
	if s.min != t.min || s.max != t.max || s.step != t.step || s.align != t.align || len(s.list) != len(t.list) {
		return false
	}
	for i := range s.list {
		if s.list[i] != t.list[i] || s.shares[i] != t.shares[i] {
			return false
		}
	}
	return true
}

// unit returns a number of bytes that divides every length.
func (s *sizes) unit() uint32 {
	switch {
	case s.step == 1:
		return 1
	case s.list == nil:
		return s.min // the lengths of a range are its multiples
	}
	u := uint32(0)
	for _, b := range s.list {
		u = gcd(u, b)
	}
	return u
}

// choose draws the number of a length.
func (s *sizes) choose(rng *wyrand) uint64 {
	switch {
	case s.count == 1:
		return 0
	case s.list != nil:
		return uint64(s.shares.draw(rng))
	case s.step == 1:
		// As fio draws them: what the smallest length and up to the largest one make together is cut to the largest.
		i, _ := rng.below(uint64(s.max))
		return min(i, s.count-1)
	default:
		i, _ := rng.below(s.count)
		return i
	}
}

// length returns the length numbered i.
func (s *sizes) length(i uint64) uint32 {
	if s.list != nil {
		return s.list[i]
	}
	return s.min + uint32(i)*s.step
}

// draw returns a length.
func (s *sizes) draw(rng *wyrand) uint32 { return s.length(s.choose(rng)) }

// largest returns the number of the largest length that fits into room bytes, and false when none does.
func (s *sizes) largest(room int64) (uint64, bool) {
	switch {
	case room < int64(s.min):
		return 0, false
	case s.list == nil && s.count == 1:
		return 0, true
	case s.list == nil:
		return min(uint64(room-int64(s.min))/uint64(s.step), s.count-1), true
	}
	best := -1
	for i, b := range s.list {
		if int64(b) <= room && (best < 0 || b > s.list[best]) {
			best = i
		}
	}
	return uint64(best), true
}

// drawFitting returns a length of at most room bytes, or 0 when none is so short. A length drawn too long
// becomes the largest that fits, as fio cuts an I/O at the end of its region.
func (s *sizes) drawFitting(rng *wyrand, room int64) uint32 {
	if length := s.draw(rng); int64(length) <= room {
		return length
	}
	if i, ok := s.largest(room); ok {
		return s.length(i)
	}
	return 0
}

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// lcm returns the least common multiple, 0 when it does not fit into 63 bits.
func lcm(a, b uint64) uint64 {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	hi, lo := bits.Mul64(a/x, b)
	if hi != 0 || lo>>63 != 0 {
		return 0
	}
	return lo
}
