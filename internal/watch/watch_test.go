package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
)

// machine is a fixture of /proc and /sys at one moment; fields that are 0 are files with a 0.
type machine struct {
	user, system, idle, steal [2]int64 // of CPUs 0 and 1, in ticks
	ownUser, ownSystem        int64
	khz                       int64
	throttles                 int64
	sleeps                    int64
	milliC                    int64
}

func (m machine) write(t *testing.T, root string) {
	t.Helper()
	stat := "cpu  0 0 0 0 0 0 0 0 0 0\n"
	for i := range 2 {
		stat += fmt.Sprintf("cpu%d %d 0 %d %d 0 0 0 %d 0 0\n", i, m.user[i], m.system[i], m.idle[i], m.steal[i])
	}
	put := func(path, format string, args ...any) {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(fmt.Sprintf(format, args...)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("proc/stat", "%s", stat)
	put("proc/42/stat", "42 (blk meter) R 1 1 1 0 -1 0 0 0 0 0 %d %d 0 0 20 0 1 0 100 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", m.ownUser, m.ownSystem)
	if err := os.Symlink("42", filepath.Join(root, "proc/self")); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	const cpu1 = "sys/devices/system/cpu/cpu1/"
	put(cpu1+"cpufreq/scaling_cur_freq", "%d\n", m.khz)
	put(cpu1+"thermal_throttle/core_throttle_count", "%d\n", m.throttles)
	put(cpu1+"cpuidle/state0/usage", "%d\n", m.sleeps*100)
	put(cpu1+"cpuidle/state0/latency", "1\n")
	put(cpu1+"cpuidle/state1/usage", "%d\n", m.sleeps)
	put(cpu1+"cpuidle/state1/latency", "133\n")
	put("sys/block/nvme0n1/device/hwmon3/temp1_input", "%d\n", m.milliC)
	put("sys/block/sda/device/hwmon/hwmon7/temp1_input", "%d\n", 33_000)
}

func TestSampleIsTheChangeBetweenReadings(t *testing.T) {
	root := t.TempDir()
	o := Options{Root: device.Root(root), CPUs: []int{1}, Disks: []string{"nvme0n1", "sda", "loop0"}}
	machine{user: [2]int64{9, 100}, milliC: 40_000}.write(t, root)
	before := o.read(1e9)
	machine{
		user: [2]int64{99, 140}, system: [2]int64{99, 25}, idle: [2]int64{0, 33}, steal: [2]int64{50, 2},
		ownUser: 30, ownSystem: 20, khz: 3_100_000, throttles: 2, sleeps: 7, milliC: 71_500,
	}.write(t, root)
	after := o.read(2e9)
	want := report.Sample{
		StartNS: 1e9, LengthNS: 1e9, StealPercent: 2, OthersPercent: 15, OthersUserPercent: 10,
		FrequencyMHz: new(3100.0), CPUThrottles: new(int64(2)), Sleeps: new(int64(7)), SleepExitUS: 133,
		Devices: []report.DeviceSample{
			{Device: "nvme0n1", TemperatureC: new(71.5)},
			{Device: "sda", TemperatureC: new(33.0)},
		},
	}
	near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-6 && b-a < 1e-6 })
	if diff := cmp.Diff(want, after.since(&before), near); diff != "" {
		t.Error(diff)
	}
}

func TestNothingToReadIsNoSample(t *testing.T) {
	o := Options{Root: device.Root(t.TempDir()), CPUs: []int{0, 1}, Disks: []string{"sda"}}
	before, after := o.read(0), o.read(1e9)
	if diff := cmp.Diff(report.Sample{LengthNS: 1e9, Devices: []report.DeviceSample{}}, after.since(&before)); diff != "" {
		t.Error(diff)
	}
}

func TestTheDiskItselfIsAskedFirst(t *testing.T) {
	root := t.TempDir()
	machine{milliC: 40_000}.write(t, root)
	h := Health{TemperatureC: 80, WarningC: 82, Throttles: 4, ThrottledS: 10}
	var err error
	o := Options{Root: device.Root(root), Disks: []string{"nvme0n1"}, Health: map[string]func() (Health, error){
		"nvme0n1": func() (Health, error) { return h, err },
	}}
	before := o.read(0)
	h = Health{TemperatureC: 84, WarningC: 82, Throttles: 6, ThrottledS: 13, SleepsAfter: time.Second, WakeTime: time.Millisecond}
	after := o.read(1e9)
	want := []report.DeviceSample{{Device: "nvme0n1", TemperatureC: new(84.0), WarningC: 82, Throttles: new(int64(2)), ThrottledS: new(int64(3)), SleepsAfterNS: 1e9, WakeNS: 1e6}}
	if diff := cmp.Diff(want, after.since(&before).Devices); diff != "" {
		t.Error(diff)
	}
	err = errors.New("the controller does not answer")
	later := o.read(2e9)
	want = []report.DeviceSample{{Device: "nvme0n1", TemperatureC: new(40.0)}}
	if diff := cmp.Diff(want, later.since(&after).Devices); diff != "" {
		t.Errorf("without an answer hwmon is read: %s", diff)
	}
}

func TestWatcherSamplesThisMachine(t *testing.T) {
	began := time.Now()
	var reads atomic.Int32
	three := make(chan struct{})
	w := Start(Options{CPUs: []int{0}, Every: 5 * time.Millisecond, Now: func() int64 {
		if reads.Add(1) == 4 {
			close(three)
		}
		return time.Since(began).Nanoseconds()
	}})
	<-three
	samples := w.Stop()
	if len(samples) < 3 {
		t.Fatalf("%d samples", len(samples))
	}
	for i, s := range samples {
		if s.LengthNS <= 0 || i > 0 && s.StartNS != samples[i-1].StartNS+samples[i-1].LengthNS {
			t.Errorf("sample %d from %d for %d ns does not follow the one before", i, s.StartNS, s.LengthNS)
		}
		for _, share := range []float64{s.StealPercent, s.OthersPercent, s.OthersUserPercent} {
			if share < 0 || share > 100 {
				t.Errorf("a share of %v %% in sample %d", share, i)
			}
		}
	}
}

