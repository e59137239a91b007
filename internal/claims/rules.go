package claims

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/blkmeter/blkmeter/internal/stats"
)

// Rule is how a test turns blocks into one number with an interval.
type Rule string

const (
	// RuleRatio (R1) is the ratio of the best of Of to the best of To, paired by block; with Than it is the ratio
	// of two such ratios, which compares how two curves scale (R2).
	RuleRatio Rule = "ratio"
	// RuleCurve (R2) fits the scalability law to the series Of and To and compares their contention.
	RuleCurve Rule = "curve"
	// RuleShare (R3) is 1000 times the sum of Metric over the sum of Per in Of.
	RuleShare Rule = "share"
	// RuleShareRatio (R3) is that share in Of over that in To.
	RuleShareRatio Rule = "share-ratio"
	// RuleTail (R4) is the ratio of a quantile of Of to that of To, from the blocks' histograms merged.
	RuleTail Rule = "tail"
	// RuleLevel is the median of Metric in Of.
	RuleLevel Rule = "level"
	// RuleSlope is b in Metric = a + b/load over the arms Of.
	RuleSlope Rule = "slope"
	// RuleKnee is the smallest load of Of that reaches 95 % of the largest one's Metric, as a share of that load.
	RuleKnee Rule = "knee"
	// RuleLittle is that knee, of 95 % of the plateau, over plateau times the mean latency at the smallest load.
	RuleLittle Rule = "little"
	// RuleStream is Metric per second times mean latency in Of: 1 for a synchronous stream.
	RuleStream Rule = "stream"
	// RuleCeiling is the throughput of Of[0] times the extra Metric (CPU per I/O) of To[0] over To[1]: 1 when that extra is
	// serial and the only limit.
	RuleCeiling Rule = "ceiling"
	// RuleExplained is the added lock wait per I/O of Of[0] over Of[1], over the added Metric (CPU time per
	// I/O) of To[0] over To[1]; 0 when none was added.
	RuleExplained Rule = "explained"
)

// Want is the claimed direction.
type Want string

const (
	Below  Want = "below"
	Above  Want = "above"
	Within Want = "within"
)

// Test is one question to the blocks of a claim.
type Test struct {
	Name     string   `json:"name"`
	Rule     Rule     `json:"rule"`
	Metric   Metric   `json:"metric,omitempty"`
	Per      Metric   `json:"per,omitempty"`
	Quantile float64  `json:"quantile,omitempty"` // 0..1
	Of       []string `json:"of"`                 // arms, or one series for a curve
	To       []string `json:"to,omitempty"`
	Than     *Pair    `json:"than,omitempty"`
	Least    bool     `json:"least,omitempty"` // the smallest of Of instead of the largest
	Scale    Scale    `json:"scale,omitempty"`

	Want Want `json:"want"`
	// The effect begins at 1-Delta or 1+Delta when Delta is set, else at Low or High. With Above only Low counts,
	// with Below only High.
	Delta float64 `json:"delta,omitempty"`
	Low   float64 `json:"low,omitempty"`
	High  float64 `json:"high,omitempty"`
	// Against is where the claim is refuted; 0: where the effect begins.
	Against float64 `json:"against,omitempty"`

	Band    *Band `json:"band,omitempty"`
	Decides bool  `json:"decides"` // it decides the claim; otherwise it is only reported
}

// Pair is the second ratio of a ratio of ratios.
type Pair struct {
	Of []string `json:"of"`
	To []string `json:"to"`
}

// Scale divides a ratio by something that only the machine knows.
type Scale string

const (
	ScaleNone Scale = ""
	ScaleLoad Scale = "load" // by the load of Of over the load of To: an efficiency
)

// Band is the size that was published, and where it was seen.
type Band struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Conditions string  `json:"conditions"`
	Ref        string  `json:"ref"`
}

// Verdict is the answer to a test or a claim.
type Verdict string

const (
	Reproduced    Verdict = "REPRODUCED"
	NotReproduced Verdict = "NOT REPRODUCED"
	Inconclusive  Verdict = "INCONCLUSIVE"
	CannotTest    Verdict = "CANNOT BE TESTED HERE"
	OnlyReported  Verdict = "REPORTED"
)

