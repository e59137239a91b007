package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/run"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/text"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
	"github.com/blkmeter/blkmeter/workloads/preset"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newRunCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "run [JOBFILE...] [--OPTION=VALUE...]",
		Short: "Put load on devices or files and report what they did",
		// fio's grammar is not pflag's: -rw=x, options that belong to the job before them, repeated --name.
		DisableFlagParsing: true,
		ValidArgsFunction:  completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runJobs(cmd.Context(), args)
		},
	}
}

// runJobs is the run command.
func (a *app) runJobs(ctx context.Context, args []string) error {
	plan, settings, err := fiojob.ParseArgs(args, a.parseOptions())
	if err != nil {
		return err
	}
	switch {
	case settings.Help:
		return runHelp(a.stdout)
	case settings.ParseOnly:
		return nil
	}
	if len(plan.Jobs) == 0 {
		plan = preset.Main()
	}
	formats := settings.Formats
	if len(formats) == 0 {
		formats = []string{"text"}
	}
	write, err := a.writer(formats)
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
	status := newProgress(a.stderr, a.env)
	result, err := run.Run(ctx, plan, run.Options{
		Tool: tool(), Command: a.args, Env: a.env, Say: status.say, Progress: status.show,
		Explain: settings.Explain, NoIdle: settings.NoIdle, Set: set,
	})
	status.clear()
	if err != nil {
		return err
	}
	if err := a.deliver(result, settings.Output, write); err != nil {
		return err
	}
	for _, w := range result.Warnings {
		a.warn(w)
	}
	if result.Error != nil {
		a.tell(&fault.Error{Code: result.Error.Code, Sentence: result.Error.Sentence, Hint: result.Error.Hint})
	}
	if result.ExitCode != fault.ExitDone {
		return &toldError{result.ExitCode}
	}
	return nil
}

// parseOptions is what job files may refer to.
func (a *app) parseOptions() fiojob.ParseOptions {
	return fiojob.ParseOptions{
		Stdin: a.stdin, Env: a.env, NCPUs: runtime.NumCPU(), PageBytes: os.Getpagesize(), MemoryBytes: device.MemoryBytes(""),
	}
}

// writer returns what renders a Result in the formats asked for.
func (a *app) writer(formats []string) (func(io.Writer, *report.Result) error, error) {
	if len(formats) != 1 || !slices.Contains([]string{"text", "json"}, formats[0]) {
		return nil, fault.Usage("OUTPUT_FORMAT", "use --output-format=text or json", "output format %v is not supported", formats)
	}
	if formats[0] == "json" {
		return report.Write, nil
	}
	return func(w io.Writer, r *report.Result) error {
		return text.Write(w, r, text.Options{Width: a.width(), Color: a.color(w)})
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

// width is the terminal's, 80 when there is none.
func (a *app) width() int {
	if f, ok := a.stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// color says whether w is a terminal that wants it (no-color.org).
func (a *app) color(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"
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

// completeRun completes option names and their values in fio's grammar.
func completeRun(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(word) == 0 || word[0] != '-' {
		return nil, cobra.ShellCompDirectiveDefault // a job file
	}
	return fiojob.Complete(word), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// runHelp prints the help of run from the option table.
func runHelp(w io.Writer) error {
	if _, err := io.WriteString(w, runUsage); err != nil {
		return err
	}
	return fiojob.WriteHelp(w)
}

const runUsage = `Usage: blkmeter run [JOBFILE...] [--OPTION=VALUE...]

Without arguments it measures a scratch file of its own and removes it.
Reading a device needs nothing; writing to what exists needs --destroy=NAME.

Exit status: 0 done, 1 usage or configuration, 2 target refused, 3 I/O error,
4 verification mismatch, 7 the system lacks something, 130 interrupted.

`
