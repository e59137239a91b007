package run

import (
	"fmt"
	"slices"
	"testing"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// twoNodes is a machine of two NUMA nodes with two cores each and two threads per core, numbered as Linux
// does: CPUs 0-3 are the first threads, 4-7 their siblings; cores 0 and 1 are on node 0.
func twoNodes() device.Topology {
	t := device.Topology{Nodes: []int{0, 1}}
	for id := range 8 {
		core := id % 4
		t.CPUs = append(t.CPUs, device.CPU{ID: id, Node: core / 2, Package: core / 2, Core: core, Siblings: []int{core, core + 4}})
	}
	return t
}

// onNode1 is a device on node 1 whose two hardware queues each take the CPUs of one node, as irq affinity
// spreads them, and which also has a poll queue for all.
func onNode1() *device.Facts {
	return &device.Facts{NUMANode: 1, Queues: []device.Queue{
		{HCTX: 0, Type: "default", CPUs: []int{0, 1, 4, 5}},
		{HCTX: 1, Type: "default", CPUs: []int{2, 3, 6, 7}},
		{HCTX: 2, Type: "poll", CPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}},
	}}
}

func TestPlacement(t *testing.T) {
	oddEven := &device.Facts{NUMANode: -1, Queues: []device.Queue{
		{HCTX: 0, Type: "default", CPUs: []int{0, 2, 4, 6}}, {HCTX: 1, Type: "default", CPUs: []int{1, 3, 5, 7}},
	}}
	for _, c := range []struct {
		name   string
		word   string
		dev    *device.Facts
		change func(*workloads.Job)
		n      int
		cpus   string // of the workers, in order
		hctx   string
	}{
		{"queues: near node, cores before siblings, then far", "queues", onNode1(), nil, 8, "[2 3 6 7 0 1 4 5]", "[1 1 1 1 0 0 0 0]"},
		{"queues: each hardware queue in turn", "queues", oddEven, nil, 4, "[0 1 2 3]", "[0 1 0 1]"},
		{"more workers than CPUs go round again", "queues", oddEven, nil, 10, "[0 1 2 3 4 5 6 7 0 1]", "[0 1 0 1 0 1 0 1 0 1]"},
		{"polled jobs feed the poll queue", "queues", onNode1(), func(j *workloads.Job) { j.HiPri = true }, 2, "[2 3]", "[2 2]"},
		{"compact: whole cores", "compact", onNode1(), nil, 4, "[2 6 3 7]", "[1 1 1 1]"},
		{"spread: nodes in turn, then cores, then siblings", "spread", onNode1(), nil, 8, "[0 2 1 3 4 6 5 7]", "[0 1 0 1 0 1 0 1]"},
		{"local: the device's node only", "local", onNode1(), nil, 5, "[2 3 6 7 2]", "[1 1 1 1 1]"},
		{"remote: the other nodes only", "remote", onNode1(), nil, 3, "[0 1 4]", "[0 0 0]"},
		{"none: not bound", "none", onNode1(), nil, 2, "[-1 -1]", "[-1 -1]"},
		{"split: one CPU each of those given", "queues", onNode1(), func(j *workloads.Job) {
			j.CPUsAllowed, j.CPUsAllowedPolicy = []int{5, 1}, "split"
		}, 3, "[5 1 5]", "[0 0 0]"},
		{"shared: every worker on the whole set", "queues", onNode1(), func(j *workloads.Job) { j.CPUsAllowed = []int{5, 1} }, 2, "[-1 -1]", "[-1 -1]"},
		{"shared with one CPU is that CPU", "queues", onNode1(), func(j *workloads.Job) { j.CPUsAllowed = []int{6} }, 1, "[6]", "[1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := workloads.DefaultJob()
			j.Placement = c.word
			if c.change != nil {
				c.change(&j)
			}
			got, err := places(&j, c.n, twoNodes(), c.dev)
			if err != nil {
				t.Fatal(err)
			}
			var cpus, hctx []int
			for _, p := range got {
				cpus, hctx = append(cpus, p.cpu), append(hctx, p.hctx)
				if p.cpu >= 0 && p.node != p.cpu%4/2 {
					t.Errorf("CPU %d is said to be on node %d", p.cpu, p.node)
				}
			}
			if fmt.Sprint(cpus) != c.cpus || fmt.Sprint(hctx) != c.hctx {
				t.Errorf("CPUs %v on queues %v, want %s on %s", cpus, hctx, c.cpus, c.hctx)
			}
		})
	}
}

func TestPlacementThatCannotBe(t *testing.T) {
	j := workloads.DefaultJob()
	unknown := &device.Facts{NUMANode: -1}
	nowhere := &device.Facts{NUMANode: 7}
	for _, c := range []struct {
		word string
		dev  *device.Facts
		code string
	}{{"local", unknown, "NUMA_UNKNOWN"}, {"remote", unknown, "NUMA_UNKNOWN"}, {"local", nowhere, "NUMA_NONE"}} {
		j.Placement = c.word
		if _, err := places(&j, 1, twoNodes(), c.dev); err == nil || fault.Of(err).Code != c.code {
			t.Errorf("--placement=%s: %v, want %s", c.word, err, c.code)
		}
	}
}

func TestEveryPlacementIsAPermutation(t *testing.T) {
	for _, word := range []string{"queues", "compact", "spread"} { // the others leave CPUs out, or choose none
		j := workloads.DefaultJob()
		j.Placement = word
		got, err := places(&j, 8, twoNodes(), onNode1())
		if err != nil {
			t.Fatal(err)
		}
		var cpus []int
		for _, p := range got {
			cpus = append(cpus, p.cpu)
		}
		slices.Sort(cpus)
		if fmt.Sprint(cpus) != "[0 1 2 3 4 5 6 7]" {
			t.Errorf("%s: %v", word, cpus)
		}
	}
}
