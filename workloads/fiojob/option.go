package fiojob

import (
	"fmt"
	"sync"

	"github.com/blkmeter/blkmeter/workloads"
)

// Option is one line of the option table: everything that flags, job files, help, completion and
// docs/jobfile.md know about an option.
type Option struct {
	Name    string
	Aliases []string
	Group   Group
	Kind    Kind
	Default string // as a user would type it; empty when there is none
	Help    string // what it does, one line without a period
	Differs string // how it differs from fio; empty when it does not
	Engine  string // the engines whose option it is, when it is not an option of every engine
	Effect  Effect
	Why     string // why the effect is not Works
	Own     bool   // not in fio's language
	Switch  bool   // belongs to the tool, not to a job: on the command line only
}

// Effect says what becomes of an option that was read.
type Effect uint8

const (
	Works   Effect = iota // it does what fio's does
	Ignored               // accepted with one warning; leaving it out does not change what a result means
	Refused               // an error, unless its value is the one that asks for nothing
)

// Group is the heading under which help and docs list an option.
type Group string

// The groups, in the order of help.
const (
	GroupJob     Group = "Jobs and their order"
	GroupTarget  Group = "Target"
	GroupSafety  Group = "Safety"
	GroupIO      Group = "I/O type and pattern"
	GroupBlock   Group = "Block size"
	GroupBuffer  Group = "Buffers"
	GroupEngine  Group = "Engine and queue"
	GroupTime    Group = "Time"
	GroupRate    Group = "Rate and latency control"
	GroupCPU     Group = "CPU, memory and process"
	GroupVerify  Group = "Verification"
	GroupFiles   Group = "Files"
	GroupStats   Group = "Statistics and logs"
	GroupZones   Group = "Zones"
	GroupReplay  Group = "Replay"
	GroupForeign Group = "Options of engines that blkmeter does not have"
	GroupOutput  Group = "Output and switches"
)

// Groups lists the groups in the order of help.
func Groups() []Group {
	return []Group{
		GroupJob, GroupTarget, GroupSafety, GroupIO, GroupBlock, GroupEngine, GroupTime, GroupRate, GroupCPU,
		GroupBuffer, GroupFiles, GroupVerify, GroupStats, GroupZones, GroupReplay, GroupForeign, GroupOutput,
	}
}

// index is the option table with what is needed to look things up in it. It is never changed.
type index struct {
	options []Option
	byName  map[string]int // names and aliases
	names   []string       // the keys of byName in the order of the table
}

var table = sync.OnceValue(func() *index {
	x := &index{byName: make(map[string]int)}
	for _, rows := range [][]Option{
		jobOptions(), targetOptions(), safetyOptions(), ioOptions(), blockOptions(), engineOptions(), commandOptions(), timeOptions(),
		rateOptions(), cpuOptions(), bufferOptions(), fileOptions(), verifyOptions(), statsOptions(), zoneOptions(),
		replayOptions(), foreignOptions(), switches(),
	} {
		for _, o := range rows {
			for _, name := range append([]string{o.Name}, o.Aliases...) {
				if _, twice := x.byName[name]; twice {
					panic("fiojob: option " + name + " is in the table twice")
				}
				x.byName[name] = len(x.options)
				x.names = append(x.names, name)
			}
			x.options = append(x.options, o)
		}
	}
	return x
})

// StandsAlone says whether the option may be given without a value.
func (o *Option) StandsAlone() bool {
	_, ok := o.Kind.alone()
	return ok
}

// Options returns a copy of the option table, in the order of help.
func Options() []Option { return append([]Option(nil), table().options...) }

// Lookup finds an option by its name or an alias. Names are case-sensitive.
func Lookup(name string) (Option, bool) {
	x := table()
	if i, ok := x.byName[name]; ok {
		return x.options[i], true
	}
	return Option{}, false
}

// maxOptions bounds the number of options in the table.
const maxOptions = 512

// optionSet is a set of options by their place in the table.
type optionSet [maxOptions / 64]uint64

func (s *optionSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *optionSet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// draft is a job while its options are being read: fio settles some of them only when all are known.
type draft struct {
	workloads.Job
	given    optionSet
	kbBase   int
	bs       [workloads.Directions]uint32
	bsRange  [workloads.Directions]workloads.SizeRange
	cmdPrio  [2]requestPriority // of reads and writes
	settings *Settings          // what switches go to; nil in job files
	refused  []assignment
}

// isSet says whether the user gave the option.
func (d *draft) isSet(name string) bool { return d.given.has(table().byName[name]) }

// apply reads one option's value into the draft. The returned trap says, when not empty, in which
// surprising way fio's grammar reads the value.
func (d *draft) apply(i int, value string, bare bool) (trap string, err error) {
	o := &table().options[i]
	if bare {
		var ok bool
		if value, ok = o.Kind.alone(); !ok {
			return "", fmt.Errorf("it needs a value: %s=%s", o.Name, o.Kind.Syntax())
		}
	} else if value == "" && o.Group != GroupForeign {
		return "", fmt.Errorf("the value is empty; it takes %s", o.Kind.Syntax())
	}
	if trap, err = o.Kind.parse(d, value); err == nil {
		d.given.add(i)
	}
	return trap, err
}

// asksForNothing says whether value leaves things as they are without the option.
func (o *Option) asksForNothing(value string, bare bool) bool {
	if value == o.Default && !bare {
		return true
	}
	switch o.Kind.(type) {
	case boolean, flag:
		return value == "0" && o.Default != "1"
	}
	return false
}
