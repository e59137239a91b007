package text_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/reporttest"
	"github.com/blkmeter/blkmeter/report/text"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	for _, o := range []text.Options{{Width: 80}, {Width: 120}, {Width: 80, Color: true}} {
		name := fmt.Sprintf("width%d.txt", o.Width)
		if o.Color {
			name = fmt.Sprintf("width%d-color.txt", o.Width)
		}
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := text.Write(&got, reporttest.Result(), o); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestHostileNamesStayText: a Result may come from elsewhere, and a terminal obeys control characters.
func TestHostileNamesStayText(t *testing.T) {
	r := reporttest.Result()
	r.Jobs[0].Name = "\x1b]0;owned\x07\nname"
	r.Targets[0].Model = "disk\r\x1b[2J"
	var got bytes.Buffer
	if err := text.Write(&got, r, text.Options{}); err != nil {
		t.Fatal(err)
	}
	if i := bytes.IndexAny(got.Bytes(), "\x1b\r\x07"); i >= 0 {
		t.Errorf("control character in %q", got.Bytes()[max(0, i-20):i+20])
	}
}

func TestLinesFit(t *testing.T) {
	for _, width := range []int{0, 80, 132} {
		var got bytes.Buffer
		if err := text.Write(&got, reporttest.Result(), text.Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(got.Bytes()) {
			if n := utf8.RuneCount(bytes.TrimRight(line, "\n")); n > max(width, 80) {
				t.Errorf("width %d: %d characters in %q", width, n, line)
			}
		}
	}
}

func TestEmptyResultIsToldAsSuch(t *testing.T) {
	var got bytes.Buffer
	r := &report.Result{Status: report.StatusInterrupted, Jobs: []report.Job{{Name: "idle"}}}
	if err := text.Write(&got, r, text.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"interrupted", "idle", "no I/O"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is missing in\n%s", want, got.String())
		}
	}
}

// What is no device has no queues or blocks of one, and no line for them.
func TestTargetsWithoutADevice(t *testing.T) {
	r := reporttest.Result()
	r.Targets = []report.Target{{Kind: "null", Path: "null", SizeBytes: 1 << 30, LogicalBytes: 512, NUMANode: -1}}
	for i := range r.Jobs {
		r.Jobs[i].Spec.Targets = []int{0}
	}
	var got bytes.Buffer
	if err := text.Write(&got, r, text.Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "target   null\n         1 GiB\n") || strings.Contains(got.String(), "1 GiB\n\n\n") || strings.Contains(got.String(), "bio-based") {
		t.Error(got.String())
	}
}

func TestDamagedHistogramIsAnError(t *testing.T) {
	r := reporttest.Result()
	r.Jobs[1].Trim.Lat.Histogram = "damaged"
	if err := text.Write(io.Discard, r, text.Options{}); err == nil || !strings.Contains(err.Error(), `job "discard"`) {
		t.Errorf("error %v", err)
	}
}

// FuzzWrite renders whatever passes as a Result; there may be errors, but no panics and no control
// characters.
func FuzzWrite(f *testing.F) {
	var whole bytes.Buffer
	if err := report.Write(&whole, reporttest.Small()); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := report.Load(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := text.Write(&out, r, text.Options{}); err == nil && bytes.ContainsAny(out.Bytes(), "\x1b\r\x00") {
			t.Errorf("control characters in\n%q", out.Bytes())
		}
	})
}

func TestSkippedJobsSayWhy(t *testing.T) {
	r := reporttest.Result()
	r.Jobs = append(r.Jobs, report.Job{Name: "never", GroupID: 2, Skipped: "the run was interrupted"})
	var got bytes.Buffer
	if err := text.Write(&got, r, text.Options{Width: 80}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "did not run: the run was interrupted") || strings.Count(got.String(), "\nnever") != 1 {
		t.Error(got.String())
	}
}
