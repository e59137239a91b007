package claims

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
)

// write makes a file below a test's own root.
func write(t *testing.T, root, file, text string) {
	t.Helper()
	path := filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReadTicks(t *testing.T) {
	root := t.TempDir()
	write(t, root, "stat", `cpu  99 99 99 99 99 99 99 99 0 0
cpu0 1 2 3 1000 500 4 5 6 7 8
cpu1 10 20 30 1000 500 40 50 60 70 80
cpu10 7 7 7 7 7 7 7 7 7 7
intr 1 2 3 4 5 6 7 8 9
cpux 1 2 3 4 5 6 7 8 9
`)
	file := filepath.Join(root, "stat")
	if got, want := readTicks(file, []int{0, 1}), (ticks{busy: 231, user: 33, all: 3231, steal: 66}); got != want {
		t.Errorf("two CPUs: %+v, want %+v", got, want)
	}
	if got := readTicks(file, []int{7}); got != (ticks{}) {
		t.Errorf("a CPU that is not there: %+v", got)
	}
	if got := readTicks(file+"x", []int{0}); got != (ticks{}) {
		t.Errorf("no file: %+v", got)
	}
}

func TestStolen(t *testing.T) {
	const second = int64(time.Second)
	for _, c := range []struct {
		name             string
		busy, all, steal int64 // in ticks of 10 ms, over the window
		own              int64
		want             bool
	}{
		{"this process alone", 200, 200, 0, 2 * second, false},
		{"a neighbour on a tenth", 220, 200, 0, 2 * second, false},
		{"a neighbour on more", 225, 200, 0, 2 * second, true},
		{"the hypervisor on 2 %", 204, 200, 4, 2 * second, false},
		{"the hypervisor on more", 205, 200, 5, 2 * second, true},
		{"nothing was counted", 0, 0, 0, second, false},
	} {
		if got := stolen(ticks{}, ticks{busy: c.busy, all: c.all, steal: c.steal}, c.own); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTopology(t *testing.T) {
	sys := t.TempDir()
	for i, siblings := range []string{"0-1", "0-1", "2-3", "2-3"} {
		write(t, sys, "devices/system/cpu/cpu"+string(rune('0'+i))+"/topology/core_cpus_list", siblings+"\n")
	}
	write(t, sys, "devices/system/node/node0/cpulist", "0-1\n")
	write(t, sys, "devices/system/node/node1/cpulist", "2-3\n")
	write(t, sys, "devices/system/node/node2/cpulist", "\n") // memory only
	if cpus, cores, nodes := Topology(sys, []int{0, 1, 2, 3}); cores != 2 || nodes != 2 || !slices.Equal(cpus, []int{0, 2, 1, 3}) {
		t.Errorf("%d cores, %d nodes, in the order %v", cores, nodes, cpus)
	}
	if cpus, cores, nodes := Topology(t.TempDir(), []int{0, 1, 2}); cores != 3 || nodes != 1 || !slices.Equal(cpus, []int{0, 1, 2}) {
		t.Errorf("without facts: %d cores, %d nodes, in the order %v", cores, nodes, cpus)
	}
}

func TestKernelLocks(t *testing.T) {
	rt, plain := t.TempDir(), t.TempDir()
	write(t, rt, "kernel/realtime", "1\n")
	if got := KernelLocks(rt); !strings.Contains(got, "spinlock_t is an rt_mutex") {
		t.Errorf("PREEMPT_RT: %s", got)
	}
	if got := KernelLocks(plain); !strings.Contains(got, "both spin") {
		t.Errorf("no PREEMPT_RT: %s", got)
	}
}

func TestLockRunner(t *testing.T) {
	cpus, err := cpu.Affinity()
	if err != nil {
		t.Fatal(err)
	}
	r := Runners{Lock: &LockRunner{CPUs: cpus, Arm: 300 * time.Millisecond, Ramp: 5 * time.Millisecond, StateDir: t.TempDir()}}
	s, err := r.RunArm(context.Background(), crowd("futex", Threads{N: 2}))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []Metric{OpsPerS, Jain, GapNS} {
		if s.Values[m] <= 0 {
			t.Errorf("%s = %v", m, s.Values[m])
		}
	}
	if buckets, err := histogram(s.Histogram); err != nil || len(buckets) == 0 {
		t.Errorf("%d buckets of waits, %v", len(buckets), err)
	}
	if s, err = r.RunArm(context.Background(), Arm{Name: "sysv", Lock: &LockArm{Kind: "sysv", Mode: LockPair}}); err != nil || s.Values[PairNS] <= 0 {
		t.Errorf("a pair: %v, %v", s.Values, err)
	}
	for _, bad := range []Arm{{Name: "none", Lock: &LockArm{Kind: "nosuch", Mode: LockPair}}, {Name: "mode", Lock: &LockArm{Kind: "futex"}}} {
		if _, err := r.RunArm(context.Background(), bad); err == nil {
			t.Errorf("arm %s was run", bad.Name)
		}
	}
	if _, err := r.Lock.RunArm(context.Background(), Arm{Name: "job"}); err == nil {
		t.Error("an arm without a lock was run")
	}
}

// TestSpinlocksAmongCores runs the claim that wants eight cores: for real with eight that are made of the CPUs
// there are, where only its running counts, and with locks of known behaviour, where its verdict does.
func TestSpinlocksAmongCores(t *testing.T) {
	claim, err := Select([]string{"22"})
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := cpu.Affinity()
	if err != nil {
		t.Fatal(err)
	}
	env := Environment{Cores: 8}
	for i := range 8 {
		env.CPUs = append(env.CPUs, cpus[i%len(cpus)])
	}
	p := instant()
	r := Runners{Lock: &LockRunner{CPUs: env.CPUs, Arm: p.Arm, Ramp: p.Ramp, StateDir: t.TempDir()}}
	doc, err := Run(context.Background(), env, claim, r, Options{Profile: p, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	rec := doc.Records[0]
	if len(rec.Blocks) != 2 || len(rec.Skipped) != 0 || rec.Verdict == CannotTest && rec.Why == "" {
		t.Fatalf("%d blocks, skipped %v: %s", len(rec.Blocks), rec.Skipped, rec.Why)
	}
	for _, o := range rec.Tests {
		if o.Interval == nil {
			t.Errorf("%s: %s", o.Test.Name, o.Why)
		}
	}
	for _, a := range rec.Arms {
		if want := map[string]int{"ticket@max": 8, "mcs@6": 6}[a.Name]; want != 0 && a.Threads != want || a.Mean <= 0 {
			t.Errorf("%+v", a)
		}
	}

	means := map[string]float64{}
	for i, n := range []string{"1", "2", "4", "6", "8", "max"} {
		means["ticket@"+n] = []float64{30, 10, 8, 5, 4, 4}[i]
		means["ttas@"+n] = []float64{30, 12, 9, 6, 5, 5}[i]
		means["mcs@"+n] = []float64{25, 9, 9, 9, 9, 9}[i]
	}
	for _, c := range []struct {
		mcs  float64
		want Verdict
	}{{9, Reproduced}, {3, NotReproduced}} {
		means["mcs@max"] = c.mcs
		doc, err := Run(context.Background(), env, claim, newSynthetic(1, 0.02, means), Options{Profile: ciProfile(), Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		if got := doc.Records[0].Verdict; got != c.want {
			t.Errorf("mcs at %v: %s", c.mcs, got)
		}
	}
}

// TestFIFOLocksCollapse is the strong assertion of the experiments with locks: among twice as many threads as
// CPUs ticket and MCS locks lose by orders of magnitude, whatever else the machine does.
func TestFIFOLocksCollapse(t *testing.T) {
	cpus, err := cpu.Affinity()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Select([]string{"23"})
	if err != nil {
		t.Fatal(err)
	}
	p := instant()
	p.Looks = []Look{{6, 0.995}, {10, 0.99}}
	r := Runners{Lock: &LockRunner{CPUs: cpus, Arm: p.Arm, Ramp: p.Ramp, StateDir: t.TempDir()}}
	doc, err := Run(context.Background(), Environment{CPUs: cpus}, c, r, Options{Profile: p, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if rec := doc.Records[0]; rec.Verdict != Reproduced {
		t.Errorf("%s %s: %+v", rec.Verdict, rec.Why, rec.Tests)
	}
}
