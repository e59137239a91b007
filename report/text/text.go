// Package text renders a Result for a person at a terminal: the machine and the target, one table row per
// job and direction, the distribution of latencies, who ran where, what was decided and why, and what to
// beware of. It is a view, not a format: programs read the JSON.
package text

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Options say what the terminal can show.
type Options struct {
	Width int  // characters per line; less than 80, which the tables need, is taken as 80
	Color bool // the terminal understands SGR escape sequences
}

// Write renders r to w. It fails when w does, or when a histogram of r cannot be decoded.
func Write(w io.Writer, r *report.Result, o Options) error {
	p := &page{width: max(80, o.Width), color: o.Color}
	p.header(r)
	for i := range r.Targets {
		p.target(&r.Targets[i])
	}
	p.table(r.Jobs)
	var before *report.Job
	for i := range r.Jobs {
		if r.Jobs[i].Skipped != "" {
			continue
		}
		if err := p.details(r, &r.Jobs[i], before); err != nil {
			return fmt.Errorf("render job %q: %w", r.Jobs[i].Name, err)
		}
		before = &r.Jobs[i]
	}
	p.explain(r.Explain)
	p.remarks(r)
	_, err := w.Write(p.out.Bytes())
	return err
}

// labelWidth is the column of labels on the left: "target".
const labelWidth = 7

func (p *page) header(r *report.Result) {
	p.put(bold, sentence(" ", r.Tool.Name, r.Tool.Version))
	p.put(plain, "  ")
	p.line(dim, r.StartedAt.UTC().Format(time.DateTime)+" UTC, took "+duration(float64(r.ElapsedNS)))
	if r.Status != report.StatusDone && r.Status != "" {
		p.entry(red, "status", labelWidth, red, string(r.Status)+"; the figures are partial")
	}
	if len(r.Command) > 0 {
		p.entry(dim, "command", labelWidth, plain, strings.Join(r.Command, " "))
	}
	h := &r.Host
	p.entry(dim, "host", labelWidth, plain, sentence(", ", h.Name, "Linux "+h.Kernel+" "+h.Arch, unless(h.Virtualized == "", "on "+h.Virtualized)))
	p.entry(dim, "", labelWidth, plain, sentence(", ", strings.Join(strings.Fields(h.CPUModel), " "),
		fmt.Sprintf("%s, %s", plural(h.Cores, "core"), plural(h.CPUs, "CPU")),
		unless(h.NUMANodes < 2, plural(h.NUMANodes, "NUMA node")), unless(h.Governor == "", "governor "+h.Governor),
		unless(h.MemoryBytes == 0, binary(float64(h.MemoryBytes))+" memory")))
	if idle := r.Idle; idle != nil {
		words := []string{percent(idle.Percent) + "% of all CPUs' time"}
		for _, c := range idle.CPUs {
			words = append(words, fmt.Sprintf("CPU"+nbsp+"%d"+nbsp+"%s%%", c.CPU, percent(c.Percent)))
		}
		p.entry(dim, "idle", labelWidth, plain, sentence(", ", words...))
	}
}

func (p *page) target(t *report.Target) {
	const label = "target"
	switch {
	case t.Scratch:
		p.entry(dim, label, labelWidth, plain, fmt.Sprintf("scratch file on filesystem %s backed by device %s, removed after the run; --filename=/dev/NAME measures a device",
			cmp.Or(t.Filesystem, "?"), cmp.Or(t.Device, "?")))
	case t.Resolved != "" && t.Resolved != t.Path:
		p.entry(dim, label, labelWidth, plain, t.Path+" -> "+t.Resolved)
	default:
		p.entry(dim, label, labelWidth, plain, t.Path)
	}
	p.entry(dim, "", labelWidth, plain, sentence(", ",
		sentence(" ", strings.TrimSpace(t.Model), strings.TrimSpace(t.Firmware)), t.Transport, size(t),
		unless(t.PhysicalBytes == 0, fmt.Sprintf("%d/%d B blocks", t.LogicalBytes, t.PhysicalBytes)),
		unless(t.Kind != "file" || t.Scratch, fmt.Sprintf("file on %s backed by %s", cmp.Or(t.Filesystem, "?"), cmp.Or(t.Device, "?")))))
	if facts := sentence(", ",
		unless(t.Scheduler == "", "scheduler "+t.Scheduler), queues(t),
		unless(t.WriteCache == "", t.WriteCache+" cache"), unless(t.NUMANode < 0, fmt.Sprintf("NUMA"+nbsp+"node"+nbsp+"%d", t.NUMANode)),
		unless(!t.Rotational, "rotational"), unless(t.DirectIO || t.Kind == "null", "through the page cache"),
		unless(!t.WrittenKnown, percent(t.WrittenPercent)+"% written")); facts != "" {
		p.entry(dim, "", labelWidth, plain, facts)
	}
	if k := t.Kernel; k != nil {
		p.entry(dim, "kernel", labelWidth, plain, "counted "+sentence(", ",
			moved(k.ReadIOs, k.ReadBytes, "read"), moved(k.WriteIOs, k.WriteBytes, "write"), moved(k.TrimIOs, k.TrimBytes, "trim"),
			unless(k.FlushIOs == 0, count(float64(k.FlushIOs))+" flushes"), busy(k)))
	}
	for _, note := range t.Notes {
		p.entry(dim, "", labelWidth, dim, note)
	}
}

