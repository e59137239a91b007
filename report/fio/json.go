package fio

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/blkmeter/blkmeter/workloads"
)

// printer writes JSON in fio's layout: two blanks per level, a blank on either side of the colon, floats
// with six decimals, the outermost braces alone on their lines.
type printer struct {
	out   []byte
	level int
	some  bool // the object or array has a member already
}

// member starts a member; arrays' members have no key.
func (p *printer) member(key string) {
	if p.some {
		p.out = append(p.out, ',')
	}
	p.line()
	p.some = true
	if key != "" {
		p.out = append(appendString(p.out, key), " : "...)
	}
}

// line begins a new line at the current level.
func (p *printer) line() {
	p.out = append(p.out, '\n')
	for range p.level {
		p.out = append(p.out, "  "...)
	}
}

// nest writes an object or array whose members inside writes.
func (p *printer) nest(brackets string, inside func()) {
	p.out = append(p.out, brackets[0])
	p.level++
	p.some = false
	inside()
	p.level--
	if !p.some {
		p.out = append(p.out, '\n') // an empty one, too, has a line of its own
	}
	p.line()
	p.out = append(p.out, brackets[1])
	p.some = true
}

func (p *printer) object(key string, inside func()) {
	p.member(key)
	p.nest("{}", inside)
}

func (p *printer) array(key string, inside func()) {
	p.member(key)
	p.nest("[]", inside)
}

func (p *printer) int(key string, v int64) {
	p.member(key)
	p.out = strconv.AppendInt(p.out, v, 10)
}

// float writes a number; infinities, which only figures beyond all measure add up to and JSON has no word for, as 0.
func (p *printer) float(key string, v float64) {
	p.member(key)
	if math.IsInf(v, 0) || math.IsNaN(v) {
		v = 0
	}
	p.out = strconv.AppendFloat(p.out, v, 'f', 6, 64)
}

func (p *printer) string(key, v string) {
	p.member(key)
	p.out = appendString(p.out, v)
}

// appendString quotes s as fio does, and escapes what fio forgets to: control characters and bytes that
// are not UTF-8, which would make the document invalid.
func appendString(out []byte, s string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r < ' ':
			out = append(out, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '"')
}

// json appends the JSON document; plus adds the bins.
func (d *document) json(out []byte, plus bool) []byte {
	p := &printer{out: out}
	r := d.result
	ended := r.EndedAt.In(d.options.Location)
	p.nest("{}", func() {
		p.string("fio version", d.options.Version)
		p.int("timestamp", ended.Unix())
		p.int("timestamp_ms", ended.UnixMilli())
		p.string("time", ended.Format(clock))
		p.options("global options", r.Globals)
		p.array("jobs", func() {
			for _, e := range d.entries {
				p.object("", func() { d.job(p, e, plus) })
			}
		})
		if len(d.disks) > 0 {
			p.array("disk_util", func() {
				for _, disk := range d.disks {
					p.object("", func() { disk.json(p) })
				}
			})
		}
		if idle := r.Idle; idle != nil {
			p.object("cpu_idleness", func() {
				p.float("system", idle.Percent)
				for _, c := range idle.CPUs {
					p.float("cpu-"+strconv.Itoa(c.CPU), c.Percent)
				}
				p.float("unit_mean", 0) // fio's unit of work, by which it measures; the kernel's count needs none
				p.float("unit_stddev", 0)
			})
		}
	})
	return append(p.out, '\n')
}

// clock is the layout of the C library's ctime.
const clock = "Mon Jan _2 15:04:05 2006"

// options echoes options as typed, a repeated one as often as it was given; there is no empty echo.
func (p *printer) options(key string, options []workloads.Option) {
	if len(options) == 0 {
		return
	}
	p.object(key, func() {
		for _, o := range options {
			p.string(o.Name, o.Value)
		}
	})
}

