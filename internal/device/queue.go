package device

import (
	"slices"
	"strconv"
)

// Queue is one blk-mq hardware queue (hctx) and the CPUs whose software queues feed it.
type Queue struct {
	HCTX         int    // its number
	Type         string // "default", "read" or "poll"
	TypeFrom     string // how Type is known: "debugfs", or "cpu map" when it follows from the CPUs
	Tags         int    // most requests in flight
	ReservedTags int    // of those, kept for the driver
	CPUs         []int
}

// readQueues reads a disk's mq directory; none for a bio-based device. Their types follow from the CPU map.
func readQueues(root Root, dir string, polls bool) []Queue {
	var queues []Queue
	for _, name := range root.list(dir) {
		cpus, err := ParseCPUList(root.read(dir, name, "cpu_list"))
		number := numberOf(name)
		if err != nil || number < 0 {
			continue
		}
		q := Queue{HCTX: number, TypeFrom: "cpu map", CPUs: cpus}
		if len(queues) == 0 {
			q.Tags = int(root.readInt(0, dir, name, "nr_tags"))
			q.ReservedTags = int(root.readInt(0, dir, name, "nr_reserved_tags"))
		} else {
			// All queues of a device are made from one description of its tags.
			q.Tags, q.ReservedTags = queues[0].Tags, queues[0].ReservedTags
		}
		queues = append(queues, q)
	}
	mapTypes(queues, polls)
	return queues
}

// mapTypes tells default, read and poll queues apart by the CPU map. Each type has a map of its own that
// covers every CPU, and the kernel numbers the types in this order, so a queue that feeds on a CPU that had
// one already begins the next type. polls says that the driver has poll queues.
func mapTypes(queues []Queue, polls bool) {
	group, seen := make([]int, len(queues)), map[int]bool{}
	last := 0
	for i, q := range queues {
		if slices.ContainsFunc(q.CPUs, func(cpu int) bool { return seen[cpu] }) {
			last++
			clear(seen)
		}
		for _, cpu := range q.CPUs {
			seen[cpu] = true
		}
		group[i] = last
	}
	names := []string{"default", "read", "poll"}
	if last == 1 && polls {
		names = []string{"default", "poll"}
	}
	for i := range queues {
		queues[i].Type = names[min(group[i], len(names)-1)]
	}
}

// askQueueTypes takes the types from debugfs, where it is mounted and readable.
func askQueueTypes(root Root, disk string, queues []Queue) {
	for i := range queues {
		q := &queues[i]
		if t := root.read("sys/kernel/debug/block", disk, "hctx"+strconv.Itoa(q.HCTX), "type"); t != "" {
			q.Type, q.TypeFrom = t, "debugfs"
		}
	}
}
