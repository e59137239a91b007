package fiojob

import (
	"errors"
	"fmt"
	"strings"

	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/workloads"
)

// requestPriority is what the cmdprio options of one direction say.
type requestPriority struct {
	percent            int
	class, level, hint int // class 0: not given
	split              []prioritySplit
}

// prioritySplit is an entry of cmdprio_bssplit. Without a class of its own it has that of cmdprio_class.
type prioritySplit struct {
	bytes              uint32
	percent            int
	own                bool
	class, level, hint int
}

const (
	maxLevel = 7
	maxHint  = 1<<10 - 1
)

// cmdPrio is the kind of an option with a number for reads and one for writes.
func cmdPrio(low, high int64, unit string, field func(*requestPriority) *int) perDirection {
	return perDirection{min: low, max: high, unit: unit, set: func(d *draft, dir workloads.Direction, v int64) {
		if dir <= workloads.Write {
			*field(&d.cmdPrio[dir]) = int(v)
		}
	}}
}

// setPrioritySplit reads cmdprio_bssplit: a list for reads and one for writes, or one for both.
func setPrioritySplit(d *draft, v string) error {
	lists := strings.Split(v, ",")
	if len(lists) > len(d.cmdPrio) {
		return errors.New("it takes at most two lists, for reads and writes")
	}
	for dir := range d.cmdPrio {
		list := lists[min(dir, len(lists)-1)]
		split, err := parsePrioritySplit(list, d.kbBase)
		if err != nil {
			return err
		}
		d.cmdPrio[dir].split = split
	}
	return nil
}

func parsePrioritySplit(list string, kbBase int) ([]prioritySplit, error) {
	if list == "" {
		return nil, nil
	}
	var split []prioritySplit
	percent := map[uint32]int{}
	for entry := range strings.SplitSeq(list, ":") {
		fields := strings.Split(entry, "/")
		if n := len(fields); n != 2 && n != 4 && n != 5 {
			return nil, fmt.Errorf("%q is neither BYTES/PERCENT nor BYTES/PERCENT/CLASS/LEVEL[/HINT]", entry)
		}
		var values [5]int64
		for i, limits := range [...][2]int64{{1, MaxBlockBytes}, {0, 100}, {workloads.ClassRealTime, workloads.ClassIdle}, {0, maxLevel}, {0, maxHint}} {
			if i == len(fields) {
				break
			}
			q, err := units.ParseQuantity(fields[i], kbBase)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", fields[i], err)
			}
			if err := inRange(q, limits[0], limits[1], fields[i]); err != nil {
				return nil, err
			}
			values[i] = q.Value
		}
		s := prioritySplit{
			bytes: uint32(values[0]), percent: int(values[1]), own: len(fields) > 2,
			class: int(values[2]), level: int(values[3]), hint: int(values[4]),
		}
		if percent[s.bytes] += s.percent; percent[s.bytes] > 100 {
			return nil, fmt.Errorf("the shares of %d bytes add up to more than 100 percent", s.bytes)
		}
		split = append(split, s)
	}
	if len(split) > maxSplits {
		return nil, fmt.Errorf("it names %d block sizes, more than %d", len(split), maxSplits)
	}
	return split, nil
}

// settlePriorities settles which I/Os have a priority of their own. As in fio, that is real time where no
// class is given.
func (d *draft) settlePriorities(e Engine, bad reporter) {
	for dir := range d.CmdPrio {
		p := &d.cmdPrio[dir]
		class := p.class
		if class == workloads.ClassNone {
			class = workloads.ClassRealTime
		}
		usual := workloads.NewPriority(class, p.level, p.hint)
		if p.percent > 0 {
			d.CmdPrio[dir] = append(d.CmdPrio[dir], workloads.PriorityShare{Percent: p.percent, Priority: usual})
		}
		for _, s := range p.split {
			share := workloads.PriorityShare{Bytes: s.bytes, Percent: s.percent, Priority: usual}
			if s.own {
				share.Priority = workloads.NewPriority(s.class, s.level, s.hint)
			}
			d.CmdPrio[dir] = append(d.CmdPrio[dir], share)
		}
		switch {
		case p.percent > 0 && len(p.split) > 0:
			bad("BAD_JOB", "give one of them", "cmdprio_percentage and cmdprio_bssplit exclude each other")
			return
		case len(d.CmdPrio[dir]) > 0 && (e.Sync || e.Runs == "null"):
			bad("BAD_JOB", "use ioengine=io_uring or libaio", "ioengine=%s cannot give single I/Os a priority, as cmdprio_percentage and cmdprio_bssplit ask", d.Engine)
			return
		}
	}
}
