// Package claims holds the falsifiable claims of the blk-mq and lock literature as data, runs the experiments
// that can decide them on this machine, and judges them from what was recorded.
//
// A claim compares arms in randomised, interleaved blocks. Everything a verdict rests on is in the [Document]:
// [Document.Judge] computes all verdicts again from it, without the machine and without this registry.
package claims

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// Mark says how far a source was read.
type Mark string

const (
	Read       Mark = "read"        // read at the source given
	SecondHand Mark = "second-hand" // read only in somebody else's notes about the source
	Unread     Mark = "unread"      // general knowledge: nothing of it may be told as a fact
)

// Source is where a claim comes from.
type Source struct {
	Ref  string `json:"ref"`
	Mark Mark   `json:"mark"`
	Says string `json:"says"` // what it says, with its numbers; empty for what was not read
}

// Code is a stable word for why something cannot be tested, or for what disturbed a block.
type Code string

const (
	Steal          Code = "STEAL"           // the hypervisor or other processes took the CPUs
	GeneratorBound Code = "GENERATOR_BOUND" // blkmeter itself was the limit
	NotSteady      Code = "NOT_STEADY"      // the arm did not reach a steady state
	GC             Code = "GC"              // the Go collector ran inside the window
	NeedCores      Code = "NEED_CORES"
	NeedHCTX       Code = "NEED_HCTX"
	NeedPollQ      Code = "NEED_POLLQ"
	NeedSched      Code = "NEED_SCHED"
	NeedNUMA       Code = "NEED_NUMA"
	NeedNullBlk    Code = "NEED_NULLBLK"
	NeedNVMe       Code = "NEED_NVME"
	NeedRoot       Code = "NEED_ROOT"
	NeedRT         Code = "NEED_RT" // real-time priorities, and a second CPU for the watchdog
	NeedPMU        Code = "NEED_PMU"
	NeedDevice     Code = "NEED_DEVICE"
	NeedDestroy    Code = "NEED_DESTROY" // a background of writes
	DeviceIsBio    Code = "DEVICE_IS_BIO"
	MapMismatch    Code = "MAP_MISMATCH"
	Unsupported    Code = "UNSUPPORTED" // the kernel or an engine refused an arm
	ArmFailed      Code = "ARM_FAILED"  // an arm ended with an error
	Interrupted    Code = "INTERRUPTED"
	OverBudget     Code = "OVER_BUDGET" // no time was left for it
)

// Need is one precondition.
type Need struct {
	Code Code   `json:"code"`
	N    int    `json:"n,omitempty"`    // of NEED_CORES and NEED_HCTX
	What string `json:"what,omitempty"` // of NEED_SCHED
}

// String writes the need as claims quote it: NEED_CORES(4).
func (n Need) String() string {
	switch {
	case n.What != "":
		return fmt.Sprintf("%s(%s)", n.Code, n.What)
	case n.N != 0:
		return fmt.Sprintf("%s(%d)", n.Code, n.N)
	default:
		return string(n.Code)
	}
}

// Remedy says what would make the claim testable.
func (n Need) Remedy() string {
	switch n.Code {
	case NeedCores:
		return fmt.Sprintf("run on a machine with %d physical cores or more", n.N)
	case NeedHCTX:
		return fmt.Sprintf("use --null-blk, or name a device with %d hardware queues or more, such as an NVMe drive", n.N)
	case NeedPollQ:
		return "use --null-blk, or give the driver poll queues, as in nvme.poll_queues=1"
	case NeedSched:
		return fmt.Sprintf("load the scheduler (modprobe %s), or take a kernel that has it", schedulerModule(n.What))
	case NeedNUMA:
		return "run on a machine with two NUMA nodes"
	case NeedNullBlk:
		return "use --null-blk: it takes root and a kernel with the module null_blk"
	case NeedNVMe:
		return "name an NVMe namespace"
	case NeedRoot:
		return "run as root"
	case NeedRT:
		return "run with CAP_SYS_NICE on two CPUs or more"
	case NeedPMU:
		return "run where the processor's counters are visible: bare metal, or a VM with a virtual PMU"
	case NeedDevice:
		return "name a device: blkmeter claims run ID /dev/DEVICE"
	case NeedDestroy:
		return "name a device whose data may be destroyed with --destroy=NAME"
	case DeviceIsBio:
		return "name a device that uses blk-mq (one with /sys/block/NAME/mq)"
	case Steal:
		return "run on an idle machine; stop what else uses its CPUs"
	case GeneratorBound:
		return "use more threads or larger batches; see the tool's own ceiling in the result"
	case NotSteady:
		return "use longer arms: --profile=bench or full"
	case OverBudget:
		return "raise --budget, or name fewer claims"
	case Interrupted:
		return "let it run to its end"
	default:
		return "see the message"
	}
}

