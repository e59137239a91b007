package cpu

import (
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Confine binds every thread of this process, except those with an id in spare, to the CPUs. Threads that the
// Go runtime starts later inherit that from the one that starts them, which is never a thread locked to its
// goroutine. It returns what gives each thread back the CPUs it had. Threads that end meanwhile, and those
// that cannot be bound, are left alone.
func Confine(cpus, spare []int) (undo func(), err error) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("listing the threads of this process: %w", err)
	}
	before := map[int][]int{}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil || slices.Contains(spare, id) {
			continue
		}
		had, err := affinityOf(id)
		if err == nil && setAffinityOf(id, cpus) == nil {
			before[id] = had
		}
	}
	return func() {
		for id, had := range before {
			_ = setAffinityOf(id, had) // it may have ended
		}
	}, nil
}
