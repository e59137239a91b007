package run

import (
	"fmt"
	"slices"
	"time"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/journal"
	"github.com/blkmeter/blkmeter/internal/watch"
	"github.com/blkmeter/blkmeter/workloads"
)

// healthOf returns what asks a disk about its temperature and power saving, or nil if it cannot be asked:
// only NVMe controllers can, and only by root.
func (c *conductor) healthOf(disk string) func() (watch.Health, error) {
	facts, err := device.DescribeName(c.o.Root, disk)
	if err != nil || facts.NVMeController == "" || !c.o.Root.Real() {
		return nil
	}
	return func() (watch.Health, error) {
		h, err := device.ReadHealth(facts.NVMeController)
		if err != nil {
			return watch.Health{}, err
		}
		out := watch.Health{TemperatureC: float64(h.SMART.TemperatureC), WarningC: float64(h.SMART.WarningC)}
		for _, t := range h.SMART.Throttle {
			out.Throttles += int64(t.Transitions)
			out.ThrottledS += int64(t.Seconds)
		}
		out.SleepsAfter, out.WakeTime = h.Power.Sleep()
		return out, nil
	}
}

// watchOver begins to watch what goes on around the workers.
func (c *conductor) watchOver(started int64) *watch.Watcher {
	o := watch.Options{
		Root: c.o.Root, Now: func() int64 { return c.clock.Now() - started },
		Health: map[string]func() (watch.Health, error){},
	}
	for _, j := range c.jobs {
		for _, w := range j.workers {
			for _, cpu := range w.place.cpus {
				if !slices.Contains(o.CPUs, cpu) {
					o.CPUs = append(o.CPUs, cpu)
				}
			}
			for _, disk := range diskNames(w) {
				if slices.Contains(o.Disks, disk) {
					continue
				}
				o.Disks = append(o.Disks, disk)
				if ask := c.healthOf(disk); ask != nil {
					o.Health[disk] = ask
				}
			}
		}
	}
	if len(o.CPUs) == 0 { // workers that are pinned nowhere may be anywhere
		for _, cpu := range c.topo.CPUs {
			o.CPUs = append(o.CPUs, cpu.ID)
		}
	}
	return watch.Start(o)
}

// watched puts what was seen into the Result, with the warnings that follow from it.
func (c *conductor) watched(w *watch.Watcher) {
	c.result.Samples = w.Stop()
	var load watch.Load
	latency := 0.0
	for i := range c.result.Jobs {
		j := &c.result.Jobs[i]
		load.Length += time.Duration(j.RuntimeNS)
		for d := workloads.Read; d < workloads.Directions; d++ {
			if s := j.Dir(d); s != nil && s.Lat != nil {
				load.IOs += s.IOs
				latency += float64(s.IOs) * s.Lat.MeanNS
			}
		}
	}
	if load.IOs > 0 {
		load.MeanLatencyNS = latency / float64(load.IOs)
	}
	for _, warning := range watch.Warnings(c.result.Samples, load) {
		c.warn(warning.Code, warning.Sentence, warning.Hint)
	}
}

// applySettings changes what --set asks for on the disks under the targets, notes it in the Result, and
// returns what undoes it.
func (c *conductor) applySettings() (restore func(), err error) {
	var disks []string
	for _, d := range c.disksOf(c.jobs) {
		disks = append(disks, d.Name)
	}
	changes, err := device.Apply(c.o.Root, journal.Dir(c.o.Env), disks, c.o.Set)
	if err != nil {
		return nil, err
	}
	return c.noteChanges(changes, c.jobs, "the run"), nil
}

// noteChanges notes changed settings with the jobs and targets that meet them, and returns what undoes them.
func (c *conductor) noteChanges(changes *device.Changes, jobs []*jobRun, until string) (restore func()) {
	for _, change := range changes.List {
		if !change.Asked {
			continue
		}
		for _, j := range jobs {
			if slices.Contains(diskNames(j.workers[0]), change.Disk) {
				j.decide(change.Disk+" "+change.Name, change.New, fmt.Sprintf("asked for; it was %s, and is again after %s", change.Old, until))
			}
		}
	}
	for i := range c.result.Targets {
		t := &c.result.Targets[i]
		if f, err := device.DescribeName(c.o.Root, t.Device); err == nil {
			t.Scheduler, t.NrRequests, t.Tags, t.Settings, t.IOPoll = f.Scheduler, f.NrRequests, f.Tags, f.Settings, f.IOPoll
		}
	}
	return func() {
		if err := changes.Restore(); err != nil {
			c.warn("NOT_RESTORED", err.Error(), "blkmeter restore tries again")
		}
	}
}

// checkSchedulers finds out before the first I/O that jobs ask for schedulers (ioscheduler) that they cannot
// have.
func (c *conductor) checkSchedulers() error {
	const code = "IOSCHEDULER"
	asked := map[int]map[string]*workloads.Job{} // by stage and disk
	for _, j := range c.jobs {
		s := j.spec
		if s.IOScheduler == "" {
			continue
		}
		disks := c.disksOf([]*jobRun{j})
		_, err := device.ParseSetting("scheduler=" + s.IOScheduler)
		switch {
		case err != nil:
			return fault.Wrap(err, fault.ExitUsage, code, "blkmeter devices shows the schedulers of a device", "job %s: ioscheduler=%s", s.Name, s.IOScheduler)
		case len(disks) == 0:
			return fault.Usage(code, "leave it out", "job %s: ioscheduler=%s: no block device is known under its targets", s.Name, s.IOScheduler)
		case slices.ContainsFunc(c.o.Set, func(set device.Setting) bool { return set.Name == "scheduler" }):
			return fault.Usage(code, "leave one of them out", "job %s asks for ioscheduler=%s, and --set for another scheduler for the whole run", s.Name, s.IOScheduler)
		}
		if asked[j.stage] == nil {
			asked[j.stage] = map[string]*workloads.Job{}
		}
		for _, d := range disks {
			if other := asked[j.stage][d.Name]; other != nil && other.IOScheduler != s.IOScheduler {
				return fault.Usage(code, "add stonewall to one of them", "jobs %s and %s run together and ask for different schedulers of %s", other.Name, s.Name, d.Name)
			}
			asked[j.stage][d.Name] = s
		}
	}
	return nil
}

// useSchedulers gives the disks of the stage the schedulers that its jobs ask for, and returns what undoes it.
func (s *stageRun) useSchedulers() (restore func(), err error) {
	var undo []func()
	restore = func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	done := map[string]bool{}
	for _, j := range s.jobs {
		if j.spec.IOScheduler == "" {
			continue
		}
		var disks []string
		for _, d := range s.disksOf([]*jobRun{j}) {
			if !done[d.Name] {
				done[d.Name] = true
				disks = append(disks, d.Name)
			}
		}
		if len(disks) == 0 {
			continue
		}
		changes, err := device.Apply(s.o.Root, journal.Dir(s.o.Env), disks, []device.Setting{{Name: "scheduler", Value: j.spec.IOScheduler}})
		if err != nil {
			restore()
			return nil, fmt.Errorf("job %s: %w", j.spec.Name, err)
		}
		undo = append(undo, s.noteChanges(changes, s.jobs, "the stage"))
	}
	return restore, nil
}
