package claims

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/run"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// DeviceRunner runs arms with I/O.
type DeviceRunner struct {
	Subject    *Subject
	CPUs       []int // that workers may be bound to
	MayDestroy bool  // what is on the subject may be overwritten
	Env        func(string) string
	StateDir   string // of the journal of settings that were changed
}

// lackError is an error of an arm that this machine cannot run, which showed only when it was tried.
type lackError struct {
	need   Need
	remedy string // empty: the need's
	err    error
}

func (e *lackError) Error() string { return e.err.Error() }
func (e *lackError) Unwrap() error { return e.err }

// Is makes every lack one of what engines call not supported.
func (e *lackError) Is(target error) bool { return target == engine.ErrUnsupported }

// RunArm runs one arm with I/O. What it needs, a null_blk of its own or other settings of the device, is made
// before and undone after, whatever happens.
func (r *DeviceRunner) RunArm(ctx context.Context, a Arm) (s Sample, err error) {
	if len(a.NullBlk) == 0 || r.Subject.driver == nil {
		return r.runArm(ctx, a)
	}
	own, err := nullBlk(r.Subject.driver, a.NullBlk)
	if err != nil {
		return Sample{}, lacking(err)
	}
	defer func() { err = errors.Join(err, own.Close()) }()
	there := *r
	there.Subject = own
	return there.runArm(ctx, a)
}

// runArm runs one arm on the subject.
func (r *DeviceRunner) runArm(ctx context.Context, a Arm) (s Sample, err error) {
	plan, err := r.plan(a)
	if err != nil {
		return Sample{}, err
	}
	if len(a.Queue) > 0 {
		changes, err := r.set(a.Queue)
		if err != nil {
			return Sample{}, lacking(err)
		}
		defer func() { err = errors.Join(err, changes.Restore()) }()
	}
	before, user := readTicks("/proc/stat", r.CPUs), ownUserCPU()
	result, err := run.Run(ctx, plan, run.Options{Env: r.Env, Explain: a.Explain, Cost: true, Scratch: r.Subject.file})
	if ctx.Err() != nil {
		return Sample{}, ctx.Err()
	}
	if err != nil {
		return Sample{}, lacking(err)
	}
	if e := result.Error; e != nil {
		return Sample{}, lacking(&fault.Error{Code: e.Code, Sentence: e.Sentence, Hint: e.Hint})
	}
	if s, err = sampleOf(result, a.Beside != nil); err != nil {
		return Sample{}, err
	}
	if a.Explain {
		return s, explained(result, &s)
	}
	if foreign(before, readTicks("/proc/stat", r.CPUs), ownUserCPU()-user) {
		s.Codes = append(s.Codes, Steal)
	}
	return s, nil
}

// plan makes the jobs of an arm.
func (r *DeviceRunner) plan(a Arm) (*workloads.Plan, error) {
	if len(a.NullBlk) > 0 && r.Subject.Facts.Kind == device.KindNull && r.Subject.null == nil {
		return nil, &lackError{
			need: Need{Code: NeedNullBlk}, remedy: "use --null-blk instead of naming a null_blk device",
			err: fmt.Errorf("this arm needs a null_blk with %s", settingsText(a.NullBlk)),
		}
	}
	plan := &workloads.Plan{}
	stripes := max(a.Stripes, 1)
	for i := range stripes {
		job := *a.Job
		job.NumJobs = a.Job.NumJobs / stripes
		if i < a.Job.NumJobs%stripes {
			job.NumJobs++
		}
		plan.Jobs = append(plan.Jobs, job)
	}
	if a.Beside != nil {
		beside := *a.Beside
		beside.Name = "beside"
		plan.Jobs = append(plan.Jobs, beside)
	}
	for i := range plan.Jobs {
		if err := r.aim(&plan.Jobs[i]); err != nil {
			return nil, err
		}
	}
	var beside *workloads.Job
	if a.Beside != nil {
		beside = &plan.Jobs[len(plan.Jobs)-1]
	}
	return plan, place(a.Place, r.CPUs, &r.Subject.Facts, device.Interrupts("", r.Subject.Facts.Disk), &plan.Jobs[0], beside)
}

