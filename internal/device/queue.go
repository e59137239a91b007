package device

import (
	"path/filepath"
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

// readQueues reads a disk's mq directory; none for a bio-based device.
func readQueues(root Root, disk string) []Queue {
	var queues []Queue
	dir := filepath.Join("sys/block", disk, "mq")
	for _, name := range root.list(dir) {
		cpus, err := ParseCPUList(root.read(dir, name, "cpu_list"))
		number := numberOf(name)
		if err != nil || number < 0 {
			continue
		}
		queues = append(queues, Queue{
			HCTX: number, CPUs: cpus,
			Tags:         int(root.readInt(0, dir, name, "nr_tags")),
			ReservedTags: int(root.readInt(0, dir, name, "nr_reserved_tags")),
		})
	}
	typeQueues(root, disk, queues)
	return queues
}

// typeQueues tells default, read and poll queues apart: by debugfs where it is mounted and readable, else
// from the CPU map. Each type has a map of its own that covers every CPU, and the kernel numbers the types
// in this order, so a queue whose CPUs were all mapped before begins the next type.
func typeQueues(root Root, disk string, queues []Queue) {
	types := mapTypes(root, disk, queues)
	for i := range queues {
		q := &queues[i]
		q.Type, q.TypeFrom = types[i], "cpu map"
		if t := root.read("sys/kernel/debug/block", disk, "hctx"+strconv.Itoa(q.HCTX), "type"); t != "" {
			q.Type, q.TypeFrom = t, "debugfs"
		}
	}
}

func mapTypes(root Root, disk string, queues []Queue) []string {
	group, groups := 0, make([]int, len(queues))
	seen := map[int]bool{}
	for i, q := range queues {
		if slices.ContainsFunc(q.CPUs, func(cpu int) bool { return seen[cpu] }) {
			group++
			clear(seen)
		}
		for _, cpu := range q.CPUs {
			seen[cpu] = true
		}
		groups[i] = group
	}
	names := []string{"default", "read", "poll"}
	if group == 1 && root.read("sys/block", disk, "queue/io_poll") == "1" {
		names = []string{"default", "poll"}
	}
	types := make([]string, len(queues))
	for i, g := range groups {
		types[i] = names[min(g, len(names)-1)]
	}
	return types
}
