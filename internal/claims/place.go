package claims

import (
	"fmt"
	"slices"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/workloads"
)

// place binds the jobs of an arm to CPUs. beside is nil when nothing runs beside.
func place(where Place, cpus []int, disk *device.Facts, interrupts []device.Interrupt, job, beside *workloads.Job) error {
	first := cpus[0]
	other := func(fits func(cpu int) bool) (int, bool) {
		i := slices.IndexFunc(cpus[1:], fits)
		if i < 0 {
			return 0, false
		}
		return cpus[1+i], true
	}
	any := func(int) bool { return true }
	sameQueue := func(cpu int) bool { return disk.HCTX(cpu, "default") == disk.HCTX(first, "default") }
	second, found := first, true
	switch where {
	case PlaceSpread:
		if beside == nil {
			return nil // one thread per CPU, best queues first: what runs do by themselves
		}
		if second, found = other(any); !found {
			second, found = first, true
		}
	case PlaceSameCPU:
	case PlaceOtherCPU:
		second, found = other(any)
	case PlaceSameHCTX:
		second, found = other(sameQueue)
	case PlaceOtherHCTX:
		second, found = other(func(cpu int) bool { return !sameQueue(cpu) })
	case PlaceAwayFromIRQ:
		job.CPUsAllowed, job.CPUsAllowedPolicy = awayFrom(interrupts, cpus), "split"
		return nil
	case PlaceLocalNode:
		job.Placement = "local"
		return nil
	case PlaceRemoteNode:
		job.Placement = "remote"
		return nil
	default:
		return fmt.Errorf("no place is called %q", where)
	}
	if !found {
		return &lackError{need: Need{Code: NeedHCTX, N: 2}, err: fmt.Errorf("no pair of CPUs is %s on this device", where)}
	}
	job.CPUsAllowed, job.CPUsAllowedPolicy = []int{first}, "split"
	if job.SQThreadPoll {
		job.SQThreadPollCPU = second
	}
	if beside != nil {
		beside.CPUsAllowed, beside.CPUsAllowedPolicy = []int{second}, "split"
	}
	return nil
}

// awayFrom lists the CPUs to which none of the interrupts is delivered now, or all but the first when that is
// none or nobody knows.
func awayFrom(interrupts []device.Interrupt, cpus []int) []int {
	free := slices.DeleteFunc(slices.Clone(cpus), func(cpu int) bool {
		return slices.ContainsFunc(interrupts, func(i device.Interrupt) bool { return slices.Contains(i.Effective, cpu) })
	})
	if len(free) == 0 || len(free) == len(cpus) {
		free = cpus[min(1, len(cpus)-1):]
	}
	return free
}
