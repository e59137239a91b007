// Package watch observes what could spoil a measurement while it runs: a disk or CPU that is too hot and
// slows down, a hypervisor or another program that takes the workers' CPUs, idle states that an I/O's
// completion must wait for. It samples once a second, off the workers' CPUs where there are others, and
// reads files only.
package watch

import (
	"runtime"
	"slices"
	"time"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/report"
)

// Options says what to watch.
type Options struct {
	Root   device.Root                       // of /sys and /proc; "" is this machine's
	CPUs   []int                             // that the workers are pinned to
	Disks  []string                          // kernel names of the disks under the targets
	Health map[string]func() (Health, error) // by disk: asks the disk itself; nil, or an error: its hwmon sensor is read
	Now    func() int64                      // ns since the start of the run
	Every  time.Duration                     // between samples; 0: a second
}

// Watcher samples from Start to Stop.
type Watcher struct {
	stop    chan struct{}
	done    chan struct{}
	samples []report.Sample
}

// Start begins to watch.
func Start(o Options) *Watcher {
	if o.Every == 0 {
		o.Every = time.Second
	}
	w := &Watcher{stop: make(chan struct{}), done: make(chan struct{}), samples: []report.Sample{}}
	go w.run(o)
	return w
}

// Stop ends the watching and returns the samples, in order. The last is shorter than the others.
func (w *Watcher) Stop() []report.Sample {
	close(w.stop)
	<-w.done
	return w.samples
}

func (w *Watcher) run(o Options) {
	defer close(w.done)
	stayAway(o.CPUs)
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	last := o.read(o.Now())
	for {
		ended := false
		select {
		case <-tick.C:
		case <-w.stop:
			ended = true
		}
		now := o.read(o.Now())
		// Ticks of 10 ms say nothing about less than some of them, unless there is nothing better.
		if !ended || len(w.samples) == 0 || now.at-last.at >= int64(o.Every)/10 {
			w.samples = append(w.samples, now.since(&last))
		}
		if ended {
			return
		}
		last = now
	}
}

// stayAway binds the goroutine to a thread that ends with it, on CPUs without workers if there are any.
func stayAway(busy []int) {
	runtime.LockOSThread()
	allowed, err := cpu.Affinity()
	if err != nil {
		return
	}
	free := slices.DeleteFunc(allowed, func(c int) bool { return slices.Contains(busy, c) })
	if len(free) > 0 {
		_ = cpu.SetAffinity(free) // a courtesy: it watches from anywhere
	}
}
