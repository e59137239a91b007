package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/optimize"
)

// USL is the universal scalability law (Gunther, Guerrilla Capacity Planning, 2007):
//
//	X(N) = lambda N / (1 + alpha (N-1) + beta N (N-1))
//
// alpha is the share of work that is serial (contention), beta the cost of keeping N parties coherent, which
// makes throughput fall beyond a peak.
type USL struct {
	Lambda float64 `json:"lambda"` // throughput of one, > 0
	Alpha  float64 `json:"alpha"`  // 0..1
	Beta   float64 `json:"beta"`   // >= 0
}

// At returns the throughput at concurrency n.
func (u USL) At(n float64) float64 {
	return u.Lambda * n / (1 + u.Alpha*(n-1) + u.Beta*n*(n-1))
}

// Peak returns the concurrency with the highest throughput; +Inf when it never falls.
func (u USL) Peak() float64 {
	if u.Beta <= 0 {
		return math.Inf(1)
	}
	return math.Sqrt((1 - u.Alpha) / u.Beta)
}

// Load is the throughput of the blocks at one concurrency.
type Load struct {
	N          int       `json:"n"`
	Throughput []float64 `json:"throughput"` // of each block, > 0
}

// MinLoads is how many concurrencies three coefficients need before their fit says anything.
const MinLoads = 6

// Curve is a fitted USL with bootstrap intervals.
type Curve struct {
	USL
	AlphaInterval Interval `json:"alpha_interval"`
	BetaInterval  Interval `json:"beta_interval"`
	R2            float64  `json:"r2"`           // on the original scale
	MaxResidual   float64  `json:"max_residual"` // largest |ln(measured/fitted)| of the mean of a load
	BlockSD       float64  `json:"block_sd"`     // pooled standard deviation of ln X within loads
}

// zero is what the fit calls zero: its parameters approach the bounds without reaching them.
const zero = 1e-8

// Retrograde says whether there is evidence that throughput falls beyond a peak.
func (c *Curve) Retrograde() bool { return c.BetaInterval.Low > zero }

// Adequate says whether the law fits: no load lies further from the curve than three times what blocks
// scatter. Steps of the clock and borders between NUMA nodes break it.
func (c *Curve) Adequate() bool { return c.MaxResidual <= 3*c.BlockSD }

// FitUSL fits the law to at least six loads by least squares on ln X (errors are multiplicative), each load
// weighted by its number of blocks (the variance is pooled), under the constraints of [USL]. Intervals come from
// resampling blocks within each load and fitting again, percentile method.
func FitUSL(loads []Load, o Bootstrap) (*Curve, error) {
	points, logs, sd, err := prepare(loads)
	if err != nil {
		return nil, err
	}
	best, err := fit(points, start(points))
	if err != nil {
		return nil, err
	}
	c := &Curve{USL: best, BlockSD: sd}
	var residual, total, meanX float64
	for _, p := range points {
		meanX += math.Exp(p.y) / float64(len(points))
	}
	for _, p := range points {
		c.MaxResidual = max(c.MaxResidual, math.Abs(p.y-math.Log(best.At(p.n))))
		residual += math.Pow(math.Exp(p.y)-best.At(p.n), 2)
		total += math.Pow(math.Exp(p.y)-meanX, 2)
	}
	c.R2 = 1 - residual/total

	rng := rand.New(rand.NewPCG(o.Seed, 1))
	alphas, betas := make([]float64, 0, o.Resamples), make([]float64, 0, o.Resamples)
	again := slices.Clone(points)
	for range o.Resamples {
		for i, ys := range logs {
			sum := 0.0
			for range ys {
				sum += ys[rng.IntN(len(ys))]
			}
			again[i].y = sum / float64(len(ys))
		}
		u, err := fit(again, best)
		if err != nil {
			return nil, err
		}
		alphas, betas = append(alphas, u.Alpha), append(betas, u.Beta)
	}
	c.AlphaInterval = percentile(best.Alpha, alphas, o.Confidence)
	c.BetaInterval = percentile(best.Beta, betas, o.Confidence)
	return c, nil
}

// QuickUSL is FitUSL without intervals: for statistics that are resampled as a whole.
func QuickUSL(loads []Load) (USL, error) {
	points, _, _, err := prepare(loads)
	if err != nil {
		return USL{}, err
	}
	return fit(points, start(points))
}

