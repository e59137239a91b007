package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"

	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/report"
)

// figures are what one tool says about one run. Latencies are those from start to completion.
type figures struct {
	IOPS   float64 `json:"iops_per_s"`
	UserNS float64 `json:"user_per_io_ns"`
	SysNS  float64 `json:"sys_per_io_ns"`
	MeanNS float64 `json:"lat_mean_ns"` // 0 when the tool was told not to measure it
	P99NS  float64 `json:"lat_p99_ns"`
}

// result is one case's pairs.
type result struct {
	Name   string    `json:"name"`
	Goal   string    `json:"goal"`
	Ours   []figures `json:"blkmeter"`
	Theirs []figures `json:"against"`
}

// measurePairs runs the two sides of a case in turn; which of them is first alternates.
func measurePairs(ctx context.Context, o options, c comparison, path string) (result, error) {
	r := result{Name: c.name, Goal: c.goal}
	args := common(path, strconv.FormatInt(o.runtime.Milliseconds(), 10)+"ms")
	if c.target == noTarget {
		args[1], args[5] = "--filename=null", "--size=1g"
	}
	if !c.free {
		args = append(args, "--cpus_allowed="+strconv.Itoa(o.cpu))
	}
	ours := func() (figures, error) { return runBlkmeter(ctx, o.blkmeter, append(slices.Clone(args), c.ours...)) }
	theirs := func() (figures, error) { return runFio(ctx, append(slices.Clone(args), c.theirs...)) }
	if c.theirs == nil {
		theirs = func() (figures, error) { return runBlkmeter(ctx, o.blkmeter, append(slices.Clone(args), c.base...)) }
	}
	for pair := range o.pairs {
		steps := []func() error{
			func() error { f, err := ours(); r.Ours = append(r.Ours, f); return err },
			func() error { f, err := theirs(); r.Theirs = append(r.Theirs, f); return err },
		}
		if pair%2 == 1 {
			slices.Reverse(steps)
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// output runs a command and returns its stdout; the error holds what it said on stderr.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s %v: %w\n%s", name, args, err, exit.Stderr)
	}
	return out, err
}

func runBlkmeter(ctx context.Context, program string, args []string) (figures, error) {
	out, err := output(ctx, program, append([]string{"run", "--output-format=json"}, args...)...)
	if err != nil {
		return figures{}, err
	}
	r, err := report.Load(bytes.NewReader(out))
	if err != nil {
		return figures{}, err
	}
	if len(r.Jobs) != 1 || r.Jobs[0].Read == nil {
		return figures{}, errors.New("the Result has no job that reads")
	}
	read, cpu := r.Jobs[0].Read, r.Jobs[0].CPU
	p99, _ := read.Lat.Value(99)
	return figures{read.IOPS, cpu.UserPerIONS, cpu.SysPerIONS, read.Lat.MeanNS, float64(p99)}, nil
}

func runFio(ctx context.Context, args []string) (figures, error) {
	out, err := output(ctx, "fio", append([]string{"--output-format=json", "--lat_percentiles=1"}, args...)...)
	if err != nil {
		return figures{}, err
	}
	return parseFio(out)
}

// parseFio reads fio's JSON. Its CPU shares are percent of the job's runtime, which with group_reporting is
// the sum over all jobs, as is the CPU time.
func parseFio(out []byte) (figures, error) {
	var doc struct {
		Jobs []struct {
			Read struct {
				IOPS     float64 `json:"iops"`
				TotalIOs float64 `json:"total_ios"`
				LatNS    struct {
					Mean       float64            `json:"mean"`
					Percentile map[string]float64 `json:"percentile"`
				} `json:"lat_ns"`
			} `json:"read"`
			RuntimeMS float64 `json:"job_runtime"`
			UserCPU   float64 `json:"usr_cpu"`
			SysCPU    float64 `json:"sys_cpu"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return figures{}, fmt.Errorf("fio's JSON: %w", err)
	}
	if len(doc.Jobs) != 1 || doc.Jobs[0].Read.TotalIOs == 0 {
		return figures{}, errors.New("fio's JSON has no job that read anything")
	}
	j := &doc.Jobs[0]
	perIO := func(percent float64) float64 { return percent / 100 * j.RuntimeMS * 1e6 / j.Read.TotalIOs }
	return figures{j.Read.IOPS, perIO(j.UserCPU), perIO(j.SysCPU), j.Read.LatNS.Mean, j.Read.LatNS.Percentile["99.000000"]}, nil
}

// quantile returns a value's q-quantile, interpolated linearly.
func quantile(values []float64, q float64) float64 {
	v := slices.Sorted(slices.Values(values))
	at := q * float64(len(v)-1)
	i := int(at)
	if i+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

func median(runs []figures, of func(figures) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = of(r)
	}
	return quantile(values, 0.5)
}

// ratios returns ours/theirs in IOPS, pair by pair.
func (r *result) ratios() []float64 {
	values := make([]float64, len(r.Ours))
	for i := range values {
		values[i] = r.Ours[i].IOPS / r.Theirs[i].IOPS
	}
	return values
}

const nameWidth = 24

// header is the head of the table, which fits 100 columns. Pairs of figures are blkmeter's and the other's.
func header() string {
	return line("", "IOPS", "IOPS ratio,", "user ns", "system ns", "p99 latency") +
		line("case", "blkmeter / fio", "its quartiles", "per I/O", "per I/O", "µs")
}

func line(name, iops, ratio, user, sys, p99 string) string {
	return fmt.Sprintf("%-*s %17s  %-16s %11s %13s %13s\n", nameWidth, name, iops, ratio, user, sys, p99)
}

func (r *result) row() string {
	pair := func(of func(figures) float64, show func(float64) string) string {
		return show(median(r.Ours, of)) + " / " + show(median(r.Theirs, of))
	}
	ratios := r.ratios()
	return line(r.Name,
		pair(func(f figures) float64 { return f.IOPS }, units.Count),
		fmt.Sprintf("%4.2f [%4.2f-%4.2f]", quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75)),
		pair(func(f figures) float64 { return f.UserNS }, short),
		pair(func(f figures) float64 { return f.SysNS }, short),
		pair(func(f figures) float64 { return f.P99NS }, func(ns float64) string {
			if ns == 0 {
				return "-" // not measured
			}
			return short(ns / 1000)
		}))
}

// short prints a figure with as many digits as a narrow column has room for.
func short(v float64) string {
	if v < 10 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}
