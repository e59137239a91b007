// Command commits measures two commits of this repository beside each other: it builds their Go benchmarks,
// runs them in turn, and prints for each benchmark the ratio of the medians and whether the difference could be
// chance. The raw lines are kept for benchstat.
//
//	go run ./scripts/bench/commits HEAD~3                what changed since, uncommitted work included
//	go run ./scripts/bench/commits -bench=Loop v1.0 v1.1
//	go run ./scripts/bench/commits -pkg=./workloads/pattern -count=20 main
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

type options struct {
	count     int
	bench     string
	packages  []string
	benchTime string
	keep      string
	old, new  string // new is "" for the working tree
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "commits:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("commits", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: commits [flags] OLD [NEW]\nNEW is the working tree when it is not given.")
		fs.PrintDefaults()
	}
	fs.IntVar(&o.count, "count", 10, "runs of each benchmark of each commit")
	fs.StringVar(&o.bench, "bench", ".", "benchmarks whose names match this regular expression")
	packages := fs.String("pkg", "./internal/run,./workloads/pattern,./internal/hist", "packages, separated by commas")
	fs.StringVar(&o.benchTime, "benchtime", "200ms", "length of each run, as go test takes it")
	fs.StringVar(&o.keep, "dir", "", "where old.txt and new.txt are written for benchstat; nowhere when not given")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.packages = strings.Split(*packages, ",")
	switch rest := fs.Args(); len(rest) {
	case 2:
		o.new = rest[1]
		fallthrough
	case 1:
		o.old = rest[0]
	default:
		return o, errors.New("give the commit to compare with, and at most one other")
	}
	if o.count < 4 {
		return o, errors.New("give a -count of 4 or more: with fewer runs no difference is beyond chance")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	root, err := git(ctx, ".", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "blkmeter-commits-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sides := []*side{{name: "old"}, {name: "new"}}
	for i, commit := range []string{o.old, o.new} {
		s := sides[i]
		s.tree = root
		if commit != "" {
			s.tree = filepath.Join(dir, s.name)
			if _, err := git(ctx, root, "worktree", "add", "--detach", "--quiet", s.tree, commit); err != nil {
				return err
			}
			defer func() {
				_, e := git(context.WithoutCancel(ctx), root, "worktree", "remove", "--force", s.tree)
				err = errors.Join(err, e)
			}()
		}
		if err := s.build(ctx, o.packages, filepath.Join(dir, s.name+"-tests")); err != nil {
			return err
		}
	}
	for i := range o.count {
		order := slices.Clone(sides)
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, s := range order {
			if err := s.measure(ctx, o); err != nil {
				return err
			}
		}
		fmt.Fprintf(stderr, "run %d of %d\n", i+1, o.count)
	}
	if o.keep != "" {
		for _, s := range sides {
			if err := os.WriteFile(filepath.Join(o.keep, s.name+".txt"), s.lines.Bytes(), 0o644); err != nil {
				return err
			}
		}
	}
	return compare(stdout, sides[0].lines.Bytes(), sides[1].lines.Bytes())
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}
