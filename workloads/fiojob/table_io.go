package fiojob

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/workloads"
)

func ioOptions() []Option {
	return []Option{
		{
			Name: "rw", Aliases: []string{"readwrite"}, Kind: enum{words: rwWords(), suffix: "N", set: setRW},
			Group: GroupIO, Default: "read",
			Help:    "what I/O to do; :N is I/Os per random offset, or bytes skipped after each sequential I/O",
			Differs: "with :N, random kinds still do each block once, unless norandommap is given; fio does some twice and some never; with bytes skipped, a region is gone through again until size is transferred, which fio does only where the region ends with the file; a negative N begins at the last block, in fio at the first one",
		},
		{
			Name: "rw_sequencer", Kind: enum{words: words("sequential", "identical"), set: func(d *draft, w, _ string) error { d.Sequencer = w; return nil }},
			Group: GroupIO, Default: "sequential", Help: "whether the N I/Os of rw=rand..:N follow or repeat each other",
		},
		{
			Name: "rwmixread", Kind: integer{max: 100, unit: "PERCENT", set: func(d *draft, v int64) { d.MixReadPercent = int(v) }},
			Group: GroupIO, Default: "50", Help: "share of reads in a mixed job",
		},
		{
			Name: "rwmixwrite", Kind: integer{max: 100, unit: "PERCENT", set: func(d *draft, v int64) { d.MixReadPercent = 100 - int(v) }},
			Group: GroupIO, Default: "50", Help: "share of writes; the later of this and rwmixread wins",
		},
		{
			Name: "norandommap", Kind: flag{set: func(d *draft, v bool) { d.NoRandomMap = v }}, Group: GroupIO,
			Help:    "draw random offsets without remembering which blocks were done",
			Differs: "where size is no multiple of the block, fio does one block more",
		},
		{
			Name: "softrandommap", Kind: boolean{}, Group: GroupIO, Default: "0",
			Help:   "go on without the map when there is no memory for it",
			Effect: Ignored, Why: "the map of a job takes next to no memory",
		},
		{
			Name: "random_generator", Kind: enum{words: words("tausworthe", "lfsr", "tausworthe64"), set: func(d *draft, w, _ string) error { d.RandomGenerator = w; return nil }},
			Group: GroupIO, Default: "tausworthe", Help: "how random offsets are drawn",
			Differs: "the sequences differ from fio's; coverage, distribution and repeatability do not",
		},
		{
			Name: "random_distribution", Kind: enum{
				words:  words("random", "zipf", "pareto", "normal", "gauss=normal", "zoned", "zoned_abs", "sequence"),
				suffix: "PARAM", set: setDistribution,
			},
			Group: GroupIO, Default: "random", Help: "how random offsets are distributed",
		},
		{
			Name: "percentage_random", Kind: perDirection{max: 100, unit: "PERCENT", set: func(d *draft, dir workloads.Direction, v int64) { d.PercentageRandom[dir] = int(v) }},
			Group: GroupIO, Default: "100", Help: "share of a random job's offsets that is random; the others follow the last",
		},
		{
			Name: "randrepeat", Aliases: []string{"allrandrepeat"}, Kind: boolean{set: func(d *draft, v bool) { d.RandRepeat = v }},
			Group: GroupIO, Default: "1", Help: "draw the same random numbers in every run",
		},
		{
			Name: "randseed", Kind: text{form: "N", set: setSeed}, Group: GroupIO, Default: "0x89", Help: "seed of the random numbers",
		},
		{
			Name: "random_sequence_stride", Kind: boolean{set: func(d *draft, v bool) { d.SequenceStride = v }}, Group: GroupIO, Default: "0", Help: "spread random_distribution=sequence by strides",
		},
		{
			Name: "sprandom", Kind: boolean{}, Group: GroupIO, Default: "0", Help: "precondition a drive with fio's sprandom method",
			Effect: Refused, Why: "blkmeter does not have this method",
		},
		{
			Name: "fsync", Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.FsyncEvery = int(v) }},
			Group: GroupIO, Default: "0", Help: "fsync after every N writes; 0: never",
			Differs: "in a mix, fio syncs again after each read until the next write; behind the job's last write it does not",
		},
		{
			Name: "fdatasync", Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.FdatasyncEvery = int(v) }},
			Group: GroupIO, Default: "0", Help: "fdatasync after every N writes; 0: never",
		},
		{
			Name: "end_fsync", Kind: boolean{set: func(d *draft, v bool) { d.EndFsync = v }},
			Group: GroupIO, Default: "0", Help: "fsync when a job that writes ends",
		},
		{
			Name: "fsync_on_close", Kind: boolean{set: func(d *draft, v bool) { d.FsyncOnClose = v }},
			Group: GroupIO, Default: "0", Help: "fsync when a file is closed",
		},
		{
			Name: "end_syncfs", Kind: boolean{set: func(d *draft, v bool) { d.EndSyncFS = v }},
			Group: GroupIO, Default: "0", Help: "syncfs when a job that writes ends",
		},
		{
			Name: "sync_file_range", Kind: text{form: "FLAG[,FLAG...]:N", set: setSyncRange}, Group: GroupIO,
			Help: "sync_file_range after every N writes, on what they wrote: wait_before, write, wait_after; it makes nothing durable",
		},
		{
			Name: "write_barrier", Kind: integer{max: maxInt}, Group: GroupIO, Default: "0", Help: "make every Nth write a barrier",
			Effect: Refused, Why: "Linux has had no write barriers since 2.6.37",
		},
		{
			Name: "sync", Kind: enum{words: words("none", "0=none", "sync", "1=sync", "dsync"), set: setSync},
			Group: GroupIO, Default: "none", Help: "open the target with O_SYNC or O_DSYNC",
		},
		{
			Name: "write_hint", Kind: enum{
				words: words("none", "short", "medium", "long", "extreme"),
				set:   func(d *draft, w, _ string) error { d.WriteHint = w; return nil },
			},
			Group: GroupIO, Help: "tell the kernel how long written data will live",
			Differs: "the kernel is told what it was told before when the job's stage has ended",
		},
		{
			Name: "unified_rw_reporting", Kind: enum{words: words("none", "0=none", "mixed", "1=mixed", "both", "2=both"), set: func(d *draft, w, _ string) error { d.Stats.Unified = w; return nil }},
			Group: GroupStats, Default: "none", Help: "report reads, writes and trims as one",
		},
		{
			Name: "continue_on_error", Kind: enum{words: words("none", "0=none", "read", "write", "io", "verify", "all", "1=all"), set: func(d *draft, w, _ string) error { d.ContinueOnError = w; return nil }},
			Group: GroupIO, Default: "none", Help: "which failed I/Os do not end the job",
			Differs: "a mismatch of verify ends in exit status 4 in any case",
		},
		{
			Name: "ignore_error", Kind: text{form: "ERR[:ERR...],...", set: setIgnoreError}, Group: GroupIO,
			Help: "error numbers or names that do not end the job: for reads, writes and verification",
		},
		{
			Name: "error_dump", Kind: boolean{}, Group: GroupIO, Default: "0",
			Help:   "print each error that is ignored",
			Effect: Ignored, Why: "the Result counts failed I/Os and tells the first error",
		},
	}
}

