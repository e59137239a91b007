// Package report holds the Result of a run: the one document from which every output is made. A Result is
// a pure record; rendering, merging and comparing Results needs neither the device nor the machine.
//
// Every number has its unit in its name: _ns nanoseconds, _bytes bytes, _per_s per second, _percent 0..100.
// Percentiles are never averaged: whatever is merged is merged from the full histograms that each Latency
// carries.
package report

import (
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// Schema names the format of the document; it changes only when a reader of the old one would misread the new.
const Schema = "blkmeter.result/1"

// Result is everything that is known about one run.
type Result struct {
	Schema     string              `json:"schema"`
	Tool       Tool                `json:"tool"`
	Command    []string            `json:"command"`     // argv as typed
	StartedAt  time.Time           `json:"started_at"`  // wall clock at the start of the first job
	EndedAt    time.Time           `json:"ended_at"`    // wall clock when the last worker had stopped
	ElapsedNS  int64               `json:"elapsed_ns"`  // monotonic, from start to end, ramps and delays included
	Status     Status              `json:"status"`      // what became of the run
	ExitCode   int                 `json:"exit_code"`   // what the process exits with because of the run
	Error      *Error              `json:"error"`       // the first error that ended the run; null when there was none
	Host       Host                `json:"host"`        // the machine
	Clock      Clock               `json:"clock"`       // how time was taken
	Targets    []Target            `json:"targets"`     // what the I/O went to, in order of first use
	Globals    []workloads.Option  `json:"globals"`     // options given for all jobs, as typed
	Jobs       []Job               `json:"jobs"`        // in the order given
	Warnings   []workloads.Warning `json:"warnings"`    // what could mislead a reader of the numbers
	Collector  Collector           `json:"collector"`   // the Go runtime inside measured windows
	IntervalNS int64               `json:"interval_ns"` // length of the windows of every series
	Samples    []Sample            `json:"samples"`     // what went on around the workers, once a second
	Explain    *Explain            `json:"explain"`     // what the explain pass proved; null without one
	Idle       *Idle               `json:"cpu_idle"`    // how idle the machine's CPUs were; null unless asked for
	Costs      []StageCost         `json:"costs"`       // what each stage cost in processor time; null unless asked for
}

// Status is what became of a run.
type Status string

const (
	StatusDone        Status = "done"        // every job finished its work
	StatusFailed      Status = "failed"      // an error ended at least one job; the figures are partial
	StatusInterrupted Status = "interrupted" // a signal ended the run; the figures are partial
	StatusRunning     Status = "running"     // the run goes on; the figures are those so far
)

// Error is a failure as told to a user: a code in capitals, a sentence, and what to do about it.
type Error struct {
	Code     string `json:"code"`
	Sentence string `json:"sentence"`
	Hint     string `json:"hint,omitempty"`
	Errno    int    `json:"errno"` // the kernel's error number, 0 when it was not the kernel
}

// Tool says which program measured.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// Host is the machine as the run found it.
type Host struct {
	Name           string      `json:"name"`
	Kernel         string      `json:"kernel"`
	Arch           string      `json:"arch"`
	CPUModel       string      `json:"cpu_model"`
	CPUs           int         `json:"cpus"`        // online logical CPUs that this process may use
	Cores          int         `json:"cores"`       // physical cores among the online CPUs
	NUMANodes      int         `json:"numa_nodes"`  // nodes with CPUs
	Governor       string      `json:"governor"`    // cpufreq governor, empty when the kernel has none
	IdleStates     []IdleState `json:"idle_states"` // in which the CPUs may sleep
	MemoryBytes    int64       `json:"memory_bytes"`
	Virtualized    string      `json:"virtualized"`    // hypervisor as the kernel names it, empty on bare metal
	ClockSource    string      `json:"clock_source"`   // the kernel's current clock source
	GOMAXPROCS     int         `json:"gomaxprocs"`     // threads that may run Go code at once
	Root           bool        `json:"root"`           // effective uid 0
	UringDisabled  int         `json:"uring_disabled"` // kernel.io_uring_disabled; -1 when the kernel has no such switch
	MemlockBytes   int64       `json:"memlock_bytes"`  // RLIMIT_MEMLOCK, -1 unlimited
	OpenFilesLimit int64       `json:"open_files_limit"`
}

// StageCost is the processor time that jobs which ran together cost, ramp included: that of all threads of
// blkmeter, io_uring's included (iou-wrk, iou-sqp), and of the kernel's own threads, such as the workers of loop
// devices and ksoftirqd, whoever they worked for. What interrupts take is in it where they interrupted one of
// those; what they take from other programs and from idle CPUs is not.
type StageCost struct {
	Jobs            []string `json:"jobs"`
	IOs             int64    `json:"ios"` // reads, writes and trims
	ProcessNS       int64    `json:"process_ns"`
	KernelThreadsNS int64    `json:"kernel_threads_ns"`
	PerIONS         float64  `json:"per_io_ns"` // of both; 0 without I/O
}

// Idle is the share of the run's time in which CPUs had nothing to do or waited for I/O, as the kernel counts
// it in ticks (/proc/stat).
type Idle struct {
	Percent float64   `json:"percent"` // mean over the CPUs
	CPUs    []CPUIdle `json:"cpus"`    // each CPU; empty when only the mean was asked for
}

// CPUIdle is one CPU's share.
type CPUIdle struct {
	CPU     int     `json:"cpu"`
	Percent float64 `json:"percent"`
}

// Clock says how latencies were stamped.
type Clock struct {
	Source     string  `json:"source"`       // "tsc" or "monotonic"
	Reason     string  `json:"reason"`       // why that one
	CostNS     float64 `json:"cost_ns"`      // what reading it costs, measured at start
	Stamps     string  `json:"stamps"`       // "batch": one reading per submitted and per reaped batch
	DriftPPM   float64 `json:"drift_ppm"`    // tsc against the monotonic clock over the run; 0 for monotonic
	TicksPerUS float64 `json:"ticks_per_us"` // calibration; 1000 for monotonic
}

// Target is a device or file that I/O went to.
type Target struct {
	Path            string            `json:"path"`     // as given
	Resolved        string            `json:"resolved"` // with links resolved
	Kind            string            `json:"kind"`     // "block", "file", "nvme-generic" (a namespace's character device) or "null"
	Major           uint32            `json:"major"`    // of the block device, or of the device under the file
	Minor           uint32            `json:"minor"`
	SizeBytes       int64             `json:"size_bytes"`
	LogicalBytes    int               `json:"logical_block_bytes"`
	PhysicalBytes   int               `json:"physical_block_bytes"`
	MemAlignBytes   int               `json:"memory_alignment_bytes"` // that direct I/O demands of buffers
	OffsetAlign     int               `json:"offset_alignment_bytes"` // that direct I/O demands of offsets and lengths
	Filesystem      string            `json:"filesystem"`             // under a file; empty for a device
	Device          string            `json:"device"`                 // kernel name of the block device that gets the I/O
	Stack           []string          `json:"stack"`                  // from the target down: "loop0", "/data/img", "ext4", "nvme0n1"
	Model           string            `json:"model"`
	Firmware        string            `json:"firmware"`
	Transport       string            `json:"transport"`
	Scheduler       string            `json:"scheduler"`
	HardwareQueues  int               `json:"hardware_queues"` // 0 for a bio-based device
	Tags            int               `json:"tags"`            // per hardware queue
	NrRequests      int               `json:"nr_requests"`
	Rotational      bool              `json:"rotational"`
	WriteCache      string            `json:"write_cache"`
	IOPoll          bool              `json:"io_poll"`
	NUMANode        int               `json:"numa_node"` // -1 unknown
	QueueMap        []QueueCPUs       `json:"queue_map"` // which CPUs feed which hardware queue
	Settings        map[string]string `json:"settings"`  // /sys/block/X/queue/* worth knowing
	Notes           []string          `json:"notes"`     // which blk-mq facts apply to this kind of device
	Kernel          *KernelCounters   `json:"kernel"`    // the kernel's own count of what the run did to it; null if it keeps none
	Scratch         bool              `json:"scratch"`   // made by blkmeter for this run, and removed
	DirectIO        bool              `json:"direct_io"` // opened with O_DIRECT
	WrittenPercent  float64           `json:"written_percent"`
	WrittenKnown    bool              `json:"written_known"`
	ExclusiveDevice bool              `json:"exclusive"`  // opened O_EXCL
	Interrupts      []Interrupt       `json:"interrupts"` // of the device
	Health          *DriveHealth      `json:"health"`     // null unless it is an NVMe device that this user may ask
}

// QueueCPUs is one hardware queue and the CPUs mapped to it.
type QueueCPUs struct {
	HCTX int    `json:"hctx"`
	Type string `json:"type"` // default, read, poll; empty when debugfs does not tell
	Tags int    `json:"tags"`
	CPUs []int  `json:"cpus"`
}

// KernelCounters is the change of /sys/block/X/stat over the run. The kernel's sectors are 512 bytes.
type KernelCounters struct {
	ReadIOs      int64 `json:"read_ios"`
	ReadMerges   int64 `json:"read_merges"`
	ReadBytes    int64 `json:"read_bytes"`
	ReadTicksMS  int64 `json:"read_ticks_ms"`
	WriteIOs     int64 `json:"write_ios"`
	WriteMerges  int64 `json:"write_merges"`
	WriteBytes   int64 `json:"write_bytes"`
	WriteTicksMS int64 `json:"write_ticks_ms"`
	TrimIOs      int64 `json:"trim_ios"`
	TrimBytes    int64 `json:"trim_bytes"`
	FlushIOs     int64 `json:"flush_ios"`
	InQueueMS    int64 `json:"in_queue_ms"`
	IOTicksMS    int64 `json:"io_ticks_ms"`
	WindowNS     int64 `json:"window_ns"` // between the two readings
}

// Job is one job section: what it was to do, and what all its workers did together.
type Job struct {
	Name        string             `json:"name"`
	Description string             `json:"description"`
	GroupID     int                `json:"group_id"` // reporting group, from 0
	Grouped     bool               `json:"group_reporting"`
	Options     []workloads.Option `json:"options"` // as typed
	Spec        Spec               `json:"spec"`    // as resolved
	Decisions   []Decision         `json:"decisions"`
	Fairness    *Fairness          `json:"fairness"`         // with a shared queue; null otherwise
	SteadyState *SteadyState       `json:"steadystate"`      // null when the job does not look for one
	Replay      *Replay            `json:"replay"`           // null when a pattern said what to do
	Skipped     string             `json:"skipped,omitzero"` // why the job never began; absent when it did
	Stats
	Workers []Worker   `json:"workers"`
	Series  []Interval `json:"series"`
}

// Replay is the logs of single I/Os that a job replayed (read_iolog).
type Replay struct {
	Logs       []string `json:"logs"`        // of the workers, in order
	IOs        int64    `json:"ios"`         // in the logs of all workers, syncs included, once through
	DurationNS int64    `json:"duration_ns"` // from the beginning of the longest log to its last I/O, after replay_time_scale
	Timed      bool     `json:"timed"`       // at the recorded times; otherwise as fast as the depth allowed
}

// Decision is something blkmeter chose for the user, and why.
type Decision struct {
	What   string `json:"what"`
	Chosen string `json:"chosen"`
	Why    string `json:"why"`
}

// Spec is the resolved job: the values that the run used.
type Spec struct {
	RW               string   `json:"rw"`
	Targets          []int    `json:"targets"` // indices into Result.Targets
	Engine           string   `json:"engine"`  // the engine that ran
	BlockMinBytes    [3]int64 `json:"block_min_bytes"`
	BlockMaxBytes    [3]int64 `json:"block_max_bytes"`
	IODepth          int      `json:"iodepth"` // per worker
	NumJobs          int      `json:"numjobs"`
	Direct           bool     `json:"direct"`
	OffsetBytes      int64    `json:"offset_bytes"`
	SizeBytes        int64    `json:"size_bytes"`
	RuntimeNS        int64    `json:"runtime_ns"` // 0: until the work was done
	RampNS           int64    `json:"ramp_ns"`
	RampBytes        int64    `json:"ramp_bytes"` // transferred before the measured window
	TimeBased        bool     `json:"time_based"`
	BatchSubmit      int      `json:"batch_submit"` // most requests per submission; 0: whatever was ready
	BatchCompleteMin int      `json:"batch_complete_min"`
	BatchCompleteMax int      `json:"batch_complete_max"`
	Queue            string   `json:"queue"`          // "multi" or "single"
	QueueLock        string   `json:"queue_lock"`     // with a single queue
	SubmitMode       string   `json:"io_submit_mode"` // "inline", or "offload" to a pool of iodepth threads per worker
	Seed             uint64   `json:"seed"`
	MixReadPercent   int      `json:"mix_read_percent"`
	RandomMap        bool     `json:"random_map"`
	ContinueOnError  string   `json:"continue_on_error"`
	LatencyTargetNS  int64    `json:"latency_target_ns"`
	LatencyWindowNS  int64    `json:"latency_window_ns"`
	LatencyPercent   float64  `json:"latency_percentile"`
	RateIOPS         [3]int64 `json:"rate_iops"`
	FlowWeight       int      `json:"flow"` // of each worker among those with the same flow_id; 0: takes no part
	FlowID           int      `json:"flow_id"`
	StartClock       int      `json:"start_clock,omitzero"`    // clock that fio's formats give the start in (job_start_clock_id)
	StartClockNS     int64    `json:"start_clock_ns,omitzero"` // what it showed when the run started
	EngineFeatures   []string `json:"engine_features"`         // what the engine really used: "io_uring: DEFER_TASKRUN", ...
}

// Fairness tells how evenly a shared queue served its workers.
type Fairness struct {
	Lock           string  `json:"lock"`
	Variant        string  `json:"variant"` // what the lock was held for: u1 filling, u2 and the system call, u2c and completions, u3 and hold_ns
	HoldNS         int64   `json:"hold_ns"` // of u3: how much longer the lock was held for each request
	Jain           float64 `json:"jain"`    // 1: all workers got the same number of I/Os; 1/n: one got everything
	LockWaitNS     int64   `json:"lock_wait_ns"`
	LockAcquires   int64   `json:"lock_acquires"`
	WaitPerIONS    float64 `json:"lock_wait_per_io_ns"`
	WaitMaxNS      int64   `json:"lock_wait_max_ns"`
	LongestGapNS   int64   `json:"longest_gap_ns"` // longest time between two times that a worker had the lock, waiting for I/O and arrivals included
	TagsTotal      int     `json:"tags_total"`     // most requests in flight over all workers
	HonestSentence string  `json:"note"`
}

// Stats is what a worker, or all workers of a job together, did inside the measured window.
type Stats struct {
	Error        *Error        `json:"error"`
	StartNS      int64         `json:"start_ns"`   // measured window's start, from Result.StartedAt
	RuntimeNS    int64         `json:"runtime_ns"` // measured window's length; of a job: the longest of its workers
	Read         *DirStats     `json:"read"`       // null when the job does not read
	Write        *DirStats     `json:"write"`
	Trim         *DirStats     `json:"trim"`
	Sync         *SyncStats    `json:"sync"`   // null when the job never syncs
	Verify       *VerifyStats  `json:"verify"` // null when nothing was checked
	CPU          CPU           `json:"cpu_time"`
	Syscalls     int64         `json:"syscalls"`     // made by the engine to submit, wait and reap
	Depth        []CountBucket `json:"depth"`        // requests in flight just after each submission, weighted by the requests submitted
	SubmitBatch  []CountBucket `json:"submit_batch"` // requests taken per submission
	ReapBatch    []CountBucket `json:"reap_batch"`   // completions found per reap
	TotalErrors  int64         `json:"total_errors"` // failed I/Os
	FirstErrno   int           `json:"first_errno"`
	RingOverflow int64         `json:"ring_overflows"`
	LateArrivals int64         `json:"late_arrivals"` // paced jobs: submitted after their intended time
	Arrivals     int64         `json:"arrivals"`
}

// Dir returns the statistics of direction d, or nil.
func (s *Stats) Dir(d workloads.Direction) *DirStats {
	switch d {
	case workloads.Read:
		return s.Read
	case workloads.Write:
		return s.Write
	default:
		return s.Trim
	}
}

// CountBucket counts how often a value occurred.
type CountBucket struct {
	Value int   `json:"value"`
	Count int64 `json:"count"`
}

// DirStats is one direction's share. Failed I/Os are counted in Errors and nowhere else.
type DirStats struct {
	IOs       int64    `json:"ios"`    // completed in full
	Bytes     int64    `json:"bytes"`  // transferred
	Issued    int64    `json:"issued"` // completed, failed or given up: what fio's total_ios means
	Short     int64    `json:"short"`  // transfers that came back short and were continued
	Errors    int64    `json:"errors"`
	RuntimeNS int64    `json:"runtime_ns"` // the direction's share of the window: the whole window
	IOPS      float64  `json:"iops_per_s"` // IOs / RuntimeNS
	BW        float64  `json:"bw_bytes_per_s"`
	Slat      *Latency `json:"slat"` // start to issue; null for synchronous engines
	Clat      *Latency `json:"clat"` // issue to complete
	Lat       *Latency `json:"lat"`  // start to complete
	Response  *Latency `json:"response"`
	IOPSRate  Rate     `json:"iops_samples_per_s"`
	BWRate    Rate     `json:"bw_samples_bytes_per_s"`

	// Priorities tell I/Os with different priorities apart, that of the job's threads first. They are absent when
	// the job gave all of its I/Os the same.
	Priorities []PriorityStats `json:"priorities,omitempty"`
}

// PriorityStats is what the I/Os of one direction and I/O priority did: ioprio_set(2) tells what these mean.
type PriorityStats struct {
	Class int      `json:"class"` // 0 none, 1 real time, 2 best effort, 3 idle
	Level int      `json:"level"` // 0, the highest, to 7
	Hint  int      `json:"hint"`  // what the device was told beside it; 0 nothing
	IOs   int64    `json:"ios"`   // completed in full
	Clat  *Latency `json:"clat"`
	Lat   *Latency `json:"lat"`
}

// Rate summarises the windows of the series (500 ms each, the last partial one left out).
type Rate struct {
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Mean   float64 `json:"mean"`
	Stddev float64 `json:"stddev"`
	N      int64   `json:"n"`
}

// SyncStats is the fsync, fdatasync and sync_file_range calls of a job.
type SyncStats struct {
	IOs    int64    `json:"ios"`
	Errors int64    `json:"errors"`
	Lat    *Latency `json:"lat"`
}

// Latency is a latency distribution: exact sum and extremes, and the full histogram.
type Latency struct {
	N           int64        `json:"n"`
	MinNS       int64        `json:"min_ns"`
	MaxNS       int64        `json:"max_ns"`
	MeanNS      float64      `json:"mean_ns"`
	StddevNS    float64      `json:"stddev_ns"` // sample standard deviation
	Percentiles []Percentile `json:"percentiles"`
	Clamped     int64        `json:"clamped"` // values above the histogram's range, counted in its last bucket
	Histogram   string       `json:"hdr_v2"`  // HdrHistogram V2, zlib, base64: 1 ns to 1 h, 3 significant digits
}

// Percentile is the value at or under which Percent of the samples lie.
type Percentile struct {
	Percent float64 `json:"percent"`
	ValueNS int64   `json:"value_ns"`
}

// CPU is the processor time of the worker threads inside the measured window.
type CPU struct {
	UserNS             int64   `json:"user_ns"`
	SysNS              int64   `json:"sys_ns"`
	UserPerIONS        float64 `json:"user_per_io_ns"`
	SysPerIONS         float64 `json:"sys_per_io_ns"`
	VoluntarySwitches  int64   `json:"voluntary_switches"`
	PreemptionSwitches int64   `json:"involuntary_switches"`
	MinorFaults        int64   `json:"minor_faults"`
	MajorFaults        int64   `json:"major_faults"`
}

// Worker is one clone of a job: one goroutine, one thread, one CPU, one queue.
type Worker struct {
	Index      int           `json:"index"`       // within the job, from 0
	CPU        int           `json:"cpu"`         // pinned to; -1 when not pinned
	CPUs       []int         `json:"cpus"`        // the set it was bound to
	HCTX       int           `json:"hctx"`        // hardware queue that CPU feeds; -1 unknown or none
	NUMANode   int           `json:"numa_node"`   // of the CPU; -1 unknown
	SeenOnCPUs []CountBucket `json:"seen_on_cpu"` // where getcpu found it, asked once per window
	ThreadID   int           `json:"thread_id"`
	RegionLow  int64         `json:"region_start_bytes"`
	RegionHigh int64         `json:"region_end_bytes"`
	LockWaitNS int64         `json:"lock_wait_ns"`

	DepthSearch *DepthSearch `json:"depth_search"` // null without latency_target
	Stats
}

// Interval is one window of a job's series, all workers together. Windows are aligned to the start of the
// measured window.
type Interval struct {
	StartNS  int64         `json:"start_ns"`  // from the start of the job's measured window
	LengthNS int64         `json:"length_ns"` // shorter than interval_ns only for the last
	Read     *IntervalStat `json:"read"`
	Write    *IntervalStat `json:"write"`
	Trim     *IntervalStat `json:"trim"`
	Partial  bool          `json:"partial"` // not every worker reported for the whole window
}

// IntervalStat is one direction in one window; latencies are completion latencies of the window alone.
type IntervalStat struct {
	IOs    int64   `json:"ios"`
	Bytes  int64   `json:"bytes"`
	Errors int64   `json:"errors"`
	IOPS   float64 `json:"iops_per_s"`
	BW     float64 `json:"bw_bytes_per_s"`
	MeanNS float64 `json:"clat_mean_ns"`
	P50NS  int64   `json:"clat_p50_ns"`
	P99NS  int64   `json:"clat_p99_ns"`
	MaxNS  int64   `json:"clat_max_ns"`
}

// Collector says how often the Go runtime collected garbage inside measured windows; it should be 0.
type Collector struct {
	Cycles  int64 `json:"cycles"`
	PauseNS int64 `json:"pause_ns"`
}
