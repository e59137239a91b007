package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

func TestStatesThatCannotBeUsed(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	dir := t.TempDir()
	writes := verifyJob(dev.Path, "psync", workloads.RWWrite, "crc32c")
	writes.Verify.StateSave, writes.Verify.Do = true, false
	writes.Size.Bytes, writes.Offset = 1<<20, workloads.Amount{Bytes: 1 << 20, Set: true}
	if r := doDumping(t, dir, writes); r.ExitCode != 0 {
		t.Fatalf("%+v", r.Error)
	}
	reads := writes
	reads.RW, reads.Verify.StateSave, reads.Verify.StateLoad, reads.Destroy = workloads.RWRead, false, true, ""
	for name, c := range map[string]struct {
		code   string // "": it can be used
		job    workloads.Job
		change func(*workloads.Job)
		o      Options
	}{
		"the same blocks":      {"", reads, func(*workloads.Job) {}, Options{}},
		"larger I/Os":          {"", reads, func(j *workloads.Job) { j.BS[workloads.Read] = workloads.SizeRange{Min: 65536, Max: 65536} }, Options{}},
		"a part":               {"", reads, func(j *workloads.Job) { j.Offset.Bytes, j.Size.Bytes = 1<<20+8192, 65536 }, Options{}},
		"more than there is":   {"", reads, func(j *workloads.Job) { j.Size.Bytes = 2 << 20 }, Options{}},
		"smaller I/Os":         {"VERIFY_STATE_UNLIKE", reads, func(j *workloads.Job) { j.BS[workloads.Read] = workloads.SizeRange{Min: 512, Max: 512} }, Options{}},
		"before its region":    {"VERIFY_STATE_UNLIKE", reads, func(j *workloads.Job) { j.Offset.Bytes = 0 }, Options{}},
		"between its blocks":   {"VERIFY_STATE_UNLIKE", reads, func(j *workloads.Job) { j.Offset.Bytes += 512; j.Size.Bytes = 65536 }, Options{}},
		"another method":       {"VERIFY_STATE_UNLIKE", reads, func(j *workloads.Job) { j.Verify.Kind = "md5" }, Options{}},
		"another interval":     {"VERIFY_STATE_UNLIKE", reads, func(j *workloads.Job) { j.Verify.IntervalBytes = 512 }, Options{}},
		"more targets":         {"VERIFY_STATE_UNLIKE", reads, func(j *workloads.Job) { j.Filenames, j.NrFiles = append(j.Filenames, dev.Backing), 2; j.Direct = false }, Options{}},
		"another job":          {"VERIFY_STATE_FILE", reads, func(j *workloads.Job) { j.Name = "other" }, Options{}},
		"a writing job":        {"VERIFY_STATE_USE", writes, func(j *workloads.Job) { j.Verify.StateLoad = true }, Options{}},
		"explained":            {"VERIFY_STATE_USE", writes, func(*workloads.Job) {}, Options{Explain: true}},
		"a name that is taken": {"VERIFY_STATE_FILE", writes, func(j *workloads.Job) { j.Name = "taken" }, Options{}},
		"no directory":         {"VERIFY_STATE_FILE", writes, func(*workloads.Job) {}, Options{DumpDir: "/nonexistent"}},
	} {
		writeFile(t, filepath.Join(dir, "local-taken-0-verify.state"), []byte("somebody's data"))
		j := c.job
		j.Filenames = append([]string(nil), j.Filenames...)
		c.change(&j)
		if c.o.DumpDir == "" {
			c.o.DumpDir = dir
		}
		r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, c.o)
		switch {
		case c.code == "" && (err != nil || r.ExitCode != 0 || r.Jobs[0].Verify.Blocks == 0):
			t.Errorf("%s: %v, %+v", name, err, r)
		case c.code != "" && (err == nil || fault.Of(err).Code != c.code || fault.Of(err).Exit != fault.ExitUsage):
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "local-taken-0-verify.state")); err != nil || string(data) != "somebody's data" {
		t.Errorf("another's file has %q, %v", data, err)
	}
}

// A write that the device lost in the second loop leaves the block of the first: only the state tells.
func TestALaterRunSeesALostWrite(t *testing.T) {
	testlab.Require(t, "loop", "fuse")
	const bs = 4096
	disk := testlab.NewFaultDisk(t, 1<<20)
	dev := testlab.Loop(t, testlab.LoopOptions{Backing: disk.Path, DirectIO: true})
	disk.Inject(testlab.Fault{Op: testlab.Writes, Offset: 7 * bs, Length: bs, Skip: 1, Times: 1, Drop: true})
	dir := t.TempDir()
	j := verifyJob(dev.Path, "io_uring", workloads.RWWrite, "crc32c")
	j.Size.Bytes, j.Loops, j.IODepth, j.Verify.Do, j.Verify.StateSave = 256<<10, 2, 1, false, true
	if r := doDumping(t, dir, j); r.ExitCode != 0 {
		t.Fatalf("%+v", r.Error)
	}
	j.Verify.Only, j.Verify.StateSave, j.Destroy = true, false, ""
	wantFaults(t, doDumping(t, dir, j), map[string]int64{}, 0)
	j.Verify.StateLoad = true
	wantFaults(t, doDumping(t, dir, j), map[string]int64{"stale": 1}, 7*bs)
}
