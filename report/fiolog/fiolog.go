// Package fiolog writes fio's logs: bandwidth, IOPS, latencies and histograms over time, one line for each
// I/O or for each window, as write_bw_log and its sisters ask for. Plotters and parsers read these files.
//
// The logs are streamed: a worker adds its finished I/Os to a [Recorder], which hands them over in batches
// to a goroutine that formats and writes. What waits to be written is bounded. When the files cannot keep
// up, the worker waits, no line is lost, and the Recorder tells for how long.
package fiolog

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
)

// Kind is one of fio's logs.
type Kind uint8

const (
	BW   Kind = iota // bandwidth: kB/s (1000 bytes) of each I/O, KiB/s of a window, as in fio
	IOPS             // 1 for each I/O, I/Os per second of a window
	Slat             // ns from start to issue
	Clat             // ns from issue to completion
	Lat              // ns from start to completion
	Hist             // completion latencies in fio's bins, a line of 1,856 counts for each window
	kinds
)

// suffix is the kind's part of a file name.
func (k Kind) suffix() string {
	return [...]string{BW: "bw", IOPS: "iops", Slat: "slat", Clat: "clat", Lat: "lat", Hist: "clat_hist"}[k]
}

// WindowValue says what a window's line tells of the values in it.
type WindowValue uint8

const (
	Average WindowValue = iota
	Max
	AverageAndMax // two fields
)

// Options say which logs to write, and how. The names of fio's options are given.
type Options struct {
	Prefix     [kinds]string // of the file names, by kind; empty for no log. write_lat_log sets three of them
	Window     time.Duration // log_avg_msec: one line for each window and direction; 0 for one for each I/O
	HistWindow time.Duration // log_hist_msec; 0 for no histogram log
	Coarseness int           // log_hist_coarseness, 0 to 6: 2^n bins are added up
	Value      WindowValue   // log_window_value; of lines for each I/O there is only one
	Shared     bool          // per_job_logs=0: all workers write to the same files
	Offset     bool          // log_offset: the I/O's offset, 0 for a window
	Priority   bool          // log_prio: the I/O's priority in full, not just whether it is real-time
	IssueTime  bool          // log_issue_time: when it was issued, in ns since the start
	UnixEpoch  bool          // times are those of the clock that Begin gives, by default since 1970, instead of those since the start
	First      int           // how many workers other jobs have before the first of this one: fio numbers all together
	Compress   bool          // log_store_compressed: gzip, in files named .log.gz
}

// enabled says whether there is a log of this kind.
func (o *Options) enabled(k Kind) bool {
	return o.Prefix[k] != "" && (k != Hist || o.HistWindow > 0)
}

// name is the name of a worker's file; workers count from 0 here, and those of all jobs from 1 in names.
func (o *Options) name(k Kind, worker int) string {
	name := o.Prefix[k] + "_" + k.suffix()
	if !o.Shared {
		name += fmt.Sprintf(".%d", o.First+worker+1)
	}
	name += ".log"
	if o.Compress {
		name += ".gz"
	}
	return name
}

// Create opens a log file: a new one, or one to append to where the logs of all workers share it, as fio
// does.
func Create(name string, shared bool) (io.WriteCloser, error) {
	return report.Create(name, 0o644, shared)
}

// Set is the logs of a run.
type Set struct {
	options   Options
	files     []*file
	recorders []*Recorder
}

// Open creates the logs of so many workers with create, which is [Create] but in tests. It returns nil when
// the options ask for no log.
func Open(o Options, workers int, create func(name string, shared bool) (io.WriteCloser, error)) (*Set, error) {
	s := &Set{options: o}
	perWorker := make([][kinds]*file, workers)
	for k := range kinds {
		if !o.enabled(k) {
			continue
		}
		for w := range perWorker {
			if o.Shared && w > 0 {
				perWorker[w][k] = perWorker[0][k]
				continue
			}
			name := o.name(k, w)
			out, err := create(name, o.Shared)
			if err != nil {
				return nil, errors.Join(cannotWrite(err, name), s.Close())
			}
			f := newFile(name, out, o.Compress)
			s.files = append(s.files, f)
			perWorker[w][k] = f
		}
	}
	if len(s.files) == 0 {
		return nil, nil
	}
	for w := range perWorker {
		s.recorders = append(s.recorders, newRecorder(&s.options, perWorker[w]))
	}
	return s, nil
}

// Recorder returns the recorder of a worker, counted from 0.
func (s *Set) Recorder(worker int) *Recorder { return s.recorders[worker] }

// Close ends the logs after their recorders were closed, and returns the first failure to write any.
func (s *Set) Close() error {
	var first error
	for _, f := range s.files {
		if err := f.close(); err != nil && first == nil {
			first = cannotWrite(err, f.name)
		}
	}
	return first
}

func cannotWrite(err error, name string) error {
	return fault.Wrap(err, fault.ExitIO, "LOG_FAILED", "the log is not complete; look for space on its filesystem", "cannot write the log %s", name)
}

// file is a log file; several workers may write to it, whole batches of lines at a time.
type file struct {
	name string

	mu     sync.Mutex
	err    error // of the first write that failed; nothing is written after it
	out    io.WriteCloser
	buffer *bufio.Writer
	zip    *gzip.Writer // nil unless compressed
}

func newFile(name string, out io.WriteCloser, compress bool) *file {
	f := &file{name: name, out: out, buffer: bufio.NewWriterSize(out, 1<<18)}
	if compress {
		f.zip = gzip.NewWriter(f.buffer)
	}
	return f
}

// write appends whole lines. They reach the file whole, too: other jobs may append to it.
func (f *file) write(lines []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && f.zip == nil && len(lines) > f.buffer.Available() {
		f.err = f.buffer.Flush()
	}
	switch {
	case f.err != nil:
	case f.zip != nil:
		_, f.err = f.zip.Write(lines)
	default:
		_, f.err = f.buffer.Write(lines)
	}
}

// flush lets readers see all lines; what is being compressed waits for more to compress.
func (f *file) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = f.buffer.Flush()
	}
}

// close ends the file and returns the first error.
func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.zip != nil && f.err == nil {
		f.err = f.zip.Close()
	}
	if f.err == nil {
		f.err = f.buffer.Flush()
	}
	if err := f.out.Close(); f.err == nil {
		f.err = err
	}
	return f.err
}