func rwWords() []Word {
	list := make([]Word, 0, 11)
	for _, n := range workloads.RWNames() {
		w := Word{Name: n}
		if n == "readwrite" {
			w.Means = "rw"
		}
		list = append(list, w)
	}
	return list
}

func setRW(d *draft, word, suffix string) error {
	rw, ok := workloads.ParseRW(word)
	if !ok {
		return fmt.Errorf("%q is no kind of I/O", word)
	}
	d.RW, d.RWRun, d.RWSkipBytes = rw, 1, 0
	if suffix == "" {
		return nil
	}
	q, err := units.ParseQuantity(suffix, d.kbBase)
	if err != nil {
		return fmt.Errorf("%q after the colon: %w", suffix, err)
	}
	switch {
	case !rw.Random():
		d.RWSkipBytes = q.Value
	case q.Value < 1 || q.Value > maxInt:
		return fmt.Errorf("%q after the colon is not a number of I/Os", suffix)
	default:
		d.RWRun = int(q.Value)
	}
	return nil
}

// setDistribution stores the distribution with its parameters spelled out, after checking their ranges.
func setDistribution(d *draft, word, suffix string) error {
	each := [workloads.Directions]string{word, word, word}
	switch word {
	case "zipf", "pareto", "normal":
		fallback := map[string]string{"zipf": "1.1", "pareto": "0.2", "normal": "0"}[word]
		if suffix == "" {
			suffix = fallback
		}
		value, center, centered := strings.Cut(suffix, ":")
		v, err := parseFloat(value)
		switch {
		case err != nil:
			return err
		case word == "zipf" && (v <= 0 || v == 1):
			return errors.New("zipf's theta must be above 0 and not 1")
		case word == "pareto" && (v <= 0 || v >= 1):
			return errors.New("pareto's h must be between 0 and 1")
		case word == "normal" && (v < 0 || v > 100):
			return errors.New("normal's deviation must be from 0 to 100 percent")
		}
		if centered {
			if c, err := parseFloat(center); err != nil || c < 0 || c > 1 {
				return fmt.Errorf("the center %q is not between 0 and 1", center)
			}
		}
		for i := range each {
			each[i] = word + ":" + suffix
		}
	case "zoned", "zoned_abs", "sequence":
		if suffix == "" {
			return fmt.Errorf("%s needs its parameters after a colon", word)
		}
		parts := strings.Split(suffix, ",")
		if len(parts) > workloads.Directions {
			return errors.New("it takes at most three lists, for reads, writes and trims")
		}
		for i := range each {
			each[i] = word + ":" + parts[min(i, len(parts)-1)]
		}
	}
	d.Distribution = each
	return nil
}

