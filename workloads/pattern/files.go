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
	kind service
	runs int   // I/Os on a file before the next is chosen
	left int   // of those
	live []int // files that have work left in this pass, in order
	turn int   // index into live of the file in use
	skew *distribution
}

type service uint8

const (
	roundRobin service = iota
	oneByOne           // sequential: a file is finished before the next
	anyLive            // random, among those that have work left
	skewed             // zipf, pareto, normal: over all files, which start again when they are done
)

// newChooser reads fio's file_service_type for the given number of files.
func newChooser(j *workloads.Job, files int, rng *wyrand) (chooser, error) {
	c := chooser{runs: max(j.FileServiceRuns, 1), turn: -1}
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
	c.reset(files)
	return c, nil
}

func badService(text string) error {
	return fault.Usage("FILE_SERVICE", "write roundrobin, sequential or random, with :N for N I/Os per file, or zipf:THETA, pareto:H, normal:DEVIATION",
		"file_service_type %q is not understood", text)
}

// reset makes all files live.
func (c *chooser) reset(files int) {
	c.live = c.live[:0]
	for i := range files {
		c.live = append(c.live, i)
	}
	c.turn, c.left = -1, 0
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
	}
	return c.live[c.turn]
}

// finish takes the file that next returned last off the live ones; it reports whether none is left.
func (c *chooser) finish() bool {
	c.live = append(c.live[:c.turn], c.live[c.turn+1:]...)
	c.left = 0
	if c.kind == roundRobin {
		c.turn--
	}
	return len(c.live) == 0
}
