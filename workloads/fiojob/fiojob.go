// Package fiojob reads fio's language: job files, and command lines in fio's grammar. It turns them into a
// [workloads.Plan], from one option table that flags, job files, help, completion and docs/jobfile.md share.
//
// The language was established by running fio 3.33 and reading its documentation up to 3.42. Where fio's
// reading of a text would surprise its author, the value is fio's, and a warning says what it became.
package fiojob

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// ParseOptions is what reading job files needs to know of the world, and whose defaults hold.
type ParseOptions struct {
	// Fio asks for fio's behaviour to the letter: options without a job are an error instead of a job, and
	// jobs on the command line have fio's defaults (direct=0, ioengine=psync). Without it, jobs given by
	// options alone default to direct=1 and ioengine=auto, and Job.DirectAssumed and Engine "auto" say so.
	// Jobs of a job file have fio's defaults either way.
	Fio bool

	Stdin io.Reader                                // for the job file "-"; nil: it is empty
	Env   func(name string) string                 // for ${NAME}; nil: all are empty
	Open  func(path string) (io.ReadCloser, error) // opens job files; nil: OpenFile

	// The values of $ncpus, $pagesize and $mb_memory; 0 leaves the keyword as it is.
	NCPUs       int
	PageBytes   int
	MemoryBytes int64
}

// OpenFile opens a job file: a regular file or a pipe, and nothing else.
func OpenFile(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode()&(os.ModeDevice|os.ModeDir) != 0 && info.Mode()&os.ModeCharDevice == 0 {
		kind := "a directory"
		if info.Mode()&os.ModeDevice != 0 {
			kind = "a device"
		}
		err = fault.Usage("NOT_A_JOB_FILE", "to do I/O to it, say --filename="+path, "%s is %s and not a job file", path, kind)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// place is where an option was given.
type place struct {
	file string // empty: on the command line
	line int
}

func (p place) String() string {
	if p.file == "" {
		return "command line"
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// assignment is an option as it was given.
type assignment struct {
	index int // in the table
	value string
	bare  bool // without "=value"
	place place
}

func (a assignment) String() string {
	name := table().options[a.index].Name
	if a.bare {
		return name
	}
	return name + "=" + shorten(a.value)
}

// shorten keeps a text fit for a message.
func shorten(s string) string {
	const longest = 80
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

const (
	maxProblems = 20
	maxWarnings = 200
)

// parser builds a plan.
type parser struct {
	opts     ParseOptions
	settings *Settings
	base     draft // defaults
	globals  draft // base and the globals so far
	plan     workloads.Plan
	clones   int // of all jobs so far
	names    map[string]int
	problems []string
	hint     string // of the first problem
	code     string
	told     map[string]bool // what was said already and once is enough for
	budget   budget
}

// budget bounds what hostile job files can cost.
type budget struct {
	bytes    int // left to read
	options  int // left to store
	includes int // left to follow
}

func newParser(opts ParseOptions, settings *Settings) *parser {
	if opts.Open == nil {
		opts.Open = OpenFile
	}
	if opts.Env == nil {
		opts.Env = func(string) string { return "" }
	}
	if opts.Stdin == nil {
		opts.Stdin = strings.NewReader("")
	}
	p := &parser{
		opts: opts, settings: settings, told: make(map[string]bool), names: make(map[string]int),
		budget: budget{bytes: 64 << 20, options: 1 << 20, includes: 1 << 10},
	}
	p.base = draft{Job: workloads.DefaultJob(), kbBase: 1024}
	p.base.Engine = "psync"
	p.globals = p.base
	return p
}

// problem records an error in the input; reading goes on, so that a user learns of several at once.
func (p *parser) problem(code, hint, format string, args ...any) {
	if len(p.problems) == 0 {
		p.code, p.hint = code, hint
	}
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// full says that there are enough problems to stop reading.
func (p *parser) full() bool { return len(p.problems) >= maxProblems }

// err returns the problems as one error, or nil.
func (p *parser) err() error {
	switch len(p.problems) {
	case 0:
		return nil
	case 1:
		return fault.Usage(p.code, p.hint, "%s", p.problems[0])
	}
	return fault.Usage(p.code, p.hint, "%d problems:\n  %s", len(p.problems), strings.Join(p.problems, "\n  "))
}

// once says whether it is called with this key for the first time.
func (p *parser) once(key string) bool {
	first := !p.told[key]
	p.told[key] = true
	return first
}

// warn records a warning. Under --warnings-fatal it is a problem.
func (p *parser) warn(code, hint, format string, args ...any) {
	if len(p.plan.Warnings) >= maxWarnings {
		return
	}
	sentence := fmt.Sprintf(format, args...)
	if p.settings.WarningsFatal {
		p.problem(code, hint, "%s", sentence)
		return
	}
	p.plan.Warnings = append(p.plan.Warnings, workloads.Warning{Code: code, Sentence: sentence, Hint: hint})
}

// apply gives an option to a draft and says what a user should know of it.
func (p *parser) apply(d *draft, a assignment) {
	o := &table().options[a.index]
	trap, err := d.apply(a.index, a.value, a.bare)
	if err != nil {
		p.problem("BAD_VALUE", "blkmeter run --cmdhelp="+o.Name+" describes the option", "%s: %s: %v", a.place, a, err)
		return
	}
	if trap != "" {
		if p.settings.Strict {
			p.problem("FIO_TRAP", "without --strict this is a warning", "%s: %s: %s", a.place, a, trap)
		} else {
			p.warn("FIO_TRAP", "fio reads it so, too; --strict makes it an error", "%s: %s: %s", a.place, a, trap)
		}
	}
	switch {
	case o.Effect == Works || o.asksForNothing(a.value, a.bare):
	case o.Effect == Ignored:
		if p.once("ignored " + o.Name) {
			p.warn("OPTION_IGNORED", "", "%s: %s is ignored: %s", a.place, o.Name, o.Why)
		}
	case o.Switch:
		p.problem("OPTION_UNSUPPORTED", "leave it out", "--%s is not supported: %s", o.Name, o.Why)
	default:
		d.refused = append(d.refused[:len(d.refused):len(d.refused)], a)
	}
}

// unknown reports a name that is not in the table.
func (p *parser) unknown(at place, name string) {
	hint := "docs/jobfile.md lists the options"
	if near := nearest(name, table().names); near != "" {
		p.problem("UNKNOWN_OPTION", hint, "%s: there is no option %q; did you mean %q?", at, shorten(name), near)
		return
	}
	p.problem("UNKNOWN_OPTION", hint, "%s: there is no option %q", at, shorten(name))
}
