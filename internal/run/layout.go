package run

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/fileio"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// noIO is the pattern of a job that only makes its files (create_only).
type noIO struct{}

func (noIO) Next([]pattern.IO) int { return 0 }

// regionOf returns what a clone works on in one of its files: the bytes behind the end of a file when it is to
// be appended to.
func regionOf(s *workloads.Job, t *target.Target, clone int) (low, high int64, err error) {
	switch {
	case renews(s) && s.RW.Does(workloads.Read) && t.Created():
		return 0, 0, fault.Usage("UNLINK_EACH_LOOP", "leave it out, or use unlink", "job %s: unlink_each_loop removes what the next loop is to read", s.Name)
	case !s.Layout.Append || t.Kind() != target.File || t.Created():
		return workloads.Region(s, clone, t.SizeBytes())
	case !changes(s) || s.RW != workloads.RWWrite && s.RW != workloads.RWRandWrite:
		return 0, 0, fault.Usage("FILE_APPEND", "use rw=write or randwrite", "job %s: behind the end of %s there is nothing to read or to trim (file_append)", s.Name, t.Path())
	case s.PlannedBytes(clone, t.Path()) == 0:
		return 0, 0, fault.Usage("NO_SIZE", "give --size in bytes", "job %s: file_append does not know how much to append to %s", s.Name, t.Path())
	}
	planned := s.PlannedBytes(clone, t.Path())
	t.Grow(t.EndBytes() + planned)
	low, high, err = workloads.Region(s, clone, planned)
	return t.EndBytes() + low, t.EndBytes() + high, err
}

// roomAround returns the size of the file system that a file is on, or is to be made on; 0 when that cannot be
// found out.
func roomAround(path string) int64 {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	fs, err := blk.Statfs(filepath.Dir(path))
	if err != nil {
		return 0
	}
	return fs.TotalBytes
}

// FindFiles returns the job with the files below the directory that it names (opendir): those that hold a
// block, in the order of their names, without links.
func FindFiles(s *workloads.Job) (*workloads.Job, error) {
	if s.Layout.OpenDir == "" {
		return s, nil
	}
	found := *s
	found.Filenames = slices.Clone(s.Filenames)
	err := filepath.WalkDir(s.Layout.OpenDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err == nil && info.Size() >= s.MinBlock() {
			found.Filenames = append(found.Filenames, path)
		}
		return nil
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.ExitUsage, "OPENDIR", "name a directory that this user may read", "job %s: cannot look for files below %s", s.Name, s.Layout.OpenDir)
	}
	if len(found.Filenames) == 0 {
		return nil, fault.Usage("OPENDIR", "name another directory, or lower bs=", "job %s: no file below %s has room for a block of %d bytes", s.Name, s.Layout.OpenDir, s.MinBlock())
	}
	found.NrFiles = len(found.Filenames)
	return &found, nil
}

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
