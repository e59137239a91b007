package fiolog

import (
	"math"
	"time"

	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/workloads"
)

// IO is a finished I/O. Times are in ns since the start of the log, latencies in ns.
type IO struct {
	EndNS    int64
	IssueNS  int64
	SlatNS   int64 // negative where the engine has none
	ClatNS   int64
	LatNS    int64
	Offset   int64
	Bytes    uint32
	Priority uint16 // as the kernel's ioprio: class in the upper three bits
	Dir      workloads.Direction
}

const (
	batchIOs   = 4096 // I/Os that a worker hands over at a time
	batchCount = 4    // batches that a worker may have under way: about 1 MiB of I/Os
)

// batch is what a worker hands over.
type batch struct {
	ios     []IO
	windows []window
	hists   []*histogram
}

// window is what happened between two multiples of the window's length.
type window struct {
	startNS, endNS int64
	dirs           [workloads.Directions]sums
}

// sums is one direction in a window.
type sums struct {
	ios, bytes         int64
	slat, clat, lat    int64 // sums
	mostS, mostC, most int64 // the longest slat, clat and lat
}

// histogram is the completion latencies of one direction in a window.
type histogram struct {
	endNS int64
	bytes uint32 // of the last I/O
	dir   workloads.Direction
	n     int64
	bins  [fio.BinCount]uint32
}

// Recorder collects the I/Os of one worker. It belongs to that worker's goroutine; Close may be called
// from another after the worker has stopped.
type Recorder struct {
	// What Add reads for each I/O.
	turnNS    int64 // when the next window ends
	perIO     bool
	averaging bool // over windows
	maxima    bool // windows tell them
	current   batch
	window    window
	hists     [workloads.Directions]*histogram // nil without a histogram log

	windowNS, histNS int64
	histEndNS        int64
	epochMS          int64 // added to every time
	unixEpoch        bool

	full      chan batch
	freeIOs   chan []IO
	freeHists chan *histogram
	done      chan struct{}
	blocked   time.Duration
}

func newRecorder(o *Options, files [kinds]*file) *Recorder {
	r := &Recorder{
		turnNS: math.MaxInt64, histEndNS: math.MaxInt64, maxima: o.Value != Average, unixEpoch: o.UnixEpoch,
		full: make(chan batch, batchCount), freeIOs: make(chan []IO, batchCount),
		freeHists: make(chan *histogram, 2*workloads.Directions), done: make(chan struct{}),
	}
	values := files[BW] != nil || files[IOPS] != nil || files[Slat] != nil || files[Clat] != nil || files[Lat] != nil
	r.averaging = values && o.Window > 0
	r.perIO = values && o.Window <= 0
	if r.averaging {
		r.windowNS = int64(o.Window)
		r.window.endNS = r.windowNS
	}
	if r.perIO {
		for range batchCount - 1 {
			r.freeIOs <- make([]IO, 0, batchIOs)
		}
		r.current.ios = make([]IO, 0, batchIOs)
	}
	if files[Hist] != nil {
		r.histNS = int64(o.HistWindow)
		r.histEndNS = r.histNS
		for d := range r.hists {
			r.hists[d] = &histogram{dir: workloads.Direction(d)}
			r.freeHists <- &histogram{dir: workloads.Direction(d)}
		}
	}
	r.schedule()
	w := &writer{options: o, files: files, recorder: r}
	go w.run()
	return r
}

// schedule sets the time of the next turn.
func (r *Recorder) schedule() {
	r.turnNS = r.histEndNS
	if r.averaging {
		r.turnNS = min(r.turnNS, r.window.endNS)
	}
}

// Begin says at what time of day the log's time begins; before the first Add.
func (r *Recorder) Begin(at time.Time) {
	if r.unixEpoch {
		r.epochMS = at.UnixMilli()
	}
}

// PerIO says whether a log wants a line for each I/O. Otherwise [Recorder.AddRun] does.
func (r *Recorder) PerIO() bool { return r.perIO }