// Outcome is a test with its answer.
type Outcome struct {
	Test         Test            `json:"test"`
	Verdict      Verdict         `json:"verdict"`
	Why          string          `json:"why,omitempty"` // why there is no answer
	Interval     *stats.Interval `json:"interval"`      // null without an answer
	Blocks       int             `json:"blocks"`        // that had all its arms
	Low          float64         `json:"effect_low"`    // the bounds that were applied, see Test
	High         float64         `json:"effect_high"`
	Delta        float64         `json:"effect_delta"`        // 0 when the test has bounds of its own
	P            float64         `json:"p"`                   // two-sided, against the nearest bound; 1 without an answer
	PHolm        float64         `json:"p_holm"`              // corrected for all deciding tests of the run
	MannWhitneyP float64         `json:"p_mann_whitney"`      // unpaired, as benchstat computes it; for a plain ratio only, else 1
	BlocksNeeded int             `json:"blocks_needed"`       // of an inconclusive one; 0: no number would do
	SizeVsBand   string          `json:"size_vs_published"`   // "inside", "above" or "below"; empty without a band
	Survives     bool            `json:"survives_correction"` // decided, and p_holm is at most 0.05
}

// table is the blocks of a claim, arm by arm.
type table struct {
	blocks []Block
	arms   map[string]ArmRecord
	seed   uint64
}

// answer computes a test from the blocks at a confidence.
func (tb *table) answer(t Test, confidence, minDelta float64) Outcome {
	o := Outcome{Test: t, P: 1, PHolm: 1, MannWhitneyP: 1, Low: t.Low, High: t.High}
	if t.Delta > 0 {
		o.Delta = max(t.Delta, minDelta)
		o.Low, o.High = 1-o.Delta, 1+o.Delta
		switch t.Want {
		case Below:
			o.High = o.Low
		case Above:
			o.Low = o.High
		}
	}
	q, err := tb.quantity(t)
	if err != nil {
		o.Verdict, o.Why = CannotTest, err.Error()
		return o
	}
	o.Blocks = q.n
	resampling := stats.Default(tb.seedOf(t))
	resampling.Confidence = confidence
	d, err := stats.Resample(q.n, q.of, resampling)
	if err != nil {
		o.Verdict, o.Why = CannotTest, err.Error()
		return o
	}
	raw := d.Interval()
	shown := raw.Map(q.show)
	for _, x := range []float64{shown.Estimate, shown.Low, shown.High} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			o.Verdict, o.Why = CannotTest, "its blocks give no finite number"
			return o
		}
	}
	near := q.unshow(t.nearest(shown, o.Low, o.High))
	if math.IsNaN(near) {
		o.Verdict, o.Why = CannotTest, "no ratio is on the other side of its bound"
		return o
	}
	o.Interval = &shown
	o.Verdict = t.decide(shown, o.Low, o.High)
	o.P = d.P(near)
	if o.Verdict == Inconclusive && !t.between(shown, o.Low, o.High) {
		o.BlocksNeeded = stats.BlocksNeeded(q.n, (raw.High-raw.Low)/2, math.Abs(raw.Estimate-near))
	}
	if q.a != nil {
		o.MannWhitneyP, _ = stats.MannWhitney(q.a, q.b)
	}
	if t.Band != nil {
		switch {
		case shown.Estimate < t.Band.Low:
			o.SizeVsBand = "below"
		case shown.Estimate > t.Band.High:
			o.SizeVsBand = "above"
		default:
			o.SizeVsBand = "inside"
		}
	}
	if !t.Decides {
		o.Verdict = OnlyReported
	}
	return o
}

// decide applies the claimed direction to an interval: the whole of it must lie on one side.
func (t *Test) decide(i stats.Interval, low, high float64) Verdict {
	switch t.Want {
	case Below:
		if i.High < high {
			return Reproduced
		}
		if i.Low >= t.against(high) {
			return NotReproduced
		}
	case Above:
		if i.Low > low {
			return Reproduced
		}
		if i.High <= t.against(low) {
			return NotReproduced
		}
	case Within:
		if i.Low >= low && i.High <= high {
			return Reproduced
		}
		if i.High < low || i.Low > high {
			return NotReproduced
		}
	}
	return Inconclusive
}

