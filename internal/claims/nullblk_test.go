package claims

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// environment is this machine's, with the subject as its device.
func environment(t *testing.T, s *Subject) Environment {
	t.Helper()
	cpus, err := cpu.Affinity()
	if err != nil {
		t.Fatal(err)
	}
	cpus, cores, nodes := Topology("/sys", cpus)
	return Environment{CPUs: cpus, Cores: cores, NUMANodes: nodes, Root: true, Device: s.Device(false)}
}

// nullBlkTraces lists what null_blk devices leave in the system.
func nullBlkTraces(t *testing.T, stateDir string) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"/sys/block/nullb*", "/dev/nullb*", "/sys/kernel/config/nullb", "/sys/module/null_blk", filepath.Join(stateDir, "*")} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// testClaims runs the claims for a moment and checks what must hold at any speed: all arms that this machine
// has the means for run, requests are issued where they were intended, and every claim has its verdict.
func testClaims(t *testing.T, r *DeviceRunner, env Environment, ids ...string) {
	t.Helper()
	selected, err := Select(ids)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Run(context.Background(), env, selected, Runners{Device: r}, Options{Profile: instant(), Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, doc)
	for _, rec := range doc.Records {
		// A busy machine disturbs blocks, and then the verdict may be withheld.
		if !slices.Contains([]Verdict{Reproduced, NotReproduced, Inconclusive, CannotTest}, rec.Verdict) || len(rec.Blocks) != 2 {
			t.Errorf("claim %s: verdict %q after %d blocks: %s %v", rec.ID, rec.Verdict, len(rec.Blocks), rec.Why, rec.Codes)
		}
		for _, k := range rec.Skipped {
			if k.Codes[0] != string(NeedNullBlk) && !strings.HasPrefix(k.Codes[0], string(NeedCores)) {
				t.Errorf("claim %s, arm %s: %v", rec.ID, k.Name, k)
			}
		}
		for _, b := range rec.Blocks {
			for name, sample := range b.Samples {
				if sample.Values[IOs] <= 0 || slices.Contains(sample.Codes, MapMismatch) {
					t.Errorf("claim %s, arm %s: %v %v", rec.ID, name, sample.Values, sample.Codes)
				}
			}
		}
	}
}

// TestClaimsOnNullBlk runs the claims that need devices with certain queues: each arm gets its own, and all are
// gone in the end, with the module.
func TestClaimsOnNullBlk(t *testing.T) {
	testlab.Require(t, "root", "null_blk")
	state := t.TempDir()
	s, err := OwnNullBlk(state)
	if err != nil {
		t.Fatal(err)
	}
	env := environment(t, s)
	if d := env.Device; d.Platform != NullBlk || d.HardwareQueues != len(env.CPUs) || d.PollQueues != 1 || !d.MayDestroy {
		t.Errorf("the device is %+v", d)
	}
	testClaims(t, &DeviceRunner{Subject: s, CPUs: env.CPUs, Env: os.Getenv, StateDir: state}, env, "1", "5", "6", "8", "9")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left := nullBlkTraces(t, state); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestPassthroughOnNVMe runs the claim about NVMe commands, whose arm reads through the character device of the
// namespace that was named.
func TestPassthroughOnNVMe(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	for _, path := range []string{"/dev/nvme0n1", "/dev/nvme0n2"} {
		s, err := Named(path)
		if err != nil {
			t.Fatal(err)
		}
		if s.Facts.LogicalBytes != 512 {
			continue // the claim is about blocks of that size
		}
		env := environment(t, s)
		r := &DeviceRunner{Subject: s, CPUs: env.CPUs, Env: os.Getenv, StateDir: t.TempDir()}
		testClaims(t, r, env, "15")
		return
	}
	t.Error("no namespace has blocks of 512 bytes")
}

// TestClaimsOnNVMe runs the claims that a drive with several queues and poll queues can decide, and leaves its
// settings as they were; what only null_blk can decide says so.
func TestClaimsOnNVMe(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	s, err := Named("/dev/nvme0n1")
	if err != nil {
		t.Fatal(err)
	}
	env := environment(t, s)
	if d := env.Device; d.Platform != NVMe || d.HardwareQueues != len(env.CPUs) || d.PollQueues != 2 || d.MayDestroy {
		t.Errorf("the device is %+v", d)
	}
	before := queueSettings(t, s.Name())
	r := &DeviceRunner{Subject: s, CPUs: env.CPUs, Env: os.Getenv, StateDir: t.TempDir()}
	testClaims(t, r, env, "1", "5", "8", "9")
	if after := queueSettings(t, s.Name()); after != before {
		t.Errorf("settings before:\n%safter:\n%s", before, after)
	}
	selected, err := Select([]string{"6"})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Run(context.Background(), env, selected, Runners{Device: r}, Options{Profile: instant(), Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if rec := doc.Records[0]; rec.Verdict != CannotTest || !slices.Equal(rec.Codes, []string{string(NeedNullBlk)}) || !strings.Contains(rec.Remedies[0], "--null-blk") {
		t.Errorf("claim 6 on NVMe: %s %v %v", rec.Verdict, rec.Codes, rec.Remedies)
	}
	if left, err := os.ReadDir(r.StateDir); err != nil || len(left) > 0 {
		t.Errorf("left in the journal: %v %v", left, err)
	}
}
