package fiojob

import (
	"fmt"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// reporter reports a problem of a job.
type reporter func(code, hint, format string, args ...any)

// finish settles what depends on several options of a job, and puts the job into the plan.
func (p *parser) finish(d *draft, at place) {
	if p.full() {
		return
	}
	d.File, d.Line = at.file, at.line
	before := len(p.problems)
	where := at.String() + ": job " + shorten(d.Name)
	bad := func(code, hint, format string, args ...any) {
		p.problem(code, hint, "%s: %s", where, fmt.Sprintf(format, args...))
	}
	if p.clones += d.NumJobs; p.clones > p.settings.MaxJobs {
		bad("TOO_MANY_JOBS", "lower numjobs=, or raise --max-jobs (at most 4096)", "with it there are more than %d jobs", p.settings.MaxJobs)
		return
	}
	e, _ := EngineNamed(d.Engine)
	if e.Runs == "" {
		if p.once("engine " + d.Engine) {
			bad("ENGINE_UNSUPPORTED", "use io_uring, libaio or psync; blkmeter run --enghelp lists the engines", "engine not supported: %s", d.Engine)
		}
		return
	}
	p.settleEngine(d, e, where, bad)
	if e.Note != "" && d.Engine != "auto" {
		p.warn("ENGINE_REPLACED", "", "%s: ioengine=%s: %s", where, d.Engine, e.Note)
	}
	for _, a := range d.refused {
		o := &table().options[a.index]
		if p.once(fmt.Sprint("refused ", a.place, a.index)) { // globals are refused for each job
			p.problem("OPTION_UNSUPPORTED", "leave it out, or run the job with fio", "%s: %s is not supported: %s", a.place, a, o.Why)
		}
	}
	d.settleSizes()
	d.settleMemory(bad)
	if d.Buffers.DedupeGlobal && !d.Buffers.DedupeSet {
		bad("BAD_JOB", "add dedupe_mode=working_set", "dedupe_global is about the set of dedupe_mode=working_set")
	}
	d.settlePriorities(e, bad)
	d.settleCommands(bad)
	d.settleFiles()
	d.settleTime(bad)
	d.settleRates(bad)
	d.settleLatencyTarget(bad)
	d.settleZones(bad)
	p.settleReplay(d, where, bad)
	if p.settings.ReadOnly && d.RW.Destructive() {
		bad("READ_ONLY", "leave out --readonly", "rw=%s changes what is stored, and --readonly was given", d.RW)
	}
	if d.WaitFor != "" {
		switch n := p.names[d.WaitFor]; {
		case n == 0:
			bad("BAD_JOB", "name a job that was defined before", "wait_for=%s: there is no such job before it", shorten(d.WaitFor))
		case n > 1:
			bad("BAD_JOB", "give the jobs different names", "wait_for=%s: several jobs have that name", shorten(d.WaitFor))
		}
	}
	if d.isSet("direct") || d.isSet("buffered") {
		d.DirectAssumed = false
	}
	p.names[d.Name]++
	if len(p.problems) == before {
		p.plan.Jobs = append(p.plan.Jobs, d.Job)
	}
}

// settleEngine brings the options of the queue in line with each other, as fio does.
func (p *parser) settleEngine(d *draft, e Engine, where string, bad reporter) {
	if e.Sync && d.IODepth > 1 && !d.Offload {
		p.warn("SYNC_DEPTH", "use ioengine=io_uring or libaio to have several I/Os in flight",
			"%s: iodepth=%d is 1, since ioengine=%s does one I/O at a time", where, d.IODepth, d.Engine)
		d.IODepth = 1
	}
	if d.IODepthLow == 0 || d.IODepthLow > d.IODepth {
		d.IODepthLow = d.IODepth
	}
	if d.BatchSubmitSet && (d.BatchSubmit == 0 || d.BatchSubmit > d.IODepth) {
		d.BatchSubmit = d.IODepth
	}
	d.BatchCompleteMin = min(d.BatchCompleteMin, d.IODepth)
	if d.BatchCompleteMax > 0 {
		d.BatchCompleteMax = min(max(d.BatchCompleteMax, d.BatchCompleteMin), d.IODepth)
	}
	if d.SQThreadPoll {
		d.RegisterFiles = true
	}
	asked := d.isSet("direct") || d.isSet("buffered")
	switch {
	case d.Atomic && d.Uncached:
		bad("BAD_JOB", "leave out one of them", "atomic writes go around the page cache, and uncached is about what goes through it")
	case d.Atomic && asked && !d.Direct:
		bad("BAD_JOB", "leave out direct=0", "atomic writes go around the page cache")
	case d.Atomic:
		d.Direct, d.DirectAssumed = true, false
	case d.Uncached && d.DirectAssumed && !asked:
		d.Direct, d.DirectAssumed = false, false
	}
}

// settleSizes settles the block sizes: bssplit wins over bsrange, and bsrange over bs, in whatever order
// they were given.
func (d *draft) settleSizes() {
	for dir := range d.BS {
		if bs := d.bs[dir]; bs != 0 {
			d.BS[dir] = workloads.SizeRange{Min: bs, Max: bs}
		}
		if r := d.bsRange[dir]; r.Max != 0 {
			d.BS[dir] = r
		}
		for i, s := range d.BSSplit[dir] {
			if i == 0 {
				d.BS[dir] = workloads.SizeRange{Min: s.Bytes, Max: s.Bytes}
			}
			d.BS[dir].Min = min(d.BS[dir].Min, s.Bytes)
			d.BS[dir].Max = max(d.BS[dir].Max, s.Bytes)
		}
	}
}

// settleFiles settles how many files the job has. A section named like a device is about that device, as in
// fio.
func (d *draft) settleFiles() {
	if len(d.Filenames) == 0 && strings.HasPrefix(d.Name, "/dev/") {
		d.Filenames = []string{d.Name}
	}
	if n := len(d.Filenames); n > 0 && (!d.isSet("nrfiles") || d.NrFiles > n) {
		d.NrFiles = n
	}
}

func (d *draft) settleMemory(bad reporter) {
	size, huge := d.Buffers.HugePageBytes, strings.Contains(d.Buffers.Mem, "huge")
	switch {
	case size&(size-1) != 0:
		bad("BAD_VALUE", "give a size that the kernel has, such as 2m or 1g", "hugepage-size=%d is not a power of two", size)
	case !huge:
		d.Buffers.HugePageBytes = 0 // as in fio, it is about huge pages that are asked for
	}
}

func (d *draft) settleTime(bad reporter) {
	if d.TimeBased && d.Runtime == 0 {
		bad("BAD_JOB", "add runtime=", "time_based needs a runtime")
	}
	if d.RampTime > 0 && d.RampBytes > 0 {
		bad("BAD_JOB", "give one of them", "ramp_time and ramp_size exclude each other")
	}
	d.Thinktime.Spin = min(d.Thinktime.Spin, d.Thinktime.Time)
	if d.SteadyState.Duration > 0 && d.SteadyState.Interval < time.Second {
		bad("BAD_VALUE", "raise it", "steadystate_check_interval is below one second")
	}
}

func (d *draft) settleRates(bad reporter) {
	for dir := range workloads.Direction(workloads.Directions) {
		bytes, ios := d.RateBytes[dir], d.RateIOPS[dir]
		switch {
		case bytes > 0 && ios > 0:
			bad("BAD_JOB", "give one of them", "rate and rate_iops for %ss exclude each other", dir)
			return
		case bytes > 0 && bytes < d.RateMin[dir], ios > 0 && ios < d.RateIOPSMin[dir]:
			bad("BAD_JOB", "lower the minimum", "the minimum rate for %ss is above the rate", dir)
			return
		}
	}
}

func (d *draft) settleLatencyTarget(bad reporter) {
	t := &d.LatencyTarget
	switch {
	case t.Limit == 0:
	case t.Window == 0:
		bad("BAD_JOB", "add latency_window=, long enough for some hundred I/Os", "latency_target needs a latency_window")
	case d.Runtime > 0 && d.Runtime < 2*t.Window && !t.Run:
		bad("BAD_JOB", "raise runtime, or lower latency_window", "runtime=%v has no room for two windows of %v, the least that a search takes", d.Runtime, t.Window)
	}
}

func (d *draft) settleZones(bad reporter) {
	z := &d.Zones
	switch z.Mode {
	case "none":
		if z.SizeBytes > 0 {
			bad("BAD_JOB", "add zonemode=strided", "zonesize needs a zonemode")
		}
	case "zbd":
		bad("OPTION_UNSUPPORTED", "run the job with fio", "zonemode=zbd is not supported: blkmeter does not drive zoned devices")
	case "strided":
		if z.RangeBytes == 0 {
			z.RangeBytes = z.SizeBytes
		}
		if z.SizeBytes == 0 {
			bad("BAD_JOB", "add zonesize=", "zonemode=strided needs a zonesize")
		}
	}
}
