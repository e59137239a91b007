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
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/report"
)

// alone is a figure of blkmeter's own, without a fio beside it.
type alone struct {
	Name   string    `json:"name"`
	Goal   string    `json:"goal"`
	Values []float64 `json:"values"`
	show   func(float64) string
}

const (
	manyWorkers = 64
	manyDepth   = 256
	manyBytes   = manyWorkers * manyDepth * 4096 // of I/O buffers
)

// allAlone are the figures in the order in which measureAlone fills them.
func allAlone() []alone {
	return []alone{
		{Name: "no-op ring QD32", Goal: ">= 10 M/s", show: func(v float64) string { return units.Count(v) + "/s" }},
		{
			Name: "64 workers x QD256", Goal: "<= 200 MiB resident beside the I/O buffers",
			show: func(v float64) string { return units.Bytes(int64(v)) },
		},
		{
			Name: "the same, first I/O", Goal: "<= 100 ms after the program's start",
			show: units.Nanoseconds,
		},
	}
}

// measureAlone runs what has no counterpart in fio as often as there are pairs: the loop on a ring of no-ops,
// and what 64 workers at depth 256 take until their first I/O.
func measureAlone(ctx context.Context, o options, device func() (string, error)) ([]alone, error) {
	all := allAlone()
	ring, memory, first := &all[0], &all[1], &all[2]
	wanted := func(a *alone) bool { return o.cases.MatchString(a.Name) }
	for range o.pairs {
		if wanted(ring) {
			iops, err := noOpRing(ctx, o.blkmeter)
			if err != nil {
				return nil, err
			}
			ring.Values = append(ring.Values, iops)
		}
		if wanted(memory) || wanted(first) {
			path, err := device()
			if err != nil {
				return nil, err
			}
			bytes, wait, err := startMany(ctx, o.blkmeter, path)
			if err != nil {
				return nil, err
			}
			memory.Values = append(memory.Values, bytes)
			first.Values = append(first.Values, wait)
		}
	}
	return slices.DeleteFunc(all, func(a alone) bool { return !wanted(&a) }), nil
}

// noOpRing returns the rate of the worker's loop on a ring whose requests do nothing.
func noOpRing(ctx context.Context, program string) (float64, error) {
	out, err := output(ctx, program, "probe", "--ceiling", "--json")
	if err != nil {
		return 0, err
	}
	var probe struct {
		Ceilings []struct {
			Engine  string  `json:"engine"`
			IODepth int     `json:"iodepth"`
			IOPS    float64 `json:"iops_per_s"`
		} `json:"ceilings"`
	}
	if err := json.Unmarshal(out, &probe); err != nil {
		return 0, fmt.Errorf("the probe's JSON: %w", err)
	}
	for _, c := range probe.Ceilings {
		if c.Engine == "io_uring no-op" && c.IODepth == 32 {
			return c.IOPS, nil
		}
	}
	return 0, errors.New("the probe has no no-op ring of depth 32")
}

// startMany starts many workers on deep queues and returns the most memory that the program had resident,
// less its I/O buffers, and the nanoseconds from its start to the start of its measured window.
func startMany(ctx context.Context, program, path string) (residentBytes, firstNS float64, err error) {
	cmd := exec.CommandContext(ctx, program, "run", "--output-format=json", "--filename="+path, "--rw=randread", "--bs=4k", "--direct=1",
		"--ioengine=io_uring", "--numjobs="+strconv.Itoa(manyWorkers), "--iodepth="+strconv.Itoa(manyDepth), "--group_reporting",
		"--time_based", "--runtime=200ms")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	started := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("%d workers: %w\n%s", manyWorkers, err, said.Bytes())
	}
	r, err := report.Load(&out)
	if err != nil {
		return 0, 0, err
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok || len(r.Jobs) != 1 {
		return 0, 0, errors.New("the Result or the process's usage of memory is not there")
	}
	window := r.StartedAt.Add(time.Duration(r.Jobs[0].StartNS))
	return float64(usage.Maxrss)*1024 - manyBytes, float64(window.Sub(started)), nil
}

func (a *alone) row() string {
	return fmt.Sprintf("%-*s %17s  [%s-%s]\n", nameWidth, a.Name, a.show(quantile(a.Values, 0.5)),
		a.show(quantile(a.Values, 0.25)), a.show(quantile(a.Values, 0.75)))
}