// Add records a finished I/O. Those of a worker come in the order of their ends. It allocates nothing, and
// waits only when all batches wait to be written.
func (r *Recorder) Add(io *IO) {
	r.AddRun(Run{
		EndNS: io.EndNS, SlatNS: io.SlatNS, ClatNS: io.ClatNS, LatNS: io.LatNS, IOs: 1, Bytes: int64(io.Bytes),
		LastBytes: io.Bytes, Dir: io.Dir,
	})
	if r.perIO {
		r.current.ios = append(r.current.ios, *io)
		if len(r.current.ios) == batchIOs {
			r.handOver()
		}
	}
}

// Run is I/Os of one direction that started, were issued and ended at the same times, as those of a batch do.
// Its fields fit in registers.
type Run struct {
	EndNS, SlatNS, ClatNS, LatNS int64 // of each, as in [IO]
	IOs, Bytes                   int64 // of all
	LastBytes                    uint32
	Dir                          workloads.Direction
}

// AddRun records I/Os together where no log tells them apart: it gives no lines for each.
func (r *Recorder) AddRun(run Run) {
	if run.EndNS >= r.turnNS {
		r.turn(run.EndNS)
	}
	if r.averaging {
		s := &r.window.dirs[run.Dir]
		s.ios += run.IOs
		s.bytes += run.Bytes
		s.slat += run.IOs * run.SlatNS
		s.clat += run.IOs * run.ClatNS
		s.lat += run.IOs * run.LatNS
		if r.maxima {
			s.mostS = max(s.mostS, run.SlatNS)
			s.mostC = max(s.mostC, run.ClatNS)
			s.most = max(s.most, run.LatNS)
		}
	}
	if h := r.hists[run.Dir]; h != nil {
		h.bins[fio.BinOf(run.ClatNS)] += uint32(run.IOs)
		h.n += run.IOs
		h.bytes = run.LastBytes
	}
}

// turn closes the windows that end at or before now. Windows begin at multiples of their length; those in
// which nothing happened have no line.
func (r *Recorder) turn(nowNS int64) {
	if r.averaging && nowNS >= r.window.endNS {
		r.closeWindow(r.window.endNS)
		r.window.startNS = nowNS - nowNS%r.windowNS
		r.window.endNS = r.window.startNS + r.windowNS
	}
	if nowNS >= r.histEndNS {
		r.closeHists(r.histEndNS)
		r.histEndNS = nowNS - nowNS%r.histNS + r.histNS
	}
	r.schedule()
	if len(r.current.windows)+len(r.current.hists) > 0 {
		r.handOver()
	}
}

func (r *Recorder) closeWindow(endNS int64) {
	if r.window.dirs == [workloads.Directions]sums{} {
		return
	}
	r.window.endNS = endNS
	r.current.windows = append(r.current.windows, r.window)
	r.window.dirs = [workloads.Directions]sums{}
}

func (r *Recorder) closeHists(endNS int64) {
	for d, h := range r.hists {
		if h.n == 0 {
			continue
		}
		h.endNS = endNS
		r.current.hists = append(r.current.hists, h)
		fresh := wait(r, r.freeHists)
		*fresh = histogram{dir: workloads.Direction(d)}
		r.hists[d] = fresh
	}
}

// handOver gives the batch to the writer and takes an empty one.
func (r *Recorder) handOver() {
	select {
	case r.full <- r.current:
	default:
		began := time.Now()
		r.full <- r.current
		r.blocked += time.Since(began)
	}
	r.current = batch{}
	if r.perIO {
		r.current.ios = wait(r, r.freeIOs)
	}
}

// wait takes from a channel that the writer refills, and counts the time when it has to wait.
func wait[T any](r *Recorder, from chan T) T {
	select {
	case v := <-from:
		return v
	default:
		began := time.Now()
		v := <-from
		r.blocked += time.Since(began)
		return v
	}
}

// Blocked is how long the worker had to wait for its logs to be written.
func (r *Recorder) Blocked() time.Duration { return r.blocked }

// Close records what is still to be recorded, the last partial windows among it, as of the worker's end,
// and waits until it is written or has failed to be: [Set.Close] tells.
func (r *Recorder) Close(endNS int64) {
	r.turn(endNS)
	r.closeWindow(endNS)
	if r.histNS > 0 {
		r.closeHists(endNS)
	}
	r.full <- r.current
	close(r.full)
	<-r.done
}
