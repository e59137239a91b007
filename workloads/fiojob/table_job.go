package fiojob

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// MaxBlockBytes is the largest block: the most that Linux moves in one request (MAX_RW_COUNT), rounded down
// to a power of two.
const MaxBlockBytes = 1 << 30

const (
	maxInt   = math.MaxInt32
	maxInt64 = math.MaxInt64
)

func jobOptions() []Option {
	return []Option{
		{
			Name: "name", Kind: text{form: "NAME", set: func(d *draft, v string) error { d.Name = v; return nil }},
			Group: GroupJob, Help: "start a job of this name on the command line; rename the job in a file",
		},
		{
			Name: "description", Kind: text{form: "TEXT", set: func(d *draft, v string) error { d.Description = v; return nil }},
			Group: GroupJob, Help: "text about the job, repeated in the Result",
		},
		{
			Name: "numjobs", Kind: integer{min: 1, max: maxInt, set: func(d *draft, v int64) { d.NumJobs = int(v) }},
			Group: GroupJob, Default: "1", Help: "run this many clones of the job, each a worker of its own",
			Differs: "clones follow each other in order; fio's second clone has the highest number, and so the highest offset",
		},
		{
			Name: "loops", Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.Loops = int(max(v, 1)) }},
			Group: GroupJob, Default: "1", Help: "do the job's work this many times",
		},
		{
			Name: "group_reporting", Kind: flag{set: func(d *draft, v bool) { d.GroupReporting = v }},
			Group: GroupJob, Help: "report the jobs of a group as one",
		},
		{
			Name: "new_group", Kind: flag{set: func(d *draft, v bool) { d.NewGroup = v }},
			Group: GroupJob, Help: "start a new group for reports, without waiting",
		},
		{
			Name: "stonewall", Aliases: []string{"wait_for_previous"}, Kind: flag{set: func(d *draft, v bool) { d.Stonewall = v }},
			Group: GroupJob, Help: "start when all jobs before it have ended, in a new group",
		},
		{
			Name: "wait_for", Kind: text{form: "NAME", set: func(d *draft, v string) error { d.WaitFor = v; return nil }},
			Group: GroupJob, Help: "start when all clones of the named job, defined before, have ended",
		},
		{
			Name: "startdelay", Kind: durationRange{set: func(d *draft, v workloads.DurationRange) { d.StartDelay = v }},
			Group: GroupJob, Default: "0", Help: "start this long after the others, or after a random time of a range",
		},
		{
			Name: "exitall", Kind: flag{set: func(d *draft, v bool) { d.ExitAll = v }},
			Group: GroupJob, Help: "end the other jobs when this one ends",
		},
		{
			Name: "exit_what", Kind: enum{words: words("group", "stonewall", "all"), set: func(d *draft, w, _ string) error { d.ExitWhat = w; return nil }},
			Group: GroupJob, Default: "group", Help: "which jobs exitall ends",
		},
		{
			Name: "exitall_on_error", Kind: flag{set: func(d *draft, v bool) { d.ExitAllOnError = v }},
			Group: GroupJob, Help: "end the other jobs when this one fails",
		},
		{
			Name: "thread", Aliases: []string{"threads"}, Kind: flag{},
			Group: GroupJob, Help: "accepted: workers are threads in any case",
			Differs: "fio forks a process per job without it",
		},
		{
			Name: "profile", Kind: enum{words: words("tiobench", "act")}, Group: GroupJob,
			Help:   "run one of fio's built-in job sets",
			Effect: Refused, Why: "blkmeter has no built-in copies of fio's profiles",
		},
	}
}

