// Package fio writes a Result in the formats of the fio benchmark: JSON, JSON+, terse 2 to 5 and the text
// that it calls normal. Exporters, plotters and scripts parse these, so that names, order, types, units and
// what is left out when empty are fio's, and so are the values: computed from the full histograms in the
// resolution, and with the meaning, that fio gives them. docs/fio-output.md lists where that meaning is a
// known fault; the Result itself does not share it.
package fio

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Format is a set of fio's output formats.
type Format uint8

// The formats, in the order in which one output holds them.
const (
	Terse Format = 1 << iota
	JSON
	JSONPlus // JSON with every latency's bins
	Normal
)

// ParseFormat reads the value of fio's --output-format: a comma-separated list.
func ParseFormat(list string) (Format, error) {
	var f Format
	for _, name := range strings.Split(list, ",") {
		switch name {
		case "terse", "minimal", "csv":
			f |= Terse
		case "json":
			f |= JSON
		case "json+":
			f |= JSON | JSONPlus
		case "normal":
			f |= Normal
		default:
			return 0, fault.Usage("BAD_FORMAT", "fio's formats are normal, terse, json and json+", "unknown output format %q", name)
		}
	}
	return f, nil
}

// UnifiedRW is fio's unified_rw_reporting.
type UnifiedRW uint8

const (
	Separate UnifiedRW = iota // each direction for itself
	Mixed                     // all directions as one, named "mixed"
	Both                      // each for itself, then mixed
)

// Options say how to render. [OptionsOf] gives those that a Result asks for.
type Options struct {
	Version         string    // the version to claim, as "fio-3.42"; parsers split it at the dash
	TerseVersion    int       // 2 to 5
	Percentiles     []float64 // percentile_list: up to 20, above 0, ascending
	SlatPercentiles bool
	ClatPercentiles bool
	LatPercentiles  bool
	Unified         UnifiedRW
	Figures         int            // significant_figures of normal output, 1 to 10
	KBBase          int            // kb_base: 1024 or 1000, of normal output
	Bits            bool           // unit_base=1: normal output counts bits
	NoDisks         bool           // disk_util=0: the kernel's counters are left out
	Banner          bool           // normal output begins with what was about to run
	ETA             int64          // seconds left, in the documents of a run under way
	Location        *time.Location // of the times of day; nil for the machine's
}

// DefaultOptions returns fio's defaults.
func DefaultOptions() Options {
	return Options{
		Version: "fio-3.42", TerseVersion: 3,
		Percentiles:     []float64{1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99},
		ClatPercentiles: true, Figures: 4, KBBase: 1024,
	}
}

// mostPercentiles is how many percentiles fio keeps, and how many fields terse output has for them.
const mostPercentiles = 20

// OptionsOf returns fio's defaults with what the Result's own options say about reporting: the options of
// the command line and globals, then those of the jobs, the last one winning. Values that cannot be read
// are passed over: whoever ran the job has accepted or refused them.
func OptionsOf(r *report.Result) Options {
	o := DefaultOptions()
	o.apply(r.Globals)
	for i := range r.Jobs {
		o.apply(r.Jobs[i].Options)
	}
	return o
}

func (o *Options) apply(options []workloads.Option) {
	for _, opt := range options {
		number, err := strconv.Atoi(opt.Value)
		numeric := err == nil
		on := opt.Value == "" || numeric && number != 0
		switch opt.Name {
		case "slat_percentiles":
			o.SlatPercentiles = on
		case "clat_percentiles":
			o.ClatPercentiles = on
		case "lat_percentiles":
			o.LatPercentiles = on
		case "percentile_list":
			if list := parsePercentiles(opt.Value); len(list) > 0 {
				o.Percentiles = list
			}
		case "significant_figures":
			if numeric && number >= 1 && number <= 10 {
				o.Figures = number
			}
		case "gtod_reduce":
			if on {
				o.SlatPercentiles, o.ClatPercentiles, o.LatPercentiles = false, false, false
			}
		case "disk_util":
			o.NoDisks = !on
		case "kb_base":
			if number == 1000 || number == 1024 {
				o.KBBase = number
			}
		case "unit_base":
			o.Bits = number == 1
		case "unified_rw_reporting":
			switch opt.Value {
			case "mixed", "1", "":
				o.Unified = Mixed
			case "both", "2":
				o.Unified = Both
			default:
				o.Unified = Separate
			}
		}
	}
}

// hidden is what a job's options keep out of fio's formats.
type hidden struct {
	slat, clat, lat bool
	job             bool // stats=0: all of it
}

