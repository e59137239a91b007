package text

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/report"
)

// explain prints what the explain pass proved: per device the way that requests took, and the matrix of
// CPUs and hardware queues.
func (p *page) explain(e *report.Explain) {
	if e == nil {
		return
	}
	p.end()
	p.put(bold, "explain")
	p.put(plain, "  ")
	p.line(dim, "where requests went, counted in a separate pass")
	for i := range e.Stages {
		if i > 0 {
			p.end()
		}
		p.explainStage(&e.Stages[i])
	}
	for _, m := range e.Missing {
		p.entry(yellow, "missing", labelWidth, plain, m.What+": "+m.Why)
		if m.Remedy != "" {
			p.entry(dim, "", labelWidth, dim, m.Remedy)
		}
	}
}

func (p *page) explainStage(s *report.ExplainStage) {
	const label = 2 + labelWidth
	p.entry(dim, "  jobs", label, plain, fmt.Sprintf("%s: %s I/Os in %s",
		shorten(strings.Join(s.Jobs, ", "), p.width/2), count(float64(s.IOs)), duration(float64(s.LengthNS))))
	if s.ContentionsPer1000 != nil {
		p.entry(dim, "  locks", label, plain, significant(*s.ContentionsPer1000, 3)+" waits for kernel locks per 1,000 I/Os on the workers' CPUs")
	}
	if s.Locks != nil && s.IOs > 0 {
		p.lockSites(s)
	}
	for i := range s.Devices {
		p.explainDevice(&s.Devices[i])
	}
}

// maxSites is how many of the functions that waited for locks are named.
const maxSites = 4

// lockSites names the functions of the kernel that waited most for locks.
func (p *page) lockSites(s *report.ExplainStage) {
	const label = 2 + labelWidth
	for _, site := range s.Locks.Sites[:min(len(s.Locks.Sites), maxSites)] {
		function := site.Function
		if function == "" {
			function = "unknown"
		}
		p.entry(dim, "", label, plain, fmt.Sprintf("%s per 1,000 in %s, %s each%s", significant(1000*float64(site.Waits)/float64(s.IOs), 2), function,
			duration(float64(site.WaitNS)/float64(site.Waits)), unless(site.Kind != "sleep", ", may sleep")))
	}
	if s.Locks.Lost > 0 {
		p.entry(yellow, "", label, plain, count(float64(s.Locks.Lost))+" records of waits were lost: there were too many")
	}
}

func (p *page) explainDevice(d *report.ExplainDevice) {
	const label = 2 + labelWidth
	p.entry(dim, "  "+d.Device, label, plain, sentence(", ",
		count(float64(d.Requests))+" requests", unless(d.RequestsPerIO == 0, significant(d.RequestsPerIO, 3)+" per I/O"),
		number(d.BackMerges, d.FrontMerges, "merged"), number(d.Splits, nil, "split"), number(d.Requeues, nil, "requeued")))
	if d.DirectPercent != nil {
		p.entry(dim, "  path", label, plain, path(*d.DirectPercent))
	}
	if d.MatchPercent != nil {
		s := plain
		if *d.MatchPercent < 99 {
			s = yellow
		}
		p.entry(dim, "  match", label, s, fmt.Sprintf("%s%% issued on the hardware queue of the worker's CPU (by %s)", percent(*d.MatchPercent), d.QueuesFrom))
	} else {
		p.entry(dim, "  match", label, plain, "not judged: "+d.MatchUnknown)
	}
	if d.InterruptsPerIO != nil {
		p.entry(dim, "  irqs", label, plain, sentence("; ", significant(*d.InterruptsPerIO, 3)+" interrupts per I/O",
			map[string]string{"confirmed": "polling confirmed", "refuted": "polling was asked for, and did not happen"}[d.Polling]))
	}
	p.matrix(d)
}

// path says which way requests took.
func path(direct float64) string {
	switch {
	case direct > 99.995:
		return "all went straight to the driver"
	case direct < 0.005:
		return "all waited in a scheduler or software queue first"
	}
	return fmt.Sprintf("%s%% went straight to the driver, %s%% waited in a scheduler or software queue first", percent(direct), percent(100-direct))
}

// number prints a sum of counters, nothing when none was counted or it is 0.
func number(a, b *int64, what string) string {
	sum := int64(0)
	for _, n := range []*int64{a, b} {
		if n != nil {
			sum += *n
		}
	}
	return unless(sum == 0, count(float64(sum))+" "+what)
}

const (
	matrixRows    = 64 // more CPUs than this are summed up
	matrixColumns = 4  // more hardware queues than this are listed instead of set in columns
)

// matrix prints one line per CPU: its share of the I/Os, of what was issued and completed, and the hardware
// queues that it went to.
func (p *page) matrix(d *report.ExplainDevice) {
	const first = 12
	widths := []int{9, 9, 11}
	titles := []string{"I/Os", "issued", "completed"}
	columns := len(d.Queues) <= matrixColumns
	if columns {
		for _, q := range d.Queues {
			titles, widths = append(titles, fmt.Sprintf("hctx %d", q.HCTX)), append(widths, 10)
		}
	}
	p.put(dim, padLeft("CPU", first))
	if !columns {
		for i, t := range titles {
			p.put(dim, padLeft(t, widths[i]))
		}
		p.line(dim, "  hctx (share)")
	} else {
		p.row(dim, titles, widths)
	}
	whole := totals(d)
	for i := range d.CPUs {
		if i == matrixRows {
			p.line(dim, padLeft("", first)+fmt.Sprintf("  and %s", plural(len(d.CPUs)-i, "CPU")))
			return
		}
		c := &d.CPUs[i]
		cells := []string{part(c.IOs, whole.IOs), part(c.Issued, whole.Issued), part(c.Completed, whole.Completed)}
		p.put(plain, padLeft(strconv.Itoa(c.CPU), first))
		if columns {
			for _, q := range d.Queues {
				at := slices.IndexFunc(c.Queues, func(s report.QueueShare) bool { return s.HCTX == q.HCTX })
				if at < 0 {
					cells = append(cells, "-")
					continue
				}
				cells = append(cells, percent(c.Queues[at].Percent)+"%")
			}
			p.row(plain, cells, widths)
			continue
		}
		for i, cell := range cells {
			p.put(plain, padLeft(cell, widths[i]))
		}
		p.line(plain, "  "+shorten(queueList(c.Queues), p.width-first-2-widths[0]-widths[1]-widths[2]))
	}
}

// totals adds up the CPUs.
func totals(d *report.ExplainDevice) (sum report.ExplainCPU) {
	for i := range d.CPUs {
		sum.IOs += d.CPUs[i].IOs
		sum.Issued += d.CPUs[i].Issued
		sum.Completed += d.CPUs[i].Completed
	}
	return sum
}

// part prints a share of a whole; nothing is a dash.
func part(n, whole int64) string {
	if n == 0 {
		return "-"
	}
	return percent(100*float64(n)/float64(whole)) + "%"
}

func queueList(queues []report.QueueShare) string {
	parts := make([]string, len(queues))
	for i, q := range queues {
		parts[i] = fmt.Sprintf("%d (%s%%)", q.HCTX, percent(q.Percent))
	}
	return strings.Join(parts, ", ")
}
