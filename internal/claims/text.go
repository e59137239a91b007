package claims

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/prose"
	"github.com/blkmeter/blkmeter/report"
)

// Text writes the verdicts for a person: every claim, what cannot be tested, and a table of all.
func (d *Document) Text(w io.Writer) error {
	var b strings.Builder
	b.WriteString(prose.Wrap("blkmeter claims  ", fmt.Sprintf("%s, profile %s, seed %d", d.subject(), d.Profile, d.Seed)))
	if d.KernelLocks != "" {
		b.WriteString(prose.Wrap("kernel locks  ", d.KernelLocks))
	}
	for i := range d.Records {
		if r := &d.Records[i]; len(r.Blocks) > 0 {
			b.WriteByte('\n')
			d.record(&b, r)
		}
	}
	d.untested(&b)
	d.table80(&b)
	if d.Status == report.StatusInterrupted {
		b.WriteString("\ninterrupted: the claims above are what was finished\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the verdicts: %w", err)
	}
	return nil
}

func (d *Document) subject() string {
	if d.Device == "" {
		return fmt.Sprintf("locks only (%d CPUs)", d.Host.CPUs)
	}
	return fmt.Sprintf("device %s (%s)", d.Device, d.DeviceFacts)
}

// label is the left column of a claim's lines.
func label(name string) string { return fmt.Sprintf("  %-17s ", name) }

func (d *Document) record(b *strings.Builder, r *Record) {
	fmt.Fprintf(b, "claim %-3s %q\n", r.ID, r.Title)
	names := 0
	for _, a := range r.Arms {
		names = max(names, len(a.Name))
	}
	for _, a := range r.Arms {
		line := fmt.Sprintf("%-*s %10s", names, a.Name, a.Shown.format(a.Mean))
		if len(r.Blocks) > 1 {
			line += fmt.Sprintf("  CV %2.0f%%", 100*a.CV)
		}
		fmt.Fprintf(b, "%s%s\n", label("arm"), line)
	}
	fmt.Fprintf(b, "%s%d of %v each, %.4g%% intervals\n", label("blocks"), len(r.Blocks), r.arm(d), 100*r.Confidence)
	for _, o := range r.Tests {
		if o.Interval != nil || o.Test.Decides || !r.lacksArm(&o.Test) {
			d.outcome(b, o)
		}
	}
	verdict := string(r.Verdict)
	if r.Verdict == CannotTest && r.Why != "" {
		verdict += ": " + r.Why
	}
	b.WriteString(prose.Wrap(label("verdict"), verdict+r.weak()))
	for i, e := range r.Explain {
		name := "explain"
		if i > 0 {
			name = ""
		}
		b.WriteString(prose.Wrap(label(name), e))
	}
	if len(r.Codes) > 0 {
		b.WriteString(prose.Wrap(label("seen"), strings.Join(r.Codes, ", ")))
	}
	r.skipped(b)
	if r.Honesty != "" {
		b.WriteString(prose.Wrap(label("note"), r.Honesty))
	}
}

// arm is the measured window of an arm; documents of before claims had their own have one for all.
func (r *Record) arm(d *Document) time.Duration {
	if r.ArmNS == 0 {
		return time.Duration(d.ArmNS)
	}
	return time.Duration(r.ArmNS)
}

// lacksArm says whether an arm of the test was left out, which is told with the arm.
func (r *Record) lacksArm(t *Test) bool {
	return slices.ContainsFunc(r.Skipped, func(k SkipArm) bool { return slices.Contains(t.Of, k.Name) || slices.Contains(t.To, k.Name) })
}

// skipped lists the arms that were left out, those for the same reason together.
func (r *Record) skipped(b *strings.Builder) {
	var reasons []string
	names := map[string][]string{}
	for _, k := range r.Skipped {
		reason := fmt.Sprintf("%s; %s", strings.Join(k.Codes, ", "), strings.Join(k.Remedies, "; "))
		if len(names[reason]) == 0 {
			reasons = append(reasons, reason)
		}
		names[reason] = append(names[reason], k.Name)
	}
	for _, reason := range reasons {
		b.WriteString(prose.Wrap(label("skipped"), strings.Join(names[reason], ", ")+": "+reason))
	}
}