func (t *Test) against(bound float64) float64 {
	if t.Against != 0 {
		return t.Against
	}
	return bound
}

// bounds returns where the claim begins to hold and where it is refuted, in order; of Within, where it begins and
// ends.
func (t *Test) bounds(low, high float64) (float64, float64) {
	switch t.Want {
	case Below:
		return high, t.against(high)
	case Above:
		return t.against(low), low
	default:
		return low, high
	}
}

// nearest returns the bound that the estimate must get away from.
func (t *Test) nearest(i stats.Interval, low, high float64) float64 {
	low, high = t.bounds(low, high)
	if math.Abs(i.Estimate-low) < math.Abs(i.Estimate-high) {
		return low
	}
	return high
}

// between says whether the estimate lies where the claim neither holds nor is refuted: no number of blocks
// would decide, if that is where the truth is.
func (t *Test) between(i stats.Interval, low, high float64) bool {
	low, high = t.bounds(low, high)
	return t.Want != Within && low <= i.Estimate && i.Estimate <= high
}

// seedOf makes every test's resampling its own, and the same for ever.
func (tb *table) seedOf(t Test) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.Name)) // a hash never fails
	return tb.seed ^ h.Sum64()
}

// quantity is a number as a function of blocks, in the space in which it is averaged.
type quantity struct {
	n            int
	of           stats.Statistic
	show, unshow func(float64) float64
	a, b         []float64 // the two sides of a plain ratio
}

func plain(n int, of stats.Statistic) *quantity {
	same := func(x float64) float64 { return x }
	return &quantity{n: n, of: of, show: same, unshow: same}
}

func logarithmic(n int, of stats.Statistic) *quantity {
	return &quantity{n: n, of: of, show: math.Exp, unshow: math.Log}
}

// column returns a metric of an arm in the blocks that have all of the test's arms.
func (tb *table) columns(arms []string, metric Metric) (map[string][]float64, int, error) {
	cols := map[string][]float64{}
	n := 0
	for _, b := range tb.blocks {
		if slices.ContainsFunc(arms, func(a string) bool { _, ok := b.Samples[a]; return !ok }) {
			continue
		}
		for _, a := range arms {
			v, ok := b.Samples[a].Values[metric]
			if !ok {
				err := fmt.Errorf("arm %s reports no %s", a, metric)
				if missing := b.Samples[a].Missing; len(missing) > 0 {
					err = fmt.Errorf("%w: %s", err, strings.Join(missing, "; "))
				}
				return nil, 0, err
			}
			cols[a] = append(cols[a], v)
		}
		n++
	}
	if n < 2 {
		return nil, 0, fmt.Errorf("only %d blocks have all of %s", n, strings.Join(arms, ", "))
	}
	return cols, n, nil
}

// sides is how many arms each rule needs at least.
func (r Rule) sides() (of, to int) {
	switch r {
	case RuleRatio, RuleCurve, RuleShareRatio, RuleTail:
		return 1, 1
	case RuleCeiling:
		return 1, 2
	case RuleExplained:
		return 2, 2
	default:
		return 1, 0
	}
}

