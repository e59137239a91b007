package claims

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/stats"
	"github.com/blkmeter/blkmeter/report"
	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
)

var update = flag.Bool("update", false, "write the generated files anew")

// synthetic is a runner whose truth is known: every arm has a mean, and noise in the logarithm.
type synthetic struct {
	means map[string]float64
	noise float64
	rng   *rand.Rand
	calls []string
	fail  func(arm string, call int) error
}

func (s *synthetic) RunArm(_ context.Context, a Arm) (Sample, error) {
	s.calls = append(s.calls, a.Name)
	if s.fail != nil {
		if err := s.fail(a.Name, len(s.calls)); err != nil {
			return Sample{}, err
		}
	}
	mean, ok := s.means[a.Name]
	if !ok {
		return Sample{}, fmt.Errorf("nobody expected arm %s", a.Name)
	}
	return Sample{Values: map[Metric]float64{OpsPerS: mean * math.Exp(s.noise*s.rng.NormFloat64())}}, nil
}

func newSynthetic(seed uint64, noise float64, means map[string]float64) *synthetic {
	return &synthetic{means: means, noise: noise, rng: rand.New(rand.NewPCG(seed, 99))}
}

// loss is a claim that arm b loses against arm a by 10 % or more.
func loss() Claim {
	return Claim{
		ID: "1", Title: "b loses", Statement: "b loses.", Sources: []Source{{Ref: "here", Mark: Read}},
		Arms:  []Arm{crowd("futex", Threads{N: 1}), crowd("ticket", Threads{N: 1})},
		Tests: []Test{ratio("ticket", "futex", OpsPerS, Below, 0.10)},
	}
}

var twoCPUs = Environment{CPUs: []int{0, 1}, Cores: 2, NUMANodes: 1}

func ciProfile() Profile {
	p, _ := ProfileNamed("ci")
	p.Budget = 0
	return p
}

