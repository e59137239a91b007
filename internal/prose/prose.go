// Package prose writes numbers and sentences for people who read them in a terminal of 80 columns.
package prose

import (
	"fmt"
	"math"
	"strings"
	"unicode"
)

// Width is what a line of text may have.
const Width = 80

// Nanoseconds writes a duration with three digits and a unit: 14ns, 2.31us, 76.0ms.
func Nanoseconds(ns float64) string {
	return scaled(ns, []unit{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}})
}

// Count writes a number with three digits and k, M or G: 425k.
func Count(n float64) string {
	return scaled(n, []unit{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}})
}

// Printable is text without the control characters, which a terminal would obey: they become "?". Names and sentences
// may hold what a job file or a device says; only the ends of lines stay.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return '?'
		}
		return r
	}, text)
}

// PrintableLine is the [Printable] text of one line: the ends of lines become "?", too.
func PrintableLine(text string) string { return strings.ReplaceAll(Printable(text), "\n", "?") }

// Cut shortens a text to limit characters, 1 or more, and marks that it did.
func Cut(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return text
}

type unit struct {
	size float64
	name string
}

// scaled writes x in the largest unit in which it is at least 1; the units end with size 1.
func scaled(x float64, units []unit) string {
	sign := ""
	if x < 0 {
		sign, x = "-", -x
	}
	for _, u := range units {
		// What rounds to 1000 of a unit is 1 of the next.
		if x >= u.size*0.9995 || u.size == 1 {
			return sign + Three(x/u.size) + u.name
		}
	}
	return sign + Three(x)
}

// Three writes a number of at most 1000 with three significant digits; a whole one without decimals.
func Three(x float64) string {
	switch {
	case x == math.Trunc(x) || x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.995:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}

// Wrap returns text after a head, broken between words so that no line is longer than Width; later lines are
// indented to where the text began. A word longer than a line gets a line of its own.
func Wrap(head, text string) string {
	var b strings.Builder
	line, empty := head, true
	for word := range strings.FieldsSeq(text) {
		if !empty && len(line)+1+len(word) > Width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line, empty = strings.Repeat(" ", len(head)), true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return b.String() + strings.TrimRight(line, " ") + "\n"
}