func (tb *table) quantity(t Test) (*quantity, error) {
	switch t.Rule {
	case RuleRatio, RuleSlope, RuleKnee, RuleLittle:
		// A test over several arms asks those that this machine could run.
		for _, list := range []*[]string{&t.Of, &t.To} {
			if len(*list) > 1 {
				*list = slices.DeleteFunc(slices.Clone(*list), func(a string) bool { _, ran := tb.arms[a]; return !ran })
			}
		}
	}
	of, to := t.Rule.sides()
	if len(t.Of) < of || len(t.To) < to || t.Than != nil && (len(t.Than.Of) == 0 || len(t.Than.To) == 0) {
		return nil, errors.New("not enough of its arms were run")
	}
	for _, a := range slices.Concat(t.Of, t.To) {
		if _, ran := tb.arms[a]; !ran && t.Rule != RuleCurve {
			return nil, fmt.Errorf("arm %s was not run", a)
		}
	}
	switch t.Rule {
	case RuleRatio:
		return tb.ratio(t)
	case RuleCurve:
		return tb.curve(t)
	case RuleShare, RuleShareRatio:
		return tb.share(t)
	case RuleTail:
		return tb.tail(t)
	case RuleLevel:
		cols, n, err := tb.columns(t.Of, t.Metric)
		if err != nil {
			return nil, err
		}
		logs := make([]float64, len(cols[t.Of[0]])) // levels are times: positive, and skewed
		for i, x := range cols[t.Of[0]] {
			if !(x > 0) {
				return nil, fmt.Errorf("arm %s: no level of %v %s", t.Of[0], x, t.Metric)
			}
			logs[i] = math.Log(x)
		}
		return logarithmic(n, stats.MedianOf(logs)), nil
	case RuleSlope:
		return tb.slope(t)
	case RuleKnee, RuleLittle:
		return tb.knee(t)
	case RuleStream:
		rate, n, err := tb.columns(t.Of, t.Metric)
		if err != nil {
			return nil, err
		}
		lat, _, err := tb.columns(t.Of, MeanNS)
		if err != nil {
			return nil, err
		}
		r, l := rate[t.Of[0]], lat[t.Of[0]]
		return logarithmic(n, func(blocks []int) float64 {
			return math.Log(meanOf(r, blocks) * meanOf(l, blocks) / 1e9)
		}), nil
	case RuleCeiling:
		return tb.ceiling(t)
	case RuleExplained:
		return tb.explained(t)
	}
	return nil, fmt.Errorf("no rule is called %q", t.Rule)
}

func pick(xs []float64, blocks []int) []float64 {
	out := make([]float64, len(blocks))
	for i, b := range blocks {
		out[i] = xs[b]
	}
	return out
}

func meanOf(xs []float64, blocks []int) float64 {
	sum := 0.0
	for _, b := range blocks {
		sum += xs[b]
	}
	return sum / float64(len(blocks))
}

func (tb *table) ratio(t Test) (*quantity, error) {
	if t.Than == nil && len(t.Of) == 1 && len(t.To) == 1 && t.Scale == ScaleNone {
		return tb.plainRatio(t)
	}
	arms := slices.Concat(t.Of, t.To)
	if t.Than != nil {
		arms = slices.Concat(arms, t.Than.Of, t.Than.To)
	}
	slices.Sort(arms)
	arms = slices.Compact(arms)
	cols, n, err := tb.columns(arms, t.Metric)
	if err != nil {
		return nil, err
	}
	logs := map[string][]float64{}
	for a, xs := range cols {
		for i, x := range xs {
			if !(x > 0) || math.IsInf(x, 0) {
				return nil, fmt.Errorf("arm %s, block %d: no ratio with %v %s", a, i, x, t.Metric)
			}
			logs[a] = append(logs[a], math.Log(x))
		}
	}
	best := func(arms []string, blocks []int, least bool) float64 {
		v := math.Inf(-1)
		if least {
			v = math.Inf(1)
		}
		for _, a := range arms {
			m := meanOf(logs[a], blocks)
			if least {
				v = min(v, m)
			} else {
				v = max(v, m)
			}
		}
		return v
	}
	shift := 0.0
	if t.Scale == ScaleLoad {
		shift = math.Log(tb.arms[t.Of[0]].Load / tb.arms[t.To[0]].Load)
	}
	return logarithmic(n, func(blocks []int) float64 {
		v := best(t.Of, blocks, t.Least) - best(t.To, blocks, false) - shift
		if t.Than != nil {
			v -= best(t.Than.Of, blocks, false) - best(t.Than.To, blocks, false)
		}
		return v
	}), nil
}

// plainRatio is one arm over another.
func (tb *table) plainRatio(t Test) (*quantity, error) {
	cols, n, err := tb.columns([]string{t.Of[0], t.To[0]}, t.Metric)
	if err != nil {
		return nil, err
	}
	of, err := stats.LogRatio(cols[t.To[0]], cols[t.Of[0]])
	if err != nil {
		return nil, fmt.Errorf("%s of %s and %s: %w", t.Metric, t.Of[0], t.To[0], err)
	}
	q := logarithmic(n, of)
	q.a, q.b = cols[t.To[0]], cols[t.Of[0]]
	return q, nil
}

