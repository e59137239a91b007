// Package reporttest makes the Result that the golden tests of every output share: one in which every
// field holds a value, siblings hold different values, and all figures agree with each other as those of
// a real run do.
package reporttest

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Window is the length of the Result's series windows.
const Window = 500 * time.Millisecond

// Result returns a run of two jobs: "oltp", a random mix by four workers on one shared queue of an NVMe
// drive, with a few failed I/Os; and "discard", two workers that trim and write a scratch file. It is the same on every call.
func Result() *report.Result {
	r := &report.Result{
		Schema:     report.Schema,
		Tool:       report.Tool{Name: "blkmeter", Version: "1.2.3", Commit: "0f3a9c1", Go: "go1.26.8"},
		Command:    []string{"blkmeter", "run", "--output=out.json", "mixed.fio"},
		StartedAt:  time.Date(2026, 11, 23, 14, 52, 4, 250_000_000, time.UTC),
		EndedAt:    time.Date(2026, 11, 23, 14, 52, 30, 750_000_000, time.UTC),
		ElapsedNS:  26_500_000_123,
		Status:     report.StatusFailed,
		ExitCode:   3,
		Error:      ioError(),
		Host:       host(),
		Clock:      report.Clock{Source: "tsc", Reason: "invariant, and the kernel's own clock source", CostNS: 17.25, Stamps: "batch", DriftPPM: 0.75, TicksPerUS: 2893.5},
		Targets:    []report.Target{nvme(), scratch()},
		Globals:    []workloads.Option{{Name: "direct", Value: "1"}, {Name: "time_based", Value: ""}},
		Warnings:   warnings(),
		Collector:  report.Collector{Cycles: 2, PauseNS: 81_234},
		Idle:       &report.Idle{Percent: 61.5, CPUs: []report.CPUIdle{{CPU: 0, Percent: 41.25}, {CPU: 1, Percent: 81.75}}},
		Costs:      []report.StageCost{{Jobs: []string{"oltp"}, IOs: 1_200_000, ProcessNS: 2_400_000_000, KernelThreadsNS: 1_200_000_000, PerIONS: 3000}},
		IntervalNS: int64(Window),
	}
	r.Samples, r.Explain = samples(), explained()
	r.Jobs = []report.Job{oltp(), discard()}
	return r
}

// Small returns a Result of a few I/Os of one worker, in a few kilobytes: a seed for fuzzing.
func Small() *report.Result {
	l := newRecorder()
	for _, ns := range []int64{80_000, 95_000, 2_000_000} {
		l.record(ns, 1)
	}
	stats := report.Stats{RuntimeNS: 1e9, Read: &report.DirStats{
		IOs: 3, Bytes: 12_288, Issued: 4, Errors: 1, RuntimeNS: 1e9, IOPS: 3, BW: 12_288,
		Slat: l.latency(), Clat: l.latency(), Lat: l.latency(),
	}, Depth: []report.CountBucket{{Value: 1, Count: 4}}}
	return &report.Result{
		Schema: report.Schema, Status: report.StatusDone, Targets: []report.Target{{Path: "/dev/loop0", Kind: "block", Device: "loop0"}},
		Jobs: []report.Job{{
			Name: "small", Spec: report.Spec{RW: "randread", Targets: []int{0}, Engine: "psync", IODepth: 1, NumJobs: 1},
			Stats: stats, Workers: []report.Worker{{HCTX: 3, Stats: stats}},
			Series: []report.Interval{{LengthNS: 1e9, Read: &report.IntervalStat{IOs: 3, IOPS: 3}}},
		}},
	}
}

func ioError() *report.Error {
	return &report.Error{
		Code: "IO_ERROR", Sentence: "worker 2 of job oltp: read of 4096 bytes at 7516192768 failed: input/output error",
		Hint: "look for this device in the kernel's log", Errno: 5,
	}
}

func host() report.Host {
	return report.Host{
		Name: "rack7-n12", Kernel: "6.12.95-cloud-amd64", Arch: "amd64", CPUModel: "AMD EPYC 9354P 32-Core Processor",
		CPUs: 64, Cores: 32, NUMANodes: 4, Governor: "performance", IdleStates: []report.IdleState{{Name: "C6", ExitLatencyUS: 133, Disabled: true}}, MemoryBytes: 270_582_939_648, Virtualized: "kvm",
		ClockSource: "tsc", GOMAXPROCS: 8, Root: true, UringDisabled: 1, MemlockBytes: 8_388_608, OpenFilesLimit: 1_048_576,
	}
}

