package claims

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/internal/prose"
)

// List writes the claims for a person: number, sentence, source, and what each needs.
func List(all []Claim) string {
	var b strings.Builder
	for _, c := range all {
		b.WriteString(prose.Wrap(fmt.Sprintf("%-5s", c.ID), c.Statement))
		b.WriteString(prose.Wrap("       source  ", c.source()))
		b.WriteString(prose.Wrap("       needs   ", c.needs()))
	}
	b.WriteString("\nblkmeter claims run [ID ...] [DEVICE] tests them.\n")
	return b.String()
}

// source is where the claim comes from: what was read before what was not.
func (c *Claim) source() string {
	order := []Mark{Read, SecondHand, Unread}
	best := slices.MinFunc(c.Sources, func(a, b Source) int { return slices.Index(order, a.Mark) - slices.Index(order, b.Mark) })
	if best.Mark == Read {
		return best.Ref
	}
	return fmt.Sprintf("%s (%s)", best.Ref, best.Mark)
}

func (c *Claim) needs() string {
	if len(c.Needs) == 0 {
		return "nothing"
	}
	var needs []string
	for _, n := range c.Needs {
		switch n.Code {
		case NeedDevice:
			needs = append(needs, "a device")
		case DeviceIsBio:
			needs = append(needs, "blk-mq")
		default:
			needs = append(needs, n.String())
		}
	}
	return strings.Join(needs, ", ")
}