func schedulerModule(name string) string {
	if name == "kyber" {
		return "kyber-iosched"
	}
	return name
}

// Platform is what kind of device can decide a claim.
type Platform string

const (
	NVMe    Platform = "nvme"
	NullBlk Platform = "null_blk"
	Loop    Platform = "loop"
	Other   Platform = "other"
)

// Claim is one falsifiable statement with everything needed to test it.
type Claim struct {
	ID          string
	Title       string // short, for a verdict's first line
	Statement   string
	Sources     []Source
	Conditions  string // of the original measurement
	Mechanism   string
	Decides     map[Platform]string // what each platform can decide; no entry: nothing
	Needs       []Need              // without them nothing can be tested
	Arms        []Arm
	Tests       []Test
	MinArm      time.Duration // arms are at least this long, for what happens seldom
	Asks        Code          // what disturbs other claims and is what this one asks about
	Passes      []Arm         // traced once each after the blocks, for what the explanation tells; nothing is decided by them
	Explain     []string      // what the explain pass looks at
	Confounders []string
	Honesty     string // a sentence printed with every result of this claim
	Priority    int    // for --budget: lower is told first
}

// NeedsDevice says whether the claim is about I/O.
func (c *Claim) NeedsDevice() bool {
	return slices.ContainsFunc(c.Arms, func(a Arm) bool { return a.Job != nil })
}

// Threads says how many threads an arm uses: a number, or so many per CPU or physical core.
type Threads struct {
	N       int // fixed
	PerCPU  int // times the CPUs that may be used, when N is 0
	PerCore int // times the physical cores among them, when both are 0
}

// On returns the number on a machine with that many usable CPUs and cores.
func (t Threads) On(cpus, cores int) int {
	switch {
	case t.N > 0:
		return t.N
	case t.PerCore > 0 && t.PerCPU == 0:
		return t.PerCore * max(1, cores)
	default:
		return max(1, t.PerCPU) * max(1, cpus)
	}
}

// Arm is one side of a comparison: a job on the device, or an experiment with a lock alone.
type Arm struct {
	Name    string
	Needs   []Need  // without them only this arm and its tests are left out
	Series  string  // arms of one series differ in Load only and form a curve
	Load    float64 // threads, queue depth, batch or queues: what the series varies; 0: its number of threads
	Threads Threads

	Lock *LockArm // a lock alone

	Job     *workloads.Job    // the I/O; NumJobs, Runtime and RampTime are set by the scheduler
	Stripes int               // of a shared queue: so many of them, each for an equal part of the threads; 0: one. Negative: one for each thread
	Beside  *workloads.Job    // I/O that disturbs Job meanwhile, from a thread of its own
	Queue   map[string]string // settings of /sys/block/X/queue to make before and undo after
	NullBlk map[string]string // attributes of a null_blk device made for the arm, where the platform is null_blk
	Place   Place
	Explain bool  // a traced pass: its counts are used, its speed never is
	Pace    *Pace // arrivals at a share of what other arms can do
}

// Place says where an arm's threads run.
type Place string