func (d *document) job(p *printer, e *entry, plus bool) {
	o := d.options
	p.string("jobname", e.name)
	p.int("groupid", int64(e.groupID))
	start := e.startMS
	if e.skipped {
		start = 0
	}
	p.int("job_start", start)
	p.int("error", int64(e.errno))
	p.int("eta", o.ETA)
	p.int("elapsed", (d.result.ElapsedNS+999_999_999)/1e9)
	p.options("job options", e.options)
	if o.Unified == Mixed {
		p.object("mixed", func() { d.direction(p, e, workloads.Read, &e.dirs[workloads.Read], plus) })
	} else {
		for dir := range workloads.Direction(workloads.Directions) {
			p.object(dir.String(), func() { d.direction(p, e, dir, &e.dirs[dir], plus) })
		}
		p.object("sync", func() {
			p.int("total_ios", e.sync.n)
			p.latency("lat_ns", &e.sync.lat, o, o.ClatPercentiles || o.LatPercentiles, plus)
		})
	}
	if o.Unified == Both {
		p.object("mixed", func() { d.direction(p, e, workloads.Read, e.mixed(), plus) })
	}
	p.int("job_runtime", e.runtimeMS)
	p.float("usr_cpu", e.cpuPercent(e.userMS))
	p.float("sys_cpu", e.cpuPercent(e.sysMS))
	p.int("ctx", e.switches)
	p.int("majf", e.major)
	p.int("minf", e.minor)
	p.levels("iodepth_level", depthNames(), e.depth.percent(e.issued()))
	p.levels("iodepth_submit", batchNames(), e.submit.percent(e.submit.total))
	p.levels("iodepth_complete", batchNames(), e.complete.percent(e.complete.total))
	p.spans("latency_ns", e.spans.ns[:], e.issued())
	p.spans("latency_us", e.spans.us[:], e.issued())
	p.spans("latency_ms", e.spans.ms[:], e.issued())
	if e.continueOnError {
		p.int("total_err", e.errors)
		p.int("first_error", int64(e.firstErrno))
	}
	if e.spec.IODepth > 0 && !e.skipped {
		p.int("latency_depth", int64(e.latencyDepth))
		p.int("latency_target", e.spec.LatencyTargetNS)
		p.int("latency_target_ns", e.spec.LatencyTargetNS)
		p.float("latency_percentile", e.spec.LatencyPercent)
		p.int("latency_window", e.spec.LatencyWindowNS/1000)
		p.int("latency_window_us", e.spec.LatencyWindowNS/1000)
	}
	if e.description != "" {
		p.string("desc", e.description)
	}
	if e.steady != nil {
		e.steady.print(p)
	}
}

func depthNames() []string { return []string{"1", "2", "4", "8", "16", "32", ">=64"} }
func batchNames() []string { return []string{"0", "4", "8", "16", "32", "64", ">=64"} }

func (p *printer) levels(key string, names []string, shares [7]float64) {
	p.object(key, func() {
		for i, name := range names {
			p.float(name, shares[i])
		}
	})
}

func (p *printer) spans(key string, counts []int64, all int64) {
	names := spanNames()
	p.object(key, func() {
		for i, n := range counts {
			p.float(names[i], atLeast(0.01, n, all))
		}
	})
}

func (d *document) direction(p *printer, e *entry, dir workloads.Direction, s *direction, plus bool) {
	o := d.options
	bw := s.bytesPerS()
	var iops float64
	if s.runtimeMS > 0 {
		iops = 1000 * float64(s.issued) / float64(s.runtimeMS)
	}
	p.int("io_bytes", s.bytes)
	p.int("io_kbytes", s.bytes>>10)
	p.int("bw_bytes", bw)
	p.int("bw", bw/1024)
	p.float("iops", iops)
	p.int("runtime", s.runtimeMS)
	p.int("total_ios", s.issued)
	p.int("short_ios", s.short)
	p.int("drop_ios", 0)
	p.latency("slat_ns", &s.slat, o, o.SlatPercentiles, plus)
	p.latency("clat_ns", &s.clat, o, o.ClatPercentiles, plus)
	p.latency("lat_ns", &s.lat, o, o.LatPercentiles, plus)
	p.priorities(s, o, plus)
	var share float64
	if s.bw.n > 0 {
		share = d.groups[e.groupID].share(dir, s.bw.mean)
	}
	p.int("bw_min", s.bw.min)
	p.int("bw_max", s.bw.max)
	p.float("bw_agg", share)
	p.float("bw_mean", s.bw.mean)
	p.float("bw_dev", s.bw.stddev())
	p.int("bw_samples", s.bw.n)
	p.int("iops_min", s.iops.min)
	p.int("iops_max", s.iops.max)
	p.float("iops_mean", s.iops.mean)
	p.float("iops_stddev", s.iops.stddev())
	p.int("iops_samples", s.iops.n)
}

func (p *printer) latency(key string, l *latency, o *Options, percentiles, plus bool) {
	p.object(key, func() {
		p.int("min", l.min)
		p.int("max", l.max)
		p.float("mean", l.mean)
		p.float("stddev", l.stddev())
		p.int("N", l.n)
		if !percentiles || l.n == 0 {
			return
		}
		p.object("percentile", func() {
			for i, v := range l.bins.percentiles(o.Percentiles) {
				p.int(percentName(o.Percentiles[i]), v)
			}
		})
		if plus {
			p.object("bins", func() {
				for i, n := range l.bins {
					if n > 0 {
						p.int(strconv.FormatInt(binValue(i), 10), n)
					}
				}
			})
		}
	})
}

// percentName prints a percentile as fio's keys do: "99.900000".
func percentName(p float64) string { return strconv.FormatFloat(p, 'f', 6, 64) }

func (d disk) json(p *printer) {
	p.string("name", d.name)
	p.int("read_ios", d.ReadIOs)
	p.int("write_ios", d.WriteIOs)
	p.int("read_sectors", d.ReadBytes/512)
	p.int("write_sectors", d.WriteBytes/512)
	p.int("read_merges", d.ReadMerges)
	p.int("write_merges", d.WriteMerges)
	p.int("read_ticks", d.ReadTicksMS)
	p.int("write_ticks", d.WriteTicksMS)
	p.int("in_queue", d.InQueueMS)
	p.float("util", d.utilPercent())
}