func (tb *table) share(t Test) (*quantity, error) {
	arms := slices.Concat(t.Of, t.To)
	parts, n, err := tb.columns(arms, t.Metric)
	if err != nil {
		return nil, err
	}
	wholes, _, err := tb.columns(arms, t.Per)
	if err != nil {
		return nil, err
	}
	of, err := stats.Share(parts[t.Of[0]], wholes[t.Of[0]])
	if err != nil {
		return nil, err
	}
	if t.Rule == RuleShare {
		return plain(n, func(blocks []int) float64 { return 1000 * of(blocks) }), nil
	}
	// Nothing may have been counted on one side: half an event stands for less than one.
	rate := func(arm string, blocks []int) float64 {
		return (meanOf(parts[arm], blocks)*float64(len(blocks)) + 0.5) / meanOf(wholes[arm], blocks)
	}
	return logarithmic(n, func(blocks []int) float64 { return math.Log(rate(t.Of[0], blocks) / rate(t.To[0], blocks)) }), nil
}

// tailSamples is how many samples a block must have for a quantile to mean something.
func tailSamples(quantile float64) int64 {
	switch {
	case quantile > 0.999:
		return 200_000
	case quantile > 0.99:
		return 20_000
	default:
		return 1000
	}
}

func (tb *table) tail(t Test) (*quantity, error) {
	sides := [2][][]stats.Bucket{}
	for _, b := range tb.blocks {
		of, okOf := b.Samples[t.Of[0]]
		to, okTo := b.Samples[t.To[0]]
		if !okOf || !okTo {
			continue
		}
		for i, s := range []Sample{of, to} {
			buckets, err := histogram(s.Histogram)
			if err != nil {
				return nil, err
			}
			var n int64
			for _, k := range buckets {
				n += k.N
			}
			if need := tailSamples(t.Quantile); n < need {
				return nil, fmt.Errorf("p%v needs %d samples in every block, block %d has %d: run longer arms, with --profile=bench or full", 100*t.Quantile, need, b.Index, n)
			}
			sides[i] = append(sides[i], buckets)
		}
	}
	if len(sides[0]) < 2 {
		return nil, fmt.Errorf("only %d blocks have both %s and %s", len(sides[0]), t.Of[0], t.To[0])
	}
	of, err := stats.LogTailRatio(sides[1], sides[0], t.Quantile)
	if err != nil {
		return nil, err
	}
	return logarithmic(len(sides[0]), of), nil
}

// histogram decodes a recorded histogram.
func histogram(encoded string) ([]stats.Bucket, error) {
	if encoded == "" {
		return nil, fmt.Errorf("the arm recorded no histogram")
	}
	h, err := hdrhistogram.Decode([]byte(encoded))
	if err != nil {
		return nil, fmt.Errorf("reading a recorded histogram: %w", err)
	}
	var buckets []stats.Bucket
	for _, b := range h.Distribution() {
		if b.Count > 0 {
			buckets = append(buckets, stats.Bucket{Value: b.To, N: b.Count})
		}
	}
	return buckets, nil
}

func (tb *table) slope(t Test) (*quantity, error) {
	cols, n, err := tb.columns(t.Of, t.Metric)
	if err != nil {
		return nil, err
	}
	xs := make([]float64, len(t.Of))
	meanX := 0.0
	for i, a := range t.Of {
		load := tb.arms[a].Load
		if !(load > 0) {
			return nil, fmt.Errorf("arm %s has no load to fit over", a)
		}
		xs[i] = 1 / load
		meanX += xs[i] / float64(len(t.Of))
	}
	return plain(n, func(blocks []int) float64 {
		var sxy, sxx float64
		for i, a := range t.Of {
			sxy += (xs[i] - meanX) * meanOf(cols[a], blocks)
			sxx += (xs[i] - meanX) * (xs[i] - meanX)
		}
		return sxy / sxx
	}), nil
}

