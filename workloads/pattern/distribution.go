package pattern

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/internal/fault"
)

// shape is a kind of random_distribution.
type shape uint8

const (
	uniform  shape = iota // random
	zipfian               // zipf:theta[:centre]
	pareto                // pareto:h[:centre]
	normal                // normal:deviation[:centre]
	zoned                 // zoned:share/range:.., both in percent
	zonedAbs              // zoned_abs:share/bytes:..
	sequence              // sequence:block:..
)

// spec is a parsed random_distribution.
type spec struct {
	shape  shape
	param  float64 // theta, h, or the deviation in percent of the region
	centre float64 // where in the region, 0..1, the likeliest block is; negative: anywhere
	zones  []zoneSpec
	blocks []uint64
}

type zoneSpec struct{ share, extent float64 }

// parseDistribution reads fio's random_distribution for one direction. The empty string is "random".
func parseDistribution(text string) (spec, error) {
	name, args, hasArgs := strings.Cut(text, ":")
	s := spec{centre: -1}
	bad := func(want string) (spec, error) {
		return spec{}, fault.Usage("DISTRIBUTION", "write "+want, "random_distribution %q is not understood", text)
	}
	switch name {
	case "", "random":
		if hasArgs {
			return bad("random, without more")
		}
		return s, nil
	case "zipf":
		s.shape = zipfian
		if !s.parseParam(args) || s.param > 100 {
			return bad("zipf:THETA or zipf:THETA:CENTRE, as in zipf:1.2 or zipf:1.2:0.25; THETA is 0 to 100, CENTRE 0 to 1")
		}
	case "pareto":
		s.shape = pareto
		if !s.parseParam(args) || s.param <= 0 || s.param >= 1 {
			return bad("pareto:H or pareto:H:CENTRE, as in pareto:0.2; H is above 0 and below 1, CENTRE 0 to 1")
		}
	case "normal", "gauss":
		s.shape = normal
		if !s.parseParam(args) || s.param <= 0 || s.param > 100 {
			return bad("normal:DEVIATION or normal:DEVIATION:CENTRE; DEVIATION is percent of the region, CENTRE 0 to 1")
		}
		if s.centre < 0 {
			s.centre = 0.5
		}
	case "zoned", "zoned_abs":
		s.shape = zoned
		if name == "zoned_abs" {
			s.shape = zonedAbs
		}
		if !s.parseZones(args) {
			return bad(name + ":SHARE/EXTENT:.., as in zoned:60/10:30/20:10/70 or zoned_abs:60/20g:40/100g; shares add up to 100, zoned extents too")
		}
	case "sequence":
		s.shape = sequence
		for _, field := range strings.FieldsFunc(args, func(r rune) bool { return r == ':' || r == ',' }) {
			block, err := strconv.ParseUint(field, 10, 63)
			if err != nil {
				return bad("sequence:BLOCK:BLOCK:.., as in sequence:2:0:1")
			}
			s.blocks = append(s.blocks, block)
		}
		if len(s.blocks) == 0 {
			return bad("sequence:BLOCK:BLOCK:.., as in sequence:2:0:1")
		}
	default:
		return bad("random, zipf, pareto, normal, zoned, zoned_abs or sequence")
	}
	return s, nil
}

// parseParam reads "PARAM" or "PARAM:CENTRE".
func (s *spec) parseParam(args string) bool {
	param, centre, hasCentre := strings.Cut(args, ":")
	var err error
	if s.param, err = strconv.ParseFloat(param, 64); err != nil || !(s.param >= 0) {
		return false
	}
	if hasCentre {
		s.centre, err = strconv.ParseFloat(centre, 64)
		return err == nil && s.centre >= 0 && s.centre <= 1
	}
	return true
}

// maxZones is how many zones fio takes.
const maxZones = 256

// parseZones reads "SHARE/EXTENT:..". A share left out gets an equal part of what the others leave, and so
// does an extent in percent.
func (s *spec) parseZones(args string) bool {
	fields := strings.Split(args, ":")
	if args == "" || len(fields) > maxZones {
		return false
	}
	shares, extents, blank, open := 0.0, 0.0, 0, 0
	for _, field := range fields {
		share, extent, _ := strings.Cut(field, "/")
		z := zoneSpec{share: -1}
		var err error
		if share == "" {
			blank++
		} else if z.share, err = strconv.ParseFloat(share, 64); err != nil || !(z.share >= 0 && z.share <= 100) {
			return false
		}
		if extent == "" && s.shape == zoned {
			open++
		} else if z.extent, err = parseExtent(extent, s.shape == zonedAbs); err != nil || !(z.extent > 0) {
			return false
		}
		shares += max(z.share, 0)
		extents += z.extent
		s.zones = append(s.zones, z)
	}
	for i := range s.zones {
		if s.zones[i].share < 0 {
			s.zones[i].share = (100 - shares) / float64(blank)
		}
		if s.zones[i].extent == 0 {
			s.zones[i].extent = (100 - extents) / float64(open)
		}
	}
	const slack = 1e-6 // shares such as 33.3333333 need not add up to the last digit
	return shares <= 100+slack && (blank > 0 || shares >= 100-slack) &&
		(s.shape == zonedAbs || extents <= 100+slack)
}