// weak says that a verdict leans on tests that do not survive the correction for having asked many questions.
func (r *Record) weak() string {
	for _, o := range r.Tests {
		if o.Test.Decides && (o.Verdict == Reproduced || o.Verdict == NotReproduced) && !o.Survives {
			return fmt.Sprintf(" (not after Holm's correction: p %s becomes %s)", probability(o.P), probability(o.PHolm))
		}
	}
	return ""
}

func (d *Document) outcome(b *strings.Builder, o Outcome) {
	if o.Interval == nil {
		b.WriteString(prose.Wrap(label("test"), fmt.Sprintf("%s: %s", o.Test.Name, o.Why)))
		return
	}
	fmt.Fprintf(b, "%s%s\n", label("test"), o.Test.Name)
	line := fmt.Sprintf("%s claimed %s", o.interval(), o.claimed())
	if o.Test.Decides {
		line += fmt.Sprintf(", p %s", probability(o.P))
		if o.PHolm != o.P {
			line += fmt.Sprintf(" (Holm %s)", probability(o.PHolm))
		}
	}
	b.WriteString(prose.Wrap(label(""), line))
	answer := string(o.Verdict)
	if o.Verdict == Inconclusive {
		answer += " (" + o.undecided() + ")"
	}
	if o.SizeVsBand != "" && o.Verdict != NotReproduced && o.Verdict != Inconclusive {
		where := strings.ToUpper(o.SizeVsBand) + " published band"
		if o.SizeVsBand == "inside" {
			where = "inside published band"
		}
		answer += fmt.Sprintf("; size %s %s to %s (%s; %s)", where, number(o.Test.Band.Low), number(o.Test.Band.High), o.Test.Band.Conditions, o.Test.Band.Ref)
	}
	b.WriteString(prose.Wrap(label(""), answer))
}

// undecided says why an interval decides nothing, and what would.
func (o *Outcome) undecided() string {
	low, high := o.Test.bounds(o.Low, o.High)
	switch {
	case low < high && o.Test.between(*o.Interval, o.Low, o.High):
		return fmt.Sprintf("it is claimed %s and refuted %s: between them no number of blocks would decide", o.claimed(), o.refuted())
	case o.BlocksNeeded == 0:
		return fmt.Sprintf("the estimate is on the bound %s, no number of blocks would decide", o.crossed())
	default:
		return fmt.Sprintf("the interval crosses %s; about %d blocks needed if the estimate holds", o.crossed(), o.BlocksNeeded)
	}
}

// interval writes the estimate and its interval in the test's unit.
func (o *Outcome) interval() string {
	i := *o.Interval
	return fmt.Sprintf("%s %s [%s, %s],", o.kind(), o.value(i.Estimate), o.value(i.Low), o.value(i.High))
}

func (o *Outcome) kind() string {
	switch o.Test.Rule {
	case RuleRatio, RuleTail, RuleShareRatio, RuleStream, RuleCeiling, RuleLittle, RuleExplained:
		return "ratio"
	case RuleShare:
		return "per 1,000 I/O"
	case RuleSlope:
		return "slope"
	case RuleKnee:
		return "knee at share"
	case RuleCurve:
		return "difference"
	default:
		return "median"
	}
}

func (o *Outcome) value(v float64) string {
	if (o.Test.Rule == RuleLevel || o.Test.Rule == RuleSlope) && strings.HasSuffix(string(o.Test.Metric), "_ns") {
		return prose.Nanoseconds(v)
	}
	return number(v)
}

// number writes a plain number with three significant digits.
func number(v float64) string {
	if math.Abs(v) >= 999.5 {
		return prose.Count(v)
	}
	return fmt.Sprintf("%.3g", v)
}

