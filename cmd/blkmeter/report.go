package main

import (
	"bytes"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/blkmeter/blkmeter/internal/claims"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/report/text"
)

// reportConfig is what the report command was asked for.
type reportConfig struct {
	format       string
	output       string
	terseVersion int
}

func newReportCommand(a *app) *cobra.Command {
	var c reportConfig
	cmd := &cobra.Command{
		Use:   "report [flags] RESULT.json...",
		Short: "Render saved results again, as text or in fio's formats",
		Long: `Render saved results again, as text or in fio's formats.

A result is what blkmeter run writes with --output-format=json; "-" is read from
standard input. Several results are rendered one after another, except as json.
A document of blkmeter claims run is rendered as text or json, with all verdicts
computed again from its blocks.

Exit codes: 0 done, 1 usage or a file that is no result, 3 the output cannot be
written.`,
		Example: `  blkmeter report result.json
  blkmeter report --format=fio-json+ --output=fio.json result.json`,
		RunE: func(_ *cobra.Command, args []string) error { return a.report(c, args) },
	}
	cmd.Flags().StringVar(&c.format, "format", "text", "text, json, fio-json, fio-json+, fio-terse or fio-normal; fio's may be a list: fio-terse,fio-json")
	cmd.Flags().StringVarP(&c.output, "output", "o", "", "write to this file instead of standard output")
	cmd.Flags().IntVar(&c.terseVersion, "terse-version", 3, "version of fio-terse, 2 to 5")
	return cmd
}

// report is the report command.
func (a *app) report(c reportConfig, paths []string) error {
	if len(paths) == 0 {
		return fault.Usage("NO_RESULT", "name the files that blkmeter run --output-format=json wrote", "no result to report")
	}
	if c.format == "json" && len(paths) > 1 {
		return fault.Usage("ONE_RESULT", "give the results one by one", "the json format is one document and takes one result, not %d", len(paths))
	}
	render, err := a.renderer(c)
	if err != nil {
		return err
	}
	// All are read before the first is rendered: a bad one leaves no half output.
	var writers []func(io.Writer) error
	for _, path := range paths {
		text, err := a.read(path)
		if err != nil {
			return err
		}
		if claims.IsDocument(text) {
			write, err := renderClaims(c, path, text)
			if err != nil {
				return err
			}
			writers = append(writers, write)
			continue
		}
		r, err := report.Load(bytes.NewReader(text))
		if err != nil {
			e := fault.Of(err)
			return fault.Wrap(e.Err, e.Exit, e.Code, e.Hint, "%s: %s", path, e.Sentence)
		}
		writers = append(writers, func(w io.Writer) error { return render(w, r) })
	}
	write := func(w io.Writer) error {
		for _, each := range writers {
			if err := each(w); err != nil {
				return err
			}
		}
		return nil
	}
	if c.output != "" && c.output != "-" {
		return report.SaveFile(c.output, write)
	}
	if err := write(a.stdout); err != nil {
		return fault.Wrap(err, fault.ExitIO, "OUTPUT_FAILED", "", "cannot write the report")
	}
	return nil
}

// read returns what a file, or standard input for "-", holds, cut off beyond what a document may have.
func (a *app) read(path string) ([]byte, error) {
	const code, hint = "RESULT_UNREADABLE", "name a file written by blkmeter run --output"
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fault.Wrap(err, fault.ExitUsage, code, hint, "cannot read the result")
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, report.MaxBytes+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.ExitUsage, code, hint, "cannot read the result")
	}
	return text, nil
}

// renderClaims judges a document of claims again and returns what writes it.
func renderClaims(c reportConfig, path string, text []byte) (func(io.Writer) error, error) {
	doc, err := claims.Load(bytes.NewReader(text))
	if err != nil {
		return nil, fault.Wrap(err, fault.ExitUsage, "BAD_RESULT", "", "%s is no document of claims", path)
	}
	doc.Judge()
	switch c.format {
	case "text":
		return doc.Text, nil
	case "json":
		return doc.Save, nil
	}
	return nil, fault.Usage("BAD_FORMAT", "use --format=text or json", "%s holds verdicts on claims, which have no format %s", path, c.format)
}

// renderer returns what writes a Result in a format.
func (a *app) renderer(c reportConfig) (func(io.Writer, *report.Result) error, error) {
	switch {
	case c.format == "text":
		o := a.textOptions(c.output)
		return func(w io.Writer, r *report.Result) error { return text.Write(w, r, o) }, nil
	case c.format == "json":
		return report.Write, nil
	case c.terseVersion < 2 || c.terseVersion > 5:
		return nil, fault.Usage("BAD_FLAG", "fio knows versions 2 to 5", "there is no terse version %d", c.terseVersion)
	}
	var names []string
	for _, name := range strings.Split(c.format, ",") {
		fioName, ok := strings.CutPrefix(name, "fio-")
		if !ok {
			return nil, fault.Usage("BAD_FORMAT", "the formats are text, json, fio-json, fio-json+, fio-terse and fio-normal", "unknown format %q", name)
		}
		names = append(names, fioName)
	}
	formats, err := fio.ParseFormat(strings.Join(names, ","))
	if err != nil {
		return nil, err
	}
	return func(w io.Writer, r *report.Result) error {
		o := fio.OptionsOf(r)
		o.TerseVersion = c.terseVersion
		o.Banner = true
		return fio.Write(w, r, formats, o)
	}, nil
}

// textOptions says what the place that the text goes to can show: colours only on a terminal, unless
// NO_COLOR (no-color.org) asks for none.
func (a *app) textOptions(output string) text.Options {
	f, ok := a.stdout.(*os.File)
	if !ok || output != "" || !term.IsTerminal(int(f.Fd())) {
		return text.Options{}
	}
	o := text.Options{Color: a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		o.Width = min(width, 120) // longer lines are hard to read
	}
	return o
}