// aim points a job at the subject.
func (r *DeviceRunner) aim(j *workloads.Job) error {
	switch {
	case j.Engine == catalog.Null:
		j.Size = workloads.Amount{Bytes: ownBytes, Set: true}
		return nil
	case r.Subject.Path == "":
		j.Scratch, j.Size = true, workloads.Amount{Bytes: ownBytes, Set: true}
		return nil
	}
	j.Filenames = []string{r.Subject.Path}
	if j.Engine == catalog.UringCmd {
		generic := device.GenericOf("", r.Subject.Facts.Name)
		if generic == "" {
			return &lackError{need: Need{Code: Unsupported}, err: fmt.Errorf("%s has no character device that takes NVMe commands (/dev/ngXnY)", r.Subject.Name())}
		}
		j.Filenames = []string{"/dev/" + generic}
	}
	if j.RW.Destructive() {
		if !r.Subject.Own && !r.MayDestroy {
			return &lackError{need: Need{Code: NeedDestroy}, err: fmt.Errorf("this arm writes to %s", r.Subject.Path)}
		}
		j.Destroy = r.Subject.Target
	}
	return nil
}

// set makes settings of the subject's queue. Those of a disk on which it is only a file are left alone.
func (r *DeviceRunner) set(wanted map[string]string) (*device.Changes, error) {
	if !r.Subject.isDevice {
		return nil, &lackError{need: Need{Code: NeedDevice}, err: fmt.Errorf("settings are changed of a device that was named, and not of the disk under a file")}
	}
	var settings []device.Setting
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		settings = append(settings, device.Setting{Name: name, Value: wanted[name]})
	}
	return device.Apply("", r.StateDir, []string{r.Subject.Facts.Disk}, settings)
}

func settingsText(settings map[string]string) string {
	text := ""
	for i, k := range slices.Sorted(maps.Keys(settings)) {
		if i > 0 {
			text += " "
		}
		text += k + "=" + settings[k]
	}
	return text
}

// lacking turns faults that say what this machine lacks into errors that name the need.
func lacking(err error) error {
	if errors.As(err, new(*lackError)) {
		return err
	}
	f := fault.Of(err)
	code, known := map[string]Code{
		"NO_POLL_QUEUE":      NeedPollQ,
		"NO_NULL_BLK":        NeedNullBlk,
		"NUMA_UNKNOWN":       NeedNUMA,
		"NUMA_NONE":          NeedNUMA,
		"SET_PERMISSION":     NeedRoot,
		"ENGINE":             Unsupported, // there is no such engine
		"ENGINE_UNAVAILABLE": Unsupported,
		"BAD_SETTING":        Unsupported,
		"JOURNAL":            Unsupported,
		"NULL_BLK_ATTRIBUTE": Unsupported,
		"UNSUPPORTED":        Unsupported,
		"IO_UNSUPPORTED":     Unsupported,
		"NO_DIRECT_IO":       Unsupported,
	}[f.Code]
	if !known && !errors.Is(err, engine.ErrUnsupported) {
		return err
	}
	if !known {
		code = Unsupported
	}
	remedy := ""
	if code == Unsupported {
		remedy = f.Hint
	}
	return &lackError{need: Need{Code: code}, remedy: remedy, err: err}
}

