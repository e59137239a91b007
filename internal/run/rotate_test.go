package run

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// filesJob writes 4 blocks to each of 12 files of a directory, of which 3 are open at a time.
func filesJob(dir, engineName string, depth int) workloads.Job {
	j := job("", engineName, workloads.RWRandWrite)
	j.Filenames, j.Destroy, j.Directories, j.Direct = nil, "", []string{dir}, false
	j.NrFiles, j.OpenFiles, j.IODepth, j.Size = 12, 3, depth, workloads.Amount{Bytes: 12 * 4 * 4096, Set: true}
	return j
}

func TestFewFilesAreOpenAtATime(t *testing.T) {
	for _, engineName := range []string{"psync", "libaio", "io_uring"} {
		for _, service := range []string{"roundrobin", "sequential", "random"} {
			for _, change := range []func(*workloads.Job){
				func(*workloads.Job) {},
				func(j *workloads.Job) { j.Loops = 3 },
				func(j *workloads.Job) { j.Layout.CreateOnOpen = true },
				func(j *workloads.Job) { j.Verify.Kind = "crc32c" },
				func(j *workloads.Job) { j.FsyncEvery, j.EndFsync = 3, true },
				func(j *workloads.Job) { j.FsyncOnClose = true },
				func(j *workloads.Job) { j.Offload, j.Verify.Kind = true, "crc32c" },
			} {
				dir := t.TempDir()
				j := filesJob(dir, engineName, 8)
				j.FileService = service
				change(&j)
				r := do(t, j)
				out := &r.Jobs[0]
				if out.Error != nil || out.Write.Bytes != int64(j.Loops)*12*4*4096 || len(r.Targets) != 12 {
					t.Errorf("%s %s %+v: %v, %d bytes to %d files", engineName, service, j.Layout, out.Error, out.Write.Bytes, len(r.Targets))
				}
				for i := range 12 {
					data, err := os.ReadFile(filepath.Join(dir, "test.0."+strconv.Itoa(i)))
					if err != nil || len(data) != 4*4096 {
						t.Fatalf("%s %s: file %d has %d bytes: %v", engineName, service, i, len(data), err)
					}
				}
			}
		}
	}
}

// countingQueue counts the open files whenever something is submitted, and finishes I/Os when it is full.
type countingQueue struct {
	t        *testing.T
	targets  []*target.Target
	limit    int
	depth    int
	inFlight []engine.Request
	submits  int
}

func (q *countingQueue) Submit(reqs []engine.Request) (int, error) {
	open := 0
	for _, t := range q.targets {
		if t.FD() >= 0 {
			open++
		}
	}
	if open > q.limit {
		q.t.Errorf("%d files are open, %d may be", open, q.limit)
	}
	n := min(len(reqs), q.depth-len(q.inFlight))
	for _, r := range reqs[:n] {
		if q.targets[r.File].FD() < 0 {
			q.t.Errorf("file %d is not open", r.File)
		}
	}
	q.inFlight = append(q.inFlight, reqs[:n]...)
	q.submits += n
	return n, nil
}

func (q *countingQueue) Reap(done []engine.Completion, least int, _ time.Duration) (int, error) {
	n := min(max(least, 1), len(q.inFlight), len(done))
	for i, r := range q.inFlight[:n] {
		if q.targets[r.File].FD() < 0 {
			q.t.Errorf("file %d was closed with an I/O in flight", r.File)
		}
		done[i] = engine.Completion{Slot: r.Slot, Result: int32(r.Length)}
	}
	q.inFlight = q.inFlight[n:]
	return n, nil
}

func (q *countingQueue) Counters() engine.Counters { return engine.Counters{} }
func (q *countingQueue) Close() error              { return nil }

func TestRotationKeepsItsLimit(t *testing.T) {
	const files, blocks, limit = 12, 4, 3
	for _, depth := range []int{1, 2, 5, 16} {
		dir := t.TempDir()
		var o target.Opener
		var targets []*target.Target
		var regions []pattern.File
		for i := range files {
			opened, err := o.Open(target.Spec{
				Path: filepath.Join(dir, strconv.Itoa(i)), Access: target.ReadWrite, Create: true, Later: true, SizeBytes: blocks * 4096,
			})
			if err != nil {
				t.Fatal(err)
			}
			targets = append(targets, opened)
			regions = append(regions, pattern.File{High: blocks * 4096})
		}
		spec := filesJob(dir, "psync", depth)
		config := pattern.Config{Job: &spec, Files: regions, Align: 1}
		source, err := pattern.New(config)
		if err != nil {
			t.Fatal(err)
		}
		w := &worker{job: &jobRun{spec: &spec, depth: depth}, source: source, pattern: config, targets: targets}
		if err := w.rotate(); err != nil {
			t.Fatal(err)
		}
		q := &countingQueue{t: t, targets: targets, limit: limit, depth: depth}
		w.rotation.queue = q
		drive(t, w.rotation, depth)
		if q.submits != files*blocks || w.rotation.opens != files || len(w.rotation.open) != 0 {
			t.Errorf("depth %d: %d I/Os, %d openings, %d files left open", depth, q.submits, w.rotation.opens, len(w.rotation.open))
		}
	}
}

// drive is the loop in small: it fills free slots from the rotation's pattern and keeps what its queue does
// not take for the next turn.
func drive(t *testing.T, r *rotation, depth int) {
	t.Helper()
	ios, done := make([]pattern.IO, depth), make([]engine.Completion, depth)
	var held []engine.Request
	var free []uint32
	for i := range depth {
		free = append(free, uint32(i))
	}
	for ended := false; !ended || len(free) < depth; {
		n := 0
		if !ended && len(held) == 0 {
			n = r.Next(ios[:len(free)])
			ended = n < len(free)
		}
		for _, io := range ios[:n] {
			held = append(held, engine.Request{Offset: io.Offset, Length: io.Length, File: io.File, Op: engine.Op(io.Op), Slot: free[0]})
			free = free[1:]
		}
		taken, err := r.Submit(held)
		if err != nil {
			t.Fatal(err)
		}
		held = held[taken:]
		reaped, err := r.Reap(done, 1, -1)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range done[:reaped] {
			free = append(free, d.Slot)
		}
	}
}

// Files beyond what the process may open are opened as they are needed.
func TestMoreFilesThanMayBeOpen(t *testing.T) {
	many := filesJob("", "psync", 1)
	many.OpenFiles, many.NumJobs = 0, 4
	few := filesJob("", "psync", 1)
	few.NrFiles = 2
	c := &conductor{jobs: []*jobRun{{spec: &many}, {spec: &few}}, result: newResult(Options{}, &workloads.Plan{})}
	c.limitOpenFiles(4*12 + 2 + descriptorsKept)
	if c.jobs[0].spec.OpenFiles != 0 || len(c.result.Warnings) != 0 {
		t.Errorf("files within the limit: openfiles %d, %v", c.jobs[0].spec.OpenFiles, c.result.Warnings)
	}
	c.limitOpenFiles(descriptorsKept + 5*8)
	if c.jobs[0].spec.OpenFiles != 8 || c.jobs[1].spec.OpenFiles != 3 || len(c.result.Warnings) != 1 {
		t.Errorf("files beyond the limit: openfiles %d and %d, %v", c.jobs[0].spec.OpenFiles, c.jobs[1].spec.OpenFiles, c.result.Warnings)
	}
}
