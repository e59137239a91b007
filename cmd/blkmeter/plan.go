package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/prose"
	"github.com/blkmeter/blkmeter/internal/run"
	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
	"github.com/spf13/cobra"
)

func newPlanCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan [--json] [JOBFILE...] [OPTION...]",
		Short: "Show what a run would do, without touching a device",
		Long: `plan shows what blkmeter run would do with the same job files and options:
resolved jobs, targets, regions and their overlaps, bytes to be written,
workers and CPUs, memory and duration. No device or file is opened.

--json prints the same as JSON.`,
		Example: "  blkmeter plan job.fio\n  blkmeter plan --filename=/dev/nvme0n1 --rw=randread --numjobs=4 --offset_increment=25%",
	}
	bindJobOptions(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		asJSON := slices.Contains(args, "--json")
		args = slices.DeleteFunc(slices.Clone(args), func(s string) bool { return s == "--json" })
		plan, settings, err := fiojob.ParseArgs(args, a.parseOptions())
		if err != nil {
			return err
		}
		if done, err := a.answer(cmd, settings, "blkmeter plan"); done || err != nil {
			return err
		}
		if len(plan.Jobs) == 0 {
			return fault.Usage("NO_JOBS", "name a job file or give options, as for blkmeter run", "there is nothing to plan")
		}
		for i := range plan.Jobs {
			found, err := run.FindFiles(&plan.Jobs[i])
			if err != nil {
				return err
			}
			plan.Jobs[i] = *found
		}
		forecast, err := plan.Forecast(targetBytes)
		if err != nil {
			return err
		}
		if asJSON {
			encoder := json.NewEncoder(a.stdout)
			encoder.SetIndent("", "  ")
			return encoder.Encode(forecast)
		}
		return writeForecast(a.stdout, forecast)
	}
	return cmd
}

// targetBytes returns the size of a file, or that of a block device as sysfs tells it, without opening
// either; 0 when there is none.
func targetBytes(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if info.Mode().IsRegular() {
		return info.Size()
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return 0
	}
	name := filepath.Base(resolved)
	if namespace, ok := strings.CutPrefix(name, "ng"); ok { // its character device
		name = "nvme" + namespace
	}
	text, err := os.ReadFile(filepath.Join("/sys/class/block", name, "size"))
	if err != nil {
		return 0
	}
	const sectorBytes = 512 // sysfs counts in these whatever the device's blocks are
	sectors, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return sectors * sectorBytes
}

// mostExtents is how many of a job's regions the text lists.
const mostExtents = 8

func writeForecast(out io.Writer, f *workloads.Forecast) error {
	var b strings.Builder
	stage := -1
	for i := range f.Jobs {
		j := &f.Jobs[i]
		if j.Stage != stage {
			stage = j.Stage
			if f.Jobs[len(f.Jobs)-1].Stage > 0 {
				fmt.Fprintf(&b, "stage %d\n", stage+1)
			}
		}
		writeJob(&b, j)
	}
	for _, o := range f.Overlaps {
		verb := "read"
		if o.Writes {
			verb = "read and write"
		}
		b.WriteString(prose.Wrap("overlap: ", fmt.Sprintf("up to %d workers of %s %s bytes %d to %d of %s at the same time",
			o.Workers, strings.Join(o.Jobs, ", "), verb, o.Low, o.High, o.Path)))
	}
	fmt.Fprintf(&b, "workers: %d, at most %d at a time; I/O buffers: %s\n", f.Workers, f.MostWorkers, units.Bytes(f.MemoryBytes))
	unbounded := ""
	if !f.AmountBounded {
		unbounded = ", and what jobs of unknown amount add"
	}
	fmt.Fprintf(&b, "to be written: %s, to be trimmed: %s%s\n", units.Bytes(f.WriteBytes), units.Bytes(f.TrimBytes), unbounded)
	switch length := time.Duration(f.DurationNS); {
	case f.DurationKnown:
		fmt.Fprintf(&b, "duration: %s\n", length)
	case length > 0:
		b.WriteString(prose.Wrap("duration: ", fmt.Sprintf("at most %s for the jobs with a runtime; until their work is done for the others", length)))
	default:
		b.WriteString("duration: until the work is done\n")
	}
	for _, w := range f.Warnings {
		b.WriteString(prose.Wrap("warning: ", fmt.Sprintf("%s [%s]", w.Sentence, w.Code)))
	}
	_, err := io.WriteString(out, prose.Printable(b.String()))
	return err
}

