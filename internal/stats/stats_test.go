package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %v, want %v within %v", what, got, want, tolerance)
	}
}

func TestKnownAnswers(t *testing.T) {
	near(t, "Mean", Mean([]float64{1, 2, 6}), 3, 1e-12)
	near(t, "Median of 3", Median([]float64{6, 1, 2}), 2, 0)
	near(t, "Median of 4", Median([]float64{6, 1, 2, 4}), 3, 0)
	near(t, "CV", CV([]float64{1, 2, 3}), 0.5, 1e-12)
	near(t, "Jain of equals", Jain([]float64{3, 3, 3}), 1, 1e-12)
	near(t, "Jain of one who has all", Jain([]float64{0, 0, 0, 9}), 0.25, 1e-12)
	near(t, "Jain of nothing", Jain([]float64{0, 0}), 1, 0)
	for _, nan := range []float64{Mean(nil), Median(nil), CV([]float64{1}), Quantile(nil, 0.5)} {
		if !math.IsNaN(nan) {
			t.Errorf("a statistic of nothing is %v", nan)
		}
	}
}

// TestHolm uses the example of the method's usual presentation.
func TestHolm(t *testing.T) {
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		near(t, "Holm", got[i], want, 1e-12)
	}
	rapid.Check(t, func(t *rapid.T) {
		ps := rapid.SliceOf(rapid.Float64Range(0, 1)).Draw(t, "p")
		corrected := Holm(ps)
		for i := range ps {
			if corrected[i] < ps[i] || corrected[i] > 1 {
				t.Fatalf("%v became %v", ps[i], corrected[i])
			}
			for j := range ps {
				if ps[i] < ps[j] && corrected[i] > corrected[j] {
					t.Fatalf("the order of %v and %v changed", ps[i], ps[j])
				}
			}
		}
	})
}

// TestMannWhitney: all of one sample below all of the other is one of the 252 orders of 5+5, on each side.
func TestMannWhitney(t *testing.T) {
	a, b := []float64{5, 1, 2, 4, 3}, []float64{6, 7, 8, 9, 10}
	p, warnings := MannWhitney(a, b)
	near(t, "p", p, 2.0/252, 1e-9)
	if len(warnings) != 0 {
		t.Errorf("warnings %v", warnings)
	}
	if a[0] != 5 {
		t.Error("the caller's sample was sorted")
	}
	if _, warnings := MannWhitney([]float64{1, 2}, []float64{3, 4}); len(warnings) == 0 {
		t.Error("two samples of 2 raised no warning")
	}
}

func TestQuantile(t *testing.T) {
	blocks := [][]Bucket{{{10, 50}, {20, 40}}, {{20, 9}, {1000, 1}}}
	for _, c := range []struct{ q, want float64 }{{0, 10}, {0.5, 10}, {0.51, 20}, {0.99, 20}, {0.995, 1000}, {1, 1000}} {
		near(t, "Quantile", Quantile(blocks, c.q), c.want, 0)
	}
	// Against the definition, on the samples themselves.
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.Int64Range(1, 30), 1, 60).Draw(t, "samples")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		blocks := make([][]Bucket, 3)
		for i, v := range samples {
			blocks[i%3] = append(blocks[i%3], Bucket{v, 1})
		}
		slices.Sort(samples)
		want := samples[max(int(math.Ceil(q*float64(len(samples)))), 1)-1]
		if got := Quantile(blocks, q); got != float64(want) {
			t.Fatalf("quantile %v of %v = %v, want %v", q, samples, got, want)
		}
	})
}

func TestRatioOfKnownBlocks(t *testing.T) {
	// Drift that both arms share cancels: the ratio is 0.5 in every block.
	a, b := []float64{100, 200, 50, 400}, []float64{50, 100, 25, 200}
	d, err := resampled(LogRatio(a, b))(len(a), Default(1))
	if err != nil {
		t.Fatal(err)
	}
	i := d.Interval().Map(math.Exp)
	for _, v := range []float64{i.Estimate, i.Low, i.High} {
		near(t, "ratio", v, 0.5, 1e-9)
	}
	if p := d.P(0); p > 0.01 {
		t.Errorf("p against no effect = %v", p)
	}
}

