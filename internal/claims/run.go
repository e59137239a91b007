package claims

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

// Options says how claims are run.
type Options struct {
	Profile  Profile
	Seed     uint64
	Budget   time.Duration  // 0: the profile's; of that 0: none
	Progress func(Progress) // called before every arm; nil: not at all
}

// Progress is what is about to happen.
type Progress struct {
	Claim     string
	Arm       string
	Block     int // from 1
	MaxBlocks int
	Left      time.Duration // at most, for all claims
}

// Run tests the claims one after another and returns the judged document. It always returns a document; an
// error besides it only says that ctx ended. The caller fills in what describes the tool, the host and the
// device.
func Run(ctx context.Context, env Environment, selected []Claim, runner Runner, o Options) (*Document, error) {
	start := time.Now()
	if o.Budget == 0 {
		o.Budget = o.Profile.Budget
	}
	d := &Document{
		Schema: Schema, StartedAt: start.UTC(), Status: report.StatusDone, Profile: o.Profile.Name,
		Strict: o.Profile.Strict, MinDelta: o.Profile.MinDelta, ArmNS: int64(o.Profile.Arm), Seed: o.Seed,
		Records: []Record{},
	}
	// The most telling come first, so that a budget or an impatient user leaves the best behind.
	order := slices.Clone(selected)
	slices.SortStableFunc(order, func(a, b Claim) int { return a.Priority - b.Priority })
	for i := range order {
		c := &order[i]
		s := &session{env: env, claim: c, runner: runner, o: o, doc: d, r: newRecord(c)}
		if o.Budget > 0 {
			s.until = start.Add(o.Budget)
		}
		s.left = func() time.Duration {
			left := s.remaining()
			for _, later := range order[i+1:] {
				if len(env.Lacks(later.Needs)) == 0 {
					left += o.Profile.cost(env, &later)
				}
			}
			if o.Budget > 0 {
				left = min(left, max(o.Budget-time.Since(start), 0))
			}
			return left
		}
		began := time.Now()
		switch {
		case ctx.Err() != nil:
			s.r.cannot("the run was interrupted before it", Need{Code: Interrupted})
		case len(env.Lacks(c.Needs)) == 0 && o.Budget > 0 && time.Since(start)+o.Profile.least(env, c) > o.Budget:
			s.r.cannot(fmt.Sprintf("no time was left for it in a budget of %v", o.Budget), Need{Code: OverBudget})
		default:
			s.run(ctx)
		}
		s.r.ElapsedNS = int64(time.Since(began))
		d.Records = append(d.Records, *s.r)
	}
	place := func(r Record) int { return slices.IndexFunc(selected, func(c Claim) bool { return c.ID == r.ID }) }
	slices.SortStableFunc(d.Records, func(a, b Record) int { return place(a) - place(b) })
	d.Judge()
	d.ElapsedNS = int64(time.Since(start))
	if ctx.Err() != nil {
		d.Status = report.StatusInterrupted
		return d, context.Cause(ctx)
	}
	return d, nil
}

// cost is the cost of the claim's arms that can run here.
func (p Profile) cost(env Environment, c *Claim) time.Duration {
	runnable := *c
	cannot := func(a Arm) bool { return len(env.Lacks(a.Needs)) > 0 }
	runnable.Arms = slices.DeleteFunc(slices.Clone(c.Arms), cannot)
	runnable.Passes = slices.DeleteFunc(slices.Clone(c.Passes), cannot)
	return p.Cost(&runnable)
}

// least is what the claim costs until the first look, which may decide it.
func (p Profile) least(env Environment, c *Claim) time.Duration {
	return p.cost(env, c) * time.Duration(p.Looks[0].Blocks) / time.Duration(p.Looks[len(p.Looks)-1].Blocks)
}

func newRecord(c *Claim) *Record {
	r := &Record{
		ID: c.ID, Title: c.Title, Statement: c.Statement, Sources: c.Sources, Honesty: c.Honesty,
		Confounders: c.Confounders,
		Codes:       []string{}, Remedies: []string{}, Arms: []ArmRecord{}, Skipped: []SkipArm{}, Tests: []Outcome{}, Blocks: []Block{}, Passes: []Pass{}, Explain: []string{},
	}
	for _, t := range c.Tests {
		r.Tests = append(r.Tests, Outcome{Test: t, Verdict: CannotTest, P: 1, PHolm: 1, MannWhitneyP: 1})
	}
	return r
}

// cannot ends a record without blocks.
func (r *Record) cannot(why string, needs ...Need) {
	r.Verdict, r.Why = CannotTest, why
	for _, n := range needs {
		r.Codes = append(r.Codes, n.String())
		r.Remedies = append(r.Remedies, n.Remedy())
	}
}

