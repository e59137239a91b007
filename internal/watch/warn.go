package watch

import (
	"fmt"
	"time"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Load is what the run did, as far as it decides what matters to it.
type Load struct {
	IOs           int64         // reads, writes and trims
	Length        time.Duration // of the measured windows
	MeanLatencyNS float64
}

// From these on, what was seen is worth a warning. Shares are of the workers' CPUs' time, in percent.
const (
	muchSteal     = 1.0
	muchNoise     = 5.0
	manySleeps    = 0.1             // per I/O
	feltSleep     = 0.05            // exit latency as a share of the mean latency
	shortestWatch = 2 * time.Second // for shares
)

// Warnings says what went on around the workers that a reader of the figures must know.
func Warnings(samples []report.Sample, load Load) []workloads.Warning {
	warnings := throttled(samples)
	add := func(code, hint, format string, args ...any) {
		warnings = append(warnings, workloads.Warning{Code: code, Sentence: fmt.Sprintf(format, args...), Hint: hint})
	}
	var length, steal, noise float64
	var sleeps, exitUS int64
	for _, s := range samples {
		n := float64(s.LengthNS)
		length += n
		steal += n * s.StealPercent
		noise += n * s.OthersUserPercent
		if s.Sleeps != nil {
			sleeps += *s.Sleeps
			exitUS = max(exitUS, s.SleepExitUS)
		}
	}
	if length >= float64(shortestWatch) { // less is too few ticks to tell
		if p := steal / length; p >= muchSteal {
			add("STEAL", "run on a host that does not share its CPUs, or repeat the run and compare", "the hypervisor gave %.1f %% of the workers' CPU time to others", p)
		}
		if p := noise / length; p >= muchNoise {
			add("NOISY_CPU", "stop other programs, or keep them off these CPUs (isolcpus, cpusets, taskset)", "other programs used %.1f %% of the workers' CPU time", p)
		}
	}
	exit := time.Duration(exitUS) * time.Microsecond
	if load.IOs > 0 && float64(sleeps) >= manySleeps*float64(load.IOs) && float64(exit) >= feltSleep*load.MeanLatencyNS {
		add("POWER_SAVING", "--no-idle keeps the CPUs awake",
			"the workers' CPUs fell asleep %.2f times per I/O, into states that take up to %v to leave; latencies include that", float64(sleeps)/float64(load.IOs), exit)
	}
	if after, wake := diskSleep(samples); after > 0 && meanGap(load) >= after {
		add("POWER_SAVING", "nvme_core.default_ps_max_latency_us=0 keeps the drive awake",
			"the drive goes to sleep after %v without I/O (APST) and needs %v to wake up; I/Os came %v apart", after, wake, meanGap(load).Round(time.Millisecond))
	}
	return warnings
}

// diskSleep returns after how long without I/O a disk saves power, and what waking it takes: of several
// disks, the one that sleeps first.
func diskSleep(samples []report.Sample) (after, wake time.Duration) {
	for _, s := range samples {
		for _, d := range s.Devices {
			if n := time.Duration(d.SleepsAfterNS); n > 0 && (after == 0 || n < after) {
				after, wake = n, time.Duration(d.WakeNS)
			}
		}
	}
	return after, wake
}

// meanGap returns the time between I/Os.
func meanGap(load Load) time.Duration {
	if load.IOs == 0 {
		return 0
	}
	return load.Length / time.Duration(load.IOs)
}

// throttled tells of disks and CPUs that became too hot.
func throttled(samples []report.Sample) []workloads.Warning {
	type heat struct {
		highest, warning float64
		times, seconds   int64
	}
	disks := map[string]*heat{}
	var names []string
	cpus := int64(0)
	for _, s := range samples {
		if s.CPUThrottles != nil {
			cpus += *s.CPUThrottles
		}
		for _, d := range s.Devices {
			h := disks[d.Device]
			if h == nil {
				h = &heat{}
				disks[d.Device] = h
				names = append(names, d.Device)
			}
			if d.TemperatureC != nil {
				h.highest = max(h.highest, *d.TemperatureC)
			}
			h.warning = max(h.warning, d.WarningC)
			if d.Throttles != nil {
				h.times += *d.Throttles
				h.seconds += *d.ThrottledS
			}
		}
	}
	var warnings []workloads.Warning
	const code, hint = "THROTTLED", "cool it, wait until it is cool, or measure for so long that heat belongs to the figure"
	for _, name := range names {
		switch h := disks[name]; {
		case h.times > 0 || h.seconds > 0:
			warnings = append(warnings, workloads.Warning{Code: code, Hint: hint, Sentence: fmt.Sprintf(
				"%s slowed down because of its temperature: %d times, for %d s, at up to %.0f °C", name, h.times, h.seconds, h.highest)})
		case h.warning > 0 && h.highest >= h.warning:
			warnings = append(warnings, workloads.Warning{Code: code, Hint: hint, Sentence: fmt.Sprintf(
				"%s reached %.0f °C; from %.0f °C on it may slow down", name, h.highest, h.warning)})
		}
	}
	if cpus > 0 {
		warnings = append(warnings, workloads.Warning{Code: code, Hint: hint, Sentence: fmt.Sprintf(
			"the workers' CPUs slowed down because of their temperature %d times", cpus)})
	}
	return warnings
}
