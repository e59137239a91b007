// Command against-fio measures blkmeter beside Debian's fio on this machine: for each case pairs of runs, one
// of each tool, interleaved, on one pinned core, and of their figures the medians. It makes the targets that
// it needs (a preallocated file, a loop device over memory, a zram device) and takes them away again.
//
//	go run ./scripts/bench/against-fio                     all cases, 10 pairs each, 8 to 10 minutes
//	go run ./scripts/bench/against-fio -pairs=3 -case=null
//
// Only ratios on a quiet machine say anything; a pair's two runs see the same machine, most of the time.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

type options struct {
	pairs    int
	runtime  time.Duration
	cpu      int
	dir      string
	cases    *regexp.Regexp
	blkmeter string
	json     bool
	list     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "against-fio:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("against-fio", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.pairs, "pairs", 10, "pairs of runs per case")
	fs.DurationVar(&o.runtime, "runtime", 2*time.Second, "length of each run")
	fs.IntVar(&o.cpu, "cpu", runtime.NumCPU()-1, "the CPU that cases with one worker are pinned to")
	fs.StringVar(&o.dir, "dir", os.TempDir(), "where the preallocated file is made; a directory on ext4 or XFS")
	pattern := fs.String("case", "", "only cases whose names match this regular expression")
	fs.StringVar(&o.blkmeter, "blkmeter", "", "the blkmeter to measure; built from this tree when not given")
	fs.BoolVar(&o.json, "json", false, "print all figures of all runs as JSON")
	fs.BoolVar(&o.list, "list", false, "list the cases and stop")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.pairs < 1 || fs.NArg() > 0 {
		return o, errors.New("give -pairs of 1 or more, and no arguments")
	}
	var err error
	o.cases, err = regexp.Compile(*pattern)
	return o, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	if o.list {
		for _, c := range allCases() {
			fmt.Fprintf(stdout, "%-*s %s\n", nameWidth, c.name, c.goal)
		}
		for _, a := range allAlone() {
			fmt.Fprintf(stdout, "%-*s %s\n", nameWidth, a.Name, a.Goal)
		}
		return nil
	}
	dir, err := os.MkdirTemp(o.dir, "blkmeter-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.blkmeter == "" {
		o.blkmeter = filepath.Join(dir, "blkmeter")
		build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", o.blkmeter, "github.com/blkmeter/blkmeter/cmd/blkmeter")
		build.Stderr = stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building blkmeter: %w", err)
		}
	}
	fioVersion, err := exec.CommandContext(ctx, "fio", "--version").Output()
	if err != nil {
		return fmt.Errorf("fio is needed (apt-get install fio): %w", err)
	}
	targets := &targets{dir: dir}
	defer func() {
		if err := targets.remove(); err != nil {
			fmt.Fprintln(stderr, "against-fio:", err)
		}
	}()
	var results []result
	if !o.json {
		fmt.Fprintf(stdout, "%s, %d CPUs, %d pairs of %v, CPU %d\n", strings.TrimSpace(string(fioVersion)), runtime.NumCPU(), o.pairs, o.runtime, o.cpu)
		fmt.Fprint(stdout, header())
	}
	for _, c := range allCases() {
		if !o.cases.MatchString(c.name) {
			continue
		}
		path, err := targets.path(c.target)
		if errors.Is(err, errUnavailable) {
			fmt.Fprintf(stderr, "%s: skipped: %v\n", c.name, err)
			continue
		}
		if err != nil {
			return err
		}
		r, err := measurePairs(ctx, o, c, path)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, r)
		if !o.json {
			fmt.Fprint(stdout, r.row())
		}
	}
	own, err := measureAlone(ctx, o, func() (string, error) { return targets.path(loopDevice) })
	if errors.Is(err, errUnavailable) {
		fmt.Fprintf(stderr, "blkmeter alone: skipped: %v\n", err)
	} else if err != nil {
		return err
	}
	if o.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"fio": strings.TrimSpace(string(fioVersion)), "runtime_ns": int64(o.runtime), "cases": results, "alone": own})
	}
	for i := range own {
		fmt.Fprint(stdout, own[i].row())
	}
	return nil
}
