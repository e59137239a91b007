package claims

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/prose"
	"github.com/blkmeter/blkmeter/internal/stats"
)

// explain says in words what the blocks show besides the verdict: where locks were contended, how long waits
// were, how unfairly the lock served.
func (s *session) explain() {
	r := s.r
	r.Explain = []string{}
	var waits, calls, locked, mapped []string
	for _, a := range r.Arms {
		var gaps, jains []float64
		var histograms [][]stats.Bucket
		var perIO averages
		var same, issued float64
		for _, b := range r.Blocks {
			sample, ok := b.Samples[a.Name]
			if !ok {
				continue
			}
			values := sample.Values
			perIO.add(values)
			if n, ok := values[SameCPU]; ok {
				same, issued = same+n, issued+values[IOs]
			}
			if g, ok := sample.Values[GapNS]; ok {
				gaps, jains = append(gaps, g), append(jains, sample.Values[Jain])
			}
			if h, err := histogram(sample.Histogram); err == nil && s.claim.armIsCrowd(a.Name) {
				histograms = append(histograms, h)
			}
		}
		if perIO.shared {
			locked = append(locked, fmt.Sprintf("%s %s (Jain %.2f)", a.Name, prose.Nanoseconds(perIO.lockWaitNS/perIO.ios), perIO.jain/perIO.n))
		}
		if perIO.n > 0 && slices.Contains(s.claim.Explain, syscallsPerIO) {
			calls = append(calls, fmt.Sprintf("%s %.2f", a.Name, perIO.syscalls/perIO.n))
		}
		if issued > 0 {
			mapped = append(mapped, fmt.Sprintf("%s %.0f%%", a.Name, min(100*same/issued, 100)))
		}
		if len(histograms) > 0 {
			p := stats.Quantile(histograms, 0.999)
			line := fmt.Sprintf("%s p99.9 %s, longest gap %s, Jain %.2f", a.Name, prose.Nanoseconds(p), prose.Nanoseconds(slices.Max(gaps)), stats.Mean(jains))
			if stats.Mean(jains) < 0.9 {
				line += " (unfair)"
			}
			waits = append(waits, line)
		}
	}
	r.Explain = append(r.Explain, r.kernelLocks()...)
	for _, line := range []struct {
		what string
		arms []string
	}{
		{syscallsPerIO, calls},
		{"waiting for the lock per I/O", locked},
		{"requests completed on the CPU that issued them", mapped},
	} {
		if len(line.arms) > 0 {
			r.Explain = append(r.Explain, line.what+": "+strings.Join(line.arms, ", "))
		}
	}
	if len(calls) > 0 {
		r.Explain = append(r.Explain, fmt.Sprintf("an empty system call (getppid) takes %s here", prose.Nanoseconds(cpu.SyscallNS())))
	}
	r.Explain = append(r.Explain, s.curves()...)
	r.Explain = append(r.Explain, s.tails()...)
	for i, w := range waits {
		if i == 0 {
			w = "waits: " + w
		} else {
			w = "       " + w
		}
		r.Explain = append(r.Explain, w)
	}
}

// tails tells the latencies of arms whose tails are asked about, of all blocks together. The longest is told with
// how many there were, and nothing is decided by it.
func (s *session) tails() []string {
	asked := map[string]bool{}
	for _, t := range s.claim.Tests {
		if t.Rule == RuleTail {
			asked[t.Of[0]], asked[t.To[0]] = true, true
		}
	}
	var lines []string
	for _, a := range s.r.Arms {
		if !asked[a.Name] {
			continue
		}
		var all [][]stats.Bucket
		n, longest := int64(0), int64(0)
		for _, b := range s.r.Blocks {
			h, err := histogram(b.Samples[a.Name].Histogram)
			if err != nil {
				continue
			}
			all = append(all, h)
			for _, bucket := range h {
				n, longest = n+bucket.N, max(longest, bucket.Value)
			}
		}
		if n == 0 {
			continue
		}
		line := fmt.Sprintf("latency of %s: p99 %s", a.Name, prose.Nanoseconds(stats.Quantile(all, 0.99)))
		if n >= tailSamples(0.999) {
			line += ", p99.9 " + prose.Nanoseconds(stats.Quantile(all, 0.999))
		}
		lines = append(lines, fmt.Sprintf("%s, longest %s of %s", line, prose.Nanoseconds(float64(longest)), prose.Count(float64(n))))
	}
	return lines
}

// syscallsPerIO is the explanation of claims about batches.
const syscallsPerIO = "system calls per I/O"

// averages adds up what the blocks of one arm with I/O say of its cost.
type averages struct {
	n, ios, syscalls, lockWaitNS, jain float64
	shared                             bool // there was a lock
}

func (a *averages) add(v map[Metric]float64) {
	if _, io := v[Syscalls]; !io {
		return
	}
	a.n++
	a.ios += v[IOs]
	a.syscalls += v[Syscalls]
	if wait, ok := v[LockWait]; ok {
		a.lockWaitNS += wait
		a.jain += v[Jain]
		a.shared = true
	}
}

// curves fits the scalability law to every series of threads that has loads enough.
func (s *session) curves() []string {
	var names []string
	points := map[string]map[int][]float64{}
	metric := map[string]Metric{}
	for _, a := range s.r.Arms {
		if a.Series == "" || a.Load != float64(a.Threads) || a.Explain {
			continue
		}
		if points[a.Series] == nil {
			names = append(names, a.Series)
			points[a.Series] = map[int][]float64{}
		}
		metric[a.Series] = a.Shown
		for _, b := range s.r.Blocks {
			if v, ok := b.Samples[a.Name].Values[a.Shown]; ok {
				points[a.Series][a.Threads] = append(points[a.Series][a.Threads], v)
			}
		}
	}
	var lines []string
	for _, name := range names {
		var loads []stats.Load
		for _, n := range slices.Sorted(maps.Keys(points[name])) {
			loads = append(loads, stats.Load{N: n, Throughput: points[name][n]})
		}
		c, err := stats.FitUSL(loads, stats.Bootstrap{Resamples: 1000, Confidence: 0.95, Seed: s.o.Seed})
		if err != nil || (metric[name] != IOPS && metric[name] != OpsPerS) {
			continue // too few loads: nothing to say
		}
		line := fmt.Sprintf("USL %s: contention %.3f [%.3f, %.3f], coherency %.5f, R2 %.2f", name, c.Alpha, c.AlphaInterval.Low, c.AlphaInterval.High, c.Beta, c.R2)
		if last := loads[len(loads)-1].N; !c.Retrograde() {
			line += ", no retrograde evidence"
		} else if peak := c.Peak(); peak <= 2*float64(last) {
			line += fmt.Sprintf(", peak at %.0f threads", peak)
		}
		if !c.Adequate() {
			line += ", USL not adequate"
		}
		lines = append(lines, line)
	}
	return lines
}

func (c *Claim) armIsCrowd(name string) bool {
	return slices.ContainsFunc(c.Arms, func(a Arm) bool { return a.Name == name && a.Lock != nil && a.Lock.Mode == LockCrowd })
}

func sum(xs []float64) float64 {
	total := 0.0
	for _, x := range xs {
		total += x
	}
	return total
}
