// Package cpu is the kernel's view of a thread on a processor: which CPUs it may use, which one it is on,
// what it cost, how it is scheduled, and the instruction that makes a spin loop polite.
//
// Everything that is said about "the calling thread" is only meaningful for a goroutine that called
// [runtime.LockOSThread].
package cpu

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxCPUs bounds the search for the size of the kernel's CPU mask; CONFIG_NR_CPUS is at most 8192 today.
const maxCPUs = 1 << 16

// Affinity returns the CPUs that the calling thread may run on, in ascending order
// (sched_getaffinity(2)). It works with any number of CPUs: the kernel refuses a mask smaller than its own
// with EINVAL, so the mask grows until it fits.
func Affinity() ([]int, error) { return affinityOf(0) }

func affinityOf(threadID int) ([]int, error) {
	for size := 1024; size <= maxCPUs; size *= 2 {
		set := unix.NewCPUSet(size)
		err := unix.SchedGetaffinityDynamic(threadID, set)
		if errors.Is(err, unix.EINVAL) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the thread's CPU affinity: %w", err)
		}
		cpus := make([]int, 0, set.Count())
		for c := range size {
			if set.IsSet(c) {
				cpus = append(cpus, c)
			}
		}
		return cpus, nil
	}
	return nil, fmt.Errorf("reading the thread's CPU affinity: the kernel's mask is larger than %d CPUs", maxCPUs)
}

// SetAffinity restricts the calling thread to cpus (sched_setaffinity(2)). The kernel drops CPUs that are
// offline or outside the thread's cpuset, and answers EINVAL when none is left.
func SetAffinity(cpus []int) error { return setAffinityOf(0, cpus) }

func setAffinityOf(threadID int, cpus []int) error {
	highest := 0
	for _, c := range cpus {
		if c < 0 || c >= maxCPUs {
			return fmt.Errorf("binding the thread to CPU %d: %w", c, unix.EINVAL)
		}
		highest = max(highest, c)
	}
	set := unix.NewCPUSet(highest + 1)
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinityDynamic(threadID, set); err != nil {
		return fmt.Errorf("binding the thread to CPUs %v: %w", cpus, err)
	}
	return nil
}

// Usage is what a thread cost since it started (getrusage(2), RUSAGE_THREAD). Without
// CONFIG_VIRT_CPU_ACCOUNTING_GEN the kernel splits user from system time by ticks, but their sum is exact.
type Usage struct {
	UserNS              int64
	SysNS               int64
	VoluntarySwitches   int64 // context switches because the thread waited
	InvoluntarySwitches int64 // because its time slice ended or something more urgent came
	MinorFaults         int64
	MajorFaults         int64
}

// Sub returns what was used since the earlier reading.
func (u Usage) Sub(earlier Usage) Usage {
	return Usage{
		UserNS: u.UserNS - earlier.UserNS, SysNS: u.SysNS - earlier.SysNS,
		VoluntarySwitches:   u.VoluntarySwitches - earlier.VoluntarySwitches,
		InvoluntarySwitches: u.InvoluntarySwitches - earlier.InvoluntarySwitches,
		MinorFaults:         u.MinorFaults - earlier.MinorFaults,
		MajorFaults:         u.MajorFaults - earlier.MajorFaults,
	}
}

// Add returns what two threads used together.
func (u Usage) Add(o Usage) Usage {
	return Usage{
		UserNS: u.UserNS + o.UserNS, SysNS: u.SysNS + o.SysNS,
		VoluntarySwitches:   u.VoluntarySwitches + o.VoluntarySwitches,
		InvoluntarySwitches: u.InvoluntarySwitches + o.InvoluntarySwitches,
		MinorFaults:         u.MinorFaults + o.MinorFaults,
		MajorFaults:         u.MajorFaults + o.MajorFaults,
	}
}

// ThreadUsage returns what the calling thread has used so far.
func ThreadUsage() (Usage, error) { return usageOf(unix.RUSAGE_THREAD, "thread") }

// ProcessUsage returns what all threads of this process have used so far, those that have ended and io_uring's
// (iou-wrk, iou-sqp) included.
func ProcessUsage() (Usage, error) { return usageOf(unix.RUSAGE_SELF, "process") }

func usageOf(who int, what string) (Usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(who, &r); err != nil {
		return Usage{}, fmt.Errorf("reading the %s's usage: %w", what, err)
	}
	return Usage{
		UserNS: r.Utime.Nano(), SysNS: r.Stime.Nano(),
		VoluntarySwitches: int64(r.Nvcsw), InvoluntarySwitches: int64(r.Nivcsw),
		MinorFaults: int64(r.Minflt), MajorFaults: int64(r.Majflt),
	}, nil
}

// ThreadID returns the kernel's id of the calling thread (gettid(2)).
func ThreadID() int { return unix.Gettid() }

// Policy is a scheduling policy and its priority (sched(7)).
type Policy struct {
	Class    Class
	Priority int // 1..99 for FIFO and RR, 0 otherwise
	Nice     int // -20..19 for Other and Batch
}

// Class is a scheduling class; the values are the kernel's SCHED_ constants.
type Class uint32

const (
	Other Class = unix.SCHED_NORMAL // the fair scheduler
	FIFO  Class = unix.SCHED_FIFO   // real time, runs until it waits or something more urgent comes
	RR    Class = unix.SCHED_RR     // real time, in slices
	Batch Class = unix.SCHED_BATCH
	Idle  Class = unix.SCHED_IDLE
)

// ThreadPolicy returns how the calling thread is scheduled (sched_getattr(2)).
func ThreadPolicy() (Policy, error) {
	a, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return Policy{}, fmt.Errorf("reading the thread's scheduling policy: %w", err)
	}
	return Policy{Class: Class(a.Policy), Priority: int(a.Priority), Nice: int(a.Nice)}, nil
}

// SetThreadPolicy changes how the calling thread is scheduled (sched_setattr(2)). Real-time classes need
// CAP_SYS_NICE or a fitting RLIMIT_RTPRIO; the error is then EPERM.
func SetThreadPolicy(p Policy) error { return SetPolicyOf(0, p) }

// SetPolicyOf is SetThreadPolicy for the thread with that id; 0 is the calling thread.
func SetPolicyOf(threadID int, p Policy) error {
	a := unix.SchedAttr{Policy: uint32(p.Class), Priority: uint32(p.Priority), Nice: int32(p.Nice)}
	if err := unix.SchedSetAttr(threadID, &a, 0); err != nil {
		return fmt.Errorf("setting the thread's scheduling class %d, priority %d: %w", p.Class, p.Priority, err)
	}
	return nil
}

// LimitRealTime has the kernel kill this process when one of its real-time threads runs for limit without
// waiting once (RLIMIT_RTTIME, getrlimit(2)): a watchdog that needs no CPU of its own. It returns what takes
// the limit back; without CAP_SYS_RESOURCE it stays, which ordinary threads do not notice.
func LimitRealTime(limit time.Duration) (restore func(), err error) {
	us := uint64(limit.Microseconds())
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_RTTIME, nil, &old); err != nil {
		return nil, fmt.Errorf("reading the limit on real-time threads: %w", err)
	}
	if err := unix.Prlimit(0, unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: min(us, old.Max), Max: min(us, old.Max)}, nil); err != nil {
		return nil, fmt.Errorf("limiting real-time threads to %v: %w", limit, err)
	}
	return func() { _ = unix.Prlimit(0, unix.RLIMIT_RTTIME, &old, nil) }, nil // EPERM: see above
}
