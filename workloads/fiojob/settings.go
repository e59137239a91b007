package fiojob

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// MaxJobs is the largest number of job clones in a plan, as in fio.
const MaxJobs = 4096

// Settings is what the command line says to the tool and not to a job.
type Settings struct {
	Output         string   // --output: the file for the Result; empty: stdout
	Formats        []string // --output-format, in the order given; empty: the command's default
	AppendTerse    bool
	TerseVersion   int
	ETA            string // always, never, auto
	ETANewline     time.Duration
	ETAInterval    time.Duration
	StatusInterval time.Duration // 0: no reports while running
	BandwidthLog   workloads.LogFile
	IdleProfile    string // "", system, percpu

	Explain bool     // --explain: count in a pass of its own where requests go
	NoIdle  bool     // --no-idle: keep the CPUs awake
	Set     []string // --set: changes to the queue's settings, each NAME=VALUE

	ReadOnly      bool
	ParseOnly     bool
	ShowCommand   bool
	WarningsFatal bool
	Strict        bool // surprises of fio's language are errors
	Sections      []string
	MaxJobs       int
	AuxPath       string

	Help     bool
	Version  bool
	CmdHelp  *string // --cmdhelp[=OPTION]
	EngHelp  *string // --enghelp[=ENGINE[,OPTION]]
	Files    []string
	Command  []string // with ShowCommand: the plan as a command line, one word each
	FromArgs bool     // no job file: all jobs came from the command line
}

func defaultSettings() *Settings {
	return &Settings{TerseVersion: 3, ETA: "auto", MaxJobs: MaxJobs}
}

// switches are the options of the tool.
func switches() []Option {
	on := func(field func(*Settings) *bool) switchKind {
		return switchKind{func(s *Settings) { *field(s) = true }}
	}
	str := func(form string, field func(*Settings) *string) text {
		return text{form: form, set: func(d *draft, v string) error { *field(d.settings) = v; return nil }}
	}
	seconds := func(field func(*Settings) *time.Duration) duration {
		return duration{bare: time.Second, set: func(d *draft, v time.Duration) { *field(d.settings) = v }}
	}
	optional := func(form string, field func(*Settings) **string) optionalText {
		return optionalText{form, func(s *Settings, v string) { *field(s) = &v }}
	}
	const network = "blkmeter does not run jobs on other hosts"
	rows := []Option{
		{Name: "output", Kind: str("FILE", func(s *Settings) *string { return &s.Output }), Help: "write the Result to this file instead of stdout"},
		{
			Name: "output-format", Kind: formats{}, Help: "text, json, or fio's normal, terse, json, json+; several with commas",
		},
		{Name: "append-terse", Kind: on(func(s *Settings) *bool { return &s.AppendTerse }), Help: "append fio's terse output to normal output"},
		{Name: "minimal", Kind: switchKind{func(s *Settings) { s.Formats = []string{"terse"} }}, Help: "the same as --output-format=terse"},
		{
			Name: "terse-version", Kind: integer{min: 2, max: 5, set: func(d *draft, v int64) { d.settings.TerseVersion = int(v) }}, Default: "3",
			Help: "version of fio's terse output",
		},
		{
			Name: "eta", Kind: enum{words: words("auto", "always", "never"), set: func(d *draft, w, _ string) error { d.settings.ETA = w; return nil }}, Default: "auto",
			Help: "show progress on stderr; auto: on a terminal",
		},
		{Name: "eta-newline", Kind: seconds(func(s *Settings) *time.Duration { return &s.ETANewline }), Help: "start a new progress line after this time"},
		{Name: "eta-interval", Kind: seconds(func(s *Settings) *time.Duration { return &s.ETAInterval }), Help: "time between updates of the progress line"},
		{Name: "status-interval", Kind: seconds(func(s *Settings) *time.Duration { return &s.StatusInterval }), Help: "report while running, this often"},
		{
			Name: "bandwidth-log", Kind: optionalText{"FILE", func(s *Settings, v string) { s.BandwidthLog = workloads.LogFile{Want: true, Prefix: v} }},
			Help: "write a log of the bandwidth of all jobs together",
		},
		{
			Name: "idle-prof", Kind: enum{words: words("system", "percpu"), set: func(d *draft, w, _ string) error { d.settings.IdleProfile = w; return nil }},
			Help: "report how idle the CPUs were",
		},
		{
			Name: "section", Kind: text{form: "NAME", set: func(d *draft, v string) error { d.settings.Sections = append(d.settings.Sections, v); return nil }},
			Help: "run only the sections of this name; may be repeated",
		},
		{Name: "readonly", Kind: on(func(s *Settings) *bool { return &s.ReadOnly }), Help: "refuse jobs that write or trim"},
		{Name: "parse-only", Kind: on(func(s *Settings) *bool { return &s.ParseOnly }), Help: "read the jobs and stop"},
		{Name: "showcmd", Kind: on(func(s *Settings) *bool { return &s.ShowCommand }), Help: "print job files as a command line and stop"},
		{
			Name: "max-jobs", Kind: integer{min: 1, max: MaxJobs, set: func(d *draft, v int64) { d.settings.MaxJobs = int(v) }}, Default: "4096",
			Help: "most clones of jobs that a run may have",
		},
		{Name: "warnings-fatal", Kind: on(func(s *Settings) *bool { return &s.WarningsFatal }), Help: "make every warning about options an error"},
		{Name: "strict", Own: true, Kind: on(func(s *Settings) *bool { return &s.Strict }), Help: "make surprises of fio's language, warned of by FIO_TRAP, errors"},
		{
			Name: "explain", Own: true, Kind: on(func(s *Settings) *bool { return &s.Explain }),
			Help: "run each stage again for up to 1 s and show which CPU and hardware queue its requests took",
		},
		{
			Name: "set", Own: true, Kind: text{form: "NAME=VALUE", set: func(d *draft, v string) error { d.settings.Set = append(d.settings.Set, v); return nil }},
			Help: "change a setting of the device's queue for the run, such as scheduler=none; may be repeated",
		},
		{
			Name: "no-idle", Own: true, Kind: on(func(s *Settings) *bool { return &s.NoIdle }),
			Help: "keep the CPUs out of their sleep states (/dev/cpu_dma_latency)",
		},
		{Name: "aux-path", Kind: str("DIR", func(s *Settings) *string { return &s.AuxPath }), Help: "where files that the run leaves are put"},
		{Name: "help", Kind: on(func(s *Settings) *bool { return &s.Help }), Help: "show this help"},
		{Name: "version", Kind: on(func(s *Settings) *bool { return &s.Version }), Help: "show the version"},
		{Name: "cmdhelp", Kind: optional("OPTION|all", func(s *Settings) **string { return &s.CmdHelp }), Help: "describe an option, or all"},
		{Name: "enghelp", Kind: optional("ENGINE[,OPTION]", func(s *Settings) **string { return &s.EngHelp }), Help: "list the engines, or an engine's options"},

		{
			Name: "alloc-size", Kind: integer{max: maxInt64, unit: "KIB"}, Help: "memory for fio's shared allocator",
			Effect: Ignored, Why: "blkmeter has no such allocator",
		},
		{
			Name: "debug", Kind: text{form: "TOPICS"}, Help: "print what fio does",
			Effect: Ignored, Why: "blkmeter plan shows what a run will do and why",
		},
		{Name: "daemonize", Kind: text{form: "FILE"}, Help: "run in the background", Effect: Refused, Why: "start blkmeter as a service, or with a shell's &"},
		{Name: "client", Kind: text{form: "HOST"}, Help: "run the jobs on another host", Effect: Refused, Why: network},
		{Name: "server", Kind: optionalText{"ADDRESS", nil}, Help: "wait for jobs from other hosts", Effect: Refused, Why: network},
		{Name: "remote-config", Kind: text{form: "FILE"}, Help: "job file on the other host", Effect: Refused, Why: network},
		{Name: "trigger", Kind: text{form: "COMMAND"}, Help: "run a command at trigger-timeout", Effect: Refused, Why: "blkmeter runs no commands"},
		{Name: "trigger-file", Kind: text{form: "FILE"}, Help: "end the run when this file appears", Effect: Refused, Why: "send SIGINT to end a run early"},
		{Name: "trigger-timeout", Kind: text{form: "SECONDS"}, Help: "end the run after this time", Effect: Refused, Why: "use runtime="},
		{Name: "trigger-remote", Kind: text{form: "COMMAND"}, Help: "run a command on the other host", Effect: Refused, Why: network},
		{Name: "inflate-log", Kind: text{form: "FILE"}, Help: "print a compressed log", Effect: Refused, Why: "compressed logs are gzip files: zcat prints them"},
		{Name: "crctest", Kind: optionalText{"KIND", nil}, Help: "time checksums", Effect: Refused, Why: "go test -bench does that for blkmeter"},
		{Name: "cpuclock-test", Kind: switchKind{}, Help: "test the CPU's clock", Effect: Refused, Why: "blkmeter uses the kernel's clock"},
		{Name: "merge-blktrace-only", Kind: switchKind{}, Help: "merge traces and stop", Effect: Refused, Why: "blkmeter does not merge traces"},
	}
	for i := range rows {
		rows[i].Group, rows[i].Switch = GroupOutput, true
	}
	return rows
}

