// Package pace says when the I/Os of a paced job are due. Arrivals are open loop: their intended times
// follow from the rate alone, so that an I/O which the device or the tool holds up keeps the time at which
// it ought to have begun, and its waiting shows in the response time.
//
// Nothing here reads a clock. Times are nanoseconds of whatever clock the caller passes in.
package pace

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// Never is the time of an arrival that does not come.
const Never = math.MaxInt64

// Pacer yields the arrivals of one clone of a job. It belongs to one goroutine.
type Pacer struct {
	streams  []stream // of the paced directions
	unpaced  uint8    // the op of a mixed job's direction without a rate
	isPaced  bool     // there is none such
	directed bool
}

// New returns the pacer of a clone, or false when the job has no rate. A rate holds for each clone and each
// of its directions, as with fio; rate_iops goes before rate. Linear arrivals are equidistant, and those of
// the clones of a job interleave. Poisson arrivals draw their gaps from seed and clone.
//
// In a mix of reads and writes each direction has arrivals of its own, so that the rates decide the mix; see
// [Pacer.Directed]. A trimwrite job is paced as one sequence in which both directions keep to their rates.
func New(job *workloads.Job, clone int, seed uint64) (*Pacer, bool) {
	p := &Pacer{isPaced: true}
	switch job.RW {
	case workloads.RWReadWrite, workloads.RWRandRW:
		reads, writes := job.MixReadPercent > 0, job.MixReadPercent < 100
		p.directed = reads && writes
		for d, present := range [...]bool{workloads.Read: reads, workloads.Write: writes} {
			if s, ok := newStream(job, workloads.Direction(d)); ok && present {
				p.streams = append(p.streams, s)
			} else if present {
				p.unpaced, p.isPaced = uint8(d), false
			}
		}
	case workloads.RWTrimWrite, workloads.RWRandTrimWrite:
		for _, d := range [...]workloads.Direction{workloads.Trim, workloads.Write} {
			s, ok := newStream(job, d)
			if !ok {
				continue
			}
			s.rate *= 2 // both directions in turn
			if len(p.streams) == 0 {
				p.streams = append(p.streams, s)
			} else if s.gap() > p.streams[0].gap() {
				p.streams[0] = s
			}
		}
	default:
		for d := workloads.Read; d < workloads.Directions; d++ {
			if s, ok := newStream(job, d); ok && job.RW.Does(d) {
				p.streams = append(p.streams, s)
			}
		}
	}
	for i := range p.streams {
		s := &p.streams[i]
		scaled := s.cost * uint64(time.Second)
		s.step, s.stepRest = int64(min(scaled/s.rate, maxGap)), scaled%s.rate
		if job.RateProcess == "poisson" {
			s.mean = s.gap()
			s.random = rand.New(rand.NewPCG(seed, uint64(clone)<<8|uint64(s.op)))
		} else {
			s.phase = int64(s.gap() * float64(clone) / float64(max(job.NumJobs, 1)))
		}
	}
	return p, len(p.streams) > 0
}

// maxGap bounds what lies between two arrivals, so that no sum of times overflows.
const maxGap = 1 << 60

// Directed says whether arrivals have a direction: then the ops that Due yields must be those that the
// pattern is asked for (pattern.Config.Directed).
func (p *Pacer) Directed() bool { return p.directed }

// Start sets the time from which arrivals are counted.
func (p *Pacer) Start(now int64) {
	for i := range p.streams {
		s := &p.streams[i]
		s.next, s.rest = now+s.phase, 0
		if s.random != nil {
			s.advance()
		}
	}
}

// Due takes the arrivals that are due at now, in order and at most len(intended) of them: it stores the
// intended time of each, and in ops its direction, unless ops is nil. It returns how many there were. A
// direction without a rate is always due: its I/Os fill what the others leave, and are intended for now.
func (p *Pacer) Due(now int64, intended []int64, ops []uint8) int {
	n := 0
	if len(p.streams) == 1 {
		s := &p.streams[0]
		n = s.due(now, intended)
		if ops != nil {
			for i := range ops[:n] {
				ops[i] = s.op
			}
		}
	} else {
		for n < len(intended) {
			s := &p.streams[0]
			if p.streams[1].next < s.next {
				s = &p.streams[1]
			}
			if s.next > now {
				break
			}
			intended[n] = s.next
			if ops != nil {
				ops[n] = s.op
			}
			s.advance()
			n++
		}
	}
	if p.isPaced {
		return n
	}
	for ; n < len(intended); n++ {
		intended[n] = now
		if ops != nil {
			ops[n] = p.unpaced
		}
	}
	return n
}

// Next returns when the next arrival is due: a time in the past when a direction has no rate.
func (p *Pacer) Next() int64 {
	if !p.isPaced {
		return math.MinInt64
	}
	next := int64(Never)
	for i := range p.streams {
		next = min(next, p.streams[i].next)
	}
	return next
}

// Issued tells the pacer the length of an I/O whose arrival it yielded. Where rate is in bytes and lengths
// vary, arrivals are spaced for the mean length at first, and moved by what each I/O had more or less.
func (p *Pacer) Issued(op uint8, length uint32) {
	for i := range p.streams {
		if s := &p.streams[i]; s.byBytes && (s.op == op || !p.directed) && uint64(length) != s.cost {
			s.correct(int64(length) - int64(s.cost))
		}
	}
}

// Delay moves all arrivals to come by ns: a pause in which none was meant to happen.
func (p *Pacer) Delay(ns int64) {
	for i := range p.streams {
		p.streams[i].next += ns
	}
}