func (o *Outcome) claimed() string {
	switch o.Test.Want {
	case Below:
		return "below " + o.value(o.High)
	case Above:
		return "above " + o.value(o.Low)
	default:
		return fmt.Sprintf("%s to %s", o.value(o.Low), o.value(o.High))
	}
}

// refuted says from where on the claim is refuted.
func (o *Outcome) refuted() string {
	if o.Test.Want == Above {
		return "below " + o.value(o.Test.against(o.Low))
	}
	return "above " + o.value(o.Test.against(o.High))
}

// crossed names the bound inside the interval.
func (o *Outcome) crossed() string {
	near := o.Test.nearest(*o.Interval, o.Low, o.High)
	return o.value(near)
}

func probability(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// format writes a metric's value with its unit.
func (m Metric) format(v float64) string {
	switch {
	case m == IOPS:
		return prose.Count(v) + " IOPS"
	case m == OpsPerS:
		return prose.Count(v) + " ops/s"
	case strings.HasSuffix(string(m), "_ns"):
		return prose.Nanoseconds(v)
	case m == SameCPU || m == IOs:
		return prose.Count(v) + " I/Os"
	case m == Contended:
		return prose.Count(v) + " waits"
	case m == BytesPerS:
		return prose.Count(v) + "B/s"
	default:
		return number(v)
	}
}

// untested lists what cannot be tested, one line per reason.
func (d *Document) untested(b *strings.Builder) {
	type reason struct{ why, remedy string }
	var order []reason
	ids := map[reason][]string{}
	for _, r := range d.Records {
		if len(r.Blocks) > 0 || r.Verdict != CannotTest {
			continue
		}
		k := reason{strings.Join(r.Codes, ", "), strings.Join(r.Remedies, "; ")}
		if k.remedy == (Need{Code: ArmFailed}).Remedy() {
			k.remedy = r.Why
		}
		if len(ids[k]) == 0 {
			order = append(order, k)
		}
		ids[k] = append(ids[k], r.ID)
	}
	if len(order) > 0 {
		b.WriteByte('\n')
	}
	for i, k := range order {
		name := "not testable here"
		if i > 0 {
			name = ""
		}
		b.WriteString(prose.Wrap(label(name), fmt.Sprintf("claim %s: %s", strings.Join(ids[k], ", "), k.why)))
		b.WriteString(prose.Wrap(label(""), "  "+k.remedy))
	}
}

// table80 is the summary that ends a run.
func (d *Document) table80(b *strings.Builder) {
	counts := map[Verdict]int{}
	fmt.Fprintf(b, "\n%-5s %-46s %-13s %s\n%s\n", "claim", "", "verdict", "estimate", strings.Repeat("-", prose.Width))
	for _, r := range d.Records {
		counts[r.Verdict]++
		estimate := r.telling()
		fmt.Fprintln(b, strings.TrimRight(fmt.Sprintf("%-5s %-46s %-13s %s", r.ID, cut(r.Title, 46), r.Verdict.short(), estimate), " "))
	}
	fmt.Fprintf(b, "%s\n%d reproduced, %d not reproduced, %d inconclusive, %d cannot be tested here\n",
		strings.Repeat("-", prose.Width), counts[Reproduced], counts[NotReproduced], counts[Inconclusive], counts[CannotTest])
}

// telling is the estimate of the test that the verdict rests on, or else of the first that has one.
func (r *Record) telling() string {
	first := ""
	for _, o := range r.Tests {
		if !o.Test.Decides || o.Interval == nil {
			continue
		}
		estimate := o.value(o.Interval.Estimate)
		if o.Verdict == r.Verdict {
			return estimate
		}
		if first == "" {
			first = estimate
		}
	}
	return first
}

func (v Verdict) short() string {
	switch v {
	case NotReproduced:
		return "not repr."
	case Inconclusive:
		return "inconclusive"
	case CannotTest:
		return "not testable"
	case Reproduced:
		return "reproduced"
	default:
		return string(v)
	}
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n-3] + "..."
}
