package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/run"
	"github.com/blkmeter/blkmeter/internal/units"
	"golang.org/x/term"
)

// progress is the one line on a terminal that tells how a run is going. Off a terminal it is silent.
type progress struct {
	w     io.Writer
	width func() int // 0 off a terminal
	drawn bool
}

// newProgress returns the line for stderr; eta is fio's --eta: auto, always or never.
func newProgress(stderr io.Writer, env func(string) string, eta string) *progress {
	p := &progress{w: stderr, width: func() int { return 0 }}
	if eta == "always" {
		p.width = func() int { return 80 }
	}
	f, ok := stderr.(*os.File)
	if ok && eta != "never" && term.IsTerminal(int(f.Fd())) && env("TERM") != "dumb" {
		p.width = func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil || w <= 0 {
				return 80
			}
			return w
		}
	}
	return p
}

// say shows what takes time before the load starts.
func (p *progress) say(words string) { p.draw(words + " ...") }

// show draws the state of the run.
func (p *progress) show(s run.Progress) {
	jobs := strings.Join(s.Jobs, ", ")
	if len(jobs) > 24 {
		jobs = jobs[:23] + "…"
	}
	eta := "until done"
	if s.Remaining >= 0 {
		eta = "eta " + s.Remaining.Round(time.Second).String()
	}
	line := fmt.Sprintf("%s [%d/%d] %s, %s", jobs, s.Stage, s.Stages, s.Elapsed.Round(time.Second), eta)
	if s.IOPS > 0 {
		line += fmt.Sprintf(" | %s IOPS, %s/s, p99 %s", units.Count(s.IOPS), units.Bytes(int64(s.BW)), units.Nanoseconds(float64(s.P99NS)))
	}
	p.draw(line)
}

func (p *progress) draw(line string) {
	width := p.width()
	if width == 0 {
		return
	}
	if r := []rune(line); len(r) >= width {
		line = string(r[:width-1])
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	p.drawn = true
}

// clear takes the line away before anything else is written.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
