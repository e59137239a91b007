package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/blkmeter/blkmeter/internal/prose"
	"github.com/blkmeter/blkmeter/internal/run"
	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
	"golang.org/x/term"
)

// progress is the one line on a terminal that tells how a run is going. Off a terminal it is silent, unless
// it is asked for: then each state is a line.
type progress struct {
	w       io.Writer
	width   func() int    // 0: silent
	lines   bool          // each state is a line of its own
	every   time.Duration // shortest time between two states
	newline time.Duration // after this time a state is left standing; 0: never
	now     func() time.Time
	drawnAt time.Time // of the last state
	stoodAt time.Time // of the last one that was left standing
	drawn   bool
}

// newProgress returns the line for stderr, as --eta, --eta-interval and --eta-newline ask for it.
func newProgress(stderr io.Writer, env func(string) string, s *fiojob.Settings) *progress {
	p := &progress{w: stderr, width: func() int { return 0 }, every: s.ETAInterval, newline: s.ETANewline, now: time.Now}
	p.stoodAt = p.now()
	f, ok := stderr.(*os.File)
	switch {
	case s.ETA == "never":
	case ok && term.IsTerminal(int(f.Fd())) && env("TERM") != "dumb":
		p.width = func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil || w <= 0 {
				return 80
			}
			return w
		}
	case s.ETA == "always":
		p.width = func() int { return 120 }
		p.lines, p.every = true, max(p.every, time.Second)
	}
	return p
}

// say shows what takes time before the load starts.
func (p *progress) say(words string) { p.draw(words + " ...") }

// show draws the state of the run.
func (p *progress) show(s run.Progress) {
	eta := "until done"
	if s.Remaining >= 0 {
		eta = "eta " + s.Remaining.Round(time.Second).String()
	}
	line := fmt.Sprintf(" [%d/%d] %s, %s", s.Stage, s.Stages, s.Elapsed.Round(time.Second), eta)
	if s.IOPS > 0 {
		line += fmt.Sprintf(" | %s IOPS, %s/s, p99 %s", units.Count(s.IOPS), units.Bytes(int64(s.BW)), units.Nanoseconds(float64(s.P99NS)))
	}
	room := p.width() - 1 - utf8.RuneCountInString(line) // of the rest, nothing should be missing
	p.draw(prose.Cut(strings.Join(s.Jobs, ", "), min(max(room, 8), 24)) + line)
}

func (p *progress) draw(line string) {
	width := p.width()
	now := p.now()
	if width == 0 || now.Sub(p.drawnAt) < p.every {
		return
	}
	p.drawnAt = now
	line = prose.Cut(prose.PrintableLine(line), max(width-1, 1))
	if p.lines {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	p.drawn = true
	if p.newline > 0 && now.Sub(p.stoodAt) >= p.newline {
		fmt.Fprintln(p.w)
		p.stoodAt, p.drawn = now, false
	}
}

// clear takes the line away before anything else is written.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
