package run

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Rates that the target can reach are met within 1 %: IOPS and bytes, equidistant and Poisson, per direction,
// with and without pauses. The jobs on devices run together, so that this takes one run.
func TestReachableRatesAreMet(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own time makes rates unreachable")
	}
	one := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	other := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})

	poisson := job("", "null", workloads.RWRandRead)
	poisson.Size, poisson.RateProcess = workloads.Amount{Bytes: 1 << 30, Set: true}, "poisson"
	poisson.RateIOPS[workloads.Read] = 45_000 // its count over 2 s has a standard deviation of 0.33 %

	mixed := job(one.Path, "io_uring", workloads.RWRandRW)
	mixed.RateIOPS = [workloads.Directions]uint64{2000, 1000, 0}

	bytes := job(other.Path, "psync", workloads.RWRandRead)
	bytes.BSSplit[workloads.Read] = []workloads.Split{{Bytes: 4096, Percent: 70}, {Bytes: 16384, Percent: 30}}
	bytes.BS[workloads.Read] = workloads.SizeRange{Min: 4096, Max: 16384}
	bytes.RateBytes[workloads.Read] = 4 << 20

	thinking := job(other.Path, "libaio", workloads.RWRandRead)
	thinking.RateIOPS[workloads.Read] = 200
	thinking.Thinktime = workloads.Thinktime{Time: time.Millisecond, Blocks: 2, Type: "complete"}

	checked := job(one.Path, "io_uring", workloads.RWRandRW) // its I/Os wait for each other, and for reading back
	checked.Size, checked.RateIOPS = workloads.Amount{Bytes: 64 << 10, Set: true}, [workloads.Directions]uint64{2000, 1000, 0}
	checked.Verify.Kind, checked.Verify.Backlog = "crc32c", 8

	for _, c := range []struct {
		name   string
		length time.Duration
		jobs   []workloads.Job
	}{
		{"checked", 2 * time.Second, []workloads.Job{checked}},
		{"null", 2 * time.Second, []workloads.Job{poisson}},
		{"devices", 5 * time.Second, []workloads.Job{mixed, bytes, thinking}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range c.jobs {
				c.jobs[i].Runtime, c.jobs[i].TimeBased, c.jobs[i].NoRandomMap = c.length, true, true
				c.jobs[i].Layout.Invalidate = false
			}
			testlab.Undisturbed(t, func() string { return strings.Join(missedRates(c.jobs, do(t, c.jobs...)), "\n") })
		})
	}
}

// missedRates lists the rates that jobs missed by more than 1 %.
func missedRates(jobs []workloads.Job, r *report.Result) []string {
	var missed []string
	for i := range jobs {
		for d := workloads.Read; d < workloads.Trim; d++ {
			s := r.Jobs[i].Dir(d)
			want, got, unit := float64(jobs[i].RateIOPS[d]), 0.0, "IOPS"
			switch {
			case jobs[i].RateBytes[d] > 0:
				want, got, unit = float64(jobs[i].RateBytes[d]), s.BW, "bytes/s"
			case want > 0:
				got = s.IOPS
			default:
				continue
			}
			if math.Abs(got/want-1) > 0.01 || s.Response == nil || s.Response.N != s.IOs {
				missed = append(missed, fmt.Sprintf("job %d, %s: %.1f %s, asked for %.0f; %d of %d arrivals were late; response times %+v",
					i, d, got, unit, want, r.Jobs[i].LateArrivals, r.Jobs[i].Arrivals, s.Response))
			}
		}
	}
	return missed
}

// BenchmarkPacing is what a rate costs: the CPU time per I/O of an unpaced worker, of one whose arrivals are
// always due, so that it does the same I/O at the same rate and never waits, and of one that waits for 100,000
// arrivals a second. Each iteration runs the three one after the other; the medians are reported.
func BenchmarkPacing(b *testing.B) {
	path := filepath.Join(testlab.Dir(b, true), "file")
	if err := os.WriteFile(path, make([]byte, 4<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		engine string
		depth  int
	}{{"psync", 1}, {"libaio", 16}, {"null", 1}} {
		b.Run(fmt.Sprintf("%s/qd=%d", c.engine, c.depth), func(b *testing.B) {
			rates := map[string]uint64{"unpaced": 0, "due": 1_000_000_000, "100k": 100_000}
			figures := map[string][]float64{}
			for b.Loop() {
				for name, rate := range rates {
					j := job(path, c.engine, workloads.RWRandRead)
					j.Direct, j.NoRandomMap, j.TimeBased, j.Runtime = false, true, true, 300*time.Millisecond
					j.Size, j.IODepth, j.CPUsAllowed = workloads.Amount{Bytes: 4 << 20, Set: true}, c.depth, []int{0}
					j.RateIOPS[workloads.Read] = rate
					r, err := Run(b.Context(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{Env: os.Getenv})
					if err != nil {
						b.Fatal(err)
					}
					used := r.Jobs[0].CPU
					figures[name] = append(figures[name], used.UserPerIONS+used.SysPerIONS)
				}
			}
			b.ReportMetric(0, "ns/op")
			for name, f := range figures {
				slices.Sort(f)
				b.ReportMetric(f[len(f)/2], name+"-cpu-ns/IO")
			}
		})
	}
}
