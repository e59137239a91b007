package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/prose"
	"github.com/spf13/cobra"
)

// app is everything a command touches outside its own flags.
type app struct {
	args   []string // os.Args
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	env    func(string) string
	loop   string // path of the loop device that blkmeter loop lends to jobs without a target; empty: none
}

// execute runs the command line and returns the exit code.
func execute(a *app) int {
	// Whoever read the output may go away before the end (blkmeter run ... | head): that ends a run as a signal from
	// the keyboard does, so that devices get their settings back.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	root := newRootCommand(a)
	args := a.args[1:]
	if filepath.Base(a.args[0]) == "fio" {
		args = append([]string{"fio"}, args...)
	}
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return fault.ExitDone
	}
	var told *toldError
	switch {
	case errors.As(err, &told):
		return told.exit
	case errors.Is(err, syscall.EPIPE):
		return fault.ExitNoReader // in silence, as other programs go
	}
	e := fault.Of(err)
	a.tell(e)
	return e.Exit
}

// tell prints an error for a person.
func (a *app) tell(e *fault.Error) {
	a.say("blkmeter", e.Error(), e.Code, e.Hint)
}

// say prints a sentence with its code and what to do about it.
func (a *app) say(who, sentence, code, hint string) {
	fmt.Fprintf(a.stderr, "%s: %s [%s]\n", who, prose.Printable(sentence), code)
	if hint != "" {
		fmt.Fprintf(a.stderr, "  hint: %s\n", prose.Printable(hint))
	}
}

// toldError carries an exit code for a failure that was already reported in the command's own output.
type toldError struct{ exit int }

func (e *toldError) Error() string { return fmt.Sprintf("exit code %d", e.exit) }

func newRootCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "blkmeter",
		Short:         "A fio-like benchmark for NVMe and other block devices that proves what it measured",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			hint := "blkmeter help lists the commands"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "? " + hint
			}
			return fault.Usage("UNKNOWN_COMMAND", hint, "there is no command %q", args[0])
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fault.Usage("BAD_FLAG", "blkmeter help lists the commands; blkmeter COMMAND --help its flags", "%v", err)
	})
	cmd.AddCommand(newRunCommand(a), newFioCommand(a), newPlanCommand(a), newReportCommand(a), newDevicesCommand(a), newProbeCommand(a), newClaimsCommand(a), newLocksCommand(a), newCleanCommand(a), newRestoreCommand(a), newLoopCommand(a))
	return cmd
}
