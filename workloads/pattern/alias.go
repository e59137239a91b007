package pattern

import (
	"math"
	"math/bits"
)

// alias draws indices with given probabilities in constant time: A. J. Walker, "An efficient method for
// generating discrete random variables with general distributions", ACM TOMS 3(3), 1977, with the table
// built by Vose's method.
type alias []aliasSlot

type aliasSlot struct {
	upTo  uint64 // the share of the slot that is its own index, as a fraction of 2^64
	other uint32 // the index that the rest of the slot belongs to
}

// newAlias returns the table for weights, which are not negative and of which one is positive.
func newAlias(weights []float64) alias {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	a := make(alias, len(weights))
	scaled := make([]float64, len(weights))
	var small, large []uint32
	for i, w := range weights {
		scaled[i] = w / sum * float64(len(weights))
		if scaled[i] < 1 {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a[s] = aliasSlot{upTo: fraction(scaled[s]), other: l}
		if scaled[l] -= 1 - scaled[s]; scaled[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	// What is left over is 1 but for rounding. An index of weight 0 is never left: some other one took it.
	for _, i := range append(small, large...) {
		a[i] = aliasSlot{upTo: math.MaxUint64, other: i}
	}
	return a
}

// draw returns an index. The choice between the slot's two is made without a branch, which would be
// mispredicted as often as not.
func (a alias) draw(rng *wyrand) int {
	i, u := rng.below(uint64(len(a)))
	slot := &a[i]
	_, own := bits.Sub64(u, slot.upTo, 0) // the borrow: 1 when u < upTo
	other := uint64(slot.other)
	return int(other + (i-other)&-own)
}

// fraction returns p as a fraction of 2^64, p being 0..1.
func fraction(p float64) uint64 {
	if p >= 1 {
		return math.MaxUint64
	}
	return uint64(p * (1 << 64))
}