func TestShareAndTail(t *testing.T) {
	s, err := resampled(Share([]float64{10, 20, 30}, []float64{100, 200, 300}))(3, Default(1))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "share", s.Interval().Low, 0.1, 1e-12)

	fast, slow := make([][]Bucket, 6), make([][]Bucket, 6)
	for i := range fast {
		fast[i] = []Bucket{{100, 980}, {1000, 20}}
		slow[i] = []Bucket{{100, 980}, {4000, 20}}
	}
	d, err := resampled(LogTailRatio(fast, slow, 0.99))(6, Default(1))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "tail ratio", math.Exp(d.Interval().Low), 4, 1e-9)
	m, err := Resample(5, MedianOf([]float64{1, 2, 3, 4, 100}), Default(1))
	if err != nil {
		t.Fatal(err)
	}
	if i := m.Interval(); i.Estimate != 3 || i.Low < 1 || i.High > 100 || i.Low >= i.High {
		t.Errorf("median %+v", i)
	}
}

func TestRefusals(t *testing.T) {
	o := Default(1)
	refused := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	_, err := resampled(LogRatio([]float64{1}, []float64{2}))(1, o)
	refused("one block", err)
	_, err = LogRatio([]float64{1, 2}, []float64{2})
	refused("an unpaired block", err)
	_, err = LogRatio([]float64{1, 0}, []float64{2, 2})
	refused("a zero", err)
	_, err = LogRatio([]float64{1, math.NaN()}, []float64{2, 2})
	refused("a NaN", err)
	_, err = resampled(Share([]float64{1, 2}, []float64{0, 0}))(2, o)
	refused("a share of nothing", err)
	_, err = resampled(LogTailRatio(make([][]Bucket, 3), make([][]Bucket, 3), 0.99))(3, o)
	refused("a tail of nothing", err)
	_, err = LogTailRatio(make([][]Bucket, 3), make([][]Bucket, 2), 0.99)
	refused("an unpaired tail", err)
	_, err = Share([]float64{1}, nil)
	refused("an unpaired share", err)
	for _, confidence := range []float64{-1, 0, 1, 95, math.NaN()} { // as a damaged document may have it
		_, err = Resample(2, MeanOf([]float64{1, 2}), Bootstrap{Resamples: 100, Confidence: confidence})
		refused("an impossible confidence", err)
	}
}

// resampled passes a statistic on to Resample, or the error of making it.
func resampled(s Statistic, err error) func(n int, o Bootstrap) (*Distribution, error) {
	return func(n int, o Bootstrap) (*Distribution, error) {
		if err != nil {
			return nil, err
		}
		return Resample(n, s, o)
	}
}

// Resamples on which a statistic is infinite tell as little as those on which it is not a number: neither may turn
// into an end of an interval or a p-value, which a document could not hold.
func TestResamplesWithoutANumber(t *testing.T) {
	part, whole := []float64{1, 1, 1, 1, 1, 1, 1, 1}, []float64{0, 0, 0, 1, 1, 1, 1, 1}
	d, err := resampled(Share(part, whole))(len(part), Default(1)) // all of the first three: 1 in 2,500
	if err != nil {
		t.Fatal(err)
	}
	i := d.IntervalAt(0.9999)
	for _, v := range []float64{i.Low, i.High, d.P(0), d.P(1000)} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("%+v, p %v and %v", i, d.P(0), d.P(1000))
		}
	}
}

func TestSameSeedSameInterval(t *testing.T) {
	xs := []float64{1, 5, 2, 8, 3, 9, 4}
	var seen []Interval
	for _, seed := range []uint64{1, 1, 2} {
		d, err := Resample(len(xs), MeanOf(xs), Default(seed))
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, d.Interval())
	}
	if seen[0] != seen[1] || seen[0] == seen[2] {
		t.Errorf("seeds 1, 1, 2 gave %+v", seen)
	}
}

