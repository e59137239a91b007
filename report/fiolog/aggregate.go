package fiolog

import (
	"errors"
	"io"
	"time"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Aggregate writes what fio's --bandwidth-log does: PREFIX-read_bw.log, PREFIX-write_bw.log and
// PREFIX-trim_bw.log, where fio's prefix is agg; each with the bandwidth of all jobs together in KiB/s, one line for every second, also for those in
// which nothing moved. It is made of the Result's series.
func Aggregate(r *report.Result, prefix string, create func(name string, shared bool) (io.WriteCloser, error)) error {
	for d := range workloads.Direction(workloads.Directions) {
		name := prefix + "-" + d.String() + "_bw.log"
		out, err := create(name, false)
		if err != nil {
			return cannotWrite(err, name)
		}
		_, err = out.Write(aggregate(r, d))
		if err := errors.Join(err, out.Close()); err != nil {
			return cannotWrite(err, name)
		}
	}
	return nil
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
