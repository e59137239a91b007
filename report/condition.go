package report

// Interrupt is one interrupt of a target's device.
type Interrupt struct {
	Number    int    `json:"number"`
	Name      string `json:"name"`      // as the driver called it
	Allowed   []int  `json:"allowed"`   // CPUs that it may be delivered to
	Effective []int  `json:"effective"` // CPUs that it is delivered to now
}

// IdleState is one sleep state of the CPUs.
type IdleState struct {
	Name          string `json:"name"`
	ExitLatencyUS int64  `json:"exit_latency_us"`
	Disabled      bool   `json:"disabled"`
}

// DriveHealth is what an NVMe controller tells of itself: log page 02h and its power states.
type DriveHealth struct {
	TemperatureC     int      `json:"temperature_c"`
	WarningC         int      `json:"warning_c"`  // from here on it warns; 0 unknown
	CriticalC        int      `json:"critical_c"` // from here on it protects itself; 0 unknown
	WarningMinutes   int64    `json:"warning_minutes"`
	CriticalMinutes  int64    `json:"critical_minutes"`
	CriticalWarnings []string `json:"critical_warnings"`
	UsedPercent      int      `json:"used_percent"` // of its rated life; may exceed 100
	SparePercent     int      `json:"spare_percent"`
	MediaErrors      float64  `json:"media_errors"`
	WrittenBytes     float64  `json:"written_bytes"`
	ReadBytes        float64  `json:"read_bytes"`
	PowerState       int      `json:"power_state"`
	SavesPower       bool     `json:"saves_power"`     // autonomous power state transitions are on
	SleepsAfterNS    int64    `json:"sleeps_after_ns"` // without I/O; 0: it does not
	WakeNS           int64    `json:"wake_ns"`         // that it then needs for the next I/O
}
