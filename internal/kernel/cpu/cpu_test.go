package cpu

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// onThread runs f on a thread of its own that is thrown away, so that no test leaves a changed thread behind.
func onThread(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		f()
	}()
	<-done
}

func TestAffinityIsWhatProcSays(t *testing.T) {
	onThread(t, func() {
		cpus, err := Affinity()
		if err != nil {
			t.Error(err)
			return
		}
		status, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(ThreadID()) + "/status")
		if err != nil {
			t.Error(err)
			return
		}
		_, rest, _ := strings.Cut(string(status), "Cpus_allowed_list:")
		line, _, _ := strings.Cut(rest, "\n")
		if got, want := listed(cpus), strings.TrimSpace(line); got != want {
			t.Errorf("Affinity() = %s, /proc says %s", got, want)
		}
	})
}

// listed writes CPUs as the kernel does: "0-3,8".
func listed(cpus []int) string {
	var parts []string
	for i := 0; i < len(cpus); {
		j := i
		for j+1 < len(cpus) && cpus[j+1] == cpus[j]+1 {
			j++
		}
		s := strconv.Itoa(cpus[i])
		if j > i {
			s += "-" + strconv.Itoa(cpus[j])
		}
		parts = append(parts, s)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

func TestSetAffinityMovesTheThread(t *testing.T) {
	onThread(t, func() {
		all, err := Affinity()
		if err != nil {
			t.Error(err)
			return
		}
		for _, c := range all {
			if err := SetAffinity([]int{c}); err != nil {
				t.Error(err)
				continue
			}
			if at, node := Current(); at != c || node < 0 {
				t.Errorf("bound to CPU %d, found on CPU %d of node %d", c, at, node)
			}
			if now, err := Affinity(); err != nil || !slices.Equal(now, []int{c}) {
				t.Errorf("bound to CPU %d, Affinity() = %v, %v", c, now, err)
			}
		}
		for _, bad := range [][]int{{}, {-1}, {maxCPUs}, {maxCPUs - 1}} {
			if err := SetAffinity(bad); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("SetAffinity(%v) = %v, want EINVAL", bad, err)
			}
		}
	})
}

func TestThreadUsageCountsWork(t *testing.T) {
	onThread(t, func() {
		before, err := ThreadUsage()
		if err != nil {
			t.Error(err)
			return
		}
		// The kernel counts this thread's time; the wall clock only bounds the test.
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			now, err := ThreadUsage()
			if err != nil {
				t.Error(err)
				return
			}
			if d := now.Sub(before); d.UserNS+d.SysNS >= int64(20*time.Millisecond) {
				return
			}
		}
		t.Error("10 s of work cost less than 20 ms of CPU time")
	})
}

func TestThreadPolicy(t *testing.T) {
	onThread(t, func() {
		if p, err := ThreadPolicy(); err != nil || p.Class != Other {
			t.Errorf("ThreadPolicy() = %+v, %v; want the fair scheduler", p, err)
		}
		// Any thread may make itself batch.
		if err := SetThreadPolicy(Policy{Class: Batch}); err != nil {
			t.Error(err)
		}
		if p, err := ThreadPolicy(); err != nil || p.Class != Batch {
			t.Errorf("ThreadPolicy() = %+v, %v; want batch", p, err)
		}
		err := SetThreadPolicy(Policy{Class: FIFO, Priority: 1})
		switch {
		case errors.Is(err, syscall.EPERM):
			return
		case err != nil:
			t.Error(err)
		default:
			if p, err := ThreadPolicy(); err != nil || p != (Policy{Class: FIFO, Priority: 1}) {
				t.Errorf("ThreadPolicy() = %+v, %v; want FIFO 1", p, err)
			}
		}
	})
}

func TestPauseTakesTime(t *testing.T) {
	Pause(0)
	const n = 100_000
	start := time.Now()
	for range n / 100 {
		Pause(100)
	}
	if took := time.Since(start); took < n/100 {
		t.Errorf("%d pauses took %v", n, took)
	}
}

func TestNoAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Current(); Pause(1); Yield() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSyscallNS(t *testing.T) {
	if ns := SyscallNS(); ns < 5 || ns > 100_000 {
		t.Errorf("a system call in %v ns", ns)
	}
}

// TestProcessUsage: what a thread uses is in what the process does.
func TestProcessUsage(t *testing.T) {
	before, err := ProcessUsage()
	if err != nil {
		t.Fatal(err)
	}
	SyscallNS()
	after, err := ProcessUsage()
	if d := after.Sub(before); err != nil || d.UserNS+d.SysNS <= 0 {
		t.Errorf("%+v used by 20,000 system calls, %v", d, err)
	}
}
