package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/testlab"
)

// repeated yields a text over and over, for so many bytes.
type repeated struct {
	text string
	left int64
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && r.left > 0 {
		c := copy(p[n:], r.text[r.at:])
		c = int(min(int64(c), r.left))
		n, r.left, r.at = n+c, r.left-int64(c), (r.at+c)%len(r.text)
	}
	return n, nil
}

// A job file that means harm, or is none, costs seconds and some megabytes at most, and ends in a short error.
func TestHostileJobFiles(t *testing.T) {
	const (
		longest = 30 * time.Second
		most    = 512 << 10 // KiB
	)
	loop := filepath.Join(t.TempDir(), "loop.fio")
	if err := os.WriteFile(loop, []byte("[a]\ninclude loop.inc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(loop), "loop.inc"), []byte(strings.Repeat("include loop.inc\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 1<<40); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file  string
		stdin io.Reader
	}{
		"a line of 1 GiB":        {"-", &repeated{text: "x", left: 1 << 30}},
		"comments for ever":      {"-", &repeated{text: "# comment\n", left: 1 << 30}},
		"a million sections":     {"-", &repeated{text: "[a]\nsize=1m\n", left: 12e6}},
		"a million options":      {"-", io.MultiReader(strings.NewReader("[a]\n"), &repeated{text: "bs=4k\n", left: 12e6})},
		"deep parentheses":       {"-", io.MultiReader(strings.NewReader("[a]\nsize="), &repeated{text: "(", left: 1e6 - 10})},
		"a tower of powers":      {"-", io.MultiReader(strings.NewReader("[a]\nsize=("), &repeated{text: "9^", left: 1e6 - 11})},
		"files include for ever": {loop, nil},
		"the image of a disk":    {image, nil},
		"an executable":          {"/proc/self/exe", nil},
		"randomness":             {"/dev/urandom", nil},
		"zeros":                  {"/dev/zero", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := &process{Program: blkmeter(t, "fio", c.file, "--output-format=json")}
			p.Dir, p.Stdin, p.Stdout, p.Stderr = t.TempDir(), c.stdin, &p.stdout, &p.stderr
			start := time.Now()
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			memory := peakKiB(p.Process.Pid)
			exit, stderr, took := p.end(t), p.stderr.String(), time.Since(start)
			if exit != 1 || p.stdout.Len() > 0 || !strings.HasPrefix(stderr, "blkmeter: ") || len(stderr) > 20_000 {
				t.Errorf("exit status %d, %d bytes on stdout, stderr %.200q of %d bytes", exit, p.stdout.Len(), stderr, len(stderr))
			}
			if took > longest || memory > most {
				t.Errorf("it took %v and %d KiB", took, memory)
			}
			t.Logf("%v, %d MiB: %.120s", took.Round(time.Millisecond), memory>>10, stderr)
		})
	}
}

// peakKiB returns the most memory that a process has had when it ends. What wait4(2) tells begins with the peak of the
// process that started it.
func peakKiB(pid int) (peak int) {
	testlab.Eventually(testlab.Limit, func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, line, lives := strings.Cut(string(status), "\nVmHWM:")
		if err == nil && lives {
			_, err = fmt.Sscan(line, &peak)
		}
		return err != nil || !lives // of one that has ended nothing is told
	})
	return peak
}
