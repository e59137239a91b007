package report

// Explain is what the explain pass proved: where the kernel issued and completed the run's requests, and
// which way they took. The pass repeats each stage for up to a second after the measured one, with the
// kernel's tracepoints counting; none of the run's other figures are from it.
type Explain struct {
	Stages  []ExplainStage `json:"stages"`
	Missing []Missing      `json:"missing"` // what could not be found out, and how it could
}

// Missing is something that could not be counted.
type Missing struct {
	What   string `json:"what"`
	Why    string `json:"why"`
	Remedy string `json:"remedy"` // empty when nothing here can help
}

// ExplainStage is the explain pass of jobs that ran together.
type ExplainStage struct {
	Jobs               []string        `json:"jobs"`
	LengthNS           int64           `json:"length_ns"`            // how long was counted
	IOs                int64           `json:"ios"`                  // reads, writes and trims that the workers did meanwhile
	Contentions        *int64          `json:"contentions"`          // waits for a kernel lock on the workers' CPUs, whoever waited; null when not counted
	ContentionsPer1000 *float64        `json:"contentions_per_1000"` // per 1,000 of the I/Os
	ContentionsCPUs    []int           `json:"contentions_cpus"`     // the CPUs that were looked at
	Locks              *LockWaits      `json:"locks"`                // the same waits by who asked for the lock; null when they could not be recorded
	Devices            []ExplainDevice `json:"devices"`              // the disks that the jobs' I/O went to
}

// LockWaits is the waits for kernel locks that were recorded one by one (lock:contention_begin and
// contention_end), which costs a microsecond or two each: less load was done than without.
type LockWaits struct {
	Sites []LockSite `json:"sites"` // most waits first
	Lost  int64      `json:"lost"`  // beginnings and ends for which there was no room
}

// LockSite is the waits for locks of one kind that one function of the kernel asked for.
type LockSite struct {
	Function   string `json:"function"` // empty: unknown
	Kind       string `json:"kind"`     // "spin": waiting burns the CPU; "sleep": it may be free meanwhile
	BlockLayer bool   `json:"block_layer"`
	Waits      int64  `json:"waits"`
	WaitNS     int64  `json:"wait_ns"` // of all together
}

// ExplainDevice is what the kernel counted at one disk. Null counters could not be counted.
type ExplainDevice struct {
	Device          string       `json:"device"`            // kernel name of the disk
	IOs             int64        `json:"ios"`               // the workers' I/Os that went to it
	IOsKnown        bool         `json:"ios_known"`         // false when workers spread over several disks: IOs is then 0
	Requests        int64        `json:"requests"`          // handed to the driver, those of others included; each once
	RequestsPerIO   float64      `json:"requests_per_io"`   // 0 when not known
	Completed       *int64       `json:"completed"`         // requests
	Inserted        *int64       `json:"inserted"`          // requests that waited in a scheduler or software queue first
	DirectPercent   *float64     `json:"direct_percent"`    // share of the requests that went straight to the driver
	BackMerges      *int64       `json:"back_merges"`       // I/Os that became the end of another's request
	FrontMerges     *int64       `json:"front_merges"`      // I/Os that became the start of another's request
	Splits          *int64       `json:"splits"`            // I/Os cut in two because they were too large for the device
	Requeues        *int64       `json:"requeues"`          // requests that the driver did not take and got again
	Interrupts      *int64       `json:"interrupts"`        // of the device's vectors
	InterruptsPerIO *float64     `json:"interrupts_per_io"` // below 1: coalesced, polled, or answered without one
	Polling         string       `json:"polling"`           // of jobs that poll: "confirmed" (no interrupts), "refuted" or "unknown"; else empty
	QueuesFrom      string       `json:"queues_from"`       // how the hardware queue is known: "nvme:nvme_setup_cmd", or "cpu map": the queue that the issuing CPU feeds
	MatchPercent    *float64     `json:"match_percent"`     // requests issued on the hardware queue of the worker's CPU; null when not judged
	MatchUnknown    string       `json:"match_unknown"`     // why not
	CPUs            []ExplainCPU `json:"cpus"`              // those with anything to tell
	Queues          []QueueShare `json:"queues"`            // hardware queues that got requests
}

// ExplainCPU is what happened on one CPU.
type ExplainCPU struct {
	CPU        int          `json:"cpu"`
	IOs        int64        `json:"ios"`       // of the workers pinned to it
	Issued     int64        `json:"issued"`    // requests handed to the driver here, reissues included
	Completed  int64        `json:"completed"` // requests that ended here
	Inserted   int64        `json:"inserted"`
	Interrupts int64        `json:"interrupts"` // of the device's vectors
	Queues     []QueueShare `json:"queues"`     // where what was issued here went
}

// QueueShare is a hardware queue's share of a device's requests.
type QueueShare struct {
	HCTX     int     `json:"hctx"`
	Requests int64   `json:"requests"`
	Percent  float64 `json:"percent"` // of all that the device got
}
