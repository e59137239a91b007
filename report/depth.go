package report

// DepthSearch is what a worker of a job with latency_target found: the highest queue depth at which enough of
// its I/Os kept the latency. Unless the job adjusts its depth for as long as it runs (latency_run), the
// worker's figures are those of the time after the search, at the depth that it settled on.
type DepthSearch struct {
	IODepth    int           `json:"iodepth"`     // settled on, or tried last
	Settled    bool          `json:"settled"`     // always false with latency_run
	Continuous bool          `json:"latency_run"` // the depth was adjusted to the end
	CutShort   bool          `json:"cut_short"`   // runtime left no time to try deeper: more than iodepth may keep the latency, too
	Windows    int64         `json:"windows"`     // that were tried
	Tried      []DepthWindow `json:"tried"`       // the first of them
}

// DepthWindow is one latency_window of the search. Latencies are from start to completion.
type DepthWindow struct {
	IODepth       int     `json:"iodepth"`
	LengthNS      int64   `json:"length_ns"`
	IOs           int64   `json:"ios"`
	IOPS          float64 `json:"iops_per_s"`
	WithinPercent float64 `json:"within_percent"` // of the I/Os kept latency_target
	MeanNS        float64 `json:"mean_ns"`
	MaxNS         int64   `json:"max_ns"`
	Met           bool    `json:"met"` // within_percent is at least latency_percentile
}
