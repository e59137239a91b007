// Package catalog knows the engines by name: which there are, which fio names mean them, what each needs,
// and which is best for a target on this system.
package catalog

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/aio"
	"github.com/blkmeter/blkmeter/engine/null"
	"github.com/blkmeter/blkmeter/engine/psync"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/engine/uring"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Names of the engines.
const (
	Null     = "null"
	Psync    = "psync"
	Libaio   = "libaio"
	Uring    = "io_uring"
	UringCmd = "io_uring_cmd" // NVMe commands to a namespace's character device
	Auto     = "auto"
	Nop      = "io_uring no-op" // not for jobs: no I/O, to find the loop's own ceiling
)

// Names lists what --ioengine takes, synonyms last.
func Names() []string {
	return []string{Auto, Psync, Libaio, Uring, UringCmd, Null, "sync", "pvsync", "pvsync2", "vsync", "mmap", "posixaio"}
}

// synonyms maps fio's engines to ours with the same meaning for the device.
var synonyms = map[string]string{
	"sync": Psync, "pvsync": Psync, "pvsync2": Psync, "vsync": Psync, "mmap": Psync, "posixaio": Uring,
}

// Choice is the engine a job runs on, and why.
type Choice struct {
	Name   string // "null", "psync", "libaio", "io_uring" or "io_uring_cmd"
	Asked  string // as the user wrote it
	Why    string
	Sync   bool // does its I/O inside Submit: one in flight, no submission latency
	Punted bool // asked for io_uring where the kernel hands every request to a worker thread
}

// Want is what a job asks of an engine.
type Want struct {
	Name    string // a name of Names
	Depth   int
	Direct  bool
	HiPri   bool
	Shared  bool // one queue for all workers
	Targets []*target.Target
}

// Choose resolves the engine for a job. It refuses, before the run, what the targets cannot do.
func Choose(w Want) (Choice, error) {
	c := Choice{Asked: w.Name, Name: w.Name}
	if s, ok := synonyms[w.Name]; ok {
		c.Name, c.Why = s, fmt.Sprintf("%s does the same I/O as fio's %s", s, w.Name)
	}
	switch c.Name {
	case Auto, "":
		c.Name, c.Why = best(&w)
	case Null, Psync, Libaio, Uring, UringCmd:
		if c.Why == "" {
			c.Why = "asked for"
		}
	default:
		return c, fault.Usage("ENGINE", "engines here: "+strings.Join(Names(), ", "), "engine not supported: %s", w.Name)
	}
	c.Sync = c.Name == Psync
	c.Punted = c.Name == Uring && !noWait(w.Targets)
	return c, refuse(&w, &c)
}

// best is the engine with the least cost per I/O that the kernel and the targets allow.
func best(w *Want) (name, why string) {
	if len(w.Targets) > 0 && w.Targets[0].Kind() == target.NoIO {
		return Null, "there is no target"
	}
	deep := w.Depth > 1 || w.Shared
	switch {
	case !noWait(w.Targets) && deep && w.Direct:
		return Libaio, "the target takes no NOWAIT, so io_uring would hand every request to a kernel worker thread"
	case !noWait(w.Targets):
		return Psync, "the target takes no NOWAIT, so io_uring would hand every request to a kernel worker thread"
	}
	if err := Available(Uring); err != nil {
		if deep && w.Direct {
			return Libaio, err.Error()
		}
		return Psync, err.Error()
	}
	return Uring, "the kernel and the target take it"
}

// noWait asks one target of each kind, file system and device: the others would say the same.
func noWait(targets []*target.Target) bool {
	type home struct {
		kind target.Kind
		fs   string
		devT blk.DevT
	}
	asked := map[home]bool{}
	for _, t := range targets {
		h := home{t.Kind(), t.FileSystem().Type, t.DevT()}
		if asked[h] {
			continue
		}
		if asked[h] = true; !t.NoWait() {
			return false
		}
	}
	return true
}

func refuse(w *Want, c *Choice) error {
	if w.HiPri && c.Name != Null {
		for _, t := range w.Targets {
			if f := t.Facts(); !f.IOPoll {
				return fault.New(fault.ExitEnvironment, "NO_POLL_QUEUE",
					"leave out --hipri, or give the driver poll queues (nvme.poll_queues=N on the kernel's command line)",
					"%s cannot be polled: its device %s has no poll queues, so interrupts would be used silently", t.Path(), f.Disk)
			}
		}
	}
	if w.Shared && c.Sync {
		return fault.Usage("SHARED_SYNC", "use --ioengine=io_uring or libaio, or --queue=multi",
			"a single shared queue needs an engine that can have several I/Os in flight; %s has one", c.Name)
	}
	if c.Name == Uring || c.Name == UringCmd {
		if err := Available(c.Name); err != nil {
			return fault.Wrap(err, fault.ExitEnvironment, "ENGINE_UNAVAILABLE", "", "%s cannot be used", c.Name)
		}
	}
	return nil
}

// Available tries to make a small queue of the named engine without a target. The error says what is
// missing, why, and the remedy.
func Available(name string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cfg := engine.Config{Depth: 1, FixedBufs: engine.Never, FixedFiles: engine.Never}
	var q engine.Queue
	var err error
	switch name {
	case Uring:
		q, err = uring.New(cfg, nil)
	case UringCmd:
		q, err = uring.NewCommands(cfg, nil)
	case Libaio:
		q, err = aio.New(cfg, nil)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return q.Close()
}

// Queue is an engine's queue together with what the kernel gave it.
type Queue struct {
	engine.Queue
	Features []string
}

// Open makes a queue of the chosen engine on the calling thread.
func Open(name string, c engine.Config, targets []*target.Target) (Queue, error) {
	switch name {
	case Null:
		return Queue{Queue: null.New(c)}, nil
	case Psync:
		return Queue{Queue: psync.New(c, targets)}, nil
	case Libaio:
		q, err := aio.New(c, targets)
		if err != nil {
			return Queue{}, environment(name, err)
		}
		return Queue{q, q.Features()}, nil
	case UringCmd:
		q, err := uring.NewCommands(c, targets)
		if err != nil {
			return Queue{}, environment(name, err)
		}
		return Queue{q, q.Features()}, nil
	case Uring, Nop:
		q, err := newRing(name, c, targets)
		if err != nil {
			return Queue{}, environment(Uring, err)
		}
		return Queue{q, q.Features()}, nil
	}
	return Queue{}, fmt.Errorf("no engine %q", name)
}

func newRing(name string, c engine.Config, targets []*target.Target) (*uring.Queue, error) {
	if name == Nop {
		return uring.NewNop(c)
	}
	return uring.New(c, targets)
}

func environment(name string, err error) error {
	return fault.Wrap(err, fault.ExitEnvironment, "ENGINE_UNAVAILABLE", "blkmeter probe tells what this system allows", "cannot set up %s", name)
}
