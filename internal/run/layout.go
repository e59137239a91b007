package run

import (
	"fmt"
	"slices"
	"strconv"
	"syscall"

	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// noIO is the pattern of a job that only makes its files (create_only).
type noIO struct{}

func (noIO) Next([]pattern.IO) int { return 0 }

// prepareCache brings the page cache into the state that the job asks for before it starts; direct I/O
// does not meet it.
func (j *jobRun) prepareCache(t *target.Target) error {
	if t.Direct() {
		return nil
	}
	l := &j.spec.Layout
	if l.Invalidate && !l.PreRead {
		if err := t.DropCache(); err != nil {
			return fmt.Errorf("job %s: invalidate: %w", j.spec.Name, err)
		}
	}
	advice := fileio.Normal
	switch {
	case l.FadviseHint == "random", l.FadviseHint == "1" && j.spec.RW.Random():
		advice = fileio.Random
	case l.FadviseHint == "sequential", l.FadviseHint == "1":
		advice = fileio.Sequential
	case l.FadviseHint == "noreuse":
		advice = fileio.NoReuse
	}
	if err := t.Advise(advice); err != nil {
		return fmt.Errorf("job %s: fadvise_hint: %w", j.spec.Name, err)
	}
	if l.PreRead {
		if err := t.ReadThrough(); err != nil {
			return fmt.Errorf("job %s: pre_read: %w", j.spec.Name, err)
		}
	}
	return nil
}

// removeFiles removes the files that the run made for a job that asks for that (unlink).
func (c *conductor) removeFiles(j *jobRun) {
	if !j.spec.Layout.Unlink {
		return
	}
	for _, w := range j.workers {
		for _, t := range w.targets {
			if err := t.Remove(); err != nil {
				c.warn("UNLINK", fmt.Sprintf("job %s: %v", j.spec.Name, err), "remove the file yourself")
			}
		}
	}
}

// errnos reads the lists of ignore_error: numbers, and names such as EIO.
func errnos(s *workloads.Job) (ignored [workloads.Directions][]syscall.Errno, err error) {
	for i, list := range s.IgnoreError {
		for _, word := range list {
			e, ok := fileio.ErrnoNamed(word)
			if n, err := strconv.Atoi(word); err == nil {
				e, ok = syscall.Errno(n), true
			}
			if !ok {
				return ignored, fault.Usage("IGNORE_ERROR", "use a name such as EIO, or a number", "job %s: ignore_error: there is no error %s", s.Name, word)
			}
			ignored[i] = append(ignored[i], e)
		}
	}
	return ignored, nil
}

// ends says whether such an error is the regular end of the job's work: a full device, when it was to be
// filled.
func (j *jobRun) ends(errno syscall.Errno) bool {
	return j.spec.Layout.FillDevice && (errno == syscall.ENOSPC || errno == syscall.EDQUOT)
}

// onNodes returns the job, its CPUs those of the NUMA nodes that it names (numa_cpu_nodes) unless it names
// CPUs itself.
func (c *conductor) onNodes(s *workloads.Job) (*workloads.Job, error) {
	if s.NUMACPUNodes == nil || s.CPUsAllowed != nil {
		return s, nil
	}
	placed := *s
	for _, cpu := range c.topo.CPUs {
		if slices.Contains(s.NUMACPUNodes, cpu.Node) {
			placed.CPUsAllowed = append(placed.CPUsAllowed, cpu.ID)
		}
	}
	if placed.CPUsAllowed == nil {
		return nil, fault.Usage("NUMA_NODES", "numactl --hardware lists the nodes", "numa_cpu_nodes: no CPU that may be used is on nodes %v", s.NUMACPUNodes)
	}
	return &placed, nil
}
