// Package preset holds the workloads that need no options.
package preset

import (
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// ScratchBytes is the size of the main job's scratch file: large enough to leave a drive's small write
// buffers behind, small enough to be written in seconds.
const ScratchBytes = 512 << 20

// phaseTime is how long each phase of the main job measures.
const phaseTime = 2 * time.Second

// Main is the main job: four short phases one after another on one scratch file of blkmeter's own, with
// direct I/O. Sequential phases move 1 MiB blocks at depth 8, random ones 4 KiB blocks at depth 32.
func Main() *workloads.Plan {
	phase := func(name string, rw workloads.RW, block uint32, depth int) workloads.Job {
		j := workloads.DefaultJob()
		j.Name, j.RW, j.IODepth = name, rw, depth
		for d := range j.BS {
			j.BS[d] = workloads.SizeRange{Min: block, Max: block}
		}
		j.Scratch, j.Direct, j.Stonewall = true, true, true
		j.Size = workloads.Amount{Bytes: ScratchBytes, Set: true}
		j.Runtime, j.TimeBased = phaseTime, true
		return j
	}
	return &workloads.Plan{Jobs: []workloads.Job{
		phase("seq-read", workloads.RWRead, 1<<20, 8),
		phase("seq-write", workloads.RWWrite, 1<<20, 8),
		phase("rand-read", workloads.RWRandRead, 4096, 32),
		phase("rand-write", workloads.RWRandWrite, 4096, 32),
	}}
}