func runOne(t testing.TB, c Claim, r Runner, seed uint64) (*Document, *Record) {
	t.Helper()
	d, err := Run(context.Background(), twoCPUs, []Claim{c}, r, Options{Profile: ciProfile(), Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return d, &d.Records[0]
}

func TestVerdictsOfKnownEffects(t *testing.T) {
	for _, c := range []struct {
		name    string
		effect  float64
		noise   float64
		verdict Verdict
		blocks  int
	}{
		{"half, quiet", 0.5, 0.02, Reproduced, 6},
		{"half, noisy", 0.5, 0.08, Reproduced, 6},
		{"none, quiet", 1, 0.01, NotReproduced, 6},
		{"reversed", 1.5, 0.05, NotReproduced, 6},
		{"on the bound", 0.9, 0.05, Inconclusive, 10},
		{"hopeless noise", 0.8, 0.6, Inconclusive, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newSynthetic(1, c.noise, map[string]float64{"futex": 1000, "ticket": 1000 * c.effect})
			_, rec := runOne(t, loss(), r, 7)
			o := rec.Tests[0]
			if rec.Verdict != c.verdict || len(rec.Blocks) != c.blocks {
				t.Errorf("%s after %d blocks (%+v), want %s after %d", rec.Verdict, len(rec.Blocks), o.Interval, c.verdict, c.blocks)
			}
			if len(r.calls) != 2*c.blocks {
				t.Errorf("%d arms were run, %d blocks of 2 are on record", len(r.calls), c.blocks)
			}
			if (o.Verdict == Inconclusive) != (o.BlocksNeeded > len(rec.Blocks)) && o.BlocksNeeded != 0 {
				t.Errorf("%s, %d blocks needed", o.Verdict, o.BlocksNeeded)
			}
		})
	}
}

// TestBetweenTheBounds: a claim that is refuted elsewhere than where it begins to hold leaves room between, where
// more blocks do not help; and p is against the bound that the verdict is about.
func TestBetweenTheBounds(t *testing.T) {
	cores := func(n int) Environment {
		e := Environment{Cores: n, NUMANodes: 1, Root: true, Device: &Device{Platform: NullBlk, HardwareQueues: n, Schedulers: []string{"none"}}}
		for cpu := range n {
			e.CPUs = append(e.CPUs, cpu)
		}
		return e
	}
	for _, c := range []struct {
		id      string
		means   map[string]float64 // of arms
		verdict Verdict
	}{
		{"5", map[string]float64{"none@max": 1}, Reproduced},
		{"5", map[string]float64{"none@max": 12}, Inconclusive},
		{"5", map[string]float64{"none@max": 25}, NotReproduced},
		{"6", map[string]float64{"1 queues": 9.9, "2 queues": 10, "4 queues": 10, "max queues": 10}, Reproduced},
		{"6", map[string]float64{"1 queues": 4, "2 queues": 9.9, "4 queues": 10, "max queues": 10}, Reproduced},
		{"6", map[string]float64{"1 queues": 4, "2 queues": 7, "4 queues": 9.9, "max queues": 10}, Inconclusive},
		{"6", map[string]float64{"1 queues": 2, "2 queues": 4, "4 queues": 6, "max queues": 10}, NotReproduced},
	} {
		claim, err := Select([]string{c.id})
		if err != nil {
			t.Fatal(err)
		}
		doc, err := Run(context.Background(), cores(8), claim, runnerFunc(func(a Arm) Sample {
			v := c.means[a.Name]
			return Sample{Values: map[Metric]float64{IOPS: v, IOs: 1000, Contended: v}}
		}), Options{Profile: ciProfile(), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		rec := doc.Records[0]
		o := rec.Tests[0]
		if rec.Verdict != c.verdict || o.BlocksNeeded != 0 {
			t.Errorf("claim %s with %v: %s (%+v, %d blocks needed): %s", c.id, c.means, rec.Verdict, o.Interval, o.BlocksNeeded, rec.Why)
		}
		if says := strings.Contains(recordText(doc), "refuted above"); says != (c.verdict == Inconclusive) {
			t.Errorf("claim %s with %v:\n%s", c.id, c.means, recordText(doc))
		}
	}
	o := Test{Want: Below, Against: 20}
	if at := o.nearest(stats.Interval{Estimate: 25}, 0, 5); at != 20 {
		t.Errorf("25 is nearest to %v", at)
	}
}

type runnerFunc func(Arm) Sample

func (f runnerFunc) RunArm(_ context.Context, a Arm) (Sample, error) { return f(a), nil }

func recordText(d *Document) string {
	var b strings.Builder
	_ = d.Text(&b) // a builder never fails
	return b.String()
}

// TestFalseVerdicts: where there is no effect, a verdict that there is one must be rare whatever the noise,
// looks included; and at the bound itself neither verdict may be common.
func TestFalseVerdicts(t *testing.T) {
	p := ciProfile()
	p.Looks = []Look{{6, 0.995}, {10, 0.99}, {20, 0.95}}
	const runs = 200
	for _, c := range []struct {
		effect float64
		wrong  Verdict
		limit  float64
	}{
		{1, Reproduced, 0.05},
		// At the bound each side of a 95 % interval misses in 2.5 %, and two earlier looks add to it.
		{0.9, Reproduced, 0.07},
		{0.9, NotReproduced, 0.07},
	} {
		wrong := 0
		for i := range runs {
			r := newSynthetic(uint64(i), 0.15, map[string]float64{"futex": 1000, "ticket": 1000 * c.effect})
			d, err := Run(context.Background(), twoCPUs, []Claim{loss()}, r, Options{Profile: p, Seed: uint64(i)})
			if err != nil {
				t.Fatal(err)
			}
			if d.Records[0].Verdict == c.wrong {
				wrong++
			}
		}
		t.Logf("effect %v: %.1f %% %s", c.effect, 100*float64(wrong)/runs, c.wrong)
		if float64(wrong)/runs >= c.limit {
			t.Errorf("effect %v: %d of %d verdicts were %s", c.effect, wrong, runs, c.wrong)
		}
	}
}

// TestBlocksNeededIsHonest: an experiment with as many blocks as an inconclusive one asked for mostly decides.
func TestBlocksNeededIsHonest(t *testing.T) {
	means := map[string]float64{"futex": 1000, "ticket": 830}
	need, estimate := 0, 0.0
	for seed := uint64(0); need <= 10 || need > 100; seed++ {
		if seed == 50 {
			t.Fatal("50 noisy experiments, and none asked for 11 to 100 blocks")
		}
		_, rec := runOne(t, loss(), newSynthetic(seed, 0.15, means), seed)
		need, estimate = rec.Tests[0].BlocksNeeded, rec.Tests[0].Interval.Estimate
	}
	means["ticket"] = 1000 * estimate // "if the estimate holds"
	p := ciProfile()
	p.Looks = []Look{{3 * need, 0.99}}
	decided := 0
	const runs = 20
	for i := range runs {
		d, err := Run(context.Background(), twoCPUs, []Claim{loss()}, newSynthetic(uint64(100+i), 0.15, means), Options{Profile: p, Seed: uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		if d.Records[0].Verdict == Reproduced {
			decided++
		}
	}
	if decided < runs*3/4 {
		t.Errorf("%d of %d experiments with three times the blocks asked for decided", decided, runs)
	}
}

func TestSameSeedSameDocument(t *testing.T) {
	means := map[string]float64{"futex": 1000, "ticket": 800}
	one, _ := runOne(t, loss(), newSynthetic(3, 0.1, means), 11)
	two, _ := runOne(t, loss(), newSynthetic(3, 0.1, means), 11)
	other, _ := runOne(t, loss(), newSynthetic(3, 0.1, means), 12)
	for _, d := range []*Document{one, two, other} {
		d.StartedAt, d.ElapsedNS, d.Records[0].ElapsedNS = time.Time{}, 0, 0
	}
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("the same seed gave another document:\n%s", diff)
	}
	orders := map[string]bool{}
	for _, b := range slices.Concat(one.Records[0].Blocks, other.Records[0].Blocks) {
		orders[strings.Join(b.Order, " ")] = true
	}
	if len(orders) != 2 {
		t.Errorf("the arms ran in the orders %v only", orders)
	}
}

func TestJudgeRecomputesOffline(t *testing.T) {
	d, _ := runOne(t, loss(), newSynthetic(3, 0.05, map[string]float64{"futex": 1000, "ticket": 500}), 5)
	var text bytes.Buffer
	if err := d.Save(&text); err != nil {
		t.Fatal(err)
	}
	back, err := Load(&text)
	if err != nil {
		t.Fatal(err)
	}
	// Somebody improves the verdict; the blocks know better.
	back.Records[0].Verdict = NotReproduced
	back.Records[0].Tests[0].Verdict = NotReproduced
	back.Records[0].Tests[0].P = 1
	back.Judge()
	if diff := cmp.Diff(d, back); diff != "" {
		t.Errorf("judging again gave something else:\n%s", diff)
	}
	if _, err := Load(strings.NewReader(`{"schema":"blkmeter.result/1"}`)); err == nil {
		t.Error("another document was loaded as claims")
	}
	if _, err := Load(strings.NewReader(`{`)); err == nil {
		t.Error("half a document was loaded")
	}
}

func TestHolmIsAppliedOverAllClaims(t *testing.T) {
	a, b := loss(), loss()
	b.ID = "2"
	r := newSynthetic(5, 0.05, map[string]float64{"futex": 1000, "ticket": 500})
	d, err := Run(context.Background(), twoCPUs, []Claim{a, b}, r, Options{Profile: ciProfile(), Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	larger := 0
	for _, rec := range d.Records {
		o := rec.Tests[0]
		if o.PHolm < o.P || !o.Survives {
			t.Errorf("p %v became %v, survives: %v", o.P, o.PHolm, o.Survives)
		}
		if o.PHolm > o.P {
			larger++
		}
	}
	if larger == 0 {
		t.Error("two tests were not corrected")
	}
}

func TestWhatCannotBeTested(t *testing.T) {
	needy := loss()
	needy.Needs = []Need{{Code: NeedCores, N: 64}, {Code: NeedNUMA}}
	_, rec := runOne(t, needy, newSynthetic(1, 0, nil), 1)
	if rec.Verdict != CannotTest || !slices.Equal(rec.Codes, []string{"NEED_CORES(64)", "NEED_NUMA"}) || len(rec.Remedies) != 2 || len(rec.Blocks) != 0 {
		t.Errorf("a claim without its preconditions: %+v", rec)
	}

	failing := newSynthetic(1, 0.01, map[string]float64{"futex": 1000, "ticket": 500})
	for _, c := range []struct {
		err  error
		code string
	}{
		{errors.New("broken"), "ARM_FAILED"},
		{fmt.Errorf("io_uring: %w", engine.ErrUnsupported), "UNSUPPORTED"},
		{context.Canceled, "INTERRUPTED"},
	} {
		failing.calls, failing.fail = nil, func(_ string, call int) error {
			if call == 5 {
				return c.err
			}
			return nil
		}
		_, rec := runOne(t, loss(), failing, 1)
		if rec.Verdict != CannotTest || !slices.Equal(rec.Codes, []string{c.code}) || !strings.Contains(rec.Why, c.err.Error()) || len(rec.Blocks) != 0 {
			t.Errorf("%v: %s %v %q, %d blocks", c.err, rec.Verdict, rec.Codes, rec.Why, len(rec.Blocks))
		}
	}
	// After a look, what was decided stays decided.
	noisy := newSynthetic(1, 0.3, map[string]float64{"futex": 1000, "ticket": 100})
	noisy.fail = func(_ string, call int) error {
		if call > 14 {
			return errors.New("broken")
		}
		return nil
	}
	if _, rec := runOne(t, loss(), noisy, 1); rec.Verdict != Reproduced || len(rec.Blocks) != 6 {
		t.Errorf("%s after %d blocks", rec.Verdict, len(rec.Blocks))
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d, err := Run(ctx, twoCPUs, []Claim{loss()}, failing, Options{Profile: ciProfile()})
	if !errors.Is(err, context.Canceled) || d.Status != report.StatusInterrupted || d.Records[0].Codes[0] != "INTERRUPTED" {
		t.Errorf("interrupted before the start: %v, %s", err, d.Status)
	}
}

// lasting is a runner whose arms take their time, which in a bubble passes at once.
type lasting struct {
	Runner
	arm time.Duration
}

func (l lasting) RunArm(ctx context.Context, a Arm) (Sample, error) {
	select {
	case <-time.After(l.arm):
		return l.Runner.RunArm(ctx, a)
	case <-ctx.Done():
		return Sample{}, ctx.Err()
	}
}

// TestBudgetTakesTheMostTelling: the most telling claims are run first, one is begun only if its first look fits,
// and what earlier ones did not need is there for later ones. The records are in the order asked for.
func TestBudgetTakesTheMostTelling(t *testing.T) {
	var all []Claim
	for i, priority := range []int{3, 1, 2} {
		c := loss()
		c.ID, c.Priority = fmt.Sprint(i+1), priority
		all = append(all, c)
	}
	p := ciProfile()
	c := loss()
	cost := p.Cost(&c)
	for _, budget := range []struct {
		costs float64 // each claim takes 0.6 of its cost, since it is decided after 6 of 10 blocks
		want  []Verdict
	}{
		{0.5, []Verdict{CannotTest, CannotTest, CannotTest}},
		{1.1, []Verdict{CannotTest, Reproduced, CannotTest}},
		{1.7, []Verdict{CannotTest, Reproduced, Reproduced}},
		{1.9, []Verdict{Reproduced, Reproduced, Reproduced}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := lasting{newSynthetic(1, 0.01, map[string]float64{"futex": 1000, "ticket": 500}), cost / 20}
			d, err := Run(context.Background(), twoCPUs, all, r, Options{Profile: p, Budget: time.Duration(budget.costs * float64(cost))})
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range budget.want {
				rec := &d.Records[i]
				if rec.ID != all[i].ID || rec.Verdict != want {
					t.Errorf("%.1f costs, claim %s with priority %d: %s, want %s", budget.costs, rec.ID, all[i].Priority, rec.Verdict, want)
				}
				if want == CannotTest && (len(rec.Codes) != 1 || rec.Codes[0] != "OVER_BUDGET") {
					t.Errorf("codes %v", rec.Codes)
				}
			}
		})
	}
}

// TestBudgetEndsAtALook: a claim that is undecided at a look goes on only if the next one can be reached.
func TestBudgetEndsAtALook(t *testing.T) {
	p := ciProfile()
	c := loss()
	cost := p.Cost(&c)
	for _, budget := range []struct {
		costs  float64
		blocks int
	}{{0.9, 6}, {1.1, 10}} {
		synctest.Test(t, func(t *testing.T) {
			r := lasting{newSynthetic(1, 0.05, map[string]float64{"futex": 1000, "ticket": 900}), cost / 20}
			d, err := Run(context.Background(), twoCPUs, []Claim{c}, r, Options{Profile: p, Budget: time.Duration(budget.costs * float64(cost))})
			if err != nil {
				t.Fatal(err)
			}
			if rec := &d.Records[0]; rec.Verdict != Inconclusive || len(rec.Blocks) != budget.blocks {
				t.Errorf("%.1f costs: %s after %d blocks, want %d", budget.costs, rec.Verdict, len(rec.Blocks), budget.blocks)
			}
		})
	}
}

func TestArmsThatCannotRunAreLeftOut(t *testing.T) {
	c := loss()
	c.Arms = append(c.Arms, crowd("mcs", Threads{PerCPU: 2}))
	c.Arms[1].Needs = []Need{{Code: NeedNUMA}}
	c.Tests = append(c.Tests, Test{
		Name: "worst/futex", Rule: RuleRatio, Metric: OpsPerS, Of: []string{"ticket", "mcs"}, To: []string{"futex"}, Least: true,
		Want: Below, High: 0.8, Decides: true,
	})
	_, rec := runOne(t, c, newSynthetic(1, 0.01, map[string]float64{"futex": 1000, "mcs": 500}), 1)
	if len(rec.Skipped) != 1 || rec.Skipped[0].Name != "ticket" || rec.Skipped[0].Codes[0] != "NEED_NUMA" {
		t.Errorf("skipped %+v", rec.Skipped)
	}
	if rec.Tests[0].Verdict != CannotTest || rec.Tests[1].Verdict != Reproduced || rec.Verdict != Reproduced {
		t.Errorf("verdicts %s, %s, together %s", rec.Tests[0].Verdict, rec.Tests[1].Verdict, rec.Verdict)
	}
	if rec.Arms[1].Threads != 4 {
		t.Errorf("two threads per CPU on two CPUs are %d", rec.Arms[1].Threads)
	}
}

func TestDisturbedBlocks(t *testing.T) {
	disturb := func(d *Document, codes func(block int) []Code) *Record {
		rec := &d.Records[0]
		for i := range rec.Blocks {
			for arm, s := range rec.Blocks[i].Samples {
				s.Codes = codes(i)
				rec.Blocks[i].Samples[arm] = s
			}
		}
		d.Judge()
		return rec
	}
	steal := func(d *Document) *Record { return disturb(d, func(int) []Code { return []Code{Steal} }) }
	decided, _ := runOne(t, loss(), newSynthetic(1, 0.02, map[string]float64{"futex": 1000, "ticket": 500}), 1)
	if rec := steal(decided); rec.Verdict != Reproduced || rec.Codes[0] != "STEAL in 6 of 6 blocks" {
		t.Errorf("a decided claim on a noisy machine: %s %v", rec.Verdict, rec.Codes)
	}
	for _, code := range []Code{GeneratorBound, MapMismatch} {
		for share, want := range map[int]Verdict{4: CannotTest, 3: Reproduced} { // of six blocks
			rec := disturb(decided, func(block int) []Code {
				if block < share {
					return []Code{Steal, code}
				}
				return []Code{Steal}
			})
			if rec.Verdict != want || want == CannotTest && !strings.Contains(rec.Why, string(code)) {
				t.Errorf("%s in %d of 6 blocks: %s, %s", code, share, rec.Verdict, rec.Why)
			}
		}
	}
	decided.Strict = true
	if rec := steal(decided); rec.Verdict != CannotTest || !strings.Contains(rec.Why, "STEAL") {
		t.Errorf("the same with a strict profile: %s", rec.Verdict)
	}
	open, _ := runOne(t, loss(), newSynthetic(1, 0.5, map[string]float64{"futex": 1000, "ticket": 900}), 1)
	if rec := steal(open); rec.Verdict != CannotTest {
		t.Errorf("an open question on a noisy machine: %s", rec.Verdict)
	}
}

// A claim about the generator is not disturbed by what it claims.
func TestGeneratorBoundIsWhatClaim13Says(t *testing.T) {
	claim, err := Select([]string{"13"})
	if err != nil {
		t.Fatal(err)
	}
	env := twoCPUs
	env.Device = &Device{Platform: Loop, HardwareQueues: 1}
	for share, want := range map[float64]Verdict{0.2: Reproduced, 0.01: NotReproduced} {
		doc, err := Run(context.Background(), env, claim, runnerFunc(func(a Arm) Sample {
			cost := 1000.0
			if a.Job.Engine == "null" {
				cost *= share
			}
			return Sample{Values: map[Metric]float64{IOPS: 1e9 / cost, CPUPerIO: cost}, Codes: []Code{GeneratorBound}}
		}), Options{Profile: ciProfile(), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if rec := doc.Records[0]; rec.Verdict != want {
			t.Errorf("a share of %v: %s %s", share, rec.Verdict, rec.Why)
		}
	}
}

// blocksOf makes blocks in which every arm has the same values, with a trace of noise.
func blocksOf(values map[string]map[Metric]float64, histograms map[string]string) []Block {
	var blocks []Block
	for i := range 8 {
		b := Block{Index: i, Samples: map[string]Sample{}}
		for arm, vs := range values {
			s := Sample{Values: map[Metric]float64{}, Histogram: histograms[arm]}
			for m, v := range vs {
				s.Values[m] = v * (1 + 0.001*float64(i-4))
			}
			b.Samples[arm] = s
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func histogramOf(t *testing.T, values ...int64) string {
	t.Helper()
	h := hdrhistogram.New(1, int64(time.Hour), 3)
	for range 5000 {
		for _, v := range values {
			if err := h.RecordValue(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := encode(h)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRules(t *testing.T) {
	type vals = map[string]map[Metric]float64
	usl := func(alpha float64) func(n float64) float64 {
		return func(n float64) float64 { return 1000 * n / (1 + alpha*(n-1)) }
	}
	curve := vals{}
	arms := map[string]ArmRecord{}
	for _, n := range []float64{1, 2, 3, 4, 6, 8} {
		for _, s := range []struct {
			series string
			alpha  float64
		}{{"lock", 0.3}, {"free", 0.05}} {
			name := fmt.Sprintf("%s@%v", s.series, n)
			curve[name] = map[Metric]float64{IOPS: usl(s.alpha)(n)}
			arms[name] = ArmRecord{Name: name, Series: s.series, Load: n}
		}
	}
	for _, c := range []struct {
		name       string
		test       Test
		values     vals
		histograms map[string]string
		loads      map[string]float64
		want       float64
	}{
		{
			name:   "ratio of ratios",
			test:   Test{Rule: RuleRatio, Metric: IOPS, Of: []string{"a4"}, To: []string{"a1"}, Than: &Pair{[]string{"b4"}, []string{"b1"}}},
			values: vals{"a1": {IOPS: 10}, "a4": {IOPS: 40}, "b1": {IOPS: 10}, "b4": {IOPS: 20}}, want: 2,
		},
		{
			name:   "efficiency",
			test:   Test{Rule: RuleRatio, Metric: IOPS, Of: []string{"a4"}, To: []string{"a1"}, Scale: ScaleLoad},
			values: vals{"a1": {IOPS: 10}, "a4": {IOPS: 20}}, loads: map[string]float64{"a1": 1, "a4": 4}, want: 0.5,
		},
		{
			name:   "best of several",
			test:   Test{Rule: RuleRatio, Metric: IOPS, Of: []string{"a", "b"}, To: []string{"c"}},
			values: vals{"a": {IOPS: 10}, "b": {IOPS: 30}, "c": {IOPS: 60}}, want: 0.5,
		},
		{
			name:   "share",
			test:   Test{Rule: RuleShare, Metric: Contended, Per: IOs, Of: []string{"a"}},
			values: vals{"a": {Contended: 50, IOs: 10_000}}, want: 5,
		},
		{
			name:   "share ratio",
			test:   Test{Rule: RuleShareRatio, Metric: Contended, Per: IOs, Of: []string{"a"}, To: []string{"b"}},
			values: vals{"a": {Contended: 50, IOs: 1000}, "b": {Contended: 10, IOs: 1000}}, want: 5,
		},
		{
			name:   "tail",
			test:   Test{Rule: RuleTail, Quantile: 0.99, Of: []string{"a"}, To: []string{"b"}},
			values: vals{"a": {}, "b": {}}, histograms: map[string]string{"a": histogramOf(t, 100, 4000), "b": histogramOf(t, 100, 1000)}, want: 4,
		},
		{
			name:   "level",
			test:   Test{Rule: RuleLevel, Metric: WaitNS, Of: []string{"a"}},
			values: vals{"a": {WaitNS: 2e6}}, want: 2e6,
		},
		{
			name:   "slope over one over batch",
			test:   Test{Rule: RuleSlope, Metric: CPUPerIO, Of: []string{"1", "4", "16"}},
			values: vals{"1": {CPUPerIO: 1100}, "4": {CPUPerIO: 350}, "16": {CPUPerIO: 162.5}}, loads: map[string]float64{"1": 1, "4": 4, "16": 16}, want: 1000,
		},
		{
			name:   "knee",
			test:   Test{Rule: RuleKnee, Metric: IOPS, Of: []string{"16", "1", "4"}},
			values: vals{"1": {IOPS: 10}, "4": {IOPS: 98}, "16": {IOPS: 100}}, loads: map[string]float64{"1": 1, "4": 4, "16": 16}, want: 0.25,
		},
		{
			name:   "Little",
			test:   Test{Rule: RuleLittle, Metric: IOPS, Of: []string{"1", "4", "16"}},
			values: vals{"1": {IOPS: 10_000, MeanNS: 1e5}, "4": {IOPS: 40_000, MeanNS: 1e5}, "16": {IOPS: 41_000, MeanNS: 4e5}},
			loads:  map[string]float64{"1": 1, "4": 4, "16": 16}, want: 4 / 4.1,
		},
		{
			name:   "stream",
			test:   Test{Rule: RuleStream, Metric: IOPS, Of: []string{"1"}},
			values: vals{"1": {IOPS: 10_000, MeanNS: 1e5}}, want: 1,
		},
		{
			name:   "ceiling",
			test:   Test{Rule: RuleCeiling, Metric: CPUPerIO, Of: []string{"max"}, To: []string{"bfq", "none"}},
			values: vals{"max": {IOPS: 500_000, CPUPerIO: 5000}, "bfq": {IOPS: 1, CPUPerIO: 3900}, "none": {IOPS: 1, CPUPerIO: 2000}}, want: 0.95,
		},
		{
			name: "explained",
			test: Test{Rule: RuleExplained, Metric: CPUPerIO, Of: []string{"max", "one"}, To: []string{"max untraced", "one untraced"}},
			values: vals{
				"max": {LockWait: 1_100_000, IOs: 1000}, "one": {LockWait: 100_000, IOs: 1000},
				"max untraced": {CPUPerIO: 3250}, "one untraced": {CPUPerIO: 2000},
			}, want: 0.8,
		},
		{name: "curve", test: Test{Rule: RuleCurve, Metric: IOPS, Of: []string{"lock"}, To: []string{"free"}}, values: curve, want: 0.25},
	} {
		t.Run(c.name, func(t *testing.T) {
			tb := &table{blocks: blocksOf(c.values, c.histograms), arms: map[string]ArmRecord{}, seed: 1}
			for arm := range c.values {
				r := arms[arm]
				r.Name = arm
				if l, ok := c.loads[arm]; ok {
					r.Load = l
				}
				tb.arms[arm] = r
			}
			if c.name == "curve" {
				tb.blocks = tb.blocks[:3] // each resample fits two curves
			}
			c.test.Name, c.test.Want, c.test.Low = c.name, Above, c.want/2
			c.test.Decides = true
			o := tb.answer(c.test, 0.95, 0)
			if o.Interval == nil {
				t.Fatalf("no answer: %s", o.Why)
			}
			if e := o.Interval.Estimate; math.Abs(e/c.want-1) > 0.02 {
				t.Errorf("estimate %v, want %v", e, c.want)
			}
			if o.Verdict != Reproduced {
				t.Errorf("%s: %+v above %v", o.Verdict, o.Interval, o.Low)
			}
			missing := c.test
			missing.Of = []string{"nosuch"}
			missing.Rule = RuleLevel
			if o := tb.answer(missing, 0.95, 0); o.Verdict != CannotTest || o.Why == "" {
				t.Errorf("a test of an arm that is not there: %s", o.Verdict)
			}
		})
	}
}

// TestNothingAddedExplainsNothing: contention that costs no CPU time is no explanation of a loss.
func TestNothingAddedExplainsNothing(t *testing.T) {
	values := map[string]map[Metric]float64{
		"max traced": {LockWait: 1_100_000, IOs: 1000}, "one traced": {LockWait: 100_000, IOs: 1000},
		"max": {CostPerIO: 1500}, "one": {CostPerIO: 2000},
	}
	tb := &table{blocks: blocksOf(values, nil), arms: map[string]ArmRecord{"max traced": {}, "one traced": {}, "max": {}, "one": {}}}
	o := tb.answer(Test{
		Rule: RuleExplained, Metric: CostPerIO, Of: []string{"max traced", "one traced"}, To: []string{"max", "one"}, Want: Above, Low: 0.5, Decides: true,
	}, 0.95, 0)
	if o.Verdict != NotReproduced || o.Interval.Estimate != 0 {
		t.Errorf("%s: %+v %s", o.Verdict, o.Interval, o.Why)
	}
}

// TestNothingCounted: a side without a single event makes no document that cannot be written.
func TestNothingCounted(t *testing.T) {
	values := map[string]map[Metric]float64{"max": {Contended: 100, IOs: 1000}, "one": {Contended: 0, IOs: 1000}}
	tb := &table{blocks: blocksOf(values, nil), arms: map[string]ArmRecord{"max": {}, "one": {}}}
	for _, of := range []string{"max", "one"} {
		o := tb.answer(Test{Rule: RuleShareRatio, Metric: Contended, Per: IOs, Of: []string{of}, To: []string{"one"}, Want: Above, Low: 2, Decides: true}, 0.95, 0)
		want := map[string]Verdict{"max": Reproduced, "one": NotReproduced}[of]
		if o.Verdict != want {
			t.Errorf("%s/one: %s, %+v %s", of, o.Verdict, o.Interval, o.Why)
		}
	}
	tb.blocks = blocksOf(map[string]map[Metric]float64{"one": {Contended: 1, IOs: 0}}, nil)
	o := tb.answer(Test{Rule: RuleShare, Metric: Contended, Per: IOs, Of: []string{"one"}, Want: Above, Low: 2}, 0.95, 0)
	if o.Verdict != CannotTest || o.Interval != nil || o.Why == "" {
		t.Errorf("no I/O: %s %+v", o.Verdict, o.Interval)
	}
}

// TestWhatTracingLacked: a claim that needs tracepoints says which the kernel does not have.
func TestWhatTracingLacked(t *testing.T) {
	const why = "lock:contention_begin: this kernel, as built and loaded, has no such tracepoint"
	tb := &table{arms: map[string]ArmRecord{"traced": {}}}
	for range 6 {
		tb.blocks = append(tb.blocks, Block{Samples: map[string]Sample{"traced": {Values: map[Metric]float64{IOs: 1}, Missing: []string{why}}}})
	}
	o := tb.answer(Test{Rule: RuleShare, Metric: Contended, Per: IOs, Of: []string{"traced"}, Want: Below, High: 5, Decides: true}, 0.95, 0)
	if o.Verdict != CannotTest || !strings.Contains(o.Why, why) {
		t.Errorf("%s: %s", o.Verdict, o.Why)
	}
}

// TestKernelLocksAreTold: who waited for locks, most first, what is not the block layer's apart.
func TestKernelLocksAreTold(t *testing.T) {
	sample := func(waits int64) Sample {
		return Sample{
			Values: map[Metric]float64{IOs: 1000, Contended: float64(waits), LockWait: 500 * float64(waits)},
			Sites: []Site{
				{Function: "blk_mq_submit_bio", BlockLayer: true, Waits: waits / 4},
				{Function: "bfq_bio_merge", BlockLayer: true, Waits: waits - waits/4},
				{Function: "try_to_wake_up", Waits: 7},
				{Function: "rare", Waits: 1},
			},
		}
	}
	r := Record{
		Arms:   []ArmRecord{{Name: "bfq traced", Explain: true}, {Name: "bfq"}},
		Blocks: []Block{{Samples: map[string]Sample{"bfq traced": sample(100), "bfq": {}}}, {Samples: map[string]Sample{"bfq traced": sample(200)}}},
	}
	if told := r.kernelLocks(); told != nil {
		t.Errorf("of one arm: %q", told)
	}
	r.Passes = []Pass{{Name: "none", Sample: sample(0)}}
	want := []string{
		"contended acquisitions of the block layer's locks per 1,000 I/O: bfq 150, none 0",
		"spinning for them per I/O: bfq 75ns, none 0ns",
		"sites of bfq: bfq_bio_merge 112, blk_mq_submit_bio 38; outside the block layer try_to_wake_up 7",
		"sites of none: outside the block layer try_to_wake_up 7",
	}
	if diff := cmp.Diff(want, r.kernelLocks()); diff != "" {
		t.Error(diff)
	}
}

// TestACurveNeedsThreeLoads: two points fit any curve.
func TestACurveNeedsLoads(t *testing.T) {
	values, arms := map[string]map[Metric]float64{}, map[string]ArmRecord{}
	for n := 1.0; n < 6; n++ {
		for _, series := range []string{"a", "b"} {
			name := fmt.Sprintf("%s@%v", series, n)
			values[name], arms[name] = map[Metric]float64{IOPS: n}, ArmRecord{Series: series, Load: n}
		}
	}
	tb := &table{blocks: blocksOf(values, nil), arms: arms}
	o := tb.answer(Test{Rule: RuleCurve, Metric: IOPS, Of: []string{"a"}, To: []string{"b"}, Want: Above, Decides: true}, 0.95, 0)
	if o.Verdict != CannotTest || !strings.Contains(o.Why, "6 loads or more, and 5 arms of a") {
		t.Errorf("%s: %s", o.Verdict, o.Why)
	}
}

func TestTailNeedsSamples(t *testing.T) {
	few := histogramOf(t, 100)
	tb := &table{
		blocks: blocksOf(map[string]map[Metric]float64{"a": {}, "b": {}}, map[string]string{"a": few, "b": few}),
		arms:   map[string]ArmRecord{"a": {}, "b": {}},
	}
	o := tb.answer(Test{Rule: RuleTail, Quantile: 0.999, Of: []string{"a"}, To: []string{"b"}, Want: Below, High: 1}, 0.95, 0)
	if o.Verdict != CannotTest || !strings.Contains(o.Why, "20000") {
		t.Errorf("p99.9 of 5000 samples: %s %q", o.Verdict, o.Why)
	}
}

func TestEquivalence(t *testing.T) {
	c := loss()
	c.Tests = []Test{ratio("ticket", "futex", OpsPerS, Within, 0.10)}
	for effect, want := range map[float64]Verdict{1.02: Reproduced, 1.5: NotReproduced, 1.1: Inconclusive} {
		_, rec := runOne(t, c, newSynthetic(1, 0.02, map[string]float64{"futex": 1000, "ticket": 1000 * effect}), 1)
		if rec.Verdict != want {
			t.Errorf("effect %v: %s, want %s", effect, rec.Verdict, want)
		}
	}
}

func TestRegistry(t *testing.T) {
	all := Registry()
	numbers := map[string]bool{}
	ids := map[string]bool{}
	for _, c := range all {
		if ids[c.ID] {
			t.Errorf("claim %s is there twice", c.ID)
		}
		ids[c.ID] = true
		numbers[strings.TrimRight(c.ID, "ab")] = true
		if len(c.Title) > 46 || c.Title == "" || !strings.HasSuffix(c.Statement, ".") || c.Mechanism == "" || len(c.Decides) == 0 {
			t.Errorf("claim %s: title %q (%d), statement %q", c.ID, c.Title, len(c.Title), c.Statement)
		}
		if len(c.Sources) == 0 || len(c.Confounders) == 0 || c.Priority == 0 {
			t.Errorf("claim %s lacks sources, confounders or a priority", c.ID)
		}
		for _, s := range c.Sources {
			if s.Mark == Unread && s.Says != "" {
				t.Errorf("claim %s quotes %q from what nobody read", c.ID, s.Says)
			}
		}
		arms, series := map[string]int{}, map[string]bool{}
		for _, a := range c.Arms {
			arms[a.Name]++
			series[a.Series] = true
			if (a.Lock == nil) == (a.Job == nil) {
				t.Errorf("claim %s, arm %s: neither a lock nor a job, or both", c.ID, a.Name)
			}
			if a.What() == "" || arms[a.Name] > 1 {
				t.Errorf("claim %s, arm %q is not described or not unique", c.ID, a.Name)
			}
			for _, n := range a.Needs {
				if n.Remedy() == "see the message" {
					t.Errorf("claim %s: no remedy for %s", c.ID, n)
				}
			}
		}
		for _, a := range c.Passes {
			if !a.Explain || a.Job == nil {
				t.Errorf("claim %s: the pass %s is not traced", c.ID, a.Name)
			}
		}
		decides := false
		tests := map[string]bool{}
		for _, x := range c.Tests {
			decides = decides || x.Decides
			if tests[x.Name] || x.Name == "" {
				t.Errorf("claim %s: two tests are called %q", c.ID, x.Name)
			}
			tests[x.Name] = true
			used := slices.Concat(x.Of, x.To)
			if x.Than != nil {
				used = slices.Concat(used, x.Than.Of, x.Than.To)
			}
			for _, a := range used {
				if arms[a] == 0 && !(x.Rule == RuleCurve && series[a]) {
					t.Errorf("claim %s, test %s: there is no arm %q", c.ID, x.Name, a)
				}
			}
			if x.Delta == 0 && x.Low == 0 && x.High == 0 && x.Rule != RuleCurve && x.Rule != RuleSlope {
				t.Errorf("claim %s, test %s has no bound", c.ID, x.Name)
			}
		}
		if !decides {
			t.Errorf("claim %s: no test decides", c.ID)
		}
	}
	for n := 1; n <= 25; n++ {
		if !numbers[fmt.Sprint(n)] {
			t.Errorf("claim %d is missing", n)
		}
	}
	if len(numbers) != 25 {
		t.Errorf("%d numbers", len(numbers))
	}
}

func TestSelect(t *testing.T) {
	got, err := Select([]string{"24", "2", "11b"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range got {
		ids = append(ids, c.ID)
	}
	if want := []string{"2", "11b", "24a", "24b"}; !slices.Equal(ids, want) {
		t.Errorf("selected %v, want %v", ids, want)
	}
	if _, err := Select([]string{"26"}); err == nil {
		t.Error("claim 26 was selected")
	}
}

func TestDeviceClaimsNeedADevice(t *testing.T) {
	for _, c := range Registry() {
		if c.NeedsDevice() && len(twoCPUs.Lacks(c.Needs)) == 0 {
			t.Errorf("claim %s would run without a device", c.ID)
		}
	}
	env := twoCPUs
	env.Root = true
	env.Device = &Device{Name: "loop0", Platform: Loop, HardwareQueues: 1, Tags: 128, Schedulers: []string{"none", "bfq"}}
	for id, lacks := range map[string]string{"2": "", "11a": "", "14": "", "16": "", "19": "", "25": "", "5": "NEED_HCTX(2)", "9": "NEED_POLLQ", "15": "NEED_NVME", "20": "NEED_NUMA"} {
		c, err := Select([]string{id})
		if err != nil {
			t.Fatal(err)
		}
		missing := env.Lacks(c[0].Needs)
		if lacks == "" && len(missing) > 0 {
			t.Errorf("claim %s on a loop device lacks %v", id, missing)
		}
		if lacks != "" && (len(missing) == 0 || missing[0].String() != lacks) {
			t.Errorf("claim %s on a loop device lacks %v, want %s first", id, missing, lacks)
		}
	}
	env.Device.HardwareQueues = 0
	if c, _ := Select([]string{"14"}); len(env.Lacks(c[0].Needs)) == 0 || env.Lacks(c[0].Needs)[0].Code != DeviceIsBio {
		t.Error("a bio-based device would do")
	}
}

// TestPacedArms: the load is half of the lowest rate that the slower arm reached.
func TestPacedArmsServeTheSameLoad(t *testing.T) {
	c := Claim{ID: "7", Title: "x", Statement: "x.", Arms: []Arm{
		{Name: "fast", Threads: Threads{N: 2}, Job: reads("psync", 4096, 1)},
		{Name: "slow", Threads: Threads{N: 2}, Job: reads("psync", 4096, 1)},
		{Name: "paced", Threads: Threads{N: 2}, Job: reads("psync", 4096, 1), Pace: &Pace{Share: 0.5, Slowest: []string{"fast", "slow"}}},
	}, Tests: []Test{ratio("paced", "slow", IOPS, Below, 0.1)}}
	d, rec := runOne(t, c, pacedRunner{t}, 1)
	if rec.Arms[2].Rate != 500 || rec.Verdict != Reproduced {
		t.Errorf("paced at %v, %s (%s)", rec.Arms[2].Rate, rec.Verdict, d.Records[0].Why)
	}
	if c.Arms[2].Job.RateIOPS[0] != 0 {
		t.Error("the registry's job was changed")
	}
}

type pacedRunner struct{ t *testing.T }

func (p pacedRunner) RunArm(_ context.Context, a Arm) (Sample, error) {
	j := a.Job
	if j.NumJobs != 2 || !j.TimeBased || j.Runtime != 350*time.Millisecond || j.RampTime == 0 {
		p.t.Errorf("arm %s: %d jobs for %v after %v", a.Name, j.NumJobs, j.Runtime, j.RampTime)
	}
	v := map[string]float64{"fast": 2000, "slow": 1000}[a.Name]
	if a.Pace != nil {
		if j.RateIOPS[0] != 250 || j.RateProcess != "poisson" {
			p.t.Errorf("paced at %d IOPS per job, %s", j.RateIOPS[0], j.RateProcess)
		}
		v = 500
	}
	return Sample{Values: map[Metric]float64{IOPS: v}}, nil
}

// TestCurvesAreExplained: a claim with a series of six loads or more tells what the scalability law makes of it.
func TestCurvesAreExplained(t *testing.T) {
	c, means := loss(), map[string]float64{}
	c.Arms, c.Tests = nil, []Test{ratio("lock@8", "lock@1", OpsPerS, Above, 0.1)}
	for _, n := range []int{1, 2, 3, 4, 6, 8} {
		a := crowd("ttas", Threads{N: n})
		a.Name, a.Series = fmt.Sprintf("lock@%d", n), "lock"
		c.Arms = append(c.Arms, a)
		means[a.Name] = 1000 * float64(n) / (1 + 0.2*float64(n-1))
	}
	_, rec := runOne(t, c, newSynthetic(1, 0.01, means), 1)
	if len(rec.Explain) != 1 || !strings.HasPrefix(rec.Explain[0], "USL lock: contention 0.") || !strings.Contains(rec.Explain[0], "no retrograde evidence") {
		t.Errorf("explained %q", rec.Explain)
	}
}

// exampleDocument has one claim of every verdict.
func exampleDocument(t testing.TB) *Document {
	t.Helper()
	reproduced, refuted, open, needy := loss(), loss(), loss(), loss()
	reproduced.Tests[0].Band = &Band{0.6, 0.9, "32 threads on 16 cores", "a paper"}
	reproduced.Honesty = userLock
	refuted.ID, open.ID, needy.ID = "2", "3", "4"
	needy.Needs = []Need{{Code: NeedCores, N: 4}, {Code: NeedHCTX, N: 2}}
	open.Arms = append(open.Arms, crowd("mcs", Threads{PerCPU: 2}))
	open.Arms[2].Needs = []Need{{Code: NeedNUMA}}
	doc := &Document{}
	for i, c := range []Claim{reproduced, refuted, open, needy} {
		effect := []float64{0.5, 1.2, 0.88, 1}[i]
		r := newSynthetic(uint64(i), 0.06, map[string]float64{"futex": 425_000, "ticket": 425_000 * effect})
		d, err := Run(context.Background(), twoCPUs, []Claim{c}, r, Options{Profile: ciProfile(), Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		d.Records = append(doc.Records, d.Records...)
		doc = d
	}
	doc.StartedAt, doc.ElapsedNS = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 12_000_000_000
	doc.Command = []string{"blkmeter", "claims", "run"}
	doc.Device, doc.DeviceFacts, doc.KernelLocks = "loop0", "1 hctx, 2 CPUs", "no PREEMPT_RT: both spin"
	for i := range doc.Records {
		doc.Records[i].ElapsedNS = 3_000_000_000
		if i == 0 {
			doc.Records[i].Explain = []string{"contended lock acquisitions per 1,000 I/O: ticket 166, futex 26", "sites bfq_finish_request, blk_mq_submit_bio"}
			for arm, s := range doc.Records[i].Blocks[2].Samples {
				s.Codes = []Code{GC}
				doc.Records[i].Blocks[2].Samples[arm] = s
			}
		}
	}
	doc.Judge()
	return doc
}

// golden compares with a committed file, or writes it with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test ./internal/claims -update writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is stale; go test ./internal/claims -update writes it anew:\n%s", file, diff)
	}
}

func TestTextGolden(t *testing.T) {
	var text bytes.Buffer
	if err := exampleDocument(t).Text(&text); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	golden(t, "testdata/verdicts.txt", text.Bytes())
	golden(t, "testdata/list.txt", []byte(List(Registry())))
}

// TestTellingEstimate: the summary's number is that of the test that made the verdict.
func TestTellingEstimate(t *testing.T) {
	outcome := func(v Verdict, estimate float64) Outcome {
		return Outcome{Test: Test{Rule: RuleRatio, Decides: true}, Verdict: v, Interval: &stats.Interval{Estimate: estimate}}
	}
	r := Record{Verdict: NotReproduced, Tests: []Outcome{outcome(Reproduced, 80), {Test: Test{Decides: true}, Verdict: CannotTest}, outcome(NotReproduced, 0.3)}}
	if got := r.telling(); got != "0.3" {
		t.Errorf("%q", got)
	}
	if r.Verdict = CannotTest; r.telling() != "80" {
		t.Errorf("withheld: %q", r.telling())
	}
}

func TestDocsAreCurrent(t *testing.T) {
	golden(t, "../../docs/claims.md", []byte(Markdown(Registry())))
}

func TestSchemaIsCurrentAndHolds(t *testing.T) {
	schema, err := jsonschema.For[Document](nil)
	if err != nil {
		t.Fatal(err)
	}
	schema.ID, schema.Title = "https://blkmeter.dev/schema/claims-1.json", Schema
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/claims.schema.json", append(text, '\n'))

	valid(t, exampleDocument(t))
}

// valid checks that a document follows its schema, and says the same when it was saved and loaded.
func valid(t *testing.T, d *Document) {
	t.Helper()
	schema, err := jsonschema.For[Document](nil)
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	var saved bytes.Buffer
	if err := d.Save(&saved); err != nil {
		t.Fatal(err)
	}
	var instance any
	if err := json.Unmarshal(saved.Bytes(), &instance); err != nil {
		t.Fatal(err)
	}
	if err := resolved.Validate(instance); err != nil {
		t.Errorf("the document does not follow its schema: %v", err)
	}
	loaded, err := Load(&saved)
	if err != nil {
		t.Fatal(err)
	}
	loaded.Judge()
	var first, again bytes.Buffer
	if err := errors.Join(d.Text(&first), loaded.Text(&again)); err != nil || first.String() != again.String() {
		t.Errorf("loaded again (%v) it says\n%sand not\n%s", err, &again, &first)
	}
}

// TestNothingUnreadIsPrinted: figures known only by hearsay stay out of all generated text.
func TestNothingUnreadIsPrinted(t *testing.T) {
	text := Markdown(Registry()) + List(Registry())
	for _, figure := range []string{"0.5-1M", "80 cores", "kernel 3.10", "about 4.2"} {
		if strings.Contains(text, figure) {
			t.Errorf("%q was never read anywhere", figure)
		}
	}
	if !regexp.MustCompile(`Source \(unread\): [^:\n]*\.\n`).MatchString(text) {
		t.Error("unread sources are not told apart")
	}
}

// FuzzJudge: whatever a file holds, loading, judging and printing it ends, and with a verdict of ours.
func FuzzJudge(f *testing.F) {
	var saved bytes.Buffer
	if err := exampleDocument(f).Save(&saved); err != nil {
		f.Fatal(err)
	}
	f.Add(saved.Bytes())
	f.Add([]byte(`{"schema": "blkmeter.claims/1", "claims": [{"blocks": [{}, {}], "tests": [{"test": {"rule": "explained", "of": ["a"], "decides": true}}]}]}`))
	f.Add([]byte(`{"schema": "blkmeter.claims/1", "claims": [{"blocks": [{}], "arms": [{"name": "a"}], "tests": [{"test": {"rule": "curve", "than": {}, "of": ["a"], "to": ["a"]}}]}]}`))
	for _, damage := range []struct{ from, to string }{
		{`"confidence": 0.99`, `"confidence": 3.99`},
		{`"confidence": 0.99`, `"confidence": -0.99`},
		{`"delta": 0.1`, `"delta": 1e308`},
		{`"delta": 0.1`, `"low": -5, "high": -5`},
		{`"rule": "ratio"`, `"rule": "tail", "quantile": 7`},
		{`"ops_per_s": `, `"ops_per_s": -`},
	} {
		damaged := strings.ReplaceAll(saved.String(), damage.from, damage.to)
		if damaged == saved.String() {
			f.Fatalf("the document has no %s", damage.from)
		}
		f.Add([]byte(damaged))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Load(bytes.NewReader(text))
		if err != nil {
			return
		}
		d.Judge()
		for _, r := range d.Records {
			if len(r.Blocks) > 0 && !slices.Contains([]Verdict{Reproduced, NotReproduced, Inconclusive, CannotTest}, r.Verdict) {
				t.Errorf("claim %s: verdict %q", r.ID, r.Verdict)
			}
			for _, o := range r.Tests {
				if len(r.Blocks) > 0 && !(o.P >= 0 && o.P <= 1 && o.PHolm >= o.P) {
					t.Errorf("claim %s, %s: p %v, corrected %v", r.ID, o.Test.Name, o.P, o.PHolm)
				}
			}
		}
		var out bytes.Buffer
		if err := d.Text(&out); err != nil {
			t.Error(err)
		}
	})
}
