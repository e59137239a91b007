package explain

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/report"
)

// drive is an NVMe namespace with two default queues for four CPUs, and a poll queue for all.
func drive() device.Facts {
	return device.Facts{
		Name: "nvme0n1", Disk: "nvme0n1", Kind: device.KindNVMe, DevT: blk.DevT{Major: 259, Minor: 3}, NVMeController: "nvme0", NVMeNamespace: 1,
		Queues: []device.Queue{
			{HCTX: 0, Type: "default", CPUs: []int{0, 1}},
			{HCTX: 1, Type: "default", CPUs: []int{2, 3}},
			{HCTX: 2, Type: "poll", CPUs: []int{0, 1, 2, 3}},
		},
	}
}

// quiet returns counts of nothing but issues and completions.
func quiet(disk device.Facts, issue, complete []int64) Counts {
	d := DiskCounts{Disk: disk}
	for e := range d.events {
		d.events[e] = make([]int64, len(issue))
	}
	d.events[issued], d.events[completed] = issue, complete
	cpus := make([]int, len(issue))
	for i := range cpus {
		cpus[i] = i
	}
	return Counts{CPUs: cpus, Length: time.Second, Disks: []DiskCounts{d}, Contentions: make([]int64, len(issue))}
}

func pinned(ios ...int64) []Worker {
	var workers []Worker
	for cpu, n := range ios {
		if n > 0 {
			workers = append(workers, Worker{CPU: cpu, Disks: []string{"nvme0n1"}, IOs: n})
		}
	}
	return workers
}

func only(t *testing.T, c Counts, workers []Worker) report.ExplainDevice {
	t.Helper()
	s := Explain(c, Stage{Jobs: []string{"j"}, Workers: workers})
	if len(s.Devices) != 1 {
		t.Fatalf("%d devices", len(s.Devices))
	}
	return s.Devices[0]
}

