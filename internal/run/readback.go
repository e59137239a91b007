package run

import (
	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/report"
)

// readBack is what a worker reads only to check it, which is no part of its job's own figures.
type readBack struct {
	win    *window
	totals *totals // of what the window held before
	took   int64   // ns
	ended  int64   // ns of the run's clock
}

func newReadBack(depth int, sync bool) readBack {
	counts := func() []uint32 { return make([]uint32, depth+1) }
	b := readBack{
		win:    &window{depth: counts(), submits: counts(), reaps: counts()},
		totals: &totals{depth: make([]int64, depth+1), submits: make([]int64, depth+1), reaps: make([]int64, depth+1), seenOn: map[int]int64{}},
	}
	b.win.ops[engine.OpRead].make(sync, false)
	b.totals.ops[engine.OpRead].make(sync, false)
	return b
}

// begin lets w record here, until what it returns is called.
func (b *readBack) begin(w *worker) (end func()) {
	own, start := w.win, w.clock.Now()
	w.win = b.win
	return func() {
		w.win, b.ended = own, w.clock.Now()
		b.took += b.ended - start
	}
}

// record counts a block that was read in full.
func (b *readBack) record(s *slot, complete int64, length uint32) {
	o := &b.win.ops[engine.OpRead]
	o.bytes += uint64(length)
	o.record(s.start, s.issue, complete, 1)
	if o.ios == emptyAfter {
		b.empty()
	}
}

// emptyAfter is how many I/Os the window takes before it is added up: its counters have 32 bits.
const emptyAfter = 1 << 30

func (b *readBack) empty() {
	b.totals.add(b.win)
	b.win.reset()
}

// ios is the number of blocks read in full.
func (b *readBack) ios() uint64 {
	return b.totals.ops[engine.OpRead].ios + b.win.ops[engine.OpRead].ios
}

// report makes the report of it; nil when nothing was read back.
func (b *readBack) report() *report.ReadBack {
	b.empty()
	t := b.totals
	o := &t.ops[engine.OpRead]
	if o.ios+o.errors == 0 {
		return nil
	}
	out := &report.ReadBack{Read: o.stats(max(b.took, 1)), Depth: buckets(t.depth), SubmitBatch: buckets(t.submits), ReapBatch: buckets(t.reaps)}
	out.Read.IOPSRate, out.Read.BWRate = report.RateOf([]float64{out.Read.IOPS}), report.RateOf([]float64{out.Read.BW})
	return out
}
