package claims

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/blkmeter/blkmeter/internal/lockbench"
	"github.com/blkmeter/blkmeter/internal/stats"
)

// LockRunner runs arms that are a lock alone, with the profile's times.
type LockRunner struct {
	CPUs     []int // that threads are bound to, in turn
	Arm      time.Duration
	Ramp     time.Duration
	StateDir string // of SysV records; empty: engine/lock's default
}

// Runners sends arms to what can run them.
type Runners struct {
	Lock   Runner // arms that are a lock alone
	Device Runner // arms with I/O; nil when there is no device: preconditions then keep them from being run
}

// RunArm runs the arm.
func (r Runners) RunArm(ctx context.Context, a Arm) (Sample, error) {
	if a.Lock != nil {
		return r.Lock.RunArm(ctx, a)
	}
	return r.Device.RunArm(ctx, a)
}

// pairShare is the part of a profile's times that uncontended pairs get: some hundred thousand of them either way.
const pairShare = 4

// inversions is how often one block of an inversion arm repeats the experiment; its sample is the median.
const inversions = 3

// RunArm runs one lock arm.
func (r *LockRunner) RunArm(ctx context.Context, a Arm) (Sample, error) {
	if a.Lock == nil {
		return Sample{}, fmt.Errorf("arm %s is not about a lock", a.Name)
	}
	s := Sample{Values: map[Metric]float64{}}
	l := lockbench.Load{
		Kind: a.Lock.Kind, Threads: a.Threads.N, CPUs: r.CPUs, HoldNS: a.Lock.HoldNS, YieldAfter: a.Lock.YieldAfter,
		Duration: r.Arm, Ramp: r.Ramp, StateDir: r.StateDir,
	}
	used := r.CPUs[:min(len(r.CPUs), max(1, a.Threads.N))]
	before, own := readTicks("/proc/stat", used), ownCPU()
	switch a.Lock.Mode {
	case LockPair:
		l.Duration /= pairShare
		l.Ramp /= pairShare
		ns, err := lockbench.Uncontended(ctx, l)
		if err != nil {
			return Sample{}, err
		}
		s.Values[PairNS] = ns
	case LockCrowd:
		if err := r.crowd(ctx, l, &s); err != nil {
			return Sample{}, err
		}
	case LockInvert:
		var waits []float64
		for range inversions {
			x := lockbench.DefaultInversion(a.Lock.Kind, r.CPUs[len(r.CPUs)-1])
			x.StateDir = r.StateDir
			w, err := x.Measure(ctx)
			if err != nil {
				return Sample{}, err
			}
			waits = append(waits, float64(w.NS))
		}
		s.Values[WaitNS] = stats.Median(waits)
		return s, nil // three threads on one CPU are meant to disturb each other
	default:
		return Sample{}, fmt.Errorf("arm %s: no lock experiment is called %q", a.Name, a.Lock.Mode)
	}
	if stolen(before, readTicks("/proc/stat", used), ownCPU()-own) {
		s.Codes = append(s.Codes, Steal)
	}
	return s, nil
}

// crowd measures threads in contention.
func (r *LockRunner) crowd(ctx context.Context, l lockbench.Load, s *Sample) error {
	res, err := lockbench.Run(ctx, l)
	if err != nil {
		return err
	}
	// A FIFO spinlock among too many threads may let nobody through in a short window. That is its result, and
	// half a passage stands for "less than one", since a ratio needs something to divide.
	s.Values[OpsPerS] = max(res.OpsPerS, 0.5e9/float64(res.WindowNS))
	s.Values[Jain] = res.Jain
	s.Values[GapNS] = float64(res.LongestGapNS)
	s.Values[Switches] = float64(res.Involuntary)
	if s.Histogram, err = encode(res.Waits); err != nil {
		return err
	}
	if res.CollectorRuns > 0 {
		s.Codes = append(s.Codes, GC)
	}
	return nil
}

