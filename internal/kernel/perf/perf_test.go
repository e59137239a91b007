package perf

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// counting returns what is needed to count, or skips the test with the kernel's reason.
func counting(t *testing.T, system, name string) Event {
	t.Helper()
	tracing, err := OpenTracing("")
	if err != nil {
		skip(t, err)
	}
	t.Cleanup(func() {
		if err := tracing.Close(); err != nil {
			t.Error(err)
		}
	})
	e, err := tracing.Event(system, name)
	if err != nil {
		skip(t, err)
	}
	c, err := Open(e, 0, "")
	if err != nil {
		skip(t, err)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	return e
}

// skip skips for what this process cannot have; root on a kernel with the events has no excuse.
func skip(t *testing.T, err error) {
	t.Helper()
	var u *Unavailable
	if !errors.As(err, &u) {
		t.Fatal(err)
	}
	if u.State == Unknown {
		t.Fatalf("inconclusive: %v", err)
	}
	t.Skipf("%v (%s)", err, u.Remedy)
}

// TestCountsAreExact makes a known number of system calls on a thread bound to one CPU, and filters for them.
func TestCountsAreExact(t *testing.T) {
	e := counting(t, "raw_syscalls", "sys_enter")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread, with its affinity, ends here
		cpu := bind(t)
		tid := unix.Gettid()
		filter := "id == " + strconv.Itoa(unix.SYS_GETPPID) + " && common_pid == " + strconv.Itoa(tid)
		c, err := Open(e, cpu, filter)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		calls := func(n int) {
			for range n {
				unix.Getppid()
			}
		}
		expect := func(want uint64) {
			if got, err := c.Read(); err != nil || got != want {
				t.Errorf("count = %d, %v; want %d", got, err, want)
			}
		}
		calls(10)
		expect(0)
		if err := c.Enable(); err != nil {
			t.Error(err)
		}
		calls(1234)
		unix.Getuid()
		expect(1234)
		if err := c.Disable(); err != nil {
			t.Error(err)
		}
		calls(50)
		expect(1234)
	}()
	<-done
}

// bind puts the calling thread on the CPU that it is on.
func bind(t *testing.T) int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Error(err)
	}
	cpu := 0
	for !set.IsSet(cpu) {
		cpu++
	}
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Error(err)
	}
	return cpu
}

func TestAFilterTheKernelRefusesIsAbsent(t *testing.T) {
	e := counting(t, "block", "block_rq_issue")
	_, err := Open(e, 0, "no_such_field == 1")
	var u *Unavailable
	if !errors.As(err, &u) || u.State != Absent || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("error %v, want Absent with EINVAL", err)
	}
	if _, err := Open(e, 1<<15, ""); !errors.As(err, &u) || u.State != Unknown {
		t.Errorf("a CPU that is not there: %v", err)
	}
	if _, err := Open(e, 0, "a\x00b"); err == nil {
		t.Error("a filter with a zero byte was taken")
	}
}

func TestOpenTracingReadsFixtures(t *testing.T) {
	for _, place := range []string{"sys/kernel/tracing", "sys/kernel/debug/tracing"} {
		root := t.TempDir()
		write(t, filepath.Join(root, place, "events/block/block_rq_issue/id"), "2104\n")
		write(t, filepath.Join(root, place, "events/block/damaged/id"), "x\n")
		tracing, err := OpenTracing(root)
		if err != nil {
			t.Fatal(err)
		}
		e, err := tracing.Event("block", "block_rq_issue")
		if err != nil || e.ID != 2104 || e.String() != "block:block_rq_issue" {
			t.Errorf("%s: event %+v, %v", place, e, err)
		}
		for name, want := range map[string]State{"nothing": Absent, "damaged": Unknown} {
			_, err := tracing.Event("block", name)
			var u *Unavailable
			if !errors.As(err, &u) || u.State != want {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
		if err := tracing.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := OpenTracing(t.TempDir())
	var u *Unavailable
	if !errors.As(err, &u) || u.State != Forbidden || !strings.Contains(u.Remedy, "mount") {
		t.Errorf("nothing mounted: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutPermission runs a test of this binary as nobody: the reason and the remedy must be told.
func TestWithoutPermission(t *testing.T) {
	if os.Getenv("PERF_TEST_AS_NOBODY") != "" {
		_, err := OpenTracing("")
		var u *Unavailable
		if !errors.As(err, &u) || u.State != Forbidden || u.Remedy == "" {
			t.Errorf("tracefs for nobody: %v", err)
		}
		// The number of an event is of no use without the permission.
		level, _ := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
		if n, err := strconv.Atoi(strings.TrimSpace(string(level))); err != nil || n < 1 {
			t.Skipf("kernel.perf_event_paranoid is %q: anybody may count", level)
		}
		_, err = Open(Event{System: "block", Name: "block_rq_issue", ID: 1}, 0, "")
		if !errors.As(err, &u) || u.State != Forbidden || !strings.Contains(u.Why, "perf_event_paranoid is") || !strings.Contains(u.Remedy, "cap_perfmon") {
			t.Errorf("counting for nobody: %v", err)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to become nobody")
	}
	// The test's own directory is root's alone.
	program := filepath.Join(os.TempDir(), filepath.Base(os.Args[0])+strconv.Itoa(os.Getpid()))
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(program) })
	cmd := exec.Command(program, "-test.run=^TestWithoutPermission$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = []string{"PERF_TEST_AS_NOBODY=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}
