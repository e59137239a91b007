package run

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// place is where one worker runs.
type place struct {
	cpus []int // the set it is bound to; nil: not bound
	cpu  int   // the one CPU of that set, -1 when there is a choice
	hctx int   // hardware queue that cpu feeds, -1 unknown
	node int   // NUMA node of cpu, -1 unknown
}

// places decides where a job's n workers run: on cpus_allowed if the user gave it, as fio does (shared: every
// worker on the whole set; split: one CPU each), else one CPU each in the order that the placement word
// means for the device.
func places(j *workloads.Job, n int, topo device.Topology, dev *device.Facts) ([]place, error) {
	kind := "default"
	if j.HiPri {
		kind = "poll"
	}
	if j.CPUsAllowed != nil && j.CPUsAllowedPolicy != "split" {
		return slices.Repeat([]place{placeOn(j.CPUsAllowed, topo, dev, kind)}, n), nil
	}
	if j.CPUsAllowed == nil && j.Placement == "none" {
		return slices.Repeat([]place{{cpu: -1, hctx: -1, node: -1}}, n), nil
	}
	order := j.CPUsAllowed
	if order == nil {
		var err error
		if order, err = cpuOrder(j.Placement, topo, dev, kind); err != nil {
			return nil, err
		}
	}
	out := make([]place, n)
	for i := range out {
		out[i] = placeOn([]int{order[i%len(order)]}, topo, dev, kind)
	}
	return out, nil
}

func placeOn(cpus []int, topo device.Topology, dev *device.Facts, kind string) place {
	p := place{cpus: cpus, cpu: -1, hctx: -1, node: -1}
	if len(cpus) != 1 {
		return p
	}
	p.cpu = cpus[0]
	p.hctx = dev.HCTX(p.cpu, kind)
	for _, c := range topo.CPUs {
		if c.ID == p.cpu {
			p.node = c.Node
		}
	}
	return p
}

// cpuOrder returns the CPUs in the order in which workers take them.
func cpuOrder(word string, topo device.Topology, dev *device.Facts, kind string) ([]int, error) {
	type candidate struct {
		device.CPU
		far     int // 1 when not on the device's node
		sibling int // 0 for the first CPU of a core
		hctx    int
		inQueue int // how many better CPUs feed the same hardware queue
		inNode  int // how many better CPUs the node has
	}
	var all []candidate
	for _, c := range topo.CPUs {
		k := candidate{CPU: c, sibling: slices.Index(c.Siblings, c.ID), hctx: dev.HCTX(c.ID, kind)}
		if dev.NUMANode >= 0 && c.Node != dev.NUMANode {
			k.far = 1
		}
		all = append(all, k)
	}
	if word == "local" || word == "remote" {
		if dev.NUMANode < 0 {
			return nil, fault.Usage("NUMA_UNKNOWN", "use --placement=queues or --cpus_allowed",
				"--placement=%s: the kernel does not say which NUMA node the device is on", word)
		}
		keep := map[string]int{"local": 0, "remote": 1}[word]
		all = slices.DeleteFunc(all, func(k candidate) bool { return k.far != keep })
		if len(all) == 0 {
			return nil, fault.Usage("NUMA_NONE", "use --placement=queues or --cpus_allowed",
				"--placement=%s: no usable CPU is on such a node", word)
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.sibling, b.sibling), cmp.Compare(a.ID, b.ID))
	})
	queue, node := map[int]int{}, map[int]int{}
	for i := range all {
		all[i].inQueue, all[i].inNode = queue[all[i].hctx], node[all[i].Node]
		queue[all[i].hctx]++
		node[all[i].Node]++
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		switch word {
		case "compact": // whole cores one after another
			return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Core, b.Core), cmp.Compare(a.sibling, b.sibling))
		case "spread": // over nodes and cores first
			return cmp.Or(cmp.Compare(a.sibling, b.sibling), cmp.Compare(a.inNode, b.inNode), cmp.Compare(a.Node, b.Node))
		default: // one per hardware queue first, on the device's node first
			return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.sibling, b.sibling), cmp.Compare(a.inQueue, b.inQueue), cmp.Compare(a.hctx, b.hctx))
		}
	})
	if len(all) == 0 {
		return nil, fmt.Errorf("no CPU is online for this process")
	}
	order := make([]int, len(all))
	for i, k := range all {
		order[i] = k.ID
	}
	return order, nil
}

// placesInWords is the map of workers to CPUs and hardware queues, for whoever watches the run begin.
func (c *conductor) placesInWords() string {
	var words []string
	for _, j := range c.jobs {
		for _, w := range j.workers {
			switch {
			case w.place.cpu >= 0 && w.place.hctx >= 0:
				words = append(words, fmt.Sprintf("%s.%d on CPU %d, hctx %d", j.spec.Name, w.index, w.place.cpu, w.place.hctx))
			case w.place.cpu >= 0:
				words = append(words, fmt.Sprintf("%s.%d on CPU %d", j.spec.Name, w.index, w.place.cpu))
			case w.place.cpus != nil:
				words = append(words, fmt.Sprintf("%s.%d on CPUs %s", j.spec.Name, w.index, device.FormatCPUList(w.place.cpus)))
			default:
				words = append(words, fmt.Sprintf("%s.%d on any CPU", j.spec.Name, w.index))
			}
		}
	}
	return "placing " + strings.Join(words, "; ")
}

// placeWorkers decides where the job's workers run.
func (c *conductor) placeWorkers(j *jobRun, first int) error {
	facts := &device.Facts{NUMANode: -1}
	if len(j.workers[0].targets) > 0 {
		f := j.workers[0].targets[0].Facts()
		facts = &f
	}
	spec, err := c.onNodes(j.spec)
	if err != nil {
		return err
	}
	all, err := places(spec, first+len(j.workers), c.topo, facts)
	if err != nil {
		return err
	}
	for i, w := range j.workers {
		w.place = all[first+i]
	}
	return nil
}

// placeAll places the workers of each stage: jobs that run together share the CPUs in turn.
func (c *conductor) placeAll() error {
	taken := map[int]int{}
	for _, j := range c.jobs {
		if err := c.placeWorkers(j, taken[j.stage]); err != nil {
			return fmt.Errorf("job %s: %w", j.spec.Name, err)
		}
		taken[j.stage] += len(j.workers)
	}
	for _, n := range taken {
		if n > len(c.topo.CPUs) {
			c.warn("MORE_WORKERS_THAN_CPUS", fmt.Sprintf("%d workers run together on %d CPUs, so they take turns and latencies include waiting for a CPU", n, len(c.topo.CPUs)),
				"use fewer --numjobs and a deeper --iodepth")
		}
	}
	return nil
}
