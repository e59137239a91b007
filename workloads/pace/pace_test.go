package pace

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

func job(rw workloads.RW, process string) *workloads.Job {
	j := workloads.DefaultJob()
	j.RW, j.RateProcess = rw, process
	return &j
}

func started(tb interface {
	Helper()
	Fatal(args ...any)
}, j *workloads.Job, clone int, seed uint64, now int64,
) *Pacer {
	tb.Helper()
	p, ok := New(j, clone, seed)
	if !ok {
		tb.Fatal("the job has no rate")
	}
	p.Start(now)
	return p
}

// arrivals takes the first n arrivals, as a caller does that is always late.
func arrivals(p *Pacer, n int) []int64 {
	times := make([]int64, n)
	for got := 0; got < n; {
		got += p.Due(math.MaxInt64/4, times[got:min(n, got+100)], nil)
	}
	return times
}

// exact returns start + n*cost*10^9/rate ns, rounded down.
func exact(start int64, n, cost, rate uint64) int64 {
	t := new(big.Int).SetUint64(n)
	t.Mul(t, new(big.Int).SetUint64(cost))
	t.Mul(t, big.NewInt(int64(time.Second)))
	t.Div(t, new(big.Int).SetUint64(rate))
	return start + t.Int64()
}

func TestLinearArrivalsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := job(workloads.RWRandRead, "linear")
		start := rapid.Int64Range(0, 1<<60).Draw(t, "start")
		rate, cost := rapid.Uint64Range(1, 20_000_000).Draw(t, "rate"), uint64(1)
		if rapid.Bool().Draw(t, "bytes") {
			cost = 512 * rapid.Uint64Range(1, 1<<13).Draw(t, "bs")
			j.BS[workloads.Read] = workloads.SizeRange{Min: uint32(cost), Max: uint32(cost)}
			j.RateBytes[workloads.Read] = rate
		} else {
			j.RateIOPS[workloads.Read] = rate
		}
		p := started(t, j, 0, 0, start)
		for i, at := range arrivals(p, rapid.IntRange(1, 300).Draw(t, "n")) {
			if want := exact(start, uint64(i), cost, rate); at != want {
				t.Fatalf("arrival %d is at %d, want %d", i, at, want)
			}
		}
	})
}

func TestLinearArrivalsDoNotDrift(t *testing.T) {
	for _, rate := range []uint64{3, 7, 999_983, 100_003, 1_000_000_007} {
		j := job(workloads.RWRead, "linear")
		j.RateIOPS[workloads.Read] = rate
		const n = 500_000
		times := arrivals(started(t, j, 0, 0, 0), n)
		if want := exact(0, n-1, 1, rate); times[n-1] != want {
			t.Errorf("%d IOPS: arrival %d is at %d, want %d", rate, n-1, times[n-1], want)
		}
		least, most := int64(math.MaxInt64), int64(0)
		for i := 1; i < n; i++ {
			least, most = min(least, times[i]-times[i-1]), max(most, times[i]-times[i-1])
		}
		if most-least > 1 {
			t.Errorf("%d IOPS: gaps of %d to %d ns are no even spacing", rate, least, most)
		}
	}
}

func TestClonesInterleave(t *testing.T) {
	j := job(workloads.RWRead, "linear")
	j.NumJobs = 4
	j.RateIOPS[workloads.Read] = 1000
	var all []int64
	for clone := range j.NumJobs {
		all = append(all, arrivals(started(t, j, clone, 0, 0), 100)...)
	}
	slices.Sort(all)
	for i := 1; i < len(all); i++ {
		if gap := all[i] - all[i-1]; gap != 250_000 {
			t.Fatalf("arrivals %d and %d of the clones together are %d ns apart", i-1, i, gap)
		}
	}
}