func nvme() report.Target {
	return report.Target{
		Path: "/dev/disk/by-id/nvme-SAMSUNG_S64GNE0T", Resolved: "/dev/nvme0n1", Kind: "block", Major: 259, Minor: 3,
		SizeBytes: 3_840_755_982_336, LogicalBytes: 512, PhysicalBytes: 4096, MemAlignBytes: 4, OffsetAlign: 1024,
		Device: "nvme0n1", Stack: []string{"nvme0n1"},
		Model: "SAMSUNG MZQL23T8HCLS-00A07", Firmware: "GDC5602Q", Transport: "pcie", Scheduler: "mq-deadline",
		HardwareQueues: 9, Tags: 1023, NrRequests: 256, WriteCache: "write back", IOPoll: true, NUMANode: 2,
		QueueMap: []report.QueueCPUs{
			{HCTX: 5, Type: "default", Tags: 1021, CPUs: []int{0, 8, 16, 24}},
			{HCTX: 6, Type: "poll", Tags: 1022, CPUs: []int{1, 9, 17, 25}},
		},
		Settings: map[string]string{"nomerges": "0", "rq_affinity": "1", "io_timeout": "30000"},
		Notes:    []string{"a partition's I/O goes through the whole disk's hardware queues"},
		Kernel: &report.KernelCounters{
			ReadIOs: 1_708_011, ReadMerges: 17, ReadBytes: 6_996_013_056, ReadTicksMS: 391_202,
			WriteIOs: 732_019, WriteMerges: 29, WriteBytes: 2_998_349_824, WriteTicksMS: 131_307,
			TrimIOs: 31, TrimBytes: 4_194_304, FlushIOs: 37, InQueueMS: 522_509, IOTicksMS: 9_871, WindowNS: 10_012_345_678,
		},
		Scratch: false, DirectIO: true, WrittenPercent: 87.5, WrittenKnown: true, ExclusiveDevice: true,
		Interrupts: []report.Interrupt{{Number: 71, Name: "nvme0q3", Allowed: []int{2, 3}, Effective: []int{3}}},
		Health: &report.DriveHealth{
			TemperatureC: 41, WarningC: 77, CriticalC: 85, WarningMinutes: 12, CriticalMinutes: 2, CriticalWarnings: []string{"spare below threshold"},
			UsedPercent: 9, SparePercent: 97, MediaErrors: 6, WrittenBytes: 8.1e13, ReadBytes: 4.2e13, PowerState: 1, SavesPower: true,
			SleepsAfterNS: 100e6, WakeNS: 1.5e6,
		},
	}
}

func scratch() report.Target {
	t := nvme()
	t.Path, t.Resolved, t.Kind = "blkmeter-scratch.4711", "/srv/bench/blkmeter-scratch.4711", "file"
	t.Major, t.Minor, t.SizeBytes, t.LogicalBytes = 8, 17, 1<<30, 512
	t.Filesystem, t.Device, t.Stack = "ext4", "sda1", []string{"/srv/bench/blkmeter-scratch.4711", "ext4", "sda1", "sda"}
	t.Model, t.Firmware, t.Transport, t.Scheduler = "INTEL SSDSC2KB480G8", "XCV10132", "sata", "none"
	t.HardwareQueues, t.Tags, t.NrRequests, t.Rotational = 1, 32, 64, true
	t.QueueMap = []report.QueueCPUs{{HCTX: 0, Type: "default", Tags: 32, CPUs: []int{0, 1, 2, 3}}}
	t.Kernel = nil
	t.Scratch, t.ExclusiveDevice, t.IOPoll, t.Notes = true, false, false, nil
	return t
}

func warnings() []workloads.Warning {
	return []workloads.Warning{
		{Code: "SHARED_DEVICE", Sentence: "the kernel counted 117 more reads on nvme0n1 than this run issued", Hint: "look for other users of the device with fuser or iostat"},
		{Code: "GOVERNOR", Sentence: "the CPUs may change frequency during the run"},
	}
}

