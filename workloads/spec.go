package workloads

import "time"

// Layout says how files are made before a job and what becomes of them after it. Nothing in it applies to
// block devices, except FillDevice and Invalidate.
type Layout struct {
	CreateOnly     bool   // make the files and do nothing else
	CreateOnOpen   bool   // make a file when I/O first goes to it, instead of before the job
	CreateFsync    bool   // make stable what a file is laid out with
	Fallocate      string // none, native, posix, keep, truncate
	Overwrite      bool   // write a file out fully before the job writes to it
	Append         bool   // write behind a file's end (file_append)
	Unlink         bool   // remove files that the run made when the job is done
	UnlinkEachLoop bool   // remove them after each loop; the next one makes them again
	Invalidate     bool   // drop the target's cached pages before the job
	PreRead        bool   // read the files once before the job
	FadviseHint    string // 0, 1, random, sequential, noreuse
	FillDevice     bool   // write until ENOSPC, which then is no error
	OpenDir        string // take the files below this directory
	LockFile       string // none, exclusive, readwrite: who may do I/O to a file at the same time
}

// Verify says how data written is checked when read back, and what is trimmed before.
type Verify struct {
	Kind           string // fio's word: "" none, md5, crc32c, ..., meta, pattern, null
	Do             bool   // do_verify: read back after the write phase
	Only           bool   // verify_only: no writes, check what an earlier run wrote
	Fatal          bool   // stop at the first mismatch
	Dump           bool   // write expected and received blocks to files
	IntervalBytes  int64  // a header every so many bytes; 0: once a block
	OffsetBytes    int64  // where in the block the header lies
	Pattern        string // as typed
	Backlog        uint64 // verify after so many written blocks; 0: at the end
	BacklogBatch   uint64 // verify so many of them at a time; 0: all
	HeaderSeed     bool   // headers carry the seed of their block and are checked for it
	WriteSequence  bool   // headers carry the number of the write and are checked for it
	TrimVerifyZero bool   // trimmed blocks must read as zeros
	TrimPercent    int    // share of the written blocks that is trimmed, in percent; none without TrimBacklog
	TrimBacklog    uint64 // trim after so many writes; 0: never
	TrimBatch      uint64 // so many of the chosen blocks at a time; 0: TrimBacklog
	Async          int    // threads that check what a worker reads; 0: the worker itself
	AsyncCPUs      []int  // where they run; nil: anywhere
	StateSave      bool   // keep what was written in a file for later runs
	StateLoad      bool   // expect what such a file says
}

// Replay says that the job's I/Os come from logs of single I/Os instead of a pattern.
type Replay struct {
	Logs        []string // names, given to the clones in turn; empty: nothing is replayed
	NoStall     bool     // as fast as the depth allows instead of at the recorded times
	Redirect    string   // the target of all I/Os; empty: those that the log names
	Scale       int64    // offsets are divided by it
	AlignBytes  int64    // and rounded down to a multiple of it; a power of two, or 0
	TimePercent int64    // of the recorded speed
	Skip        []string // kinds left out: read, write, trim, sync
}

// Logs says which per-interval or per-I/O logs are written. A log is wanted when its prefix is set or its
// Want is true; fio names it after the job when the prefix is empty.
type Logs struct {
	BW, IOPS, Lat, Hist LogFile
	Average             time.Duration // 0: one line per I/O
	HistEvery           time.Duration
	HistCoarseness      int    // 0..6: 2^n bins are merged
	Window              string // avg, max, both
	PerJob              bool
	Offset              bool // log the offset of each I/O
	Prio                bool
	IssueTime           bool
	AlternateEpoch      bool // the time of a clock instead of the time since the start
	EpochClock          int  // its number (clock_gettime); 0: time since 1970
	CompressBytes       int64
	StoreCompressed     bool
}

// LogFile is one of fio's log options: wanted, perhaps with a prefix of its own.
type LogFile struct {
	Want   bool
	Prefix string
}

// Stats says what is measured and how it is shown.
type Stats struct {
	Off               bool // stats=0: the job's numbers are not reported
	ClatPercentiles   bool
	LatPercentiles    bool
	SlatPercentiles   bool
	Percentiles       []float64 // ascending, in (0, 100]
	DisableLat        bool
	DisableClat       bool
	DisableSlat       bool
	SignificantDigits int
	KBBase            int
	UnitBase          int    // 8 bytes, 1 bits, 0 automatic
	Unified           string // none, mixed, both
	DiskUtil          bool
}

// Zones is fio's zonemode family for targets without zones of their own.
type Zones struct {
	Mode       string // none, strided, zbd
	SizeBytes  int64  // data to transfer per zone
	RangeBytes int64  // distance in which that happens, more than once when it is shorter; 0: SizeBytes
	SkipBytes  int64  // left out after each zone
}

// Strided says whether I/O goes from zone to zone.
func (z *Zones) Strided() bool { return z.Mode == "strided" }

// SyncRange has the kernel write back what was written, by sync_file_range(2). It makes nothing durable.
type SyncRange struct {
	Every      int  // writes; 0 never
	WaitBefore bool // wait for what is being written back already
	Write      bool // write it back
	WaitAfter  bool // and wait for that
}

// NUMAMemory says on which NUMA nodes a job's I/O buffers are to be.
type NUMAMemory struct {
	Policy string // "", "default", "prefer", "bind", "interleave", "local"
	Nodes  []int  // of prefer, bind and interleave
	All    bool   // all nodes with memory instead
}

// SteadyState ends a job when a criterion has held over Duration.
type SteadyState struct {
	Metric   string // iops, iops_slope, bw, bw_slope, lat, lat_slope
	Limit    float64
	Percent  bool // Limit is a percentage of the mean
	Duration time.Duration
	Ramp     time.Duration
	Interval time.Duration
}

// LatencyTarget is the search of the highest queue depth at which a latency is kept.
type LatencyTarget struct {
	Limit      time.Duration // most that an I/O may take from start to completion; 0: no search
	Window     time.Duration // how long each depth is tried
	Percentile float64       // percent of the I/Os of a window that must keep Limit
	Run        bool          // go on adjusting the depth instead of ending when it is found
}

// Flow keeps what the clones of several jobs do in proportion: of all I/Os of the clones with the same ID,
// each does the share that its Weight has of the sum of their weights.
type Flow struct {
	Weight int // 0: takes no part
	ID     int
	Sleep  time.Duration // how long a clone waits that is ahead of its share
}

// Trims says whether the job trims anything: by its rw=, or because a share of what it writes is trimmed before
// it is verified.
func (j *Job) Trims() bool {
	return j.RW.Does(Trim) || j.Verify.Kind != "" && j.RW.Does(Write) && j.Verify.TrimPercent > 0 && j.Verify.TrimBacklog > 0
}
