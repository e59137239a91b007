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

	// OpSyncRange is sync_file_range of what was written to File since the last: Length 0 is up to its end.
	OpSyncRange
)

// IO is one I/O to do.
type IO struct {
	Offset int64  // bytes from the start of the file
	Length uint32 // bytes
	File   uint16 // index into Config.Files
	Op     uint8  // OpRead..OpSyncRange
	Flags  uint8  // AfterPrevious, LastInFile
}

// The flags of an I/O.
const (
	// AfterPrevious marks an I/O that covers the bytes of the one before it and has to wait until that one
	// has completed: the write of a trimwrite job.
	AfterPrevious uint8 = 1 << iota
	// LastInFile marks the I/O after which its file, one of several, is done with in this pass.
	LastInFile
)

// Source yields the I/Os of one clone of a job, in order. Next fills ios from the front and returns how
// many it filled; fewer than len(ios), 0 included, means that the work is done. It does not allocate. A
// Source belongs to one goroutine.
type Source interface {
	Next(ios []IO) int
}

// File is the region of one target that a clone works on: the bytes from Low, a multiple of Config.Align,
// up to High. What is left at its end after the last whole block is not touched, as with fio.
type File struct{ Low, High int64 }

// Config is what a Source is made from.
type Config struct {
	// Directed leaves the direction of each I/O to the caller, who sets its Op to OpRead or OpWrite before
	// calling Next: a mixed job that is paced per direction does what is due. A sync is put in between, so
	// that the n-th read or write which Next returns answers the n-th Op asked for. When the random map has
	// nothing left for a direction in this pass, the other one comes instead.
	Directed bool

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
	g, err := newGeneral(&c)
	if err != nil {
		return nil, err
	}
	src := g.specialise()
	if src == nil {
		src = g
	}
	if c.Job.RW == workloads.RWTrimWrite || c.Job.RW == workloads.RWRandTrimWrite {
		src = newTrimWriter(src, c.Job)
	}
	if j := c.Job; j.FsyncEvery > 0 || j.FdatasyncEvery > 0 || j.SyncRange.Every > 0 {
		src = &syncer{src: src, fsyncEvery: j.FsyncEvery, fdatasyncEvery: j.FdatasyncEvery, rangeEvery: j.SyncRange.Every}
	}
	return src, nil
}

func check(c *Config) error {
	if len(c.Files) == 0 || len(c.Files) > math.MaxUint16+1 {
		return fault.Usage("FILES", "a clone works on 1 to 65536 files", "job %s has %d files", c.Job.Name, len(c.Files))
	}
	if c.Align == 0 {
		c.Align = 1
	}
	for i, f := range c.Files {
		if f.Low < 0 || f.High < f.Low || f.Low%int64(c.Align) != 0 {
			return fault.Usage("REGION", "give offset as a multiple of the logical block size",
				"job %s: the region %d..%d of file %d cannot be used in blocks of %d", c.Job.Name, f.Low, f.High, i, c.Align)
		}
	}
	return nil
}

// saturatingMul returns a*b, or unlimited when that is more; neither is negative.
func saturatingMul(a, b int64) int64 {
	if a != 0 && b > unlimited/a {
		return unlimited
	}
	return a * b
}