func size(t *report.Target) string {
	if t.Kind == "block" {
		return decimal(float64(t.SizeBytes))
	}
	return binary(float64(t.SizeBytes))
}

func queues(t *report.Target) string {
	switch {
	case t.Device == "": // nor anything that could have some: the null engine, tmpfs
		return ""
	case t.HardwareQueues == 0:
		return "no hardware queues (bio-based)"
	}
	return fmt.Sprintf("%s x %s", plural(t.HardwareQueues, "hardware queue"), plural(t.Tags, "tag"))
}

func moved(ios, bytes int64, what string) string {
	if ios == 0 {
		return ""
	}
	return fmt.Sprintf("%s %ss (%s)", count(float64(ios)), what, binary(float64(bytes)))
}

// busy is the share of the time in which the device had something to do.
func busy(k *report.KernelCounters) string {
	if k.WindowNS <= 0 {
		return ""
	}
	return "busy " + percent(min(100, 100*float64(k.IOTicksMS)*1e6/float64(k.WindowNS))) + "%"
}

// figures are the columns of the main table; the first one, with the direction, is firstWidth wide.
func (p *page) figures() (titles []string, widths []int) {
	titles = []string{"IOPS", "bandwidth", "p50", "p99", "p99.9", "max", "CPU/IO"}
	widths = []int{7, 11, 9, 9, 9, 9, 9}
	wider := max(0, min(4, (p.width-80)/len(widths)))
	for i := range widths {
		widths[i] += wider
	}
	return titles, widths
}

const firstWidth = 7

// table prints the figures that the run was made for: one row per job and direction.
func (p *page) table(jobs []report.Job) {
	titles, widths := p.figures()
	p.end()
	latencies := widths[2] + widths[3] + widths[4] + widths[5]
	p.put(dim, strings.Repeat(" ", firstWidth+widths[0]+widths[1]))
	p.line(dim, "  "+centre(" latency ", latencies-2, "-"))
	p.put(plain, strings.Repeat(" ", firstWidth))
	p.row(dim, titles, widths)
	for i := range jobs {
		p.jobRows(&jobs[i], widths)
	}
}

func (p *page) row(s style, cells []string, widths []int) {
	for i, text := range cells {
		p.put(s, padLeft(text, widths[i]))
	}
	p.end()
}

func (p *page) jobRows(j *report.Job, widths []int) {
	name := shorten(j.Name, p.width/2)
	p.put(bold, name)
	p.put(plain, "  ")
	p.line(dim, shorten(describe(&j.Spec), p.width-2-utf8.RuneCountInString(name)))
	cpu := duration(j.CPU.UserPerIONS + j.CPU.SysPerIONS)
	row := func(name string, iops float64, bw string, l *report.Latency) {
		most := "n/a"
		if l != nil {
			most = duration(float64(l.MaxNS))
		}
		p.put(plain, padRight("  "+name, firstWidth))
		p.row(plain, []string{count(iops), bw, at(l, 50), at(l, 99), at(l, 99.9), most, cpu}, widths)
		cpu = "" // it is the whole job's
	}
	for d := range workloads.Direction(workloads.Directions) {
		if s := j.Dir(d); s != nil {
			row(d.String(), s.IOPS, bandwidth(s.BW), latency(s))
		}
	}
	if s := j.Sync; s != nil && s.IOs > 0 && j.RuntimeNS > 0 {
		row("sync", float64(s.IOs)/(float64(j.RuntimeNS)/1e9), "", s.Lat)
	}
	switch {
	case j.Skipped != "":
		p.line(dim, "  did not run: "+j.Skipped)
	case j.Read == nil && j.Write == nil && j.Trim == nil:
		p.line(dim, "  no I/O")
	}
	if v := j.Verify; v != nil {
		p.line(plain, fmt.Sprintf("  verified %d blocks, %d MiB: %d wrong", v.Blocks, v.Bytes>>20, v.Mismatched))
		if r := v.ReadBack; r != nil && r.Read.Errors > 0 {
			p.line(plain, fmt.Sprintf("    %d reads failed: what they were to read back was not checked", r.Read.Errors))
		}
		for _, m := range v.Mismatches[:min(len(v.Mismatches), mostMismatches)] {
			p.line(plain, "    "+m.Sentence)
		}
	}
}

