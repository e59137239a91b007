package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/internal/prose"
	"github.com/blkmeter/blkmeter/internal/run"
	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/spf13/cobra"
)

func newProbeCommand(a *app) *cobra.Command {
	var asJSON, ceiling bool
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Try what this kernel and this process allow the engines to use",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if ceiling {
				return a.ceilings(asJSON)
			}
			probes := catalog.Probes()
			if asJSON {
				e := json.NewEncoder(a.stdout)
				e.SetIndent("", "  ")
				return e.Encode(map[string]any{"schema": "blkmeter.probe/1", "probes": probes})
			}
			var b strings.Builder
			for _, p := range probes {
				answer := p.Name
				if p.Why != "" {
					answer += ": " + p.Why
				}
				b.WriteString(prose.Wrap(fmt.Sprintf("%-9s", p.State), answer))
				if p.Remedy != "" {
					b.WriteString(prose.Wrap(fmt.Sprintf("%-9s", ""), "remedy: "+p.Remedy))
				}
			}
			_, err := io.WriteString(a.stdout, b.String())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of a table")
	cmd.Flags().BoolVar(&ceiling, "ceiling", false, "measure what blkmeter itself can do on one CPU, without any I/O")
	return cmd
}

// ceilingTime is how long each ceiling is measured.
const ceilingTime = 500 * time.Millisecond

// ceilings measures and prints the loop's own limits.
func (a *app) ceilings(asJSON bool) error {
	var all []run.Ceiling
	for _, engine := range []string{catalog.Null, catalog.Nop} {
		for _, depth := range []int{1, 32, 128} {
			c, err := run.MeasureCeiling(engine, depth, nil, ceilingTime)
			if err != nil {
				return err
			}
			all = append(all, c)
		}
	}
	if asJSON {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"schema": "blkmeter.ceiling/1", "ceilings": all})
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "queue\tdepth\tIOPS\tuser ns/IO\tsystem ns/IO\t")
	for _, c := range all {
		fmt.Fprintf(t, "%s\t%d\t%s\t%.1f\t%.1f\t\n", c.Engine, c.IODepth, units.Count(c.IOPS), c.UserNS, c.SystemNS)
	}
	return t.Flush()
}
