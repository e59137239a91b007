package catalog

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/aio"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/internal/kernel/uring"
)

// State is what a probe found out.
type State string

// The answers of a probe. Unknown means that the trial itself could not be made, not that the feature is
// missing.
const (
	Yes     State = "yes"
	No      State = "no"
	Unknown State = "unknown"
)

// Probe is one feature of this system, found by trying it.
type Probe struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Since  string `json:"since"`  // the first kernel that has it
	Why    string `json:"why"`    // the reason of a no or unknown; a detail of a yes
	Remedy string `json:"remedy"` // what would make it a yes; empty when nothing here can
}

// Probes tries everything that the engines use. It takes a few milliseconds and leaves nothing behind.
func Probes() []Probe {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	probes := []Probe{probeRing("io_uring", "5.1", 0)}
	if probes[0].State == Yes {
		probes = append(probes,
			probeRing("io_uring SUBMIT_ALL", "5.18", uring.SetupSubmitAll),
			probeRing("io_uring COOP_TASKRUN", "5.19", uring.SetupCoopTaskrun),
			probeRing("io_uring SINGLE_ISSUER", "6.0", uring.SetupSingleIssuer),
			probeRing("io_uring DEFER_TASKRUN", "6.1", uring.SetupSingleIssuer|uring.SetupDeferTaskrun),
			probeRing("io_uring NO_SQARRAY", "6.6", uring.SetupNoSQArray),
			probeRing("io_uring SQPOLL", "5.1", uring.SetupSQPoll),
			probeRing("io_uring IOPOLL", "5.1", uring.SetupIOPoll),
			probeRing("io_uring SQE128 and CQE32 (NVMe commands, io_uring_cmd)", "5.19", uring.CommandFlags),
			probeRing("io_uring HYBRID_IOPOLL", "6.13", uring.SetupIOPoll|uring.SetupHybridIOPoll),
		)
		probes = append(probes, probeRegistrations()...)
	}
	return append(probes, probeAIO(), probeHugePages(), probeClock())
}

// probeRing sets up a small ring with the flags.
func probeRing(name, since string, flags uring.SetupFlags) Probe {
	p := Probe{Name: name, Since: since}
	r, err := uring.New(uring.Options{Entries: 4, Flags: flags, SQIdle: time.Millisecond})
	p.judge(err)
	if err == nil {
		p.judge(r.Close())
		if flags&uring.SetupIOPoll != 0 {
			p.Why = "the ring can be made; a device also needs poll queues"
		}
	}
	return p
}

// judge turns the error of a trial into an answer.
func (p *Probe) judge(err error) {
	switch {
	case err == nil:
		p.State = Yes
	case errors.Is(err, syscall.ENOSYS):
		p.State, p.Why, p.Remedy = No, "ENOSYS: the kernel was built without it or is older than "+p.Since, "a newer kernel"
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES):
		p.State, p.Why = No, "EPERM: "+whoDenies()
		p.Remedy = "sysctl kernel.io_uring_disabled=0, a container profile that allows io_uring, or root"
	case errors.Is(err, syscall.ENOMEM):
		p.State, p.Why, p.Remedy = No, "ENOMEM: the locked-memory limit (RLIMIT_MEMLOCK) is too low", "ulimit -l unlimited, or CAP_IPC_LOCK"
	case errors.Is(err, syscall.EINVAL):
		p.State, p.Why, p.Remedy = No, "EINVAL: this kernel does not know the flag", "Linux "+p.Since+" or newer"
	case errors.Is(err, syscall.EAGAIN):
		p.State, p.Why, p.Remedy = Unknown, "EAGAIN: the system is out of such resources at the moment", "try again, or raise /proc/sys/fs/aio-max-nr"
	default:
		p.State, p.Why = Unknown, err.Error()
	}
}

// probeRegistrations tries what is registered with a ring.
func probeRegistrations() []Probe {
	ringFD := Probe{Name: "io_uring registered ring descriptor", Since: "5.18"}
	buffers := Probe{Name: "io_uring registered buffers, 8 MiB", Since: "5.1"}
	files := Probe{Name: "io_uring registered files", Since: "5.1"}
	r, err := uring.New(uring.Options{Entries: 4, Register: true})
	if err != nil {
		for _, p := range []*Probe{&ringFD, &buffers, &files} {
			p.judge(err)
		}
		return []Probe{ringFD, buffers, files}
	}
	defer r.Close()
	ringFD.State = Yes
	if !r.RegisteredFD() {
		ringFD.State, ringFD.Why, ringFD.Remedy = No, "the kernel refused the registration", "Linux 5.18 or newer"
	}
	const size = 8 << 20
	if arena, err := mem.Map(size, mem.Options{}); err != nil {
		buffers.State, buffers.Why = Unknown, err.Error()
	} else {
		buffers.judge(r.RegisterBuffers(arena.Bytes(), size))
		defer arena.Unmap()
	}
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		files.State, files.Why = Unknown, err.Error()
	} else {
		files.judge(r.RegisterFiles(pipe[:]))
		syscall.Close(pipe[0])
		syscall.Close(pipe[1])
	}
	return []Probe{ringFD, buffers, files}
}

func probeAIO() Probe {
	p := Probe{Name: "libaio (native AIO)", Since: "2.6"}
	c, err := aio.New(4)
	if p.judge(err); err != nil {
		return p
	}
	defer c.Close()
	p.Why = "completions are read from the ring without a system call"
	if !c.UserReap() {
		p.Why = "completions need a system call"
	}
	return p
}

func probeHugePages() Probe {
	p := Probe{Name: "huge pages for I/O buffers", Since: "2.6.38"}
	a, err := mem.Map(2<<20, mem.Options{Huge: true})
	if err != nil {
		p.State, p.Why = Unknown, err.Error()
		return p
	}
	defer a.Unmap()
	p.State, p.Why = Yes, string(a.Pages())
	if a.Pages() == mem.Small {
		p.State, p.Why, p.Remedy = No, "neither reserved nor transparent huge pages", "sysctl vm.nr_hugepages=N"
	}
	return p
}

func probeClock() Probe {
	c := clock.New("")
	p := Probe{Name: "time stamp counter as the clock", State: Yes, Why: c.Reason()}
	if c.Source() != "tsc" {
		p.State, p.Remedy = No, "clocksource=tsc on the kernel's command line, where the hardware is fit for it"
	}
	p.Why += fmt.Sprintf("; %.0f ns a reading", c.CostNS())
	return p
}

// whoDenies tells what makes the kernel answer EPERM: the administrator's switch, or a filter on this
// process.
func whoDenies() string {
	sysctl, err := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
	switch value := strings.TrimSpace(string(sysctl)); {
	case err == nil && value == "2":
		return "sysctl kernel.io_uring_disabled is 2: nobody may use it"
	case err == nil && value == "1":
		return "sysctl kernel.io_uring_disabled is 1: only CAP_SYS_ADMIN and the group kernel.io_uring_group may use it"
	}
	status, err := os.ReadFile("/proc/self/status")
	if err == nil && strings.Contains(string(status), "\nSeccomp:\t2") {
		return "a seccomp filter on this process, as container runtimes set it, forbids it"
	}
	return "a security module forbids it"
}
