package workloads

import (
	"fmt"
	"slices"

	"github.com/blkmeter/blkmeter/workloads/iolog"
)

// Replays says whether the job's I/Os come from logs.
func (j *Job) Replays() bool { return len(j.Replay.Logs) > 0 }

// LogOf is the name of the log that a clone replays: as in fio, the clones take the job's logs in turn.
func (j *Job) LogOf(clone int) string { return j.Replay.Logs[clone%len(j.Replay.Logs)] }

// Replayed reads the job's logs. It returns the job with the kind and the block sizes that they have, and the
// log of each clone; clones may share one.
func (j *Job) Replayed() (*Job, []*iolog.Log, error) {
	o := iolog.Options{
		Redirect: j.Replay.Redirect, Scale: j.Replay.Scale, AlignBytes: j.Replay.AlignBytes, TimePercent: j.Replay.TimePercent,
	}
	for op := range o.Skip {
		name := iolog.Op(op).String()
		if iolog.Op(op) == iolog.Datasync {
			name = iolog.Sync.String()
		}
		o.Skip[op] = slices.Contains(j.Replay.Skip, name)
	}
	byName := map[string]*iolog.Log{}
	logs := make([]*iolog.Log, max(j.NumJobs, 1))
	var does [Directions]bool
	var sizes [Directions]SizeRange
	for clone := range logs {
		name := j.LogOf(clone)
		log := byName[name]
		if log == nil {
			var err error
			if log, err = iolog.OpenFile(name, o); err != nil {
				return nil, nil, fmt.Errorf("job %s: %w", j.Name, err)
			}
			byName[name] = log
		}
		logs[clone] = log
		for d := range sizes {
			if t := log.Ops[d]; t.IOs > 0 {
				if !does[d] || t.MinBytes < sizes[d].Min {
					sizes[d].Min = t.MinBytes
				}
				sizes[d].Max = max(sizes[d].Max, t.MaxBytes)
				does[d] = true
			}
		}
	}
	replayed := *j
	replayed.RW, replayed.BS = RWReplay(does), sizes
	return &replayed, logs, nil
}

// ReplayWarnings says what may surprise about the logs of a job.
func (j *Job) ReplayWarnings(logs []*iolog.Log) []Warning {
	var w []Warning
	for i, log := range logs {
		if log.Waits && !j.Replay.NoStall && !slices.Contains(logs[:i], log) {
			w = append(w, Warning{
				Code:     "IOLOG_WAITS",
				Sentence: fmt.Sprintf("%s: its waits are read as fio 3.33 reads them, in milliseconds since the start, although fio's manual speaks of microseconds since the last wait", log.Name),
				Hint:     "a version 3 log has times that cannot be misread",
			})
		}
	}
	if left := j.Replay.Logs[min(len(logs), len(j.Replay.Logs)):]; len(left) > 0 {
		w = append(w, Warning{
			Code:     "IOLOG_UNUSED",
			Sentence: fmt.Sprintf("job %s: %d of its %d logs are not replayed, since each clone takes one and numjobs is %d", j.Name, len(left), len(j.Replay.Logs), len(logs)),
			Hint:     fmt.Sprintf("give numjobs=%d", len(j.Replay.Logs)),
		})
	}
	return w
}

// Replayed is what a clone's log holds, once through.
type Replayed struct {
	Clone      int    `json:"clone"`
	Log        string `json:"log"`
	Reads      int64  `json:"reads"` // I/Os
	Writes     int64  `json:"writes"`
	Trims      int64  `json:"trims"`
	Syncs      int64  `json:"syncs"`
	DurationNS int64  `json:"duration_ns"` // of the recorded times; 0 when they do not count
}

// forecastReplay is the forecast of a job that replays logs. An I/O beyond the end of a target of known size
// is an error.
func (j *Job) forecastReplay(stage int, sizeOf func(string) int64) (JobForecast, []Warning, error) {
	j, logs, err := j.Replayed()
	if err != nil {
		return JobForecast{}, nil, err
	}
	jf := j.outline(stage)
	for clone, log := range logs {
		r := Replayed{
			Clone: clone, Log: log.Name, Reads: log.Ops[iolog.Read].IOs, Writes: log.Ops[iolog.Write].IOs, Trims: log.Ops[iolog.Trim].IOs,
			Syncs: log.Ops[iolog.Sync].IOs + log.Ops[iolog.Datasync].IOs,
		}
		if !j.Replay.NoStall {
			r.DurationNS = log.DurationNS
		}
		jf.Replay = append(jf.Replay, r)
		for file := range log.Files {
			f := &log.Files[file]
			if size := sizeOf(f.Path); size > 0 {
				if err := log.Fit(file, size, 1); err != nil {
					return JobForecast{}, nil, fmt.Errorf("job %s: %w", j.Name, err)
				}
			}
			jf.Regions = append(jf.Regions, Extent{Clone: clone, Path: f.Path, Low: f.Low, High: f.High})
		}
		loops := int64(max(j.Loops, 1))
		jf.ReadBytes += loops * log.Ops[iolog.Read].Bytes
		jf.WriteBytes += loops * log.Ops[iolog.Write].Bytes
		jf.TrimBytes += loops * log.Ops[iolog.Trim].Bytes
		jf.replayNS = max(jf.replayNS, loops*r.DurationNS)
	}
	if j.TimeBased {
		jf.Uncertainty = "as much as its time allows"
		for _, bytes := range []*int64{&jf.ReadBytes, &jf.WriteBytes, &jf.TrimBytes} {
			if *bytes > 0 {
				*bytes = -1
			}
		}
	}
	return jf, j.ReplayWarnings(logs), nil
}

// length is how long the job runs, and whether that is known. A replay at the recorded times takes as long as
// its log, unless the device cannot keep up.
func (jf *JobForecast) length() (ns int64, known bool) {
	if jf.TimeBased || jf.replayNS == 0 {
		return jf.RuntimeNS, jf.TimeBased
	}
	if jf.RuntimeNS > 0 {
		return min(jf.RuntimeNS, jf.replayNS), true
	}
	return jf.replayNS, true
}
