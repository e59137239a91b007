package run

import (
	"math"
	"testing"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/hist"
	"github.com/blkmeter/blkmeter/report"
)

// reads makes a window in which a worker read n times.
func reads(start, end int64, n uint32) *window {
	w := &window{start: start, end: end}
	o := &w.ops[engine.OpRead]
	o.clat = hist.NewRecorder()
	o.clat.Record(1000, n)
	o.ios, o.bytes = uint64(n), 4096*uint64(n)
	return w
}

func readsIn(intervals []report.Interval) (n int64) {
	for _, iv := range intervals {
		n += iv.Read.IOs
	}
	return n
}

// A worker that has ended holds up no window, neither those it was part of nor those behind: their histograms
// would be kept, and the progress be silent, until the last worker ends.
func TestWindowsCloseBehindAWorkerThatHasEnded(t *testing.T) {
	const interval, workers, windows = 1000, 3, 20
	s := newSeries(0, interval, workers)
	ended := []int64{2300, 5700, math.MaxInt64} // of each worker
	for i := range int64(windows) {
		for w, at := range ended {
			start, end := i*interval+1, (i+1)*interval+1
			switch {
			case start > at:
			case end > at:
				s.leave(s.add(reads(start, at, 1)))
			default:
				s.add(reads(start, end, 10))
			}
			s.close(false)
			closed := int(i)
			if w == workers-1 {
				closed++
			}
			if s.open != closed {
				t.Fatalf("%d windows are closed when worker %d has reported for window %d", s.open, w, i)
			}
		}
	}
	s.close(true)
	if n := readsIn(s.closed); n != 10*(2+5+windows)+2 || len(s.closed) != windows {
		t.Errorf("%d windows have %d reads", len(s.closed), n)
	}
	for i, iv := range s.closed {
		if want := i > 2; iv.Partial != want {
			t.Errorf("window %d: partial is %v", i, iv.Partial)
		}
	}
}

// A ramp whose last window cannot be handed over goes on: what is measured must not be counted as ramp.
func TestARampEndsWithAWindowOfItsOwn(t *testing.T) {
	w := hotWorker(t, 1, nil)
	w.beginRamp(0)
	w.timing.ramping, w.timing.measureAt = true, 10
	held := w.box.empty.Swap(nil)
	w.win.ops[engine.OpRead].ios = 7
	ramp := w.win
	w.flip(20)
	if !w.timing.ramping || w.win != ramp || !ramp.ramp {
		t.Fatalf("the ramp ended with %d I/Os in the window that goes on", w.win.ops[engine.OpRead].ios)
	}
	w.box.giveBack(held)
	w.flip(30)
	if w.timing.ramping || w.timing.measured != 30 || w.win == ramp || w.win.ramp || w.box.take() != ramp {
		t.Errorf("ramping %v, measured from %d, in a window of the ramp's: %v", w.timing.ramping, w.timing.measured, w.win.ramp)
	}
}

// The last window has its true length, also when all workers have reported it long before the job is over, as
// before data is read back.
func TestTheLastWindowIsAsLongAsTheLoad(t *testing.T) {
	s := newSeries(1000, 500, 1)
	s.add(&window{start: 1000, end: 1510})
	if closed := s.close(false); len(closed) != 1 || closed[0].LengthNS != 500 {
		t.Errorf("a full window: %+v", closed)
	}
	s.add(&window{start: 1510, end: 1700})
	if closed := s.close(false); len(closed) != 0 {
		t.Errorf("closed before the end: %+v", closed)
	}
	s.add(&window{start: 1700, end: 1700}) // what remains after the reading back
	if closed := s.close(true); len(closed) != 1 || closed[0].LengthNS != 200 || closed[0].Partial {
		t.Errorf("the last window: %+v", closed)
	}
}
