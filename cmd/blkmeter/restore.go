package main

import (
	"fmt"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/journal"
	"github.com/spf13/cobra"
)

func newRestoreCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "restore",
		Short: "Bring back queue settings that a killed run could not restore",
		Long: `A run with --set restores the settings when it ends, fails or is interrupted.
When it is killed (SIGKILL, out of memory) this command does it, from the
journal that the run kept.

Exit status: 0 done or nothing to do, 7 something could not be restored.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			restored, err := device.RestoreOrphans("", journal.Dir(a.env))
			for _, c := range restored {
				fmt.Fprintf(a.stdout, "%s %s: %s -> %s\n", c.Disk, c.Name, c.New, c.Old)
			}
			if err != nil {
				return fault.Wrap(err, fault.ExitEnvironment, "RESTORE", "run it as the user who made the changes, usually root", "not everything could be restored")
			}
			if len(restored) == 0 {
				fmt.Fprintln(a.stdout, "nothing to restore")
			}
			return nil
		},
	}
}
