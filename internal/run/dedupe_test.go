package run

import (
	"context"
	"crypto/sha256"
	"math"
	"os"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// The blocks on a device that was written with duplicates: those that were asked for are, and two jobs have the
// set of them in common when they are to.
func TestDuplicatesReachTheDevice(t *testing.T) {
	const blocks, percent, share = devBytes / 4096, 60, 5
	for _, global := range []bool{false, true} {
		devices := [2]*testlab.LoopDevice{}
		var jobs []workloads.Job
		for i := range devices {
			devices[i] = testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, Tmpfs: true})
			j := job(devices[i].Path, "io_uring", workloads.RWRandWrite)
			j.RandSeed, j.RandSeedSet = uint64(i+1), true
			j.Buffers.DedupePercent, j.Buffers.DedupeSet, j.Buffers.DedupeSetShare, j.Buffers.DedupeGlobal = percent, true, share, global
			jobs = append(jobs, j)
		}
		if r := do(t, jobs...); r.Error != nil {
			t.Fatal(r.Error)
		}
		const set = blocks * share / 100
		want, deviation := blocks*(100-percent)/100+set, math.Sqrt(float64(blocks*percent*(100-percent)))/100
		seen := map[[32]byte]int{} // on how many devices
		for _, dev := range devices {
			data, err := os.ReadFile(dev.Backing)
			if err != nil {
				t.Fatal(err)
			}
			here := map[[32]byte]bool{}
			for at := 0; at < len(data); at += 4096 {
				here[sha256.Sum256(data[at:at+4096])] = true
			}
			if math.Abs(float64(len(here)-want)) > 5*deviation {
				t.Errorf("global %v: %d of %d blocks differ, want about %d", global, len(here), blocks, want)
			}
			for h := range here {
				seen[h]++
			}
		}
		common := 0
		for _, n := range seen {
			if n == 2 {
				common++
			}
		}
		if expected := map[bool]int{true: set}[global]; common != expected {
			t.Errorf("global %v: the devices have %d blocks in common, want %d", global, common, expected)
		}
	}
}

func TestAnEmptySetOfDuplicatesIsRefused(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes})
	j := job(dev.Path, "io_uring", workloads.RWRandWrite)
	j.Size = workloads.Amount{Bytes: 40960, Set: true}
	j.Buffers.DedupePercent, j.Buffers.DedupeSet, j.Buffers.DedupeSetShare = 50, true, 5
	_, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv})
	if err == nil || fault.Of(err).Code != "DEDUPE_SET" {
		t.Errorf("the error is %v", err)
	}
}