// sampleOf takes an arm's numbers out of a Result. The last job runs beside the arm's if there is such a one; the
// others are the arm's, several if its queue is striped.
func sampleOf(r *report.Result, beside bool) (Sample, error) {
	s := Sample{Values: map[Metric]float64{}}
	if i := slices.IndexFunc(r.Jobs, func(j report.Job) bool { return j.Skipped != "" }); i >= 0 {
		return s, fmt.Errorf("job %s was not run: %s", r.Jobs[i].Name, r.Jobs[i].Skipped)
	}
	jobs := r.Jobs
	if beside && len(jobs) > 0 {
		if d := firstDir(&jobs[len(jobs)-1]); d != nil {
			s.Values[BytesPerS] = d.BW
		}
		jobs = jobs[:len(jobs)-1]
	}
	all := hdrhistogram.New(1, int64(time.Hour), 3)
	for i := range jobs {
		dir := firstDir(&jobs[i])
		if dir == nil || dir.IOs == 0 {
			continue
		}
		latency := dir.Clat
		if dir.Response != nil {
			latency = dir.Response
		}
		s.add(&jobs[i], dir, latency)
		if len(jobs) == 1 {
			s.Histogram = latency.Histogram
			break
		}
		h, err := hdrhistogram.Decode([]byte(latency.Histogram))
		if err != nil {
			return s, fmt.Errorf("reading the histogram of job %s: %w", jobs[i].Name, err)
		}
		if dropped := all.Merge(h); dropped > 0 {
			return s, fmt.Errorf("%d latencies of job %s are longer than an hour", dropped, jobs[i].Name)
		}
	}
	ios := s.Values[IOs]
	if ios == 0 {
		return s, fmt.Errorf("no I/O was completed in the measured window")
	}
	for _, m := range []Metric{MeanNS, CPUPerIO, Syscalls} { // sums until now
		s.Values[m] /= ios
	}
	if _, shared := s.Values[Jain]; shared {
		s.Values[Jain] /= ios
	}
	if s.Histogram == "" {
		var err error
		if s.Histogram, err = encode(all); err != nil {
			return s, err
		}
	}
	if len(r.Costs) == 1 && !beside { // what runs beside is not told apart
		s.Values[CostPerIO] = r.Costs[0].PerIONS
	}
	for i := range jobs {
		for _, c := range disturbances(r, &jobs[i]) {
			if !slices.Contains(s.Codes, c) {
				s.Codes = append(s.Codes, c)
			}
		}
	}
	return s, nil
}

// add adds a job to the sums of its arm; what is per I/O is weighted by I/Os.
func (s *Sample) add(job *report.Job, dir *report.DirStats, latency *report.Latency) {
	ios, v := float64(dir.IOs), s.Values
	v[IOPS] += dir.IOPS
	v[IOs] += ios
	v[MeanNS] += latency.MeanNS * ios
	v[CPUPerIO] += float64(job.CPU.UserNS + job.CPU.SysNS)
	v[Syscalls] += float64(job.Syscalls)
	v[Switches] += float64(job.CPU.PreemptionSwitches)
	if f := job.Fairness; f != nil {
		v[LockWait] += float64(f.LockWaitNS)
		v[Jain] += f.Jain * ios
		v[GapNS] = max(v[GapNS], float64(f.LongestGapNS))
	}
}

// firstDir is the direction that a job measures: reads if it has any.
func firstDir(j *report.Job) *report.DirStats {
	for d := workloads.Read; d < workloads.Directions; d++ {
		if s := j.Dir(d); s != nil {
			return s
		}
	}
	return nil
}

// lateShare is the share of late arrivals from which the generator counts as the limit.
const lateShare = 0.01

// disturbances lists what the run itself saw to disturb it.
func disturbances(r *report.Result, job *report.Job) []Code {
	var codes []Code
	// Arrivals that were late although the depth was never used up were held up by the generator.
	full := slices.ContainsFunc(job.Depth, func(b report.CountBucket) bool { return b.Value >= job.Spec.IODepth })
	late := float64(job.LateArrivals) > lateShare*float64(job.Arrivals) && !full
	warned := job.Spec.Engine != catalog.Null && slices.ContainsFunc(r.Warnings, func(w workloads.Warning) bool { return w.Code == "GENERATOR_BOUND" })
	if late || warned { // an arm without a device is meant to show the generator
		codes = append(codes, GeneratorBound)
	}
	if !steady(job.Series) {
		codes = append(codes, NotSteady)
	}
	if r.Collector.Cycles > 0 {
		codes = append(codes, GC)
	}
	return codes
}

