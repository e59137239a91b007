package run

import (
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/report"
)

// Host describes the machine as the Result of a run does; t is the CPUs that this process may use.
func Host(root device.Root, t device.Topology) report.Host {
	c := &conductor{o: Options{Root: root}, clock: clock.New(""), topo: t, result: &report.Result{}}
	c.describe()
	return c.result.Host
}
