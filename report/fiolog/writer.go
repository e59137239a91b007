package fiolog

import (
	"strconv"

	"github.com/blkmeter/blkmeter/workloads"
)

// writer formats what a recorder hands over.
type writer struct {
	options  *Options
	files    [kinds]*file
	recorder *Recorder
	lines    []byte
}

// run writes until the recorder is closed. After a failure it goes on emptying the channel, so that the
// worker does not wait for ever.
func (w *writer) run() {
	defer close(w.recorder.done)
	for b := range w.recorder.full {
		for k := BW; k <= Lat; k++ {
			if w.files[k] != nil {
				w.values(k, &b)
			}
		}
		if w.files[Hist] != nil {
			w.histograms(b.hists)
		}
		if b.ios != nil {
			w.recorder.freeIOs <- b.ios[:0]
		}
		if len(w.recorder.full) == 0 { // time to let readers see it
			for _, f := range w.files {
				if f != nil {
					f.flush()
				}
			}
		}
	}
}

// values writes a batch's lines of one kind.
func (w *writer) values(k Kind, b *batch) {
	w.lines = w.lines[:0]
	for i := range b.ios {
		io := &b.ios[i]
		if v := io.value(k); v >= 0 {
			w.lines = w.options.appendIO(w.lines, k, v, io, w.recorder.epochMS)
		}
	}
	for i := range b.windows {
		for d := range workloads.Direction(workloads.Directions) {
			w.lines = w.options.appendWindow(w.lines, k, d, &b.windows[i], w.recorder.epochMS)
		}
	}
	w.files[k].write(w.lines)
}

// value is the I/O's value in a log; negative for none.
func (io *IO) value(k Kind) int64 {
	switch k {
	case BW:
		if io.ClatNS <= 0 {
			return 0
		}
		return int64(io.Bytes) * 1_000_000 / io.ClatNS
	case IOPS:
		return 1
	case Slat:
		return io.SlatNS
	case Clat:
		return io.ClatNS
	default:
		return io.LatNS
	}
}

// appendIO appends an I/O's line: time, value, direction, bytes, [offset,] priority [, issue time].
func (o *Options) appendIO(line []byte, k Kind, value int64, io *IO, epochMS int64) []byte {
	line = strconv.AppendInt(line, io.EndNS/1e6+epochMS, 10)
	line = appendField(line, value)
	line = appendField(line, int64(io.Dir))
	line = appendField(line, int64(io.Bytes))
	var issued int64
	if k == Slat || k == Clat { // fio knows it only for these
		issued = io.IssueNS
	}
	return o.appendTail(line, io.Offset, io.Priority, issued)
}

// appendTail appends the fields after the size.
func (o *Options) appendTail(line []byte, offset int64, priority uint16, issuedNS int64) []byte {
	if o.Offset {
		line = appendField(line, offset)
	}
	switch {
	case o.Priority:
		const hex = "0123456789abcdef"
		line = append(line, ", 0x"...)
		line = append(line, hex[priority>>12], hex[priority>>8&15], hex[priority>>4&15], hex[priority&15])
	case priority>>13 == realTime:
		line = append(line, ", 1"...)
	default:
		line = append(line, ", 0"...)
	}
	if o.IssueTime {
		line = appendField(line, issuedNS)
	}
	return append(line, '\n')
}

// realTime is the class IOPRIO_CLASS_RT of include/uapi/linux/ioprio.h.
const realTime = 1

func appendField(line []byte, v int64) []byte {
	return strconv.AppendInt(append(line, ", "...), v, 10)
}

// appendWindow appends a window's line of one direction, if there is anything to tell.
func (o *Options) appendWindow(line []byte, k Kind, d workloads.Direction, w *window, epochMS int64) []byte {
	s := &w.dirs[d]
	if s.ios == 0 {
		return line
	}
	var average, most int64
	switch k {
	case BW:
		average = w.perSecond(float64(s.bytes) / 1024)
		most = average
	case IOPS:
		average = w.perSecond(float64(s.ios))
		most = average
	case Slat:
		if s.slat < 0 { // a sync engine's: every I/O's is negative
			return line
		}
		average, most = (s.slat+s.ios/2)/s.ios, s.mostS
	case Clat:
		average, most = (s.clat+s.ios/2)/s.ios, s.mostC
	default:
		average, most = (s.lat+s.ios/2)/s.ios, s.most
	}
	line = strconv.AppendInt(line, w.endNS/1e6+epochMS, 10)
	switch o.Value {
	case Average:
		line = appendField(line, average)
	case Max:
		line = appendField(line, most)
	case AverageAndMax:
		line = appendField(appendField(line, average), most)
	}
	line = appendField(line, int64(d))
	line = appendField(line, 0) // windows have no size
	return o.appendTail(line, 0, 0, 0)
}

// perSecond turns what moved in the window into a rate; windows shorter than a millisecond count as one.
func (w *window) perSecond(n float64) int64 {
	return int64(n * 1e9 / float64(max(1e6, w.endNS-w.startNS)))
}

// histograms writes a line for each: time, direction, bytes, counts.
func (w *writer) histograms(hists []*histogram) {
	w.lines = w.lines[:0]
	stride := 1 << w.options.Coarseness
	for _, h := range hists {
		w.lines = strconv.AppendInt(w.lines, h.endNS/1e6+w.recorder.epochMS, 10)
		w.lines = appendField(w.lines, int64(h.dir))
		w.lines = appendField(w.lines, int64(h.bytes))
		for i := 0; i < len(h.bins); i += stride {
			var n int64
			for _, c := range h.bins[i : i+stride] {
				n += int64(c)
			}
			w.lines = appendField(w.lines, n)
		}
		w.lines = append(w.lines, '\n')
		w.recorder.freeHists <- h
	}
	w.files[Hist].write(w.lines)
}
