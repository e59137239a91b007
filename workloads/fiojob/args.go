package fiojob

import (
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// ParseArgs reads a command line in fio's grammar (getopt_long_only): --name=value, --name value, the same
// with one hyphen, unambiguous beginnings of names, job files anywhere between options, "-" for a job file on
// stdin, and -- to end the options. Options before the first --name are global; each --name starts a job.
//
// The plan has no jobs when the command line names none and --help, --version, --cmdhelp or --enghelp was
// given, or when there were no arguments at all. Errors are *fault.Error with exit code 1.
func ParseArgs(args []string, opts ParseOptions) (*workloads.Plan, *Settings, error) {
	settings := defaultSettings()
	p := newParser(opts, settings)
	line := p.readArgs(args)
	if err := p.err(); err != nil {
		return nil, settings, err
	}
	if settings.Help || settings.Version || settings.CmdHelp != nil || settings.EngHelp != nil {
		return &p.plan, settings, nil
	}
	settings.Files = line.files
	settings.FromArgs = len(line.files) == 0
	if settings.FromArgs && !opts.Fio {
		p.base.Engine, p.base.Direct, p.base.DirectAssumed = "auto", true, true
		p.globals = p.base
	}
	p.argumentJobs(line.options)
	for i, file := range line.files {
		if i > 0 && opts.Fio {
			p.globals = p.base // as in fio, where the command line's globals reach the first file only
		}
		p.jobFile(file, i > 0)
	}
	if len(p.plan.Jobs) == 0 && len(p.problems) == 0 && (opts.Fio || len(line.files) > 0 || len(line.options) > 0) {
		return nil, settings, fault.Usage("NO_JOBS", "start a job with --name=NAME, or name a job file", "no jobs are defined")
	}
	if err := p.err(); err != nil {
		return nil, settings, err
	}
	return &p.plan, settings, nil
}

// arguments is a command line taken apart.
type arguments struct {
	options []assignment // of jobs, in order
	files   []string
}

// readArgs takes the command line apart and applies the switches.
func (p *parser) readArgs(args []string) arguments {
	var line arguments
	var here place
	tool := draft{settings: p.settings, kbBase: 1024}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			line.files = append(line.files, args[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			line.files = append(line.files, arg)
			continue
		}
		name, value, valued := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		index, ok := p.findArg(name, here)
		if !ok {
			continue
		}
		a := assignment{index: index, value: value, bare: !valued, place: here}
		o := &table().options[index]
		if a.bare && !o.StandsAlone() && i+1 < len(args) {
			i++
			a.value, a.bare = args[i], false
		}
		if o.Switch {
			p.apply(&tool, a)
		} else {
			line.options = append(line.options, a)
		}
	}
	return line
}

// findArg finds an option by its name or an unambiguous beginning of it.
func (p *parser) findArg(name string, here place) (index int, ok bool) {
	x := table()
	if index, ok = x.byName[name]; ok {
		return index, true
	}
	switch name {
	case "h":
		return x.byName["help"], true
	case "v":
		return x.byName["version"], true
	}
	matches := 0
	for _, n := range x.names {
		if len(name) > 1 && strings.HasPrefix(n, name) && (matches == 0 || x.byName[n] != index) {
			index = x.byName[n]
			matches++
		}
	}
	switch matches {
	case 0:
		p.unknown(here, "--"+name)
		return 0, false
	case 1:
		return index, true
	}
	p.problem("UNKNOWN_OPTION", "write the option out", "--%s is the beginning of several options", shorten(name))
	return 0, false
}

// argumentJobs turns the job options of a command line into jobs.
func (p *parser) argumentJobs(options []assignment) {
	nameIndex := table().byName["name"]
	start := 0
	for start < len(options) {
		end := start + 1
		for end < len(options) && options[end].index != nameIndex {
			end++
		}
		part := options[start:end]
		start = end
		if part[0].index != nameIndex {
			p.argumentGlobals(part, len(options) == len(part))
			continue
		}
		name := part[0].value
		switch {
		case strings.HasPrefix(name, "global"):
			p.section(&p.globals, part[1:], true)
		case p.wanted(name):
			d := p.globals
			d.Options = nil
			p.section(&d, part, false)
			p.finish(&d, place{})
		}
	}
}

// argumentGlobals reads the options before the first --name. When there is no --name and no job file at all,
// they are the one job, unless fio is asked for.
func (p *parser) argumentGlobals(options []assignment, all bool) {
	if !all || !p.settings.FromArgs || p.opts.Fio {
		p.section(&p.globals, options, true)
		return
	}
	d := p.globals
	p.section(&d, options, false)
	if d.Name == "" {
		d.Name = d.RW.String()
	}
	p.finish(&d, place{})
}

// wanted says whether --section asks for the section, or for none.
func (p *parser) wanted(section string) bool {
	for _, s := range p.settings.Sections {
		if s == section {
			return true
		}
	}
	return len(p.settings.Sections) == 0
}

// section gives options to a draft: to a job's, or to that of the globals. On the command line a kb_base
// counts for what follows it; in a job file for its whole section.
func (p *parser) section(d *draft, options []assignment, global bool) {
	for _, a := range options {
		if p.full() {
			return
		}
		p.apply(d, a)
		echo := workloads.Option{Name: table().options[a.index].Name, Value: a.value}
		if global {
			p.plan.Globals = append(p.plan.Globals, echo)
		} else {
			d.Options = append(d.Options, echo)
		}
	}
	if e, _ := EngineNamed(d.Engine); e.Runs == "" {
		// The options of a missing engine matter only if a job keeps that engine, and then it is told so.
		d.refused = slices.DeleteFunc(slices.Clone(d.refused), func(a assignment) bool {
			return table().options[a.index].Group == GroupForeign
		})
	}
	p.showCommand(d, options, global)
}

// showCommand appends the section to the command line that --showcmd prints.
func (p *parser) showCommand(d *draft, options []assignment, global bool) {
	if !p.settings.ShowCommand {
		return
	}
	words := p.settings.Command
	switch {
	case !global && (len(options) == 0 || table().options[options[0].index].Name != "name"):
		words = append(words, "--name="+d.Name)
	case global && len(words) > 0:
		words = append(words, "--name=global")
	}
	for _, a := range options {
		word := "--" + table().options[a.index].Name
		if !a.bare {
			word += "=" + a.value
		}
		words = append(words, word)
	}
	p.settings.Command = words
}
