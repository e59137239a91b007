package run

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// verifyJob writes 4 MiB of path and reads it back.
func verifyJob(path, engine string, rw workloads.RW, kind string) workloads.Job {
	j := job(path, engine, rw)
	j.Size = workloads.Amount{Bytes: 4 << 20, Set: true}
	j.Verify.Kind = kind
	return j
}

// Whatever a job does to its blocks, what it reads back is what it wrote.
func TestVerifyRaisesNoFalseAlarm(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	often := func(j *workloads.Job) { // blocks are written again and again, many at a time
		j.NoRandomMap, j.Size.Bytes, j.IOSize = true, 256<<10, workloads.Amount{Bytes: 8 << 20, Set: true}
	}
	all := func(s ...uint32) (out [workloads.Directions][]workloads.Split) {
		for d := range out {
			for _, b := range s {
				out[d] = append(out[d], workloads.Split{Bytes: b, Percent: 100 / float64(len(s))})
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		rw     workloads.RW
		kind   string
		change func(*workloads.Job)
	}{
		"in order":          {workloads.RWWrite, "crc32c", nil},
		"at random":         {workloads.RWRandWrite, "md5", nil},
		"random overwrites": {workloads.RWRandWrite, "xxhash", often},
		"clones on one region": {workloads.RWRandWrite, "crc32c", func(j *workloads.Job) {
			often(j)
			j.NumJobs = 3
		}},
		"clones side by side": {workloads.RWWrite, "crc32c", func(j *workloads.Job) {
			j.NumJobs, j.Size.Bytes, j.OffsetIncrement = 3, 1<<20, workloads.Amount{Bytes: 1 << 20, Set: true}
		}},
		"bssplit": {workloads.RWRandWrite, "crc32c", func(j *workloads.Job) {
			often(j)
			j.BSSplit = all(4096, 8192, 65536)
			for d := range j.BS {
				j.BS[d] = workloads.SizeRange{Min: 4096, Max: 65536}
			}
		}},
		"reads and writes": {workloads.RWRandRW, "crc64", often},
		"trims and writes": {workloads.RWRandTrimWrite, "sha256", often},
		"rows":             {workloads.RWRandWrite, "crc32c", func(j *workloads.Job) { often(j); j.RWRun = 8 }},
		"intervals": {workloads.RWRandWrite, "sha512", func(j *workloads.Job) {
			often(j)
			j.Verify.IntervalBytes, j.Verify.OffsetBytes = 512, 64
		}},
		"backlog": {workloads.RWRandWrite, "crc32c", func(j *workloads.Job) {
			often(j)
			j.Verify.Backlog, j.Verify.BacklogBatch = 64, 16
		}},
		"backlog of clones": {workloads.RWRandWrite, "crc32c", func(j *workloads.Job) {
			often(j)
			j.NumJobs, j.Verify.Backlog = 2, 32
		}},
		"pattern":            {workloads.RWRandWrite, "pattern", func(j *workloads.Job) { often(j); j.Verify.Pattern = `0xdeadbeef%o"x"` }},
		"pattern and header": {workloads.RWRandWrite, "pattern_hdr", func(j *workloads.Job) { often(j); j.Verify.Pattern = "0x1234" }},
		"meta":               {workloads.RWRandWrite, "meta", often},
		"syncs between":      {workloads.RWRandWrite, "crc7", func(j *workloads.Job) { often(j); j.FsyncEvery = 16 }},
		"paced": {workloads.RWRandWrite, "crc16", func(j *workloads.Job) {
			often(j)
			j.RateIOPS[workloads.Write], j.NumberIOs = 20000, 1000
		}},
		"until the time is up": {workloads.RWRandRW, "crc32c", func(j *workloads.Job) {
			j.Runtime, j.TimeBased, j.NoRandomMap = 100*time.Millisecond, true, true
		}},
		"a range of sizes": {workloads.RWRandWrite, "crc32", func(j *workloads.Job) {
			often(j)
			for d := range j.BS {
				j.BS[d] = workloads.SizeRange{Min: 4096, Max: 16384}
			}
		}},
		"gaps": {workloads.RWWrite, "sha1", func(j *workloads.Job) { j.RWSkipBytes, j.IOSize = 4096, workloads.Amount{Bytes: 8 << 20, Set: true} }},
		"zones": {workloads.RWRandWrite, "crc32c", func(j *workloads.Job) {
			j.Zones = workloads.Zones{Mode: "strided", SizeBytes: 256 << 10, RangeBytes: 512 << 10}
			j.NoRandomMap = true
		}},
		"trims alone":                       {workloads.RWRandTrim, "crc32c", often},
		"trims and writes of cached blocks": {workloads.RWRandTrimWrite, "crc32c", func(j *workloads.Job) { often(j); j.Direct = false }},
		"buffered":                          {workloads.RWRandWrite, "crc32c", func(j *workloads.Job) { often(j); j.Direct = false }},
	} {
		for _, engine := range []string{"psync", "libaio", "io_uring"} {
			t.Run(name+"/"+engine, func(t *testing.T) {
				j := verifyJob(dev.Path, engine, c.rw, c.kind)
				if c.change != nil {
					c.change(&j)
				}
				r := do(t, j)
				v := r.Jobs[0].Verify
				if r.ExitCode != 0 || v == nil || v.Blocks == 0 || v.Mismatched != 0 {
					t.Fatalf("exit %d, error %+v, verify %+v", r.ExitCode, r.Error, v)
				}
				if w := r.Jobs[0].Write; c.rw.Does(workloads.Write) && w.IOs == 0 || v.RuntimeNS == 0 {
					t.Errorf("writes %+v, read back in %d ns", w, v.RuntimeNS)
				}
				b := v.ReadBack
				if b == nil || b.Read.IOs == 0 || b.Read.Clat.N != b.Read.IOs || (b.Read.Slat == nil) != (engine == "psync") || b.Read.RuntimeNS == 0 {
					t.Fatalf("read back: %+v", b)
				}
				if !c.rw.Does(workloads.Read) && b.Read.Bytes != v.Bytes {
					t.Errorf("%d bytes were read back, and %d checked", b.Read.Bytes, v.Bytes)
				}
			})
		}
	}
}

// Reading a block of which nothing is known checks nothing, and does not count as if it did.
func TestOnlyWhatIsKnownCountsAsChecked(t *testing.T) {
	for _, threads := range []int{0, 2} {
		j := verifyJob(filepath.Join(t.TempDir(), "file"), "io_uring", workloads.RWRandRW, "crc32c")
		j.Destroy, j.Direct, j.Verify.Async = "", false, threads
		r := do(t, j) // each block is read or written, once
		out := &r.Jobs[0]
		if v := out.Verify; out.Read.IOs == 0 || v.Blocks != out.Write.IOs || v.Bytes != out.Write.Bytes {
			t.Errorf("%d blocks and %d bytes were checked of %d written", v.Blocks, v.Bytes, out.Write.IOs)
		}
	}
}

// A later run checks what two others wrote, the second over the first, and sees what happened to it since:
// by the blocks' headers alone, and with the saved state also what they cannot tell.
func TestVerifyNamesWhatHappened(t *testing.T) {
	const bs = 4096
	for name, c := range map[string]struct {
		damage func(data, old []byte)
		faults map[string]int64
		offset int64 // of the first
		state  bool  // seen only with the saved state
	}{
		"nothing":      {func(_, _ []byte) {}, map[string]int64{}, 0, false},
		"a byte":       {func(d, _ []byte) { d[5*bs+100]++ }, map[string]int64{"corrupted": 1}, 5 * bs, false},
		"a header":     {func(d, _ []byte) { d[5*bs+9]++ }, map[string]int64{"corrupted": 1}, 5 * bs, false},
		"zeros":        {func(d, _ []byte) { clear(d[6*bs : 8*bs]) }, map[string]int64{"zeroed": 2}, 6 * bs, false},
		"half zeros":   {func(d, _ []byte) { clear(d[6*bs+bs/2 : 7*bs]) }, map[string]int64{"zeroed": 1}, 6 * bs, false},
		"two swapped":  {func(d, _ []byte) { swapBlocks(d[3*bs:4*bs], d[9*bs:10*bs]) }, map[string]int64{"misdirected": 2}, 3 * bs, false},
		"old head":     {func(d, old []byte) { copy(d[4*bs:4*bs+bs/2], old[4*bs:]) }, map[string]int64{"torn": 1}, 4 * bs, false},
		"old tail":     {func(d, old []byte) { copy(d[4*bs+bs/2:5*bs], old[4*bs+bs/2:]) }, map[string]int64{"torn": 1}, 4 * bs, false},
		"a sector old": {func(d, old []byte) { copy(d[4*bs+1024:4*bs+1536], old[4*bs+1024:]) }, map[string]int64{"torn": 1}, 4 * bs, false},
		"old":          {func(d, old []byte) { copy(d[8*bs:9*bs], old[8*bs:]) }, map[string]int64{"foreign": 1}, 8 * bs, true},
		"many": {func(d, old []byte) {
			d[100*bs+77] ^= 1
			clear(d[101*bs : 102*bs])
			copy(d[102*bs+bs/2:103*bs], old[102*bs+bs/2:])
		}, map[string]int64{"corrupted": 1, "zeroed": 1, "torn": 1}, 100 * bs, false},
	} {
		for _, engine := range []string{"psync", "io_uring"} {
			t.Run(name+"/"+engine, func(t *testing.T) {
				dir := t.TempDir()
				dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
				j := verifyJob(dev.Path, engine, workloads.RWWrite, "crc32c")
				j.Verify.Do = false
				do(t, j)
				old := readAll(t, dev.Backing)
				j.Verify.StateSave = true
				if r := doDumping(t, dir, j); r.ExitCode != 0 || r.Jobs[0].Verify.Blocks != 0 {
					t.Fatalf("exit %d, verify %+v", r.ExitCode, r.Jobs[0].Verify)
				}
				data := readAll(t, dev.Backing)
				c.damage(data, old)
				if err := os.WriteFile(dev.Backing, data, 0o600); err != nil {
					t.Fatal(err)
				}
				only := verifyJob(dev.Path, engine, workloads.RWWrite, "crc32c")
				only.Verify.Only, only.Destroy, only.Verify.Dump = true, "", true
				reads := verifyJob(dev.Path, engine, workloads.RWRandRead, "crc32c")
				for _, check := range []workloads.Job{only, reads} {
					check.Verify.StateLoad = true
					wantFaults(t, doDumping(t, dir, check), c.faults, c.offset)
					check.Verify.StateLoad = false
					want := c.faults
					if c.state {
						want = map[string]int64{}
					}
					wantFaults(t, doDumping(t, dir, check), want, c.offset)
				}
				if after := readAll(t, dev.Backing); !bytes.Equal(after, data) {
					t.Error("checking changed the device")
				}
			})
		}
	}
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func swapBlocks(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// doDumping runs a job that puts its dumps into dir.
func doDumping(t *testing.T, dir string, j workloads.Job) *report.Result {
	t.Helper()
	r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv, DumpDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, r)
	if j.Verify.Dump {
		for _, m := range r.Jobs[0].Verify.Mismatches {
			if len(m.Dumped) == 0 || !strings.HasSuffix(m.Dumped[0], fmt.Sprintf(".%d.received", m.OffsetBytes)) {
				t.Errorf("dumped %v", m.Dumped)
			}
			for _, name := range m.Dumped {
				if info, err := os.Stat(name); err != nil || filepath.Dir(name) != dir || info.Size() != m.LengthBytes {
					t.Errorf("%s: %v, %+v", name, err, info)
				}
			}
		}
	}
	return r
}

func wantFaults(t *testing.T, r *report.Result, want map[string]int64, offset int64) {
	t.Helper()
	v := r.Jobs[0].Verify
	got, sum := map[string]int64{}, int64(0)
	for _, f := range v.Faults {
		got[f.Fault] = f.Count
		sum += f.Count
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || v.Mismatched != sum {
		t.Errorf("%d blocks are wrong: %v, want %v; %+v", v.Mismatched, got, want, v.Mismatches)
	}
	if len(want) == 0 {
		if r.ExitCode != 0 {
			t.Errorf("exit %d, %+v", r.ExitCode, r.Error)
		}
		return
	}
	first := int64(devBytes)
	for _, m := range v.Mismatches {
		first = min(first, m.OffsetBytes)
	}
	if r.ExitCode != fault.ExitVerify || r.Status != report.StatusFailed || r.Error == nil || r.Error.Code != "VERIFY_MISMATCH" || first != offset {
		t.Errorf("exit %d, status %s, error %+v, first at %d, want %d", r.ExitCode, r.Status, r.Error, first, offset)
	}
}

// A device that loses a write, or a part of one, or turns a bit over, while the job runs.
func TestVerifyFindsWhatTheDeviceDoes(t *testing.T) {
	testlab.Require(t, "loop", "fuse")
	const bs = 4096
	for name, c := range map[string]struct {
		inject testlab.Fault
		fault  string
		change func(*workloads.Job)
	}{
		"the second write is lost": {testlab.Fault{Op: testlab.Writes, Offset: 7 * bs, Length: bs, Skip: 1, Drop: true}, "stale", nil},
		"the first write is lost":  {testlab.Fault{Op: testlab.Writes, Offset: 7 * bs, Length: bs, Drop: true}, "zeroed", nil},
		"a bit is turned over":     {testlab.Fault{Op: testlab.Reads, Offset: 7 * bs, Length: bs, Flip: true}, "corrupted", nil},
		"seen by the backlog": {testlab.Fault{Op: testlab.Writes, Offset: 7 * bs, Length: bs, Skip: 1, Drop: true}, "stale", func(j *workloads.Job) {
			j.Verify.Backlog, j.Verify.Do = 32, false
		}},
		"fatal": {testlab.Fault{Op: testlab.Writes, Offset: 7 * bs, Drop: true}, "zeroed", func(j *workloads.Job) { j.Verify.Fatal = true }},
	} {
		t.Run(name, func(t *testing.T) {
			disk := testlab.NewFaultDisk(t, 1<<20)
			dev := testlab.Loop(t, testlab.LoopOptions{Backing: disk.Path, DirectIO: true})
			disk.Inject(c.inject)
			j := verifyJob(dev.Path, "io_uring", workloads.RWWrite, "crc32c")
			j.Size.Bytes, j.Loops, j.IODepth = 256<<10, 2, 1 // no I/Os that the device could merge
			if c.change != nil {
				c.change(&j)
			}
			r := doDumping(t, t.TempDir(), j)
			v := r.Jobs[0].Verify
			if v.Mismatched == 0 || r.ExitCode != fault.ExitVerify {
				t.Fatalf("exit %d, %+v, verify %+v", r.ExitCode, r.Error, v)
			}
			if j.Verify.Fatal && v.Mismatched > int64(j.IODepth) {
				t.Errorf("%d mismatches were found although the first is fatal", v.Mismatched)
			}
			if m := v.Mismatches[0]; m.Fault != c.fault || m.OffsetBytes != 7*bs {
				t.Errorf("found %+v, want %s at %d", m, c.fault, 7*bs)
			}
			if want := fmt.Sprintf("offset %d", 7*bs); !strings.Contains(r.Error.Sentence, want) || !strings.Contains(r.Error.Sentence, c.fault) {
				t.Errorf("the error says %q", r.Error.Sentence)
			}
		})
	}
}

// A block that cannot be read back ends the reading, unless such errors are tolerated: then the others are checked.
func TestBlocksThatCannotBeReadBack(t *testing.T) {
	const blocks, bs = 64, 4096
	disk := testlab.NewFaultDisk(t, 1<<20)
	dev := testlab.Loop(t, testlab.LoopOptions{Backing: disk.Path, DirectIO: true})
	disk.Inject(testlab.Fault{Op: testlab.Reads, Offset: 7 * bs, Length: bs, Errno: syscall.EIO})
	for tolerate, exit := range map[string]int{"none": fault.ExitIO, "write": fault.ExitIO, "read": 0, "all": 0} {
		j := verifyJob(dev.Path, "psync", workloads.RWWrite, "crc32c")
		j.Size.Bytes, j.IODepth, j.ContinueOnError = blocks*bs, 1, tolerate
		r := doDumping(t, t.TempDir(), j)
		v := r.Jobs[0].Verify
		if r.ExitCode != exit || v.Mismatched != 0 || v.ReadBack.Read.Errors != 1 {
			t.Errorf("%s: exit %d (%+v), %d mismatches, %d errors", tolerate, r.ExitCode, r.Error, v.Mismatched, v.ReadBack.Read.Errors)
		}
		if want := int64(blocks - 1); exit == 0 && v.Blocks != want || exit != 0 && v.Blocks >= want {
			t.Errorf("%s: %d blocks were checked", tolerate, v.Blocks)
		}
	}
}

func TestWhatCannotBeVerifiedIsRefused(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	for code, change := range map[string]func(*workloads.Job){
		"VERIFY_NULL": func(j *workloads.Job) { j.Engine = "null" },
		"VERIFY_ONLY": func(j *workloads.Job) { j.RW, j.Verify.Only = workloads.RWRandRead, true },
		"VERIFY_INTERVAL": func(j *workloads.Job) { // no number of bytes divides all sizes
			j.Direct, j.BSUnaligned = false, true
			j.BS[workloads.Write] = workloads.SizeRange{Min: 4096, Max: 16384}
		},
		"PATTERN": func(j *workloads.Job) { j.Verify.Kind, j.Verify.Pattern = "pattern", "0x" },
	} {
		j := verifyJob(dev.Path, "psync", workloads.RWRandWrite, "crc32c")
		change(&j)
		_, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{})
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != code || e.Exit != fault.ExitUsage {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