func targetOptions() []Option {
	return []Option{
		{
			Name: "filename", Kind: filenames{}, Group: GroupTarget,
			Help:    "the devices or files to do I/O to; \\: is a colon in a name; given again, it adds to them",
			Differs: "a name that is missing under /dev is an error; fio would create a file there",
		},
		{
			Name: "directory", Kind: text{form: "DIR[:DIR...]", set: func(d *draft, v string) error { d.Directories = splitNames(v); return nil }},
			Group: GroupTarget, Help: "where files are made; clones are spread over several",
		},
		{
			Name: "filename_format", Kind: text{form: "FORMAT", set: func(d *draft, v string) error { d.FilenameFormat = v; return nil }},
			Group: GroupTarget, Default: "$jobname.$jobnum.$filenum", Help: "names of generated files",
		},
		{
			Name: "unique_filename", Kind: boolean{}, Group: GroupTarget, Default: "1",
			Help:   "names carry the client's address when several hosts run a job",
			Effect: Ignored, Why: "it only matters to fio's client and server",
		},
		{
			Name: "size", Kind: amount{set: func(d *draft, v workloads.Amount) { d.Size = v }}, Group: GroupTarget,
			Help:    "the region of the target that each clone works on, split over its files",
			Differs: "a region beyond the end of a device is an error before the first I/O",
		},
		{
			Name: "io_size", Aliases: []string{"io_limit"}, Kind: amount{set: func(d *draft, v workloads.Amount) { d.IOSize = v }},
			Group: GroupTarget, Help: "how much to transfer, when that is not the region once",
		},
		{
			Name: "filesize", Kind: fileSizes{}, Group: GroupTarget, Help: "size of each file, or a range to draw it from",
		},
		{
			Name: "offset", Aliases: []string{"fileoffset"}, Kind: amount{set: func(d *draft, v workloads.Amount) { d.Offset = v }},
			Group: GroupTarget, Default: "0", Help: "where the region starts",
		},
		{
			Name: "offset_increment", Kind: amount{set: func(d *draft, v workloads.Amount) { d.OffsetIncrement = v }},
			Group: GroupTarget, Default: "0", Help: "added to the offset once per clone before it",
		},
		{
			Name: "offset_align", Kind: integer{max: maxInt64, unit: "BYTES", set: func(d *draft, v int64) { d.OffsetAlign = v }},
			Group: GroupTarget, Default: "0", Help: "round an offset given in percent up to this; 0: to the block size",
		},
		{
			Name: "nrfiles", Aliases: []string{"nr_files"}, Kind: integer{max: 1 << 16, set: func(d *draft, v int64) { d.NrFiles = int(max(v, 1)) }},
			Group: GroupTarget, Default: "1", Help: "how many files the job's size is split over",
		},
		{
			Name: "openfiles", Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.OpenFiles = int(v) }},
			Group: GroupTarget, Help: "how many of them are open at a time: a file is opened when I/O first goes to it, and closed when its work is done; 0: all",
			Differs: "without it all files are open from before the run to its end, so that opening them is not measured; devices always are",
		},
		{
			Name: "file_service_type", Group: GroupTarget, Default: "roundrobin",
			Kind: enum{
				words:  words("random", "roundrobin", "sequential", "zipf", "pareto", "normal", "gauss=normal"),
				suffix: "N.N", set: setFileService,
			},
			Help: "how the next file is chosen; a number after the colon is the I/Os per file, or a parameter",
		},
		{
			Name: "opendir", Kind: text{form: "DIR", set: func(d *draft, v string) error { d.Layout.OpenDir = v; return nil }},
			Group: GroupTarget, Help: "take the regular files below a directory, links not followed, beside those of filename",
			Differs: "files without room for a block are left out; a job that writes needs each of them named with destroy",
		},
		{
			Name: "filetype", Kind: enum{words: words("none", "file", "block", "char")}, Group: GroupTarget, Default: "none",
			Help: "what the target is", Effect: Ignored, Why: "blkmeter looks at the target itself",
		},
		{
			Name: "direct", Kind: boolean{set: func(d *draft, v bool) { d.Direct = v }}, Group: GroupTarget, Default: "0",
			Help:    "bypass the page cache (O_DIRECT)",
			Differs: "defaults to 1 in blkmeter run when no job file is given",
		},
		{
			Name: "buffered", Kind: boolean{set: func(d *draft, v bool) { d.Direct = !v }}, Group: GroupTarget, Default: "1",
			Help: "go through the page cache; the opposite of direct",
		},
		{
			Name: "atomic", Kind: boolean{set: func(d *draft, v bool) { d.Atomic = v }}, Group: GroupTarget, Default: "0",
			Help:    "writes happen whole or not at all (RWF_ATOMIC); implies direct",
			Differs: "sizes and offsets that the target does not write atomically are an error before the first I/O",
		},
	}
}

func safetyOptions() []Option {
	return []Option{
		{
			Name: "destroy", Own: true, Kind: text{form: "NAME", set: func(d *draft, v string) error { d.Destroy = v; return nil }},
			Group: GroupSafety, Help: "allow writing to the target whose last path element is NAME",
		},
		{
			Name: "fill", Own: true, Kind: flag{set: func(d *draft, v bool) { d.Fill = v }},
			Group: GroupSafety, Help: "write the blocks of a read job's region that were never written, before it reads them",
		},
		{
			Name: "allow_file_create", Kind: boolean{set: func(d *draft, v bool) { d.AllowFileCreate = v }},
			Group: GroupSafety, Default: "1", Help: "make files that do not exist",
			Differs: "a file that exists is never removed because of it",
		},
		{
			Name: "allow_mounted_write", Kind: boolean{},
			Group: GroupSafety, Default: "0", Help: "accepted, and without effect: a mounted device is never written to",
			Differs: "fio writes to the mounted device",
		},
	}
}

// filenames takes targets. As in fio, the option adds to the targets that it named before, those of a
// [global] section among them.
type filenames struct{ valued }

func (filenames) Syntax() string { return "PATH[:PATH...]" }

func (filenames) parse(d *draft, value string) (trap string, err error) {
	names := splitNames(value)
	if len(names) == 0 {
		return "", errors.New("it names nothing")
	}
	if len(d.Filenames) > 0 {
		trap = fmt.Sprintf("%s is used beside %s, which was named before", shorten(value), shorten(strings.Join(d.Filenames, ", ")))
	}
	d.Filenames = append(slices.Clone(d.Filenames), names...)
	return trap, nil
}

