package fio

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/internal/prose"
	"github.com/blkmeter/blkmeter/workloads"
)

// banner appends what fio prints before it starts.
func (d *document) banner(out []byte) []byte {
	clones := 0
	for i := range d.result.Jobs {
		j := &d.result.Jobs[i]
		s := &j.Spec
		size := func(dir workloads.Direction) string {
			// fio has a size for the directions that the job does not use, too.
			low := cmp.Or(s.BlockMinBytes[dir], cmp.Or(s.BlockMinBytes[:]...))
			high := cmp.Or(s.BlockMaxBytes[dir], cmp.Or(s.BlockMaxBytes[:]...))
			return abbreviate(uint64(low), 4, true, "B") + "-" + abbreviate(uint64(high), 4, true, "B")
		}
		out = fmt.Appendf(out, "%s: (g=%d): rw=%s, bs=(R) %s, (W) %s, (T) %s, ioengine=%s, iodepth=%d\n", prose.PrintableLine(j.Name), j.GroupID, s.RW,
			size(workloads.Read), size(workloads.Write), size(workloads.Trim), s.Engine, s.IODepth)
		n := max(1, len(j.Workers))
		if j.Skipped != "" {
			n = max(1, s.NumJobs)
		}
		if n > 1 {
			out = append(out, "...\n"...)
		}
		clones += n
	}
	out = fmt.Appendf(out, "%s\n", d.options.Version)
	if clones == 1 {
		return append(out, "Starting 1 thread\n"...)
	}
	return fmt.Appendf(out, "Starting %d threads\n", clones)
}

// normal appends the text for people.
func (d *document) normal(out []byte) []byte {
	out = append(out, '\n')
	for _, e := range d.entries {
		if !e.skipped { // fio's JSON and terse output have it
			out = d.normalEntry(out, e)
		}
	}
	for i := range d.groups {
		out = d.normalGroup(out, i)
	}
	if len(d.disks) > 0 {
		out = append(out, "\nDisk stats (read/write):\n"...)
	}
	for _, k := range d.disks {
		out = fmt.Appendf(out, "  %s: ios=%d/%d, sectors=%d/%d, merge=%d/%d, ticks=%d/%d, in_queue=%d, util=%3.2f%%\n", k.name,
			k.ReadIOs, k.WriteIOs, k.ReadBytes/512, k.WriteBytes/512, k.ReadMerges, k.WriteMerges, k.ReadTicksMS, k.WriteTicksMS,
			k.InQueueMS, k.utilPercent())
	}
	if idle := d.result.Idle; idle != nil {
		out = fmt.Appendf(out, "\nCPU idleness:\n  system: %3.2f%%\n", idle.Percent)
		for i, c := range idle.CPUs {
			before := "  percpu: "
			if i > 0 {
				before = ", "
			}
			out = fmt.Appendf(out, "%s%3.2f%%", before, c.Percent)
		}
		if len(idle.CPUs) > 0 {
			out = append(out, '\n')
		}
		out = append(out, "  unit work: mean=0.00us, stddev=0.00\n"...)
	}
	return out
}

func (d *document) normalEntry(out []byte, e *entry) []byte {
	if e.issued() == 0 && e.mixed().bytes == 0 {
		return out
	}
	problem := ""
	if e.errno != 0 {
		problem = " (" + prose.PrintableLine(e.problem) + ")"
	}
	out = fmt.Appendf(out, "%s: (groupid=%d, jobs=%d): err=%2d%s: pid=%d: %s\n", prose.PrintableLine(e.name), e.groupID, e.members, e.errno, problem, e.pid,
		d.result.EndedAt.In(d.options.Location).Format(clock))
	if e.description != "" {
		out = fmt.Appendf(out, "  Description  : [%s]\n", prose.PrintableLine(e.description))
	}
	for dir := range workloads.Direction(workloads.Directions) {
		name := dir.String()
		if d.options.Unified == Mixed {
			name = "mixed"
		}
		out = d.normalDirection(out, e, dir, name, &e.dirs[dir])
	}
	if d.options.Unified == Both {
		out = d.normalDirection(out, e, workloads.Read, "mixed", e.mixed())
	}
	out = normalSpans(out, "nsec", e.spans.ns[:], e.issued())
	out = normalSpans(out, "usec", e.spans.us[:], e.issued())
	out = normalSpans(out, "msec", e.spans.ms[:], e.issued())
	if e.sync.lat.n > 0 {
		out = append(out, "  fsync/fdatasync/sync_file_range/syncfs:\n"...)
		out = normalLatency(out, "sync", &e.sync.lat)
		out = d.normalPercentiles(out, "sync", &e.sync.lat)
	}
	out = fmt.Appendf(out, "  cpu          : usr=%3.2f%%, sys=%3.2f%%, ctx=%d, majf=%d, minf=%d\n",
		e.cpuPercent(e.userMS), e.cpuPercent(e.sysMS), e.switches, e.major, e.minor)
	out = normalLevels(out, "  IO depths    :", depthNames(), e.depth.percent(e.issued()))
	out = normalLevels(out, "     submit    :", batchNames(), e.submit.percent(e.submit.total))
	out = normalLevels(out, "     complete  :", batchNames(), e.complete.percent(e.complete.total))
	r, w, t := &e.dirs[workloads.Read], &e.dirs[workloads.Write], &e.dirs[workloads.Trim]
	out = fmt.Appendf(out, "     issued rwts: total=%d,%d,%d,%d short=%d,%d,%d,0 dropped=0,0,0,0\n",
		r.issued, w.issued, t.issued, e.sync.n, r.short, w.short, t.short)
	if e.continueOnError {
		out = fmt.Appendf(out, "     errors    : total=%d, first_error=%d/<%s>\n", e.errors, e.firstErrno, strerror(e.firstErrno))
	}
	if e.spec.IODepth > 0 {
		out = fmt.Appendf(out, "     latency   : target=%s, window=%s, percentile=%.2f%%, depth=%d\n",
			scaleNS(e.spec.LatencyTargetNS), scaleNS(e.spec.LatencyWindowNS), e.spec.LatencyPercent, e.latencyDepth)
	}
	return out
}

