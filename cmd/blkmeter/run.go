package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/run"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/report/fiolog"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
	"github.com/blkmeter/blkmeter/workloads/preset"
	"github.com/spf13/cobra"
)

func newRunCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [JOBFILE...] [--OPTION=VALUE...]",
		Short: "Put load on devices or files and report what they did",
		Long: `Run puts load on devices or files and reports what they did. Without arguments
it measures a scratch file of its own and removes it.

Reading a device needs nothing; writing to what exists needs --destroy=NAME.

SIGUSR1 prints the figures so far, and the run goes on.

Exit status: 0 done, 1 usage or configuration, 2 target refused, 3 I/O error,
4 verification mismatch, 5 a rate or latency was missed, 6 steady state was not
reached, 7 the system lacks something, 130 interrupted.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runJobs(cmd, args) },
	}
	bindJobOptions(cmd)
	return cmd
}

// newFioCommand is run in fio's clothes: its defaults, its output, its exit codes. A link to the program named
// fio comes here, too.
func newFioCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fio [JOBFILE...] [--OPTION=VALUE...]",
		Short: "Do what fio does with this command line",
		Long: `Fio takes fio's command line and job files, with fio's defaults and output
formats; a link to blkmeter that is named fio does the same. Where fio destroys
data by surprise, it refuses and says what to add.

Exit status: 0 done, 1 any failure, 128 interrupted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.runFio(cmd, args)
			var told *toldError
			switch {
			case err == nil, errors.Is(err, syscall.EPIPE):
				return err
			case !errors.As(err, &told):
				a.tell(fault.Of(err))
				return &toldError{fault.ExitUsage}
			case told.exit == fault.ExitInterrupted:
				return &toldError{fioInterrupted}
			case told.exit == fault.ExitNotReached: // to fio, that is an answer like the other
				return nil
			}
			return &toldError{fault.ExitUsage}
		},
	}
	bindJobOptions(cmd)
	return cmd
}

// fioInterrupted is the exit code of a fio that a signal ended.
const fioInterrupted = 128

// runFio parses a command line as fio does and runs it.
func (a *app) runFio(cmd *cobra.Command, args []string) error {
	o := a.parseOptions()
	o.Fio = true
	plan, settings, err := fiojob.ParseArgs(args, o)
	switch {
	case err != nil && len(args) == 0:
		cmd.SetOut(a.stderr)
		return errors.Join(cmd.Help(), err)
	case err != nil:
		return err
	case settings.Version:
		_, err := fmt.Fprintln(a.stdout, fio.DefaultOptions().Version)
		return err
	}
	if done, err := a.answer(cmd, settings, "fio"); done || err != nil {
		return err
	}
	if len(settings.Formats) == 0 {
		settings.Formats = []string{"normal"}
	}
	return a.runPlan(cmd.Context(), plan, settings, true)
}

// runJobs is the run command.
func (a *app) runJobs(cmd *cobra.Command, args []string) error {
	plan, settings, err := fiojob.ParseArgs(args, a.parseOptions())
	if err != nil {
		return err
	}
	if done, err := a.answer(cmd, settings, "blkmeter run"); done || err != nil {
		return err
	}
	if len(plan.Jobs) == 0 {
		plan = preset.Main()
	}
	if a.loop != "" {
		lendLoop(plan, a.loop)
	}
	switch {
	case len(settings.Formats) == 0 && settings.AppendTerse:
		settings.Formats = []string{"normal"}
	case len(settings.Formats) == 0:
		settings.Formats = []string{"text"}
	}
	return a.runPlan(cmd.Context(), plan, settings, false)
}

// runPlan runs what was parsed and writes its documents.
func (a *app) runPlan(ctx context.Context, plan *workloads.Plan, settings *fiojob.Settings, asFio bool) error {
	if settings.AppendTerse && !slices.Contains(settings.Formats, "terse") {
		settings.Formats = append(settings.Formats, "terse")
	}
	out, err := a.newDocuments(settings, asFio)
	if err == nil {
		err = out.refuseTargets(plan)
	}
	if err != nil {
		return err
	}
	var set []device.Setting
	for _, text := range settings.Set {
		s, err := device.ParseSetting(text)
		if err != nil {
			return err
		}
		set = append(set, s)
	}
	var bandwidth *fiolog.Aggregate
	if log := settings.BandwidthLog; log.Want {
		if bandwidth, err = fiolog.OpenAggregate(cmp.Or(log.Prefix, "agg"), fiolog.Create); err != nil {
			return err
		}
	}
	soFar := startInterim(settings.StatusInterval, out)
	status := newProgress(a.stderr, a.env, settings)
	result, err := run.Run(ctx, plan, run.Options{
		Tool: tool(), Command: a.args, Env: a.env, Say: status.say, Progress: status.show, Overwrite: asFio, GoOn: asFio,
		Explain: settings.Explain, IdleCPUs: run.IdleCPUs(settings.IdleProfile), Ask: soFar.ask, Interim: soFar.take,
		NoIdle: settings.NoIdle, Set: set, DumpDir: settings.AuxPath,
	})
	status.clear()
	if e := soFar.end(); err == nil {
		err = e
	}
	if err == nil {
		err = out.add(result, 0)
	}
	if bandwidth != nil {
		if e := bandwidth.Close(result); err == nil {
			err = e
		}
	}
	if err != nil {
		return err
	}
	if settings.Formats[0] != "text" || settings.Output != "" {
		// The text says these itself; whoever reads another format is told here.
		for _, w := range result.Warnings {
			a.warn(w)
		}
	}
	if result.Error != nil {
		a.tell(&fault.Error{Code: result.Error.Code, Sentence: result.Error.Sentence, Hint: result.Error.Hint})
	}
	if result.ExitCode != fault.ExitDone {
		return &toldError{result.ExitCode}
	}
	return nil
}

// warn prints a warning for a person.
func (a *app) warn(w workloads.Warning) {
	a.say("warning", w.Sentence, w.Code, w.Hint)
}

// version is what --version prints: the module's version and the commit it was built from.
func version() string {
	t := tool()
	return strings.TrimSpace(t.Version + " " + t.Commit)
}

// tool says which program this is.
func tool() report.Tool {
	t := report.Tool{Name: "blkmeter", Version: "devel", Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			t.Version = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				t.Commit = s.Value
			}
		}
	}
	return t
}
