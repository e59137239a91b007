package text

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/report"
)

// mostRuns is how many pieces of the placement are worth reading.
const mostRuns = 24

// run is a piece of the placement: workers with consecutive indices, whose CPUs and hardware queues each
// are consecutive too, or all the same.
type run struct {
	first, n       int
	cpu, hctx      int
	cpuBy, hctxBy  int // from one worker to the next: 0 or 1
	unpinned, none bool
}

// placement says which worker ran on which CPU and fed which hardware queue, in as few pieces as there
// are: 128 workers on 128 CPUs are one.
func placement(workers []report.Worker) string {
	var runs []run
	for i := range workers {
		w := &workers[i]
		if n := len(runs); n > 0 && runs[n-1].extend(w) {
			continue
		}
		runs = append(runs, run{first: w.Index, n: 1, cpu: w.CPU, hctx: w.HCTX, unpinned: w.CPU < 0, none: w.HCTX < 0})
	}
	if len(runs) > mostRuns {
		cpus, hctxs := map[int]bool{}, map[int]bool{}
		for i := range workers {
			cpus[workers[i].CPU] = true
			hctxs[workers[i].HCTX] = true
		}
		return fmt.Sprintf("%d workers on %s and %s", len(workers), plural(len(cpus), "CPU"), plural(len(hctxs), "hardware queue"))
	}
	var parts []string
	for _, r := range runs {
		parts = append(parts, r.String())
	}
	return strings.Join(parts, "; ")
}

func (r *run) extend(w *report.Worker) bool {
	if w.Index != r.first+r.n {
		return false
	}
	if r.n == 1 {
		cpuBy, hctxBy := w.CPU-r.cpu, w.HCTX-r.hctx
		if cpuBy != 0 && cpuBy != 1 || hctxBy != 0 && hctxBy != 1 || r.unpinned && cpuBy != 0 || r.none && hctxBy != 0 {
			return false
		}
		r.cpuBy, r.hctxBy = cpuBy, hctxBy
	}
	if w.CPU != r.cpu+r.n*r.cpuBy || w.HCTX != r.hctx+r.n*r.hctxBy {
		return false
	}
	r.n++
	return true
}

func (r run) String() string {
	s := "worker" + nbsp + span(r.first, 1, r.n)
	if r.n > 1 {
		s = "workers" + nbsp + span(r.first, 1, r.n)
	}
	if r.unpinned {
		s += " not pinned"
	} else {
		s += " -> CPU" + nbsp + span(r.cpu, r.cpuBy, r.n)
	}
	if !r.none {
		s += " -> hctx" + nbsp + span(r.hctx, r.hctxBy, r.n)
	}
	return s
}

// span prints n numbers from first on: "3", "3-5".
func span(first, by, n int) string {
	s := strconv.Itoa(first)
	if by*(n-1) > 0 {
		s += "-" + strconv.Itoa(first+by*(n-1))
	}
	return s
}