// scaleNS prints a time in a unit in which it is 2 or more.
func scaleNS(ns int64) string {
	switch {
	case ns >= 2e9:
		return fmt.Sprintf("%.2fs", float64(ns)/1e9)
	case ns >= 2e6:
		return fmt.Sprintf("%.2fms", float64(ns)/1e6)
	case ns >= 2e3:
		return fmt.Sprintf("%.2fus", float64(ns)/1e3)
	}
	return fmt.Sprintf("%.2fns", float64(ns))
}

func normalLevels(out []byte, title string, names []string, shares [7]float64) []byte {
	out = append(out, title...)
	for i, name := range names {
		separator := ","
		if i == 0 {
			separator = ""
		}
		out = fmt.Appendf(out, "%s %s=%3.1f%%", separator, name, shares[i])
	}
	return append(out, '\n')
}

// normalSpans appends the spans that hold something, five to a line.
func normalSpans(out []byte, unit string, counts []int64, all int64) []byte {
	var cells []string
	for i, n := range counts {
		if share := atLeast(0.01, n, all); share > 0 {
			cells = append(cells, fmt.Sprintf("%s=%3.2f%%", spanNames()[i], share))
		}
	}
	for len(cells) > 0 {
		n := min(5, len(cells))
		out = fmt.Appendf(out, "  lat (%s)   : %s\n", unit, strings.Join(cells[:n], ", "))
		cells = cells[n:]
	}
	return out
}

func (d *document) normalDirection(out []byte, e *entry, dir workloads.Direction, name string, s *direction) []byte {
	if s.runtimeMS == 0 {
		return out
	}
	o := d.options
	bw := s.bytesPerS()
	out = fmt.Appendf(out, "  %s: IOPS=%s, BW=%s (%s)(%s/%dmsec)\n", name, abbreviate(uint64(perSecond(s.issued, s.runtimeMS)), o.Figures, false, ""),
		o.bandwidth(bw, false), o.bandwidth(bw, true), o.bytes(s.bytes, false), s.runtimeMS)
	out = normalLatency(out, "slat", &s.slat)
	out = normalLatency(out, "clat", &s.clat)
	out = normalLatency(out, " lat", &s.lat)
	out = d.normalPriorities(out, s)
	if o.SlatPercentiles {
		out = d.normalPercentiles(out, "slat", &s.slat)
	}
	if o.ClatPercentiles {
		out = d.normalPercentiles(out, "clat", &s.clat)
	}
	if o.LatPercentiles {
		out = d.normalPercentiles(out, "lat", &s.lat)
	}
	out = d.normalPrioPercentiles(out, s)
	if s.bw.n > 0 {
		out = d.normalBandwidth(out, e, dir, &s.bw)
	}
	if r := &s.iops; r.n > 0 {
		out = fmt.Appendf(out, "   iops        : min=%5d, max=%5d, avg=%5.02f, stdev=%5.02f, samples=%d\n", r.min, r.max, r.mean, r.stddev(), r.n)
	}
	return out
}