// splitNames cuts a list of paths at colons; a backslash before a colon keeps it.
func splitNames(s string) []string {
	var names []string
	var name strings.Builder
	end := func() {
		if n := strings.TrimSpace(name.String()); n != "" {
			names = append(names, n)
		}
		name.Reset()
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ':':
			i++
			name.WriteByte(':')
		case s[i] == ':':
			end()
		default:
			name.WriteByte(s[i])
		}
	}
	end()
	return names
}

func setFileService(d *draft, word, suffix string) error {
	d.FileServiceRuns = 1
	d.FileService = word
	if suffix == "" {
		return nil
	}
	v, err := parseFloat(suffix)
	if err != nil {
		return err
	}
	switch word {
	case "zipf", "pareto", "normal":
		d.FileService = word + ":" + suffix
		return nil
	}
	if v != math.Trunc(v) || v < 1 || v > maxInt {
		return fmt.Errorf("%q is not a number of I/Os", suffix)
	}
	d.FileServiceRuns = int(v)
	return nil
}

// fileSizes takes one size or a range of them.
type fileSizes struct{ valued }

func (fileSizes) Syntax() string { return "BYTES[-BYTES]" }

func (fileSizes) parse(d *draft, value string) (string, error) {
	bounds := value
	if !strings.ContainsAny(value, "-:") {
		bounds = value + "-" + value
	}
	r, trap, err := parseRange(bounds, d.kbBase, 1, maxInt64)
	if err == nil {
		d.FileSize = r
	}
	return trap, err
}

func timeOptions() []Option {
	return []Option{
		{
			Name: "runtime", Aliases: []string{"timeout"}, Group: GroupTime, Default: "0",
			Kind: duration{bare: time.Second, set: func(d *draft, v time.Duration) { d.Runtime = v }},
			Help: "end the job after this time at the latest; 0: when its work is done",
		},
		{
			Name: "time_based", Kind: flag{set: func(d *draft, v bool) { d.TimeBased = v }}, Group: GroupTime,
			Help: "start over until runtime has passed",
		},
		{
			Name: "ramp_time", Kind: duration{bare: time.Second, set: func(d *draft, v time.Duration) { d.RampTime = v }},
			Group: GroupTime, Help: "run this long before measuring",
		},
		{
			Name: "ramp_size", Kind: integer{max: maxInt64, unit: "BYTES", set: func(d *draft, v int64) { d.RampBytes = v }}, Group: GroupTime,
			Default: "0", Help: "transfer this much before measuring: each clone, or with group_reporting all together",
			Differs: "the clones of a job end it at the same time, up to half a second later",
		},
		{
			Name: "number_ios", Kind: integer{max: maxInt64, set: func(d *draft, v int64) { d.NumberIOs = uint64(v) }},
			Group: GroupTime, Default: "0", Help: "end the job after this many I/Os",
		},
		{
			Name: "thinktime", Kind: duration{bare: time.Microsecond, set: func(d *draft, v time.Duration) { d.Thinktime.Time = v }},
			Group: GroupTime, Default: "0", Help: "pause this long between blocks of I/Os",
		},
		{
			Name: "thinktime_spin", Kind: duration{bare: time.Microsecond, set: func(d *draft, v time.Duration) { d.Thinktime.Spin = v }},
			Group: GroupTime, Default: "0", Help: "spend this much of the pause burning CPU",
		},
		{
			Name: "thinktime_blocks", Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.Thinktime.Blocks = int(max(v, 1)) }},
			Group: GroupTime, Default: "1", Help: "I/Os between two pauses",
		},
		{
			Name: "thinktime_blocks_type", Kind: enum{words: words("complete", "issue"), set: func(d *draft, w, _ string) error { d.Thinktime.Type = w; return nil }},
			Group: GroupTime, Default: "complete", Help: "whether thinktime_blocks counts I/Os completed or issued",
		},
		{
			Name: "thinktime_iotime", Kind: duration{bare: time.Second, set: func(d *draft, v time.Duration) { d.Thinktime.IOTime = v }},
			Group: GroupTime, Default: "0", Help: "do I/O this long between two pauses",
		},
		{
			Name: "thinkcycles", Kind: integer{max: maxInt}, Group: GroupTime, Default: "0",
			Help: "CPU cycles to burn after each I/O", Effect: Refused, Why: "cycles have no fixed length; use thinktime_spin",
		},
		{
			Name: "clocksource", Kind: enum{words: words("gettimeofday", "clock_gettime", "cpu")}, Group: GroupTime,
			Help: "the clock that times I/Os", Effect: Ignored, Why: "blkmeter reads the monotonic clock, which the kernel derives from the same counter",
		},
		{
			Name: "gtod_cpu", Kind: integer{max: maxInt}, Group: GroupTime, Help: "a CPU that does nothing but read the clock",
			Effect: Ignored, Why: "workers read the clock themselves, once per batch",
		},
		{
			Name: "job_start_clock_id", Kind: integer{max: 16, set: func(d *draft, v int64) { d.StartClock = int(v) }}, Group: GroupTime, Default: "0",
			Help: "number of the clock (clock_gettime) that fio's JSON gives the job's start in; 0: time since 1970",
		},
	}
}
