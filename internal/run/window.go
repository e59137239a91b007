package run

import (
	"sync/atomic"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/hist"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
)

// window is a worker's figures over one interval.
type window struct {
	start, end int64     // ns of the run's clock
	ramp       bool      // not part of the measured window
	cpu        int       // where the worker ran at the window's end
	usage      cpu.Usage // since the start of the measured window
	ops        [6]opWindow
	depth      []uint32 // by requests in flight after a submission: requests submitted
	submits    []uint32 // by requests per submission
	reaps      []uint32 // by completions per reap
	asideNS    int64    // of its length, spent on what is not measured
	arrivals   uint64   // of a paced job
	late       uint64   // arrivals submitted more than lateAfter behind their intended time
}

// opWindow is one kind of operation's share of a window.
type opWindow struct {
	ios, bytes      uint64
	errors, short   uint64
	slat, clat, lat *hist.Recorder // slat and lat are nil for synchronous engines
	response        *hist.Recorder // intended to complete; nil when the job is not paced
	prios           []prioWindow   // by engine.Request.Prio; nil when all I/Os have the thread's priority
}

func newWindow(j *jobRun, depth int) *window {
	w := &window{depth: make([]uint32, depth+1), submits: make([]uint32, depth+1), reaps: make([]uint32, depth+1)}
	for op := range w.ops {
		if j.issues(engine.Op(op)) {
			w.ops[op].make(j.choice.Sync, j.paced)
			w.ops[op].prios = newPrioWindows(j, engine.Op(op))
		}
	}
	return w
}

// make makes what latencies are recorded in.
func (o *opWindow) make(sync, paced bool) {
	o.clat = hist.NewRecorder()
	if !sync {
		o.slat, o.lat = hist.NewRecorder(), hist.NewRecorder()
	}
	if paced {
		o.response = hist.NewRecorder()
	}
}

func (w *window) reset() {
	for i := range w.ops {
		o := &w.ops[i]
		for _, r := range []*hist.Recorder{o.slat, o.clat, o.lat, o.response} {
			if r != nil {
				r.Reset()
			}
		}
		resetPrioWindows(o.prios)
		o.ios, o.bytes, o.errors, o.short = 0, 0, 0, 0
	}
	clear(w.depth)
	clear(w.submits)
	clear(w.reaps)
	w.ramp, w.asideNS, w.arrivals, w.late = false, 0, 0, 0
}

// mailbox passes full windows to the collector and empty ones back. Each side only ever swaps a pointer.
type mailbox struct {
	full  atomic.Pointer[window]
	empty atomic.Pointer[window]
}

// swap posts full and returns an empty window, or returns nil when there is none yet.
func (b *mailbox) swap(full *window) *window {
	next := b.empty.Swap(nil)
	if next != nil {
		b.full.Store(full)
	}
	return next
}

// take returns the window that was posted, or nil.
func (b *mailbox) take() *window { return b.full.Swap(nil) }

// giveBack returns a window, emptied, to the worker.
func (b *mailbox) giveBack(w *window) {
	w.reset()
	b.empty.Store(w)
}
