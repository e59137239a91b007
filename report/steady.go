package report

// SteadyState is how the search for a job's steady state ended: the job stops when the criterion has kept
// the limit over the duration.
type SteadyState struct {
	Metric         string    `json:"metric"` // iops, bw (bytes/s), lat (mean completion latency in ns), or the _slope of one
	Limit          float64   `json:"limit"`
	LimitIsPercent bool      `json:"limit_is_percent"` // of the mean
	DurationNS     int64     `json:"duration_ns"`
	RampNS         int64     `json:"ramp_ns"`
	IntervalNS     int64     `json:"interval_ns"` // between two samples
	Attained       bool      `json:"attained"`
	AttainedNS     int64     `json:"attained_ns"` // from the start of the measured window; 0 when it was not
	Criterion      float64   `json:"criterion"`   // slope per sample, or largest deviation from the mean, over the last duration
	Mean           float64   `json:"mean"`
	Samples        []float64 `json:"samples"` // of the last duration
}
