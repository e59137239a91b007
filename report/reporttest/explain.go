package reporttest

import "github.com/blkmeter/blkmeter/report"

// explained is the explain pass of "oltp": workers on CPUs 0 and 1, and a few requests that a kernel thread
// issued on CPU 9.
func explained() *report.Explain {
	return &report.Explain{
		Missing: []report.Missing{
			{What: "nvme:nvme_setup_cmd", Why: "this kernel, as built and loaded, has no such tracepoint", Remedy: "modprobe nvme"},
		},
		Stages: []report.ExplainStage{
			{
				Jobs: []string{"oltp"}, LengthNS: 1_000_250_000, IOs: 40_000, Contentions: new(int64(52)), ContentionsPer1000: new(1.3),
				ContentionsCPUs: []int{0, 1, 2, 3},
				Locks: &report.LockWaits{Lost: 3, Sites: []report.LockSite{
					{Function: "blk_mq_submit_bio", Kind: "spin", BlockLayer: true, Waits: 40, WaitNS: 52_000},
					{Function: "io_uring_enter", Kind: "sleep", Waits: 9, WaitNS: 810_000},
				}},
				Devices: []report.ExplainDevice{{
					Device: "nvme0n1", IOs: 40_000, IOsKnown: true, Requests: 40_100, RequestsPerIO: 1.0025,
					Completed: new(int64(40_099)), Inserted: new(int64(401)), DirectPercent: new(99.0),
					BackMerges: new(int64(12)), FrontMerges: new(int64(3)), Splits: new(int64(115)), Requeues: new(int64(7)),
					Interrupts: new(int64(25_000)), InterruptsPerIO: new(0.625), Polling: "refuted",
					QueuesFrom: "cpu map", MatchPercent: new(98.4), MatchUnknown: "",
					CPUs: []report.ExplainCPU{
						{CPU: 0, IOs: 10_000, Issued: 9_990, Completed: 20_050, Inserted: 5, Interrupts: 12_500, Queues: []report.QueueShare{{HCTX: 5, Requests: 9_990, Percent: 24.91}}},
						{CPU: 1, IOs: 30_000, Issued: 29_480, Completed: 20_049, Inserted: 395, Interrupts: 12_500, Queues: []report.QueueShare{{HCTX: 6, Requests: 29_480, Percent: 73.49}}},
						{CPU: 9, Issued: 637, Inserted: 1, Queues: []report.QueueShare{{HCTX: 5, Requests: 600, Percent: 1.5}, {HCTX: 6, Requests: 37, Percent: 0.1}}},
					},
					Queues: []report.QueueShare{{HCTX: 5, Requests: 10_590, Percent: 26.41}, {HCTX: 6, Requests: 29_517, Percent: 73.59}},
				}},
			},
			{
				Jobs: []string{"discard", "tidy"}, LengthNS: 987_654_321, IOs: 4_100,
				Devices: []report.ExplainDevice{{
					Device: "sda", IOsKnown: false, Requests: 8_200, QueuesFrom: "cpu map",
					MatchUnknown: "workers are not pinned to one CPU each",
					CPUs:         []report.ExplainCPU{{CPU: 3, Issued: 8_200, Queues: []report.QueueShare{{HCTX: 0, Requests: 8_200, Percent: 100}}}},
					Queues:       []report.QueueShare{{HCTX: 0, Requests: 8_200, Percent: 100}},
				}},
			},
		},
	}
}

// samples is three seconds of the surroundings, of which the last is short.
func samples() []report.Sample {
	var all []report.Sample
	for i := range int64(3) {
		all = append(all, report.Sample{
			StartNS: i * 1_000_123_456, LengthNS: 1_000_123_456, StealPercent: 0.25 + float64(i), OthersPercent: 4.5, OthersUserPercent: 3.5,
			FrequencyMHz: new(3249.5 - float64(100*i)), CPUThrottles: new(i), Sleeps: new(5000 + i), SleepExitUS: 133,
			Devices: []report.DeviceSample{
				{Device: "nvme0n1", TemperatureC: new(70.5 + float64(i)), WarningC: 82, Throttles: new(1 + i), ThrottledS: new(i), SleepsAfterNS: 100_000_000, WakeNS: 10_500_000},
				{Device: "sda", TemperatureC: new(33.0)},
			},
		})
	}
	all[2].LengthNS = 250_000_000
	return all
}