func TestAShortRunHasOneSample(t *testing.T) {
	w := Start(Options{CPUs: []int{0}, Now: func() int64 { return 0 }})
	if samples := w.Stop(); len(samples) != 1 {
		t.Errorf("%d samples", len(samples))
	}
}

func TestWarnings(t *testing.T) {
	second := int64(time.Second)
	quiet := func(change func(*report.Sample)) []report.Sample {
		all := make([]report.Sample, 3)
		for i := range all {
			all[i] = report.Sample{StartNS: int64(i) * second, LengthNS: second, Sleeps: new(int64(0))}
			change(&all[i])
		}
		return all
	}
	disk := func(d report.DeviceSample) func(*report.Sample) {
		return func(s *report.Sample) { d.Device = "nvme0n1"; s.Devices = []report.DeviceSample{d} }
	}
	slow := Load{IOs: 3000, Length: 3 * time.Second, MeanLatencyNS: 80_000}
	for name, c := range map[string]struct {
		samples []report.Sample
		load    Load
		want    string // codes
		says    string
	}{
		"nothing":              {quiet(func(*report.Sample) {}), slow, "", ""},
		"no samples":           {nil, slow, "", ""},
		"steal":                {quiet(func(s *report.Sample) { s.StealPercent = 1.5 }), slow, "STEAL", "1.5 %"},
		"little steal":         {quiet(func(s *report.Sample) { s.StealPercent = 0.9 }), slow, "", ""},
		"too short to tell":    {quiet(func(s *report.Sample) { s.StealPercent, s.OthersUserPercent = 50, 50 })[:1], slow, "", ""},
		"noise":                {quiet(func(s *report.Sample) { s.OthersUserPercent = 20 }), slow, "NOISY_CPU", "20.0 %"},
		"kernel threads":       {quiet(func(s *report.Sample) { s.OthersPercent = 60 }), slow, "", ""},
		"throttled":            {quiet(disk(report.DeviceSample{TemperatureC: new(81.0), Throttles: new(int64(1)), ThrottledS: new(int64(2))})), slow, "THROTTLED", "3 times, for 6 s, at up to 81 °C"},
		"beyond the threshold": {quiet(disk(report.DeviceSample{TemperatureC: new(83.0), WarningC: 82})), slow, "THROTTLED", "reached 83 °C"},
		"warm":                 {quiet(disk(report.DeviceSample{TemperatureC: new(60.0), WarningC: 82})), slow, "", ""},
		"hot CPUs":             {quiet(func(s *report.Sample) { s.CPUThrottles = new(int64(2)) }), slow, "THROTTLED", "CPUs slowed down because of their temperature 6 times"},
		"sleeps":               {quiet(func(s *report.Sample) { *s.Sleeps, s.SleepExitUS = 900, 133 }), slow, "POWER_SAVING", "0.90 times per I/O"},
		"sleeps, many I/Os":    {quiet(func(s *report.Sample) { *s.Sleeps, s.SleepExitUS = 900, 133 }), Load{IOs: 3e6, Length: 3 * time.Second, MeanLatencyNS: 80_000}, "", ""},
		"sleeps, slow disk":    {quiet(func(s *report.Sample) { *s.Sleeps, s.SleepExitUS = 900, 133 }), Load{IOs: 300, Length: 3 * time.Second, MeanLatencyNS: 8e6}, "", ""},
		"a drive that sleeps":  {quiet(disk(report.DeviceSample{SleepsAfterNS: 1e8, WakeNS: 2e6})), Load{IOs: 10, Length: 3 * time.Second}, "POWER_SAVING", "after 100ms without I/O (APST) and needs 2ms to wake up; I/Os came 300ms apart"},
		"a drive kept busy":    {quiet(disk(report.DeviceSample{SleepsAfterNS: 1e8, WakeNS: 2e6})), Load{IOs: 1000, Length: 3 * time.Second}, "", ""},
		"several at once":      {quiet(func(s *report.Sample) { s.StealPercent, s.OthersUserPercent = 2, 9 }), slow, "STEAL NOISY_CPU", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var codes, sentences []string
			for _, w := range Warnings(c.samples, c.load) {
				codes, sentences = append(codes, w.Code), append(sentences, w.Sentence)
				if w.Hint == "" {
					t.Errorf("%s has no hint", w.Code)
				}
			}
			if got := strings.Join(codes, " "); got != c.want {
				t.Errorf("warnings %q, want %q", got, c.want)
			}
			if all := strings.Join(sentences, "\n"); !strings.Contains(all, c.says) {
				t.Errorf("%q does not say %q", all, c.says)
			}
		})
	}
}

func TestKeepAwakeHoldsTheFile(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "dev/cpu_dma_latency")
	var e *fault.Error
	if _, err := KeepAwake(device.Root(root)); !errors.As(err, &e) || e.Code != "NO_IDLE" || e.Exit != fault.ExitEnvironment {
		t.Errorf("no such file: %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	awake, err := KeepAwake(device.Root(root))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "\x00\x00\x00\x00" {
		t.Errorf("wrote %q, %v", text, err)
	}
	if err := awake.Close(); err != nil {
		t.Error(err)
	}
}
