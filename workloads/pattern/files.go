package pattern

import (
	"math"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// chooser says which file the next I/O goes to (file_service_type).
type chooser struct {
	kind  service
	runs  int   // I/Os on a file before the next is chosen
	left  int   // of those
	limit int   // most files in hand at a time (openfiles)
	live  []int // files in hand: those with work left in this pass, in order, as far as limit allows
	rest  []int // files not taken in hand yet in this pass; the last is next
	at    []int // where each file is in live, -1 where it is not: for a skewed choice among few
	turn  int   // index into live of the file in use
	skew  *distribution
}

type service uint8

const (
	roundRobin service = iota
	oneByOne           // sequential: a file is finished before the next
	anyLive            // random, among those that have work left
	skewed             // zipf, pareto, normal: over all files, which start again when they are done
)

// mostRedraws bounds how often a skewed choice is repeated because it fell on a file that is not in hand.
const mostRedraws = 1000

// newChooser reads fio's file_service_type for the given number of files.
func newChooser(j *workloads.Job, files int, rng *wyrand) (chooser, error) {
	c := chooser{runs: max(j.FileServiceRuns, 1), turn: -1, limit: files}
	if j.OpenFiles > 0 {
		c.limit = min(files, j.OpenFiles)
	}
	name, args, hasArgs := strings.Cut(j.FileService, ":")
	switch name {
	case "", "roundrobin":
		c.kind = roundRobin
	case "sequential":
		c.kind = oneByOne
	case "random":
		c.kind = anyLive
	case "zipf", "pareto", "normal", "gauss":
		s, err := parseDistribution(j.FileService)
		if err != nil {
			return c, err
		}
		c.kind = skewed
		if c.skew, err = newDistribution(&s, uint64(files), 1, false, rng); err != nil {
			return c, err
		}
		hasArgs = false
	default:
		return c, badService(j.FileService)
	}
	if hasArgs {
		n, err := strconv.Atoi(args)
		if err != nil || n < 1 {
			return c, badService(j.FileService)
		}
		c.runs = n
	}
	c.reset(files, rng)
	return c, nil
}

func badService(text string) error {
	return fault.Usage("FILE_SERVICE", "write roundrobin, sequential or random, with :N for N I/Os per file, or zipf:THETA, pareto:H, normal:DEVIATION",
		"file_service_type %q is not understood", text)
}

// reset begins a pass over all files.
func (c *chooser) reset(files int, rng *wyrand) {
	c.turn, c.left = -1, 0
	c.live, c.rest = c.live[:0], c.rest[:0]
	if c.kind == skewed && c.limit < files {
		c.at = make([]int, files)
		for i := range c.at {
			c.at[i] = -1
		}
		return // files are taken in hand as they are drawn
	}
	for i := range files {
		c.rest = append(c.rest, files-1-i)
	}
	for range c.limit {
		c.take(rng)
	}
}

// take takes another file in hand: the next one, or with a random choice any.
func (c *chooser) take(rng *wyrand) {
	last := len(c.rest) - 1
	if last < 0 {
		return
	}
	if c.kind == anyLive && last > 0 {
		i, _ := rng.below(uint64(len(c.rest)))
		c.rest[i], c.rest[last] = c.rest[last], c.rest[i]
	}
	c.live = append(c.live, c.rest[last])
	c.rest = c.rest[:last]
}

// next returns the file of the next I/O.
func (c *chooser) next(rng *wyrand) int {
	if c.left > 0 {
		c.left--
		return c.live[c.turn]
	}
	c.left = c.runs - 1
	switch c.kind {
	case roundRobin:
		if c.turn++; c.turn >= len(c.live) {
			c.turn = 0
		}
	case oneByOne:
		c.turn, c.left = 0, math.MaxInt
	case anyLive:
		turn, _ := rng.below(uint64(len(c.live)))
		c.turn = int(turn)
	case skewed:
		c.turn = int(c.skew.draw(rng))
		if c.at != nil {
			c.turn = c.drawn(c.turn, rng)
		}
	}
	return c.live[c.turn]
}

// drawn returns where in live the file is that was drawn. While as many files are in hand as may be, only
// they come up: as with fio, the draw is repeated.
func (c *chooser) drawn(file int, rng *wyrand) int {
	for range mostRedraws {
		if c.at[file] < 0 && len(c.live) < c.limit {
			c.at[file] = len(c.live)
			c.live = append(c.live, file)
		}
		if c.at[file] >= 0 {
			return c.at[file]
		}
		file = int(c.skew.draw(rng))
	}
	any, _ := rng.below(uint64(len(c.live)))
	return int(any)
}

// finish takes the file that next returned last out of hand, and another one in; it reports whether the
// pass is over.
func (c *chooser) finish(rng *wyrand) bool {
	c.left = 0
	if c.at != nil { // order means nothing; another is taken when it is drawn
		last := len(c.live) - 1
		c.at[c.live[c.turn]] = -1
		if c.turn < last {
			c.live[c.turn] = c.live[last]
			c.at[c.live[c.turn]] = c.turn
		}
		c.live = c.live[:last]
		return false
	}
	c.live = append(c.live[:c.turn], c.live[c.turn+1:]...)
	c.take(rng)
	if c.kind == roundRobin {
		c.turn--
	}
	return len(c.live) == 0
}