func TestIntervalsNestAndMatchP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOfN(rapid.Float64Range(-5, 5), 5, 15).Draw(t, "xs")
		if slices.Max(xs)-slices.Min(xs) < 0.1 {
			t.Skip("no spread")
		}
		d, err := Resample(len(xs), MeanOf(xs), Bootstrap{Resamples: 500, Confidence: 0.95, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		narrow, wide := d.IntervalAt(0.80), d.IntervalAt(0.99)
		if narrow.Low < wide.Low || narrow.High > wide.High {
			t.Fatalf("80 %% %+v is not inside 99 %% %+v", narrow, wide)
		}
		if p := d.P(d.Estimate + 100); p > 0.05 {
			t.Fatalf("p against something far away = %v", p)
		}
		for _, p := range []float64{d.P(d.Estimate), d.P(narrow.Low), d.P(wide.High)} {
			if !(p >= 0 && p <= 1) {
				t.Fatalf("p = %v", p)
			}
		}
	})
}

// TestPMatchesInterval: the threshold at which p is 0.05 is an end of the 95 % interval.
func TestPMatchesInterval(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 20 {
		xs := make([]float64, 12)
		for i := range xs {
			xs[i] = rng.NormFloat64()
		}
		d, err := Resample(len(xs), MeanOf(xs), Default(3))
		if err != nil {
			t.Fatal(err)
		}
		i := d.Interval()
		near(t, "p at the lower end", d.P(i.Low), 0.05, 0.004)
		near(t, "p at the upper end", d.P(i.High), 0.05, 0.004)
	}
}

// TestCoverage is the promise behind every interval printed: over many experiments whose truth is known, a
// 95 % interval holds the truth in 93 to 97 % of them, with the block counts and the noise that occur.
func TestCoverage(t *testing.T) {
	noise := map[string]func(*rand.Rand) float64{
		"normal": (*rand.Rand).NormFloat64,
		// A neighbour wakes up now and then: heavier tails, and lopsided.
		"disturbed": func(r *rand.Rand) float64 {
			x := r.NormFloat64()
			if r.IntN(10) == 0 {
				x -= r.ExpFloat64()
			}
			return x
		},
	}
	means := map[string]float64{"normal": 0, "disturbed": -0.1}
	for name, draw := range noise {
		for _, n := range []int{8, 10, 20} {
			const experiments = 2000
			rng := rand.New(rand.NewPCG(uint64(n), 42))
			truth := math.Log(0.8) + 0.1*means[name]
			covered := 0
			a, b := make([]float64, n), make([]float64, n)
			for e := range experiments {
				for i := range a {
					drift := math.Exp(rng.NormFloat64() / 2) // shared by the arms of a block
					a[i] = 1000 * drift
					b[i] = 800 * drift * math.Exp(0.1*draw(rng))
				}
				d, err := resampled(LogRatio(a, b))(n, Bootstrap{Resamples: 800, Confidence: 0.95, Seed: uint64(e)})
				if err != nil {
					t.Fatal(err)
				}
				if i := d.Interval(); i.Low <= truth && truth <= i.High {
					covered++
				}
			}
			share := float64(covered) / experiments
			t.Logf("%s noise, %d blocks: %.1f %% covered", name, n, 100*share)
			if share < 0.93 || share > 0.97 {
				t.Errorf("%s noise, %d blocks: the 95 %% interval covers %.1f %%", name, n, 100*share)
			}
		}
	}
}

// TestCoverageOfEarlyLooks: six blocks looked at with 99.5 % must not miss the truth more often than they say.
func TestCoverageOfEarlyLooks(t *testing.T) {
	const experiments, n = 3000, 6
	rng := rand.New(rand.NewPCG(6, 995))
	missed := 0
	xs := make([]float64, n)
	for e := range experiments {
		for i := range xs {
			xs[i] = rng.NormFloat64()
		}
		d, err := Resample(len(xs), MeanOf(xs), Bootstrap{Resamples: 500, Confidence: 0.995, Seed: uint64(e)})
		if err != nil {
			t.Fatal(err)
		}
		if i := d.Interval(); i.Low > 0 || i.High < 0 {
			missed++
		}
	}
	t.Logf("missed %.2f %%", 100*float64(missed)/experiments)
	if share := float64(missed) / experiments; share > 0.0095 {
		t.Errorf("a 99.5 %% interval of six blocks misses the truth in %.2f %%", 100*share)
	}
}