func TestMatrix(t *testing.T) {
	c := quiet(drive(), []int64{500, 0, 1500, 0}, []int64{0, 0, 0, 2000})
	c.Disks[0].events[requeued][2] = 20
	c.Disks[0].events[inserted][0] = 99
	c.Disks[0].events[backMerged][0] = 10
	c.Disks[0].interrupts = []int64{0, 0, 0, 990}
	c.Contentions = []int64{4, 100, 2, 7}
	s := Explain(c, Stage{Jobs: []string{"a", "b"}, Workers: pinned(495, 0, 1485, 0)})
	want := report.ExplainStage{
		Jobs: []string{"a", "b"}, LengthNS: 1e9, IOs: 1980, Contentions: new(int64(6)), ContentionsPer1000: new(6000.0 / 1980), ContentionsCPUs: []int{0, 2},
		Devices: []report.ExplainDevice{{
			Device: "nvme0n1", IOs: 1980, IOsKnown: true, Requests: 1980, RequestsPerIO: 1, Completed: new(int64(2000)), Inserted: new(int64(99)),
			DirectPercent: new(95.0), BackMerges: new(int64(10)), FrontMerges: new(int64(0)), Splits: new(int64(0)), Requeues: new(int64(20)),
			Interrupts: new(int64(990)), InterruptsPerIO: new(0.5), QueuesFrom: "cpu map",
			MatchUnknown: "a scheduler issued the requests, on whichever CPU it ran",
			CPUs: []report.ExplainCPU{
				{CPU: 0, IOs: 495, Issued: 500, Inserted: 99, Queues: []report.QueueShare{{HCTX: 0, Requests: 500, Percent: 25}}},
				{CPU: 2, IOs: 1485, Issued: 1500, Queues: []report.QueueShare{{HCTX: 1, Requests: 1500, Percent: 75}}},
				{CPU: 3, Completed: 2000, Interrupts: 990, Queues: []report.QueueShare{}},
			},
			Queues: []report.QueueShare{{HCTX: 0, Requests: 500, Percent: 25}, {HCTX: 1, Requests: 1500, Percent: 75}},
		}},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
}

func TestMatch(t *testing.T) {
	loop := device.Facts{Name: "nvme0n1", Kind: device.KindLoop, Queues: []device.Queue{{HCTX: 0, Type: "default", CPUs: []int{0, 1, 2, 3}}}}
	for name, c := range map[string]struct {
		disk    device.Facts
		issue   []int64
		workers []Worker
		change  func(*DiskCounts)
		percent float64 // -1: not judged
		why     string
	}{
		"as intended":                  {drive(), []int64{500, 0, 1500, 0}, pinned(500, 0, 1500), nil, 100, ""},
		"on the queue's other CPU":     {drive(), []int64{0, 500, 0, 1500}, pinned(500, 0, 1500), nil, 100, ""},
		"split in two":                 {drive(), []int64{1000, 0, 3000, 0}, pinned(500, 0, 1500), nil, 100, ""},
		"merged by four":               {drive(), []int64{125, 0, 375, 0}, pinned(500, 0, 1500), nil, 100, ""},
		"one of a hundred elsewhere":   {drive(), []int64{990, 0, 10, 0}, pinned(1000), nil, 99, ""},
		"all on the wrong queue":       {drive(), []int64{0, 0, 2000, 0}, pinned(2000), nil, 0, ""},
		"one queue for all":            {loop, []int64{0, 0, 0, 2000}, pinned(500, 0, 1500), nil, 100, ""},
		"the driver's count decides":   {drive(), []int64{500, 0, 1500, 0}, pinned(500, 0, 1500), func(d *DiskCounts) { d.queues = [][]int64{{500, 0, 500, 0}, {0, 0, 1000, 0}, nil} }, 75, ""},
		"SQPOLL":                       {drive(), []int64{0, 9, 0, 0}, []Worker{{CPU: 0, Disks: []string{"nvme0n1"}, IOs: 9, Elsewhere: "SQPOLL"}}, nil, -1, "SQPOLL"},
		"not pinned":                   {drive(), []int64{0, 9, 0, 0}, []Worker{{CPU: -1, Disks: []string{"nvme0n1"}, IOs: 9}}, nil, -1, "workers are not pinned to one CPU each"},
		"several disks":                {drive(), []int64{0, 9, 0, 0}, []Worker{{CPU: 1, Disks: []string{"nvme0n1", "sda"}, IOs: 9}}, nil, -1, "workers spread their I/O over several disks"},
		"nothing done":                 {drive(), []int64{0, 9, 0, 0}, pinned(0), nil, -1, "no I/O was done"},
		"nothing reached it":           {drive(), []int64{0, 0, 0, 0}, pinned(9), nil, -1, "no request reached the device"},
		"a scheduler on a single one":  {loop, []int64{0, 9, 0, 0}, pinned(9), func(d *DiskCounts) { d.events[inserted][0] = 9 }, 100, ""},
		"a scheduler, but the qid too": {drive(), []int64{0, 9, 0, 0}, pinned(9), func(d *DiskCounts) { d.events[inserted][0] = 9; d.queues = [][]int64{{0, 9, 0, 0}, nil, nil} }, 100, ""},
	} {
		t.Run(name, func(t *testing.T) {
			counts := quiet(c.disk, c.issue, c.issue)
			if c.change != nil {
				c.change(&counts.Disks[0])
			}
			d := only(t, counts, c.workers)
			if d.MatchUnknown != c.why {
				t.Errorf("not judged because %q, want %q", d.MatchUnknown, c.why)
			}
			got := -1.0
			if d.MatchPercent != nil {
				got = *d.MatchPercent
			}
			if math.Abs(got-c.percent) > 1e-9 {
				t.Errorf("match %v %%, want %v", got, c.percent)
			}
			warned := len(Warnings(&report.Explain{Stages: []report.ExplainStage{{Devices: []report.ExplainDevice{d}}}})) > 0
			if want := c.percent >= 0 && c.percent < 99; warned != want {
				t.Errorf("warned %v, want %v", warned, want)
			}
		})
	}
}

func TestPollingIsConfirmedBySilence(t *testing.T) {
	for _, c := range []struct {
		interrupts []int64
		want, warn string
	}{
		{[]int64{0, 0, 3, 0}, "confirmed", ""},
		{[]int64{0, 0, 800, 0}, "refuted", "NOT_POLLED"},
		{nil, "unknown", ""},
	} {
		counts := quiet(drive(), []int64{1000, 0, 0, 0}, []int64{1000, 0, 0, 0})
		counts.Disks[0].interrupts = c.interrupts
		workers := pinned(1000)
		workers[0].Polls = true
		d := only(t, counts, workers)
		if d.Polling != c.want {
			t.Errorf("interrupts %v: polling %s, want %s", c.interrupts, d.Polling, c.want)
		}
		if len(d.Queues) != 1 || d.Queues[0].HCTX != 2 || *d.MatchPercent != 100 {
			t.Errorf("queues %+v, match %v: polled I/O goes to the poll queue", d.Queues, *d.MatchPercent)
		}
		code := ""
		for _, w := range Warnings(&report.Explain{Stages: []report.ExplainStage{{Devices: []report.ExplainDevice{d}}}}) {
			code += w.Code
		}
		if code != c.warn {
			t.Errorf("warnings %q, want %q", code, c.warn)
		}
	}
}

// Whatever was counted: the shares add up to a whole, and no share of a match is outside 0 to 100.
func TestSharesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SliceOfN(rapid.Int64Range(0, 1<<40), 4, 4)
		issue := n.Draw(t, "issued")
		counts := quiet(drive(), issue, n.Draw(t, "completed"))
		s := Explain(counts, Stage{Workers: pinned(n.Draw(t, "ios")...)})
		d := s.Devices[0]
		sum := 0.0
		for _, q := range d.Queues {
			sum += q.Percent
		}
		if d.Requests > 0 && math.Abs(sum-100) > 1e-6 {
			t.Fatalf("shares add up to %v", sum)
		}
		if d.MatchPercent != nil && (*d.MatchPercent < 0 || *d.MatchPercent > 100+1e-6) {
			t.Fatalf("match %v %%", *d.MatchPercent)
		}
	})
}

func TestWhatIsMissingIsToldOnce(t *testing.T) {
	root := device.Root(t.TempDir())
	s := Open(root, drive())
	s.Start()
	c := s.Stop()
	s.Close()
	if len(c.Missing) != 1 || c.Missing[0].What != "tracepoints" || c.Missing[0].Why == "" {
		t.Errorf("missing %+v", c.Missing)
	}
	stage := Explain(c, Stage{Workers: pinned(5)})
	if len(stage.Devices) != 0 || stage.Contentions != nil || stage.IOs != 5 {
		t.Errorf("stage %+v", stage)
	}
}

func TestBioBasedDevicesHaveNothingToCount(t *testing.T) {
	s := Open("", device.Facts{Name: "zram0", Disk: "zram0", Kind: device.KindZram})
	s.Start()
	c := s.Stop()
	s.Close()
	told := false
	for _, m := range c.Missing {
		told = told || m.What == "tracepoints" || m.What == "requests of zram0" && strings.Contains(m.Why, "bio-based")
	}
	if !told {
		t.Errorf("missing %+v", c.Missing)
	}
}