// encode writes a histogram as documents hold it.
func encode(h *hdrhistogram.Histogram) (string, error) {
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("encoding a histogram: %w", err)
	}
	return string(text), nil
}

// ticks is what CPUs did since boot, in clock ticks (proc_stat(5)).
type ticks struct {
	busy  int64 // in anything but idling and waiting for I/O
	user  int64 // of that, in user mode
	all   int64
	steal int64 // taken by the hypervisor; part of busy
}

// readTicks adds up the lines of some CPUs in a file like /proc/stat; what it cannot read counts as nothing.
func readTicks(file string, cpus []int) ticks {
	text, err := os.ReadFile(file)
	if err != nil {
		return ticks{}
	}
	var t ticks
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 9 {
			continue
		}
		number, isCPU := strings.CutPrefix(f[0], "cpu")
		n, err := strconv.Atoi(number)
		if !isCPU || err != nil || !slices.Contains(cpus, n) {
			continue
		}
		// user nice system idle iowait irq softirq steal; guest time is contained in user.
		for i, field := range f[1:9] {
			v, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				continue
			}
			t.all += v
			if i != 3 && i != 4 {
				t.busy += v
			}
			if i < 2 {
				t.user += v
			}
			if i == 7 {
				t.steal += v
			}
		}
	}
	return t
}

// tickNS is the length of a tick of /proc/stat: USER_HZ is 100 on every architecture Go runs on.
const tickNS = int64(10 * time.Millisecond)

// stolen says whether the hypervisor took more than 2 % of the CPUs, or other processes more than 10 %, while
// this process used own nanoseconds of them. A tick more or less decides nothing.
func stolen(before, after ticks, own int64) bool {
	all := after.all - before.all
	if all <= 0 {
		return false
	}
	steal := after.steal - before.steal
	others := after.busy - before.busy - steal - own/tickNS
	return steal > max(all/50, 1) || others > max(all/10, 2)
}

// ownCPU is the processor time of this process, in nanoseconds.
func ownCPU() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// KernelLocks says what the kernel's own locks are, from a rooted /sys: on PREEMPT_RT a spinlock_t is an
// rt_mutex and a raw_spinlock_t keeps spinning (Documentation/locking/locktypes.rst).
func KernelLocks(sys string) string {
	text, err := os.ReadFile(sys + "/kernel/realtime")
	if err == nil && strings.TrimSpace(string(text)) == "1" {
		return "PREEMPT_RT: spinlock_t is an rt_mutex and inherits priority, as a PI futex does; raw_spinlock_t spins"
	}
	return "no PREEMPT_RT: spinlock_t and raw_spinlock_t both spin; only rt_mutex (behind PI futexes) inherits priority"
}

// Topology orders some CPUs so that one of each physical core comes first, and counts the cores and the NUMA nodes
// with CPUs, from a rooted /sys. Where the kernel does not tell, every CPU is a core and there is one node.
func Topology(sys string, cpus []int) (ordered []int, cores, nodes int) {
	seen := map[string]bool{}
	var siblings []int
	for _, c := range cpus {
		core, err := os.ReadFile(fmt.Sprintf("%s/devices/system/cpu/cpu%d/topology/core_cpus_list", sys, c))
		if err != nil {
			core = fmt.Appendf(nil, "%d", c)
		}
		if name := strings.TrimSpace(string(core)); !seen[name] {
			seen[name] = true
			ordered = append(ordered, c)
		} else {
			siblings = append(siblings, c)
		}
	}
	for n := 0; ; n++ {
		list, err := os.ReadFile(fmt.Sprintf("%s/devices/system/node/node%d/cpulist", sys, n))
		if err != nil {
			break // nodes are numbered without gaps on all but exotic machines
		}
		if strings.TrimSpace(string(list)) != "" {
			nodes++
		}
	}
	return append(ordered, siblings...), len(seen), max(nodes, 1)
}
