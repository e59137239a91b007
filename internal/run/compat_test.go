package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
)

const fileBytes = 4 << 20

// sideBySide are jobs that fio and blkmeter both run, each section on a file of its own of fileBytes zeros.
// loose are the percent by which amounts that chance decides may differ; 0: they agree exactly.
var sideBySide = []struct {
	options string
	loose   float64
}{
	{"rw=read bs=4k", 0},
	{"rw=write bs=64k", 0},
	{"rw=randread bs=4k", 0},
	{"rw=randwrite bs=4k randrepeat=0", 0},
	{"rw=readwrite rwmixread=70 bs=4k", 8},
	{"rw=randrw rwmixwrite=20 bs=8k norandommap", 20},
	{"rw=randwrite bsrange=4k-16k norandommap io_size=16m", 8},
	{"rw=randread bssplit=4k/50:16k/50 norandommap io_size=32m", 8},
	{"rw=randrw bs=4k,8k norandommap io_size=8m", 8},
	{"rw=randread number_ios=100", 0},
	{"rw=write io_size=1m size=512k", 0},
	{"rw=write offset=1m size=1m", 0},
	{"rw=randwrite offset=25% size=50%", 0},
	{"rw=write numjobs=3 offset_increment=512k size=512k", 0},
	{"rw=read numjobs=2 thread", 0},
	{"rw=write loops=3 size=512k", 0},
	{"rw=write fsync=16 size=1m", 0},
	{"rw=write fdatasync=8 size=1m", 0},
	{"rw=write end_fsync=1 size=256k", 0},
	{"rw=write fsync_on_close=1 sync=dsync size=64k", 0},
	{"rw=randread:8 bs=4k", 0},
	{"rw=randread random_distribution=zipf:1.2 io_size=2m", 0},
	{"rw=randread random_distribution=pareto:0.2 io_size=2m", 0},
	{"rw=randread random_distribution=normal:20 io_size=2m", 0},
	{"rw=randread random_generator=lfsr", 0},
	{"rw=randread random_generator=tausworthe64 randseed=7", 0},
	{"rw=randwrite ba=8k bs=4k norandommap io_size=8m", 0},
	{"rw=write zonemode=strided zonesize=64k zonerange=256k io_size=512k", 0},
	{"rw=write verify=crc32c verify_state_save=0 size=1m", 0},
	{"rw=randwrite verify=md5 verify_fatal=1 verify_state_save=0 size=1m direct=1", 0},
	{"rw=write do_verify=0 verify=meta verify_state_save=0 size=1m", 0},
	{"rw=randread rate_iops=2000 number_ios=200", 0},
	{"rw=read rate=8m size=1m", 0},
	{"rw=randread rate_iops=2000 rate_process=poisson number_ios=200", 0},
	{"rw=read thinktime=1000 thinktime_blocks=8 size=128k", 0},
	{"rw=randread ioengine=libaio iodepth=16 direct=1", 0},
	{"rw=randwrite ioengine=io_uring iodepth=32 direct=1", 0},
	{"rw=randread ioengine=io_uring iodepth=16 iodepth_batch=4 iodepth_batch_complete_min=2 iodepth_batch_complete_max=8 iodepth_low=4 direct=1", 0},
	{"rw=randwrite percentage_random=50 norandommap io_size=4m", 0},
	{"rw=write buffer_pattern=0xdeadbeef", 0},
	{"rw=write zero_buffers", 0},
	{"rw=write refill_buffers invalidate=0 buffered=1", 0},
	{"rw=randread pre_read=1 overwrite=0 fallocate=none file_service_type=random", 0},
	{"rw=randread ioengine=libaio iodepth=8 direct=1 cmdprio_percentage=30 cmdprio_class=2 cmdprio=6", 0},
	{"rw=randwrite ioengine=io_uring iodepth=8 direct=1 cmdprio_bssplit=4k/20/2/3:4k/30/3/0", 0},
	{"rw=write sync_file_range=wait_before,write:8 size=1m", 0},
	{"rw=randwrite write_hint=short", 0},
	{"rw=write dedupe_percentage=50 dedupe_mode=working_set dedupe_working_set_percentage=10 size=1m", 0},
	{"rw=randread iomem_align=512 lockmem=1m direct=1", 0},
	{"rw=write startdelay=0 nrfiles=1 fadvise_hint=0 create_serialize=0", 0},
}

