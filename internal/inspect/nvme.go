package inspect

import "github.com/blkmeter/blkmeter/internal/device"

// NVMe is what an NVMe controller tells about its health and how it saves power.
type NVMe struct {
	CriticalWarnings []string     `json:"critical_warnings"`
	TemperatureC     int          `json:"temperature_celsius"`
	WarningC         int          `json:"warning_temperature_celsius"`
	CriticalC        int          `json:"critical_temperature_celsius"`
	SensorsC         []int        `json:"sensors_celsius"`
	WarningMinutes   uint32       `json:"warning_temperature_minutes"`
	CriticalMinutes  uint32       `json:"critical_temperature_minutes"`
	LightThrottles   uint32       `json:"light_throttle_count"`
	LightThrottleS   uint32       `json:"light_throttle_seconds"`
	HeavyThrottles   uint32       `json:"heavy_throttle_count"`
	HeavyThrottleS   uint32       `json:"heavy_throttle_seconds"`
	SparePercent     int          `json:"spare_percent"`
	SpareMinPercent  int          `json:"spare_threshold_percent"`
	UsedPercent      int          `json:"used_percent"`
	ReadBytes        float64      `json:"read_bytes"`
	WrittenBytes     float64      `json:"written_bytes"`
	PowerOnHours     float64      `json:"power_on_hours"`
	PowerCycles      float64      `json:"power_cycles"`
	UnsafeShutdowns  float64      `json:"unsafe_shutdowns"`
	MediaErrors      float64      `json:"media_errors"`
	ErrorLogEntries  float64      `json:"error_log_entries"`
	PowerState       int          `json:"power_state"`
	PowerStates      []PowerState `json:"power_states"`
	APST             bool         `json:"autonomous_power_state_transition"`
	Transitions      []Transition `json:"transitions"`
}

// PowerState is one of the controller's power states.
type PowerState struct {
	Number         int     `json:"number"`
	MaxWatts       float64 `json:"max_watts"`
	Operational    bool    `json:"operational"`
	EntryLatencyUS uint32  `json:"entry_latency_us"`
	ExitLatencyUS  uint32  `json:"exit_latency_us"`
}

// Transition is one that the controller makes by itself after a time without I/O.
type Transition struct {
	From   int   `json:"from"`
	To     int   `json:"to"`
	IdleMS int64 `json:"idle_ms"`
}

func nvmeOf(h device.Health) *NVMe {
	s := h.SMART
	n := &NVMe{
		CriticalWarnings: list(s.CriticalWarnings),
		TemperatureC:     s.TemperatureC, WarningC: s.WarningC, CriticalC: s.CriticalC, SensorsC: list(s.SensorsC),
		WarningMinutes: s.WarningMinutes, CriticalMinutes: s.CriticalMinutes,
		LightThrottles: s.Throttle[0].Transitions, LightThrottleS: s.Throttle[0].Seconds,
		HeavyThrottles: s.Throttle[1].Transitions, HeavyThrottleS: s.Throttle[1].Seconds,
		SparePercent: s.SparePercent, SpareMinPercent: s.SpareMinPercent, UsedPercent: s.UsedPercent,
		ReadBytes: s.ReadBytes, WrittenBytes: s.WrittenBytes,
		PowerOnHours: s.PowerOnHours, PowerCycles: s.PowerCycles, UnsafeShutdowns: s.UnsafeShutdowns,
		MediaErrors: s.MediaErrors, ErrorLogEntries: s.ErrorLogEntries,
		PowerState: h.Power.Current, APST: h.Power.APST, PowerStates: []PowerState{}, Transitions: []Transition{},
	}
	for _, p := range h.Power.States {
		n.PowerStates = append(n.PowerStates, PowerState(p))
	}
	for _, t := range h.Power.Transitions {
		n.Transitions = append(n.Transitions, Transition{From: t.From, To: t.To, IdleMS: t.Idle.Milliseconds()})
	}
	return n
}