// mostMismatches is how many wrong blocks of a job are shown.
const mostMismatches = 4

// latency is the distribution that the report shows: from start to completion, which is what an
// application waits.
func latency(d *report.DirStats) *report.Latency {
	if d.Lat != nil {
		return d.Lat
	}
	return d.Clat
}

func at(l *report.Latency, percent float64) string {
	if ns, ok := l.Value(percent); ok {
		return duration(float64(ns))
	}
	return "n/a"
}

// describe says in one line what the job did.
func describe(s *report.Spec) string {
	var blocks []string
	for d := range workloads.Direction(workloads.Directions) {
		if rw, ok := workloads.ParseRW(s.RW); ok && !rw.Does(d) {
			continue
		}
		b := binary(float64(s.BlockMaxBytes[d]))
		if s.BlockMinBytes[d] != s.BlockMaxBytes[d] {
			b = binary(float64(s.BlockMinBytes[d])) + "-" + b
		}
		if s.BlockMaxBytes[d] > 0 && !slices.Contains(blocks, b) {
			blocks = append(blocks, b)
		}
	}
	depth := fmt.Sprintf("QD %d", s.IODepth)
	if s.NumJobs > 1 {
		depth += fmt.Sprintf(" x %d workers", s.NumJobs)
	}
	if s.Queue == "single" {
		depth += " on one queue"
	}
	return sentence(", ", sentence(" ", s.RW, strings.Join(blocks, "/")), s.Engine, depth, unless(s.Direct, "buffered"))
}

// remark is a labelled sentence.
type remark struct{ label, text string }

// circumstances are how the job was run: where its workers were, by what engine, and what was chosen for it.
func circumstances(j *report.Job) []remark {
	var how []remark
	if text := placement(j.Workers); text != "" {
		how = append(how, remark{"pinned", text})
	}
	if len(j.Spec.EngineFeatures) > 0 {
		features := []string{j.Spec.Engine}
		for _, f := range j.Spec.EngineFeatures {
			features = append(features, strings.TrimPrefix(f, j.Spec.Engine+": "))
		}
		how = append(how, remark{"engine", strings.Join(features, ", ")})
	}
	for _, d := range j.Decisions {
		how = append(how, remark{"chosen", fmt.Sprintf("%s %s: %s", d.What, d.Chosen, d.Why)})
	}
	return how
}

// details prints what stands behind a job's figures; before is the job above, if there is one.
func (p *page) details(r *report.Result, j, before *report.Job) error {
	p.end()
	p.put(bold, shorten(j.Name, p.width))
	p.end()
	if j.Description != "" {
		p.entry(plain, "", 0, dim, j.Description)
	}
	if err := p.distributions(j); err != nil {
		return err
	}
	p.latencies(j)
	p.end()

	const label = 2 + labelWidth
	for d := range workloads.Direction(workloads.Directions) {
		if s := j.Dir(d); s != nil {
			p.direction("  "+d.String(), label, s, r.IntervalNS)
		}
	}
	if n := totalIOs(&j.Stats); n > 0 {
		p.entry(dim, "  CPU", label, plain, sentence(", ",
			fmt.Sprintf("%s user + %s system per I/O", duration(j.CPU.UserPerIONS), duration(j.CPU.SysPerIONS)),
			fmt.Sprintf("%s syscalls per I/O", significant(float64(j.Syscalls)/float64(n), 3))))
	}
	if depth := meanOf(j.Depth); depth > 0 {
		p.entry(dim, "  depth", label, plain, fmt.Sprintf("%s requests in flight per worker on average", significant(depth, 3)))
	}
	if j.LateArrivals > 0 {
		p.entry(dim, "  paced", label, yellow, fmt.Sprintf("%s of %s I/Os were submitted after they were due",
			count(float64(j.LateArrivals)), count(float64(j.Arrivals))))
	}
	if j.RingOverflow > 0 {
		p.entry(dim, "  ring", label, yellow, fmt.Sprintf("%s found the completion ring full", plural(int(j.RingOverflow), "completion")))
	}
	how := circumstances(j)
	if before != nil && len(how) > 0 && slices.Equal(how, circumstances(before)) {
		how = []remark{{"how", "engine, placement and choices as for " + before.Name}}
	}
	for i, h := range how {
		name := "  " + h.label
		if i > 0 && how[i-1].label == h.label {
			name = ""
		}
		p.entry(dim, name, label, plain, h.text)
	}
	p.depthSearches(j, label)
	p.fairness(j.Fairness, len(j.Workers), label)
	if j.Error != nil && (r.Error == nil || *j.Error != *r.Error) { // the run's own comes last
		p.problem(red, "  error", label, j.Error.Code, j.Error.Sentence, j.Error.Hint)
	}
	return nil
}

