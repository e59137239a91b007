package pattern

import (
	"math"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// general does everything that the faster sources leave out. It decides one I/O at a time: which
// direction, which file, whether at random, how long, where.
type general struct {
	mix
	rng       wyrand
	left      int64 // I/Os
	bytesLeft int64
	directed  bool // the caller chooses the direction

	random     bool // an rw kind with random offsets
	randomUpTo [workloads.Directions]uint64
	mapped     [workloads.Directions]bool // random offsets come up once per pass
	run        int                        // I/Os per random offset
	identical  bool                       // .. all at that offset
	skip       int64                      // bytes skipped after each sequential I/O
	seqRand    bool                       // bs_is_seq_rand
	sizes      [workloads.Directions]sizes
	zone       workloads.Zones
	room       uint32 // bytes that hold an I/O of every direction
	unit       uint32 // bytes that divide every length

	files   []fileState
	chooser chooser
}

// fileState is how far a clone is with one file.
type fileState struct {
	File
	from, to int64 // where I/O falls now: the whole file, or one zone of it
	work     int64 // bytes that make up a pass
	done     int64 // bytes of that
	zoneDone int64
	at       [workloads.Directions]int64 // where each direction goes on sequentially
	run      run

	// Random offsets, as far as the job needs them.
	order   permutation // the map at a fixed size: over blocks of order's unit
	next    uint64
	count   uint64
	extents extents // the map at varying sizes
	pieces  [workloads.Directions]*pieces
	skew    [workloads.Directions]*distribution
}

// run is a row of I/Os that began at a random offset.
type run struct {
	left       int   // I/Os still to come
	at, to     int64 // where it goes on, and where it must end
	lastOffset int64
	lastLength uint32
}

func newGeneral(c *Config) (*general, error) {
	j := c.Job
	g := &general{
		mix: newMix(j, c.Directed), rng: newWyrand(c.Seed, uint64(c.Clone)), directed: c.Directed,
		random: j.RW.Random(), run: 1, identical: j.Sequencer == "identical", seqRand: j.BSIsSeqRand,
	}
	if g.random {
		g.run = max(j.RWRun, 1)
	} else {
		g.skip = j.RWSkipBytes
	}
	if g.skip%int64(c.Align) != 0 {
		return nil, fault.Usage("RW_SKIP_ALIGNMENT", "skip a multiple of the logical block size; 4k is 4096, a bare 4 is 4 bytes",
			"job %s: rw=%s:%d would lead to offsets that are no multiple of the target's %d bytes", j.Name, j.RW, g.skip, c.Align)
	}
	if err := g.setSizes(c); err != nil {
		return nil, err
	}
	if err := g.setZone(c); err != nil {
		return nil, err
	}
	specs, err := g.setRandomness(j)
	if err != nil {
		return nil, err
	}
	total, err := g.setFiles(c, specs)
	if err != nil {
		return nil, err
	}
	if g.chooser, err = newChooser(j, len(g.files), &g.rng); err != nil {
		return nil, err
	}
	g.left, g.bytesLeft = limits(j, total)
	return g, nil
}

// limits returns how many I/Os and bytes a job asks for, given the bytes of one pass over its files:
// number_ios and io_size, each times loops; unlimited for a time_based job without number_ios.
func limits(j *workloads.Job, pass int64) (ios, bytes int64) {
	ios, bytes = unlimited, unlimited
	loops := int64(max(j.Loops, 1))
	if !j.TimeBased {
		bytes = saturatingMul(j.TransferBytes(pass), loops)
	}
	if j.NumberIOs > 0 {
		ios = saturatingMul(int64(min(j.NumberIOs, unlimited)), loops)
	}
	return ios, bytes
}

// class is the index of the sizes that an I/O takes its length from.
func (g *general) class(op uint8, random bool) uint8 {
	switch {
	case !g.seqRand:
		return op
	case random:
		return OpWrite
	default:
		return OpRead
	}
}

func (g *general) setSizes(c *Config) error {
	for d := workloads.Read; d < workloads.Directions; d++ {
		if !g.does(uint8(d)) && !(g.seqRand && d != workloads.Trim) {
			continue
		}
		s, err := newSizes(c.Job, d)
		if err != nil {
			return err
		}
		if u := s.unit(); u%c.Align != 0 {
			return fault.Usage("BS_ALIGNMENT", "use multiples of the logical block size",
				"job %s: the %s block sizes are multiples of %d bytes, the target takes multiples of %d", c.Job.Name, d, u, c.Align)
		}
		if s.align%c.Align != 0 {
			return fault.Usage("BLOCKALIGN", "use a multiple of the logical block size",
				"job %s: blockalign %d for %s is not a multiple of the target's %d", c.Job.Name, s.align, d, c.Align)
		}
		g.sizes[d] = s
	}
	return nil
}

func (g *general) setZone(c *Config) error {
	z := c.Job.Zones
	switch z.Mode {
	case "", "none":
		return nil
	case "strided":
	default:
		return fault.Usage("ZONEMODE", "write zonemode=strided or none", "job %s: zonemode %q is not supported", c.Job.Name, z.Mode)
	}
	if z.RangeBytes == 0 {
		z.RangeBytes = z.SizeBytes
	}
	if z.SizeBytes <= 0 || z.RangeBytes <= 0 || z.SkipBytes < 0 || z.RangeBytes%int64(c.Align) != 0 || z.SkipBytes%int64(c.Align) != 0 {
		return fault.Usage("ZONESIZE", "give zonesize, and zonerange and zoneskip as multiples of the logical block size",
			"job %s: zonesize %d, zonerange %d, zoneskip %d make no zones", c.Job.Name, z.SizeBytes, z.RangeBytes, z.SkipBytes)
	}
	g.zone = z
	return nil
}

// setRandomness decides for each direction where random offsets come from.
func (g *general) setRandomness(j *workloads.Job) (specs [workloads.Directions]spec, err error) {
	if !g.random {
		return specs, nil
	}
	for op := range g.sizes {
		if !g.does(uint8(op)) {
			continue
		}
		if specs[op], err = parseDistribution(j.Distribution[op]); err != nil {
			return specs, err
		}
		if specs[op].shape != uniform && g.zone.SizeBytes > 0 {
			return specs, fault.Usage("ZONEMODE", "leave one of them out",
				"job %s: zonemode=strided and random_distribution=%s do not go together", j.Name, j.Distribution[op])
		}
		g.randomUpTo[op] = fraction(float64(j.PercentageRandom[op]) / 100)
		s := &g.sizes[g.class(uint8(op), true)]
		// As with fio, blockalign and distributions turn the map off. So do lengths of any number of bytes,
		// and rows of I/Os of varying length. An LFSR is a map by its nature.
		g.mapped[op] = (!j.NoRandomMap || j.RandomGenerator == "lfsr") && specs[op].shape == uniform &&
			s.align == s.min && s.step != 1 && (g.run == 1 || !g.varying())
	}
	return specs, nil
}

// setFiles prepares every file and returns the bytes of one pass over all of them.
func (g *general) setFiles(c *Config, specs [workloads.Directions]spec) (total int64, err error) {
	g.files = make([]fileState, len(c.Files))
	g.room, g.unit = g.common()
	type key struct {
		distribution string
		n, unit      uint64
	}
	tables := map[key]*distribution{}
	for i := range g.files {
		f := &g.files[i]
		f.File = c.Files[i]
		f.work = whole(0, c.Job.ShareBytes(f.Low, f.High), g.unit)
		if f.work < int64(g.room) || g.zone.SizeBytes > 0 && g.zone.RangeBytes < int64(g.room) {
			return 0, fault.Usage("REGION_TOO_SMALL", "raise size (or zonerange) or lower bs",
				"job %s: a region of %d bytes holds no block of %d", c.Job.Name, f.High-f.Low, g.room)
		}
		total += f.work
		for op := range g.sizes {
			if !g.does(uint8(op)) || !g.random {
				continue
			}
			s := &g.sizes[g.class(uint8(op), true)]
			switch {
			case specs[op].shape != uniform:
				n := uint64((f.High - f.Low) / int64(s.align))
				if n == 0 {
					return 0, fault.Usage("REGION_TOO_SMALL", "raise size or lower blockalign",
						"job %s: a region of %d bytes holds no block of %d", c.Job.Name, f.High-f.Low, s.align)
				}
				// Files of one size share a table, and so do directions; but each has a sequence of its own.
				k := key{c.Job.Distribution[op], n, uint64(s.align)}
				if d, ok := tables[k]; ok && specs[op].shape != sequence {
					f.skew[op] = d
					continue
				}
				if f.skew[op], err = newDistribution(&specs[op], n, uint64(s.align), c.Job.SequenceStride, &g.rng); err != nil {
					return 0, err
				}
				tables[k] = f.skew[op]
			case g.mapped[op] && g.varying():
				f.extents.size = extentSize(g.sizes[:], g.unit)
				f.pieces[op] = g.sharedPieces(f, op)
				if f.pieces[op] == nil {
					f.pieces[op] = newPieces(&f.extents, s, len(g.files), g.shareOf(s))
				}
			}
		}
		g.enter(f, f.Low)
	}
	return total, nil
}

// common returns a length in which an I/O of every direction fits, and a length that divides all.
func (g *general) common() (room, unit uint32) {
	for d := range g.sizes {
		if s := &g.sizes[d]; s.count > 0 {
			room = max(room, s.min)
			unit = gcd(unit, s.unit())
		}
	}
	return room, unit
}

// varying says whether I/Os at random offsets differ in length.
func (g *general) varying() bool {
	first := &g.sizes[g.class(g.first, true)]
	second := &g.sizes[g.class(g.second, true)]
	return !first.fixed() || !second.fixed() || first.min != second.min
}

// sharedPieces returns the pool of another direction whose lengths are the same, so that direction and
// length stay independent of one another.
func (g *general) sharedPieces(f *fileState, op int) *pieces {
	for other := range op {
		p := f.pieces[other]
		if p != nil && p.sizes.same(&g.sizes[g.class(uint8(op), true)]) {
			return p
		}
	}
	return nil
}

// shareOf returns the share of the I/Os whose lengths are those.
func (g *general) shareOf(s *sizes) (share float64) {
	for op := range g.sizes {
		if g.does(uint8(op)) && s.same(&g.sizes[g.class(uint8(op), true)]) {
			share += g.share(uint8(op))
		}
	}
	return share
}

// extentSize returns the bytes of an extent: some of the largest I/Os, and a multiple of every direction's
// smallest where that is possible, so that the starts of each stay multiples of it.
func extentSize(all []sizes, unit uint32) int64 {
	largest, common := uint64(0), uint64(unit)
	for i := range all {
		if all[i].count > 0 {
			largest = max(largest, uint64(all[i].max))
			common = lcm(common, uint64(all[i].min))
		}
		if common == 0 || common > 1<<30 {
			common = uint64(unit)
		}
	}
	return int64((largest*extentPieces + common - 1) / common * common)
}

// whole returns how many bytes from..to holds in whole units. What is left over is never touched, as with
// fio.
func whole(from, to int64, unit uint32) int64 {
	return (to - from) / int64(unit) * int64(unit)
}

// enter lets I/O fall into the file's zone that begins at from, or into the whole file.
func (g *general) enter(f *fileState, from int64) {
	f.from, f.to = from, f.High
	if g.zone.SizeBytes > 0 {
		f.to = min(from+g.zone.RangeBytes, f.High)
	}
	f.zoneDone = 0
	f.run = run{}
	for op := range f.at {
		f.at[op] = from
		if s := &g.sizes[g.class(uint8(op), false)]; g.skip < 0 && s.count > 0 {
			f.at[op] = f.lastStart(s)
		}
	}
	g.restartMap(f)
}

// restartMap begins a new pass of the random map over where I/O falls.
func (g *general) restartMap(f *fileState) {
	for op := range g.mapped {
		if !g.mapped[op] {
			continue
		}
		s := &g.sizes[g.class(uint8(op), true)]
		if p := f.pieces[op]; p != nil {
			p.restart()
			f.extents.restart(f.from, f.from+whole(f.from, f.to, g.unit), &g.rng)
			continue
		}
		f.count = (uint64((f.to-f.from)/int64(s.min)) + g.chunk() - 1) / g.chunk()
		f.order = newPermutation(f.count, &g.rng)
		f.next = 0
	}
}

// chunk is how many blocks the map of a fixed size hands out at a time: the row that follows a random
// offset belongs to it.
func (g *general) chunk() uint64 {
	if g.identical {
		return 1
	}
	return uint64(g.run)
}

// lastStart returns the last multiple of the smallest length at which one of that length fits.
func (f *fileState) lastStart(s *sizes) int64 {
	return f.from + ((f.to-f.from)/int64(s.min)-1)*int64(s.min)
}

func (g *general) Next(ios []IO) int {
	for i := range ios {
		if g.left <= 0 || g.bytesLeft <= 0 {
			return i
		}
		op := ios[i].Op
		if !g.directed {
			op = g.op(g.rng.next())
		}
		index := 0
		if len(g.files) > 1 {
			index = g.chooser.next(&g.rng)
		}
		f := &g.files[index]
		offset, length, op := g.one(f, op)
		ios[i] = IO{Offset: offset, Length: length, File: uint16(index), Op: op}
		if g.account(f, int64(length)) {
			ios[i].Flags = LastInFile
		}
	}
	return len(ios)
}

// one decides an I/O on f. Its direction is op, unless the map has nothing left for that. (What is returned
// travels in registers; an IO would travel through memory, in stores too narrow for the load that follows.)
func (g *general) one(f *fileState, op uint8) (offset int64, length uint32, _ uint8) {
	if !g.random {
		offset, length = g.onward(f, op)
		return offset, length, op
	}
	if f.run.left > 0 {
		if offset, length = g.goOn(f, op); length > 0 {
			return offset, length, op
		}
	}
	if upTo := g.randomUpTo[op]; upTo != math.MaxUint64 && g.rng.next() >= upTo {
		offset, length = g.onward(f, op)
		return offset, length, op
	}
	offset, length, op = g.jump(f, op)
	f.at[op] = offset + int64(length)
	if g.run > 1 {
		f.run = run{left: g.run - 1, at: offset + int64(length), to: f.to, lastOffset: offset, lastLength: length}
		if g.mapped[op] { // the rest of what the map handed out
			f.run.to = min(offset+int64(g.chunk())*int64(length), f.to)
		}
	}
	return offset, length, op
}

// onward continues where the direction's last I/O ended, and starts again at the end of the region.
func (g *general) onward(f *fileState, op uint8) (offset int64, length uint32) {
	s := &g.sizes[g.class(op, false)]
	offset = f.at[op]
	if length = s.drawFitting(&g.rng, f.to-offset); length == 0 {
		offset = f.from
		length = s.drawFitting(&g.rng, f.to-offset)
	}
	next := offset + int64(length) + g.skip
	if g.skip < 0 && next < f.from {
		next = f.lastStart(s)
	}
	f.at[op] = next
	return offset, length
}

// goOn continues a row that began at a random offset; length is 0 when it has no room for another I/O.
func (g *general) goOn(f *fileState, op uint8) (offset int64, length uint32) {
	f.run.left--
	if g.identical {
		return f.run.lastOffset, f.run.lastLength
	}
	s := &g.sizes[g.class(op, true)]
	offset = f.run.at
	length = s.drawFitting(&g.rng, f.run.to-offset)
	f.run.at += int64(length)
	f.at[op] = f.run.at
	return offset, length
}

// jump decides an I/O at a random offset.
func (g *general) jump(f *fileState, op uint8) (offset int64, length uint32, _ uint8) {
	s := &g.sizes[g.class(op, true)]
	switch {
	case f.skew[op] != nil:
		length = s.drawFitting(&g.rng, f.to-f.from)
		offset = f.from + int64(f.skew[op].draw(&g.rng))*int64(s.align)
		if offset > f.to-int64(length) {
			offset = f.lastFit(s, length)
		}
		return offset, length, op
	case f.pieces[op] != nil:
		return g.takePiece(f, op)
	case g.mapped[op]:
		for {
			if f.next == f.order.size {
				g.restartMap(f)
			}
			block := f.order.at(f.next)
			f.next++
			if block < f.count {
				return f.from + int64(block)*int64(g.chunk())*int64(s.min), s.min, op
			}
		}
	default:
		length = s.drawFitting(&g.rng, f.to-f.from)
		start, _ := g.rng.below(uint64(f.to-f.from-int64(length))/uint64(s.align) + 1)
		return f.from + int64(start)*int64(s.align), length, op
	}
}

// takePiece takes an I/O from the map of varying sizes: for the direction asked for or, when the pass has
// nothing left for that, for another.
func (g *general) takePiece(f *fileState, op uint8) (offset int64, length uint32, _ uint8) {
	for {
		for i := range uint8(workloads.Directions) {
			o := (op + i) % workloads.Directions
			p := f.pieces[o]
			if p == nil {
				continue
			}
			if taken, ok := p.take(&g.rng); ok {
				if p == f.pieces[op] {
					o = op
				}
				return taken.offset, taken.length, o
			}
		}
		g.restartMap(f)
	}
}

// lastFit returns the last aligned offset at which length bytes fit.
func (f *fileState) lastFit(s *sizes, length uint32) int64 {
	return f.from + (f.to-f.from-int64(length))/int64(s.align)*int64(s.align)
}

// account counts an I/O of length bytes on f, and moves on to the next zone, file or pass. It says whether
// the file is done with in this pass.
func (g *general) account(f *fileState, length int64) bool {
	if g.left != unlimited {
		g.left--
	}
	if g.bytesLeft != unlimited {
		g.bytesLeft -= length
	}
	if g.zone.SizeBytes > 0 {
		if f.zoneDone += length; f.zoneDone >= g.zone.SizeBytes {
			next := f.from + g.zone.RangeBytes + g.zone.SkipBytes
			if f.High-next < int64(g.room) {
				next = f.Low
			}
			g.enter(f, next)
		}
	}
	if len(g.files) == 1 || g.chooser.kind == skewed && g.chooser.at == nil {
		return false
	}
	if f.done += length; f.done < f.work {
		return false
	}
	f.done = 0
	if g.chooser.finish(&g.rng) {
		g.chooser.reset(len(g.files), &g.rng)
	}
	return true
}
