package workloads

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Paths returns the names of the targets of a job's clone, counted from 0: the first NrFiles of filename, or
// as many generated ones that follow filename_format, with fio's rules for directory.
func (j *Job) Paths(clone int) []string {
	names := j.Filenames
	dir := ""
	if n := len(j.Directories); n > 0 {
		dir = j.Directories[0]
		if len(names) == 0 {
			dir = j.Directories[clone%n]
		}
	}
	if len(names) == 0 {
		for file := range max(j.NrFiles, 1) {
			names = append(names, strings.NewReplacer(
				"$jobname", j.Name, "$jobnum", strconv.Itoa(clone), "$filenum", strconv.Itoa(file), "$clientuid", "",
			).Replace(j.FilenameFormat))
		}
	} else if j.NrFiles > 0 && j.NrFiles < len(names) {
		names = names[:j.NrFiles]
	}
	if dir == "" {
		return names
	}
	paths := make([]string, len(names))
	for i, n := range names {
		paths[i] = n
		if !filepath.IsAbs(n) {
			paths[i] = filepath.Join(dir, n)
		}
	}
	return paths
}

// Forecast is what a plan would do, worked out without touching a target.
type Forecast struct {
	Jobs          []JobForecast `json:"jobs"`
	Overlaps      []Overlap     `json:"overlaps"`
	Workers       int           `json:"workers"`        // of all jobs
	MostWorkers   int           `json:"most_workers"`   // at a time
	MemoryBytes   int64         `json:"memory_bytes"`   // I/O buffers, of the stage that needs most
	WriteBytes    int64         `json:"write_bytes"`    // of the jobs whose amount is known
	TrimBytes     int64         `json:"trim_bytes"`     // likewise
	AmountBounded bool          `json:"amount_bounded"` // the amounts of all jobs that write or trim are known
	DurationNS    int64         `json:"duration_ns"`    // of the stages whose length is known
	DurationKnown bool          `json:"duration_known"` // all of it is
	Warnings      []Warning     `json:"warnings,omitzero"`
}

// JobForecast is the part of one job.
type JobForecast struct {
	Name         string     `json:"name"`
	Stage        int        `json:"stage"` // jobs of a stage run together; from 0
	RW           string     `json:"rw"`
	BlockBytes   [2]int64   `json:"block_bytes"` // smallest and largest
	Engine       string     `json:"engine"`
	IODepth      int        `json:"iodepth"`
	Direct       bool       `json:"direct"`
	Clones       int        `json:"clones"`
	CPUs         []int      `json:"cpus,omitzero"` // allowed; absent: placement decides
	Placement    string     `json:"placement,omitzero"`
	Regions      []Extent   `json:"regions"`
	ReadBytes    int64      `json:"read_bytes"` // -1: until the time is up
	WriteBytes   int64      `json:"write_bytes"`
	TrimBytes    int64      `json:"trim_bytes"`
	MemoryBytes  int64      `json:"memory_bytes"`
	RampNS       int64      `json:"ramp_ns"`
	RampBytes    int64      `json:"ramp_bytes,omitzero"` // transferred before measuring
	RuntimeNS    int64      `json:"runtime_ns"`          // 0: until its work is done
	TimeBased    bool       `json:"time_based"`
	Prerun       string     `json:"exec_prerun,omitzero"` // shell commands that it runs
	Postrun      string     `json:"exec_postrun,omitzero"`
	IOScheduler  string     `json:"ioscheduler,omitzero"` // of the devices meanwhile
	Control      []string   `json:"control,omitzero"`     // what governs the load beside iodepth and rates, in words
	Uncertainty  string     `json:"uncertainty,omitzero"` // why amounts or regions are not known
	Replay       []Replayed `json:"replay,omitzero"`      // of each clone, when the job replays logs
	replayNS     int64      // how long the longest log takes at the recorded times; 0 otherwise
	regionsKnown bool
}

// Extent is what one clone works on in one target. High is 0 when the target's size is not known.
type Extent struct {
	Clone int    `json:"clone"`
	Path  string `json:"path"`
	Low   int64  `json:"low"`
	High  int64  `json:"high"`
}

// Overlap is a part of a target that several workers use at the same time.
type Overlap struct {
	Path    string   `json:"path"`
	Low     int64    `json:"low"`
	High    int64    `json:"high"`
	Jobs    []string `json:"jobs"`
	Workers int      `json:"workers"` // most at one place
	Writes  bool     `json:"writes"`  // one of them writes or trims
}