// latencies prints every kind of latency of every direction.
func (p *page) latencies(j *report.Job) {
	widths := []int{9, 9, 9, 9, 9, 9, 9}
	const first = 16
	p.put(plain, strings.Repeat(" ", first))
	p.row(dim, []string{"mean", "stddev", "min", "p50", "p99", "p99.9", "max"}, widths)
	row := func(name, kind string, l *report.Latency) {
		if l == nil {
			return
		}
		p.put(plain, padRight("  "+padRight(name, 6)+kind, first))
		p.row(plain, []string{
			duration(l.MeanNS), duration(l.StddevNS), duration(float64(l.MinNS)),
			at(l, 50), at(l, 99), at(l, 99.9), duration(float64(l.MaxNS)),
		}, widths)
	}
	for d := range workloads.Direction(workloads.Directions) {
		if s := j.Dir(d); s != nil {
			if s.Slat != nil { // without it, clat is lat
				row(d.String(), "slat", s.Slat)
				row(d.String(), "clat", s.Clat)
			}
			row(d.String(), "lat", latency(s))
			row(d.String(), "response", s.Response)
			for _, prio := range s.Priorities {
				row("", workloads.NewPriority(prio.Class, prio.Level, prio.Hint).String(), prio.Lat)
			}
		}
	}
	if j.Sync != nil {
		row("sync", "lat", j.Sync.Lat)
	}
}

// direction prints how steady a direction was, and what went wrong.
func (p *page) direction(name string, label int, s *report.DirStats, windowNS int64) {
	if r := s.IOPSRate; r.N > 1 && r.Mean > 0 {
		p.entry(dim, name, label, plain, fmt.Sprintf("%s to %s IOPS in %d windows of %s, stddev %s%%",
			count(r.Min), count(r.Max), r.N, trimZeros(duration(float64(windowNS))), percent(100*r.Stddev/r.Mean)))
		name = ""
	}
	if s.Errors > 0 {
		p.entry(dim, name, label, red, fmt.Sprintf("%s of %s I/Os failed", count(float64(s.Errors)), count(float64(s.Issued))))
		name = ""
	}
	if s.Short > 0 {
		p.entry(dim, name, label, yellow, fmt.Sprintf("%s came back short and were continued", plural(int(s.Short), "transfer")))
	}
}

func totalIOs(s *report.Stats) (n int64) {
	for d := range workloads.Direction(workloads.Directions) {
		if s := s.Dir(d); s != nil {
			n += s.IOs
		}
	}
	return n
}

