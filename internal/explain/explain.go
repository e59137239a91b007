package explain

import (
	"fmt"
	"slices"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Stage is what the workers of jobs that ran together did while was counted.
type Stage struct {
	Jobs    []string
	Workers []Worker
}

// Worker is one worker's part.
type Worker struct {
	CPU       int      // that it is pinned to; -1: none
	Disks     []string // kernel names of the disks that its I/O went to
	IOs       int64    // reads, writes and trims
	Polls     bool     // it asked for polling (IOPOLL)
	Elsewhere string   // why something else than the worker issues its requests; empty when nothing does
}

// enough is the share of the requests, in percent, that must have been issued where intended.
const enough = 99

// Explain sets the counts beside what the workers did.
func Explain(c Counts, s Stage) report.ExplainStage {
	out := report.ExplainStage{Jobs: s.Jobs, LengthNS: c.Length.Nanoseconds(), ContentionsCPUs: []int{}, Devices: []report.ExplainDevice{}}
	for _, w := range s.Workers {
		out.IOs += w.IOs
		if w.CPU >= 0 && !slices.Contains(out.ContentionsCPUs, w.CPU) {
			out.ContentionsCPUs = append(out.ContentionsCPUs, w.CPU)
		}
	}
	slices.Sort(out.ContentionsCPUs)
	if slices.ContainsFunc(s.Workers, func(w Worker) bool { return w.CPU < 0 }) {
		out.ContentionsCPUs = c.CPUs
	}
	if c.Contentions != nil {
		n := int64(0)
		for i, cpu := range c.CPUs {
			if slices.Contains(out.ContentionsCPUs, cpu) {
				n += c.Contentions[i]
			}
		}
		out.Contentions = &n
		out.ContentionsPer1000 = ratio(1000*n, out.IOs)
	}
	if c.LockWaits != nil {
		out.Locks = &report.LockWaits{Lost: int64(c.LockWaits.Lost), Sites: c.LockWaits.on(out.ContentionsCPUs)}
	}
	for i := range c.Disks {
		if c.Disks[i].events[issued] != nil {
			out.Devices = append(out.Devices, c.Disks[i].explain(c.CPUs, s.Workers))
		}
	}
	return out
}

// explain makes the report of one disk whose requests were counted.
func (d *DiskCounts) explain(cpus []int, workers []Worker) report.ExplainDevice {
	out := report.ExplainDevice{
		Device: d.Disk.Name, IOsKnown: true, QueuesFrom: "cpu map",
		Completed: total(d.events[completed]), Inserted: total(d.events[inserted]),
		BackMerges: total(d.events[backMerged]), FrontMerges: total(d.events[frontMerged]),
		Splits: total(d.events[split]), Requeues: total(d.events[requeued]), Interrupts: total(d.interrupts),
		CPUs: []report.ExplainCPU{}, Queues: []report.QueueShare{},
	}
	if d.queues != nil {
		out.QueuesFrom = "nvme:nvme_setup_cmd"
	}
	workers = slices.DeleteFunc(slices.Clone(workers), func(w Worker) bool { return !slices.Contains(w.Disks, d.Disk.Name) })
	for _, w := range workers {
		out.IOs += w.IOs
		out.IOsKnown = out.IOsKnown && len(w.Disks) == 1
	}
	if !out.IOsKnown {
		out.IOs = 0
	}
	out.Requests = *total(d.events[issued])
	if out.Requeues != nil {
		out.Requests = max(out.Requests-*out.Requeues, 0)
	}
	if out.IOs > 0 {
		out.RequestsPerIO = float64(out.Requests) / float64(out.IOs)
	}
	if out.Inserted != nil && out.Requests > 0 {
		direct := 100 * float64(max(out.Requests-*out.Inserted, 0)) / float64(out.Requests)
		out.DirectPercent = &direct
	}
	if out.Interrupts != nil {
		out.InterruptsPerIO = ratio(*out.Interrupts, out.IOs)
	}
	polls := len(workers) > 0 && !slices.ContainsFunc(workers, func(w Worker) bool { return !w.Polls })
	if polls {
		out.Polling = polling(out.InterruptsPerIO)
	}
	d.matrix(&out, cpus, workers, polls)
	d.match(&out, workers, polls)
	return out
}

// silent is how many interrupts per I/O still count as none: a stray one of another namespace on the
// controller does not disprove polling.
const silent = 0.01

func polling(interruptsPerIO *float64) string {
	switch {
	case interruptsPerIO == nil:
		return "unknown"
	case *interruptsPerIO <= silent:
		return "confirmed"
	}
	return "refuted"
}

// matrix fills in what happened on which CPU, and to which hardware queue it went.
func (d *DiskCounts) matrix(out *report.ExplainDevice, cpus []int, workers []Worker, polls bool) {
	whole := total(d.events[issued])
	byQueue := map[int]int64{}
	for i, cpu := range cpus {
		row := report.ExplainCPU{
			CPU: cpu, Issued: at(d.events[issued], i), Completed: at(d.events[completed], i), Inserted: at(d.events[inserted], i),
			Interrupts: at(d.interrupts, i), Queues: []report.QueueShare{},
		}
		for _, w := range workers {
			if w.CPU == cpu && len(w.Disks) == 1 {
				row.IOs += w.IOs
			}
		}
		for hctx, n := range d.cells(i, cpu, polls) {
			row.Queues = append(row.Queues, share(hctx, n, *whole))
			byQueue[hctx] += n
		}
		sortQueues(row.Queues)
		if row.IOs+row.Issued+row.Completed+row.Inserted+row.Interrupts > 0 {
			out.CPUs = append(out.CPUs, row)
		}
	}
	for hctx, n := range byQueue {
		out.Queues = append(out.Queues, share(hctx, n, *whole))
	}
	sortQueues(out.Queues)
}

// cells returns how many requests the CPU with place i issued to which hardware queue: as the driver's
// tracepoint counted, or to the one queue that the CPU feeds.
func (d *DiskCounts) cells(i, cpu int, polls bool) map[int]int64 {
	cells := map[int]int64{}
	if d.queues == nil {
		if n := d.events[issued][i]; n > 0 {
			cells[d.hctx(cpu, polls)] = n
		}
		return cells
	}
	for q, counts := range d.queues {
		if n := at(counts, i); n > 0 {
			cells[d.Disk.Queues[q].HCTX] = n
		}
	}
	return cells
}

// hctx returns the hardware queue that a CPU feeds.
func (d *DiskCounts) hctx(cpu int, polls bool) int {
	if polls && slices.ContainsFunc(d.Disk.Queues, func(q device.Queue) bool { return q.Type == "poll" }) {
		return d.Disk.HCTX(cpu, "poll")
	}
	return d.Disk.HCTX(cpu, "default")
}

// match judges whether requests were issued on the hardware queues that the workers' CPUs feed. Merges,
// splits and foreign load make the numbers of requests and I/Os differ, so it compares the distributions:
// the share that lies where it was intended is 1 minus their total variation distance.
func (d *DiskCounts) match(out *report.ExplainDevice, workers []Worker, polls bool) {
	if out.MatchUnknown = d.unknown(out, workers); out.MatchUnknown != "" {
		return
	}
	intended := map[int]float64{}
	for _, w := range workers {
		intended[d.hctx(w.CPU, polls)] += float64(w.IOs) / float64(out.IOs)
	}
	percent := 0.0
	for _, q := range out.Queues {
		percent += min(q.Percent, 100*intended[q.HCTX])
	}
	out.MatchPercent = &percent
}

// unknown says why it cannot be judged where requests were issued; empty when it can.
func (d *DiskCounts) unknown(out *report.ExplainDevice, workers []Worker) string {
	for _, w := range workers {
		switch {
		case w.Elsewhere != "":
			return w.Elsewhere
		case w.CPU < 0:
			return "workers are not pinned to one CPU each"
		}
	}
	switch {
	case !out.IOsKnown:
		return "workers spread their I/O over several disks"
	case out.IOs == 0:
		return "no I/O was done"
	case out.Requests == 0:
		return "no request reached the device"
	case d.queues == nil && len(d.Disk.Queues) > 1 && out.DirectPercent != nil && *out.DirectPercent < enough:
		return "a scheduler issued the requests, on whichever CPU it ran"
	}
	return ""
}

// Warnings returns what an explain pass found that a reader of the run's figures must know.
func Warnings(e *report.Explain) []workloads.Warning {
	var warnings []workloads.Warning
	for _, s := range e.Stages {
		for _, d := range s.Devices {
			if d.MatchPercent != nil && *d.MatchPercent < enough {
				warnings = append(warnings, workloads.Warning{
					Code:     "MAP_MISMATCH",
					Sentence: fmt.Sprintf("%s: only %.1f %% of the requests were issued on the hardware queues of the workers' CPUs", d.Device, *d.MatchPercent),
					Hint:     "the matrix of the explain pass shows where they went; another user of the device, or a changed CPU mapping, moves them",
				})
			}
			if d.Polling == "refuted" {
				warnings = append(warnings, workloads.Warning{
					Code:     "NOT_POLLED",
					Sentence: fmt.Sprintf("%s: polling was asked for, but the device raised %.2f interrupts per I/O", d.Device, *d.InterruptsPerIO),
					Hint:     "the driver needs poll queues (nvme.poll_queues=N at boot or module load)",
				})
			}
		}
	}
	return warnings
}

func share(hctx int, n, whole int64) report.QueueShare {
	return report.QueueShare{HCTX: hctx, Requests: n, Percent: 100 * float64(n) / float64(max(whole, 1))}
}

func sortQueues(q []report.QueueShare) {
	slices.SortFunc(q, func(a, b report.QueueShare) int { return a.HCTX - b.HCTX })
}

// total adds up counts; nil when there are none.
func total(counts []int64) *int64 {
	if counts == nil {
		return nil
	}
	sum := int64(0)
	for _, n := range counts {
		sum += n
	}
	return &sum
}

// at returns a count that may not have been taken.
func at(counts []int64, i int) int64 {
	if counts == nil {
		return 0
	}
	return counts[i]
}

// ratio returns a/b, nil when b is 0.
func ratio(a, b int64) *float64 {
	if b == 0 {
		return nil
	}
	r := float64(a) / float64(b)
	return &r
}