func TestBlocksNeeded(t *testing.T) {
	for _, c := range []struct {
		n                   int
		halfWidth, distance float64
		want                int
	}{
		{8, 0.15, 0.13, 11}, // half-width and distance in the logarithm of 0.79 [0.68, 0.92] against 0.90
		{10, 0.1, 0.05, 40}, // twice as narrow: four times as many
		{10, 0.05, 0.1, 11}, // undecided for another reason: at least one more
		{10, 0.1, 0, 0},     // on the threshold
		{10, 0.1, -1, 0},    //
		{10, 0.1, 1e-9, 0},  // beyond reason
	} {
		if got := BlocksNeeded(c.n, c.halfWidth, c.distance); got != c.want {
			t.Errorf("BlocksNeeded(%d, %v, %v) = %d, want %d", c.n, c.halfWidth, c.distance, got, c.want)
		}
	}
}

func TestUSL(t *testing.T) {
	truth := USL{Lambda: 250_000, Alpha: 0.03, Beta: 0.0009}
	near(t, "peak", truth.Peak(), 32.8, 0.1)
	if !math.IsInf(USL{Lambda: 1, Alpha: 0.1}.Peak(), 1) {
		t.Error("no coherence cost, yet a peak")
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var loads []Load
	for _, n := range []int{1, 2, 4, 8, 12, 16, 24, 32, 48, 64} {
		l := Load{N: n}
		for range 5 {
			l.Throughput = append(l.Throughput, truth.At(float64(n))*math.Exp(0.02*rng.NormFloat64()))
		}
		loads = append(loads, l)
	}
	c, err := FitUSL(loads, Bootstrap{Resamples: 200, Confidence: 0.95, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "lambda", c.Lambda/truth.Lambda, 1, 0.03)
	near(t, "alpha", c.Alpha, truth.Alpha, 0.006)
	near(t, "beta", c.Beta, truth.Beta, 0.0002)
	if c.AlphaInterval.Low > truth.Alpha || c.AlphaInterval.High < truth.Alpha {
		t.Errorf("alpha interval %+v misses %v", c.AlphaInterval, truth.Alpha)
	}
	if !c.Retrograde() || !c.Adequate() || c.R2 < 0.98 {
		t.Errorf("retrograde %v, adequate %v, R2 %v", c.Retrograde(), c.Adequate(), c.R2)
	}
}

// TestUSLConstraints: linear scaling sits on both bounds, and the fit must neither cross them nor claim a peak.
func TestUSLConstraints(t *testing.T) {
	var loads []Load
	for _, n := range []int{1, 2, 3, 4, 6, 8} {
		x := 1000 * float64(n)
		loads = append(loads, Load{N: n, Throughput: []float64{x * 0.99, x, x * 1.01}})
	}
	c, err := FitUSL(loads, Bootstrap{Resamples: 100, Confidence: 0.95, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if c.Alpha < 0 || c.Alpha > 0.01 || c.Beta < 0 || c.Beta > 0.001 || c.Retrograde() {
		t.Errorf("linear scaling was fitted as %+v", c)
	}
	// A cliff is no USL curve, and Adequate says so.
	loads[5].Throughput = []float64{990, 1000, 1010}
	if c, err = FitUSL(loads, Bootstrap{Resamples: 20, Confidence: 0.95, Seed: 1}); err != nil || c.Adequate() {
		t.Errorf("a cliff was fitted as %+v, %v", c, err)
	}
	if _, err := FitUSL(loads[:5], Default(1)); err == nil || !strings.Contains(err.Error(), "6") {
		t.Errorf("five loads: %v", err)
	}
	loads[0].Throughput = []float64{0}
	if _, err := FitUSL(loads, Default(1)); err == nil {
		t.Error("a throughput of 0 was accepted")
	}
}