func TestPoissonGapsAreExponential(t *testing.T) {
	for _, rate := range []uint64{17, 1000, 99_991, 3_000_000} {
		for clone := range 2 {
			j := job(workloads.RWRandWrite, "poisson")
			j.RateIOPS[workloads.Write] = rate
			const n = 200_000
			times := arrivals(started(t, j, clone, 42, 0), n)
			name := fmt.Sprintf("%d IOPS, clone %d", rate, clone)
			// The mean's standard error is 1/sqrt(n) of it: 0.22 %; five of those.
			if got := float64(n) / float64(times[n-1]) * 1e9; math.Abs(got/float64(rate)-1) > 0.011 {
				t.Errorf("%s: %.1f arrivals per second", name, got)
			}
			// Kolmogorov-Smirnov against 1-exp(-x). Times are whole ns, which moves the distribution function
			// by up to rate/10^9.
			gaps := make([]float64, n-1)
			for i := range gaps {
				gaps[i] = float64(times[i+1]-times[i]) * float64(rate) / 1e9
			}
			slices.Sort(gaps)
			d := 0.0
			for i, x := range gaps {
				cdf := 1 - math.Exp(-x)
				d = max(d, math.Abs(cdf-float64(i)/float64(len(gaps))), math.Abs(cdf-float64(i+1)/float64(len(gaps))))
			}
			// 2.2/sqrt(n) is exceeded once in 8000 times.
			if limit := 2.2/math.Sqrt(n) + float64(rate)/1e9; d > limit {
				t.Errorf("%s: the gaps' largest deviation from the exponential distribution is %.5f, above %.5f", name, d, limit)
			}
			// Gaps must not depend on the ones before.
			sum := 0.0
			for i := 2; i < n; i++ {
				a, b := float64(times[i]-times[i-1])*float64(rate)/1e9, float64(times[i-1]-times[i-2])*float64(rate)/1e9
				sum += (a - 1) * (b - 1)
			}
			if r := sum / n; math.Abs(r) > 5/math.Sqrt(n) {
				t.Errorf("%s: neighbouring gaps correlate: %.5f", name, r)
			}
		}
	}
}

func TestPoissonIsRepeatableAndClonesDiffer(t *testing.T) {
	sequence := func(seed uint64, clone int) []int64 {
		j := job(workloads.RWRead, "poisson")
		j.RateIOPS[workloads.Read] = 1000
		return arrivals(started(t, j, clone, seed, 0), 100)
	}
	if !slices.Equal(sequence(1, 0), sequence(1, 0)) {
		t.Error("the same seed and clone gave other arrivals")
	}
	if slices.Equal(sequence(1, 0), sequence(1, 1)) || slices.Equal(sequence(1, 0), sequence(2, 0)) {
		t.Error("another clone or seed gave the same arrivals")
	}
}

func TestDueYieldsWhatIsDueAndNoMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := job(rapid.SampledFrom([]workloads.RW{workloads.RWRandRW, workloads.RWRead}).Draw(t, "rw"),
			rapid.SampledFrom([]string{"linear", "poisson"}).Draw(t, "process"))
		j.RateIOPS = [workloads.Directions]uint64{
			rapid.Uint64Range(1, 1e6).Draw(t, "read"), rapid.Uint64Range(1, 1e6).Draw(t, "write"), 0,
		}
		p := started(t, j, 0, 1, 0)
		now, last := int64(0), int64(-1)
		for range 50 {
			now += rapid.Int64Range(0, 1e7).Draw(t, "step")
			intended := make([]int64, rapid.IntRange(1, 40).Draw(t, "batch"))
			n := p.Due(now, intended, nil)
			for _, at := range intended[:n] {
				if at > now || at < last {
					t.Fatalf("an arrival at %d was yielded at %d, after one at %d", at, now, last)
				}
				last = at
			}
			if next := p.Next(); n < len(intended) && next <= now {
				t.Fatalf("%d of %d yielded at %d, though the next was due at %d", n, len(intended), now, next)
			}
		}
	})
}

func TestMixedRatesDecideTheMix(t *testing.T) {
	j := job(workloads.RWRandRW, "linear")
	j.RateIOPS = [workloads.Directions]uint64{3000, 1000, 0}
	p := started(t, j, 0, 0, 0)
	if !p.Directed() {
		t.Fatal("a mix paced per direction does not say which direction is due")
	}
	intended, ops := make([]int64, 4096), make([]uint8, 4096)
	n := p.Due(int64(time.Second)-1, intended, ops)
	counts := [2]int{}
	for i := range n {
		op := ops[i]
		if want := exact(0, uint64(counts[op]), 1, j.RateIOPS[op]); intended[i] != want {
			t.Fatalf("arrival %d of direction %d is at %d, want %d", counts[op], op, intended[i], want)
		}
		counts[op]++
	}
	if counts != [2]int{3000, 1000} {
		t.Errorf("%v arrivals in a second", counts)
	}
}