func oltp() report.Job {
	j := report.Job{
		Name: "oltp", Description: "a bank's afternoon", GroupID: 0, Grouped: true,
		Options: []workloads.Option{
			{Name: "rw", Value: "randrw"},
			{Name: "bs", Value: "4k"},
			{Name: "iodepth", Value: "32"},
			{Name: "numjobs", Value: "4"},
			{Name: "group_reporting", Value: ""},
		},
		Spec: report.Spec{
			RW: "randrw", Targets: []int{0}, Engine: "io_uring",
			BlockMinBytes: [3]int64{4096, 4096, 512}, BlockMaxBytes: [3]int64{4096, 8192, 1024},
			IODepth: 32, NumJobs: 4, Direct: true, OffsetBytes: 1 << 20, SizeBytes: 1 << 36, RuntimeNS: 10_000_000_000,
			RampNS: 2_000_000_000, TimeBased: true, BatchSubmit: 16, BatchCompleteMin: 1, BatchCompleteMax: 24,
			Queue: "single", QueueLock: "mutex", Seed: 0x5eed, MixReadPercent: 70, RandomMap: true, ContinueOnError: "io",
			LatencyTargetNS: 1_500_000, LatencyWindowNS: 3_000_000_000, LatencyPercent: 99.5, RateIOPS: [3]int64{400_000, 200_000, 100},
			SubmitMode: "offload", FlowWeight: 3, FlowID: 7,
			EngineFeatures: []string{"io_uring: DEFER_TASKRUN", "io_uring: files registered", "io_uring: buffers registered"},
		},
		Decisions: []report.Decision{
			{What: "engine", Chosen: "io_uring", Why: "the kernel has it and the device takes NOWAIT"},
			{What: "placement", Chosen: "CPUs 0, 1, 8 and 9", Why: "two hardware queues on the drive's NUMA node, two CPUs each"},
		},
		Replay: &report.Replay{Logs: []string{"oltp-a.log", "oltp-b.log", "oltp-a.log", "oltp-b.log"}, IOs: 814_001, DurationNS: 21_750_000_456, Timed: true},
		SteadyState: &report.SteadyState{
			Metric: "iops_slope", Limit: 0.3, LimitIsPercent: true, DurationNS: 2e9, RampNS: 1e9, IntervalNS: 1e9,
			Attained: true, AttainedNS: 3e9, Criterion: 0.12, Mean: 243_900, Samples: []float64{243_600, 244_200},
		},
		Fairness: &report.Fairness{
			Lock: "mutex", Variant: "u3", HoldNS: 700, Jain: 0.9932, LockWaitNS: 1_234_567_890, LockAcquires: 152_501, WaitPerIONS: 505.9, WaitMaxNS: 2_345_678,
			LongestGapNS: 9_876_543, TagsTotal: 128, HonestSentence: "one lock in userspace in front of the kernel's own queues",
		},
	}
	for i, cpu := range []int{0, 1, 8, 9} {
		j.Workers = append(j.Workers, worker(i, cpu, 5+i%2, int64(i), [3]direction{
			{ios: 427_000, blockBytes: 4096, slatNS: 2100, clatNS: 230_000, spread: 0.45, tailNS: 4_100_000, errors: 3},
			{ios: 183_000, blockBytes: 4096, slatNS: 2700, clatNS: 180_000, spread: 0.60, tailNS: 9_300_000, errors: 1, urgent: true},
			{},
		}, &report.SyncStats{}))
		j.Workers[i].DepthSearch = depthSearch(i)
	}
	j.Workers[2].Error = ioError()
	j.Series = series(j.Workers)
	return sum(j)
}

// depthSearch is one that settled, was cut short, or went on to the end.
func depthSearch(worker int) *report.DepthSearch {
	return &report.DepthSearch{
		IODepth: 14 + worker, Settled: worker < 3, Continuous: worker == 3, CutShort: worker == 1, Windows: 2,
		Tried: []report.DepthWindow{
			{IODepth: 1, LengthNS: 3_000_000_431, IOs: 128_640, IOPS: 42_879.8, WithinPercent: 99.95, MeanNS: 22_310.5, MaxNS: 412_007, Met: true},
			{IODepth: 14 + worker, LengthNS: 3_000_001_977, IOs: 413_992, IOPS: 137_997.3, WithinPercent: 91.94, MeanNS: 101_226.25, MaxNS: 3_610_223},
		},
	}
}

