package run

import (
	"slices"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/hist"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// prioritizing is what a worker has beside the others when some of its I/Os have a priority other than its
// thread's. Which ones is drawn for each.
type prioritizing struct {
	shares [2][]prioShare // of reads and writes
	random uint64
}

// prioShare gives a share of the I/Os a priority.
type prioShare struct {
	bytes uint32 // only those of this size; 0: all
	upTo  uint64 // of 2^32
	prio  uint8  // its place among the job's priorities
}

// checkPriorities refuses priorities of single I/Os where the engine's interface has no place for them.
func checkPriorities(s *workloads.Job, engineName string) error {
	if len(s.CmdPrio[workloads.Read])+len(s.CmdPrio[workloads.Write]) == 0 || engineName == catalog.Uring || engineName == catalog.Libaio {
		return nil
	}
	return fault.Usage("CMDPRIO", "use --ioengine=io_uring or libaio, or --prio and --prioclass for all I/Os",
		"job %s: the engine %s cannot give single I/Os a priority, as cmdprio_percentage and cmdprio_bssplit ask", s.Name, engineName)
}

// prioritize gives a worker the priorities of its I/Os, if its job has any.
func (j *jobRun) prioritize(w *worker) {
	p := &prioritizing{random: mix(j.seed + uint64(w.index) + 0x7072696f)}
	j.prios = []workloads.Priority{j.spec.OwnPriority()}
	for d := range p.shares {
		for _, s := range j.spec.CmdPrio[d] {
			at := slices.Index(j.prios, s.Priority)
			if at < 0 {
				at = len(j.prios)
				j.prios = append(j.prios, s.Priority)
			}
			p.shares[d] = append(p.shares[d], prioShare{bytes: s.Bytes, upTo: uint64(s.Percent) << 32 / 100, prio: uint8(at)})
		}
	}
	if len(j.prios) == 1 {
		j.prios = nil
		return
	}
	w.prios = p
	w.config.Priorities = make([]uint16, len(j.prios)) // the first is the thread's own
	for i, prio := range j.prios[1:] {
		w.config.Priorities[i+1] = uint16(prio)
	}
}

// priorities are those of the job's I/Os, by engine.Request.Prio.
func (j *jobRun) priorities() []workloads.Priority {
	if j.prios == nil {
		return []workloads.Priority{j.spec.OwnPriority()}
	}
	return j.prios
}

// choose draws the priorities of a batch.
func (p *prioritizing) choose(w *worker, reqs []engine.Request) {
	for i := range reqs {
		r := &reqs[i]
		if r.Op > engine.OpWrite {
			continue
		}
		p.random++
		draw := mix(p.random) >> 32
		for _, s := range p.shares[r.Op] {
			if s.bytes != 0 && s.bytes != r.Length {
				continue
			}
			if draw < s.upTo {
				r.Prio = s.prio
				w.slots[r.Slot].req.Prio = s.prio
				break
			}
			draw -= s.upTo
		}
	}
}

// prioWindow is what the I/Os of one direction and priority did in a window.
type prioWindow struct {
	clat, lat *hist.Recorder
}

func newPrioWindows(j *jobRun, op engine.Op) []prioWindow {
	if j.prios == nil || op > engine.OpWrite {
		return nil
	}
	prios := make([]prioWindow, len(j.prios))
	for i := range prios {
		prios[i] = prioWindow{hist.NewRecorder(), hist.NewRecorder()}
	}
	return prios
}

func resetPrioWindows(prios []prioWindow) {
	for _, p := range prios {
		p.clat.Reset()
		p.lat.Reset()
	}
}

// recordPriorities records the latencies of I/Os by their priority.
func (w *worker) recordPriorities(done []engine.Completion, complete int64) {
	for i := range done {
		s := &w.slots[done[i].Slot]
		if s.req.Op > engine.OpWrite || done[i].Result != int32(s.req.Length) {
			continue
		}
		p := &w.win.ops[s.req.Op].prios[s.req.Prio]
		p.clat.Record(complete-s.issue, 1)
		p.lat.Record(complete-s.start, 1)
	}
}

// prioTotals adds up windows.
type prioTotals struct {
	clat, lat *hist.Totals
}

func newPrioTotals(j *jobRun, op engine.Op) []prioTotals {
	if j.prios == nil || op > engine.OpWrite {
		return nil
	}
	prios := make([]prioTotals, len(j.prios))
	for i := range prios {
		prios[i] = prioTotals{hist.NewTotals(), hist.NewTotals()}
	}
	return prios
}

func addPrioWindows(to []prioTotals, from []prioWindow) {
	for i, p := range from {
		to[i].clat.Add(p.clat)
		to[i].lat.Add(p.lat)
	}
}

// prioStats reports the priorities that I/Os of a direction had.
func (j *jobRun) prioStats(totals []prioTotals) []report.PriorityStats {
	var stats []report.PriorityStats
	for i, t := range totals {
		if n := t.clat.N(); n > 0 {
			p := j.prios[i]
			stats = append(stats, report.PriorityStats{
				Class: p.Class(), Level: p.Level(), Hint: p.Hint(), IOs: n, Clat: latency(t.clat), Lat: latency(t.lat),
			})
		}
	}
	return stats
}
