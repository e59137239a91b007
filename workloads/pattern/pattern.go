// Package pattern decides what each I/O of a job is: its direction, offset, size and file. It knows
// nothing of devices and time; the same configuration always yields the same sequence.
//
// A [Source] is called once per batch. Behind it stands one concrete type for each common combination
// (sequential, random, random with the map, at a fixed block size) and a general one for all the rest,
// so that no I/O pays for an option that its job does not use.
package pattern

import (
	"math"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// The values of [IO.Op]. They equal those of engine.Op, so that an IO becomes a request by copying.
const (
	OpRead uint8 = iota
	OpWrite
	OpTrim
	OpSync     // fsync of File; Offset and Length are 0
	OpDatasync // fdatasync of File; Offset and Length are 0
)

// IO is one I/O to do.
type IO struct {
	Offset int64  // bytes from the start of the file
	Length uint32 // bytes
	File   uint16 // index into Config.Files
	Op     uint8  // OpRead..OpDatasync
	Flags  uint8  // AfterPrevious or 0
}

// AfterPrevious marks an I/O that covers the bytes of the one before it and has to wait until that one
// has completed: the write of a trimwrite job.
const AfterPrevious uint8 = 1

// Source yields the I/Os of one clone of a job, in order. Next fills ios from the front and returns how
// many it filled; fewer than len(ios), 0 included, means that the work is done. It does not allocate. A
// Source belongs to one goroutine.
type Source interface {
	Next(ios []IO) int
}

// File is the region of one target that a clone works on: the bytes from Low up to High, both multiples
// of Config.Align.
type File struct{ Low, High int64 }

// Config is what a Source is made from.
type Config struct {
	Job   *workloads.Job
	Files []File // the clone's targets, 1..65536, in the order of IO.File
	Clone int    // the clone's number within its job: clones draw different sequences
	Seed  uint64 // the run's seed: equal seeds give equal sequences
	Align uint32 // bytes; every offset is a multiple of it: the logical block of the targets, 1 if anything goes
}

// unlimited stands for "until the runtime is over" wherever I/Os or bytes are counted down.
const unlimited = math.MaxInt64

// New returns the Source of one clone. Its errors are usage faults that name the option at fault.
func New(c Config) (Source, error) {
	if err := check(&c); err != nil {
		return nil, err
	}
	src, err := choose(&c)
	if err != nil {
		return nil, err
	}
	if c.Job.FsyncEvery > 0 || c.Job.FdatasyncEvery > 0 {
		src = &syncer{src: src, fsyncEvery: c.Job.FsyncEvery, fdatasyncEvery: c.Job.FdatasyncEvery}
	}
	return src, nil
}

func check(c *Config) error {
	j := c.Job
	if len(c.Files) == 0 || len(c.Files) > math.MaxUint16+1 {
		return fault.Usage("FILES", "a clone works on 1 to 65536 files", "job %s has %d files", j.Name, len(c.Files))
	}
	if c.Align == 0 {
		c.Align = 1
	}
	for d := workloads.Read; d < workloads.Directions; d++ {
		if !j.RW.Does(d) {
			continue
		}
		bs := j.BS[d]
		if bs.Min == 0 || bs.Max < bs.Min {
			return fault.Usage("BS", "give a size like 4k or a range like 4k-16k", "job %s: %s block size %d-%d is none", j.Name, d, bs.Min, bs.Max)
		}
		if bs.Min%c.Align != 0 {
			return fault.Usage("BS_ALIGNMENT", "use a multiple of the logical block size",
				"job %s: %s block size %d is not a multiple of the target's %d", j.Name, d, bs.Min, c.Align)
		}
	}
	return nil
}

// choose picks the fastest type that does what the job asks for.
func choose(c *Config) (Source, error) {
	bs, ok := fixedSize(c)
	if !ok || len(c.Files) != 1 {
		return nil, fault.Usage("PATTERN", "use one file and one block size", "job %s: this pattern is not known", c.Job.Name)
	}
	blocks := uint64(c.Files[0].High-c.Files[0].Low) / uint64(bs)
	if blocks == 0 {
		return nil, fault.Usage("REGION_TOO_SMALL", "raise size or lower bs",
			"job %s: a region of %d bytes holds no block of %d", c.Job.Name, c.Files[0].High-c.Files[0].Low, bs)
	}
	f := fixed{low: c.Files[0].Low, bs: bs, blocks: blocks, left: ioLimit(c, bs, blocks)}
	f.setMix(c.Job)
	seed := newWyrand(c.Seed, uint64(c.Clone))
	switch {
	case !c.Job.RW.Random() && f.first == f.second:
		return &sequential{fixed: f}, nil
	case !c.Job.RW.Random():
		return &sequentialMix{fixed: f, rng: seed}, nil
	case c.Job.NoRandomMap:
		return &random{fixed: f, rng: seed}, nil
	default:
		return newMapped(f, seed), nil
	}
}

// fixedSize returns the block size when all of the job's directions have the same, fixed one.
func fixedSize(c *Config) (uint32, bool) {
	var bs uint32
	for d := workloads.Read; d < workloads.Directions; d++ {
		if !c.Job.RW.Does(d) {
			continue
		}
		if len(c.Job.BSSplit[d]) > 0 || c.Job.BS[d].Min != c.Job.BS[d].Max || bs != 0 && bs != c.Job.BS[d].Min {
			return 0, false
		}
		bs = c.Job.BS[d].Min
	}
	return bs, true
}

// ioLimit returns how many I/Os of bs bytes the job asks for: size or io_size, and number_ios, each
// times loops; unlimited for a time_based job without number_ios.
func ioLimit(c *Config, bs uint32, blocks uint64) int64 {
	j := c.Job
	limit := int64(unlimited)
	loops := int64(max(j.Loops, 1))
	if !j.TimeBased {
		perLoop := int64(blocks)
		if j.IOSize.Set {
			total := int64(0)
			for _, f := range c.Files {
				total += f.High - f.Low
			}
			perLoop = (j.IOSize.Of(total) + int64(bs) - 1) / int64(bs)
		}
		limit = saturatingMul(perLoop, loops)
	}
	if j.NumberIOs > 0 {
		limit = min(limit, saturatingMul(int64(min(j.NumberIOs, unlimited)), loops))
	}
	return limit
}

func saturatingMul(a, b int64) int64 {
	if a != 0 && b > unlimited/a {
		return unlimited
	}
	return a * b
}