func discard() report.Job {
	j := report.Job{
		Name: "discard", GroupID: 1,
		Options: []workloads.Option{{Name: "rw", Value: "trimwrite"}, {Name: "bs", Value: "1m"}, {Name: "numjobs", Value: "2"}},
		Spec: report.Spec{
			RW: "trimwrite", Targets: []int{1}, Engine: "psync", BlockMinBytes: [3]int64{0, 1 << 20, 1 << 20}, BlockMaxBytes: [3]int64{0, 1 << 20, 1 << 20},
			IODepth: 1, NumJobs: 2, Direct: true, SizeBytes: 1 << 30, RuntimeNS: 10_000_000_000, RampBytes: 64 << 20, Queue: "multi", ContinueOnError: "none", LatencyPercent: 100,
			StartClock: 5, StartClockNS: time.Date(2026, 11, 23, 14, 52, 4, 250_000_000, time.UTC).UnixNano(), // CLOCK_REALTIME_COARSE
		},
		Decisions: []report.Decision{{What: "target", Chosen: "scratch file", Why: "no filename was given"}},
	}
	for i, cpu := range []int{2, 3} {
		j.Workers = append(j.Workers, worker(i, cpu, 0, 10+int64(i), [3]direction{
			{},
			{ios: 1907, blockBytes: 1 << 20, clatNS: 2_400_000, spread: 0.12, tailNS: 21_000_000},
			{ios: 1908, blockBytes: 1 << 20, clatNS: 310_000, spread: 0.30, tailNS: 1_700_000},
		}, nil))
	}
	j.Series = series(j.Workers)
	return sum(j)
}

// sum fills in what the workers did together.
func sum(j report.Job) report.Job {
	var err error
	if j.Stats, err = report.Merge(j.Workers, j.Series); err != nil {
		panic(err)
	}
	return j
}

// direction says how one direction of a worker looks: its I/Os and a lognormal latency with a tail.
type direction struct {
	ios        int64
	blockBytes int64
	slatNS     float64 // 0 for an engine without submission latency
	clatNS     float64 // median
	spread     float64 // of ln(clat)
	tailNS     float64 // of one in a thousand
	errors     int64
	urgent     bool // a fifth of the I/Os has a priority of its own
}