func setSeed(d *draft, v string) error {
	base := 10
	digits := v
	if h, ok := strings.CutPrefix(strings.ToLower(v), "0x"); ok {
		base, digits = 16, h
	}
	seed, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return fmt.Errorf("%q is not a seed from 0 to 2^64-1", v)
	}
	d.RandSeed, d.RandSeedSet = seed, true
	return nil
}

func setSync(d *draft, word, _ string) error {
	d.SyncMode = word
	if word == "none" {
		d.SyncMode = ""
	}
	return nil
}

func setSyncRange(d *draft, v string) error {
	flags, every, ok := strings.Cut(v, ":")
	q, err := units.ParseQuantity(every, d.kbBase)
	if !ok || err != nil || q.Value < 1 || q.Value > maxInt || q.Percent {
		return errors.New("a number of writes must follow the flags, as in write:8")
	}
	r := workloads.SyncRange{Every: int(q.Value)}
	for flag := range strings.SplitSeq(flags, ",") {
		switch flag {
		case "wait_before":
			r.WaitBefore = true
		case "write":
			r.Write = true
		case "wait_after":
			r.WaitAfter = true
		default:
			return fmt.Errorf("%q is none of wait_before, write, wait_after", flag)
		}
	}
	d.SyncRange = r
	return nil
}

func setIgnoreError(d *draft, v string) error {
	parts := strings.Split(v, ",")
	if len(parts) > workloads.Directions {
		return errors.New("it takes at most three lists, for reads, writes and verification")
	}
	d.IgnoreError = [workloads.Directions][]string{}
	for i, part := range parts {
		for e := range strings.SplitSeq(part, ":") {
			if e == "" {
				continue
			}
			if n, err := strconv.ParseUint(e, 10, 12); (err != nil || n == 0) && e[0] != 'E' {
				return fmt.Errorf("%q is neither an error's number nor its name", e)
			}
			d.IgnoreError[i] = append(d.IgnoreError[i], e)
		}
	}
	return nil
}

