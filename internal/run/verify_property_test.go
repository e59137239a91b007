package run

import (
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// anyJob draws a job that writes and verifies 256 KiB of path, in any way that fio's language has.
func anyJob(rt *rapid.T, path string) workloads.Job {
	j := verifyJob(path, rapid.SampledFrom([]string{"psync", "libaio", "io_uring"}).Draw(rt, "engine"),
		rapid.SampledFrom([]workloads.RW{
			workloads.RWWrite, workloads.RWRandWrite, workloads.RWRandWrite, workloads.RWReadWrite, workloads.RWRandRW, workloads.RWTrimWrite, workloads.RWRandTrimWrite,
		}).Draw(rt, "rw"), rapid.SampledFrom([]string{"crc32c", "xxhash", "sha256", "meta"}).Draw(rt, "verify"))
	j.Size.Bytes = 256 << 10
	j.IOSize = workloads.Amount{Bytes: int64(rapid.IntRange(1, 16).Draw(rt, "io_size")) << 17, Set: true}
	j.NoRandomMap = rapid.Bool().Draw(rt, "norandommap")
	j.IODepth = rapid.SampledFrom([]int{1, 4, 32}).Draw(rt, "iodepth")
	j.NumJobs = rapid.IntRange(1, 3).Draw(rt, "numjobs")
	if rapid.Bool().Draw(rt, "bssplit") {
		for d := range j.BSSplit {
			j.BSSplit[d] = []workloads.Split{{Bytes: 4096, Percent: 50}, {Bytes: 12288, Percent: 25}, {Bytes: 32768, Percent: 25}}
			j.BS[d] = workloads.SizeRange{Min: 4096, Max: 32768}
		}
	}
	j.Loops = rapid.IntRange(1, 3).Draw(rt, "loops")
	j.Verify.Backlog = rapid.SampledFrom([]uint64{0, 0, 1, 16}).Draw(rt, "verify_backlog")
	j.Verify.BacklogBatch = rapid.SampledFrom([]uint64{0, 3, 40}).Draw(rt, "verify_backlog_batch")
	j.Verify.IntervalBytes = rapid.SampledFrom([]int64{0, 512, 4096}).Draw(rt, "verify_interval")
	if rapid.Bool().Draw(rt, "trims") {
		j.Verify.TrimPercent = rapid.IntRange(1, 100).Draw(rt, "trim_percentage")
		j.Verify.TrimBacklog = rapid.SampledFrom([]uint64{1, 8, 64}).Draw(rt, "trim_backlog")
		j.Verify.TrimBatch = rapid.SampledFrom([]uint64{0, 2}).Draw(rt, "trim_backlog_batch")
	}
	return j
}

// sound runs a job in which nothing is wrong.
func sound(t *testing.T, dir, what string, j workloads.Job) *report.Result {
	t.Helper()
	r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{DumpDir: dir, Overwrite: true})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if r.ExitCode != 0 || r.Jobs[0].Verify.Mismatched != 0 {
		t.Fatalf("%s: exit %d, %+v; %+v\n%+v", what, r.ExitCode, r.Error, r.Jobs[0].Verify, j)
	}
	return r
}

// Whatever a job does, what it wrote is found right: by itself, and by later runs with the saved state or, where
// the job alone says what it wrote, without. The jobs are drawn, but the same each time, since a run takes as
// long as a hundred properties.
func TestNoJobRaisesFalseAlarms(t *testing.T) {
	const jobs = 24
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	draw := rapid.Custom(func(rt *rapid.T) workloads.Job { return anyJob(rt, dev.Path) })
	for seed := range jobs {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			dir := t.TempDir()
			j := draw.Example(seed)
			j.Verify.StateSave = true
			if r := sound(t, dir, "the job itself", j); r.Jobs[0].Verify.Blocks == 0 {
				t.Fatal("nothing was checked")
			}
			later := j
			later.Verify.StateSave, later.Destroy = false, ""
			later.Verify.Only = true
			if j.Verify.TrimPercent == 0 && (j.NumJobs == 1 || !j.Trims()) {
				sound(t, dir, "verify_only", later)
			}
			later.Verify.StateLoad = true
			sound(t, dir, "verify_only with the state", later)
			later.Verify.Only, later.RW, later.Verify.TrimPercent = false, workloads.RWRead, 0
			later.IOSize = workloads.Amount{}
			sound(t, dir, "a read job with the state", later)
		})
	}
}

// Errors and short transfers are no mismatches: what failed may hold anything, what was continued is whole.
func TestFailedIOsAreNoMismatches(t *testing.T) {
	testlab.Require(t, "fuse")
	for name, f := range map[string]testlab.Fault{
		"writes fail":     {Op: testlab.Writes, Offset: 32 << 10, Length: 16 << 10, Errno: syscall.EIO},
		"now and then":    {Op: testlab.Writes, Skip: 20, Times: 5, Errno: syscall.EIO},
		"short writes":    {Op: testlab.Writes, Offset: 32 << 10, Length: 64 << 10, Short: 1024},
		"short reads":     {Op: testlab.Reads, Offset: 32 << 10, Length: 64 << 10, Short: 512},
		"a little at all": {Op: testlab.Writes, Skip: 10, Times: 30, Short: 512},
	} {
		for _, engine := range []string{"psync", "libaio", "io_uring"} {
			t.Run(name+"/"+engine, func(t *testing.T) {
				dir := t.TempDir()
				disk := testlab.NewFaultDisk(t, 1<<20)
				disk.Inject(f)
				j := verifyJob(disk.Path, engine, workloads.RWRandWrite, "crc32c")
				j.Direct = false // parts of a block need no alignment
				j.Size.Bytes, j.NoRandomMap, j.IOSize = 256<<10, true, workloads.Amount{Bytes: 1 << 20, Set: true}
				j.ContinueOnError, j.NumJobs, j.Verify.StateSave = "all", 2, true
				j.Verify.Backlog = 32
				for _, only := range []bool{false, true} {
					if only {
						j.Verify.Only, j.Verify.StateSave, j.Verify.StateLoad = true, false, true
					}
					r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{DumpDir: dir, Overwrite: true})
					if err != nil {
						t.Fatal(err)
					}
					v, s := r.Jobs[0].Verify, r.Jobs[0].Stats
					if v.Mismatched != 0 || v.Blocks == 0 {
						t.Errorf("verify_only %v: exit %d, %+v, %+v", only, r.ExitCode, r.Error, v)
					}
					if f.Op == testlab.Writes && !only && s.Write.Errors+s.Write.Short == 0 {
						t.Error("no write failed")
					}
				}
				if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || fmt.Sprint(left) != "["+filepath.Join(dir, "local-test-0-verify.state")+"]" {
					t.Errorf("left in the directory: %v, %v", left, err)
				}
			})
		}
	}
}
