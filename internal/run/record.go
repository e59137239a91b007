package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads/iolog"
)

// recording is what a worker has beside the others when its job records its I/Os (write_iolog).
type recording struct {
	recorder *iolog.Recorder
	file     *os.File
	from     int64 // where the log's time begins: the job's start, ns of the run's clock
}

// openRecordings creates the logs of all jobs, so that one that cannot be written stops the run before it has
// begun. A log that one worker writes has the name that was given; where several would mix their lines, each
// has its own, with the worker's number among all of the run, as fio's other logs have.
func (c *conductor) openRecordings() error {
	writers := map[string]int{}
	for _, j := range c.jobs {
		if j.spec.RecordTo != "" {
			writers[j.spec.RecordTo] += len(j.workers)
		}
	}
	number := 0
	for _, j := range c.jobs {
		name := j.spec.RecordTo
		for _, w := range j.workers {
			number++
			if name == "" {
				continue
			}
			path := name
			if writers[name] > 1 {
				path = fmt.Sprintf("%s.%d", name, number)
			}
			if err := c.record(w, path); err != nil {
				for _, j := range c.jobs {
					err = errors.Join(err, c.closeRecordings(j))
				}
				return fmt.Errorf("job %s: %w", j.spec.Name, err)
			}
			j.decide("I/O log", path, "asked for (write_iolog)")
		}
	}
	return nil
}

// record has a worker's I/Os recorded in a file.
func (c *conductor) record(w *worker, path string) error {
	paths := make([]string, len(w.targets))
	for i, t := range w.targets {
		paths[i] = t.Path()
		if abs, err := filepath.Abs(paths[i]); err == nil && t.Kind() != target.NoIO {
			paths[i] = abs
		}
		if err := iolog.CheckPath(paths[i]); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(c.targets, func(t *target.Target) bool { return sameFile(t.Path(), path) }) {
		return fault.New(fault.ExitRefused, "IOLOG_IN_USE", "give write_iolog= another name", "refused to write a log of I/Os to %s, which is a target of the run", path)
	}
	for _, j := range c.jobs {
		if slices.ContainsFunc(j.spec.Replay.Logs, func(log string) bool { return sameFile(log, path) }) {
			return fault.Usage("IOLOG_IN_USE", "record in one run and replay in the next", "job %s replays %s, which this run would overwrite", j.spec.Name, path)
		}
	}
	file, err := createLog(path)
	if err != nil {
		return err
	}
	w.recording = &recording{recorder: iolog.NewRecorder(iolog.NewWriter(file, paths)), file: file}
	return nil
}

// sameFile says whether two names are of one file, there or to be made.
func sameFile(a, b string) bool {
	one, errOne := os.Stat(a)
	other, errOther := os.Stat(b)
	if errOne == nil && errOther == nil {
		return os.SameFile(one, other)
	}
	absolute, errOne := filepath.Abs(a)
	wanted, errOther := filepath.Abs(b)
	return errOne == nil && errOther == nil && absolute == wanted
}

// createLog opens a file for a log of I/Os. What was in it is lost, unless it is a device, which is refused.
func createLog(path string) (*os.File, error) {
	const hint = "give write_iolog= the name of a regular file"
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fault.New(fault.ExitRefused, "IOLOG_NOT_A_FILE", hint, "refused to write a log of I/Os to %s, which is not a regular file", path)
	}
	file, err := report.Create(path, 0o666, false)
	if err != nil {
		return nil, fault.Wrap(err, fault.ExitUsage, "IOLOG_UNWRITABLE", hint, "cannot write the log %s", path)
	}
	return file, nil
}

// recordIssued records the requests that the queue took: with the time that each was intended for, or, where
// nothing is paced, at which they were made ready. The rest of an I/O that came back short is no I/O of its own.
//
//go:noinline
func (w *worker) recordIssued(reqs []engine.Request, start int64) {
	r := w.recording
	for i := range reqs {
		req := &reqs[i]
		if req.Skip > 0 {
			continue
		}
		at := start
		if w.pacing != nil {
			at = w.pacing.bySlot[req.Slot]
		}
		r.recorder.Add(iolog.Entry{TimeNS: at - r.from, Offset: req.Offset, Length: req.Length, File: req.File, Op: iolog.Op(req.Op)})
	}
}

// closeRecordings ends the logs of the workers that came back.
func (c *conductor) closeRecordings(j *jobRun) error {
	var blocked time.Duration
	var failed error
	for _, w := range j.workers {
		r := w.recording
		if r == nil || w.lost {
			continue
		}
		err := errors.Join(r.recorder.Close(max(w.timing.ended-r.from, 0)), r.file.Close())
		if err != nil && failed == nil {
			failed = fault.Wrap(err, fault.ExitIO, "IOLOG_UNWRITABLE", "the log is not complete; look for space on its filesystem", "cannot write the log %s", r.file.Name())
		}
		blocked += r.recorder.Blocked()
	}
	if blocked > 0 {
		c.warn("IOLOG_BLOCKED", fmt.Sprintf("job %s: its workers waited %v in all for their logs of I/Os to be written, and did no I/O meanwhile", j.spec.Name, blocked.Round(time.Microsecond)),
			"put the log on another disk")
	}
	return failed
}