func (tb *table) knee(t Test) (*quantity, error) {
	cols, n, err := tb.columns(t.Of, t.Metric)
	if err != nil {
		return nil, err
	}
	arms := slices.SortedFunc(slices.Values(t.Of), func(a, b string) int {
		return int(math.Copysign(1, tb.arms[a].Load-tb.arms[b].Load))
	})
	last := arms[len(arms)-1]
	kneeAt := func(blocks []int, plateau float64) float64 {
		for _, a := range arms {
			if meanOf(cols[a], blocks) >= 0.95*plateau {
				return tb.arms[a].Load
			}
		}
		return tb.arms[last].Load
	}
	if t.Rule == RuleKnee {
		return plain(n, func(blocks []int) float64 {
			return kneeAt(blocks, meanOf(cols[last], blocks)) / tb.arms[last].Load
		}), nil
	}
	lat, _, err := tb.columns(t.Of, MeanNS)
	if err != nil {
		return nil, err
	}
	return plain(n, func(blocks []int) float64 {
		plateau := 0.0
		for _, a := range arms {
			plateau = max(plateau, meanOf(cols[a], blocks))
		}
		return kneeAt(blocks, plateau) / (plateau * meanOf(lat[arms[0]], blocks) / 1e9)
	}), nil
}

func (tb *table) ceiling(t Test) (*quantity, error) {
	arms := slices.Concat(t.Of, t.To)
	rate, n, err := tb.columns(arms, IOPS)
	if err != nil {
		return nil, err
	}
	cost, _, err := tb.columns(arms, t.Metric)
	if err != nil {
		return nil, err
	}
	return plain(n, func(blocks []int) float64 {
		serial := meanOf(cost[t.To[0]], blocks) - meanOf(cost[t.To[1]], blocks)
		return meanOf(rate[t.Of[0]], blocks) * serial / 1e9
	}), nil
}

func (tb *table) explained(t Test) (*quantity, error) {
	arms := slices.Concat(t.Of, t.To)
	waits, n, err := tb.columns(t.Of, LockWait)
	if err != nil {
		return nil, err
	}
	ios, m, err := tb.columns(t.Of, IOs)
	if err != nil {
		return nil, err
	}
	cost, k, err := tb.columns(t.To, t.Metric)
	if err != nil {
		return nil, err
	}
	if n != m || n != k {
		return nil, fmt.Errorf("not all blocks have all of %s", strings.Join(arms, ", "))
	}
	perIO := func(arm string, blocks []int) float64 { return meanOf(waits[arm], blocks) / meanOf(ios[arm], blocks) }
	return plain(n, func(blocks []int) float64 {
		waiting := perIO(t.Of[0], blocks) - perIO(t.Of[1], blocks)
		added := meanOf(cost[t.To[0]], blocks) - meanOf(cost[t.To[1]], blocks)
		if added <= 0 {
			return 0 // nothing was added that waiting could explain
		}
		return waiting / added
	}), nil
}

// curve compares the contention of two series: the difference of their alphas.
func (tb *table) curve(t Test) (*quantity, error) {
	series := [2][]string{}
	for i, name := range []string{t.Of[0], t.To[0]} {
		for arm, r := range tb.arms {
			if r.Series == name {
				series[i] = append(series[i], arm)
			}
		}
		slices.SortFunc(series[i], func(a, b string) int { return int(math.Copysign(1, tb.arms[a].Load-tb.arms[b].Load)) })
	}
	for i, name := range []string{t.Of[0], t.To[0]} {
		if len(series[i]) < stats.MinLoads {
			return nil, fmt.Errorf("a curve needs %d loads or more, and %d arms of %s were run", stats.MinLoads, len(series[i]), name)
		}
	}
	cols, n, err := tb.columns(slices.Concat(series[0], series[1]), t.Metric)
	if err != nil {
		return nil, err
	}
	alpha := func(arms []string, blocks []int) float64 {
		loads := make([]stats.Load, len(arms))
		for i, a := range arms {
			loads[i] = stats.Load{N: int(tb.arms[a].Load), Throughput: pick(cols[a], blocks)}
		}
		u, err := stats.QuickUSL(loads)
		if err != nil {
			return math.NaN()
		}
		return u.Alpha
	}
	return plain(n, func(blocks []int) float64 { return alpha(series[0], blocks) - alpha(series[1], blocks) }), nil
}