func (d *document) normalBandwidth(out []byte, e *entry, dir workloads.Direction, r *rate) []byte {
	o := d.options
	binary := o.KBBase == 1024
	low, high, mean, stddev := float64(r.min), float64(r.max), r.mean, r.stddev()
	unit := "KiB"
	if !binary {
		unit = "kB"
	}
	if o.Bits {
		unit = strings.Replace(unit, "B", "bit", 1)
		low, high, mean, stddev = 8*low, 8*high, 8*mean, 8*stddev
	}
	if base := float64(o.KBBase); mean > base*base {
		low, high, mean, stddev = low/base, high/base, mean/base, stddev/base
		unit = "MiB"
		if o.Bits {
			unit = "Mibit"
		}
	}
	return fmt.Appendf(out, "   bw (%5s/s): min=%5d, max=%5d, per=%3.2f%%, avg=%5.02f, stdev=%5.02f, samples=%d\n",
		unit, int64(low), int64(high), d.groups[e.groupID].share(dir, r.mean), mean, stddev, r.n)
}

// normalLatency appends extremes and moments, in a unit that suits all of them.
func normalLatency(out []byte, name string, l *latency) []byte {
	if l.n == 0 {
		return out
	}
	unit, by := "nsec", int64(1)
	switch stddev := l.stddev(); {
	case l.min > 2_000_000 && l.max > 99_999_999 && stddev > 1_000_000:
		unit, by = "msec", 1_000_000
	case l.min > 2000 && l.max > 99_999 && stddev > 1000:
		unit, by = "usec", 1000
	}
	return fmt.Appendf(out, "    %s (%s): min=%s, max=%s, avg=%5.02f, stdev=%5.02f\n", name, unit,
		abbreviate(uint64(l.min/by), 6, false, ""), abbreviate(uint64(l.max/by), 6, false, ""), l.mean/float64(by), l.stddev()/float64(by))
}

// normalPercentiles appends the table of percentiles, scaled down when all of them allow it; what is
// scaled is rounded up.
func (d *document) normalPercentiles(out []byte, name string, l *latency) []byte {
	percents := d.options.Percentiles
	if l.n == 0 || len(percents) == 0 {
		return out
	}
	values := l.bins.percentiles(percents)
	low, high := values[0], values[len(values)-1]
	unit, steps, by := "nsec", 0, int64(1)
	switch {
	case low > 2_000_000 && high > 99_999_999:
		unit, steps, by = "msec", 2, 1_000_000
	case low > 2000 && high > 99_999:
		unit, steps, by = "usec", 1, 1000
	}
	precision := 0 // as many decimals as the percentile with the most has
	for _, percent := range percents {
		_, decimals, _ := strings.Cut(strconv.FormatFloat(percent, 'f', -1, 64), ".")
		precision = max(precision, len(decimals))
	}
	width := 5
	if high >= by {
		width = max(width, int(math.Log10(float64(high/by))+1))
	}
	perLine := (80 - 7) / (precision + 10 + width)
	out = fmt.Appendf(out, "    %s percentiles (%s):\n     |", name, unit)
	for i, v := range values {
		if i > 0 && i%perLine == 0 {
			out = append(out, "     |"...)
		}
		for range steps {
			v = (v + 999) / 1000
		}
		end := ","
		switch {
		case i == len(values)-1:
			end = "\n"
		case i%perLine == perLine-1:
			end = ",\n"
		}
		out = fmt.Appendf(out, " %*.*fth=[%*d]%s", precision+3, precision, percents[i], width, v, end)
	}
	return out
}

func (d *document) normalGroup(out []byte, id int) []byte {
	o := d.options
	g := &d.groups[id]
	out = fmt.Appendf(out, "\nRun status group %d (all jobs):\n", id)
	line := func(name string, bw, low, high, bytes, shortest, longest int64) {
		out = fmt.Appendf(out, "%7s: bw=%s (%s), %s-%s (%s-%s), io=%s (%s), run=%d-%dmsec\n", name,
			o.bandwidth(bw, false), o.bandwidth(bw, true), o.bandwidth(low, false), o.bandwidth(high, false),
			o.bandwidth(low, true), o.bandwidth(high, true), o.bytes(bytes, false), o.bytes(bytes, true), shortest, longest)
	}
	var all struct{ bw, low, high, bytes, shortest, longest int64 }
	for dir := range workloads.Direction(workloads.Directions) {
		if g.maxRun[dir] == 0 {
			continue
		}
		name := strings.ToUpper(dir.String())
		if o.Unified == Mixed {
			name = "MIXED"
		}
		line(name, g.bw[dir], g.minBW[dir], g.maxBW[dir], g.bytes[dir], g.minRun[dir], g.maxRun[dir])
		if all.longest == 0 {
			all.low, all.shortest = g.minBW[dir], g.minRun[dir]
		}
		all.bw += g.bw[dir]
		all.bytes += g.bytes[dir]
		all.low, all.high = min(all.low, g.minBW[dir]), max(all.high, g.maxBW[dir])
		all.shortest, all.longest = min(all.shortest, g.minRun[dir]), max(all.longest, g.maxRun[dir])
	}
	if o.Unified == Both && all.longest > 0 {
		line("MIXED", all.bw, all.low, all.high, all.bytes, all.shortest, all.longest)
	}
	return out
}