func worker(index, cpu, hctx int, seed int64, dirs [3]direction, sync *report.SyncStats) report.Worker {
	const runtime = 10_000_400_000
	w := report.Worker{
		Index: index, CPU: cpu, CPUs: []int{cpu}, HCTX: hctx, NUMANode: 2, ThreadID: 5521 + index,
		SeenOnCPUs: []report.CountBucket{{Value: cpu, Count: 20}},
		RegionLow:  1<<20 + int64(index)<<34, RegionHigh: 1<<20 + int64(index+1)<<34, LockWaitNS: 308_641_972 + int64(index),
		Stats: report.Stats{
			StartNS: 2_000_100_000 + int64(index)*1000, RuntimeNS: runtime + int64(index)*1_000_000,
			RingOverflow: 6 + int64(index), LateArrivals: 41 + int64(index), Arrivals: 610_041 + int64(index),
		},
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 1848))
	var ios int64
	for d, spec := range dirs {
		if spec.ios == 0 {
			continue
		}
		spec.ios += int64(index) * 61
		stats := spec.run(rng, w.RuntimeNS)
		ios += stats.IOs
		switch workloads.Direction(d) {
		case workloads.Read:
			w.Read = stats
		case workloads.Write:
			w.Write = stats
		case workloads.Trim:
			w.Trim = stats
		}
		w.TotalErrors += stats.Errors
	}
	if w.TotalErrors > 0 {
		w.FirstErrno = 5
	}
	if sync != nil {
		h := newRecorder()
		for range 211 {
			h.record(int64(900_000*math.Exp(0.2*rng.NormFloat64())), 1)
		}
		w.Sync = &report.SyncStats{IOs: 211, Errors: 1, Lat: h.latency()}
		w.Verify = &report.VerifyStats{
			Blocks: 4096, Bytes: 4096 << 12, Mismatched: 1, RuntimeNS: 180_000_000, Faults: []report.FaultCount{{Fault: "stale", Count: 1}},
			Mismatches: []report.Mismatch{{
				Path: "/dev/loop0", OffsetBytes: 28672, LengthBytes: 4096, FirstByte: 6, Fault: "stale",
				Sentence: "/dev/loop0: the block at offset 28672 (4096 bytes) is stale, from byte 6 on", Dumped: []string{"loop0.28672.received"},
			}},
		}
	}
	if dirs[workloads.Read].ios == 0 {
		const blocks = 4_093
		counted := []report.CountBucket{{Value: 1, Count: blocks}}
		w.Verify = &report.VerifyStats{
			Blocks: blocks, Bytes: blocks << 12, RuntimeNS: 183_000_000, Faults: []report.FaultCount{}, Mismatches: []report.Mismatch{},
			CPU: report.CPU{UserNS: 11_000_000, SysNS: 23_000_000, VoluntarySwitches: 31, MinorFaults: 5},
			ReadBack: &report.ReadBack{
				Read:  *direction{ios: blocks, blockBytes: 4096, clatNS: 41_000, spread: 0.2, errors: 3}.run(rng, 183_000_000),
				Depth: counted, SubmitBatch: counted, ReapBatch: counted,
			},
		}
	}
	w.Stats.CPU = report.CPU{
		UserNS: 310_000_000 + int64(index), SysNS: 1_940_000_000 + int64(index), VoluntarySwitches: 80_211 + int64(index),
		PreemptionSwitches: 97 + int64(index), MinorFaults: 14 + int64(index), MajorFaults: 1,
	}
	w.Stats.CPU.UserPerIONS = float64(w.Stats.CPU.UserNS) / float64(ios)
	w.Stats.CPU.SysPerIONS = float64(w.Stats.CPU.SysNS) / float64(ios)
	if dirs[workloads.Read].ios > 0 {
		w.Depth = []report.CountBucket{{Value: 1, Count: 3}, {Value: 7, Count: 61}, {Value: 16, Count: 40_111}, {Value: 32, Count: ios - 40_175}}
		w.SubmitBatch = []report.CountBucket{{Value: 1, Count: 52_000}, {Value: 4, Count: 81_000}, {Value: 16, Count: 14_625}}
		w.ReapBatch = []report.CountBucket{{Value: 0, Count: 12}, {Value: 1, Count: 50_111}, {Value: 5, Count: 93_017}, {Value: 24, Count: 3950}}
		w.Syscalls = 152_501 + int64(index)
	} else {
		w.Depth = []report.CountBucket{{Value: 1, Count: ios}}
		w.SubmitBatch = w.Depth
		w.ReapBatch = w.Depth
		w.Syscalls = ios
	}
	return w
}