func TestMixOfOneDirectionIsNone(t *testing.T) {
	for percent, want := range map[int]uint64{100: 3000, 0: 1000} {
		j := job(workloads.RWRandRW, "linear")
		j.RateIOPS = [workloads.Directions]uint64{3000, 1000, 0}
		j.MixReadPercent = percent
		p := started(t, j, 0, 0, 0)
		if n := p.Due(int64(time.Second)-1, make([]int64, 4096), nil); n != int(want) || p.Directed() {
			t.Errorf("rwmixread=%d: %d arrivals in a second, want %d", percent, n, want)
		}
	}
}

func TestDirectionWithoutRateIsAlwaysDue(t *testing.T) {
	j := job(workloads.RWRandRW, "linear")
	j.RateIOPS[workloads.Write] = 100
	p := started(t, j, 0, 0, 0)
	intended, ops := make([]int64, 8), make([]uint8, 8)
	now := int64(25 * time.Millisecond)
	if p.Next() > now {
		t.Error("nothing is due")
	}
	if n := p.Due(now, intended, ops); n != 8 {
		t.Fatalf("%d are due, want the whole batch", n)
	}
	if want := []uint8{1, 1, 1, 0, 0, 0, 0, 0}; !slices.Equal(ops, want) {
		t.Errorf("directions %v, want %v", ops, want)
	}
	if intended[2] != int64(20*time.Millisecond) || intended[3] != now {
		t.Errorf("intended %v", intended)
	}
}

func TestTrimwriteKeepsToBothRates(t *testing.T) {
	j := job(workloads.RWTrimWrite, "linear")
	j.RateIOPS = [workloads.Directions]uint64{0, 300, 200}
	p := started(t, j, 0, 0, 0)
	n := p.Due(int64(time.Second)-1, make([]int64, 1000), nil)
	if n != 400 || p.Directed() {
		t.Errorf("%d trims and writes in a second, want 200 of each", n)
	}
}

func TestByteRatesHoldForVaryingSizes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := job(workloads.RWRead, "linear")
		j.BSSplit[workloads.Read] = []workloads.Split{{Bytes: 4096, Percent: 70}, {Bytes: 1 << 20, Percent: 30}}
		rate := rapid.Uint64Range(1000, 1<<33).Draw(t, "rate")
		j.RateBytes[workloads.Read] = rate
		p := started(t, j, 0, 0, 0)
		bytes := uint64(0)
		for range 300 {
			intended := make([]int64, rapid.IntRange(1, 5).Draw(t, "batch"))
			for range p.Due(p.Next()+1_000_000, intended, nil) {
				length := rapid.Uint32Range(1, 2<<20).Draw(t, "length")
				p.Issued(uint8(workloads.Read), length)
				bytes += uint64(length)
			}
			if want := exact(0, bytes, 1, rate); p.Next() != want {
				t.Fatalf("after %d bytes the next I/O is due at %d, want %d", bytes, p.Next(), want)
			}
		}
	})
}

func TestRateIOPSGoesBeforeRate(t *testing.T) {
	j := job(workloads.RWRead, "linear")
	j.RateBytes[workloads.Read], j.RateIOPS[workloads.Read] = 1, 1000
	if times := arrivals(started(t, j, 0, 0, 0), 2); times[1] != int64(time.Millisecond) {
		t.Errorf("the second arrival is at %d", times[1])
	}
}

func TestDelayMovesWhatIsToCome(t *testing.T) {
	j := job(workloads.RWRead, "linear")
	j.RateIOPS[workloads.Read] = 1000
	p := started(t, j, 0, 0, 5)
	p.Delay(100)
	if p.Next() != 105 {
		t.Errorf("next at %d, want 105", p.Next())
	}
}

func TestNoRate(t *testing.T) {
	j := job(workloads.RWRead, "linear")
	j.RateIOPS[workloads.Write] = 1000 // of a direction that the job does not have
	if _, ok := New(j, 0, 0); ok {
		t.Error("a job without a rate for its direction is paced")
	}
}

func TestExtremeRatesDoNotOverflow(t *testing.T) {
	j := job(workloads.RWRead, "poisson")
	j.BS[workloads.Read] = workloads.SizeRange{Min: math.MaxUint32, Max: math.MaxUint32}
	j.RateBytes[workloads.Read] = 1
	for _, process := range []string{"linear", "poisson"} {
		j.RateProcess = process
		p := started(t, j, 0, 0, 0)
		intended := make([]int64, 1)
		for last := int64(-1); p.Due(1<<60, intended, nil) == 1; last = intended[0] {
			if intended[0] < last {
				t.Fatalf("%s: an arrival at %d after one at %d", process, intended[0], last)
			}
		}
	}
}