// session is one claim being tested.
type session struct {
	env    Environment
	claim  *Claim
	runner Runner
	o      Options
	doc    *Document
	r      *Record
	arms   []Arm
	rates  map[string]float64 // of paced arms
	left   func() time.Duration
	block  int
	until  time.Time // end of the budget; zero: none
}

// fits says whether the budget has room for the blocks until a look. Half a way to it would be for nothing.
func (s *session) fits(look Look) bool {
	if s.until.IsZero() {
		return true
	}
	looks := s.o.Profile.Looks
	perBlock := s.o.Profile.cost(s.env, s.claim) / time.Duration(looks[len(looks)-1].Blocks)
	return time.Now().Add(time.Duration(look.Blocks-s.block) * perBlock).Before(s.until)
}

// late says whether the budget is used up. Claims are begun by what they should take; on a busy machine they
// take longer.
func (s *session) late() bool { return !s.until.IsZero() && time.Now().After(s.until) }

func (s *session) run(ctx context.Context) {
	if lacking := s.env.Lacks(s.claim.Needs); len(lacking) > 0 {
		s.r.cannot("a precondition is not met", lacking...)
		return
	}
	s.prepare()
	s.r.ArmNS = int64(s.armTime())
	if !slices.ContainsFunc(s.arms, func(a Arm) bool { return a.Lock == nil || a.Lock.Mode != LockPair }) {
		s.r.ArmNS /= pairShare
	}
	if len(s.arms) < 1 {
		s.failed(errNoArm)
		return
	}
	if err := s.pace(ctx); err != nil {
		s.failed(err)
		return
	}
	looks := s.o.Profile.Looks
	for i, look := range looks {
		for s.block < look.Blocks {
			if err := s.oneBlock(ctx); err != nil {
				s.failed(err)
				return
			}
		}
		s.r.Confidence = look.Confidence
		if s.decided() || i+1 < len(looks) && !s.fits(looks[i+1]) {
			break
		}
	}
	s.trace(ctx)
	s.explain()
}

// trace runs the explain passes of the claim. The blocks stand whatever happens here.
func (s *session) trace(ctx context.Context) {
	for _, a := range s.claim.Passes {
		if len(s.env.Lacks(a.Needs)) > 0 || s.late() || ctx.Err() != nil {
			continue
		}
		s.resolve(&a)
		sample, err := s.runArm(ctx, a)
		if err == nil {
			s.r.Passes = append(s.r.Passes, Pass{Name: a.Name, What: a.What(), Sample: sample})
		}
	}
}

// prepare resolves the arms for this machine and leaves out those that it cannot run.
func (s *session) prepare() {
	for _, a := range s.claim.Arms {
		if lacking := s.env.Lacks(a.Needs); len(lacking) > 0 {
			k := SkipArm{Name: a.Name, Codes: []string{}, Remedies: []string{}}
			for _, n := range lacking {
				k.Codes, k.Remedies = append(k.Codes, n.String()), append(k.Remedies, n.Remedy())
			}
			s.r.Skipped = append(s.r.Skipped, k)
			continue
		}
		s.resolve(&a)
		s.arms = append(s.arms, a)
		s.r.Arms = append(s.r.Arms, ArmRecord{
			Name: a.Name, What: a.What(), Series: a.Series, Load: a.Load, Threads: a.Threads.N, Explain: a.Explain,
			Shown: a.shown(s.claim.Tests),
		})
	}
}

// resolve makes of an arm of the registry what this machine runs.
func (s *session) resolve(a *Arm) {
	a.Threads = Threads{N: a.Threads.On(len(s.env.CPUs), s.env.Cores)}
	if a.Load == 0 {
		a.Load = float64(a.Threads.N)
	}
	a.Job = s.timed(a.Job, a.Threads.N)
	a.Beside = s.timed(a.Beside, 1)
	if a.Stripes < 0 {
		a.Stripes = a.Threads.N
	}
}

// timed returns a copy of the job with the profile's times.
func (s *session) timed(j *workloads.Job, clones int) *workloads.Job {
	if j == nil {
		return nil
	}
	t := *j
	t.NumJobs = max(t.NumJobs, 1) * clones
	t.TimeBased, t.Runtime, t.RampTime = true, s.armTime(), s.o.Profile.Ramp
	return &t
}

// armTime is the measured window of the claim's arms.
func (s *session) armTime() time.Duration { return max(s.o.Profile.Arm, s.claim.MinArm) }