// Markdown writes docs/claims.md.
func Markdown(all []Claim) string {
	var b strings.Builder
	b.WriteString(`# The claims, and how to read a verdict

<!-- Generated from the registry by go test ./internal/claims -update. Do not edit. -->

` + "`blkmeter claims run`" + ` tests what the literature says about blk-mq and locks on your machine. A claim is a
sentence that can turn out false. Every claim compares arms: the same work, one thing changed. A block runs
every arm once, in random order, and blocks are repeated, so that whatever drifts on the machine drifts under
all arms alike. What counts is the ratio within each block, averaged over blocks, with an interval.

Name a device to learn what holds there: ` + "`blkmeter claims run 2 16 /dev/nvme0n1`" + `. It is only read, unless
` + "`--destroy`" + ` names it; its scheduler and the like are changed for the arms that are about them, noted in a
journal first, and restored. Without a device, root gets a loop device over a nameless file in memory and other
users a scratch file, both gone when the claims end, however they end. What such a device can decide is told
with each claim.

Some claims are about the block layer itself, and want a device that costs nothing. ` + "`--null-blk`" + ` makes null_blk
devices, each with the queues and the manner of completion that its arm asks for. That takes root and the module,
which is loaded if it is not there; device and module are gone in the end, and ` + "`blkmeter clean`" + ` removes them after
a crash.

## The four verdicts

| verdict | means |
|---|---|
| REPRODUCED | the whole interval lies beyond the smallest effect that matters, in the claimed direction |
| NOT REPRODUCED | the whole interval lies on the other side: no such effect here, or the opposite |
| INCONCLUSIVE | the interval crosses the bound; the verdict says about how many blocks would decide |
| CANNOT BE TESTED HERE | a precondition failed; the verdict has its code and what would make it testable |

A significant difference is not enough. If a claim says that something loses, and 10 % is the smallest loss
that matters, an interval of 0.68 to 0.92 is significantly below 1 and still inconclusive, since it crosses
0.90.

A claim with several deciding tests is reproduced if all of them are, and refuted if one of them is. The size
is told apart from the direction: "size below published band" says that the effect is there and smaller than
what was published, on other machines.

## What is printed

- **arm**: the mean over blocks and the coefficient of variation, which is the machine's noise.
- **test**: the ratio with its interval, the claimed bound, the p-value against that bound, and the same after
  Holm's correction for all deciding tests of the run. A verdict that does not survive the correction says so.
- **explain**: what else was seen, from passes that are traced and never timed.
- **seen**: what disturbed blocks. With the profiles bench and full, a verdict from mostly disturbed blocks is
  withheld; with ci it stands if it is decided, since noise falls on all arms, and only an undecided one becomes
  CANNOT BE TESTED HERE. GENERATOR_BOUND and MAP_MISMATCH are no noise, and no verdict stands against them.
- **not testable here**: claims whose preconditions failed.

The intervals are bias-corrected and accelerated bootstrap intervals over blocks, widened for few blocks. The
number of blocks is fixed beforehand, with early looks at 6 and 10 blocks that need 99.5 % and 99 %
confidence, because looking until something shows finds effects that are not there.

` + "`--output=FILE`" + ` keeps a document (` + "`blkmeter.claims/1`" + `, [schema](claims.schema.json)) with every block's raw summary and
its seed, from which ` + "`blkmeter report`" + ` computes all verdicts again without the machine.

## Codes

| code | what would help |
|---|---|
`)
	for _, n := range []Need{
		{Code: Steal},
		{Code: GeneratorBound},
		{Code: NotSteady},
		{Code: NeedDevice},
		{Code: DeviceIsBio},
		{Code: NeedCores, N: 4},
		{Code: NeedHCTX, N: 2},
		{Code: NeedPollQ},
		{Code: NeedSched, What: "bfq"},
		{Code: NeedNUMA},
		{Code: NeedNullBlk},
		{Code: NeedNVMe},
		{Code: NeedRoot},
		{Code: NeedRT},
		{Code: NeedPMU},
		{Code: NeedDestroy},
		{Code: OverBudget},
		{Code: Interrupted},
	} {
		fmt.Fprintf(&b, "| %s | %s |\n", n, n.Remedy())
	}
	b.WriteString(`| GC | the Go collector ran inside the window; it is switched off there, so this is a fault worth reporting |
| MAP_MISMATCH | the I/O was not issued on the CPUs or queues intended; look at the queue map |
| UNSUPPORTED | the kernel refused an arm; the message says what it lacks |
| ARM_FAILED | an arm ended with an error; the message says which |

## The claims

Sources are marked: read (read at the source given), second-hand (read in somebody's notes about it), unread.
Nothing is quoted from what was not read.
`)
	for _, c := range all {
		fmt.Fprintf(&b, "\n### %s. %s\n\n%s\n\n", c.ID, strings.ToUpper(c.Title[:1])+c.Title[1:], c.Statement)
		for _, s := range c.Sources {
			fmt.Fprintf(&b, "- Source (%s): %s", s.Mark, s.Ref)
			if s.Says != "" {
				fmt.Fprintf(&b, ": %s", s.Says)
			}
			b.WriteString(".\n")
		}
		line := func(name, text string) {
			if text != "" {
				fmt.Fprintf(&b, "- %s: %s.\n", name, text)
			}
		}
		line("Original conditions", strings.TrimSuffix(c.Conditions, "."))
		line("Mechanism", c.Mechanism)
		line("Needs", c.needs())
		var where []string
		for _, p := range []Platform{NVMe, NullBlk, Loop, Other} {
			if s, ok := c.Decides[p]; ok {
				where = append(where, fmt.Sprintf("%s: %s", p, s))
			}
		}
		line("What can decide it", strings.Join(where, "; "))
		line("Confounders", strings.Join(c.Confounders, "; "))
		line("Explain pass", strings.Join(c.Explain, "; "))
		line("Read with care", strings.TrimSuffix(c.Honesty, "."))
		b.WriteString("\n| arm | what it is |\n|---|---|\n")
		for _, a := range c.Arms {
			fmt.Fprintf(&b, "| %s | %s |\n", a.Name, a.describe())
		}
		for _, a := range c.Passes {
			fmt.Fprintf(&b, "| %s | %s, once after the blocks |\n", a.Name, a.describe())
		}
		b.WriteString("\n| test | rule | claimed | decides |\n|---|---|---|---|\n")
		for _, t := range c.Tests {
			decides := "yes"
			if !t.Decides {
				decides = "reported"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.Name, t.Rule, t.bound(), decides)
		}
	}
	return b.String()
}

// describe is What with the number of threads as the registry has it.
func (a Arm) describe() string {
	threads := a.Threads
	a.Threads = Threads{N: max(threads.N, 1)}
	what := a.What()
	if threads.N == 0 {
		per := "one thread per CPU"
		if threads.PerCore > 0 {
			per = "one thread per physical core"
		}
		if threads.PerCPU > 1 {
			per = fmt.Sprintf("%d threads per CPU", threads.PerCPU)
		}
		what = strings.Replace(what, "1 thread", per, 1)
	}
	for _, n := range a.Needs {
		what += ", " + n.String()
	}
	return what
}

// bound writes the claimed bound as the registry has it.
func (t *Test) bound() string {
	low, high := t.Low, t.High
	if t.Delta > 0 {
		low, high = 1+t.Delta, 1-t.Delta
		if t.Want == Within {
			low, high = high, low
		}
	}
	o := Outcome{Test: *t, Low: low, High: high}
	if t.Against != 0 {
		return o.claimed() + ", refuted " + o.refuted()
	}
	return o.claimed()
}
