package run

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/ncw/directio"
)

// Both namespaces of the drive, of blocks of 512 and of 4096 bytes, by what follows "nvme" and "ng".
var nvmeNamespaces = []string{"0n1", "0n2"}

// regionAt is where these tests work, far from the start, which other tests format.
const (
	regionAt    = 64 << 20
	regionBytes = 2 << 20
)

// commandJob is a job for the character device of a namespace.
func commandJob(namespace string, rw workloads.RW) workloads.Job {
	j := job("/dev/ng"+namespace, "io_uring_cmd", rw)
	j.Offset = workloads.Amount{Bytes: regionAt, Set: true}
	j.Size = workloads.Amount{Bytes: regionBytes, Set: true}
	j.IODepth = 32
	return j
}

// onMedium reads the region through the block device.
func onMedium(t *testing.T, namespace string) []byte {
	t.Helper()
	f, err := blk.Open("/dev/nvme"+namespace, blk.Flags{Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := directio.AlignedBlock(regionBytes)
	if _, err := f.ReadAt(b, regionAt); err != nil {
		t.Fatal(err)
	}
	return b
}

// commandVariants are the ways in which commands go to the kernel: all of them for the first namespace, and those
// that differ most for the other, which differs in its blocks.
func commandVariants(namespace string) map[string]func(*workloads.Job) {
	all := map[string]func(*workloads.Job){
		"depth 1":  func(j *workloads.Job) { j.IODepth = 1 },
		"depth 32": func(*workloads.Job) {},
		"nothing fixed": func(j *workloads.Job) {
			j.Options = []workloads.Option{{Name: "fixedbufs", Value: "0"}, {Name: "registerfiles", Value: "0"}}
		},
		"everything fixed":  func(j *workloads.Job) { j.FixedBufs, j.RegisterFiles = true, true },
		"polled":            func(j *workloads.Job) { j.HiPri = true },
		"submission thread": func(j *workloads.Job) { j.SQThreadPoll, j.RegisterFiles = true, true },
		"forced async":      func(j *workloads.Job) { j.ForceAsync = 3 },
		"pool of threads":   func(j *workloads.Job) { j.Offload = true },
		"one queue for two": func(j *workloads.Job) { j.SharedQueue, j.NumJobs, j.Size.Bytes = true, 2, regionBytes },
		"with FUA":          func(j *workloads.Job) { j.NVMe.FUA = [2]bool{true, true} },
	}
	if namespace != nvmeNamespaces[0] {
		maps.DeleteFunc(all, func(name string, _ func(*workloads.Job)) bool { return name != "depth 1" && name != "everything fixed" })
	}
	return all
}

// What commands write is on the medium, where and as it should be, and what they read is what is there.
func TestNVMeCommandsMoveData(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	for _, ns := range nvmeNamespaces {
		for name, change := range commandVariants(ns) {
			t.Run(ns+"/"+name, func(t *testing.T) {
				j := commandJob(ns, workloads.RWRandWrite)
				j.Buffers.Pattern, j.Buffers.Scramble = fmt.Sprintf("%q", name+ns), false
				change(&j)
				r := do(t, j)
				if r.Error != nil {
					t.Fatal(r.Error)
				}
				want := bytes.Repeat([]byte(name+ns), regionBytes)
				got := onMedium(t, ns)
				for at := 0; at < regionBytes; at += 4096 {
					if !bytes.Equal(got[at:at+4096], want[:4096]) {
						t.Fatalf("block at %d begins with %q, want %q", at, got[at:at+16], want[:16])
					}
				}
				j = commandJob(ns, workloads.RWRandWrite)
				j.Verify.Kind = "crc32c"
				change(&j)
				if r := do(t, j); r.Error != nil || r.Jobs[0].Workers[0].ThreadID == 0 {
					t.Errorf("writing and reading back: %v", r.Error)
				}
				// What the block device was given is what commands read.
				j = verifyJob("/dev/nvme"+ns, "io_uring", workloads.RWWrite, "crc32c")
				j.Offset, j.Size, j.Verify.Do = commandJob(ns, 0).Offset, commandJob(ns, 0).Size, false
				if r := do(t, j); r.Error != nil {
					t.Fatal(r.Error)
				}
				j.Filenames, j.Destroy, j.Engine, j.Verify.Do, j.Verify.Only = []string{"/dev/ng" + ns}, "ng"+ns, "io_uring_cmd", true, true
				if r := do(t, j); r.Error != nil {
					t.Errorf("reading what the block device was given: %v", r.Error)
				}
			})
		}
	}
}

// Reads are counted, and polled ones raise no interrupt.
func TestNVMeCommandsAreRead(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	for _, ns := range nvmeNamespaces {
		for name, change := range commandVariants(ns) {
			t.Run(ns+"/"+name, func(t *testing.T) {
				j := commandJob(ns, workloads.RWRandRead)
				change(&j)
				r := do(t, j)
				if r.Error != nil {
					t.Fatal(r.Error)
				}
				d := r.Jobs[0].Dir(workloads.Read)
				if want := int64(max(j.NumJobs, 1) * regionBytes / 4096); d.IOs != want || d.Bytes != want*4096 || d.Errors != 0 {
					t.Errorf("%d reads of %d bytes, want %d: %+v", d.IOs, d.Bytes, want, d)
				}
				if target := r.Targets[0]; target.Kind != "nvme-generic" || target.Device != "nvme"+ns {
					t.Errorf("the target is %+v", target)
				}
				for _, w := range r.Warnings {
					if strings.Contains(w.Code, "MISMATCH") {
						t.Errorf("warning %+v", w)
					}
				}
			})
		}
	}
}

// Trims and write zeroes leave zeros; both are commands without the job's data.
func TestNVMeCommandsClearBlocks(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	for _, ns := range nvmeNamespaces {
		for name, change := range map[string]func(*workloads.Job){
			"trim":                      func(j *workloads.Job) { j.RW = workloads.RWRandTrim },
			"write zeroes":              func(j *workloads.Job) { j.NVMe.Write = "zeroes" },
			"write zeroes, deallocated": func(j *workloads.Job) { j.NVMe.Write, j.NVMe.Deallocate = "zeroes", true },
		} {
			t.Run(ns+"/"+name, func(t *testing.T) {
				j := commandJob(ns, workloads.RWWrite)
				j.FsyncEvery, j.EndFsync = 64, true
				if r := do(t, j); r.Error != nil {
					t.Fatal(r.Error)
				}
				if bytes.Count(onMedium(t, ns), []byte{0}) > regionBytes/2 {
					t.Fatal("nothing was written that could be cleared")
				}
				j = commandJob(ns, workloads.RWRandWrite)
				change(&j)
				r := do(t, j)
				if r.Error != nil {
					t.Fatal(r.Error)
				}
				if left := bytes.TrimRight(onMedium(t, ns), "\x00"); len(left) > 0 {
					t.Errorf("byte %d is not zero", len(left)-1)
				}
			})
		}
	}
}

// The device checks what it stores, and the medium stays as it is.
func TestNVMeVerifyWritesNothing(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	before := onMedium(t, "0n1")
	j := commandJob("0n1", workloads.RWWrite)
	j.NVMe.Write = "verify"
	if r := do(t, j); r.Error != nil {
		t.Fatal(r.Error)
	}
	if !bytes.Equal(onMedium(t, "0n1"), before) {
		t.Error("the Verify command changed the medium")
	}
}

// What the device refuses is an I/O error that says why in the device's words. The emulated drive knows no Write
// Uncorrectable.
func TestNVMeStatusIsTold(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	j := commandJob("0n1", workloads.RWWrite)
	j.NVMe.Write = "uncor"
	r := do(t, j)
	if r.Error == nil || r.Error.Code != "IO_ERROR" || r.Error.Errno != int(syscall.EIO) || !strings.Contains(r.Error.Sentence, "NVMe status 0x4001: invalid command opcode") {
		t.Errorf("error %+v", r.Error)
	}
	j.ContinueOnError = "all"
	r = do(t, j)
	if d := r.Jobs[0].Dir(workloads.Write); r.Error != nil || d.Errors != regionBytes/4096 || d.IOs != 0 {
		t.Errorf("going on: error %v, %+v", r.Error, d)
	}
}

// A job that names the block device is told the character device.
func TestNVMeCommandsToABlockDevice(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	j := commandJob("0n1", workloads.RWRead)
	j.Filenames = []string{"/dev/nvme0n1"}
	_, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv})
	if err == nil || !strings.Contains(err.Error(), "/dev/nvme0n1 takes no NVMe commands") {
		t.Errorf("error %v", err)
	}
}

// The driver's tracepoints tell that commands go to the queues of their CPUs, and that polled ones are polled.
func TestNVMeCommandsFollowTheCPUs(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	for _, polled := range []bool{false, true} {
		plan := &workloads.Plan{}
		for cpu := range 2 {
			j := onCPU("/dev/ng0n1", "io_uring_cmd", cpu, uint64(100*(cpu+1)))
			j.IODepth, j.HiPri = 4, polled
			plan.Jobs = append(plan.Jobs, j)
		}
		r, err := Run(t.Context(), plan, Options{Env: os.Getenv, Explain: true})
		if err != nil {
			t.Fatal(err)
		}
		valid(t, r)
		var d report.ExplainDevice
		if r.Error != nil || len(r.Explain.Stages) != 1 || len(r.Explain.Stages[0].Devices) != 1 {
			t.Fatalf("error %v, explained %+v", r.Error, r.Explain)
		}
		if d = r.Explain.Stages[0].Devices[0]; d.MatchPercent == nil || *d.MatchPercent < 99 || (d.Polling == "confirmed") != polled {
			t.Errorf("match %v, polling %q: %+v", d.MatchPercent, d.Polling, d)
		}
	}
}