// switchKind is a switch without a value.
type switchKind struct{ set func(*Settings) }

func (switchKind) Syntax() string        { return "" }
func (switchKind) Words() []Word         { return nil }
func (switchKind) alone() (string, bool) { return "", true }

func (k switchKind) parse(d *draft, value string) (string, error) {
	if value != "" {
		return "", errors.New("it takes no value")
	}
	if k.set != nil {
		k.set(d.settings)
	}
	return "", nil
}

// optionalText is a switch with a value that may be left out.
type optionalText struct {
	form string
	set  func(*Settings, string)
}

func (k optionalText) Syntax() string      { return k.form }
func (optionalText) Words() []Word         { return nil }
func (optionalText) alone() (string, bool) { return "", true }

func (k optionalText) parse(d *draft, value string) (string, error) {
	if k.set != nil {
		k.set(d.settings, value)
	}
	return "", nil
}

// formats takes a list of output formats.
type formats struct{}

var formatNames = [...]string{"text", "json", "normal", "terse", "minimal", "json+"}

func (formats) Syntax() string        { return "FORMAT[,FORMAT...]" }
func (formats) Words() []Word         { return words(formatNames[:]...) }
func (formats) alone() (string, bool) { return "", false }

func (formats) parse(d *draft, value string) (string, error) {
	var list []string
	for name := range strings.SplitSeq(value, ",") {
		if !slices.Contains(formatNames[:], name) {
			return "", fmt.Errorf("%q is none of %s", name, strings.Join(formatNames[:], ", "))
		}
		if name == "minimal" {
			name = "terse"
		}
		list = append(list, name)
	}
	d.settings.Formats = list
	return "", nil
}
