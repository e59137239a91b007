package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/run"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/report/text"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
	"github.com/blkmeter/blkmeter/workloads/preset"
	"github.com/spf13/cobra"
)

func newRunCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [JOBFILE...] [--OPTION=VALUE...]",
		Short: "Put load on devices or files and report what they did",
		Long: `Run puts load on devices or files and reports what they did. Without arguments it measures a scratch file
of its own and removes it.

Reading a device needs nothing; writing to what exists needs --destroy=NAME.

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
		Long: `Fio takes fio's command line and job files, with fio's defaults and output formats; a link to blkmeter
that is named fio does the same. Where fio destroys data by surprise, it refuses and says what to add.

Exit status: 0 done, 1 any failure, 128 interrupted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.runFio(cmd, args)
			var told *toldError
			switch {
			case err == nil:
				return nil
			case !errors.As(err, &told):
				a.tell(fault.Of(err))
				return &toldError{fault.ExitUsage}
			case told.exit == fault.ExitInterrupted:
				return &toldError{fioInterrupted}
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
	if err != nil {
		return err
	}
	switch {
	case settings.Version:
		_, err := fmt.Fprintln(a.stdout, fio.DefaultOptions().Version)
		return err
	case settings.CmdHelp != nil:
		return fiojob.WriteCmdHelp(a.stdout, *settings.CmdHelp)
	case settings.EngHelp != nil:
		return fiojob.WriteEngHelp(a.stdout, *settings.EngHelp)
	case len(plan.Jobs) == 0 && !settings.Help:
		cmd.SetOut(a.stderr)
		return errors.Join(cmd.Help(), &toldError{fault.ExitUsage})
	}
	if len(settings.Formats) == 0 {
		settings.Formats = []string{"normal"}
	}
	return a.runPlan(cmd, plan, settings, true)
}

// runJobs is the run command.
func (a *app) runJobs(cmd *cobra.Command, args []string) error {
	plan, settings, err := fiojob.ParseArgs(args, a.parseOptions())
	if err != nil {
		return err
	}
	if len(plan.Jobs) == 0 {
		plan = preset.Main()
	}
	if len(settings.Formats) == 0 {
		settings.Formats = []string{"text"}
	}
	return a.runPlan(cmd, plan, settings, false)
}

// runPlan does what was parsed.
func (a *app) runPlan(cmd *cobra.Command, plan *workloads.Plan, settings *fiojob.Settings, asFio bool) error {
	switch {
	case settings.Help:
		return cmd.Help()
	case settings.ShowCommand:
		_, err := fmt.Fprintln(a.stdout, strings.Join(settings.Command, " "))
		return err
	case settings.ParseOnly:
		return nil
	}
	write, err := a.writer(settings, asFio)
	if err != nil {
		return err
	}
	status := newProgress(a.stderr, a.env, settings.ETA)
	result, err := run.Run(cmd.Context(), plan, run.Options{
		Tool: tool(), Command: a.args, Env: a.env, Say: status.say, Progress: status.show, Overwrite: asFio,
		Explain: settings.Explain, DumpDir: settings.AuxPath,
	})
	status.clear()
	if err != nil {
		return err
	}
	if err := a.deliver(result, settings.Output, write); err != nil {
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

// writer returns what renders a Result in the formats asked for. json alone is the Result itself; in fio's
// clothes, or in a list with fio's other formats, it is fio's.
func (a *app) writer(settings *fiojob.Settings, asFio bool) (func(io.Writer, *report.Result) error, error) {
	names := settings.Formats
	switch {
	case len(names) == 1 && names[0] == "text":
		o := a.textOptions(settings.Output)
		return func(w io.Writer, r *report.Result) error { return text.Write(w, r, o) }, nil
	case len(names) == 1 && names[0] == "json" && !asFio:
		return report.Write, nil
	case slices.Contains(names, "text"):
		return nil, fault.Usage("OUTPUT_FORMAT", "ask for text alone, or for fio's formats", "output format text does not go with others")
	}
	formats, err := fio.ParseFormat(strings.Join(names, ","))
	if err != nil {
		return nil, err
	}
	return func(w io.Writer, r *report.Result) error {
		o := fio.OptionsOf(r)
		o.TerseVersion, o.Banner = settings.TerseVersion, true
		return fio.Write(w, r, formats, o)
	}, nil
}

// deliver writes the Result to the file or to stdout.
func (a *app) deliver(r *report.Result, path string, write func(io.Writer, *report.Result) error) error {
	if path == "" || path == "-" {
		if err := write(a.stdout, r); err != nil {
			return fault.Wrap(err, fault.ExitIO, "OUTPUT", "", "cannot write the Result to stdout")
		}
		return nil
	}
	return report.SaveFile(path, func(w io.Writer) error { return write(w, r) })
}

// warn prints a warning for a person.
func (a *app) warn(w workloads.Warning) {
	fmt.Fprintf(a.stderr, "warning: %s [%s]\n", w.Sentence, w.Code)
	if w.Hint != "" {
		fmt.Fprintf(a.stderr, "  hint: %s\n", w.Hint)
	}
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
