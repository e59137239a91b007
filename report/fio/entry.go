package fio

import (
	"fmt"
	"slices"
	"syscall"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// entry is what fio reports as one job: a clone, or all clones of a reporting group together.
type entry struct {
	name        string
	description string
	groupID     int
	members     int
	skipped     bool // none of them began
	pid         int
	startMS     int64 // of the clock that the job names, by default since 1970
	errno       int
	problem     string
	options     []workloads.Option // of the last member
	dirs        [workloads.Directions]direction
	sync        syncs
	runtimeMS   int64 // sum over members

	userMS, sysMS float64
	switches      int64
	major, minor  int64

	depth, submit, complete levels
	spans                   spans

	continueOnError bool
	errors          int64
	firstErrno      int

	spec         *report.Spec // of the last member
	latencyDepth int          // likewise: iodepth, or what the search for latency_target settled on
	steady       *steady      // nil when the job looked for no steady state
}

// direction is one direction's share of an entry.
type direction struct {
	bytes, runtimeMS int64
	issued, short    int64
	slat, clat, lat  latency
	prios            []priority // those that I/Os had; none when all had the job's
	bw, iops         rate       // KiB/s; 1/s
}

// bytesPerS is the bandwidth.
func (d *direction) bytesPerS() int64 { return perSecond(d.bytes, d.runtimeMS) }

// add merges o into d: counts and samples add up, the runtime is the longest.
func (d *direction) add(o *direction) {
	d.bytes += o.bytes
	d.runtimeMS = max(d.runtimeMS, o.runtimeMS)
	d.issued += o.issued
	d.short += o.short
	d.slat.add(&o.slat)
	d.clat.add(&o.clat)
	d.lat.add(&o.lat)
	d.prios = addPriorities(d.prios, o.prios)
	d.bw.add(&o.bw)
	d.iops.add(&o.iops)
}

// then adds what one worker did after d: runtimes add up, too.
func (d *direction) then(o *direction) {
	runtimeMS := d.runtimeMS + o.runtimeMS
	d.add(o)
	d.runtimeMS = runtimeMS
}

// syncs is an entry's fsync and fdatasync calls.
type syncs struct {
	n   int64
	lat latency
}

// levels counts in seven classes, and in all.
type levels struct {
	classes [7]int64
	total   int64
}

// percent returns the classes' shares of all; what is there shows as 0.1 at least.
func (l *levels) percent(all int64) [7]float64 {
	var shares [7]float64
	for i, n := range l.classes {
		shares[i] = atLeast(0.1, n, all)
	}
	return shares
}

// atLeast is the percentage that n is of all; when there is any, no less than least.
func atLeast(least float64, n, all int64) float64 {
	if n == 0 || all == 0 {
		return 0
	}
	return max(least, 100*float64(n)/float64(all))
}

// depthClass is the class of a queue depth: 1, 2, 4, 8, 16, 32 and 64, each up to the next.
func depthClass(depth int) int {
	class := 0
	for end := 2; class < 6 && depth >= end; end *= 2 {
		class++
	}
	return class
}

// batchClass is the class of a batch: 0, then up to 4, 8, 16, 32, 64, and more.
func batchClass(batch int) int {
	if batch == 0 {
		return 0
	}
	class := 1
	for end := 4; class < 6 && batch > end; end *= 2 {
		class++
	}
	return class
}

func (l *levels) add(buckets []report.CountBucket, class func(int) int) {
	for _, b := range buckets {
		l.classes[class(b.Value)] += b.Count
		l.total += b.Count
	}
}

// issued is the number of I/Os of all directions.
func (e *entry) issued() (n int64) {
	for d := range e.dirs {
		n += e.dirs[d].issued
	}
	return n
}

// mixed is all directions as one.
func (e *entry) mixed() *direction {
	var all direction
	for d := range e.dirs {
		all.add(&e.dirs[d])
	}
	return &all
}

// entriesOf groups the Result's workers as fio does: a worker starts a new entry unless its job wants
// group reporting and the worker before it was of the same group.
func entriesOf(r *report.Result, o *Options) ([]*entry, error) {
	var entries []*entry
	for i := range r.Jobs {
		j := &r.Jobs[i]
		hide := hiddenBy(r.Globals, j.Options)
		if hide.job {
			continue
		}
		workers := j.Workers
		switch {
		case j.Skipped != "":
			workers = make([]report.Worker, max(1, j.Spec.NumJobs))
		case len(workers) == 0: // a Result that kept only the sums
			workers = []report.Worker{{Stats: j.Stats}}
		}
		for w := range workers {
			var last *entry
			if len(entries) > 0 {
				last = entries[len(entries)-1]
			}
			if last == nil || !j.Grouped || last.groupID != j.GroupID {
				last = &entry{
					name: j.Name, description: j.Description, groupID: max(0, j.GroupID), pid: workers[w].ThreadID,
					startMS: startMS(r, j, &workers[w]), skipped: true,
				}
				entries = append(entries, last)
			}
			last.skipped = last.skipped && j.Skipped != ""
			if err := last.add(j, &workers[w].Stats, o, hide); err != nil {
				return nil, fmt.Errorf("job %q, worker %d: %w", j.Name, w, err)
			}
			if search := workers[w].DepthSearch; search != nil {
				last.latencyDepth = search.IODepth
			}
		}
		if j.Grouped || len(workers) == 1 {
			entries[len(entries)-1].addRates(j, workers)
		}
	}
	if o.Unified == Mixed {
		for _, e := range entries {
			all := e.mixed()
			e.dirs = [workloads.Directions]direction{workloads.Read: *all}
		}
	}
	return entries, nil
}

// startMS is when a worker started, on the clock that its job names.
func startMS(r *report.Result, j *report.Job, w *report.Worker) int64 {
	if j.Spec.StartClock != 0 {
		return (j.Spec.StartClockNS + w.StartNS) / 1e6
	}
	return r.StartedAt.UnixMilli() + w.StartNS/1e6
}

// add merges one worker into the entry.
func (e *entry) add(j *report.Job, s *report.Stats, o *Options, hide hidden) error {
	e.members++
	e.options = j.Options
	e.spec, e.steady, e.latencyDepth = &j.Spec, steadyOf(j), j.Spec.IODepth
	e.continueOnError = j.Spec.ContinueOnError != "" && j.Spec.ContinueOnError != "none"
	e.errors += s.TotalErrors
	if e.firstErrno == 0 {
		e.firstErrno = s.FirstErrno
	}
	if e.errno == 0 {
		switch {
		case s.Error != nil:
			e.errno, e.problem = errnoOf(s.Error), s.Error.Sentence
		case s.FirstErrno != 0: // tolerated
			e.errno, e.problem = s.FirstErrno, strerror(s.FirstErrno)
		}
	}
	for d := range workloads.Direction(workloads.Directions) {
		var parts []*report.DirStats
		if stats := s.Dir(d); stats != nil {
			parts = append(parts, stats)
		}
		if d == workloads.Read && s.Verify != nil && s.Verify.ReadBack != nil {
			parts = append(parts, &s.Verify.ReadBack.Read)
		}
		var dir direction
		for i, part := range parts {
			next, err := e.direction(part, o, hide)
			if err != nil {
				return fmt.Errorf("%s: %w", d, err)
			}
			if i > 0 { // samples of rates are those of the load
				next.bw, next.iops = rate{}, rate{}
			}
			dir.then(next)
		}
		e.dirs[d].add(&dir)
	}
	if v := s.Verify; v != nil {
		e.addVerify(v)
	}
	if s.Sync != nil {
		lat, err := latencyOf(s.Sync.Lat, true, nil)
		if err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		e.sync.n += s.Sync.IOs
		e.sync.lat.add(&lat)
	}
	e.addTime(s.RuntimeNS, &s.CPU)
	e.depth.add(s.Depth, depthClass)
	e.submit.add(s.SubmitBatch, batchClass)
	e.complete.add(s.ReapBatch, batchClass)
	return nil
}

// addTime adds a time and what it took of the CPU.
func (e *entry) addTime(ns int64, cpu *report.CPU) {
	e.runtimeMS += ns / 1e6
	e.userMS += float64(cpu.UserNS) / 1e6
	e.sysMS += float64(cpu.SysNS) / 1e6
	e.switches += cpu.VoluntarySwitches + cpu.PreemptionSwitches
	e.major += cpu.MajorFaults
	e.minor += cpu.MinorFaults
}

// addVerify adds what the check took: to fio, blocks that are read back are reads like others.
func (e *entry) addVerify(v *report.VerifyStats) {
	e.addTime(v.RuntimeNS, &v.CPU)
	if b := v.ReadBack; b != nil {
		e.depth.add(b.Depth, depthClass)
		e.submit.add(b.SubmitBatch, batchClass)
		e.complete.add(b.ReapBatch, batchClass)
	}
}

// addRates adds the job's rates where its workers have none of their own.
func (e *entry) addRates(j *report.Job, workers []report.Worker) {
	for d := range workloads.Direction(workloads.Directions) {
		all := j.Dir(d)
		known := slices.ContainsFunc(workers, func(w report.Worker) bool { return w.Dir(d) != nil && w.Dir(d).IOPSRate.N > 0 })
		if all != nil && !known {
			bw, iops := rateOf(all.BWRate, 1024), rateOf(all.IOPSRate, 1)
			e.dirs[d].bw.add(&bw)
			e.dirs[d].iops.add(&iops)
		}
	}
}

// direction converts one worker's statistics of a direction, and counts its completion latencies in the
// entry's spans.
func (e *entry) direction(s *report.DirStats, o *Options, hide hidden) (*direction, error) {
	d := &direction{
		bytes: s.Bytes, issued: s.Issued, short: s.Short,
		bw: rateOf(s.BWRate, 1024), iops: rateOf(s.IOPSRate, 1),
	}
	if s.Bytes > 0 { // fio's clock runs for a direction only when it moved something
		d.runtimeMS = max(1, s.RuntimeNS/1e6)
	}
	for _, l := range []struct {
		name     string
		into     *latency
		from     *report.Latency
		hide     bool
		withBins bool
		also     func(lowestNS, count int64)
	}{
		{"slat", &d.slat, s.Slat, hide.slat, o.SlatPercentiles, nil},
		{"clat", &d.clat, s.Clat, hide.clat, true, e.spans.add},
		{"lat", &d.lat, s.Lat, hide.lat, o.LatPercentiles, nil},
	} {
		if l.hide {
			continue
		}
		var err error
		if *l.into, err = latencyOf(l.from, l.withBins, l.also); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	var err error
	d.prios, err = prioritiesOf(s, o, hide)
	return d, err
}

// errnoOf is the error number that stands for e: one that the kernel did not give counts as an I/O error,
// since 0 would say that nothing happened.
func errnoOf(e *report.Error) int {
	if e.Errno != 0 {
		return e.Errno
	}
	return int(syscall.EIO)
}

// strerror is the C library's text for an error number.
func strerror(errno int) string {
	if errno == 0 {
		return "Success"
	}
	text := []byte(syscall.Errno(errno).Error())
	if c := text[0]; 'a' <= c && c <= 'z' {
		text[0] = c - 'a' + 'A'
	}
	return string(text)
}

// cpuPercent is a share of the entry's runtime.
func (e *entry) cpuPercent(ms float64) float64 {
	if e.runtimeMS == 0 {
		return 0
	}
	return ms * 100 / float64(e.runtimeMS)
}