// TestSideBySideWithFio runs the same job file with Debian's fio and with blkmeter and compares what they
// transferred, in how many I/Os, in which direction, and which blocks they wrote.
func TestSideBySideWithFio(t *testing.T) {
	testlab.Require(t, "fio")
	theirs, ours := t.TempDir(), t.TempDir()
	jobFile := func(dir string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "[global]\ndirectory=%s\ngroup_reporting\nbs=4k\n", dir)
		for i, job := range sideBySide {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("file", i)), make([]byte, fileBytes), 0o600); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "[job%d]\nfilename=file%d\nnew_group\n", i, i)
			if i%8 == 0 {
				b.WriteString("stonewall\n")
			}
			b.WriteString(strings.ReplaceAll(job.options, " ", "\n") + "\n")
		}
		name := filepath.Join(dir, "jobs.fio")
		if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	fio := runFioFile(t, jobFile(theirs))
	r := runJobFile(t, jobFile(ours))
	if len(fio) != len(sideBySide) || len(r.Jobs) != len(sideBySide) || r.ExitCode != 0 {
		t.Fatalf("fio ran %d jobs, blkmeter %d of %d, exit %d, %+v", len(fio), len(r.Jobs), len(sideBySide), r.ExitCode, r.Error)
	}
	for i, job := range sideBySide {
		t.Run(job.options, func(t *testing.T) {
			want, got := fio[i].amounts(), amountsOf(&r.Jobs[i])
			for what, n := range want {
				if what == "syncs" {
					// fio leaves out the fsync behind the last write, and counts none but those of fsync=.
					if strings.Contains(job.options, " fsync=") && (got[what] < n || got[what] > n+1) {
						t.Errorf("%.0f syncs, fio has %.0f", got[what], n)
					}
					continue
				}
				if math.Abs(got[what]-n) > n*job.loose/100 {
					t.Errorf("%s: %.0f, fio has %.0f", what, got[what], n)
				}
			}
			name := fmt.Sprint("file", i)
			a, b := writtenBlocks(t, filepath.Join(theirs, name)), writtenBlocks(t, filepath.Join(ours, name))
			if job.loose > 0 || strings.Contains(job.options, "norandommap") {
				a, b = bounds(a), bounds(b) // chance decides which blocks are written between the bounds
			}
			if !slices.Equal(a, b) {
				t.Errorf("wrote blocks %v, fio wrote %v", bounds(b), bounds(a))
			}
		})
	}
	const patterned = "rw=write buffer_pattern=0xdeadbeef"
	for i, job := range sideBySide {
		if job.options != patterned {
			continue
		}
		a, _ := os.ReadFile(filepath.Join(theirs, fmt.Sprint("file", i)))
		b, _ := os.ReadFile(filepath.Join(ours, fmt.Sprint("file", i)))
		if !bytes.Equal(a, b) {
			t.Errorf("the pattern written is % x, fio writes % x", b[:8], a[:8])
		}
	}
}

// amounts are counts by what they count.
type amounts map[string]float64

func amountsOf(j *report.Job) amounts {
	a := amounts{}
	for d := workloads.Read; d < workloads.Directions; d++ {
		if s := j.Dir(d); s != nil {
			a[d.String()+" bytes"], a[d.String()+" I/Os"] = float64(s.Bytes), float64(s.IOs)
		}
	}
	if j.Sync != nil {
		a["syncs"] = float64(j.Sync.IOs)
	}
	if j.Verify != nil { // fio counts what it reads to verify among the reads
		a["read bytes"] += float64(j.Verify.Bytes)
		a["read I/Os"] += float64(j.Verify.Blocks)
	}
	return a
}

// fioJob is the part of fio's JSON that says how much was done.
type fioJob struct {
	Name              string `json:"jobname"`
	Read, Write, Trim struct {
		Bytes float64 `json:"io_bytes"`
		IOs   float64 `json:"total_ios"`
	}
	Sync struct {
		IOs float64 `json:"total_ios"`
	}
}

func (j *fioJob) amounts() amounts {
	return amounts{
		"read bytes": j.Read.Bytes, "read I/Os": j.Read.IOs, "write bytes": j.Write.Bytes, "write I/Os": j.Write.IOs,
		"trim bytes": j.Trim.Bytes, "trim I/Os": j.Trim.IOs, "syncs": j.Sync.IOs,
	}
}

