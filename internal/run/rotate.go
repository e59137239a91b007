package run

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// rotation opens and closes a worker's files in the middle of its run (openfiles, create_on_open). It stands
// between the loop and both its pattern and its queue, so that the loop knows nothing of it: a file is
// opened when the pattern first yields an I/O on it, before that I/O's time starts, and closed when the
// pattern is done with it and nothing on it is in flight.
type rotation struct {
	source   pattern.Source
	queue    engine.Queue
	targets  []*target.Target
	limit    int // most files open
	syncs    bool
	files    []fileUse // by file
	slots    []uint16  // the file of the I/O in flight, by slot
	open     []uint16  // open files, those opened first in front
	opens    int64
	inFlight int // on all files

	again func() (pattern.Source, error) // begins the next loop of a job that removes its files after each
	left  int                            // of these loops
}

// fileUse is what goes on in a file.
type fileUse struct {
	yielded  int // I/Os that the pattern yielded and the queue does not have yet
	inFlight int
	done     bool // the pattern yields no more of them in this pass
	open     bool
}

// rotates says whether the job opens its files while it runs.
func rotates(s *workloads.Job, files int) bool {
	return s.Layout.CreateOnOpen || renews(s) || s.OpenFiles > 0 && s.OpenFiles < files
}

// renews says whether the job removes its files after each of its loops (unlink_each_loop).
func renews(s *workloads.Job) bool {
	return s.Layout.UnlinkEachLoop && s.Loops > 1 && !s.TimeBased && !s.Verify.Only
}

// rotate puts a rotation in front of the worker's pattern; its queue follows when it is made.
func (w *worker) rotate() error {
	s := w.job.spec
	if s.SharedQueue {
		return fault.Usage("OPENFILES_SHARED", "leave one of them out", "job %s: openfiles and create_on_open change descriptors, which a queue shared by several workers does not take", s.Name)
	}
	limit := len(w.targets)
	if s.OpenFiles > 0 {
		limit = min(limit, s.OpenFiles)
	}
	w.rotation = &rotation{
		source: w.source, targets: w.targets, limit: limit, syncs: s.FsyncOnClose && s.RW.Does(workloads.Write),
		files: make([]fileUse, len(w.targets)), slots: make([]uint16, w.job.depth), open: make([]uint16, 0, limit),
	}
	if renews(s) {
		w.rotation.left = s.Loops - 1
		config := w.pattern
		w.rotation.again = func() (pattern.Source, error) {
			config.Seed = mix(config.Seed)
			return pattern.New(config)
		}
	}
	if !s.Verify.Only { // whose pattern only says what was written; its blocks are read back behind it
		w.source = w.rotation
	}
	return nil
}

// Next yields the pattern's I/Os, their files open as far as there is room.
func (r *rotation) Next(ios []pattern.IO) int {
	n := r.source.Next(ios)
	for i := range ios[:n] {
		f := &r.files[ios[i].File]
		f.yielded++
		f.done = ios[i].Flags&pattern.LastInFile != 0
		if !f.open {
			// An error, or no room, comes up again when the I/O is submitted.
			_, _ = r.ready(ios[i].File, true)
		}
	}
	return n
}

// Submit passes on the requests at the front whose files are open.
func (r *rotation) Submit(reqs []engine.Request) (int, error) {
	for n := range reqs {
		ok, err := r.ready(reqs[n].File, false)
		if err != nil {
			return 0, err
		}
		if !ok {
			reqs = reqs[:n]
			break
		}
		r.files[reqs[n].File].inFlight++
		r.inFlight++
	}
	taken, err := r.queue.Submit(reqs)
	for i := range reqs[:taken] {
		f := &r.files[reqs[i].File]
		r.slots[reqs[i].Slot] = reqs[i].File
		if f.yielded > 0 && reqs[i].Skip == 0 {
			f.yielded--
		}
	}
	for i := range reqs[taken:] {
		r.files[reqs[taken+i].File].inFlight--
		r.inFlight--
	}
	return taken, err
}

// Reap closes the files that nothing more is to be done to.
func (r *rotation) Reap(done []engine.Completion, least int, timeout time.Duration) (int, error) {
	n, err := r.queue.Reap(done, least, timeout)
	for i := range done[:n] {
		file := r.slots[done[i].Slot]
		f := &r.files[file]
		r.inFlight--
		if f.inFlight--; f.done && f.idle() {
			f.done = false
			err = errors.Join(err, r.close(file))
		}
	}
	return n, err
}

