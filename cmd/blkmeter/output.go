package main

import (
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/fio"
	"github.com/blkmeter/blkmeter/report/text"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
)

// documents is where a run's documents go: the Result, and before it those of what was done so far. Nothing
// else is ever written there.
type documents struct {
	stdout io.Writer
	path   string // of a file; empty or "-" for stdout
	render func(w io.Writer, d document) error
	some   bool // there is one already
}

// document is one of them.
type document struct {
	result *report.Result
	left   time.Duration // until the stage's time is over; negative when that is not known
	first  bool
}

// newDocuments says how Results are rendered in the formats asked for. json alone is the Result itself; in
// fio's clothes, or in a list with fio's other formats, it is fio's.
func (a *app) newDocuments(settings *fiojob.Settings, asFio bool) (*documents, error) {
	d := &documents{stdout: a.stdout, path: settings.Output}
	if d.isFile() { // hours of measuring may follow
		if err := report.CanSave(d.path); err != nil {
			return nil, err
		}
	}
	names := settings.Formats
	switch {
	case len(names) == 1 && names[0] == "text":
		o := a.textOptions(settings.Output)
		d.render = func(w io.Writer, doc document) error { return text.Write(w, doc.result, o) }
		return d, nil
	case len(names) == 1 && names[0] == "json" && !asFio:
		d.render = func(w io.Writer, doc document) error { return report.Write(w, doc.result) }
		return d, nil
	case slices.Contains(names, "text"):
		return nil, fault.Usage("OUTPUT_FORMAT", "ask for text alone, or for fio's formats", "output format text does not go with others")
	}
	formats, err := fio.ParseFormat(strings.Join(names, ","))
	if err != nil {
		return nil, err
	}
	d.render = func(w io.Writer, doc document) error {
		o := fio.OptionsOf(doc.result)
		o.TerseVersion, o.Banner, o.ETA = settings.TerseVersion, doc.first, int64(max(doc.left, 0)/time.Second)
		return fio.Write(w, doc.result, formats, o)
	}
	return d, nil
}

func (d *documents) isFile() bool { return d.path != "" && d.path != "-" }

// refuseTargets refuses to write documents to a file that is a target of the plan: they would take its place.
func (d *documents) refuseTargets(plan *workloads.Plan) error {
	output, err := os.Stat(d.path)
	if err != nil || !output.Mode().IsRegular() {
		return nil
	}
	for i := range plan.Jobs {
		j := &plan.Jobs[i]
		for clone := range max(j.NumJobs, 1) {
			for _, path := range j.Paths(clone) {
				if target, err := os.Stat(path); err == nil && os.SameFile(target, output) {
					return fault.New(fault.ExitRefused, "OUTPUT_IS_TARGET", "name another file with --output", "the output %s is a target of job %s", d.path, j.Name)
				}
			}
		}
	}
	return nil
}

// add writes a document behind those before it. A file gets its new content only when the first one is
// complete.
func (d *documents) add(r *report.Result, left time.Duration) error {
	doc := document{result: r, left: left, first: !d.some}
	d.some = true
	write := func(w io.Writer) error { return d.render(w, doc) }
	switch {
	case d.isFile() && doc.first:
		return report.SaveFile(d.path, write)
	case d.isFile():
		return appendFile(d.path, write)
	}
	if err := write(d.stdout); err != nil {
		return fault.Wrap(err, fault.ExitIO, "OUTPUT", "", "cannot write the Result to stdout")
	}
	return nil
}

// appendFile writes at the end of a file that is there already.
func appendFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		err = write(f)
		if e := f.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		return fault.Wrap(err, fault.ExitIO, "OUTPUT_FAILED", "", "cannot append the result to %s", path)
	}
	return nil
}

// interim writes documents while a run goes on: every so often, and when a SIGUSR1 comes.
type interim struct {
	ask     chan struct{} // for the run
	signals chan os.Signal
	ticker  *time.Ticker // nil without --status-interval
	stop    chan struct{}
	queue   chan document
	written chan error
}

// startInterim begins to answer; every is 0 for signals only.
func startInterim(every time.Duration, out *documents) *interim {
	i := &interim{
		ask: make(chan struct{}, 1), signals: make(chan os.Signal, 1), stop: make(chan struct{}),
		queue: make(chan document, 1), written: make(chan error, 1),
	}
	signal.Notify(i.signals, syscall.SIGUSR1)
	var ticks <-chan time.Time
	if every > 0 {
		i.ticker = time.NewTicker(every)
		ticks = i.ticker.C
	}
	go func() {
		for {
			select {
			case <-ticks:
			case <-i.signals:
			case <-i.stop:
				return
			}
			select {
			case i.ask <- struct{}{}:
			default: // asked already
			}
		}
	}()
	go func() {
		var first error
		for doc := range i.queue {
			if err := out.add(doc.result, doc.left); first == nil {
				first = err
			}
		}
		i.written <- first
	}()
	return i
}

// take is called by the run. A document that comes before the one before it is written is left out: the run
// does not wait for readers.
func (i *interim) take(r *report.Result, left time.Duration) {
	select {
	case i.queue <- document{result: r, left: left}:
	default:
	}
}

// end is called when the run is over. It returns the first error of writing.
func (i *interim) end() error {
	signal.Stop(i.signals)
	if i.ticker != nil {
		i.ticker.Stop()
	}
	close(i.stop)
	close(i.queue)
	return <-i.written
}