func runFioFile(t *testing.T, path string) []fioJob {
	t.Helper()
	cmd := exec.Command("fio", "--output-format=json", path)
	cmd.Dir = filepath.Dir(path)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fio: %v\n%s", err, out)
	}
	var doc struct{ Jobs []fioJob }
	if err := json.Unmarshal(out[max(bytes.IndexByte(out, '{'), 0):], &doc); err != nil {
		t.Fatalf("fio's JSON: %v\n%s", err, out)
	}
	return doc.Jobs
}

// runJobFile runs a job file as blkmeter fio does.
func runJobFile(t *testing.T, path string) *report.Result {
	t.Helper()
	plan, _, err := fiojob.ParseArgs([]string{path}, fiojob.ParseOptions{Fio: true, Env: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), plan, Options{Env: os.Getenv, Overwrite: true, DumpDir: filepath.Dir(path)})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, r)
	return r
}

// writtenBlocks lists the blocks of a file, which was zeros, that hold something else.
func writtenBlocks(t *testing.T, path string) []int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != fileBytes {
		t.Errorf("%s has %d bytes now", path, len(data))
	}
	var blocks []int
	zeros := make([]byte, 4096)
	for i := range len(data) / len(zeros) {
		if !bytes.Equal(data[i*4096:(i+1)*4096], zeros) {
			blocks = append(blocks, i)
		}
	}
	return blocks
}

// bounds returns the first and the last of blocks, to the nearest 64 of them: the ends of a region are hit by
// chance, too.
func bounds(blocks []int) []int {
	if len(blocks) == 0 {
		return nil
	}
	return []int{blocks[0] / 64, blocks[len(blocks)-1] / 64}
}

// TestFioExamplesRunToTheEnd runs fio's own example job files, as far as blkmeter has their engine, with small
// files in place of their targets and a fraction of their time.
func TestFioExamplesRunToTheEnd(t *testing.T) {
	examples, _ := filepath.Glob("/usr/share/doc/fio/examples/*.fio") // the pattern is right
	if len(examples) == 0 {
		testlab.Require(t, "fio")
		t.Skip("fio's example job files are not installed (Debian's package fio has them)")
	}
	ran := 0
	for _, path := range examples {
		plan, _, err := fiojob.ParseArgs([]string{path}, fiojob.ParseOptions{Fio: true, NCPUs: 2, PageBytes: 4096, MemoryBytes: 1 << 30})
		if err != nil {
			continue // an engine or an option that blkmeter does not have, or a variable that is not set
		}
		ran++
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir := t.TempDir()
			for i := range plan.Jobs {
				shrink(&plan.Jobs[i], dir)
			}
			r, err := Run(t.Context(), plan, Options{Env: os.Getenv, Overwrite: true, DumpDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			valid(t, r)
			if r.ExitCode != 0 || len(r.Jobs) != len(plan.Jobs) {
				t.Errorf("exit %d, %d of %d jobs, %+v", r.ExitCode, len(r.Jobs), len(plan.Jobs), r.Error)
			}
		})
	}
	if ran < 25 {
		t.Errorf("only %d of %d examples run as they are", ran, len(examples))
	}
}

// shrink makes a job small and quick, and leads it to files in dir.
func shrink(j *workloads.Job, dir string) {
	j.Directories = []string{dir}
	for i, name := range j.Filenames {
		j.Filenames[i] = filepath.Join(dir, filepath.Base(name))
	}
	j.NumJobs, j.NrFiles = min(j.NumJobs, 2), min(j.NrFiles, 4)
	files := int64(max(j.NrFiles, 1))
	j.Size = workloads.Amount{Bytes: max(1<<20, 4*j.MaxBlock()) * files, Set: true}
	j.IOSize, j.Offset, j.OffsetIncrement, j.FileSize = workloads.Amount{}, workloads.Amount{}, workloads.Amount{}, workloads.SizeRange64{}
	j.Loops, j.Runtime, j.RampTime, j.StartDelay = 1, 100*time.Millisecond, 0, workloads.DurationRange{}
	j.Direct, j.HiPri, j.CPUsAllowed = false, false, nil // what the machine of the tests may not have
	if j.NUMAMemory.Nodes != nil {
		j.NUMAMemory.Nodes = []int{0}
	}
	j.SteadyState.Duration, j.Logs, j.Layout.FillDevice = 0, workloads.Logs{}, false
}
