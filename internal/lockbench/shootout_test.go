package lockbench

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDefaultThreads(t *testing.T) {
	for cpus, want := range map[int][]int{
		1: {1, 2, 4}, 2: {1, 2, 4, 8}, 6: {1, 2, 4, 6, 12, 24}, 8: {1, 2, 4, 8, 16, 32},
	} {
		if got := DefaultThreads(cpus); !slices.Equal(got, want) {
			t.Errorf("%d CPUs: %v, want %v", cpus, got, want)
		}
	}
}

// TestTextGolden renders a report in which every number is another one, so that swapped columns show.
func TestTextGolden(t *testing.T) {
	r := &Report{Schema: Schema, CPUs: []int{0, 1}, HoldNS: 700, DurationNS: int64(200 * time.Millisecond), Rounds: 3, Seed: 9, Pause: "PAUSE", ClockNS: 25.3}
	for i, k := range lock.Kinds() {
		f := float64(i + 1)
		l := Lane{Kind: k.Name, Title: k.Title, Waits: k.Waits, FIFO: k.FIFO, Counterpart: k.Counterpart, UncontendedNS: 11.5 * f}
		for j, n := range []int{1, 2, 4, 8} {
			g := float64(j + 1)
			p := Point{
				Threads: n, OpsPerS: 4.25e6 / f / g, WaitP50NS: int64(31 * f * g), WaitP99NS: int64(1250 * f * g),
				WaitP999NS: int64(48_000 * f * g), WaitSamples: 30_000, Jain: 1 - 0.01*f*g, LongestGapNS: int64(2_200_000 * f * g),
			}
			if k.FIFO && n > 2 {
				p.OpsPerS, p.WaitP99NS, p.WaitP999NS = 61.5*f, 0, 0
			}
			l.Points = append(l.Points, p)
		}
		r.Locks = append(r.Locks, l)
	}
	r.Meaning = r.meaning()
	var text bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if n := len(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	const file = "testdata/locks.txt"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("the text changed; go test ./internal/lockbench -update writes it anew:\n%s", diff)
	}
}

func TestManyThreadCountsFitTheTable(t *testing.T) {
	r := &Report{CPUs: make([]int, 64)}
	var l Lane
	for _, n := range DefaultThreads(64) {
		l.Points = append(l.Points, Point{Threads: n, OpsPerS: 1e6})
	}
	r.Locks = []Lane{l}
	at := r.columns()
	if len(at) != maxColumns || at[0] != 0 || at[len(at)-1] != len(l.Points)-1 {
		t.Errorf("columns %v of %d", at, len(l.Points))
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		value float64
		want  int
	}{{1000, barLength}, {100, barLength - 3}, {1e-9, 1}, {0, 0}} {
		if got := len(bar(c.value, 1000)); got != c.want {
			t.Errorf("%v of 1000: %d marks, want %d", c.value, got, c.want)
		}
	}
}
