package report

// Sample is what went on around the workers for about a second of the run. Null means that this machine
// does not tell.
type Sample struct {
	StartNS           int64          `json:"start_ns"`            // from Result.StartedAt
	LengthNS          int64          `json:"length_ns"`           // shorter than a second only for the last
	StealPercent      float64        `json:"steal_percent"`       // of the workers' CPUs' time, used by the hypervisor for others
	OthersPercent     float64        `json:"others_percent"`      // of that time, spent on anything but this process; kernel threads that do its I/O included
	OthersUserPercent float64        `json:"others_user_percent"` // of that time, spent by other programs in user mode
	FrequencyMHz      *float64       `json:"frequency_mhz"`       // mean over the workers' CPUs
	CPUThrottles      *int64         `json:"cpu_throttles"`       // times that one of them slowed down because of its temperature
	Sleeps            *int64         `json:"sleeps"`              // times that one of them entered an idle state that takes 10 us or more to leave
	SleepExitUS       int64          `json:"sleep_exit_us"`       // the longest time that one of those takes to leave
	Devices           []DeviceSample `json:"devices"`             // disks that tell anything
}

// DeviceSample is a disk's part of a Sample.
type DeviceSample struct {
	Device        string   `json:"device"`
	TemperatureC  *float64 `json:"temperature_c"`   // at the end of the sample
	WarningC      float64  `json:"warning_c"`       // from here on the disk warns; 0 unknown
	Throttles     *int64   `json:"throttles"`       // times that the disk began to slow down because of its temperature
	ThrottledS    *int64   `json:"throttled_s"`     // seconds that it was slowed down
	SleepsAfterNS int64    `json:"sleeps_after_ns"` // time without I/O after which the disk saves power by itself (APST); 0: it does not, or does not tell
	WakeNS        int64    `json:"wake_ns"`         // what it then needs for the next I/O
}
