// Package workloads says what I/O is to be done: the jobs of a run, in fio's words, and the plan made of
// them. Nothing here touches a device; a Plan can be printed without opening anything.
package workloads

import (
	"strings"
	"time"
)

// Direction indexes every per-direction value: read 0, write 1, trim 2, as in fio's logs and output.
type Direction uint8

const (
	Read Direction = iota
	Write
	Trim
	Directions = 3 // how many there are
)

// String returns "read", "write" or "trim".
func (d Direction) String() string { return [...]string{"read", "write", "trim"}[d] }

// RW is fio's rw= option: which directions, and whether offsets are random.
type RW uint8

const (
	RWRead RW = iota
	RWWrite
	RWTrim
	RWRandRead
	RWRandWrite
	RWRandTrim
	RWReadWrite     // sequential mix of reads and writes ("rw", "readwrite")
	RWRandRW        // random mix
	RWTrimWrite     // each block trimmed, then written
	RWRandTrimWrite // the same at random offsets
)

var rwNames = [...]string{
	RWRead: "read", RWWrite: "write", RWTrim: "trim",
	RWRandRead: "randread", RWRandWrite: "randwrite", RWRandTrim: "randtrim",
	RWReadWrite: "rw", RWRandRW: "randrw", RWTrimWrite: "trimwrite", RWRandTrimWrite: "randtrimwrite",
}

// ParseRW returns the RW that fio's word names.
func ParseRW(s string) (RW, bool) {
	if s == "readwrite" {
		return RWReadWrite, true
	}
	for i, n := range rwNames {
		if n == s {
			return RW(i), true
		}
	}
	return 0, false
}

// rwReplay marks a kind that a log decides; the bits below it are the directions.
const rwReplay RW = 1 << 7

// RWReplay returns the kind of a job that replays a log, which may have any of the three directions.
func RWReplay(does [Directions]bool) RW {
	r := rwReplay
	for d, is := range does {
		if is {
			r |= 1 << d
		}
	}
	return r
}

// RWNames lists fio's words for rw, in fio's order, synonyms included.
func RWNames() []string { return append([]string{"readwrite"}, rwNames[:]...) }

// String returns fio's word; "replay" where a log decides.
func (r RW) String() string {
	if r&rwReplay != 0 {
		return "replay"
	}
	return rwNames[r]
}

// Random says whether offsets are drawn at random.
func (r RW) Random() bool {
	switch r {
	case RWRandRead, RWRandWrite, RWRandTrim, RWRandRW, RWRandTrimWrite:
		return true
	}
	return false
}

// Does says whether jobs of this kind issue I/O in direction d.
func (r RW) Does(d Direction) bool {
	if r&rwReplay != 0 {
		return r>>d&1 == 1
	}
	switch r {
	case RWRead, RWRandRead:
		return d == Read
	case RWWrite, RWRandWrite:
		return d == Write
	case RWTrim, RWRandTrim:
		return d == Trim
	case RWReadWrite, RWRandRW:
		return d == Read || d == Write
	default:
		return d == Write || d == Trim
	}
}

// Destructive says whether jobs of this kind change what is stored.
func (r RW) Destructive() bool { return r.Does(Write) || r.Does(Trim) }

// Amount is a size that may be given in bytes or as a share of the target.
type Amount struct {
	Bytes   int64
	Percent float64 // 0..100; used when IsPct
	IsPct   bool
	Set     bool // the user gave it
}

// Of returns the amount in bytes for a target of total bytes.
func (a Amount) Of(total int64) int64 {
	if a.IsPct {
		return int64(float64(total) * a.Percent / 100)
	}
	return a.Bytes
}

// SizeRange is a range of sizes in bytes; Min == Max for a fixed size.
type SizeRange struct{ Min, Max uint32 }

// Split is one entry of bssplit: Bytes is used for Percent of the I/Os.
type Split struct {
	Bytes   uint32
	Percent float64
}