func meanOf(buckets []report.CountBucket) float64 {
	var sum, n float64
	for _, b := range buckets {
		sum += float64(b.Value) * float64(b.Count)
		n += float64(b.Count)
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

func (p *page) distributions(j *report.Job) error {
	var columns []column
	for d := range workloads.Direction(workloads.Directions) {
		if s := j.Dir(d); s != nil && latency(s) != nil {
			columns = append(columns, column{d.String() + " latency", latency(s)})
		}
	}
	if len(columns) == 0 {
		return nil
	}
	if err := p.histogram(columns); err != nil {
		return err
	}
	p.end()
	return nil
}

func (p *page) fairness(f *report.Fairness, workers, label int) {
	if f == nil {
		return
	}
	variant := ""
	switch {
	case f.HoldNS > 0:
		variant = fmt.Sprintf(" (%s, held %s more per I/O)", f.Variant, duration(float64(f.HoldNS)))
	case f.Variant != "":
		variant = " (" + f.Variant + ")"
	}
	p.entry(dim, "  shared", label, plain, fmt.Sprintf("one queue of %s, lock %s%s: Jain fairness %s over %s",
		plural(f.TagsTotal, "tag"), f.Lock, variant, significant(f.Jain, 3), plural(workers, "worker")))
	p.entry(dim, "", label, plain, fmt.Sprintf("lock wait %s per I/O, longest %s; longest gap of a worker %s",
		duration(f.WaitPerIONS), duration(float64(f.WaitMaxNS)), duration(float64(f.LongestGapNS))))
	if f.HonestSentence != "" {
		p.entry(dim, "", label, dim, f.HonestSentence)
	}
}

// depthSearches prints what each worker found that looked for the depth that keeps latency_target.
func (p *page) depthSearches(j *report.Job, label int) {
	for i := range j.Workers {
		s := j.Workers[i].DepthSearch
		if s == nil {
			continue
		}
		outcome := fmt.Sprintf("was still being looked for at depth %d", s.IODepth)
		switch {
		case s.Continuous:
			outcome = fmt.Sprintf("was sought by adjusting the depth, in the end to %d", s.IODepth)
		case s.CutShort:
			outcome = fmt.Sprintf("is kept at depth %d; runtime left no time to try all that are deeper", s.IODepth)
		case s.Settled && s.IODepth == j.Spec.IODepth:
			outcome = fmt.Sprintf("is kept at depth %d, the highest that the job allows", s.IODepth)
		case s.Settled:
			outcome = fmt.Sprintf("is kept up to depth %d", s.IODepth)
		case len(s.Tried) > 0 && !s.Tried[len(s.Tried)-1].Met && s.IODepth == 1:
			outcome = "cannot be kept at depth 1"
		}
		if last := len(s.Tried) - 1; s.Settled && last >= 0 && !s.Tried[last].Met && int(s.Windows) == last+1 {
			outcome += ", but it was not in the measured window"
		}
		name := ""
		if i == 0 {
			name = "  target"
		}
		p.entry(dim, name, label, plain, fmt.Sprintf("worker %d: %s for %s %% of the I/Os %s", j.Workers[i].Index,
			duration(float64(j.Spec.LatencyTargetNS)), significant(j.Spec.LatencyPercent, 5), outcome))
		const most = 16
		tried := []string{}
		for _, w := range s.Tried[:min(len(s.Tried), most)] {
			tried = append(tried, fmt.Sprintf("depth %d %s %% at %s IOPS", w.IODepth, significant(w.WithinPercent, 4), count(w.IOPS)))
		}
		if more := int(s.Windows) - len(tried); more > 0 {
			tried = append(tried, fmt.Sprintf("and %d more", more))
		}
		p.entry(dim, "", label, dim, "windows: "+strings.Join(tried, ", "))
	}
}

// remarks prints what a reader of the figures has to know, last, where a terminal leaves off.
func (p *page) remarks(r *report.Result) {
	p.end()
	p.surroundings(r.Samples)
	c := &r.Clock
	p.entry(dim, "clock", labelWidth, dim, sentence(", ", c.Source, unless(c.CostNS == 0, duration(c.CostNS)+" a reading"),
		unless(c.Stamps != "batch", "one reading per batch"),
		unless(r.Collector.Cycles == 0, fmt.Sprintf("%s inside the window (%s)", plural(int(r.Collector.Cycles), "garbage collection"), duration(float64(r.Collector.PauseNS))))))
	for _, w := range r.Warnings {
		p.problem(yellow, "warning", labelWidth, w.Code, w.Sentence, w.Hint)
	}
	if r.Error != nil {
		p.problem(red, "error", labelWidth, r.Error.Code, r.Error.Sentence, r.Error.Hint)
	}
}

func (p *page) problem(s style, name string, label int, code, what, hint string) {
	p.entry(s, name, label, plain, fmt.Sprintf("%s [%s]", what, code))
	if hint != "" {
		p.entry(dim, "", label, dim, hint)
	}
}

// sentence joins the parts that are not empty.
func sentence(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), separator)
}

// unless returns text, or nothing when the condition holds.
func unless(condition bool, text string) string {
	if condition {
		return ""
	}
	return text
}
