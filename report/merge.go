package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/blkmeter/blkmeter/workloads"
)

// Merge returns what workers did together. Counts add up; histograms are added bucket by bucket, so
// nothing is lost, and percentiles are taken from the sum; means and variances are combined exactly. The
// window is the longest of the workers' and starts with the first of them; the error is that of the first
// worker that has one. The rates' minima, maxima and deviations come from series, which is what all
// workers together did in each window; without a series they stay zero.
//
// It fails when a histogram cannot be decoded, which for a Result of this program means a damaged file.
func Merge(workers []Worker, series []Interval) (Stats, error) {
	var sum Stats
	for i := range workers {
		w := &workers[i].Stats
		if sum.Error == nil {
			sum.Error = w.Error
		}
		if i == 0 || w.StartNS < sum.StartNS {
			sum.StartNS = w.StartNS
		}
		sum.RuntimeNS = max(sum.RuntimeNS, w.RuntimeNS)
		sum.Syscalls += w.Syscalls
		sum.TotalErrors += w.TotalErrors
		sum.FirstErrno = cmp.Or(sum.FirstErrno, w.FirstErrno)
		sum.RingOverflow += w.RingOverflow
		sum.LateArrivals += w.LateArrivals
		sum.Arrivals += w.Arrivals
	}
	all := collect(workers, func(s *Stats) *Stats { return s })
	sum.Depth = mergeBuckets(all, func(s *Stats) []CountBucket { return s.Depth })
	sum.SubmitBatch = mergeBuckets(all, func(s *Stats) []CountBucket { return s.SubmitBatch })
	sum.ReapBatch = mergeBuckets(all, func(s *Stats) []CountBucket { return s.ReapBatch })

	var err error
	for d, into := range []**DirStats{&sum.Read, &sum.Write, &sum.Trim} {
		dir := workloads.Direction(d)
		if *into, err = mergeDirection(collect(workers, func(s *Stats) *DirStats { return s.Dir(dir) })); err != nil {
			return Stats{}, fmt.Errorf("merge workers' %s: %w", dir, err)
		}
		if *into != nil {
			(*into).IOPSRate, (*into).BWRate = Rates(series, dir)
		}
	}
	if sum.Sync, err = mergeSync(collect(workers, func(s *Stats) *SyncStats { return s.Sync })); err != nil {
		return Stats{}, fmt.Errorf("merge workers' syncs: %w", err)
	}
	if sum.Verify, err = mergeVerify(collect(workers, func(s *Stats) *VerifyStats { return s.Verify })); err != nil {
		return Stats{}, fmt.Errorf("merge workers' checks: %w", err)
	}
	sum.CPU = mergeCPU(collect(workers, func(s *Stats) *CPU { return &s.CPU }), sum.ios())
	return sum, nil
}

// collect returns the workers' parts that are there.
func collect[T any](workers []Worker, part func(*Stats) *T) []*T {
	var parts []*T
	for i := range workers {
		if p := part(&workers[i].Stats); p != nil {
			parts = append(parts, p)
		}
	}
	return parts
}

// ios is the number of I/Os done in full, syncs not counted.
func (s *Stats) ios() int64 {
	var n int64
	for _, d := range []*DirStats{s.Read, s.Write, s.Trim} {
		if d != nil {
			n += d.IOs
		}
	}
	return n
}

func mergeDirection(parts []*DirStats) (*DirStats, error) {
	if len(parts) == 0 {
		return nil, nil
	}
	sum := &DirStats{}
	for _, p := range parts {
		sum.IOs += p.IOs
		sum.Bytes += p.Bytes
		sum.Issued += p.Issued
		sum.Short += p.Short
		sum.Errors += p.Errors
		sum.RuntimeNS = max(sum.RuntimeNS, p.RuntimeNS)
	}
	if sum.RuntimeNS > 0 {
		seconds := float64(sum.RuntimeNS) / 1e9
		sum.IOPS = float64(sum.IOs) / seconds
		sum.BW = float64(sum.Bytes) / seconds
	}
	for _, l := range []struct {
		into *(*Latency)
		of   func(*DirStats) *Latency
	}{
		{&sum.Slat, func(d *DirStats) *Latency { return d.Slat }},
		{&sum.Clat, func(d *DirStats) *Latency { return d.Clat }},
		{&sum.Lat, func(d *DirStats) *Latency { return d.Lat }},
		{&sum.Response, func(d *DirStats) *Latency { return d.Response }},
	} {
		var latencies []*Latency
		for _, p := range parts {
			latencies = append(latencies, l.of(p))
		}
		merged, err := MergeLatencies(latencies)
		if err != nil {
			return nil, err
		}
		*l.into = merged
	}
	var err error
	sum.Priorities, err = mergePriorities(parts)
	return sum, err
}

