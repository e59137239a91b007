package watch

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/report"
)

// Health is what a disk says about its temperature when it is asked. Counters count since it was made.
type Health struct {
	TemperatureC float64
	WarningC     float64       // from here on it warns; 0 unknown
	Throttles    int64         // times that it began to slow down because of its temperature
	ThrottledS   int64         // seconds that it was slowed down
	SleepsAfter  time.Duration // without I/O it saves power by itself (NVMe's APST); 0: it does not, or does not tell
	WakeTime     time.Duration // that it then needs for the next I/O
}

// reading is everything that is read at one time.
type reading struct {
	at       int64 // ns
	cpus     map[int]procfs.CPUStat
	own      procfs.ProcStat
	khz      []int64 // of the CPUs that tell
	throttle *int64
	sleeps   *int64
	exits    map[string]sleepState // by directory
	health   map[string]Health
	heat     map[string]float64 // of disks that have only a thermometer
}

// sleepState is one idle state of one CPU that takes long to leave.
type sleepState struct {
	entered int64
	exitUS  int64
}

// longExitUS is the exit latency from which an idle state is felt in an I/O's latency: a fast NVMe drive
// answers in some tens of microseconds.
const longExitUS = 10

// read takes a reading. What cannot be read is left out.
func (o *Options) read(at int64) reading {
	r := reading{
		at: at, cpus: map[int]procfs.CPUStat{}, exits: map[string]sleepState{},
		health: map[string]Health{}, heat: map[string]float64{},
	}
	if fs, err := procfs.NewFS(o.Root.Path("proc")); err == nil {
		if stat, err := fs.Stat(); err == nil {
			for _, cpu := range o.CPUs {
				if s, ok := stat.CPU[int64(cpu)]; ok {
					r.cpus[cpu] = s
				}
			}
		}
		if self, err := fs.Self(); err == nil {
			r.own, _ = self.Stat() // without it, all is taken to be of others
		}
	}
	for _, cpu := range o.CPUs {
		o.readCPU(&r, filepath.Join("sys/devices/system/cpu", "cpu"+strconv.Itoa(cpu)))
	}
	for _, disk := range o.Disks {
		if ask := o.Health[disk]; ask != nil {
			if h, err := ask(); err == nil {
				r.health[disk] = h
				continue
			}
		}
		if milli, ok := o.thermometer(disk); ok {
			r.heat[disk] = float64(milli) / 1000
		}
	}
	return r
}

// readCPU reads a CPU's frequency, throttling and idle states
// (Documentation/admin-guide/pm/{cpufreq,cpuidle}.rst).
func (o *Options) readCPU(r *reading, dir string) {
	if khz, ok := readInt(o.Root, dir, "cpufreq/scaling_cur_freq"); ok {
		r.khz = append(r.khz, khz)
	}
	for _, name := range []string{"core_throttle_count", "package_throttle_count"} {
		if n, ok := readInt(o.Root, dir, "thermal_throttle", name); ok {
			add(&r.throttle, n)
		}
	}
	states, err := filepath.Glob(o.Root.Path(dir, "cpuidle/state*"))
	if err != nil {
		return
	}
	for _, path := range states {
		state := filepath.Join(dir, "cpuidle", filepath.Base(path))
		usage, known := readInt(o.Root, state, "usage")
		if !known {
			continue
		}
		if exit, _ := readInt(o.Root, state, "latency"); exit >= longExitUS {
			r.exits[state] = sleepState{usage, exit}
		} else {
			usage = 0 // not a sleep, but it shows that this machine tells of sleeps
		}
		add(&r.sleeps, usage)
	}
}

// thermometer reads a disk's hwmon sensor (nvme and drivetemp have one), in thousandths of a degree.
func (o *Options) thermometer(disk string) (int64, bool) {
	for _, place := range []string{"device/hwmon*/temp1_input", "device/hwmon/hwmon*/temp1_input"} {
		found, err := filepath.Glob(o.Root.Path("sys/block", disk, place))
		if err != nil || len(found) == 0 {
			continue
		}
		slices.Sort(found)
		if text, err := os.ReadFile(found[0]); err == nil {
			n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func readInt(root device.Root, elem ...string) (int64, bool) {
	text, err := os.ReadFile(root.Path(elem...))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

func add(sum **int64, n int64) {
	if *sum == nil {
		*sum = new(int64)
	}
	**sum += n
}

// since returns what went on between two readings.
func (r *reading) since(before *reading) report.Sample {
	s := report.Sample{StartNS: before.at, LengthNS: r.at - before.at, Devices: []report.DeviceSample{}}
	var all, steal, user, busy float64 // seconds
	for cpu, now := range r.cpus {
		was, ok := before.cpus[cpu]
		if !ok {
			continue
		}
		all += total(now) - total(was)
		steal += now.Steal - was.Steal
		user += now.User + now.Nice - was.User - was.Nice
		busy += now.User + now.Nice + now.System - was.User - was.Nice - was.System
	}
	ownUser := float64(r.own.UTime-before.own.UTime) / ticksPerS
	ownSystem := float64(r.own.STime-before.own.STime) / ticksPerS
	s.StealPercent = share(steal, all)
	s.OthersUserPercent = share(user-ownUser, all)
	s.OthersPercent = share(busy-ownUser-ownSystem, all)
	if len(r.khz) > 0 {
		sum := int64(0)
		for _, khz := range r.khz {
			sum += khz
		}
		s.FrequencyMHz = new(float64(sum) / float64(len(r.khz)) / 1000)
	}
	s.CPUThrottles = change(r.throttle, before.throttle)
	s.Sleeps = change(r.sleeps, before.sleeps)
	for state, now := range r.exits {
		if now.entered > before.exits[state].entered {
			s.SleepExitUS = max(s.SleepExitUS, now.exitUS)
		}
	}
	s.Devices = r.devices(before, s.Devices)
	return s
}

// ticksPerS is the unit of /proc/PID/stat as the kernel shows it to userspace (USER_HZ), 100 everywhere.
const ticksPerS = 100

func total(c procfs.CPUStat) float64 {
	return c.User + c.Nice + c.System + c.Idle + c.Iowait + c.IRQ + c.SoftIRQ + c.Steal
}

// share returns a part in percent; counters of ticks that run ahead of each other make no negative share.
func share(part, all float64) float64 {
	if all <= 0 {
		return 0
	}
	return min(max(100*part/all, 0), 100)
}

func change(after, before *int64) *int64 {
	if after == nil || before == nil {
		return nil
	}
	return new(*after - *before)
}

// devices appends what the disks told, in order of name.
func (r *reading) devices(before *reading, out []report.DeviceSample) []report.DeviceSample {
	for disk, now := range r.health {
		d := report.DeviceSample{
			Device: disk, TemperatureC: new(now.TemperatureC), WarningC: now.WarningC,
			SleepsAfterNS: now.SleepsAfter.Nanoseconds(), WakeNS: now.WakeTime.Nanoseconds(),
		}
		if was, ok := before.health[disk]; ok {
			d.Throttles, d.ThrottledS = new(now.Throttles-was.Throttles), new(now.ThrottledS-was.ThrottledS)
		}
		out = append(out, d)
	}
	for disk, celsius := range r.heat {
		out = append(out, report.DeviceSample{Device: disk, TemperatureC: new(celsius)})
	}
	slices.SortFunc(out, func(a, b report.DeviceSample) int { return device.CompareNames(a.Device, b.Device) })
	return out
}
