package run

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/workloads"
)

// policies are fio's words for where memory is to be.
var policies = map[string]mem.Policy{"prefer": mem.Preferred, "bind": mem.Bind, "interleave": mem.Interleave, "local": mem.Local}

// memoryOf says how the job's I/O buffers are to be mapped.
func (c *conductor) memoryOf(s *workloads.Job) (mem.Options, error) {
	o := mem.Options{
		Huge: strings.Contains(s.Buffers.Mem, "huge"), HugeBytes: s.Buffers.HugePageBytes,
		Skip: offsetInPage(s), Policy: policies[s.NUMAMemory.Policy], Nodes: s.NUMAMemory.Nodes,
	}
	if s.NUMAMemory.Nodes == nil && !s.NUMAMemory.All {
		return o, nil
	}
	there := device.MemoryNodes(c.o.Root)
	if s.NUMAMemory.All {
		o.Nodes = there
	}
	for _, n := range o.Nodes {
		if !slices.Contains(there, n) {
			return o, fault.Usage("NUMA_NODES", "numactl --hardware lists the nodes", "job %s: numa_mem_policy: node %d has no memory", s.Name, n)
		}
	}
	return o, nil
}

// offsetInPage is where in a page the first buffer begins.
func offsetInPage(s *workloads.Job) int { return s.Buffers.OffsetBytes % os.Getpagesize() }

// checkMemory refuses buffers that direct I/O to the target does not take.
func checkMemory(s *workloads.Job, t *target.Target) error {
	if skip := offsetInPage(s); skip%max(t.MemAlign(), 1) != 0 {
		return fault.Usage("BAD_ALIGNMENT", "take a multiple of it, or --direct=0 to go through the page cache",
			"iomem_align=%d: direct I/O on %s needs buffers at multiples of %d bytes", s.Buffers.OffsetBytes, t.Path(), t.MemAlign())
	}
	return nil
}

// memoryFault says what to do when a job's I/O buffers cannot be mapped as it asks.
func memoryFault(s *workloads.Job, err error) error {
	hint := "lower iodepth, bs or numjobs"
	switch {
	case s.Buffers.HugePageBytes > 0:
		hint = fmt.Sprintf("reserve huge pages: /sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages, if the kernel has that size", s.Buffers.HugePageBytes>>10)
	case policies[s.NUMAMemory.Policy] != mem.DefaultPolicy:
		hint = "leave numa_mem_policy out, or use nodes that this process may use and that have the memory"
	}
	return fault.Wrap(err, fault.ExitEnvironment, "BUFFERS", hint, "job %s: cannot map the I/O buffers", s.Name)
}

// tellPages notes which pages the jobs got that asked for huge ones.
func (s *stageRun) tellPages() {
	for _, j := range s.jobs {
		if a := j.workers[0].arena; a != nil && strings.Contains(j.spec.Buffers.Mem, "huge") {
			j.decide("buffers", string(a.Pages())+" pages", "mem="+j.spec.Buffers.Mem+" asks for huge ones; reserved ones come first, then transparent ones")
		}
	}
}

// spared is the memory that lockmem must leave, as in fio.
const spared = 128 << 20

// checkMemory refuses to take more memory than the system can spare: it would kill somebody for it.
func (s *stageRun) checkMemory() error {
	var locked, buffers int64
	for _, j := range s.jobs {
		for _, w := range j.workers {
			if locked += j.spec.LockMemBytes; locked < 0 {
				locked = math.MaxInt64
			}
			if j.memory.HugeBytes == 0 { // else the pages are set aside already, or the mapping fails
				buffers += int64(w.config.Depth) * int64(w.config.BlockBytes)
			}
		}
	}
	left := device.AvailableMemory(s.o.Root)
	if left == 0 {
		return nil
	}
	if locked > 0 && locked > left-spared {
		return fault.New(fault.ExitEnvironment, "LOCKMEM", "lower lockmem or numjobs",
			"lockmem: all workers together would lock %s, and of the %s that are available %s must stay free", units.Bytes(locked), units.Bytes(left), units.Bytes(spared))
	}
	left -= locked
	if buffers <= left {
		return nil
	}
	if left += device.FreeHugePages(s.o.Root); buffers > left {
		return fault.New(fault.ExitEnvironment, "BUFFERS", "lower iodepth, bs or numjobs",
			"the I/O buffers of all workers together take %s, and %s of memory are available", units.Bytes(buffers), units.Bytes(left))
	}
	return nil
}

// lockMemory takes the memory away that the job asks for.
func (w *worker) lockMemory() (err error) {
	s := w.job.spec
	if s.LockMemBytes == 0 {
		return nil
	}
	if w.locked, err = mem.Lock(s.LockMemBytes); err != nil {
		return fault.Wrap(err, fault.ExitEnvironment, "LOCKMEM", "run as root, or raise the limit of locked memory (ulimit -l)",
			"job %s: worker %d may not lock %s (lockmem)", s.Name, w.index, units.Bytes(s.LockMemBytes))
	}
	return nil
}