// Option is one option as the user typed it; a bare flag has an empty Value. Reports echo it.
type Option struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Job is one job section after options, globals and defaults were applied. Values are fio's meaning in
// base units: bytes, nanoseconds (time.Duration), I/Os per second. Arrays of three are indexed by
// [Direction].
type Job struct {
	Name        string
	Description string
	Options     []Option // as typed, in order: the section's own; reports echo them
	NumJobs     int      // clones, 1 or more

	// Target.
	Filenames       []string // fio's filename= list, links not resolved
	Directories     []string
	FilenameFormat  string
	NrFiles         int
	OpenFiles       int    // most files open at a time; 0: all of them
	FileService     string // roundrobin, sequential, random, zipf:.., pareto:.., normal:..
	FileServiceRuns int    // I/Os on a file before the next is chosen
	Size            Amount // region; unset: to the end of the target
	IOSize          Amount // bytes to transfer; unset: Size
	FileSize        SizeRange64
	Offset          Amount
	OffsetIncrement Amount
	OffsetAlign     int64
	Scratch         bool // blkmeter makes (and removes) the target itself

	// I/O kind.
	RW               RW
	RWRun            int    // rw=..:N for random kinds: sequential I/Os per random offset
	RWSkipBytes      int64  // rw=..:N for sequential kinds: bytes skipped after each I/O
	Sequencer        string // rw_sequencer: "sequential" or "identical"
	Direct           bool
	DirectAssumed    bool   // Direct is blkmeter's choice: nobody asked for direct or buffered I/O
	SyncMode         string // sync=: "", "sync", "dsync"
	WriteHint        string // write_hint: "", "none", "short", "medium", "long", "extreme"
	MixReadPercent   int    // rwmixread
	NoRandomMap      bool
	RandomGenerator  string // "tausworthe", "lfsr", "tausworthe64"
	Distribution     [Directions]string
	SequenceStride   bool // random_sequence_stride: each repetition of Distribution sequence:.. starts behind the last
	PercentageRandom [Directions]int
	RandRepeat       bool
	RandSeed         uint64 // 0: fio's default seed when RandRepeat, else drawn by run and recorded
	RandSeedSet      bool
	NumberIOs        uint64
	Loops            int
	FsyncEvery       int // fsync after this many writes; 0 never
	FdatasyncEvery   int
	SyncRange        SyncRange
	EndFsync         bool
	FsyncOnClose     bool

	// Block sizes.
	BS          [Directions]SizeRange
	BSSplit     [Directions][]Split
	BlockAlign  [Directions]uint32 // 0: the minimum block size
	BSUnaligned bool
	BSIsSeqRand bool // BS[Read] is for sequential, BS[Write] for random I/Os, whatever their direction

	// Buffers.
	Buffers BufferSpec

	// Queue and engine.
	Engine           string // fio's name as typed, or "auto"
	IODepth          int
	BatchSubmit      int  // iodepth_batch_submit: most per submission; 0: whatever is ready
	BatchSubmitSet   bool // explicit: honoured to the letter
	BatchCompleteMin int  // 0 polls
	BatchCompleteMax int  // 0: as many as there are
	BatchCompleteSet bool
	IODepthLow       int
	HiPri            bool
	FixedBufs        bool
	RegisterFiles    bool
	SQThreadPoll     bool
	SQThreadPollCPU  int // -1 any
	ForceAsync       int
	NoWait           bool
	Uncached         bool   // buffered I/O leaves nothing in the page cache
	Atomic           bool   // writes happen whole or not at all
	NVMe             NVMe   // commands of io_uring_cmd
	Offload          bool   // io_submit_mode=offload: a pool of IODepth threads does each clone's I/O
	SerializeOverlap bool   // an I/O waits for those in flight that it overlaps
	SharedQueue      bool   // --queue=single
	QueueLock        string // --queue-lock
	QueueVariant     string // --queue-variant: "u1", "u2", "u2c", "u3"; what that lock is held for
	HoldNS           int64  // --hold-ns: of u3, how much longer for each request, nanoseconds

	// Placement.
	CPUsAllowed       []int // nil: blkmeter places workers itself
	CPUsAllowedPolicy string
	Placement         string
	Nice              int
	Prio              int
	PrioClass         int
	PrioHint          int
	CmdPrio           [2][]PriorityShare // of reads and writes: those with a priority other than the thread's
	ExecPrerun        string             // shell command to run before the job; "" none
	ExecPostrun       string             // after it
	IOScheduler       string             // of the device under the targets while the job's stage runs; "": as it is

	// Time.
	Runtime    time.Duration // 0: until the work is done
	TimeBased  bool
	RampTime   time.Duration
	RampBytes  int64 // instead: transfer this much before measuring
	StartDelay DurationRange
	StartClock int // number of the clock (clock_gettime) that fio's formats give the job's start in; 0: time since 1970
	Thinktime  Thinktime

	// Rate.
	RateBytes   [Directions]uint64 // bytes/s; 0 none
	RateIOPS    [Directions]uint64
	RateMin     [Directions]uint64
	RateIOPSMin [Directions]uint64
	RateProcess string // "linear", "poisson"
	RateCycle   time.Duration
	// RateIgnoreThinktime (rate_ignore_thinktime) moves the arrivals by every pause instead of catching up.
	RateIgnoreThinktime bool

	// Latency control.
	MaxLatency    [Directions]time.Duration
	LatencyTarget LatencyTarget
	Flow          Flow

	// Grouping and order.
	Stonewall      bool
	NewGroup       bool
	GroupReporting bool
	WaitFor        string
	ExitAll        bool
	ExitWhat       string
	ExitAllOnError bool

	// Errors.
	ContinueOnError string // none, read, write, io, verify, all
	IgnoreError     [Directions][]string

	// Safety.
	Destroy         string // --destroy=NAME, the last path element of the resolved target
	Fill            bool   // --fill: write a read job's region first, if it was never written
	AllowFileCreate bool

	// Files, checks, reports, and the rest of fio's language; see spec.go.
	Layout       Layout
	Verify       Verify
	Replay       Replay
	RecordTo     string // write_iolog: the log of the job's I/Os; empty: none
	Logs         Logs
	Stats        Stats
	Zones        Zones
	SteadyState  SteadyState
	NUMACPUNodes []int // nodes whose CPUs the workers may use; nil: all
	NUMAMemory   NUMAMemory
	LockMemBytes int64 // memory that each worker keeps from everybody else
	EndSyncFS    bool

	// Where it came from, for messages.
	File string
	Line int
}