// Forecast works out what the plan would do. sizeOf returns the size of a target in bytes, or 0 when it is
// not known, as for a file that does not exist yet. An error is one of [Region].
func (p *Plan) Forecast(sizeOf func(path string) int64) (*Forecast, error) {
	f := &Forecast{Jobs: []JobForecast{}, Overlaps: []Overlap{}, AmountBounded: true, DurationKnown: true, Warnings: slices.Clone(p.Warnings)}
	stage := 0
	planned := PlannedFiles{}
	for i := range p.Jobs {
		planned.Add(&p.Jobs[i])
	}
	for i := range p.Jobs {
		j := &p.Jobs[i]
		if j.Stonewall && i > 0 {
			stage++
		}
		jf, warnings, err := j.forecastAny(stage, sizeOf, planned)
		if err != nil {
			return nil, err
		}
		f.Warnings = append(f.Warnings, warnings...)
		f.Jobs = append(f.Jobs, jf)
		f.Workers += jf.Clones
		for _, part := range []struct{ amount, sum *int64 }{{&jf.WriteBytes, &f.WriteBytes}, {&jf.TrimBytes, &f.TrimBytes}} {
			if *part.amount < 0 {
				f.AmountBounded = false
			} else {
				*part.sum += *part.amount
			}
		}
	}
	for s := range stage + 1 {
		f.addStage(slices.DeleteFunc(slices.Clone(f.Jobs), func(jf JobForecast) bool { return jf.Stage != s }))
	}
	return f, nil
}

// addStage adds what the jobs of one stage have in common: time, memory, overlaps.
func (f *Forecast) addStage(jobs []JobForecast) {
	var longest, memory int64
	workers := 0
	extents := make(map[string][]claim)
	for i := range jobs {
		jf := &jobs[i]
		length, known := jf.length()
		longest = max(longest, jf.RampNS+length)
		f.DurationKnown = f.DurationKnown && known && jf.RampBytes == 0
		memory += jf.MemoryBytes
		workers += jf.Clones
		for _, e := range jf.Regions {
			if e.High > e.Low {
				extents[e.Path] = append(extents[e.Path], claim{e.Low, e.High, jf.Name, jf.WriteBytes != 0 || jf.TrimBytes != 0})
			}
		}
	}
	f.DurationNS += longest
	f.MemoryBytes = max(f.MemoryBytes, memory)
	f.MostWorkers = max(f.MostWorkers, workers)
	paths := make([]string, 0, len(extents))
	for path := range extents {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		f.Overlaps = append(f.Overlaps, overlaps(path, extents[path])...)
	}
}

// forecastAny works out one job's part.
func (j *Job) forecastAny(stage int, sizeOf func(string) int64, planned PlannedFiles) (JobForecast, []Warning, error) {
	if j.Replays() {
		return j.forecastReplay(stage, sizeOf)
	}
	jf, err := j.forecast(stage, sizeOf, planned)
	return jf, nil, err
}

// outline is what a forecast says whatever the job does.
func (j *Job) outline(stage int) JobForecast {
	jf := JobForecast{
		Name: j.Name, Stage: stage, RW: j.RW.String(), BlockBytes: [2]int64{j.MinBlock(), j.MaxBlock()}, Engine: j.Engine,
		IODepth: j.IODepth, Direct: j.Direct, Clones: max(j.NumJobs, 1), CPUs: j.CPUsAllowed, Regions: []Extent{},
		RampNS: int64(j.RampTime + j.StartDelay.Max), RampBytes: j.RampBytes, RuntimeNS: int64(j.Runtime), TimeBased: j.TimeBased, regionsKnown: true,
		Prerun: j.ExecPrerun, Postrun: j.ExecPostrun, IOScheduler: j.IOScheduler,
	}
	if jf.CPUs == nil {
		jf.Placement = j.Placement
	}
	jf.MemoryBytes = int64(jf.Clones) * int64(j.IODepth) * j.BufferBytes()
	if t := j.LatencyTarget; t.Limit > 0 {
		how := fmt.Sprintf("searches the highest depth at which %g %% of the I/Os take at most %v, in windows of %v", t.Percentile, t.Limit, t.Window)
		if t.Run {
			how += ", until its time is up"
		}
		jf.Control = append(jf.Control, how)
	}
	if sent := j.NVMe.describe(); sent != "" {
		jf.Control = append(jf.Control, sent)
	}
	if j.Flow.Weight > 0 {
		jf.Control = append(jf.Control, fmt.Sprintf("each clone has weight %d in flow %d", j.Flow.Weight, j.Flow.ID))
	}
	if j.Offload {
		jf.Control = append(jf.Control, fmt.Sprintf("each clone has %d threads that submit its I/O", j.IODepth))
	}
	return jf
}

