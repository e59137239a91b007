package main

import (
	"errors"
	"fmt"

	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/journal"
	"github.com/blkmeter/blkmeter/internal/nullblk"
	"github.com/spf13/cobra"
)

func newCleanCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Remove what a killed blkmeter left behind on the system",
		Long: `Remove the System V semaphores and null_blk devices of blkmeter processes that
were killed before they could remove them themselves, and the module null_blk
if they loaded it. What living processes use, and what blkmeter did not make,
is left alone.

Exit status: 0 done, also when there was nothing to do; 7 something could not
be removed.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runClean(a) },
	}
}

func runClean(a *app) error {
	dir := journal.Dir(a.env)
	leaks, err := lock.Clean(dir)
	for _, l := range leaks {
		if l.Gone {
			fmt.Fprintf(a.stdout, "forgot semaphore set %#x of process %d, which was gone already\n", l.Key, l.PID)
		} else {
			fmt.Fprintf(a.stdout, "removed semaphore set %#x of process %d\n", l.Key, l.PID)
		}
	}
	removed, nullErr := nullblk.RemoveOrphans(dir)
	for _, what := range removed {
		fmt.Fprintln(a.stdout, what)
	}
	if err := errors.Join(err, nullErr); err != nil {
		return fault.Wrap(err, fault.ExitEnvironment, "NOT_CLEANED", "the records are in "+dir, "not everything could be cleaned")
	}
	if len(leaks)+len(removed) == 0 {
		fmt.Fprintln(a.stdout, "nothing was left behind")
	}
	return nil
}
