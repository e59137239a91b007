package run

import (
	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/hist"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// totals is what a worker did over its measured window, added up from its windows.
type totals struct {
	ops                   [6]opTotals
	depth, submits, reaps []int64
	seenOn                map[int]int64 // CPU -> windows that ended on it
	rampIOs               [6]uint64     // done outside the measured window, for the comparison with the kernel
	rampBytes             [6]uint64
	arrivals, late        uint64
	iops, bw              [3][]float64 // per whole window, by direction
	from, to              int64        // what the windows so far span, ns of the run's clock
	asideNS               int64        // of that, spent on what is not measured
	usage                 cpu.Usage    // over them
}

type opTotals struct {
	ios, bytes, errors, short uint64
	slat, clat, lat, response *hist.Totals
	prios                     []prioTotals // by engine.Request.Prio; nil when all I/Os have the thread's priority
}

func newTotals(j *jobRun, depth int) *totals {
	t := &totals{
		depth: make([]int64, depth+1), submits: make([]int64, depth+1), reaps: make([]int64, depth+1),
		seenOn: map[int]int64{},
	}
	for op := range t.ops {
		if j.issues(engine.Op(op)) {
			t.ops[op].make(j.choice.Sync, j.paced)
			t.ops[op].prios = newPrioTotals(j, engine.Op(op))
		}
	}
	return t
}

// make makes what recorders are added up in.
func (o *opTotals) make(sync, paced bool) {
	o.clat = hist.NewTotals()
	if !sync {
		o.slat, o.lat = hist.NewTotals(), hist.NewTotals()
	}
	if paced {
		o.response = hist.NewTotals()
	}
}

// add adds a window. The ramp's counts only for what the device saw.
func (t *totals) add(w *window) {
	t.seenOn[w.cpu]++
	if w.ramp {
		for op := range w.ops {
			t.rampIOs[op] += w.ops[op].ios
			t.rampBytes[op] += w.ops[op].bytes
		}
		return
	}
	for op := range w.ops {
		t.ops[op].add(&w.ops[op])
		addPrioWindows(t.ops[op].prios, w.ops[op].prios)
	}
	if length := w.end - w.start - w.asideNS; length >= int64(Interval)*9/10 {
		for d := range t.iops {
			if t.ops[d].clat != nil {
				t.iops[d] = append(t.iops[d], float64(w.ops[d].ios)*1e9/float64(length))
				t.bw[d] = append(t.bw[d], float64(w.ops[d].bytes)*1e9/float64(length))
			}
		}
	}
	if t.to == 0 {
		t.from = w.start
	}
	t.to, t.usage = w.end, w.usage
	t.asideNS += w.asideNS
	t.arrivals += w.arrivals
	t.late += w.late
	addCounts(t.depth, w.depth)
	addCounts(t.submits, w.submits)
	addCounts(t.reaps, w.reaps)
}

func (o *opTotals) add(from *opWindow) {
	o.ios += from.ios
	o.bytes += from.bytes
	o.errors += from.errors
	o.short += from.short
	if from.clat != nil {
		o.clat.Add(from.clat)
	}
	if from.slat != nil {
		o.slat.Add(from.slat)
		o.lat.Add(from.lat)
	}
	if from.response != nil {
		o.response.Add(from.response)
	}
}

func addCounts(to []int64, from []uint32) {
	for i, n := range from {
		to[i] += int64(n)
	}
}

// series is a job's figures window by window, all workers together.
type series struct {
	from     int64 // start of the measured window, ns of the run's clock
	floating bool  // which is that of the first window, since the workers search first
	interval int64
	workers  int
	gone     []int // by worker that has ended: the last window that it reported for
	windows  []seriesWindow
	open     int // its number; windows before it are closed
	closed   []report.Interval
}

type seriesWindow struct {
	ops     [3]opWindowSum
	reports int   // workers that reported for it
	end     int64 // latest end among them
	partial bool
}

type opWindowSum struct {
	ios, bytes, errors uint64
	clat               *hist.Totals
}

func newSeries(from, interval int64, workers int) *series {
	return &series{from: from, interval: interval, workers: workers}
}

// add adds one worker's window and returns the number of the last window that it reports for, -1 for none.
func (s *series) add(w *window) int {
	if w.ramp {
		return -1
	}
	if s.floating {
		s.from, s.floating = w.start, false
	}
	// A window that spans several intervals, because the worker waited for one I/O over a boundary, counts
	// in the last of them and makes all of them partial. Flips happen just after their boundary.
	slack := s.interval / 10
	first := s.number(w.start + slack)
	last := max(s.number(w.end-slack), first, s.open)
	for len(s.windows) <= last {
		s.windows = append(s.windows, seriesWindow{})
	}
	for i := first; i < last; i++ {
		s.windows[i].partial = true
		s.windows[i].reports++
	}
	to := &s.windows[last]
	to.reports++
	to.end = max(to.end, w.end)
	to.partial = to.partial || first != last
	for d := range to.ops {
		from, sum := &w.ops[d], &to.ops[d]
		if from.clat == nil {
			continue
		}
		if sum.clat == nil {
			sum.clat = hist.NewTotals()
		}
		sum.ios += from.ios
		sum.bytes += from.bytes
		sum.errors += from.errors
		sum.clat.Add(from.clat)
	}
	return last
}

// leave makes the windows after the last that a worker reported for not wait for it: it has ended.
func (s *series) leave(last int) { s.gone = append(s.gone, last) }

// whole says whether every worker that still ran has reported for the first open window.
func (s *series) whole() bool {
	reports := s.windows[s.open].reports
	for _, last := range s.gone {
		if last < s.open {
			reports++
		}
	}
	return reports >= s.workers
}

// number returns in which interval a time lies.
func (s *series) number(at int64) int { return int(max(at-s.from, 0) / s.interval) }

// close turns windows that are whole into intervals and lets go of their histograms; with all, the others too.
// It returns the new ones. One that all workers ended before its time is the last, although they may still be reading
// back: its length is known when all is.
func (s *series) close(all bool) []report.Interval {
	before := len(s.closed)
	for s.open < len(s.windows) {
		w := &s.windows[s.open]
		cut := s.open == len(s.windows)-1 && w.end < s.from+int64(s.open+1)*s.interval-s.interval/10
		if !all && (cut || !s.whole()) {
			break
		}
		length := s.interval
		if all && s.open == len(s.windows)-1 {
			length = max(w.end-s.from-int64(s.open)*s.interval, 1)
		}
		if length < s.interval/10 && len(s.closed) > 0 {
			s.extend(w, length)
		} else {
			s.closed = append(s.closed, w.interval(int64(s.open)*s.interval, length, s.workers))
		}
		*w = seriesWindow{}
		s.open++
	}
	return s.closed[min(before, len(s.closed)):]
}

// interval makes the report of one window.
func (w *seriesWindow) interval(start, length int64, workers int) report.Interval {
	iv := report.Interval{StartNS: start, LengthNS: length, Partial: w.partial || w.reports < workers}
	for d, into := range []**report.IntervalStat{&iv.Read, &iv.Write, &iv.Trim} {
		o := &w.ops[d]
		if o.clat == nil {
			continue
		}
		*into = &report.IntervalStat{
			IOs: int64(o.ios), Bytes: int64(o.bytes), Errors: int64(o.errors),
			IOPS: float64(o.ios) * 1e9 / float64(length), BW: float64(o.bytes) * 1e9 / float64(length),
			MeanNS: o.clat.Mean(), P50NS: o.clat.Percentile(50), P99NS: o.clat.Percentile(99), MaxNS: o.clat.Max(),
		}
	}
	return iv
}

// extend adds the few I/Os that were in flight when the time was over to the last interval: a window of
// their own would show a rate that never was. Its percentiles stay what they were.
func (s *series) extend(w *seriesWindow, length int64) {
	last := &s.closed[len(s.closed)-1]
	last.LengthNS += length
	for d, st := range []*report.IntervalStat{last.Read, last.Write, last.Trim} {
		if o := &w.ops[d]; st != nil && o.clat != nil {
			st.IOs += int64(o.ios)
			st.Bytes += int64(o.bytes)
			st.Errors += int64(o.errors)
			st.MaxNS = max(st.MaxNS, o.clat.Max())
			st.IOPS, st.BW = float64(st.IOs)*1e9/float64(last.LengthNS), float64(st.Bytes)*1e9/float64(last.LengthNS)
		}
	}
}

// stats makes the report of one worker's measured window.
func (t *totals) stats(w *worker, startedAt int64) report.Stats {
	runtime := max(w.timing.ended-w.timing.measured-t.asideNS, 1)
	st := report.Stats{
		StartNS: w.timing.measured - startedAt, RuntimeNS: runtime,
		Syscalls: int64(w.outcome.counters.Syscalls), RingOverflow: int64(w.outcome.counters.Overflows),
		Depth: buckets(t.depth), SubmitBatch: buckets(t.submits), ReapBatch: buckets(t.reaps),
		FirstErrno: int(w.failure.errno), Arrivals: int64(t.arrivals), LateArrivals: int64(t.late),
	}
	ios := uint64(0)
	for d := workloads.Read; d < workloads.Directions; d++ {
		o := &t.ops[d]
		if o.clat == nil {
			continue
		}
		ios += o.ios
		st.TotalErrors += int64(o.errors)
		dir := o.stats(runtime)
		dir.IOPSRate, dir.BWRate = report.RateOf(t.iops[d]), report.RateOf(t.bw[d])
		dir.Priorities = w.job.prioStats(o.prios)
		*[...]**report.DirStats{&st.Read, &st.Write, &st.Trim}[d] = &dir
	}
	st.Sync = t.syncStats()
	if st.Sync != nil {
		st.TotalErrors += st.Sync.Errors
	}
	st.CPU = cpuOf(w.outcome.usage, ios)
	return st
}

// stats makes the report of one direction, except for the rates of its windows.
func (o *opTotals) stats(runtimeNS int64) report.DirStats {
	return report.DirStats{
		IOs: int64(o.ios), Bytes: int64(o.bytes), Issued: int64(o.ios + o.errors), Short: int64(o.short), Errors: int64(o.errors),
		RuntimeNS: runtimeNS, IOPS: float64(o.ios) * 1e9 / float64(runtimeNS), BW: float64(o.bytes) * 1e9 / float64(runtimeNS),
		Slat: latency(o.slat), Clat: latency(o.clat), Lat: latency(firstOf(o.lat, o.clat)), Response: latency(o.response),
	}
}

// cpuOf makes the report of what so many I/Os took of the CPU.
func cpuOf(u cpu.Usage, ios uint64) report.CPU {
	c := report.CPU{
		UserNS: u.UserNS, SysNS: u.SysNS, VoluntarySwitches: u.VoluntarySwitches, PreemptionSwitches: u.InvoluntarySwitches,
		MinorFaults: u.MinorFaults, MajorFaults: u.MajorFaults,
	}
	if ios > 0 {
		c.UserPerIONS, c.SysPerIONS = float64(u.UserNS)/float64(ios), float64(u.SysNS)/float64(ios)
	}
	return c
}

// syncStats joins fsync, fdatasync and sync_file_range; nil when the job does none of them.
func (t *totals) syncStats() *report.SyncStats {
	sync := hist.NewTotals()
	var st report.SyncStats
	issued := false
	for _, op := range []engine.Op{engine.OpSync, engine.OpDatasync, engine.OpSyncRange} {
		o := &t.ops[op]
		if o.clat == nil {
			continue
		}
		issued = true
		st.IOs += int64(o.ios)
		st.Errors += int64(o.errors)
		sync.Merge(firstOf(o.lat, o.clat))
	}
	if !issued {
		return nil
	}
	st.Lat = latency(sync)
	return &st
}

func firstOf(a, b *hist.Totals) *hist.Totals {
	if a != nil {
		return a
	}
	return b
}

func latency(t *hist.Totals) *report.Latency {
	if t == nil {
		return nil
	}
	return report.LatencyOf(t.HDR(), t.N(), t.Min(), t.Max(), t.Mean(), t.Stddev(), t.Clamped())
}

func buckets(counts []int64) []report.CountBucket {
	out := []report.CountBucket{}
	for v, n := range counts {
		if n > 0 {
			out = append(out, report.CountBucket{Value: v, Count: n})
		}
	}
	return out
}