// SizeRange64 is a range of file sizes in bytes.
type SizeRange64 struct{ Min, Max int64 }

// DurationRange is a range to draw a duration from; Min == Max for a fixed one.
type DurationRange struct{ Min, Max time.Duration }

// Thinktime is fio's thinktime family.
type Thinktime struct {
	Time   time.Duration
	Spin   time.Duration
	Blocks int
	Type   string // "complete", "issue"
	IOTime time.Duration
}

// NVMe says which commands ioengine=io_uring_cmd sends.
type NVMe struct {
	Write      string  // write_mode: "write", "uncor", "zeroes", "verify"
	FUA        [2]bool // readfua, writefua: of reads and writes, to the medium and not to a cache
	Deallocate bool    // deac: write_mode=zeroes may deallocate the blocks
}

// describe tells what is sent other than plain reads and writes; empty when nothing is.
func (n NVMe) describe() string {
	var parts []string
	switch n.Write {
	case "zeroes":
		parts = append(parts, "writes are NVMe's Write Zeroes, without data")
	case "uncor":
		parts = append(parts, "writes are NVMe's Write Uncorrectable: reading the blocks fails until they are written again")
	case "verify":
		parts = append(parts, "writes are NVMe's Verify, which writes nothing")
	}
	for d, fua := range n.FUA {
		if fua {
			parts = append(parts, Direction(d).String()+"s have FUA: they go to the medium")
		}
	}
	return strings.Join(parts, "; ")
}