func TestThinker(t *testing.T) {
	th, ok := NewThinker(workloads.Thinktime{Time: 100, Spin: 30, Blocks: 3, Type: "complete"})
	if !ok || th.Budget() != 3 {
		t.Fatalf("%+v", th)
	}
	th.Issued(0, 2)
	if _, pause := th.Pause(0, 0); pause || th.Budget() != 1 {
		t.Error("a pause after two of three blocks")
	}
	th.Issued(1, 1)
	if _, pause := th.Pause(1, 2); pause || th.Budget() != 0 {
		t.Error("a pause before the blocks are complete")
	}
	if got, pause := th.Pause(2, 0); !pause || got != (Pause{Spin: 30, Sleep: 70}) || th.Budget() != 3 {
		t.Errorf("got %+v, %v", got, pause)
	}
	th, _ = NewThinker(workloads.Thinktime{Time: 100, Spin: 300, Blocks: 1, Type: "issue"})
	th.Issued(0, 1)
	if got, pause := th.Pause(0, 1); !pause || got != (Pause{Spin: 100}) {
		t.Errorf("by issue: got %+v, %v", got, pause)
	}
	th, _ = NewThinker(workloads.Thinktime{Time: 100, IOTime: 50})
	th.Issued(1000, 7)
	th.Issued(1040, 7)
	if _, pause := th.Pause(1049, 3); pause || th.Budget() != math.MaxInt {
		t.Error("a pause before the time for I/O is over")
	}
	if _, pause := th.Pause(1050, 3); !pause {
		t.Error("no pause when the time for I/O is over")
	}
	if _, ok := NewThinker(workloads.Thinktime{}); ok {
		t.Error("a job without thinktime thinks")
	}
}

func TestFloor(t *testing.T) {
	j := job(workloads.RWRandRW, "linear")
	if _, ok := NewFloor(j, 0); ok {
		t.Error("a job that asks for no least rate has one")
	}
	j.RateMin[workloads.Read], j.RateIOPSMin[workloads.Write] = 1000, 10
	f, ok := NewFloor(j, 0)
	if !ok {
		t.Fatal("no check")
	}
	type counts = [workloads.Directions]uint64
	second := int64(time.Second)
	for _, c := range []struct {
		at         int64
		bytes, ios counts
		short      bool
	}{
		{second / 2, counts{}, counts{}, false}, // the cycle is not over
		{second, counts{1000}, counts{0, 10}, false},
		{2 * second, counts{1999}, counts{0, 20}, true}, // 999 bytes/s
		{3 * second, counts{9999}, counts{0, 29}, true}, // 9 IOPS
		{5 * second, counts{11999}, counts{0, 49}, false},
	} {
		err := f.Check(c.at, c.bytes, c.ios)
		if (err != nil) != c.short {
			t.Errorf("at %v: %v", time.Duration(c.at), err)
		}
		if err != nil && fault.Of(err).Exit != fault.ExitThreshold {
			t.Errorf("exit code %d", fault.Of(err).Exit)
		}
	}
}

func TestDueDoesNotAllocate(t *testing.T) {
	for _, process := range []string{"linear", "poisson"} {
		j := job(workloads.RWRandRW, process)
		j.RateIOPS = [workloads.Directions]uint64{100_000, 50_000, 0}
		p := started(t, j, 0, 0, 0)
		intended, ops := make([]int64, 32), make([]uint8, 32)
		if n := testing.AllocsPerRun(100, func() { p.Due(math.MaxInt64/4, intended, ops); p.Issued(0, 4096); p.Next() }); n != 0 {
			t.Errorf("%s: %v allocations", process, n)
		}
	}
}

func BenchmarkDue(b *testing.B) {
	for _, process := range []string{"linear", "poisson"} {
		for _, rw := range []workloads.RW{workloads.RWRandRead, workloads.RWRandRW} {
			b.Run(fmt.Sprintf("%s/%v", process, rw), func(b *testing.B) {
				j := job(rw, process)
				j.RateIOPS = [workloads.Directions]uint64{100_000, 100_003, 0}
				p := started(b, j, 0, 0, 0)
				intended, ops := make([]int64, 16), make([]uint8, 16)
				for b.Loop() {
					p.Due(math.MaxInt64/4, intended, ops)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/16, "ns/io")
			})
		}
	}
}
