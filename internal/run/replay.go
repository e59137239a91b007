package run

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/iolog"
	"github.com/blkmeter/blkmeter/workloads/pace"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// readIOLogs reads the logs that a job replays, and gives the job the kind and block sizes that they have.
func (c *conductor) readIOLogs(j *jobRun) error {
	if !j.spec.Replays() {
		return nil
	}
	c.say("reading " + strings.Join(j.spec.Replay.Logs, ", "))
	spec, logs, err := j.spec.Replayed()
	if err != nil {
		return err
	}
	j.spec, j.replays = spec, logs
	for _, w := range spec.ReplayWarnings(logs) {
		c.warn(w.Code, w.Sentence, w.Hint)
	}
	r := j.reportReplay()
	when := fmt.Sprintf("at their times, over %v", time.Duration(r.DurationNS))
	if !r.Timed {
		when = "as fast as the depth allows"
	}
	j.decide("I/Os", fmt.Sprintf("%d of %s, %s", r.IOs, strings.Join(slices.Compact(slices.Clone(r.Logs)), ", "), when), "asked for (read_iolog)")
	return nil
}

// reportReplay says what the job's logs hold; nil when it replays none.
func (j *jobRun) reportReplay() *report.Replay {
	if j.replays == nil {
		return nil
	}
	r := &report.Replay{Timed: !j.spec.Replay.NoStall}
	for _, log := range j.replays {
		r.Logs = append(r.Logs, log.Name)
		r.IOs += int64(log.Len())
		r.DurationNS = max(r.DurationNS, log.DurationNS)
	}
	return r
}

// replayed says whether one of the job's logs holds such an operation.
func (j *jobRun) replayed(op engine.Op) bool {
	return slices.ContainsFunc(j.replays, func(log *iolog.Log) bool { return log.Has(iolog.Op(op)) })
}

// openReplayed opens the files of a clone's log: for writing only those that it writes. A file that does not
// exist is made, as long as the log needs it.
func (c *conductor) openReplayed(ctx context.Context, j *jobRun, log *iolog.Log) ([]*target.Target, error) {
	var targets []*target.Target
	for i := range log.Files {
		f := &log.Files[i]
		if j.spec.Engine == catalog.Null {
			t := target.Null(max(f.High, 1))
			c.register(t, false)
			targets = append(targets, t)
			continue
		}
		spec := *j.spec
		var does [workloads.Directions]bool
		for d := range does {
			does[d] = f.Ops[d].IOs > 0
		}
		spec.RW = workloads.RWReplay(does)
		t, err := c.openPath(ctx, &jobRun{spec: &spec}, f.Path, f.High)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// replay gives a worker its log, every I/O of which fits the targets.
func (c *conductor) replay(ctx context.Context, j *jobRun, w *worker, clone int) error {
	log := j.replays[clone]
	w.files = make([]pattern.File, len(log.Files))
	for i, t := range w.targets {
		f := &log.Files[i]
		if err := log.Fit(i, t.SizeBytes(), int64(max(t.OffsetAlign(), 1))); err != nil {
			return fmt.Errorf("job %s: %w", j.spec.Name, err)
		}
		w.files[i] = pattern.File{Low: f.Low, High: f.High}
		if f.Ops[iolog.Read].IOs > 0 {
			if err := c.checkWritten(ctx, j, t, f.Low, f.High); err != nil {
				return err
			}
		}
	}
	w.regionLow, w.regionHigh = w.files[0].Low, w.files[0].High
	w.source = &replaying{cursor: j.cursor(clone)}
	return nil
}

// cursor is a place in a log that is replayed once or several times.
type cursor struct {
	log    *iolog.Log
	at     int   // the entry that comes next
	passes int   // through the log after this one
	shift  int64 // ns that the passes before took: added to the entries' times
}

// cursor returns the beginning of a clone's replay.
func (j *jobRun) cursor(clone int) cursor {
	passes := j.spec.Loops - 1
	if j.spec.TimeBased {
		passes = math.MaxInt
	}
	return cursor{log: j.replays[clone], passes: passes}
}

// lastShift keeps sums of times from overflowing.
const lastShift = 1 << 62

// entries returns entries that come next: some, and none only at the end of the replay.
func (c *cursor) entries() []iolog.Entry {
	if c.at == c.log.Len() {
		if c.passes <= 0 || c.log.DurationNS > (lastShift-c.shift)/2 {
			return nil
		}
		c.passes--
		c.at = 0
		c.shift += c.log.DurationNS
	}
	return c.log.From(c.at)
}

// replaying is a log as a source of I/Os.
type replaying struct{ cursor }

// Next is that of [pattern.Source].
func (r *replaying) Next(ios []pattern.IO) int {
	n := 0
	for n < len(ios) {
		entries := r.entries()
		if len(entries) == 0 {
			break
		}
		entries = entries[:min(len(entries), len(ios)-n)]
		for i := range entries {
			e := &entries[i]
			ios[n+i] = pattern.IO{Offset: e.Offset, Length: e.Length, File: e.File, Op: uint8(e.Op)}
		}
		n += len(entries)
		r.at += len(entries)
	}
	return n
}

// timetable is a log as a plan of arrivals: each I/O is due at its recorded time, counted from the job's
// start, however late those before it were.
type timetable struct {
	cursor
	from int64 // when the log's time begins, ns of the run's clock
}

// Start sets when the log's time begins.
func (t *timetable) Start(now int64) { t.from = now }

// Due takes the arrivals that are due at now, at most len(intended), and stores their intended times.
func (t *timetable) Due(now int64, intended []int64, _ []uint8) int {
	n := 0
	for n < len(intended) {
		next := t.Next()
		if next > now {
			break
		}
		intended[n] = next
		n++
		t.at++
	}
	return n
}

// Next returns when the next I/O is due; [pace.Never] behind the last.
func (t *timetable) Next() int64 {
	if entries := t.entries(); len(entries) > 0 {
		return t.from + t.shift + entries[0].TimeNS
	}
	return pace.Never
}

// Issued changes nothing: the log has the times.
func (t *timetable) Issued(uint8, uint32) {}

// Delay moves all arrivals to come by ns.
func (t *timetable) Delay(ns int64) { t.from += ns }
