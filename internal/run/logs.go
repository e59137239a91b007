package run

import (
	"fmt"
	"math"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/report/fiolog"
	"github.com/blkmeter/blkmeter/workloads"
)

// logging is what a worker has beside the others when its job writes fio's logs.
type logging struct {
	recorder *fiolog.Recorder
	perIO    bool
	from     int64                // where the log's time begins: the start of the measured window, ns of the run's clock
	prios    []workloads.Priority // of the I/Os, by engine.Request.Prio
}

// openLogs creates the log files of all jobs, so that one that cannot be written stops the run before it has
// begun. Workers have numbers of their own over all jobs, as the names of fio's logs do.
func (c *conductor) openLogs() error {
	first := 0
	for _, j := range c.jobs {
		set, err := fiolog.Open(fiolog.OptionsOf(j.spec, first), len(j.workers), fiolog.Create)
		if err != nil {
			return fmt.Errorf("job %s: %w", j.spec.Name, err)
		}
		first += len(j.workers)
		if set == nil {
			continue
		}
		j.logs = set
		for i, w := range j.workers {
			w.logging = &logging{recorder: set.Recorder(i), perIO: set.Recorder(i).PerIO(), from: math.MaxInt64, prios: j.priorities()}
		}
	}
	return nil
}

// logWriters counts the goroutines that write logs while the stage runs.
func (s *stageRun) logWriters() (n int) {
	for _, w := range s.workers {
		if w.logging != nil {
			n++
		}
		if w.recording != nil {
			n++
		}
	}
	return n
}

// beginLogs sets the time from which the logs of a worker count.
func (w *worker) beginLogs() {
	w.logging.from = w.timing.measureAt
	begin := w.clock.At(w.timing.measureAt)
	if id := w.job.spec.Logs.EpochClock; id != 0 {
		if now, err := clock.Read(id); err == nil { // checkClocks has read it
			begin = time.Unix(0, int64(now)-w.clock.Now()+w.timing.measureAt)
		}
	}
	w.logging.recorder.Begin(begin)
}

// checkClocks finds out before the first I/O whether the clocks are there that jobs name.
func (c *conductor) checkClocks() error {
	for _, j := range c.jobs {
		_, err := clock.Read(j.spec.StartClock)
		if err == nil {
			_, err = clock.Read(j.spec.Logs.EpochClock)
		}
		if err != nil {
			return fault.Wrap(err, fault.ExitUsage, "CLOCK_ID", "0 is the time since 1970, 1 the time since the machine was started", "job %s: job_start_clock_id or log_alternate_epoch_clock_id", j.spec.Name)
		}
	}
	return nil
}

// log records what was reaped in the logs. The ramp, syncs and what failed are not logged; a transfer that came
// back short is logged when the rest has.
func (w *worker) log(done []engine.Completion, complete int64) {
	switch {
	case w.timing.ramping:
	case w.logging.perIO:
		w.logEach(done, complete)
	default:
		w.logRuns(done, complete)
	}
}

// logEach records every I/O.
func (w *worker) logEach(done []engine.Completion, complete int64) {
	l := w.logging
	for i := range done {
		s := &w.slots[done[i].Slot]
		if !s.logs(done[i].Result) {
			continue
		}
		l.recorder.Add(&fiolog.IO{
			EndNS: complete - l.from, IssueNS: s.issue - l.from, SlatNS: w.slat(s), ClatNS: complete - s.issue, LatNS: complete - s.start,
			Offset: s.req.Offset - int64(s.req.Skip), Bytes: s.req.Length + s.req.Skip, Dir: workloads.Direction(s.req.Op),
			Priority: uint16(l.prios[s.req.Prio]),
		})
	}
}

// logRuns records I/Os that travelled in one batch together, since no log tells them apart.
func (w *worker) logRuns(done []engine.Completion, complete int64) {
	var last *slot // of the run
	var n, bytes int64
	for i := range done {
		s := &w.slots[done[i].Slot]
		if !s.logs(done[i].Result) {
			continue
		}
		if n > 0 && (s.start != last.start || s.req.Op != last.req.Op) {
			w.logRun(last, complete, n, bytes)
			n, bytes = 0, 0
		}
		last = s
		n++
		bytes += int64(s.req.Length + s.req.Skip)
	}
	if n > 0 {
		w.logRun(last, complete, n, bytes)
	}
}

// logRun records n I/Os of so many bytes, of which s is the last.
func (w *worker) logRun(s *slot, complete, n, bytes int64) {
	w.logging.recorder.AddRun(fiolog.Run{
		EndNS: complete - w.logging.from, SlatNS: w.slat(s), ClatNS: complete - s.issue, LatNS: complete - s.start,
		IOs: n, Bytes: bytes, LastBytes: s.req.Length + s.req.Skip, Dir: workloads.Direction(s.req.Op),
	})
}

// slat is the I/O's submission latency, negative where the engine has none.
func (w *worker) slat(s *slot) int64 {
	if w.sync {
		return -1
	}
	return s.issue - s.start
}

// logs says whether an I/O with this result is logged.
func (s *slot) logs(result int32) bool {
	return result == int32(s.req.Length) && s.req.Op <= engine.OpTrim
}

// closeLogs ends the logs of the workers that came back: what they still hold is written, the last partial
// windows too.
func (c *conductor) closeLogs(j *jobRun) error {
	if j.logs == nil {
		return nil
	}
	var blocked time.Duration
	for _, w := range j.workers {
		if w.lost {
			return nil // it may still write to its log
		}
		ended := w.timing.ended
		if w.verify != nil {
			ended = max(ended, w.verify.back.ended)
		}
		w.logging.recorder.Close(max(ended-w.logging.from, 0))
		blocked += w.logging.recorder.Blocked()
	}
	if blocked > 0 {
		c.warn("LOG_BLOCKED", fmt.Sprintf("job %s: its workers waited %v in all for their logs to be written, and did no I/O meanwhile", j.spec.Name, blocked.Round(time.Microsecond)),
			"put the logs on another disk, or use --log_avg_msec")
	}
	return j.logs.Close()
}
