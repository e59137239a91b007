package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/spf13/cobra"
)

func newProbeCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Try what this kernel and this process allow the engines to use",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			probes := catalog.Probes()
			if asJSON {
				e := json.NewEncoder(a.stdout)
				e.SetIndent("", "  ")
				return e.Encode(map[string]any{"schema": "blkmeter.probe/1", "probes": probes})
			}
			t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, p := range probes {
				fmt.Fprintf(t, "%s\t%s\t%s\n", p.State, p.Name, p.Why)
				if p.Remedy != "" {
					fmt.Fprintf(t, "\t\tremedy: %s\n", p.Remedy)
				}
			}
			return t.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of a table")
	return cmd
}
