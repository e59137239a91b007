package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// printed are runs of a benchmark as go test prints them.
func printed(name string, values ...float64) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "goos: linux\nBenchmark%s-2 \t 1000\t 0 ns/op\t %g cpu-ns/IO\nPASS\n", name, v)
	}
	return b.String()
}

func TestCompare(t *testing.T) {
	old := printed("Loop/qd=1", 20, 21, 19, 20, 22, 20) + printed("Same", 5, 6, 5, 6, 5, 6) + printed("Gone", 1)
	now := printed("Loop/qd=1", 10, 11, 9, 10, 12, 10) + printed("Same", 6, 5, 6, 5, 6, 5)
	var out bytes.Buffer
	if err := compare(&out, []byte(old), []byte(now)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("got\n%s\nwant a head and two lines", out.String())
	}
	for _, want := range []string{"Loop/qd=1-2", "cpu-ns/IO", " 20 ", " 10 ", "0.500", "differs, p=0.00"} {
		if !strings.Contains(lines[1], want) {
			t.Errorf("%q is not in %q", want, lines[1])
		}
	}
	if strings.Contains(lines[2], "differs") {
		t.Errorf("the same figures are said to differ: %q", lines[2])
	}
	if err := compare(io.Discard, []byte(printed("A", 1)), []byte(printed("B", 1))); err == nil {
		t.Error("nothing in common is no error")
	}
}

func TestParseFlags(t *testing.T) {
	for _, args := range [][]string{{}, {"a", "b", "c"}, {"-count=3", "a"}, {"-nonsense", "a"}} {
		if _, err := parseFlags(args, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	o, err := parseFlags([]string{"-pkg=./x,./y", "HEAD~1"}, io.Discard)
	if err != nil || o.old != "HEAD~1" || o.new != "" || len(o.packages) != 2 {
		t.Errorf("got %+v, %v", o, err)
	}
}