// prepare checks the loads and returns each one's mean of ln X, all of ln X, and their pooled deviation.
func prepare(loads []Load) (points []point, logs [][]float64, sd float64, err error) {
	if len(loads) < MinLoads {
		return nil, nil, 0, fmt.Errorf("the scalability law needs %d different loads, there are %d", MinLoads, len(loads))
	}
	points = make([]point, len(loads))
	logs = make([][]float64, len(loads))
	var pooled, degrees float64
	for i, l := range loads {
		if l.N < 1 || len(l.Throughput) == 0 {
			return nil, nil, 0, fmt.Errorf("load %d: concurrency %d with %d blocks", i, l.N, len(l.Throughput))
		}
		for _, x := range l.Throughput {
			if !(x > 0) || math.IsInf(x, 0) {
				return nil, nil, 0, fmt.Errorf("load %d: throughput %v has no logarithm", i, x)
			}
			logs[i] = append(logs[i], math.Log(x))
		}
		points[i] = point{n: float64(l.N), y: Mean(logs[i])}
		for _, y := range logs[i] {
			pooled += (y - points[i].y) * (y - points[i].y)
		}
		degrees += float64(len(logs[i]) - 1)
	}
	if degrees > 0 {
		sd = math.Sqrt(pooled / degrees)
	}
	for i := range points {
		points[i].weight = float64(len(logs[i]))
	}
	return points, logs, sd, nil
}

// percentile is the plain bootstrap interval.
func percentile(estimate float64, replicates []float64, confidence float64) Interval {
	slices.Sort(replicates)
	at := func(p float64) float64 {
		return replicates[min(int(p*float64(len(replicates))), len(replicates)-1)]
	}
	tail := (1 - confidence) / 2
	return Interval{Estimate: estimate, Low: at(tail), High: at(1 - tail), Confidence: confidence}
}

// point is one load: the mean of ln X over its blocks.
type point struct{ n, y, weight float64 }

// start guesses the coefficients from the linear form N/X = (1 + alpha (N-1) + beta N (N-1)) / lambda,
// by least squares in N-1 and N (N-1) with lambda taken from the smallest load.
func start(points []point) USL {
	first := points[0]
	for _, p := range points {
		if p.n < first.n {
			first = p
		}
	}
	lambda := math.Exp(first.y) / first.n
	var s11, s12, s22, t1, t2 float64
	for _, p := range points {
		a, b := p.n-1, p.n*(p.n-1)
		y := lambda*p.n/math.Exp(p.y) - 1
		s11, s12, s22 = s11+a*a, s12+a*b, s22+b*b
		t1, t2 = t1+a*y, t2+b*y
	}
	u := USL{Lambda: lambda, Alpha: 0.05, Beta: 0.001}
	if det := s11*s22 - s12*s12; det > 1e-12 {
		u.Alpha = (t1*s22 - t2*s12) / det
		u.Beta = (t2*s11 - t1*s12) / det
	}
	u.Alpha = min(max(u.Alpha, 1e-3), 0.95)
	u.Beta = max(u.Beta, 1e-6)
	return u
}

// fit minimises the weighted squares of ln X from a starting point. The constraints are built into the
// parameters: ln lambda, alpha = a^2/(1+a^2), beta = b^2.
func fit(points []point, from USL) (USL, error) {
	decode := func(x []float64) USL {
		return USL{Lambda: math.Exp(x[0]), Alpha: x[1] * x[1] / (1 + x[1]*x[1]), Beta: x[2] * x[2]}
	}
	problem := optimize.Problem{Func: func(x []float64) float64 {
		u, sum := decode(x), 0.0
		for _, p := range points {
			d := p.y - math.Log(u.At(p.n))
			sum += p.weight * d * d
		}
		return sum
	}}
	alpha := min(max(from.Alpha, 1e-6), 1-1e-6)
	x := []float64{math.Log(from.Lambda), math.Sqrt(alpha / (1 - alpha)), math.Sqrt(max(from.Beta, 1e-8))}
	settings := &optimize.Settings{
		MajorIterations: 1000,
		Converger:       &optimize.FunctionConverge{Absolute: 1e-12, Relative: 1e-10, Iterations: 40},
	}
	r, err := optimize.Minimize(problem, x, settings, &optimize.NelderMead{SimplexSize: 0.05})
	if err != nil {
		return USL{}, fmt.Errorf("fitting the scalability law: %w", err)
	}
	return decode(r.X), nil
}