func blockOptions() []Option {
	return []Option{
		{
			Name: "bs", Aliases: []string{"blocksize"}, Kind: perDirection{min: 1, max: MaxBlockBytes, unit: "BYTES", set: func(d *draft, dir workloads.Direction, v int64) { d.bs[dir] = uint32(v) }},
			Group: GroupBlock, Default: "4096", Help: "block size, for reads, writes and trims",
		},
		{
			Name: "bsrange", Aliases: []string{"blocksize_range"}, Kind: sizeRanges{set: func(d *draft, dir workloads.Direction, r workloads.SizeRange) { d.bsRange[dir] = r }},
			Group: GroupBlock, Help: "draw block sizes from a range, in multiples of its lower end",
			Differs: "an upper end that is no multiple of the lower one is not used itself, as it is by fio",
		},
		{
			Name: "bssplit", Kind: text{form: "BYTES/PCT[:BYTES/PCT...]", set: setSplit}, Group: GroupBlock,
			Help: "block sizes and their shares; sizes without a share get equal parts of the rest",
		},
		{
			Name: "bs_unaligned", Aliases: []string{"blocksize_unaligned"}, Kind: flag{set: func(d *draft, v bool) { d.BSUnaligned = v }},
			Group: GroupBlock, Help: "sizes of a bsrange need not be multiples of its lower end",
		},
		{
			Name: "bs_is_seq_rand", Kind: boolean{set: func(d *draft, v bool) { d.BSIsSeqRand = v }}, Group: GroupBlock, Default: "0",
			Help: "take the read and write sizes for sequential and random I/O",
		},
		{
			Name: "ba", Aliases: []string{"blockalign"}, Kind: perDirection{min: 1, max: MaxBlockBytes, unit: "BYTES", set: func(d *draft, dir workloads.Direction, v int64) { d.BlockAlign[dir] = uint32(v) }},
			Group: GroupBlock, Help: "random offsets are multiples of this instead of the smallest block size",
		},
	}
}

// setSplit reads bssplit: up to three comma-separated lists for reads, writes and trims; a missing list is
// the one before it.
func setSplit(d *draft, v string) error {
	parts := strings.Split(v, ",")
	if len(parts) > workloads.Directions {
		return errors.New("it takes at most three lists, for reads, writes and trims")
	}
	for i := range d.BSSplit {
		if i < len(parts) && parts[i] != "" {
			split, err := parseSplit(parts[i], d.kbBase)
			if err != nil {
				return err
			}
			d.BSSplit[i] = split
		} else if i > 0 {
			d.BSSplit[i] = d.BSSplit[i-1]
		}
	}
	return nil
}

const maxSplits = 64 // as in fio

// parseSplit reads a list of sizes and shares. As in fio, shares beyond 100 percent are cut, and what is
// missing at the end goes to the last size.
func parseSplit(list string, kbBase int) ([]workloads.Split, error) {
	var split []workloads.Split
	sum, total, open := 0, 0, 0 // shares as written, as far as 100 percent, sizes without a share
	for entry := range strings.SplitSeq(list, ":") {
		if entry == "" {
			break
		}
		size, share, _ := strings.Cut(entry, "/")
		q, err := units.ParseQuantity(size, kbBase)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", size, err)
		}
		if err := inRange(q, 1, MaxBlockBytes, size); err != nil {
			return nil, err
		}
		percent := 0
		if share != "" {
			p, err := units.ParseQuantity(share, kbBase)
			if err != nil || p.Value < 0 {
				return nil, fmt.Errorf("%q is not a percentage", share)
			}
			percent = int(min(p.Value, 100))
		}
		if percent == 0 {
			open++
		}
		sum += percent
		percent = min(percent, 100-total)
		total += percent
		split = append(split, workloads.Split{Bytes: uint32(q.Value), Percent: float64(percent)})
	}
	switch {
	case len(split) == 0:
		return nil, errors.New("it names no block size")
	case len(split) > maxSplits:
		return nil, fmt.Errorf("it names %d block sizes, more than %d", len(split), maxSplits)
	case open > 0 && sum >= 100:
		return nil, fmt.Errorf("the shares add up to %d percent and leave nothing for sizes without a share", sum)
	}
	rest := float64(100 - total)
	if open == 0 {
		split[len(split)-1].Percent += rest
		return split, nil
	}
	for i := range split {
		if split[i].Percent == 0 {
			split[i].Percent = rest / float64(open)
		}
	}
	return split, nil
}