// mergePriorities adds up what the parts say of the same priority, in the order of first mention.
func mergePriorities(parts []*DirStats) ([]PriorityStats, error) {
	var sums []PriorityStats
	for _, part := range parts {
		for _, p := range part.Priorities {
			i := slices.IndexFunc(sums, func(s PriorityStats) bool {
				return s.Class == p.Class && s.Level == p.Level && s.Hint == p.Hint
			})
			if i < 0 {
				sums = append(sums, p)
				continue
			}
			s := &sums[i]
			s.IOs += p.IOs
			for _, l := range []struct {
				into  **Latency
				other *Latency
			}{{&s.Clat, p.Clat}, {&s.Lat, p.Lat}} {
				merged, err := MergeLatencies([]*Latency{*l.into, l.other})
				if err != nil {
					return nil, err
				}
				*l.into = merged
			}
		}
	}
	return sums, nil
}

func mergeSync(parts []*SyncStats) (*SyncStats, error) {
	if len(parts) == 0 {
		return nil, nil
	}
	sum := &SyncStats{}
	var latencies []*Latency
	for _, p := range parts {
		sum.IOs += p.IOs
		sum.Errors += p.Errors
		latencies = append(latencies, p.Lat)
	}
	var err error
	sum.Lat, err = MergeLatencies(latencies)
	return sum, err
}

func mergeCPU(parts []*CPU, ios int64) CPU {
	var sum CPU
	for _, c := range parts {
		sum.UserNS += c.UserNS
		sum.SysNS += c.SysNS
		sum.VoluntarySwitches += c.VoluntarySwitches
		sum.PreemptionSwitches += c.PreemptionSwitches
		sum.MinorFaults += c.MinorFaults
		sum.MajorFaults += c.MajorFaults
	}
	if ios > 0 {
		sum.UserPerIONS = float64(sum.UserNS) / float64(ios)
		sum.SysPerIONS = float64(sum.SysNS) / float64(ios)
	}
	return sum
}

func mergeBuckets[T any](parts []*T, of func(*T) []CountBucket) []CountBucket {
	counts := map[int]int64{}
	for _, p := range parts {
		for _, b := range of(p) {
			counts[b.Value] += b.Count
		}
	}
	merged := make([]CountBucket, 0, len(counts))
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		merged = append(merged, CountBucket{Value: v, Count: counts[v]})
	}
	return merged
}

// MergeLatencies returns the distribution of all samples together; nil entries have none. Variances are
// combined as Chan, Golub and LeVeque do it ("Updating Formulae and a Pairwise Algorithm for Computing
// Sample Variances", 1979): the sum of squares within the parts plus that between their means.
func MergeLatencies(parts []*Latency) (*Latency, error) {
	parts = slices.DeleteFunc(slices.Clone(parts), func(l *Latency) bool { return l == nil || l.N == 0 })
	switch len(parts) {
	case 0:
		return nil, nil
	case 1:
		return parts[0], nil
	}
	h := NewHistogram()
	var n, clamped int64
	low, high := parts[0].MinNS, parts[0].MaxNS
	var total float64
	for _, p := range parts {
		buckets, err := p.Buckets()
		if err != nil {
			return nil, err
		}
		if err := record(h, buckets); err != nil {
			return nil, err
		}
		n += p.N
		clamped += p.Clamped
		low, high = min(low, p.MinNS), max(high, p.MaxNS)
		total += float64(p.N) * p.MeanNS
	}
	mean := total / float64(n)
	var squares float64
	for _, p := range parts {
		fromMean := p.MeanNS - mean
		squares += float64(p.N-1)*p.StddevNS*p.StddevNS + float64(p.N)*fromMean*fromMean
	}
	var stddev float64
	if n > 1 {
		stddev = math.Sqrt(squares / float64(n-1))
	}
	return LatencyOf(h, n, low, high, mean, stddev, clamped), nil
}

// Rates summarises the full windows of a series in one direction. The last window is left out when it is
// shorter than the one before it: a rate over 3 ms says nothing about a window of 500.
func Rates(series []Interval, d workloads.Direction) (iops, bw Rate) {
	if n := len(series); n > 1 && series[n-1].LengthNS < series[n-2].LengthNS {
		series = series[:n-1]
	}
	var ios, bytes []float64
	for i := range series {
		if s := series[i].Dir(d); s != nil {
			ios = append(ios, s.IOPS)
			bytes = append(bytes, s.BW)
		}
	}
	return RateOf(ios), RateOf(bytes)
}

// Dir returns the window's direction d, or nil.
func (i *Interval) Dir(d workloads.Direction) *IntervalStat {
	switch d {
	case workloads.Read:
		return i.Read
	case workloads.Write:
		return i.Write
	default:
		return i.Trim
	}
}

// RateOf summarises samples; without any it is zero.
func RateOf(samples []float64) Rate {
	if len(samples) == 0 {
		return Rate{}
	}
	var sum, squares float64
	for _, s := range samples {
		sum += s
	}
	r := Rate{Min: slices.Min(samples), Max: slices.Max(samples), Mean: sum / float64(len(samples)), N: int64(len(samples))}
	for _, s := range samples {
		squares += (s - r.Mean) * (s - r.Mean)
	}
	if r.N > 1 {
		r.Stddev = math.Sqrt(squares / float64(r.N-1))
	}
	return r
}
