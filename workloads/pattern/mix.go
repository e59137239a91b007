package pattern

import (
	"math/bits"

	"github.com/blkmeter/blkmeter/workloads"
)

// mix draws directions: an I/O is first when a uniform 64-bit number is at most firstUpTo, else second.
// They are equal in a job of one direction.
type mix struct {
	first, second uint8
	firstUpTo     uint64
}

// newMix reads rw and rwmixread; a directed mix has both directions whatever rwmixread says. The writes of a trimwrite job are made from its trims, see trimWriter.
func newMix(j *workloads.Job, directed bool) mix {
	switch j.RW {
	case workloads.RWRead, workloads.RWRandRead:
		return mix{first: OpRead, second: OpRead}
	case workloads.RWWrite, workloads.RWRandWrite:
		return mix{first: OpWrite, second: OpWrite}
	case workloads.RWReadWrite, workloads.RWRandRW:
		switch {
		case directed:
		case j.MixReadPercent >= 100:
			return mix{first: OpRead, second: OpRead}
		case j.MixReadPercent <= 0:
			return mix{first: OpWrite, second: OpWrite}
		}
		return mix{first: OpRead, second: OpWrite, firstUpTo: fraction(float64(j.MixReadPercent) / 100)}
	default:
		return mix{first: OpTrim, second: OpTrim}
	}
}

// op maps a uniform 64-bit number to a direction, without a branch: half of all branches on a random
// number are mispredicted.
func (m *mix) op(u uint64) uint8 {
	_, isSecond := bits.Sub64(m.firstUpTo, u, 0)
	return m.first + uint8(isSecond)*(m.second-m.first)
}

// share returns the share of the I/Os that are of direction op.
func (m *mix) share(op uint8) float64 {
	first := float64(m.firstUpTo) / (1 << 64)
	switch {
	case m.first == m.second:
		return 1
	case op == m.first:
		return first
	}
	return 1 - first
}

// does says whether some I/Os are of direction op.
func (m *mix) does(op uint8) bool { return op == m.first || op == m.second }