// hiddenBy reads options in the order in which they were given.
func hiddenBy(lists ...[]workloads.Option) hidden {
	var h hidden
	for _, o := range slices.Concat(lists...) {
		on := o.Value != "0"
		switch o.Name {
		case "disable_slat":
			h.slat = on
		case "disable_clat":
			h.clat = on
		case "disable_lat":
			h.lat = on
		case "gtod_reduce":
			h.slat, h.clat, h.lat = on, on, on
		case "stats":
			h.job = !on
		}
	}
	return h
}

func parsePercentiles(list string) []float64 {
	var percentiles []float64
	for _, s := range strings.Split(list, ":") {
		p, err := strconv.ParseFloat(s, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return nil
		}
		percentiles = append(percentiles, p)
	}
	slices.Sort(percentiles)
	return percentiles[:min(len(percentiles), mostPercentiles)]
}

// Write renders r in each of the formats to w: terse first, then JSON, then normal, as fio does. It fails
// when w does, or when a histogram of r cannot be decoded.
func Write(w io.Writer, r *report.Result, formats Format, o Options) error {
	o.Percentiles = o.Percentiles[:min(len(o.Percentiles), mostPercentiles)]
	if o.Location == nil {
		o.Location = time.Local
	}
	entries, err := entriesOf(r, &o)
	if err != nil {
		return fmt.Errorf("render as fio: %w", err)
	}
	d := &document{result: r, options: &o, entries: entries, groups: groupsOf(entries)}
	if !o.NoDisks {
		d.disks = disksOf(r)
	}
	var out []byte
	if formats&Normal != 0 && o.Banner {
		out = d.banner(out)
	}
	if formats&Terse != 0 {
		out = d.terse(out)
	}
	if formats&(JSON|JSONPlus) != 0 {
		out = d.json(out, formats&JSONPlus != 0)
	}
	if formats&Normal != 0 {
		out = d.normal(out)
	}
	_, err = w.Write(out)
	return err
}

// document is what the formats have in common.
type document struct {
	result  *report.Result
	options *Options
	entries []*entry
	groups  []group
	disks   []disk
}

// group sums up a reporting group for its "Run status" lines and its entries' share of the bandwidth.
type group struct {
	bytes          [workloads.Directions]int64
	minRun, maxRun [workloads.Directions]int64 // ms
	minBW, maxBW   [workloads.Directions]int64 // bytes/s of an entry
	bw             [workloads.Directions]int64 // bytes/s of all
}

// groupsOf returns the groups by their number.
func groupsOf(entries []*entry) []group {
	var groups []group
	for _, e := range entries {
		for len(groups) <= e.groupID {
			groups = append(groups, group{})
		}
		g := &groups[e.groupID]
		for d := range e.dirs {
			s := &e.dirs[d]
			if s.runtimeMS == 0 {
				continue
			}
			bw := s.bytesPerS()
			if g.maxRun[d] == 0 {
				g.minRun[d], g.minBW[d] = s.runtimeMS, bw
			}
			g.minRun[d], g.maxRun[d] = min(g.minRun[d], s.runtimeMS), max(g.maxRun[d], s.runtimeMS)
			g.minBW[d], g.maxBW[d] = min(g.minBW[d], bw), max(g.maxBW[d], bw)
			g.bytes[d] += s.bytes
		}
	}
	for i := range groups {
		g := &groups[i]
		for d := range g.bytes {
			g.bw[d] = perSecond(g.bytes[d], g.maxRun[d])
		}
	}
	return groups
}

// perSecond is how fio divides: in integers, by milliseconds. The parts keep 1000*n from overflowing.
func perSecond(n, runtimeMS int64) int64 {
	if runtimeMS == 0 {
		return 0
	}
	return n/runtimeMS*1000 + n%runtimeMS*1000/runtimeMS
}

// share is the percentage of the group's bandwidth that a mean in KiB/s is.
func (g *group) share(d workloads.Direction, meanKiB float64) float64 {
	if g.bw[d] <= 1024 {
		return 100
	}
	return min(100, math.Trunc(meanKiB)*100/(float64(g.bw[d])/1024))
}

// disk is the kernel's count for a block device.
type disk struct {
	name string
	*report.KernelCounters
}

// disksOf returns the devices behind the targets, each once.
func disksOf(r *report.Result) []disk {
	var disks []disk
	for i := range r.Targets {
		t := &r.Targets[i]
		known := slices.ContainsFunc(disks, func(d disk) bool { return d.name == t.Device })
		if t.Kernel != nil && t.Device != "" && !known {
			disks = append(disks, disk{t.Device, t.Kernel})
		}
	}
	return disks
}

// utilPercent is the share of the time in which the device was busy.
func (d disk) utilPercent() float64 {
	if d.WindowNS <= 0 {
		return 0
	}
	return min(100, 100*float64(d.IOTicksMS)*1e6/float64(d.WindowNS))
}
