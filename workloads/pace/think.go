package pace

import (
	"math"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// Thinker says when a clone pauses (fio's thinktime family). It belongs to one goroutine.
type Thinker struct {
	time, spin time.Duration
	ioTime     int64 // ns of I/O between pauses; 0: blocks decide
	blocks     int
	byIssue    bool // a pause begins once blocks are issued, else once they are complete

	issued int
	until  int64 // when ioTime is over; 0: it has not begun
}

// Pause is how a clone thinks: Spin on the CPU, then Sleep.
type Pause struct{ Spin, Sleep time.Duration }

// NewThinker returns the thinker of a job, or false when it has no thinktime.
func NewThinker(t workloads.Thinktime) (*Thinker, bool) {
	return &Thinker{
		time: t.Time, spin: min(t.Spin, t.Time), ioTime: int64(t.IOTime),
		blocks: max(t.Blocks, 1), byIssue: t.Type == "issue",
	}, t.Time > 0
}

// Budget returns how many I/Os may be issued before the next pause.
func (t *Thinker) Budget() int {
	if t.ioTime > 0 {
		return math.MaxInt
	}
	return t.blocks - t.issued
}

// Issued counts n I/Os issued at now.
func (t *Thinker) Issued(now int64, n int) {
	t.issued += n
	if t.until == 0 && n > 0 {
		t.until = now + t.ioTime
	}
}

// Pause returns the pause that is due at now, with so many I/Os in flight, and begins the next round; false
// when none is due.
func (t *Thinker) Pause(now int64, inFlight int) (Pause, bool) {
	switch {
	case t.issued == 0:
		return Pause{}, false
	case t.ioTime > 0 && now < t.until:
		return Pause{}, false
	case t.ioTime == 0 && t.issued < t.blocks:
		return Pause{}, false
	case !t.byIssue && inFlight > 0 && t.ioTime == 0:
		return Pause{}, false
	}
	t.issued, t.until = 0, 0
	return Pause{Spin: t.spin, Sleep: t.time - t.spin}, true
}