func (j *Job) forecast(stage int, sizeOf func(string) int64, planned PlannedFiles) (JobForecast, error) {
	jf := j.outline(stage)
	if j.Verify.Only {
		jf.RW = Read.String() // of what an earlier run wrote
	}
	var transfer int64
	for clone := range jf.Clones {
		total := int64(0)
		for _, path := range j.Paths(clone) {
			size, end := sizeOf(path), int64(0)
			switch {
			case j.Layout.Append:
				size, end = j.PlannedBytes(clone, path), size
			case size == 0 && j.PlannedBytes(clone, path) > 0:
				size = planned.Bytes(path)
			}
			if size == 0 {
				jf.regionsKnown = false
				jf.Regions = append(jf.Regions, Extent{Clone: clone, Path: path})
				continue
			}
			low, high, err := Region(j, clone, size)
			if err != nil {
				return JobForecast{}, err
			}
			jf.Regions = append(jf.Regions, Extent{Clone: clone, Path: path, Low: end + low, High: end + high})
			total += j.ShareBytes(low, high)
		}
		transfer += j.TransferBytes(total)
	}
	jf.amounts(j, transfer*int64(max(j.Loops, 1)))
	return jf, nil
}

// amounts splits what the job transfers into directions.
func (jf *JobForecast) amounts(j *Job, transfer int64) {
	if j.NumberIOs > 0 {
		transfer = min(transfer, int64(jf.Clones)*int64(min(j.NumberIOs, 1<<31))*jf.BlockBytes[1])
	}
	switch {
	case j.TimeBased && j.NumberIOs == 0:
		transfer = -1
		jf.Uncertainty = "as much as its time allows"
	case !jf.regionsKnown:
		transfer = -1
		jf.Uncertainty = "the size of a target is not known"
	}
	share := func(d Direction) int64 {
		switch {
		case !j.RW.Does(d), j.Verify.Only:
			return 0
		case transfer < 0:
			return -1
		case j.RW.Does(Read) && j.RW.Does(Write) && d == Read:
			return int64(float64(transfer) * float64(j.MixReadPercent) / 100)
		case j.RW.Does(Read) && j.RW.Does(Write):
			return int64(float64(transfer) * float64(100-j.MixReadPercent) / 100)
		}
		return transfer
	}
	jf.ReadBytes, jf.WriteBytes, jf.TrimBytes = share(Read), share(Write), share(Trim)
	if !j.RW.Does(Trim) && j.Trims() && !j.Verify.Only {
		jf.TrimBytes = jf.WriteBytes // unknown, too
		if jf.WriteBytes > 0 {
			jf.TrimBytes = int64(float64(jf.WriteBytes) * float64(j.Verify.TrimPercent) / 100)
		}
	}
}

// claim is a region that a worker uses.
type claim struct {
	low, high int64
	job       string
	writes    bool
}

// overlaps finds the parts of a target that more than one claim covers.
func overlaps(path string, claims []claim) []Overlap {
	slices.SortFunc(claims, func(a, b claim) int { return cmp.Compare(a.low, b.low) })
	var found []Overlap
	var open []claim // claims that reach beyond the current one's start
	for _, c := range claims {
		open = slices.DeleteFunc(open, func(o claim) bool { return o.high <= c.low })
		if len(open) > 0 {
			reach := int64(0)
			for _, o := range open {
				reach = max(reach, min(o.high, c.high))
			}
			joined := []claim{c}
			if n := len(found); n == 0 || found[n-1].High < c.low {
				found = append(found, Overlap{Path: path, Low: c.low})
				joined = append(joined, open...)
			}
			last := &found[len(found)-1]
			last.High = max(last.High, reach)
			last.Workers = max(last.Workers, len(open)+1)
			for _, o := range joined {
				last.Writes = last.Writes || o.writes
				if !slices.Contains(last.Jobs, o.job) {
					last.Jobs = append(last.Jobs, o.job)
				}
			}
		}
		open = append(open, c)
	}
	return found
}