// run makes the direction's statistics; each sample stands for 61 I/Os, the last one for what is left.
func (d direction) run(rng *rand.Rand, runtimeNS int64) *report.DirStats {
	slat, clat, lat, response := newRecorder(), newRecorder(), newRecorder(), newRecorder()
	usual, urgent := [2]*recorder{newRecorder(), newRecorder()}, [2]*recorder{newRecorder(), newRecorder()}
	for left := d.ios; left > 0; {
		weight := min(left, 61)
		if left < 2000 {
			weight = 1
		}
		left -= weight
		c := d.clatNS * math.Exp(d.spread*rng.NormFloat64())
		if rng.IntN(1000) == 0 {
			c += d.tailNS * (0.5 + rng.Float64())
		}
		s := int64(d.slatNS * math.Exp(0.3*rng.NormFloat64()))
		if d.slatNS > 0 {
			slat.record(s, weight)
		}
		clat.record(int64(c), weight)
		lat.record(s+int64(c), weight)
		response.record(s+int64(c)+int64(1000*rng.Float64()), weight)
		prio := usual
		if weight > 1 && left%5 == 0 {
			prio = urgent
		}
		prio[0].record(int64(c), weight)
		prio[1].record(s+int64(c), weight)
	}
	seconds := float64(runtimeNS) / 1e9
	stats := &report.DirStats{
		IOs: d.ios, Bytes: d.ios * d.blockBytes, Issued: d.ios + d.errors, Short: d.errors * 4, Errors: d.errors, RuntimeNS: runtimeNS,
		IOPS: float64(d.ios) / seconds, BW: float64(d.ios*d.blockBytes) / seconds,
		Slat: slat.latency(), Clat: clat.latency(), Lat: lat.latency(), Response: response.latency(),
	}
	stats.Response.Clamped = 2
	if d.slatNS == 0 {
		stats.Response = nil
	}
	if d.urgent {
		stats.Priorities = []report.PriorityStats{
			{Class: workloads.ClassBestEffort, Level: 4, IOs: usual[0].n, Clat: usual[0].latency(), Lat: usual[1].latency()},
			{Class: workloads.ClassRealTime, Level: 3, Hint: 2, IOs: urgent[0].n, Clat: urgent[0].latency(), Lat: urgent[1].latency()},
		}
	}
	windows := make([]float64, 20)
	for i := range windows {
		windows[i] = stats.IOPS * wave(i)
	}
	stats.IOPSRate = rate(windows)
	for i := range windows {
		windows[i] *= float64(d.blockBytes)
	}
	stats.BWRate = rate(windows)
	return stats
}

// wave makes windows differ by some percent around 1.
func wave(i int) float64 { return 1 + 0.05*math.Sin(float64(i)) }

func rate(samples []float64) report.Rate {
	var mean, squares float64
	for _, s := range samples {
		mean += s / float64(len(samples))
	}
	for _, s := range samples {
		squares += (s - mean) * (s - mean)
	}
	return report.Rate{
		Min: slices.Min(samples), Max: slices.Max(samples), Mean: mean,
		Stddev: math.Sqrt(squares / float64(len(samples)-1)), N: int64(len(samples)),
	}
}

// series makes twenty windows of the workers' rates and a partial one.
func series(workers []report.Worker) []report.Interval {
	var all []report.Interval
	for i := range 21 {
		v := report.Interval{StartNS: int64(i) * int64(Window), LengthNS: int64(Window)}
		if i == 20 {
			v.LengthNS, v.Partial = 3e6, true
		}
		for d, into := range []**report.IntervalStat{&v.Read, &v.Write, &v.Trim} {
			for w := range workers {
				s := workers[w].Dir(workloads.Direction(d))
				if s == nil {
					continue
				}
				if *into == nil {
					*into = &report.IntervalStat{}
				}
				p := *into
				p.IOs += int64(s.IOPS * wave(i) * float64(v.LengthNS) / 1e9)
				p.Bytes += int64(s.BW * wave(i) * float64(v.LengthNS) / 1e9)
				p.IOPS = float64(p.IOs) * 1e9 / float64(v.LengthNS)
				p.BW = float64(p.Bytes) * 1e9 / float64(v.LengthNS)
				p.MeanNS = s.Clat.MeanNS
				p.P50NS, _ = s.Clat.Value(50)
				p.P99NS, _ = s.Clat.Value(99)
				p.MaxNS = s.Clat.MaxNS - int64(i)
				if i == 7 {
					p.Errors += s.Errors
				}
			}
		}
		all = append(all, v)
	}
	return all
}

// recorder keeps what a Latency is made of.
type recorder struct {
	h            *hdrhistogram.Histogram
	n, low, high int64
	sum, squares float64
}

func newRecorder() *recorder { return &recorder{h: report.NewHistogram(), low: math.MaxInt64} }

func (r *recorder) record(ns, weight int64) {
	if err := r.h.RecordValues(ns, weight); err != nil {
		panic(err)
	}
	r.n += weight
	r.low, r.high = min(r.low, ns), max(r.high, ns)
	r.sum += float64(ns) * float64(weight)
	r.squares += float64(ns) * float64(ns) * float64(weight)
}

func (r *recorder) latency() *report.Latency {
	mean := r.sum / float64(r.n)
	stddev := math.Sqrt(max(0, r.squares-r.sum*mean) / float64(r.n-1))
	return report.LatencyOf(r.h, r.n, r.low, r.high, mean, stddev, 0)
}
