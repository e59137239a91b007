package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/blkmeter/blkmeter/internal/stats"
)

// series is the figures of one benchmark in one unit.
type series struct {
	benchmark, unit string
	old, new        []float64
}

// beyondChance is the probability below which a difference is said to be more than chance.
const beyondChance = 0.05

// compare prints a line per benchmark and unit that both commits have.
func compare(out io.Writer, old, new []byte) error {
	var all []*series
	find := func(benchmark, unit string) *series {
		i := slices.IndexFunc(all, func(s *series) bool { return s.benchmark == benchmark && s.unit == unit })
		if i < 0 {
			all, i = append(all, &series{benchmark: benchmark, unit: unit}), len(all)
		}
		return all[i]
	}
	if err := read(old, func(b, u string, v float64) { s := find(b, u); s.old = append(s.old, v) }); err != nil {
		return err
	}
	if err := read(new, func(b, u string, v float64) { s := find(b, u); s.new = append(s.new, v) }); err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s *series) bool { return len(s.old) == 0 || len(s.new) == 0 })
	if len(all) == 0 {
		return errors.New("the two commits have no benchmark in common")
	}
	width := 0
	for _, s := range all {
		width = max(width, len(s.benchmark))
	}
	fmt.Fprintf(out, "%-*s  %-12s %10s %10s %7s  %s\n", width, "benchmark", "unit", "old", "new", "ratio", "")
	for _, s := range all {
		was, is := stats.Median(s.old), stats.Median(s.new)
		ratio, verdict := "-", ""
		if was != 0 {
			ratio = fmt.Sprintf("%.3f", is/was)
		}
		if p, _ := stats.MannWhitney(s.old, s.new); p < beyondChance {
			verdict = fmt.Sprintf("differs, p=%.3f", p)
		}
		line := fmt.Sprintf("%-*s  %-12s %10.4g %10.4g %7s  %s", width, s.benchmark, s.unit, was, is, ratio, verdict)
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
	return nil
}

// read calls add with every figure of lines in Go's benchmark format. Figures of b.N's own clock that a
// benchmark turned off by reporting zero are left out.
func read(lines []byte, add func(benchmark, unit string, value float64)) error {
	r := benchfmt.NewReader(bytes.NewReader(lines), "")
	for r.Scan() {
		switch rec := r.Result().(type) {
		case *benchfmt.SyntaxError:
			return rec
		case *benchfmt.Result:
			for _, v := range rec.Values {
				unit, value := v.Unit, v.Value
				if v.OrigUnit != "" {
					unit, value = v.OrigUnit, v.OrigValue
				}
				if unit == "ns/op" && value == 0 {
					continue
				}
				add(rec.Name.String(), unit, value)
			}
		}
	}
	return r.Err()
}