func rateOptions() []Option {
	perS := func(unit string, set func(*draft) *[workloads.Directions]uint64) perDirection {
		return perDirection{max: maxInt64, unit: unit, set: func(d *draft, dir workloads.Direction, v int64) { set(d)[dir] = uint64(v) }}
	}
	return []Option{
		{
			Name: "rate", Kind: perS("BYTES/S", func(d *draft) *[3]uint64 { return &d.RateBytes }), Group: GroupRate,
			Help: "bandwidth to hold, for reads, writes and trims",
		},
		{
			Name: "rate_iops", Kind: perS("IOPS", func(d *draft) *[3]uint64 { return &d.RateIOPS }), Group: GroupRate,
			Help: "I/Os per second to hold, for reads, writes and trims",
		},
		{
			Name: "rate_min", Aliases: []string{"ratemin"}, Kind: perS("BYTES/S", func(d *draft) *[3]uint64 { return &d.RateMin }),
			Group: GroupRate, Help: "fail the job when its bandwidth stays below this for rate_cycle",
		},
		{
			Name: "rate_iops_min", Kind: perS("IOPS", func(d *draft) *[3]uint64 { return &d.RateIOPSMin }), Group: GroupRate,
			Help: "fail the job when its IOPS stay below this for rate_cycle",
		},
		{
			Name: "rate_process", Kind: enum{words: words("linear", "poisson"), set: func(d *draft, w, _ string) error { d.RateProcess = w; return nil }},
			Group: GroupRate, Default: "linear", Help: "gaps between paced I/Os: equal, or exponentially distributed",
			Differs: "arrivals keep their intended time when the device or the tool is late",
		},
		{
			Name: "rate_cycle", Aliases: []string{"ratecycle"}, Kind: integer{min: 1, max: maxInt, unit: "MSEC", set: func(d *draft, v int64) { d.RateCycle = time.Duration(v) * time.Millisecond }},
			Group: GroupRate, Default: "1000", Help: "time over which rate_min and rate_iops_min are judged",
		},
		{
			Name: "rate_ignore_thinktime", Kind: boolean{set: func(d *draft, v bool) { d.RateIgnoreThinktime = v }}, Group: GroupRate, Default: "0",
			Help: "do not make up for pauses of thinktime",
		},
		{
			Name: "latency_target", Kind: duration{bare: time.Microsecond, set: func(d *draft, v time.Duration) { d.LatencyTarget.Limit = v }},
			Group: GroupRate, Help: "search the highest queue depth up to iodepth that keeps this latency",
			Differs: "the queue drains before each change of the depth; when runtime leaves time for only one more window, that is at the highest depth that kept the latency; a latency that depth 1 cannot keep fails the job whatever latency_percentile is, and so does a search that had not ended when the job did (exit 6)",
		},
		{
			Name: "latency_window", Kind: duration{bare: time.Microsecond, set: func(d *draft, v time.Duration) { d.LatencyTarget.Window = v }},
			Group: GroupRate, Help: "how long each depth of the search is tried",
			Differs: "latency_target needs it: without one fio's search ends with the first I/O",
		},
		{
			Name: "latency_percentile", Kind: floats{limit: 1, low: 0, high: 100, set: func(d *draft, v []float64) { d.LatencyTarget.Percentile = v[0] }},
			Group: GroupRate, Default: "100", Help: "share of I/Os that must keep latency_target",
		},
		{
			Name: "latency_run", Kind: boolean{set: func(d *draft, v bool) { d.LatencyTarget.Run = v }}, Group: GroupRate, Default: "0",
			Help: "keep adjusting the depth instead of ending when it is found",
		},
		{
			Name: "max_latency", Kind: perDirection{max: maxInt64, unit: "USEC", duration: true, set: func(d *draft, dir workloads.Direction, v int64) { d.MaxLatency[dir] = time.Duration(v) }},
			Group: GroupRate, Help: "fail the job when an I/O takes longer",
		},
		{
			Name: "flow", Kind: integer{max: 1000, set: func(d *draft, v int64) { d.Flow.Weight = int(v) }}, Group: GroupRate, Default: "0",
			Help:    "weight of each clone among those with its flow_id, which shares their I/Os out by weight; 0: takes no part",
			Differs: "a clone that begins later has no arrears to make up; one may be ahead of its share by 4 I/Os",
		},
		{
			Name: "flow_id", Kind: integer{max: maxInt, set: func(d *draft, v int64) { d.Flow.ID = int(v) }}, Group: GroupRate, Default: "0",
			Help: "which jobs are balanced against each other by flow",
		},
		{
			Name: "flow_sleep", Kind: integer{max: maxInt, unit: "USEC", set: func(d *draft, v int64) { d.Flow.Sleep = time.Duration(v) * time.Microsecond }},
			Group: GroupRate, Default: "0", Help: "how long a clone that is ahead of its flow waits; 0: 50 us at a time",
			Differs: "I/Os in flight are reaped meanwhile",
		},
		{
			Name: "steadystate", Aliases: []string{"ss"}, Kind: text{form: "METRIC:LIMIT[%]", set: setSteadyState}, Group: GroupRate,
			Default: "iops_slope:0.01%", Help: "the criterion of steady state: iops, bw or lat, or the slope of one",
		},
		{
			Name: "steadystate_duration", Aliases: []string{"ss_dur"}, Kind: duration{bare: time.Second, set: func(d *draft, v time.Duration) { d.SteadyState.Duration = v }},
			Group: GroupRate, Default: "0", Help: "end the job when the criterion has held this long; 0: do not look",
		},
		{
			Name: "steadystate_ramp_time", Aliases: []string{"ss_ramp"}, Kind: duration{bare: time.Second, set: func(d *draft, v time.Duration) { d.SteadyState.Ramp = v }},
			Group: GroupRate, Default: "0", Help: "do not look before this time",
		},
		{
			Name: "steadystate_check_interval", Aliases: []string{"ss_interval"}, Kind: duration{bare: time.Second, set: func(d *draft, v time.Duration) { d.SteadyState.Interval = v }},
			Group: GroupRate, Default: "1", Help: "time between two looks",
		},
	}
}

func setSteadyState(d *draft, v string) error {
	metric, limit, ok := strings.Cut(v, ":")
	switch metric {
	case "iops", "iops_slope", "bw", "bw_slope", "lat", "lat_slope":
	default:
		return fmt.Errorf("%q is none of iops, iops_slope, bw, bw_slope, lat, lat_slope", metric)
	}
	if !ok {
		return errors.New("a limit must follow the metric, as in iops_slope:0.3%")
	}
	number, percent := strings.CutSuffix(limit, "%")
	n, err := parseFloat(number)
	if err != nil || n < 0 {
		return fmt.Errorf("the limit %q is not a number", limit)
	}
	d.SteadyState.Metric, d.SteadyState.Limit, d.SteadyState.Percent = metric, n, percent
	return nil
}