// shown is the metric that describes the arm: that of the first test that uses it, in a claim that such a metric
// decides.
func (a *Arm) shown(tests []Test) Metric {
	if !slices.ContainsFunc(tests, func(t Test) bool { return t.Decides && (t.Metric != "" || t.Rule == RuleTail) }) {
		tests = nil
	}
	for _, t := range tests {
		if t.Rule == RuleTail && a.Lock == nil {
			t.Metric = MeanNS // a tail is told beside the mean, of the same latencies
		}
		if t.Metric != "" && (slices.Contains(t.Of, a.Name) || slices.Contains(t.To, a.Name)) {
			return t.Metric
		}
	}
	switch {
	case a.Lock == nil:
		return IOPS
	case a.Lock.Mode == LockPair:
		return PairNS
	case a.Lock.Mode == LockInvert:
		return WaitNS
	default:
		return OpsPerS
	}
}

// peakRuns is how often each arm that others are paced by is measured. Its lowest counts: a share of what it
// reached once may be more than it can do.
const peakRuns = 3

// pace measures what paced arms are paced by, before the blocks: all blocks then serve the same load.
func (s *session) pace(ctx context.Context) error {
	s.rates = map[string]float64{}
	peaks := map[string]float64{}
	for i := range s.arms {
		a := &s.arms[i]
		if a.Pace == nil {
			continue
		}
		slowest := 0.0
		for _, name := range a.Pace.Slowest {
			if _, done := peaks[name]; !done {
				at := slices.IndexFunc(s.arms, func(x Arm) bool { return x.Name == name })
				if at < 0 {
					continue // cannot run here; the slowest of the others counts
				}
				for i := range peakRuns {
					sample, err := s.runArm(ctx, s.arms[at])
					if err != nil {
						return err
					}
					if rate := sample.Values[IOPS]; i == 0 || rate < peaks[name] {
						peaks[name] = rate
					}
				}
			}
			if slowest == 0 || peaks[name] < slowest {
				slowest = peaks[name]
			}
		}
		rate := a.Pace.Share * slowest
		if rate < 1 {
			return fmt.Errorf("arm %s: nothing to pace it by: %v", a.Name, a.Pace.Slowest)
		}
		a.Job.RateProcess = "poisson"
		a.Job.RateIOPS[workloads.Read] = max(1, uint64(rate)/uint64(a.Job.NumJobs))
		s.r.Arms[i].Rate = rate
	}
	return nil
}

// oneBlock runs every arm once, in an order drawn from the block's seed.
func (s *session) oneBlock(ctx context.Context) error {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", s.claim.ID, s.block) // a hash never fails
	b := Block{Index: s.block, Seed: s.o.Seed ^ h.Sum64(), Order: []string{}, Samples: map[string]Sample{}}
	rng := rand.New(rand.NewPCG(b.Seed, 0))
	var lacking []string
	for _, i := range rng.Perm(len(s.arms)) {
		sample, err := s.runArm(ctx, s.arms[i])
		var lack *lackError
		if s.block == 0 && errors.As(err, &lack) {
			s.skip(s.arms[i].Name, lack)
			lacking = append(lacking, s.arms[i].Name)
			continue
		}
		if err != nil {
			return err // an incomplete block compares nothing and is not kept
		}
		b.Order = append(b.Order, s.arms[i].Name)
		b.Samples[s.arms[i].Name] = sample
	}
	s.arms = slices.DeleteFunc(s.arms, func(a Arm) bool { return slices.Contains(lacking, a.Name) })
	s.r.Arms = slices.DeleteFunc(s.r.Arms, func(a ArmRecord) bool { return slices.Contains(lacking, a.Name) })
	if len(s.arms) == 0 {
		return errNoArm
	}
	s.r.Blocks = append(s.r.Blocks, b)
	s.block++
	return nil
}

// errNoArm says that the first block found no arm that can be run.
var errNoArm = errors.New("none of its arms can run here")

// skip leaves an arm out that turned out to need what this machine lacks.
func (s *session) skip(arm string, lack *lackError) {
	remedy := lack.need.Remedy()
	if lack.remedy != "" {
		remedy = lack.remedy
	}
	s.r.Skipped = append(s.r.Skipped, SkipArm{Name: arm, Codes: []string{lack.need.String()}, Remedies: []string{remedy + " (" + lack.Error() + ")"}})
}

func (s *session) runArm(ctx context.Context, a Arm) (Sample, error) {
	if s.o.Progress != nil {
		looks := s.o.Profile.Looks
		s.o.Progress(Progress{Claim: s.claim.ID, Arm: a.Name, Block: min(s.block+1, looks[len(looks)-1].Blocks), MaxBlocks: looks[len(looks)-1].Blocks, Left: s.left()})
	}
	sample, err := s.runner.RunArm(ctx, a)
	if err != nil {
		return Sample{}, fmt.Errorf("arm %s: %w", a.Name, err)
	}
	sample.Codes = slices.DeleteFunc(sample.Codes, func(c Code) bool { return c == s.claim.Asks })
	return sample, nil
}

