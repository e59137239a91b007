package iolog

import (
	"bufio"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
)

// CheckPath finds out whether a file can be named in a log: fields are parted by blanks.
func CheckPath(path string) error {
	if path == "" || len(path) > maxPath || strings.ContainsAny(path, " \t\r\n\x00") {
		return fault.Usage("IOLOG_NAME", "use a link without blanks in its name", "%q cannot be named in a log of I/Os, whose fields are parted by blanks", path)
	}
	return nil
}

// Writer writes a version 3 log. After the first failure it writes nothing more, and Close tells.
type Writer struct {
	out    *bufio.Writer
	paths  []string
	lines  []byte
	lastNS int64
	err    error
}

// NewWriter begins a log of I/Os on the files of these paths, which Entry.File counts; see [CheckPath].
func NewWriter(out io.Writer, paths []string) *Writer {
	w := &Writer{out: bufio.NewWriterSize(out, 1<<18), paths: paths}
	w.lines = append(w.lines, "fio version 3 iolog\n"...)
	w.files(0, "add")
	w.files(0, "open")
	w.put()
	return w
}

// files appends an action on each file: a path that is there twice is one file.
func (w *Writer) files(timeNS int64, action string) {
	for i, path := range w.paths {
		if slices.Index(w.paths, path) == i {
			w.start(timeNS, i, action)
			w.lines = append(w.lines, '\n')
		}
	}
}

// Write appends entries. Time does not go back in a log: an entry that is intended for an earlier time than
// the one before it, as the arrivals of two rates can be, gets that one's.
func (w *Writer) Write(entries []Entry) {
	for i := range entries {
		e := &entries[i]
		w.start(e.TimeNS, int(e.File), e.Op.String())
		w.lines = append(w.lines, ' ')
		w.lines = strconv.AppendInt(w.lines, e.Offset, 10) // fio wants the numbers of syncs, too
		w.lines = append(w.lines, ' ')
		w.lines = strconv.AppendUint(w.lines, uint64(e.Length), 10)
		w.lines = append(w.lines, '\n')
	}
	w.put()
}

// Close ends the log as of a time, and returns the first failure.
func (w *Writer) Close(timeNS int64) error {
	w.files(timeNS, "close")
	w.put()
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

// start appends what all lines begin with.
func (w *Writer) start(timeNS int64, file int, action string) {
	w.lastNS = max(w.lastNS, timeNS)
	w.lines = strconv.AppendInt(w.lines, w.lastNS/int64(time.Microsecond), 10)
	w.lines = append(w.lines, ' ')
	w.lines = append(w.lines, w.paths[file]...)
	w.lines = append(w.lines, ' ')
	w.lines = append(w.lines, action...)
}

func (w *Writer) put() {
	if w.err == nil {
		_, w.err = w.out.Write(w.lines)
	}
	w.lines = w.lines[:0]
}

const (
	batchEntries = 4096 // that a worker hands over at a time
	batches      = 4    // of a recorder: 512 KiB
)

// Recorder takes the I/Os of one worker and has them written in the background. Add belongs to the worker's
// goroutine; Close may be called from another after the worker has stopped. What waits to be written is
// bounded: when the file cannot keep up, the worker waits, and Blocked tells for how long.
type Recorder struct {
	current []Entry
	full    chan []Entry
	free    chan []Entry
	written chan struct{} // closed when all is
	writer  *Writer
	blocked time.Duration
}

// NewRecorder starts the writing.
func NewRecorder(w *Writer) *Recorder {
	r := &Recorder{
		current: make([]Entry, 0, batchEntries), writer: w, written: make(chan struct{}),
		full: make(chan []Entry, batches), free: make(chan []Entry, batches),
	}
	for range batches - 1 {
		r.free <- make([]Entry, 0, batchEntries)
	}
	go func() {
		defer close(r.written)
		for batch := range r.full {
			r.writer.Write(batch)
			r.free <- batch[:0]
		}
	}()
	return r
}

// Add records an I/O. It allocates nothing, takes no lock but once in 4096 I/Os, and waits only when all
// batches wait to be written.
func (r *Recorder) Add(e Entry) {
	r.current = append(r.current, e)
	if len(r.current) == cap(r.current) {
		r.handOver()
	}
}

func (r *Recorder) handOver() {
	r.full <- r.current // there is room for all batches
	select {
	case r.current = <-r.free:
	default:
		began := time.Now()
		r.current = <-r.free
		r.blocked += time.Since(began)
	}
}

// Blocked is how long the worker had to wait for its log to be written.
func (r *Recorder) Blocked() time.Duration { return r.blocked }

// Close writes what is still to be written, ends the log as of a time, and returns the first failure.
func (r *Recorder) Close(timeNS int64) error {
	r.full <- r.current
	close(r.full)
	<-r.written
	return r.writer.Close(timeNS)
}
