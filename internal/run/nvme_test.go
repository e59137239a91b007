package run

import (
	"context"
	"os"
	"runtime"
	"testing"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

const nvmeName = "nvme0n1"

// explainNVMe explains a run with one worker on each CPU and returns what happened at the drive.
func explainNVMe(t *testing.T, polled bool) report.ExplainDevice {
	t.Helper()
	testlab.Require(t, "root", "nvme")
	plan := &workloads.Plan{}
	for cpu := range runtime.NumCPU() {
		j := onCPU("/dev/"+nvmeName, "io_uring", cpu, 500)
		j.IODepth, j.HiPri = 4, polled
		plan.Jobs = append(plan.Jobs, j)
	}
	r, err := Run(context.Background(), plan, Options{Env: os.Getenv, Explain: true})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, r)
	if r.Error != nil || len(r.Explain.Missing) > 0 || len(r.Explain.Stages) != 1 || len(r.Explain.Stages[0].Devices) != 1 {
		t.Fatalf("error %v, explained %+v", r.Error, r.Explain)
	}
	for _, w := range r.Warnings {
		if w.Code == "MAP_MISMATCH" || w.Code == "NOT_POLLED" {
			t.Errorf("warning %+v", w)
		}
	}
	return r.Explain.Stages[0].Devices[0]
}

// requireDiagonal checks that every CPU's requests went to the one queue of that type that it feeds, as the
// driver counted them.
func requireDiagonal(t *testing.T, d report.ExplainDevice, queueType string) {
	t.Helper()
	facts, err := device.DescribeName("", nvmeName)
	if err != nil {
		t.Fatal(err)
	}
	if d.QueuesFrom != "nvme:nvme_setup_cmd" || d.MatchPercent == nil || *d.MatchPercent < 99 || len(d.CPUs) != runtime.NumCPU() {
		t.Fatalf("counted by %s, match %v %s, CPUs %+v", d.QueuesFrom, d.MatchPercent, d.MatchUnknown, d.CPUs)
	}
	for cpu, c := range d.CPUs {
		want := facts.HCTX(cpu, queueType)
		if c.CPU != cpu || c.IOs == 0 || c.Issued != c.IOs || len(c.Queues) != 1 || c.Queues[0].HCTX != want || c.Queues[0].Requests != c.IOs {
			t.Errorf("CPU %+v, want all of its I/Os on hctx %d", c, want)
		}
	}
}

// On a drive with a queue for each CPU, every request goes to the queue of the CPU that issues it.
func TestNVMeQueuesFollowTheCPUs(t *testing.T) {
	d := explainNVMe(t, false)
	requireDiagonal(t, d, "default")
	if d.Interrupts == nil || *d.Interrupts == 0 || d.Polling != "" {
		t.Errorf("interrupts %v, polling %q", d.Interrupts, d.Polling)
	}
}

// Polled requests go to the queues for polling, and raise no interrupt.
func TestNVMePolls(t *testing.T) {
	d := explainNVMe(t, true)
	requireDiagonal(t, d, "poll")
	if d.Interrupts == nil || *d.Interrupts != 0 || d.Polling != "confirmed" {
		t.Errorf("interrupts %v, polling %q", d.Interrupts, d.Polling)
	}
}
