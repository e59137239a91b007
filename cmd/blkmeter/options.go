package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
	"github.com/spf13/cobra"
)

// bindJobOptions lets a command take fio's command line: its grammar is not that of pflag, so the command gets
// its arguments unread and hands them to fiojob.ParseArgs. Help and completion come from the option table.
func bindJobOptions(cmd *cobra.Command) {
	cmd.DisableFlagParsing = true
	cmd.DisableFlagsInUseLine = true
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		cmd.Println(cmd.Long)
		cmd.Println()
		cmd.Printf("Usage:\n  %s\n\n", cmd.UseLine())
		if err := fiojob.WriteHelp(cmd.OutOrStdout()); err != nil {
			cmd.PrintErrln(err)
		}
	})
	cmd.ValidArgsFunction = func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		if !strings.HasPrefix(word, "-") {
			return nil, cobra.ShellCompDirectiveDefault // job files
		}
		list := fiojob.Complete(word)
		directive := cobra.ShellCompDirectiveNoFileComp
		if len(list) == 1 && strings.Contains(list[0], "=\t") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return list, directive
	}
}

// answer does what a command line asks for instead of a run: help, the version, a description of options or engines, the
// jobs as a command line of program, or nothing but reading them. done is false when it asks for none of it.
func (a *app) answer(cmd *cobra.Command, s *fiojob.Settings, program string) (done bool, err error) {
	switch {
	case s.Help:
		return true, cmd.Help()
	case s.Version:
		_, err := fmt.Fprintln(a.stdout, "blkmeter", tool().Version)
		return true, err
	case s.CmdHelp != nil:
		return true, fiojob.WriteCmdHelp(a.stdout, *s.CmdHelp)
	case s.EngHelp != nil:
		return true, fiojob.WriteEngHelp(a.stdout, *s.EngHelp)
	case s.ShowCommand:
		_, err := fmt.Fprintln(a.stdout, fiojob.ShellCommand(program, s.Command))
		return true, err
	}
	return s.ParseOnly, nil
}

// parseOptions is what reading jobs needs to know of this machine.
func (a *app) parseOptions() fiojob.ParseOptions {
	return fiojob.ParseOptions{
		Stdin: a.stdin, Env: a.env, NCPUs: runtime.NumCPU(), PageBytes: os.Getpagesize(), MemoryBytes: device.MemoryBytes(""),
	}
}
