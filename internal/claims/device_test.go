package claims

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// ownLoop returns a loop device of our own, its environment and its runner; it is gone when the test ends.
func ownLoop(t *testing.T) (*Subject, Environment, *DeviceRunner) {
	t.Helper()
	testlab.Require(t, "root", "loop")
	s, err := OwnLoop(context.Background(), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	backing := backingFile(s.Name())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if !testlab.Eventually(5*time.Second, func() bool { return backingFile(s.Name()) != backing }) {
			t.Errorf("%s is still attached", s.Name())
		}
	})
	cpus, err := cpu.Affinity()
	if err != nil {
		t.Fatal(err)
	}
	cpus, cores, nodes := Topology("/sys", cpus)
	env := Environment{CPUs: cpus, Cores: cores, NUMANodes: nodes, Root: true, Device: s.Device(false)}
	return s, env, &DeviceRunner{Subject: s, CPUs: cpus, Env: os.Getenv, StateDir: t.TempDir()}
}

// backingFile is what a loop device is attached to; empty when it is not.
func backingFile(loop string) string {
	text, err := os.ReadFile("/sys/block/" + loop + "/loop/backing_file")
	if err != nil {
		return ""
	}
	return string(text)
}

// queueSettings reads the settings of a disk's queue that arms change or move along.
func queueSettings(t *testing.T, disk string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"scheduler", "rq_affinity", "nomerges", "nr_requests"} {
		text, err := os.ReadFile(filepath.Join("/sys/block", disk, "queue", name))
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(name + "=" + string(text))
	}
	return all.String()
}

// instant is a profile for tests: every arm runs, nothing is learnt about speed.
func instant() Profile {
	return Profile{Name: "ci", Looks: []Look{{2, 0.95}}, Arm: 60 * time.Millisecond, Ramp: 10 * time.Millisecond, MinDelta: 0.1}
}

