package lockbench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/prose"
)

// maxColumns is how many numbers of threads fit a line; the ones in the middle are left out.
const maxColumns = 7

// Text writes the report for a person, at most 80 columns wide.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "blkmeter locks  %d CPUs, held %s, %d rounds of %v, seed %d\n", len(r.CPUs), prose.Nanoseconds(float64(r.HoldNS)), r.Rounds, time.Duration(r.DurationNS), r.Seed)
	fmt.Fprintf(&b, "spin hint %s; a look at the clock costs %s and is part of every wait\n", r.Pause, prose.Nanoseconds(r.ClockNS))
	if len(r.Locks) > 0 && len(r.Locks[0].Points) > 0 {
		r.throughput(&b)
		r.waiting(&b)
		r.counterparts(&b)
	}
	b.WriteString("\nWhat this means for a shared submission queue\n")
	for _, m := range r.Meaning {
		b.WriteString(prose.Wrap("  - ", m))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the locks report: %w", err)
	}
	return nil
}

// columns returns the indices of the points that are shown.
func (r *Report) columns() []int {
	n := len(r.Locks[0].Points)
	var at []int
	for i := range n {
		if n <= maxColumns || i < maxColumns-2 || i >= n-2 {
			at = append(at, i)
		}
	}
	return at
}

func (r *Report) throughput(b *strings.Builder) {
	at := r.columns()
	b.WriteString("\nThroughput: passages per second by number of threads\n")
	fmt.Fprintf(b, "%-8s%11s", "lock", "alone/pair")
	for _, i := range at {
		n := r.Locks[0].Points[i].Threads
		head := fmt.Sprintf("%d thr", n)
		if n > len(r.CPUs) {
			head += "*"
		}
		fmt.Fprintf(b, "%8s", head)
	}
	fmt.Fprintf(b, "\n%s\n", strings.Repeat("-", 19+8*len(at)))
	for _, l := range r.Locks {
		fmt.Fprintf(b, "%-8s%11s", l.Kind, prose.Nanoseconds(l.UncontendedNS))
		for _, i := range at {
			fmt.Fprintf(b, "%8s", prose.Count(l.Points[i].OpsPerS))
		}
		b.WriteByte('\n')
	}
	if slices.ContainsFunc(at, func(i int) bool { return r.Locks[0].Points[i].Threads > len(r.CPUs) }) {
		b.WriteString("* more threads than CPUs\n")
	}
}

func (r *Report) waiting(b *strings.Builder) {
	// The crossing from fitting to not fitting is where locks differ most; show it and, if it is another one,
	// the largest number of threads.
	last := len(r.Locks[0].Points) - 1
	shown := []int{last}
	for i, p := range r.Locks[0].Points {
		if p.Threads == len(r.CPUs) && i != last {
			shown = []int{i, last}
		}
	}
	for _, i := range shown {
		best := 0.0
		for _, l := range r.Locks {
			best = max(best, l.Points[i].OpsPerS)
		}
		fmt.Fprintf(b, "\nWaiting and fairness at %d threads\n", r.Locks[0].Points[i].Threads)
		fmt.Fprintf(b, "%-8s%8s%9s%9s%9s%6s%9s  %s\n%s\n", "lock", "/s", "p50", "p99", "p99.9", "Jain", "gap", "throughput (log)", strings.Repeat("-", prose.Width))
		for _, l := range r.Locks {
			p := l.Points[i]
			fmt.Fprintln(b, strings.TrimRight(fmt.Sprintf("%-8s%8s%9s%9s%9s%6.2f%9s  %s", l.Kind, prose.Count(p.OpsPerS),
				percentile(p.WaitP50NS), percentile(p.WaitP99NS), percentile(p.WaitP999NS), p.Jain, prose.Nanoseconds(float64(p.LongestGapNS)), bar(p.OpsPerS, best)), " "))
		}
	}
}

// barLength is the length of the best lock's bar.
const barLength = 18

// bar draws a value against the best on a logarithmic scale: three marks are a factor of ten.
func bar(value, best float64) string {
	if value <= 0 {
		return ""
	}
	n := barLength + int(math.Round(3*math.Log10(value/best)))
	return strings.Repeat("#", max(n, 1))
}

func (r *Report) counterparts(b *strings.Builder) {
	b.WriteString("\nThe kernel's counterparts\n")
	for _, l := range r.Locks {
		b.WriteString(prose.Wrap(fmt.Sprintf("  %-8s", l.Kind), l.Title+", "+l.Waits+". In the kernel: "+l.Counterpart+"."))
	}
}

func percentile(ns int64) string {
	if ns == 0 {
		return "n/a"
	}
	return prose.Nanoseconds(float64(ns))
}