const (
	PlaceSpread      Place = ""              // one thread per CPU, in order
	PlaceSameCPU     Place = "same-cpu"      // the two parties (job and beside, or application and SQPOLL thread) share a CPU
	PlaceSameHCTX    Place = "same-hctx"     // different CPUs, one hardware queue
	PlaceOtherHCTX   Place = "other-hctx"    // different CPUs, different hardware queues
	PlaceOtherCPU    Place = "other-cpu"     // different CPUs, whatever the queue
	PlaceAwayFromIRQ Place = "away-from-irq" // not on the CPU that gets the device's interrupts
	PlaceLocalNode   Place = "local-node"    // threads and memory on the device's NUMA node
	PlaceRemoteNode  Place = "remote-node"   // threads and memory on another one
)

// Pace asks for open-loop arrivals at a share of the slowest of some arms' throughput, so that all arms
// serve the same load.
type Pace struct {
	Share   float64  // 0..1
	Slowest []string // arms measured once before the blocks
}

// LockArm is an experiment with a lock alone.
type LockArm struct {
	Kind       string
	Mode       LockMode
	HoldNS     int64
	YieldAfter uint32
}

// LockMode is what a lock arm measures.
type LockMode string

const (
	LockPair   LockMode = "pair"   // the cost of an uncontended pair: PairNS
	LockCrowd  LockMode = "crowd"  // threads in contention: OpsPerS, Jain, LongestGapNS, the histogram of waits
	LockInvert LockMode = "invert" // priority inversion: WaitNS
)

// Metric names one number of a Sample, with its unit.
type Metric string

const (
	IOPS      Metric = "iops_per_s"
	OpsPerS   Metric = "ops_per_s"
	PairNS    Metric = "pair_ns"
	CPUPerIO  Metric = "cpu_per_io_ns"      // of the submitting threads
	CostPerIO Metric = "cpu_cost_per_io_ns" // of blkmeter and the kernel's threads
	MeanNS    Metric = "latency_mean_ns"
	WaitNS    Metric = "wait_ns"
	IOs       Metric = "ios"
	Contended Metric = "contended_acquisitions" // of locks of the block layer, in an explain pass
	LockWait  Metric = "lock_wait_ns"           // for the shared queue's lock; in an explain pass, spinning for the block layer's
	Jain      Metric = "jain"
	GapNS     Metric = "longest_gap_ns"
	Switches  Metric = "involuntary_switches"
	SameCPU   Metric = "completed_on_submitter" // I/Os, of an explain pass
	Syscalls  Metric = "syscalls_per_io"
	BytesPerS Metric = "background_bytes_per_s"
)

// Sample is what one arm gave in one block.
type Sample struct {
	Values    map[Metric]float64 `json:"values"`
	Histogram string             `json:"latency_hdr_v2,omitempty"` // latencies or waits: HdrHistogram V2, zlib, base64
	Codes     []Code             `json:"codes,omitempty"`          // what disturbed it
	Missing   []string           `json:"missing,omitempty"`        // of an explain pass: what could not be counted, and why
	Sites     []Site             `json:"sites,omitempty"`          // of an explain pass: who waited for the kernel's locks, most waits first
}

// Site is a function of the kernel that waited for locks.
type Site struct {
	Function   string `json:"function"`
	BlockLayer bool   `json:"block_layer"` // it is the block layer's or a scheduler's
	Waits      int64  `json:"waits"`
	WaitNS     int64  `json:"wait_ns"`
}

// Runner runs one arm, once. Arms with a Lock need no device. An error that wraps engine.ErrUnsupported says
// that the arm cannot run here; any other one that it failed.
type Runner interface {
	RunArm(ctx context.Context, arm Arm) (Sample, error)
}

// Environment is what the preconditions ask about.
type Environment struct {
	CPUs      []int   // that this process may use
	Cores     int     // physical ones among them
	NUMANodes int     // with CPUs
	Root      bool    // effective uid 0
	RealTime  bool    // may make real-time threads, with a CPU to spare
	PMU       bool    // hardware counters can be opened
	Device    *Device // nil: no device
}

// Device is what the preconditions ask about a device.
type Device struct {
	Name           string // kernel name
	Platform       Platform
	HardwareQueues int // 0: bio-based
	PollQueues     int
	Tags           int
	Schedulers     []string // that it can be switched to
	MayDestroy     bool
}