// TestClaimsOnALoopDevice runs every arm of the claims that a loop device can decide, twice and for a moment:
// each must give its numbers, and the device must be as it was before.
func TestClaimsOnALoopDevice(t *testing.T) {
	testlab.Require(t, "quiet") // arms of some milliseconds cannot share their CPUs
	s, env, r := ownLoop(t)
	if s.Facts.Kind != device.KindLoop || env.Device.HardwareQueues != 1 || env.Device.Tags == 0 || !env.Device.MayDestroy {
		t.Fatalf("the device is %+v", env.Device)
	}
	before := queueSettings(t, s.Name())
	selected, err := Select([]string{"11", "13", "14", "16", "19", "25"})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Run(context.Background(), env, selected, Runners{Device: r}, Options{Profile: instant(), Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if after := queueSettings(t, s.Name()); after != before {
		t.Errorf("settings before:\n%safter:\n%s", before, after)
	}
	if journals, err := os.ReadDir(r.StateDir); err != nil || len(journals) != 0 {
		t.Errorf("left in the journal: %v %v", journals, err)
	}
	for _, rec := range doc.Records {
		if !slices.Contains([]Verdict{Reproduced, NotReproduced, Inconclusive, CannotTest}, rec.Verdict) {
			t.Errorf("claim %s: verdict %q", rec.ID, rec.Verdict)
		}
		if len(rec.Blocks) != 2 {
			t.Errorf("claim %s: %d blocks: %s", rec.ID, len(rec.Blocks), rec.Why)
			continue
		}
		for _, k := range rec.Skipped {
			if !strings.HasPrefix(k.Codes[0], string(NeedSched)) && !strings.HasPrefix(k.Codes[0], string(NeedCores)) {
				t.Errorf("claim %s, arm %s: %v", rec.ID, k.Name, k)
			}
		}
		for _, o := range rec.Tests {
			if o.Interval == nil && len(rec.Skipped) == 0 {
				t.Errorf("claim %s, test %s: %s", rec.ID, o.Test.Name, o.Why)
			}
		}
		for _, b := range rec.Blocks {
			for name, sample := range b.Samples {
				checkSample(t, rec.ID, name, sample)
			}
		}
	}
}

func checkSample(t *testing.T, id, arm string, s Sample) {
	t.Helper()
	wanted := []Metric{IOPS, IOs, MeanNS, CPUPerIO}
	switch {
	case strings.HasSuffix(arm, "traced"):
		wanted = []Metric{IOs, SameCPU}
	case strings.HasPrefix(arm, "shared"):
		wanted = append(wanted, Syscalls, Jain, GapNS)
	case arm == "no device" || strings.HasPrefix(arm, "no I/O"):
		wanted = append(wanted, CostPerIO)
	default:
		wanted = append(wanted, Syscalls, CostPerIO)
	}
	for _, m := range wanted {
		if s.Values[m] <= 0 {
			t.Errorf("claim %s, arm %s: %s = %v", id, arm, m, s.Values[m])
		}
	}
	if buckets, err := histogram(s.Histogram); !strings.HasSuffix(arm, "traced") && (err != nil || len(buckets) == 0) {
		t.Errorf("claim %s, arm %s: no latencies (%v)", id, arm, err)
	}
}

// TestStripes: an arm with a queue for each thread runs them side by side, and counts them as one.
func TestStripes(t *testing.T) {
	_, env, r := ownLoop(t)
	claim, err := Select([]string{"25"})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(claim[0].Arms, func(a Arm) bool { return a.Name == "striped" })
	arm := claim[0].Arms[i]
	session := &session{claim: &claim[0], env: Environment{CPUs: []int{0, 1, 2}}, o: Options{Profile: instant()}}
	session.resolve(&arm)
	plan, err := r.plan(arm)
	if err != nil || len(plan.Jobs) != 3 || plan.Jobs[0].NumJobs != 1 {
		t.Fatalf("%d jobs for three threads, %v", len(plan.Jobs), err)
	}
	arm.Stripes = 2
	if plan, err = r.plan(arm); err != nil || len(plan.Jobs) != 2 || plan.Jobs[0].NumJobs+plan.Jobs[1].NumJobs != 3 {
		t.Fatalf("%d jobs for two stripes, %v", len(plan.Jobs), err)
	}
	s, err := r.RunArm(context.Background(), arm)
	if err != nil {
		t.Fatal(err)
	}
	buckets, err := histogram(s.Histogram)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, b := range buckets {
		n += b.N
	}
	if float64(n) != s.Values[IOs] || s.Values[Jain] <= 0 || s.Values[Jain] > 1 || s.Values[CostPerIO] < s.Values[CPUPerIO]/2 {
		t.Errorf("%d latencies, %v on %d CPUs", n, s.Values, len(env.CPUs))
	}
}

// TestLockWaitsAreTraced: a traced arm tells who waited for locks of the kernel, or that nobody did.
func TestLockWaitsAreTraced(t *testing.T) {
	_, env, r := ownLoop(t)
	claim, err := Select([]string{"2"})
	if err != nil {
		t.Fatal(err)
	}
	arm := claim[0].Passes[0]
	session := &session{claim: &claim[0], env: env, o: Options{Profile: instant()}}
	session.resolve(&arm)
	s, err := r.RunArm(context.Background(), arm)
	if errors.Is(err, engine.ErrUnsupported) {
		t.Skipf("tracepoints cannot be counted here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, timed := s.Values[LockWait]; !timed {
		t.Skipf("this kernel has no lock:contention_begin, or hides its symbols: %v", s.Values)
	}
	var waits, ns float64
	for _, site := range s.Sites {
		if site.Waits <= 0 || site.WaitNS < 0 {
			t.Errorf("%+v", site)
		}
		if site.BlockLayer {
			waits, ns = waits+float64(site.Waits), ns+float64(site.WaitNS)
		}
	}
	if waits != s.Values[Contended] || ns < s.Values[LockWait] {
		t.Errorf("sites %+v, values %v", s.Sites, s.Values)
	}
}

// TestRequestsCompleteWhereAsked: with rq_affinity=2 the kernel completes on the CPU that issued, and the
// traced arm sees it.
func TestRequestsCompleteWhereAsked(t *testing.T) {
	_, env, r := ownLoop(t)
	c, err := Select([]string{"19"})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(c[0].Arms, func(a Arm) bool { return a.Explain })
	arm := c[0].Arms[i]
	arm.Threads = Threads{N: 1}
	arm.Job = (&session{claim: &c[0], o: Options{Profile: instant()}}).timed(arm.Job, 1)
	s, err := r.RunArm(context.Background(), arm)
	if errors.Is(err, engine.ErrUnsupported) {
		t.Skipf("tracepoints cannot be counted here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if share := s.Values[SameCPU] / s.Values[IOs]; share < 0.98 || share > 1.02 {
		t.Errorf("%.3f of the requests completed where they were issued: %v, on %d CPUs", share, s.Values, len(env.CPUs))
	}
}

// TestAnInterruptedArmRestores: settings come back when the run is ended in the middle of an arm.
func TestAnInterruptedArmRestores(t *testing.T) {
	s, env, r := ownLoop(t)
	before := queueSettings(t, s.Name())
	c, err := Select([]string{"19"})
	if err != nil {
		t.Fatal(err)
	}
	p := instant()
	p.Arm = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan *Document)
	go func() {
		doc, _ := Run(ctx, env, c, Runners{Device: r}, Options{Profile: p, Seed: 1}) // the error says that ctx ended
		ended <- doc
	}()
	journal := func() bool {
		files, err := os.ReadDir(r.StateDir)
		return err == nil && len(files) > 0
	}
	if !testlab.Eventually(30*time.Second, journal) {
		t.Fatal("no setting was changed")
	}
	cancel()
	doc := <-ended
	if after := queueSettings(t, s.Name()); after != before || journal() {
		t.Errorf("settings before:\n%safter:\n%s", before, after)
	}
	if doc.Status != report.StatusInterrupted || doc.Records[0].Verdict != CannotTest || doc.Records[0].Codes[0] != string(Interrupted) {
		t.Errorf("%s: %s %v", doc.Status, doc.Records[0].Verdict, doc.Records[0].Codes)
	}
}

// TestOwnFile: a user without loop devices gets a file that has no name, and the claims that it can decide.
func TestOwnFile(t *testing.T) {
	dir := t.TempDir()
	env := func(name string) string { return map[string]string{"TMPDIR": dir}[name] }
	s, err := OwnFile(context.Background(), env)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the file has a name: %v %v", left, err)
	}
	cpus, err := cpu.Affinity()
	if err != nil {
		t.Fatal(err)
	}
	r := &DeviceRunner{Subject: s, CPUs: cpus, Env: env}
	profile := instant()
	profile.Arm = 500 * time.Millisecond // others may have the CPU for long
	arm := Arm{Name: "psync", Threads: Threads{N: 1}, Job: (&session{claim: &Claim{}, o: Options{Profile: profile}}).timed(reads("psync", 4096, 1), 1)}
	for range 2 { // the second arm finds the file open still
		sample, err := r.RunArm(context.Background(), arm)
		if err != nil {
			t.Fatal(err)
		}
		checkSample(t, "any", arm.Name, sample)
	}
	if d := s.Device(false); d.Platform == Loop && d.HardwareQueues == 0 || !d.MayDestroy {
		t.Errorf("the device is %+v", d)
	}
}

func TestADeviceIsOnlyRead(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	s, err := Named(dev.Path)
	if err != nil {
		t.Fatal(err)
	}
	writes := with(reads("psync", 4096, 1), func(j *workloads.Job) { j.RW = workloads.RWRandWrite })
	r := &DeviceRunner{Subject: s, CPUs: []int{0}}
	var lack *lackError
	if _, err := r.plan(Arm{Name: "write", Job: writes}); !errors.As(err, &lack) || lack.need.Code != NeedDestroy {
		t.Errorf("a write to what exists: %v", err)
	}
	if s.Device(false).MayDestroy || !s.Device(true).MayDestroy {
		t.Error("who may destroy is wrong")
	}
	r.MayDestroy = true
	if plan, err := r.plan(Arm{Name: "write", Job: writes}); err != nil || plan.Jobs[0].Destroy != dev.Name {
		t.Errorf("a write that was allowed: %v", err)
	}
	if writes.Destroy != "" || len(writes.Filenames) != 0 {
		t.Error("the registry's job was changed")
	}
}

// TestLackingArmsAreSkipped: what an arm turns out to lack is told with its remedy, and the others go on.
func TestLackingArmsAreSkipped(t *testing.T) {
	r := newSynthetic(1, 0.02, map[string]float64{"futex": 1000, "ticket": 500})
	r.fail = func(arm string, _ int) error {
		if arm == "mcs" {
			return lacking(fault.New(fault.ExitEnvironment, "ENGINE_UNAVAILABLE", "take a newer kernel", "it has no such thing"))
		}
		return nil
	}
	c := loss()
	c.Arms = append(c.Arms, crowd("mcs", Threads{N: 1}))
	c.Tests = append(c.Tests, reported(ratio("mcs", "futex", OpsPerS, Below, 0.1)))
	_, rec := runOne(t, c, r, 7)
	if rec.Verdict != Reproduced || len(rec.Skipped) != 1 || !strings.HasPrefix(rec.Skipped[0].Remedies[0], "take a newer kernel") {
		t.Errorf("%s, skipped %+v", rec.Verdict, rec.Skipped)
	}
	r.fail = func(string, int) error {
		return lacking(fault.New(fault.ExitEnvironment, "NO_POLL_QUEUE", "", "it cannot be polled"))
	}
	_, rec = runOne(t, c, r, 7)
	if rec.Verdict != CannotTest || !slices.Equal(rec.Codes, []string{string(NeedPollQ)}) || len(rec.Remedies) != 1 {
		t.Errorf("%s %v %v", rec.Verdict, rec.Codes, rec.Remedies)
	}
}

func TestLacking(t *testing.T) {
	for code, want := range map[string]Code{"NO_POLL_QUEUE": NeedPollQ, "SET_PERMISSION": NeedRoot, "NUMA_NONE": NeedNUMA, "UNSUPPORTED": Unsupported} {
		var lack *lackError
		if err := lacking(fault.New(7, code, "do it", "no")); !errors.As(err, &lack) || lack.need.Code != want || !errors.Is(err, engine.ErrUnsupported) {
			t.Errorf("%s: %v", code, err)
		}
	}
	if err := lacking(engine.ErrUnsupported); !errors.As(err, new(*lackError)) {
		t.Error("an engine's refusal is no lack")
	}
	plain := fault.New(fault.ExitIO, "IO_ERROR", "", "it broke")
	if err := lacking(plain); errors.As(err, new(*lackError)) {
		t.Error("a broken device is a lack")
	}
}

func TestPlaces(t *testing.T) {
	disk := &device.Facts{Queues: []device.Queue{{HCTX: 0, Type: "default", CPUs: []int{0, 1}}, {HCTX: 1, Type: "default", CPUs: []int{2, 3}}}}
	one := &device.Facts{Queues: []device.Queue{{HCTX: 0, Type: "default", CPUs: []int{0, 1, 2, 3}}}}
	irq := []device.Interrupt{{Effective: []int{0}}, {Effective: []int{2}}}
	cpus := []int{0, 1, 2, 3}
	for _, c := range []struct {
		where       Place
		disk        *device.Facts
		job, beside []int
		sqCPU       int
		lacks       bool
	}{
		{where: PlaceSpread, disk: disk, job: []int{0}, beside: []int{1}, sqCPU: 1},
		{where: PlaceSameCPU, disk: disk, job: []int{0}, beside: []int{0}, sqCPU: 0},
		{where: PlaceOtherCPU, disk: disk, job: []int{0}, beside: []int{1}, sqCPU: 1},
		{where: PlaceSameHCTX, disk: disk, job: []int{0}, beside: []int{1}, sqCPU: 1},
		{where: PlaceOtherHCTX, disk: disk, job: []int{0}, beside: []int{2}, sqCPU: 2},
		{where: PlaceOtherHCTX, disk: one, lacks: true},
		{where: PlaceAwayFromIRQ, disk: disk, job: []int{1, 3}, sqCPU: -1},
	} {
		job, beside := reads("io_uring", 4096, 1), reads("io_uring", 4096, 1)
		job.SQThreadPoll = true
		err := place(c.where, cpus, c.disk, irq, job, beside)
		if errors.As(err, new(*lackError)) != c.lacks || err != nil != c.lacks {
			t.Errorf("%s: %v", c.where, err)
		}
		if err == nil && (!slices.Equal(job.CPUsAllowed, c.job) || !slices.Equal(beside.CPUsAllowed, c.beside) || job.SQThreadPollCPU != c.sqCPU) {
			t.Errorf("%s: job on %v, beside on %v, submission thread on %d", c.where, job.CPUsAllowed, beside.CPUsAllowed, job.SQThreadPollCPU)
		}
	}
	alone := reads("io_uring", 4096, 1)
	if err := place(PlaceSpread, cpus, disk, nil, alone, nil); err != nil || alone.CPUsAllowed != nil {
		t.Errorf("a job alone: %v, %v", alone.CPUsAllowed, err)
	}
	if err := place("nowhere", cpus, disk, nil, alone, nil); err == nil {
		t.Error("a place that does not exist")
	}
}

func TestSteady(t *testing.T) {
	for name, c := range map[string]struct {
		rates []float64
		want  bool
	}{
		"flat":                 {[]float64{100, 101, 99, 100, 100}, true},
		"only the last five":   {[]float64{1, 1, 1, 100, 101, 99, 100, 100}, true},
		"too few to tell":      {[]float64{1, 100, 1, 100}, true},
		"one far off":          {[]float64{100, 100, 125, 100, 100}, false},
		"falling all the time": {[]float64{109, 106, 103, 100, 97}, false},
	} {
		var series []report.Interval
		for _, x := range c.rates {
			series = append(series, report.Interval{Read: &report.IntervalStat{IOPS: x}})
		}
		if got := steady(append(series, report.Interval{Partial: true, Read: &report.IntervalStat{}})); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestForeign(t *testing.T) {
	second := int64(time.Second)
	for name, c := range map[string]struct {
		after ticks
		own   int64
		want  bool
	}{
		"alone":                   {ticks{all: 200, busy: 150, user: 50}, second / 2, false},
		"the kernel works for us": {ticks{all: 200, busy: 200, user: 50}, second / 2, false},
		"somebody else":           {ticks{all: 200, busy: 200, user: 120}, second / 2, true},
		"the hypervisor":          {ticks{all: 200, busy: 60, user: 50, steal: 10}, second / 2, true},
		"nothing was counted":     {ticks{}, 0, false},
	} {
		if got := foreign(ticks{}, c.after, c.own); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