// steadyWindows is how many windows at the end are looked at; see steady.
const steadyWindows = 5

// steady applies the criterion of SNIA's PTS 2.0.2, section 2.1.24, to the last five windows: a range within
// 20 % of their mean, and a fitted line that moves by no more than 10 % of it. Fewer windows cannot tell.
func steady(series []report.Interval) bool {
	var rates []float64
	for _, iv := range series {
		for _, d := range []*report.IntervalStat{iv.Read, iv.Write, iv.Trim} {
			if d != nil && !iv.Partial {
				rates = append(rates, d.IOPS)
				break
			}
		}
	}
	if len(rates) < steadyWindows {
		return true
	}
	rates = rates[len(rates)-steadyWindows:]
	mean, slope, squares := sum(rates)/steadyWindows, 0.0, 0.0
	for i, x := range rates {
		d := float64(i) - (steadyWindows-1)/2.0
		slope += d * x
		squares += d * d
	}
	excursion := slope / squares * (steadyWindows - 1)
	return slices.Max(rates)-slices.Min(rates) <= 0.2*mean && max(excursion, -excursion) <= 0.1*mean
}

// explained takes the counts of the traced pass; what the measured one said of speed is left out.
func explained(r *report.Result, s *Sample) error {
	s.Values, s.Histogram, s.Codes = map[Metric]float64{}, "", nil
	if r.Explain == nil || len(r.Explain.Stages) == 0 {
		l := &lackError{need: Need{Code: Unsupported}, err: fmt.Errorf("the kernel counted nothing")}
		if r.Explain != nil && len(r.Explain.Missing) > 0 {
			m := r.Explain.Missing[0]
			l.remedy, l.err = m.Remedy, fmt.Errorf("%s: %s", m.What, m.Why)
		}
		return l
	}
	for _, m := range r.Explain.Missing {
		s.Missing = append(s.Missing, m.What+": "+m.Why)
	}
	stage := &r.Explain.Stages[0]
	s.Values[IOs] = float64(stage.IOs)
	lockWaits(stage, s)
	for _, d := range stage.Devices {
		same := int64(0)
		for _, c := range d.CPUs {
			same += min(c.Issued, c.Completed) // exact for one worker, at most that for several
		}
		s.Values[SameCPU] += float64(same)
		if d.MatchPercent != nil && *d.MatchPercent < 99 {
			s.Codes = append(s.Codes, MapMismatch)
		}
	}
	return nil
}

// lockWaits takes the waits for locks. Where they could not be told apart by who waited, all of the kernel's
// count as the block layer's, and there are no times.
func lockWaits(stage *report.ExplainStage, s *Sample) {
	if stage.Locks == nil {
		if stage.Contentions != nil {
			s.Values[Contended] = float64(*stage.Contentions)
		}
		return
	}
	s.Values[Contended], s.Values[LockWait] = 0, 0
	for _, site := range stage.Locks.Sites {
		s.Sites = append(s.Sites, Site{Function: site.Function, BlockLayer: site.BlockLayer, Waits: site.Waits, WaitNS: site.WaitNS})
		if !site.BlockLayer {
			continue
		}
		s.Values[Contended] += float64(site.Waits)
		if site.Kind == "spin" {
			s.Values[LockWait] += float64(site.WaitNS)
		}
	}
}

// foreign says whether other processes took more than 10 % of the CPUs, or the hypervisor more than 2 %, while
// this one used own nanoseconds of them in user mode. Time in the kernel is not compared: the threads that
// serve our I/O spend it there.
func foreign(before, after ticks, own int64) bool {
	all := after.all - before.all
	steal := after.steal - before.steal
	return all > 0 && (steal > max(all/50, 1) || after.user-before.user-own/tickNS > max(all/10, 2))
}

// ownUserCPU is the time that this process spent in user mode, in nanoseconds.
func ownUserCPU() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return r.Utime.Nano()
}
