package run

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/shared"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/internal/stats"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

func newResult(o Options, plan *workloads.Plan) *report.Result {
	return &report.Result{
		Schema: report.Schema, Tool: o.Tool, Command: o.Command, Status: report.StatusDone, IntervalNS: int64(Interval),
		Targets: []report.Target{}, Jobs: []report.Job{},
		Globals: orEmpty(plan.Globals), Warnings: orEmpty(slices.Clone(plan.Warnings)),
	}
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// describe notes the circumstances of the run.
func (c *conductor) describe() {
	h := device.ReadHost(c.o.Root, c.topo)
	c.result.Host = report.Host{
		Name: h.Name, Kernel: h.Kernel, Arch: h.Arch, CPUModel: h.CPUModel, CPUs: h.CPUs, Cores: h.Cores, NUMANodes: h.NUMANodes,
		Governor: h.Governor, MemoryBytes: h.MemoryBytes, Virtualized: h.Virtualized, ClockSource: h.ClockSource,
		GOMAXPROCS: runtime.GOMAXPROCS(0), Root: h.Root, UringDisabled: h.UringDisabled, MemlockBytes: h.MemlockBytes,
		OpenFilesLimit: h.OpenFilesLimit, IdleStates: []report.IdleState{},
	}
	for _, s := range device.ReadIdle(c.o.Root).States {
		c.result.Host.IdleStates = append(c.result.Host.IdleStates, report.IdleState{Name: s.Name, ExitLatencyUS: s.ExitLatencyUS, Disabled: s.Disabled})
	}
	c.result.Clock = report.Clock{
		Source: c.clock.Source(), Reason: c.clock.Reason(), CostNS: c.clock.CostNS(), Stamps: "batch", TicksPerUS: c.clock.TicksPerMicrosecond(),
	}
	for _, j := range c.jobs {
		if !j.spec.Direct && j.choice.Name != "null" {
			c.warn("BUFFERED", fmt.Sprintf("job %s goes through the page cache, so its figures are the memory's as well as the device's", j.spec.Name),
				"use --direct=1")
		}
	}
}

// describeTarget makes the report of a target; sibling is another one on the same disk, nil without.
func describeTarget(root device.Root, t *target.Target, sibling *report.Target, scratch bool) report.Target {
	f := t.Facts()
	r := report.Target{
		Path: t.Path(), Resolved: t.Resolved(), Kind: string(t.Kind()), Major: t.DevT().Major, Minor: t.DevT().Minor,
		SizeBytes: t.SizeBytes(), LogicalBytes: t.LogicalBytes(), PhysicalBytes: f.PhysicalBytes,
		MemAlignBytes: t.MemAlign(), OffsetAlign: t.OffsetAlign(), Filesystem: t.FileSystem().Type, Device: f.Disk,
		Stack: orEmpty(t.Stack()), Model: f.Model, Firmware: f.Firmware, Transport: f.Transport, Scheduler: f.Scheduler,
		HardwareQueues: len(f.Queues), Tags: f.Tags, NrRequests: f.NrRequests, Rotational: f.Rotational, WriteCache: f.WriteCache,
		IOPoll: f.IOPoll, NUMANode: f.NUMANode, Settings: f.Settings, Notes: orEmpty(f.Notes), QueueMap: []report.QueueCPUs{}, Interrupts: []report.Interrupt{},
		Scratch: scratch, DirectIO: t.Direct(), ExclusiveDevice: t.Exclusive(),
	}
	for _, q := range f.Queues {
		r.QueueMap = append(r.QueueMap, report.QueueCPUs{HCTX: q.HCTX, Type: q.Type, Tags: q.Tags, CPUs: q.CPUs})
	}
	if sibling != nil {
		r.Interrupts, r.Health = sibling.Interrupts, sibling.Health
		return r
	}
	for _, i := range device.Interrupts(root, f.Disk) {
		r.Interrupts = append(r.Interrupts, report.Interrupt{Number: i.Number, Name: i.Name, Allowed: orEmpty(i.Allowed), Effective: orEmpty(i.Effective)})
	}
	if f.NVMeController != "" && root.Real() {
		if h, err := device.ReadHealth(f.NVMeController); err == nil {
			r.Health = driveHealth(h)
		}
	}
	return r
}

func driveHealth(h device.Health) *report.DriveHealth {
	after, wake := h.Power.Sleep()
	return &report.DriveHealth{
		TemperatureC: h.SMART.TemperatureC, WarningC: h.SMART.WarningC, CriticalC: h.SMART.CriticalC,
		WarningMinutes: int64(h.SMART.WarningMinutes), CriticalMinutes: int64(h.SMART.CriticalMinutes),
		CriticalWarnings: orEmpty(h.SMART.CriticalWarnings), UsedPercent: h.SMART.UsedPercent, SparePercent: h.SMART.SparePercent,
		MediaErrors: h.SMART.MediaErrors, WrittenBytes: h.SMART.WrittenBytes, ReadBytes: h.SMART.ReadBytes,
		PowerState: h.Power.Current, SavesPower: h.Power.APST, SleepsAfterNS: int64(after), WakeNS: int64(wake),
	}
}

// readCounters notes what the kernel has counted so far for the devices under the targets.
func (c *conductor) readCounters() {
	c.before = map[blk.DevT]device.Counters{}
	for _, t := range c.targets {
		if _, read := c.before[t.DevT()]; read || t.DevT().IsZero() {
			continue
		}
		if n, err := device.ReadCounters(c.o.Root, t.DevT()); err == nil {
			c.before[t.DevT()] = n
		}
	}
	c.countedAt = c.clock.Now()
	if c.o.IdleCPUs != "" {
		c.idleFrom = device.ReadCPUTimes(c.o.Root)
	}
}

// headOf is the report of a job that has done nothing yet.
func (c *conductor) headOf(j *jobRun) report.Job {
	s := j.spec
	return report.Job{
		Name: s.Name, Description: s.Description, GroupID: j.group, Grouped: s.GroupReporting, Options: orEmpty(s.Options),
		Spec: c.specOf(j), Decisions: orEmpty(j.decisions), Workers: []report.Worker{}, Series: []report.Interval{},
	}
}

// reportJob adds a finished job to the Result.
func (c *conductor) reportJob(j *jobRun, startedAt int64) {
	s := j.spec
	out := c.headOf(j)
	if j.series != nil {
		out.Series = orEmpty(j.series.closed)
	}
	exit := fault.ExitDone // of the first worker with an error
	for i, w := range j.workers {
		if i >= len(j.totals) {
			break // the stage never started
		}
		r := c.reportWorker(j, w, j.totals[i], startedAt)
		var code int
		if r.Error, code = c.errorOf(j, w); exit == fault.ExitDone {
			exit = code
		}
		if w.verify != nil && w.verify.verifier != nil && !w.lost {
			w.verify.counts.ReadBack = w.verify.back.report()
			r.Verify = &w.verify.counts
		}
		if w.search != nil && !w.lost {
			r.DepthSearch = &w.search.found
		}
		out.Workers = append(out.Workers, r)
	}
	stats, err := report.Merge(out.Workers, out.Series)
	if err != nil {
		c.warn("MERGE", fmt.Sprintf("job %s: %v", s.Name, err), "")
	}
	out.Stats = stats
	if len(out.Workers) == 0 {
		out.Error = c.result.Error // what kept the job from starting
	}
	if s.SharedQueue {
		out.Fairness = fairness(j)
	}
	if j.steady != nil {
		out.SteadyState = j.steady.report()
	}
	out.Replay = j.reportReplay()
	c.result.Jobs = append(c.result.Jobs, out)
	if out.Error != nil && c.result.Error == nil {
		c.result.Error = out.Error
		c.result.Status = report.StatusFailed
		c.result.ExitCode = exit
	}
}

func (c *conductor) reportWorker(j *jobRun, w *worker, t *totals, startedAt int64) report.Worker {
	r := report.Worker{
		Index: w.index, CPU: w.place.cpu, CPUs: orEmpty(w.place.cpus), HCTX: w.place.hctx, NUMANode: w.place.node,
		ThreadID: w.outcome.threadID, RegionLow: w.regionLow, RegionHigh: w.regionHigh,
		LockWaitNS: w.outcome.counters.LockWaitNS, SeenOnCPUs: []report.CountBucket{}, Stats: t.stats(w, startedAt),
	}
	for cpu, n := range t.seenOn {
		r.SeenOnCPUs = append(r.SeenOnCPUs, report.CountBucket{Value: cpu, Count: n})
	}
	slices.SortFunc(r.SeenOnCPUs, func(a, b report.CountBucket) int { return a.Value - b.Value })
	return r
}

// errorOf tells a worker's first error in words, unless the job tolerates it, and the exit code it leads to.
func (c *conductor) errorOf(j *jobRun, w *worker) (*report.Error, int) {
	f := &w.failure
	switch {
	case w.lost:
		return &report.Error{Code: "DEVICE_HANGS", Sentence: fmt.Sprintf("worker %d of job %s did not come back from the kernel", w.index, j.spec.Name)}, fault.ExitIO
	case f.err != nil:
		e := fault.Of(f.err)
		var errno syscall.Errno
		errors.As(f.err, &errno)
		exit := e.Exit
		if e.Code == fault.Plain {
			exit = fault.ExitIO // what the kernel said to a queue that was open
		}
		return &report.Error{Code: e.Code, Sentence: fmt.Sprintf("job %s, worker %d: %v", j.spec.Name, w.index, f.err), Hint: e.Hint, Errno: int(errno)}, exit
	case f.errno == 0 || j.toleratesError(f.op, f.errno):
		if w.verify != nil {
			if e := w.verify.verdict(j.spec.Name, j.ignored[workloads.Trim]); e != nil {
				return e, fault.ExitVerify
			}
		}
		return nil, fault.ExitDone
	}
	code, hint := explainErrno(f)
	path := w.targets[f.file].Path()
	what := f.cause().Error()
	if f.short {
		what = "nothing was transferred, as if the target ended there"
	}
	sentence := fmt.Sprintf("job %s: %s of %d bytes at offset %d of %s failed: %s", j.spec.Name, f.op, f.length, f.offset, path, what)
	if f.op >= engine.OpSync {
		sentence = fmt.Sprintf("job %s: %s of %s failed: %s", j.spec.Name, f.op, path, what)
	}
	return &report.Error{Code: code, Sentence: sentence, Hint: hint, Errno: int(f.errno)}, fault.ExitIO
}

func (c *conductor) specOf(j *jobRun) report.Spec {
	s := j.spec
	spec := report.Spec{
		RW: s.RW.String(), Targets: []int{}, Engine: j.choice.Name, IODepth: j.depth, NumJobs: s.NumJobs, Direct: s.Direct,
		RuntimeNS: int64(s.Runtime), RampNS: int64(s.RampTime), RampBytes: s.RampBytes, TimeBased: s.TimeBased, Queue: "multi", SubmitMode: "inline", Seed: j.seed,
		MixReadPercent: s.MixReadPercent, RandomMap: s.RW.Random() && !s.NoRandomMap, ContinueOnError: s.ContinueOnError,
		LatencyTargetNS: int64(s.LatencyTarget.Limit), LatencyWindowNS: int64(s.LatencyTarget.Window), LatencyPercent: s.LatencyTarget.Percentile,
		FlowWeight: s.Flow.Weight, FlowID: s.Flow.ID,
		EngineFeatures: orEmpty(j.features),
	}
	if s.Offload {
		spec.SubmitMode = "offload"
	}
	if now, err := clock.Read(s.StartClock); err == nil && s.StartClock != 0 {
		spec.StartClock, spec.StartClockNS = s.StartClock, int64(now)-(c.clock.Now()-c.started)
	}
	if s.SharedQueue {
		spec.Queue, spec.QueueLock = "single", s.QueueLock
	}
	if s.BatchSubmitSet {
		spec.BatchSubmit = s.BatchSubmit
	}
	spec.BatchCompleteMin = 1
	if s.BatchCompleteSet {
		spec.BatchCompleteMin, spec.BatchCompleteMax = s.BatchCompleteMin, s.BatchCompleteMax
	}
	for d := range spec.BlockMinBytes {
		if s.RW.Does(workloads.Direction(d)) {
			spec.BlockMinBytes[d], spec.BlockMaxBytes[d] = int64(s.BS[d].Min), int64(s.BS[d].Max)
		}
		spec.RateIOPS[d] = int64(s.RateIOPS[d])
	}
	for i, w := range j.workers {
		if i == 0 {
			spec.OffsetBytes, spec.SizeBytes = w.regionLow, w.regionHigh-w.regionLow
		}
		for _, t := range w.targets {
			if k := c.targetIndex(t); k >= 0 && !slices.Contains(spec.Targets, k) {
				spec.Targets = append(spec.Targets, k)
			}
		}
	}
	return spec
}

// fairness tells how a shared queue's lock served the workers.
func fairness(j *jobRun) *report.Fairness {
	f := &report.Fairness{
		Lock: j.spec.QueueLock, Variant: j.spec.QueueVariant, HoldNS: j.spec.HoldNS, TagsTotal: j.depth * len(j.workers), HonestSentence: shared.Sentence,
	}
	var ios []float64
	total := 0.0
	for i, w := range j.workers {
		n := 0.0
		if i < len(j.totals) {
			for op := range j.totals[i].ops {
				n += float64(j.totals[i].ops[op].ios)
			}
		}
		ios = append(ios, n)
		total += n
		q := w.outcome.counters
		f.LockWaitNS += q.LockWaitNS
		f.LockAcquires += int64(q.LockAcquires)
		f.WaitMaxNS = max(f.WaitMaxNS, q.LockWaitMaxNS)
		f.LongestGapNS = max(f.LongestGapNS, q.LockGapMaxNS)
	}
	f.Jain = stats.Jain(ios)
	if total > 0 {
		f.WaitPerIONS = float64(f.LockWaitNS) / total
	}
	return f
}

// finish closes the books: the kernel's counters, the clock's drift, what could mislead.
func (c *conductor) finish(ctx context.Context, startedAt int64) {
	now := c.clock.Now()
	c.result.EndedAt = c.clock.At(now)
	c.result.ElapsedNS = now - startedAt
	c.result.Clock.DriftPPM = c.clock.DriftPPM()
	c.readKernel()
	judged := map[blk.DevT]bool{}
	for i := range c.result.Targets { // of the files on one device the first speaks for all
		r := &c.result.Targets[i]
		if d := (blk.DevT{Major: r.Major, Minor: r.Minor}); !judged[d] {
			judged[d] = true
			c.mismatch(r)
		}
	}
	c.readIdle()
	if ctx.Err() == nil {
		c.judgeSteadyState()
		c.judgeDepthSearches()
	}
	if c.result.Collector.Cycles > 0 {
		c.warn("COLLECTOR", fmt.Sprintf("Go's collector ran %d times inside measured windows", c.result.Collector.Cycles), "report this with the command line: the loop allocates nothing")
	}
	if ctx.Err() != nil && c.result.Status == report.StatusDone {
		c.result.Status = report.StatusInterrupted
		c.result.ExitCode = fault.ExitInterrupted
		c.result.Error = &report.Error{Code: "INTERRUPTED", Sentence: "the run was ended by a signal; the figures are those until then"}
	}
}

// readKernel sets the kernel's own counters since the start beside ours.
func (c *conductor) readKernel() {
	read := map[blk.DevT]*report.KernelCounters{}
	for i := range c.result.Targets {
		r := &c.result.Targets[i]
		devT := blk.DevT{Major: r.Major, Minor: r.Minor}
		before, ok := c.before[devT]
		if !ok {
			continue
		}
		if k := read[devT]; k != nil {
			r.Kernel = k
			continue
		}
		after, err := device.ReadCounters(c.o.Root, devT)
		if err != nil {
			continue
		}
		d := after.Since(before)
		r.Kernel = &report.KernelCounters{
			ReadIOs: d.ReadIOs, ReadMerges: d.ReadMerges, ReadBytes: d.ReadBytes, ReadTicksMS: d.ReadTicksMS,
			WriteIOs: d.WriteIOs, WriteMerges: d.WriteMerges, WriteBytes: d.WriteBytes, WriteTicksMS: d.WriteTicksMS,
			TrimIOs: d.DiscardIOs, TrimBytes: d.DiscardBytes, FlushIOs: d.FlushIOs, InQueueMS: d.InQueueMS, IOTicksMS: d.IOTicksMS,
			WindowNS: c.clock.Now() - c.countedAt,
		}
		read[devT] = r.Kernel
	}
}

// mismatch warns when the kernel counted fewer bytes at the device than workers transferred, or, on a device
// that nobody else should use, more.
func (c *conductor) mismatch(r *report.Target) {
	if r.Kernel == nil {
		return
	}
	devT := blk.DevT{Major: r.Major, Minor: r.Minor}
	counted := func(t *target.Target) bool { return t.DevT() == devT && t.Kind() != target.Generic } // commands go past its counters
	var ours [3]float64
	for _, j := range c.jobs {
		for i, w := range j.workers {
			if i >= len(j.totals) || !slices.ContainsFunc(w.targets, counted) {
				continue
			}
			for dir := range ours {
				t := j.totals[i]
				ours[dir] += float64(t.ops[dir].bytes + t.rampBytes[dir])
			}
			if w.verify != nil && w.verify.counts.ReadBack != nil {
				ours[workloads.Read] += float64(w.verify.counts.ReadBack.Read.Bytes)
			}
		}
	}
	for dir, kernel := range []int64{r.Kernel.ReadBytes, r.Kernel.WriteBytes} {
		word := workloads.Direction(dir).String()
		switch k := float64(kernel); {
		case ours[dir] == 0:
		case k < 0.98*ours[dir]:
			c.warn("NOT_AT_DEVICE", fmt.Sprintf("%s: the device saw only %.0f %% of the bytes that were %s; the rest never reached it", r.Path, 100*k/ours[dir], map[string]string{"read": "read", "write": "written"}[word]),
				"blocks that were never written, holes, or a cache answer without the device; write the region first")
		case r.Kind == "block" && k > 1.02*ours[dir]:
			c.warn("OTHER_LOAD", fmt.Sprintf("%s: the device saw %.0f %% of the bytes that this run %s; somebody else used it too", r.Path, 100*k/ours[dir], map[string]string{"read": "read", "write": "wrote"}[word]),
				"stop what else uses the device")
		}
	}
}
