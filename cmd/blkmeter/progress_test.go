package main

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/blkmeter/blkmeter/internal/run"
)

// Whatever jobs are named, the line fits, says all figures with their units, and commands the terminal nothing.
func TestProgressFitsTheTerminal(t *testing.T) {
	for _, name := range []string{"a", "a job with a rather long name", strings.Repeat("é", 30), "red\x1b[31m\nand a second line"} {
		var out strings.Builder
		p := &progress{w: &out, width: func() int { return 80 }, now: time.Now}
		p.show(run.Progress{Jobs: []string{name}, Stage: 1, Stages: 1, Elapsed: 12 * time.Second, Remaining: 48 * time.Second, IOPS: 14.44e6, BW: 55.07 * (1 << 30), P99NS: 181_300})
		line, drawn := strings.CutPrefix(out.String(), "\r\x1b[K")
		if !drawn || utf8.RuneCountInString(line) > 79 || !utf8.ValidString(line) || !strings.HasSuffix(line, "p99 181.3 µs") || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("%q", out.String())
		}
	}
}
