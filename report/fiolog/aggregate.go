package fiolog

import (
	"errors"
	"io"
	"time"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Aggregate is the logs of fio's --bandwidth-log: PREFIX-read_bw.log, PREFIX-write_bw.log and
// PREFIX-trim_bw.log, where fio's prefix is agg.
type Aggregate struct {
	names [workloads.Directions]string
	files [workloads.Directions]io.WriteCloser
}

// OpenAggregate creates the files.
func OpenAggregate(prefix string, create func(name string, shared bool) (io.WriteCloser, error)) (*Aggregate, error) {
	a := &Aggregate{}
	for d := range workloads.Direction(workloads.Directions) {
		a.names[d] = prefix + "-" + d.String() + "_bw.log"
		out, err := create(a.names[d], false)
		if err != nil {
			return nil, errors.Join(cannotWrite(err, a.names[d]), a.Close(nil))
		}
		a.files[d] = out
	}
	return a, nil
}

// Close writes the bandwidth of all jobs together in KiB/s, one line for every second, also for those in
// which nothing moved. It is made of the Result's series; of nil, the files stay empty.
func (a *Aggregate) Close(r *report.Result) error {
	var first error
	for d, f := range a.files {
		if f == nil {
			continue
		}
		var err error
		if r != nil {
			_, err = f.Write(aggregate(r, workloads.Direction(d)))
		}
		if err = errors.Join(err, f.Close()); err != nil && first == nil {
			first = cannotWrite(err, a.names[d])
		}
	}
	return first
}

func aggregate(r *report.Result, d workloads.Direction) []byte {
	var bytes []int64 // by second
	for i := range r.Jobs {
		j := &r.Jobs[i]
		for k := range j.Series {
			second := int((j.StartNS + j.Series[k].StartNS) / int64(time.Second))
			for second >= len(bytes) {
				bytes = append(bytes, 0)
			}
			if s := j.Series[k].Dir(d); s != nil {
				bytes[second] += s.Bytes
			}
		}
	}
	var lines []byte
	for second, n := range bytes {
		w := window{startNS: int64(second) * 1e9, endNS: int64(second+1) * 1e9}
		w.dirs[d] = sums{ios: 1, bytes: n}
		lines = (&Options{}).appendWindow(lines, BW, d, &w, 0)
	}
	return lines
}