// BufferSpec says what data writes carry.
type BufferSpec struct {
	Refill          bool
	Zero            bool
	Scramble        bool
	Pattern         string // as typed
	CompressPercent int    // -1 unset
	CompressChunk   int
	DedupePercent   int  // -1 unset
	DedupeSet       bool // repeats come from a fixed set of blocks (dedupe_mode=working_set), not from those written before
	DedupeSetShare  int  // size of that set, in percent of the region's blocks
	DedupeGlobal    bool // the set is the same for all jobs that say so
	Mem             string
	OffsetBytes     int // between a page's start and the first buffer's (iomem_align)
	HugePageBytes   int // of reserved huge pages that Mem asks for; 0: whatever huge pages there are
}

// DefaultJob returns a job with fio's defaults, except where blkmeter's are safer or better and say so:
// engine "auto" instead of psync, batches of whatever is ready instead of one.
func DefaultJob() Job {
	return Job{
		NumJobs: 1, NrFiles: 1, FileService: "roundrobin", FileServiceRuns: 1,
		FilenameFormat: "$jobname.$jobnum.$filenum",
		RWRun:          1, Sequencer: "sequential", MixReadPercent: 50,
		RandomGenerator:  "tausworthe",
		Distribution:     [Directions]string{"random", "random", "random"},
		PercentageRandom: [Directions]int{100, 100, 100},
		RandRepeat:       true, Loops: 1,
		BS:      [Directions]SizeRange{{4096, 4096}, {4096, 4096}, {4096, 4096}},
		Buffers: BufferSpec{Scramble: true, CompressPercent: -1, CompressChunk: 512, DedupePercent: -1, DedupeSetShare: 5, Mem: "malloc"},
		Engine:  "auto", IODepth: 1,
		BatchSubmit: 1, BatchCompleteMin: 1,
		NVMe:            NVMe{Write: "write"},
		SQThreadPollCPU: -1, QueueLock: "mutex", QueueVariant: "u2c",
		CPUsAllowedPolicy: "shared", Placement: "queues",
		Thinktime:   Thinktime{Blocks: 1, Type: "complete"},
		RateProcess: "linear", RateCycle: time.Second,
		LatencyTarget: LatencyTarget{Percentile: 100},
		ExitWhat:      "group", ContinueOnError: "none", AllowFileCreate: true,
		Layout: Layout{CreateFsync: true, Fallocate: "native", Invalidate: true, FadviseHint: "1", LockFile: "none"},
		Verify: Verify{Do: true, HeaderSeed: true, WriteSequence: true, TrimVerifyZero: true},
		Replay: Replay{Scale: 1, TimePercent: 100},
		Logs:   Logs{Window: "avg", PerJob: true},
		Stats: Stats{
			ClatPercentiles: true, Percentiles: DefaultPercentiles(), DiskUtil: true,
			SignificantDigits: 4, KBBase: 1024, Unified: "none",
		},
		Zones:       Zones{Mode: "none"},
		SteadyState: SteadyState{Metric: "iops_slope", Limit: 0.01, Percent: true, Interval: time.Second},
	}
}

// DefaultPercentiles lists the percentiles that fio reports.
func DefaultPercentiles() []float64 {
	return []float64{1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99}
}

// Plan is everything a run is to do: jobs in order, with the command line's or files' globals for the
// echo in reports.
type Plan struct {
	Jobs     []Job
	Globals  []Option
	Warnings []Warning // what the user should know about how options were read
}

// Warning is a code in capitals, a sentence, and what to do about it.
type Warning struct {
	Code     string `json:"code"`
	Sentence string `json:"sentence"`
	Hint     string `json:"hint,omitempty"`
}
