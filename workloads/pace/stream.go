package pace

import (
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// stream is a sequence of arrivals at one rate. Its times are exact: a whole number of nanoseconds and a
// rest in parts of the rate, so that the n-th arrival of any rate is where it belongs, however large n is.
type stream struct {
	op      uint8
	byBytes bool
	rate    uint64 // units per second: I/Os or bytes
	cost    uint64 // units of an I/O: 1, or its (mean) length

	next     int64  // ns: when the next arrival is due
	rest     uint64 // .. and rest/rate ns more
	step     int64  // from one arrival to the next, cost/rate seconds
	stepRest uint64
	phase    int64 // from the start to the first

	mean   float64    // ns: step and stepRest as one number, for poisson
	random *rand.Rand // draws the gaps of poisson arrivals; nil: linear
	part   float64    // ns, 0..1: what the poisson arrivals so far are later than next says
}

// newStream returns the stream of a direction, or false when it has no rate.
func newStream(job *workloads.Job, d workloads.Direction) (stream, bool) {
	s := stream{op: uint8(d), rate: job.RateIOPS[d], cost: 1}
	if s.rate == 0 {
		s.rate, s.cost, s.byBytes = job.RateBytes[d], meanLength(job, d), true
	}
	return s, s.rate > 0
}

// meanLength returns the mean length of a direction's I/Os in bytes.
func meanLength(job *workloads.Job, d workloads.Direction) uint64 {
	sum, shares := 0.0, 0.0
	for _, e := range job.BSSplit[d] {
		sum += float64(e.Bytes) * e.Percent
		shares += e.Percent
	}
	if shares > 0 {
		return max(uint64(sum/shares), 1)
	}
	return max((uint64(job.BS[d].Min)+uint64(job.BS[d].Max))/2, 1)
}

// gap returns the mean time between arrivals in ns.
func (s *stream) gap() float64 {
	return float64(s.cost) * float64(time.Second) / float64(s.rate)
}

// due stores the times of arrivals up to now.
func (s *stream) due(now int64, intended []int64) int {
	if s.random != nil {
		n := 0
		for ; n < len(intended) && s.next <= now; n++ {
			intended[n] = s.next
			s.advance()
		}
		return n
	}
	n, next, rest := 0, s.next, s.rest
	for ; n < len(intended) && next <= now; n++ {
		intended[n] = next
		next, rest = s.after(next, rest)
	}
	s.next, s.rest = next, rest
	return n
}

// after returns the time one step later.
func (s *stream) after(next int64, rest uint64) (int64, uint64) {
	rest += s.stepRest
	_, within := bits.Sub64(rest, s.rate, 0) // the borrow: 1 when rest < rate
	carry := 1 - within
	return next + s.step + int64(carry), rest - s.rate&-carry
}

// advance moves next to the following arrival.
func (s *stream) advance() {
	if s.random == nil {
		s.next, s.rest = s.after(s.next, s.rest)
		return
	}
	gap := min(s.random.ExpFloat64()*s.mean, maxGap) + s.part
	whole := int64(gap)
	s.next += whole
	s.part = gap - float64(whole)
}

// correct moves the arrivals to come by the time that units of work take, which may be negative.
func (s *stream) correct(units int64) {
	// units*10^9 stays below 2^62; the rest of a division towards zero has the sign of the dividend.
	scaled, rate := units*int64(time.Second), int64(min(s.rate, maxGap))
	whole, rest := scaled/rate, scaled%rate
	if rest < 0 {
		whole--
		rest += rate
	}
	s.next += whole
	if s.rest += uint64(rest); s.rest >= s.rate {
		s.rest -= s.rate
		s.next++
	}
}
