package lockbench

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

func cpus(t *testing.T) []int {
	t.Helper()
	all, err := cpu.Affinity()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRunCountsWhatHappened(t *testing.T) {
	for _, kind := range lock.Names() {
		t.Run(kind, func(t *testing.T) {
			var r *Result
			var sum float64
			// On a busy machine nobody may run in so short a window; that is no fault of the count.
			for try := 0; try < 20 && sum < 1000; try++ {
				var err error
				r, err = Run(context.Background(), Load{
					Kind: kind, Threads: 2, CPUs: cpus(t), HoldNS: 200, StateDir: t.TempDir(),
					Duration: 40 * time.Millisecond, Ramp: 10 * time.Millisecond, YieldAfter: 100,
				})
				if err != nil {
					t.Fatal(err)
				}
				sum = 0
				for _, n := range r.PerThread {
					sum += n
				}
			}
			if want := r.OpsPerS * float64(r.WindowNS) / 1e9; sum < want*0.999 || sum > want*1.001 || sum == 0 {
				t.Errorf("threads passed %v times, the rate says %v", sum, want)
			}
			if r.OpsPerS > 1e9/150 {
				t.Errorf("%.0f passages/s of 200 ns each", r.OpsPerS)
			}
			if r.Waits.TotalCount() == 0 || r.Waits.ValueAtPercentile(50) > r.Waits.ValueAtPercentile(99.9) || r.LongestGapNS < r.Waits.ValueAtPercentile(50) {
				t.Errorf("%d waits, p50 %d, p99.9 %d, longest gap %d", r.Waits.TotalCount(), r.Waits.ValueAtPercentile(50), r.Waits.ValueAtPercentile(99.9), r.LongestGapNS)
			}
			if r.Jain < 0.5 || r.Jain > 1.0001 {
				t.Errorf("Jain of two threads = %v", r.Jain)
			}
			if r.WindowNS < int64(40*time.Millisecond) || r.CPUNS <= 0 || r.ClockNS <= 0 || r.CollectorRuns != 0 {
				t.Errorf("window %d ns, CPU %d ns, clock %v ns, %d collections", r.WindowNS, r.CPUNS, r.ClockNS, r.CollectorRuns)
			}
		})
	}
}

// A thread that gets nothing in the window leaves nothing of the ramp in it: every wait is one before a passage.
func TestNoWaitsWithoutPassages(t *testing.T) {
	r, err := Run(context.Background(), Load{
		Kind: "ticket", Threads: 6, CPUs: cpus(t)[:1], Ramp: 50 * time.Millisecond, Duration: time.Millisecond, StateDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	passages := 0.0
	for _, n := range r.PerThread {
		passages += n
	}
	if n := r.Waits.TotalCount(); float64(n) > passages {
		t.Errorf("%d waits before %v passages", n, passages)
	}
}

func TestInterruptedRunEndsEarly(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	cancel(why)
	for _, kind := range []string{"ticket", "pi", "sysv"} {
		start := time.Now()
		_, err := Run(ctx, Load{Kind: kind, Threads: 2, CPUs: cpus(t), Duration: time.Minute, StateDir: t.TempDir()})
		if !errors.Is(err, why) {
			t.Errorf("%s: %v, want the cause", kind, err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: ended after %v", kind, took)
		}
	}
	if _, err := Uncontended(ctx, Load{Kind: "futex", CPUs: cpus(t), Duration: time.Minute}); !errors.Is(err, why) {
		t.Errorf("uncontended: %v, want the cause", err)
	}
}

func TestUncontendedKnowsKernelFromUser(t *testing.T) {
	cost := map[string]float64{}
	for _, kind := range lock.Names() {
		ns, err := Uncontended(context.Background(), Load{Kind: kind, CPUs: cpus(t), Duration: 20 * time.Millisecond, StateDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if ns <= 0 {
			t.Errorf("%s: %v ns", kind, ns)
		}
		cost[kind] = ns
	}
	// Two system calls against two atomics: the one thing about these costs that holds on every machine.
	if cost["sysv"] < 2*cost["futex"] {
		t.Errorf("a SysV pair costs %.0f ns, a futex pair %.0f ns", cost["sysv"], cost["futex"])
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	for _, l := range []Load{
		{},
		{Kind: "futex", Threads: 1, Duration: 1},
		{Kind: "futex", Threads: 1, CPUs: []int{0}},
		{Kind: "nosuch", Threads: 1, CPUs: []int{0}, Duration: 1},
		{Kind: "futex", Threads: 1, CPUs: []int{1 << 15}, Duration: 1},
	} {
		if _, err := Run(context.Background(), l); err == nil {
			t.Errorf("%+v was run", l)
		}
	}
}

func TestStrideFor(t *testing.T) {
	for _, c := range []struct {
		took     time.Duration
		passages uint64
		want     uint32
	}{
		{time.Second, 0, 1},           // starved: look every time
		{time.Second, 10, 1},          // slow: exact
		{time.Second, 1_000_000, 4},   // 1 us each: 2*25/(0.02*1000) = 2.5
		{time.Second, 40_000_000, 64}, // fast
	} {
		if got := strideFor(25, c.took, c.passages); got != c.want {
			t.Errorf("%d passages in %v: stride %d, want %d", c.passages, c.took, got, c.want)
		}
	}
}

func TestInversion(t *testing.T) {
	testlab.Require(t, "rt")
	all := cpus(t)
	if len(all) < 2 {
		t.Skip("the experiment needs a CPU for its watchdog")
	}
	waits := map[string]Wait{}
	for _, kind := range []string{"futex", "pi", "ttas"} {
		x := DefaultInversion(kind, all[len(all)-1])
		x.StateDir = t.TempDir()
		w, err := x.Measure(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		waits[kind] = w
	}
	if waits["futex"].NS < int64(40*time.Millisecond) {
		t.Errorf("behind a futex the urgent thread waited %d ns, the middle one burns 50 ms", waits["futex"].NS)
	}
	if waits["pi"].NS > waits["futex"].NS/2 {
		t.Errorf("behind a PI futex it waited %d ns, behind a plain one %d ns", waits["pi"].NS, waits["futex"].NS)
	}
	if !waits["ttas"].Limited || waits["ttas"].NS < int64(5*time.Millisecond) {
		t.Errorf("a spinning real-time thread ended by itself: %+v", waits["ttas"])
	}
}

// TestARealTimeThreadIsStoppedByTheKernel: a thread that nothing in the process could stop does not keep its CPU.
func TestARealTimeThreadIsStoppedByTheKernel(t *testing.T) {
	testlab.Require(t, "rt")
	const hog = "BLKMETER_TEST_HOG"
	if os.Getenv(hog) != "" {
		runtime.LockOSThread()
		if _, err := cpu.LimitRealTime(50 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if err := cpu.SetThreadPolicy(cpu.Policy{Class: cpu.FIFO, Priority: 1}); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
			cpu.Pause(1000)
		}
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), hog+"=1")
	err := child.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the hog ended with %v, want SIGKILL", err)
	}
}