// parseExtent reads a percentage or, when bytes, a size with fio's binary suffixes.
func parseExtent(text string, bytes bool) (float64, error) {
	unit := 1.0
	if bytes && text != "" {
		if p := strings.IndexByte("kmgtp", text[len(text)-1]|0x20); p >= 0 {
			unit = math.Exp2(float64(10 * (p + 1)))
			text = text[:len(text)-1]
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if math.IsInf(v*unit, 0) {
		return 0, strconv.ErrRange
	}
	return v * unit, err
}

// distribution draws numbers below n that are not equally likely: a spec applied to n blocks.
type distribution struct {
	shape   shape
	n       uint64
	zipf    *zipf
	power   float64  // pareto: a uniform u becomes u^power
	scatter scatter  // which block has which rank: hot blocks lie apart
	head    []uint64 // the blocks of zipf's first ranks, which are most of what is drawn
	shift   uint64   // blocks, modulo n: puts the hottest one in the centre
	normal  *rand.Rand
	mean    float64
	stddev  float64
	zones   alias
	bounds  []zoneBounds
	blocks  []uint64
	stride  bool
	drawn   uint64
}

type zoneBounds struct{ first, width uint64 }

// newDistribution applies s to n units of unit bytes, n >= 1.
func newDistribution(s *spec, n, unit uint64, stride bool, rng *wyrand) (*distribution, error) {
	d := &distribution{shape: s.shape, n: n}
	switch s.shape {
	case zipfian, pareto:
		if s.shape == zipfian {
			d.zipf = newZipf(s.param, n)
		} else {
			// h of the blocks get 1-h of the accesses: P(rank < x n) = x^(log(1-h)/log h).
			d.power = math.Log(s.param) / math.Log(1-s.param)
		}
		d.scatter = newScatter(n, rng)
		if s.centre >= 0 {
			centre := min(uint64(s.centre*float64(n)), n-1)
			d.shift = (centre + n - d.scatter.at(0)) % n
		}
		if d.zipf != nil {
			for rank := range d.zipf.head {
				d.head = append(d.head, d.place(uint64(rank)))
			}
		}
	case normal:
		source := newWyrand(rng.next())
		d.normal = rand.New(&source)
		d.mean, d.stddev = s.centre*float64(n), s.param/100*float64(n)
	case zoned, zonedAbs:
		size := float64(n) / 100
		if s.shape == zonedAbs {
			size = 1 / float64(unit)
		}
		var weights []float64
		end := 0.0
		for _, z := range s.zones {
			first := min(uint64(end+0.5), n)
			end = min(end+z.extent*size, float64(n))
			if width := min(uint64(end+0.5), n) - first; width > 0 && z.share > 0 {
				weights = append(weights, z.share)
				d.bounds = append(d.bounds, zoneBounds{first, width})
			}
		}
		if len(weights) == 0 {
			return nil, fault.Usage("ZONES_TOO_SMALL", "raise size or the zones' extents",
				"no zone of random_distribution holds a block")
		}
		d.zones = newAlias(weights)
	case sequence:
		d.blocks, d.stride = s.blocks, stride
	}
	return d, nil
}

// draw returns a number below n.
func (d *distribution) draw(rng *wyrand) uint64 {
	switch d.shape {
	case zipfian:
		rank := d.zipf.draw(rng)
		if rank < uint64(len(d.head)) {
			return d.head[rank]
		}
		return d.place(rank)
	case pareto:
		return d.place(min(uint64(float64(d.n)*math.Exp(d.power*math.Log(1-rng.float()))), d.n-1))
	case normal:
		for {
			if x := d.mean + d.stddev*d.normal.NormFloat64(); x >= 0 && x < float64(d.n) {
				return min(uint64(x), d.n-1)
			}
		}
	case zoned, zonedAbs:
		z := d.bounds[d.zones.draw(rng)]
		step, _ := rng.below(z.width)
		return z.first + step
	case sequence:
		length := uint64(len(d.blocks))
		block := d.blocks[d.drawn%length]
		if d.stride {
			block += d.drawn / length * length
		}
		d.drawn++
		return block % d.n
	default:
		value, _ := rng.below(d.n)
		return value
	}
}

// place returns the block of a rank.
func (d *distribution) place(rank uint64) uint64 {
	block := d.scatter.at(rank) + d.shift
	if block >= d.n {
		block -= d.n
	}
	return block
}
