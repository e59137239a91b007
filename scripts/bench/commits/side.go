package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// side is one of the two commits.
type side struct {
	name  string
	tree  string // its files
	tests []test
	lines bytes.Buffer // what its benchmarks printed, in Go's benchmark format
}

// test is the test program of one package.
type test struct{ program, dir string }

// build makes the test programs of the packages; one that the commit does not have is left out.
func (s *side) build(ctx context.Context, packages []string, into string) error {
	if err := os.Mkdir(into, 0o755); err != nil {
		return err
	}
	for i, p := range packages {
		t := test{program: filepath.Join(into, fmt.Sprint(i)), dir: filepath.Join(s.tree, p)}
		if _, err := os.Stat(t.dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", t.program, p)
		cmd.Dir = s.tree
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building the tests of %s in the %s commit: %w\n%s", p, s.name, err, out)
		}
		s.tests = append(s.tests, t)
	}
	if len(s.tests) == 0 {
		return fmt.Errorf("the %s commit has none of the packages %v", s.name, packages)
	}
	return nil
}

// measure runs each benchmark once.
func (s *side) measure(ctx context.Context, o options) error {
	for _, t := range s.tests {
		cmd := exec.CommandContext(ctx, t.program, "-test.run=^$", "-test.bench="+o.bench, "-test.benchtime="+o.benchTime, "-test.count=1")
		cmd.Dir = t.dir
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &s.lines, &said
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("benchmarks of %s in the %s commit: %w\n%s", t.dir, s.name, err, said.Bytes())
		}
	}
	return nil
}
