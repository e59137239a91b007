package run

import (
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/report"
)

// cost is the processor time that was used until now.
type cost struct {
	own    int64         // by this process, io_uring's threads included
	kernel map[int]int64 // by the kernel's threads
}

func (c *conductor) readCost() cost {
	u, err := cpu.ProcessUsage()
	c.fail(err)
	return cost{own: u.UserNS + u.SysNS, kernel: device.KernelThreadTimes(c.o.Root)}
}

// noteCost puts into the Result what a stage has cost, its ramp included.
func (s *stageRun) noteCost(from, now cost) {
	out := report.StageCost{Jobs: []string{}, ProcessNS: now.own - from.own}
	for id, ns := range now.kernel {
		out.KernelThreadsNS += max(ns-from.kernel[id], 0) // one that began meanwhile counts from 0
	}
	for _, j := range s.jobs {
		out.Jobs = append(out.Jobs, j.spec.Name)
		for _, t := range j.totals {
			for op := range t.ops[:3] {
				out.IOs += int64(t.ops[op].ios + t.rampIOs[op])
			}
		}
	}
	if out.IOs > 0 {
		out.PerIONS = float64(out.ProcessNS+out.KernelThreadsNS) / float64(out.IOs)
	}
	s.result.Costs = append(s.result.Costs, out)
}
