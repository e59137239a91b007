package fio

import (
	"fmt"
	"slices"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// priority is the latencies of a direction's I/Os of one priority: of the kind that fio shows them by.
type priority struct {
	workloads.Priority
	lat latency
}

// prioritiesOf converts a worker's. fio shows clat, but lat where its percentiles are asked for.
func prioritiesOf(s *report.DirStats, o *Options, hide hidden) ([]priority, error) {
	var prios []priority
	for _, p := range s.Priorities {
		from, hidden := p.Clat, hide.clat
		if o.LatPercentiles {
			from, hidden = p.Lat, hide.lat
		}
		if hidden {
			continue
		}
		lat, err := latencyOf(from, true, nil)
		if err != nil {
			return nil, fmt.Errorf("priority %d/%d: %w", p.Class, p.Level, err)
		}
		prios = append(prios, priority{workloads.NewPriority(p.Class, p.Level, p.Hint), lat})
	}
	return prios, nil
}

// addPriorities merges others into prios.
func addPriorities(prios, others []priority) []priority {
	for i := range others {
		at := slices.IndexFunc(prios, func(p priority) bool { return p.Priority == others[i].Priority })
		if at < 0 {
			at = len(prios)
			prios = append(prios, priority{Priority: others[i].Priority})
		}
		prios[at].lat.add(&others[i].lat)
	}
	return prios
}

// shownPriorities are the direction's priorities; none when all I/Os had the same.
func (s *direction) shownPriorities() []priority {
	if len(s.prios) < 2 {
		return nil
	}
	return s.prios
}

// prioKind is the latency that priorities are told apart by.
func (o *Options) prioKind() string {
	if o.LatPercentiles {
		return "lat"
	}
	return "clat"
}

// priorities appends the JSON array of a direction's priorities, if it has several.
func (p *printer) priorities(s *direction, o *Options, plus bool) {
	prios := s.shownPriorities()
	if prios == nil {
		return
	}
	p.array("prios", func() {
		for i := range prios {
			p.object("", func() {
				p.int("prioclass", int64(prios[i].Class()))
				p.int("prio", int64(prios[i].Level()))
				p.int("priohint", int64(prios[i].Hint()))
				p.latency(o.prioKind()+"_ns", &prios[i].lat, o, o.ClatPercentiles || o.LatPercentiles, plus)
			})
		}
	})
}

// prioName names a priority in normal output: class, level and hint.
func (o *Options) prioName(p *priority) string {
	return fmt.Sprintf("%s prio %d/%d/%d", o.prioKind(), p.Class(), p.Level(), p.Hint())
}

// normalPriorities appends a line for each priority, if there are several.
func (d *document) normalPriorities(out []byte, s *direction) []byte {
	prios := s.shownPriorities()
	for i := range prios {
		out = normalLatency(out, d.options.prioName(&prios[i]), &prios[i].lat)
	}
	return out
}

// normalPrioPercentiles appends their tables of percentiles.
func (d *document) normalPrioPercentiles(out []byte, s *direction) []byte {
	o := d.options
	if !o.ClatPercentiles && !o.LatPercentiles {
		return out
	}
	prios, all := s.shownPriorities(), s.clat.n
	if o.LatPercentiles {
		all = s.lat.n
	}
	for i := range prios {
		p := &prios[i]
		title := fmt.Sprintf("%s (%.2f%% of IOs)", o.prioName(p), 100*float64(p.lat.n)/float64(all))
		out = d.normalPercentiles(out, title, &p.lat)
	}
	return out
}
