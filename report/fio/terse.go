package fio

import (
	"fmt"

	"github.com/blkmeter/blkmeter/internal/prose"
	"github.com/blkmeter/blkmeter/workloads"
)

// terse appends a line of semicolon-separated fields for each entry.
func (d *document) terse(out []byte) []byte {
	o := d.options
	version := o.TerseVersion
	for _, e := range d.entries {
		if version == 2 {
			out = fmt.Appendf(out, "2;%s;%d;%d", prose.PrintableLine(e.name), e.groupID, e.errno)
		} else {
			out = fmt.Appendf(out, "%d;%s;%s;%d;%d", version, o.Version, prose.PrintableLine(e.name), e.groupID, e.errno)
		}
		out = d.terseDirection(out, e, workloads.Read, &e.dirs[workloads.Read])
		if o.Unified != Mixed {
			out = d.terseDirection(out, e, workloads.Write, &e.dirs[workloads.Write])
			if version != 3 {
				out = d.terseDirection(out, e, workloads.Trim, &e.dirs[workloads.Trim])
			}
		}
		if o.Unified == Both {
			out = d.terseDirection(out, e, workloads.Read, e.mixed())
		}
		out = fmt.Appendf(out, ";%f%%;%f%%;%d;%d;%d", e.cpuPercent(e.userMS), e.cpuPercent(e.sysMS), e.switches, e.major, e.minor)
		for _, share := range e.depth.percent(e.issued()) {
			out = fmt.Appendf(out, ";%3.1f%%", share)
		}
		out = e.terseSpans(out)
		if version >= 3 {
			for _, disk := range d.disks {
				out = fmt.Appendf(out, ";%s;%d;%d;%d;%d;%d;%d;%d;%3.2f%%", disk.name, disk.ReadIOs, disk.WriteIOs,
					disk.ReadMerges, disk.WriteMerges, disk.ReadTicksMS, disk.WriteTicksMS, disk.InQueueMS, disk.utilPercent())
			}
		}
		if e.continueOnError {
			out = fmt.Appendf(out, ";%d;%d", e.errors, e.firstErrno)
		}
		if e.description != "" {
			if version == 2 {
				out = append(out, '\n')
			}
			out = fmt.Appendf(out, ";%s", prose.PrintableLine(e.description))
		}
		out = append(out, '\n')
	}
	return out
}

// terseSpans appends the spans in us and ms; those in ns are part of the first one.
func (e *entry) terseSpans(out []byte) []byte {
	all := e.issued()
	var ns int64
	for _, n := range e.spans.ns {
		ns += n
	}
	for i, n := range e.spans.us {
		share := atLeast(0.01, n, all)
		if i == 0 {
			share += atLeast(0, ns, all)
		}
		out = fmt.Appendf(out, ";%3.2f%%", share)
	}
	for _, n := range e.spans.ms {
		out = fmt.Appendf(out, ";%3.2f%%", atLeast(0.01, n, all))
	}
	return out
}

func (d *document) terseDirection(out []byte, e *entry, dir workloads.Direction, s *direction) []byte {
	o := d.options
	out = fmt.Appendf(out, ";%d;%d;%d;%d", s.bytes>>10, s.bytesPerS()/1024, perSecond(s.issued, s.runtimeMS), s.runtimeMS)
	out = terseLatency(out, &s.slat)
	out = terseLatency(out, &s.clat)

	var percents []float64
	var values []int64
	switch {
	case o.LatPercentiles:
		percents, values = o.Percentiles, s.lat.bins.percentiles(o.Percentiles)
	case o.ClatPercentiles:
		percents, values = o.Percentiles, s.clat.bins.percentiles(o.Percentiles)
	}
	for i := range mostPercentiles {
		if i < len(percents) {
			out = fmt.Appendf(out, ";%f%%=%d", percents[i], values[i]/1000)
		} else {
			out = append(out, ";0%=0"...)
		}
	}
	out = terseLatency(out, &s.lat)

	var share float64
	if s.bw.n > 0 {
		share = 100
		if group := d.groups[e.groupID].bw[dir] / 1024; group > 0 {
			share = min(100, s.bw.mean*100/float64(group))
		}
	}
	out = fmt.Appendf(out, ";%d;%d;%f%%;%f;%f", s.bw.min, s.bw.max, share, s.bw.mean, s.bw.stddev())
	if o.TerseVersion == 5 {
		out = fmt.Appendf(out, ";%d;%d;%d;%f;%f;%d", s.bw.n, s.iops.min, s.iops.max, s.iops.mean, s.iops.stddev(), s.iops.n)
	}
	return out
}

// terseLatency appends extremes and moments in us.
func terseLatency(out []byte, l *latency) []byte {
	return fmt.Appendf(out, ";%d;%d;%f;%f", l.min/1000, l.max/1000, l.mean/1000, l.stddev()/1000)
}