func (f *fileUse) idle() bool { return f.inFlight == 0 && f.yielded == 0 && f.open }

// ready opens a file that is not open, in the place of an idle one when as many are open as may be. It
// returns false when there is none: then one of them has to become idle first. ahead says that the file's I/O
// is not to be submitted yet.
func (r *rotation) ready(file uint16, ahead bool) (bool, error) {
	if r.files[file].open {
		return true, nil
	}
	if len(r.open) >= r.limit {
		at := slices.IndexFunc(r.open, func(other uint16) bool { return r.files[other].idle() })
		switch {
		case at < 0 && (r.inFlight > 0 || ahead):
			return false, nil
		case at < 0:
			at = 0 // its next I/O waits behind this one
		}
		if err := r.close(r.open[at]); err != nil {
			return false, err
		}
	}
	if err := r.targets[file].Unpark(); err != nil {
		return false, fmt.Errorf("opening a file for the next I/O: %w", err)
	}
	if q, ok := r.queue.(engine.Reopener); ok {
		q.Reopened(int(file))
	}
	r.files[file].open = true
	r.open = append(r.open, file)
	r.opens++
	return true, nil
}

// close closes an open file, stable if the job wants that (fsync_on_close).
func (r *rotation) close(file uint16) error {
	r.files[file].open = false
	r.open = slices.DeleteFunc(r.open, func(other uint16) bool { return other == file })
	t := r.targets[file]
	if r.syncs {
		if err := t.Sync(); err != nil {
			return err
		}
	}
	return t.Park()
}

// Counters are the queue's.
func (r *rotation) Counters() engine.Counters { return r.queue.Counters() }

// Close frees the queue, which waits for what is in flight, and closes the files.
func (r *rotation) Close() error {
	err := r.queue.Close()
	for len(r.open) > 0 {
		err = errors.Join(err, r.close(r.open[0]))
	}
	return err
}

// loops runs the loop once or, when a job removes its files after each of its loops, as often as it has such
// loops.
func (w *worker) loops() error {
	for {
		if err := w.loop(); err != nil {
			return err
		}
		r := w.rotation
		if r == nil || r.left == 0 || w.failed() || w.stop.Load() || w.clock.Now() >= w.endAt {
			return nil
		}
		if err := r.renew(); err != nil {
			return err
		}
		w.spent = false
	}
}

// renew removes the files that the run made and begins the next loop, in which they are made again.
func (r *rotation) renew() error {
	for len(r.open) > 0 {
		if err := r.close(r.open[0]); err != nil {
			return err
		}
	}
	for _, t := range r.targets {
		if err := t.Replan(); err != nil {
			return fmt.Errorf("unlink_each_loop: %w", err)
		}
	}
	r.left--
	var err error
	r.source, err = r.again()
	return err
}

// descriptorsKept are left for everything that is not a job's file.
const descriptorsKept = 256

// limitOpenFiles keeps the files of all jobs within what this process may open: where they are more, jobs
// with several files open fewer at a time.
func (c *conductor) limitOpenFiles(most int64) {
	workers, files := int64(0), int64(0)
	for _, j := range c.jobs {
		if j.spec.Engine == catalog.Null {
			continue
		}
		n := int64(len(j.spec.Paths(0)))
		if rotates(j.spec, int(n)) && j.spec.OpenFiles > 0 {
			n = int64(j.spec.OpenFiles)
		}
		workers += int64(j.spec.NumJobs)
		files += n * int64(j.spec.NumJobs)
	}
	if most < 0 || files+descriptorsKept <= most || workers == 0 {
		return
	}
	each := int(max((most-descriptorsKept)/workers, 1))
	for _, j := range c.jobs {
		if n := len(j.spec.Paths(0)); n > each && (j.spec.OpenFiles == 0 || j.spec.OpenFiles > each) && !j.spec.SharedQueue {
			limited := *j.spec
			limited.OpenFiles = each
			j.spec = &limited
			c.warn("OPEN_FILES", fmt.Sprintf("job %s: of the %d files of each worker %d are open at a time, since this process may open %d in all", limited.Name, n, each, most),
				"raise the limit (ulimit -n), or give openfiles")
		}
	}
}