// Lacks returns the needs that the environment does not meet. What kind of device is needed is not told to
// somebody who has none.
func (e *Environment) Lacks(needs []Need) []Need {
	var lacking []Need
	for _, n := range needs {
		if !e.meets(n) && (e.Device != nil || n.Code != DeviceIsBio) {
			lacking = append(lacking, n)
		}
	}
	return lacking
}

func (e *Environment) meets(n Need) bool {
	d := e.Device
	switch n.Code {
	case NeedCores:
		return e.Cores >= n.N
	case NeedNUMA:
		return e.NUMANodes >= 2
	case NeedRoot:
		return e.Root
	case NeedRT:
		return e.RealTime && len(e.CPUs) >= 2
	case NeedPMU:
		return e.PMU
	}
	if d == nil {
		return false // all others are about the device
	}
	switch n.Code {
	case NeedDevice:
		return true
	case NeedHCTX:
		return d.HardwareQueues >= n.N
	case NeedPollQ:
		return d.PollQueues > 0
	case NeedSched:
		return slices.Contains(d.Schedulers, n.What)
	case NeedNullBlk:
		return d.Platform == NullBlk
	case NeedNVMe:
		return d.Platform == NVMe
	case NeedDestroy:
		return d.MayDestroy
	case DeviceIsBio:
		return d.HardwareQueues > 0
	}
	return false
}

// Profile says how much an experiment is to cost.
type Profile struct {
	Name     string
	Looks    []Look        // after how many blocks to look, and how sure one must be then to stop
	Arm      time.Duration // measured
	Ramp     time.Duration
	MinDelta float64 // the smallest relevant effect is at least this
	Strict   bool    // a verdict from mostly disturbed blocks is withheld
	Budget   time.Duration
}

// Look is one look at the blocks so far. Looking early and often finds effects that are not there, so the
// schedule is fixed beforehand and early looks need more confidence.
type Look struct {
	Blocks     int     `json:"blocks"`
	Confidence float64 `json:"confidence"`
}

// Profiles lists the profiles, cheapest first.
func Profiles() []Profile {
	return []Profile{
		{
			Name: "ci", Looks: []Look{{6, 0.995}, {10, 0.99}}, Arm: 350 * time.Millisecond, Ramp: 100 * time.Millisecond,
			MinDelta: 0.10, Budget: 5 * time.Minute,
		},
		{
			Name: "bench", Looks: []Look{{6, 0.995}, {10, 0.99}, {20, 0.95}}, Arm: 5 * time.Second, Ramp: time.Second,
			MinDelta: 0, Strict: true,
		},
		{
			Name: "full", Looks: []Look{{20, 0.95}}, Arm: 5 * time.Second, Ramp: time.Second,
			MinDelta: 0, Strict: true,
		},
	}
}

// ProfileNamed returns the profile with that name.
func ProfileNamed(name string) (Profile, bool) {
	for _, p := range Profiles() {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// Cost is how long testing the claim may take at most.
func (p Profile) Cost(c *Claim) time.Duration {
	var block time.Duration
	arm := max(p.Arm, c.MinArm)
	for _, a := range c.Arms {
		window := arm + p.Ramp
		if a.Lock != nil && a.Lock.Mode == LockPair {
			window /= pairShare
		}
		block += window + 20*time.Millisecond
		if a.Job != nil {
			block += ioOverhead
		}
		if a.Explain {
			block += tracedOverhead + min(arm, time.Second)
		}
	}
	return time.Duration(p.Looks[len(p.Looks)-1].Blocks)*block + time.Duration(len(c.Passes))*(arm+p.Ramp+tracedOverhead+min(arm, time.Second))
}

const (
	// ioOverhead is what an arm with I/O takes besides its window: opening, collecting garbage, changing
	// settings, and measuring blkmeter's own ceiling.
	ioOverhead = 180 * time.Millisecond
	// tracedOverhead is what tracepoints take to be opened and closed.
	tracedOverhead = 500 * time.Millisecond
)
