package cpu

import (
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Confine binds every thread of this process, except those with an id in spare, to the CPUs. Threads that the
// Go runtime starts later inherit that from the one that starts them, which is never a thread locked to its
// goroutine. It returns what gives each thread back the CPUs it had, and those that were started meanwhile the
// CPUs that any other had. Threads that end meanwhile, and those that cannot be bound, are left alone.
func Confine(cpus, spare []int) (undo func(), err error) {
	threads, err := threadIDs()
	if err != nil {
		return nil, err
	}
	before := map[int][]int{}
	var inherited []int // by threads, if none had been bound
	for _, id := range threads {
		if slices.Contains(spare, id) {
			continue
		}
		had, err := affinityOf(id)
		if err == nil && setAffinityOf(id, cpus) == nil {
			before[id] = had
			if len(had) > len(inherited) {
				inherited = had
			}
		}
	}
	return func() {
		for id, had := range before {
			_ = setAffinityOf(id, had) // it may have ended
		}
		// A thread may have been started by one that was still bound: look until there is no new one.
		for known := 0; known < len(before); {
			known = len(before)
			threads, err := threadIDs()
			if err != nil {
				return
			}
			for _, id := range threads {
				if _, ok := before[id]; ok || slices.Contains(spare, id) {
					continue
				}
				if has, err := affinityOf(id); err == nil && slices.Equal(has, cpus) && setAffinityOf(id, inherited) == nil {
					before[id] = inherited
				}
			}
		}
	}, nil
}

// threadIDs lists the threads of this process.
func threadIDs() ([]int, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("listing the threads of this process: %w", err)
	}
	ids := make([]int, 0, len(entries))
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