// remaining is the most that the rest of this claim's blocks can take.
func (s *session) remaining() time.Duration {
	p := s.o.Profile
	blocks := p.Looks[len(p.Looks)-1].Blocks
	if len(s.arms) == 0 {
		return 0
	}
	return p.cost(s.env, s.claim) * time.Duration(blocks-s.block) / time.Duration(blocks)
}

// decided says whether every deciding test has an answer at the confidence of this look.
func (s *session) decided() bool {
	tb := s.doc.table(s.r)
	for _, o := range s.r.Tests {
		if o.Test.Decides && tb.answer(o.Test, s.r.Confidence, s.o.Profile.MinDelta).Verdict == Inconclusive {
			return false
		}
	}
	return true
}

// failed ends a claim whose arm could not be run. Complete blocks stay on record, but decide nothing unless a
// look was reached before.
func (s *session) failed(err error) {
	need := Need{Code: ArmFailed}
	var lack *lackError
	switch {
	case errors.Is(err, errNoArm):
		s.r.cannot(err.Error())
		for _, k := range s.r.Skipped {
			for i, remedy := range k.Remedies { // of each, once: arms often lack the same
				if !slices.Contains(s.r.Remedies, remedy) {
					s.r.Codes, s.r.Remedies = append(s.r.Codes, k.Codes[i]), append(s.r.Remedies, remedy)
				}
			}
		}
		return
	case errors.As(err, &lack):
		need = lack.need
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		need.Code = Interrupted
	case errors.Is(err, engine.ErrUnsupported):
		need.Code = Unsupported
	}
	if s.r.Confidence == 0 {
		s.r.Blocks = []Block{} // no look was reached: peeking earlier than planned is what looks forbid
		s.r.cannot(err.Error(), need)
		return
	}
	s.explain()
	s.r.Explain = append(s.r.Explain, fmt.Sprintf("ended after %d blocks: %v", s.block, err))
}

// defaultVariant is what the lock of a shared queue is held for unless an arm says otherwise: nearest to the old
// block layer.
const defaultVariant = "u2c"

func queuesText(stripes int) string {
	switch {
	case stripes < 0:
		return "a shareable queue for each thread"
	case stripes > 1:
		return fmt.Sprintf("%d shared queues", stripes)
	default:
		return "one queue"
	}
}

// What describes an arm to a person.
func (a *Arm) What() string {
	var parts []string
	threads := fmt.Sprintf("%d threads", a.Threads.N)
	if a.Threads.N == 1 {
		threads = "1 thread"
	}
	switch {
	case a.Lock != nil:
		parts = append(parts, a.Lock.Kind+" lock", threads)
		if a.Lock.HoldNS > 0 {
			parts = append(parts, fmt.Sprintf("held %d ns", a.Lock.HoldNS))
		}
		if a.Lock.YieldAfter > 0 {
			parts = append(parts, fmt.Sprintf("yields after %d spins", a.Lock.YieldAfter))
		}
	case a.Job != nil:
		parts = append(parts, fmt.Sprintf("%s %s, %d bytes, depth %d", a.Job.Engine, a.Job.RW, a.Job.BS[0].Min, a.Job.IODepth), threads)
		if rate := a.Job.RateIOPS[workloads.Read]; rate > 0 {
			parts = append(parts, fmt.Sprintf("%d arrivals/s each, %s", rate, a.Job.RateProcess))
		}
		if a.Pace != nil {
			parts = append(parts, fmt.Sprintf("arrivals at %.0f %% of the slowest of %s, poisson", 100*a.Pace.Share, strings.Join(a.Pace.Slowest, " and ")))
		}
		if a.Job.BatchSubmitSet {
			parts = append(parts, fmt.Sprintf("batches of %d", a.Job.BatchSubmit))
		}
		if a.Job.SharedQueue {
			parts = append(parts, queuesText(a.Stripes)+" behind "+a.Job.QueueLock)
			if v := a.Job.QueueVariant; v != defaultVariant {
				parts = append(parts, "variant "+v)
			}
			if a.Job.HoldNS > 0 {
				parts = append(parts, fmt.Sprintf("held %d ns longer per request", a.Job.HoldNS))
			}
		}
	}
	for _, m := range []map[string]string{a.Queue, a.NullBlk} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			parts = append(parts, k+"="+m[k])
		}
	}
	if a.Beside != nil {
		parts = append(parts, fmt.Sprintf("beside %s %s, %d bytes, depth %d", a.Beside.Engine, a.Beside.RW, a.Beside.BS[0].Min, a.Beside.IODepth))
	}
	if a.Place != PlaceSpread {
		parts = append(parts, string(a.Place))
	}
	if a.Explain {
		parts = append(parts, "traced")
	}
	return strings.Join(parts, ", ")
}