func writeJob(b *strings.Builder, j *workloads.JobForecast) {
	blocks := units.Bytes(j.BlockBytes[0])
	if j.BlockBytes[1] != j.BlockBytes[0] {
		blocks += " to " + units.Bytes(j.BlockBytes[1])
	}
	buffered := "direct"
	if !j.Direct {
		buffered = "buffered"
	}
	fmt.Fprintf(b, "job %s: %s in blocks of %s, %s, depth %d, %s\n", j.Name, j.RW, blocks, j.Engine, j.IODepth, buffered)
	cpus := "placed by " + j.Placement
	if j.CPUs != nil {
		cpus = "on CPUs " + strings.Trim(fmt.Sprint(j.CPUs), "[]")
	}
	fmt.Fprintf(b, "  workers: %d, %s; I/O buffers: %s\n", j.Clones, cpus, units.Bytes(j.MemoryBytes))
	for _, r := range j.Replay {
		when := "as fast as the depth allows"
		if r.DurationNS > 0 {
			when = "over " + time.Duration(r.DurationNS).String()
		}
		fmt.Fprintf(b, "  clone %d replays %s: %d reads, %d writes, %d trims and %d syncs, %s\n", r.Clone, r.Log, r.Reads, r.Writes, r.Trims, r.Syncs, when)
	}
	switch length := time.Duration(j.RuntimeNS); {
	case j.TimeBased && j.RampBytes > 0:
		fmt.Fprintf(b, "  time: %s after a ramp of %s\n", length, units.Bytes(j.RampBytes))
	case j.TimeBased:
		fmt.Fprintf(b, "  time: %s after %s of ramp and delay\n", length, time.Duration(j.RampNS))
	case length > 0:
		fmt.Fprintf(b, "  time: until its work is done, at most %s\n", length)
	}
	for _, what := range []struct{ does, with string }{
		{"before it, runs", j.Prerun}, {"after it, runs", j.Postrun}, {"meanwhile sets the scheduler to", j.IOScheduler},
	} {
		if what.with != "" {
			fmt.Fprintf(b, "  %s: %s\n", what.does, what.with)
		}
	}
	for _, how := range j.Control {
		fmt.Fprintf(b, "  load: %s\n", how)
	}
	for _, part := range []struct {
		verb  string
		bytes int64
	}{{"reads", j.ReadBytes}, {"writes", j.WriteBytes}, {"trims", j.TrimBytes}} {
		switch {
		case part.bytes < 0:
			fmt.Fprintf(b, "  %s: %s\n", part.verb, j.Uncertainty)
		case part.bytes > 0 && part.bytes < j.ReadBytes+j.WriteBytes && j.TrimBytes == 0:
			fmt.Fprintf(b, "  %s: about %s\n", part.verb, units.Bytes(part.bytes)) // a share that is drawn
		case part.bytes > 0:
			fmt.Fprintf(b, "  %s: %s (%d bytes)\n", part.verb, units.Bytes(part.bytes), part.bytes)
		}
	}
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for i, e := range j.Regions {
		if i == mostExtents {
			fmt.Fprintf(table, "  ... and %d more regions\n", len(j.Regions)-i)
			break
		}
		if e.High == 0 {
			fmt.Fprintf(table, "  clone %d\t%s\tits size is not known\n", e.Clone, e.Path)
			continue
		}
		fmt.Fprintf(table, "  clone %d\t%s\tbytes %d to %d\t%s\n", e.Clone, e.Path, e.Low, e.High, units.Bytes(e.High-e.Low))
	}
	table.Flush() // into a Builder, which cannot fail
}
