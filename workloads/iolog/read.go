package iolog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/blkmeter/blkmeter/internal/fault"
)

// Options say how a log is changed while it is read. The zero value changes nothing.
type Options struct {
	Redirect    string    // this file takes the place of all that the log names
	Scale       int64     // offsets are divided by it; 0 for 1
	AlignBytes  int64     // offsets are rounded down to a multiple of it, after scaling; 0 for 1
	TimePercent int64     // of the log's speed: 200 halves all times; 0 for 100
	Skip        [Ops]bool // kinds that are left out
}

// Bounds of what a log may cost.
const (
	maxLine      = 16 << 10 // bytes
	maxPath      = 4096     // bytes, PATH_MAX
	maxFiles     = math.MaxUint16 + 1
	maxPathBytes = 16 << 20 // of all files together
	maxEntries   = 1 << 27  // 4 GiB of them
	maxOffset    = 1 << 62
	maxTime      = 1 << 46 // microseconds: two years, so that no sum or product of times overflows
)

// OpenFile reads the log in a file; "-" is standard input.
func OpenFile(name string, o Options) (*Log, error) {
	path := name
	if name == "-" {
		path = "/dev/stdin"
	}
	in, err := os.Open(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.ExitUsage, "IOLOG_UNREADABLE", "read_iolog= takes the name of a log that write_iolog= wrote", "cannot read the log %s", name)
	}
	defer in.Close()
	return ReadLog(in, name, o)
}

// ReadLog reads a log. name is for messages. An error is a usage fault that names the line and what is wrong
// with it.
func ReadLog(in io.Reader, name string, o Options) (*Log, error) {
	o.Scale, o.AlignBytes = max(o.Scale, 1), max(o.AlignBytes, 1)
	if o.TimePercent <= 0 {
		o.TimePercent = 100
	}
	r := &reader{
		in: bufio.NewReaderSize(in, maxLine), options: o, log: &Log{Name: name},
		known: map[string]int{},
	}
	if err := r.header(); err != nil {
		return nil, err
	}
	for {
		line, err := r.next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = r.action(line)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.log.n == 0 {
		return nil, fault.Usage("IOLOG_EMPTY", "record one with write_iolog=, and look at replay_skip=", "%s holds no I/O to replay", name)
	}
	return r.log, nil
}

// reader is a log that is being read.
type reader struct {
	in        *bufio.Reader
	options   Options
	log       *Log
	line      uint32
	version   int
	timeUS    int64 // of the last action
	known     map[string]int
	named     []named // by value of known
	pathBytes int     // of all of them
}

// named is a file under the name that the log gives it.
type named struct {
	index int // in Log.Files; -1 until it is used
	open  bool
}

const headerHint = "it has to begin with the line \"fio version 3 iolog\", or that of version 2"

// header reads the first line.
func (r *reader) header() error {
	start, err := r.in.Peek(4)
	if isBlktrace(start) {
		return fault.Usage("IOLOG_BLKTRACE", "have blkparse print it, and make lines of a version 3 log from that: docs/fio-iolog.md has the command",
			"%s is a binary trace of blktrace, and blkmeter replays text logs only", r.log.Name)
	}
	if len(start) == 0 && err == io.EOF {
		return fault.Usage("IOLOG_EMPTY", headerHint, "%s is empty", r.log.Name)
	}
	line, err := r.next()
	if err != nil && err != io.EOF {
		return err
	}
	switch string(line) {
	case "fio version 2 iolog":
		r.version = 2
	case "fio version 3 iolog":
		r.version = 3
	default:
		return r.bad(headerHint, "%s is not the first line of a log that can be replayed", quote(line))
	}
	return nil
}

// isBlktrace recognises struct blk_io_trace of include/uapi/linux/blktrace_api.h by its magic number
// 0x65617400, whose last byte is the version, in either byte order.
func isBlktrace(start []byte) bool {
	return len(start) == 4 && (bytes.Equal(start[1:], []byte{0x74, 0x61, 0x65}) || bytes.Equal(start[:3], []byte{0x65, 0x61, 0x74}))
}

// next returns the next line without its end; it is valid until the next call.
func (r *reader) next() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if len(line) == 0 && err == io.EOF {
		return nil, io.EOF
	}
	if r.line == math.MaxUint32 {
		return nil, r.bad("split the log", "it has too many lines")
	}
	r.line++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, r.bad("this is no log of I/Os", "the line is longer than %d bytes", maxLine)
	case err != nil && err != io.EOF:
		return nil, fault.Wrap(err, fault.ExitUsage, "IOLOG_UNREADABLE", "look at the file", "%s:%d: cannot read the log", r.log.Name, r.line)
	case bytes.IndexByte(line, 0) >= 0:
		return nil, r.bad("this is no text", "the line holds a NUL byte")
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// action reads one line: [TIME] FILE ACTION [OFFSET LENGTH].
func (r *reader) action(line []byte) error {
	var fields [5][]byte
	n := split(line, fields[:])
	if n == 0 {
		return nil
	}
	if bytes.HasPrefix(line, []byte("fio version ")) {
		return r.bad("give each job a write_iolog= of its own, or cut the file before such lines and name the parts in read_iolog=, with a colon between",
			"a second log begins here: several jobs, or runs, wrote to one file")
	}
	rest := fields[:min(n, len(fields))]
	if r.version == 3 {
		if err := r.time(rest[0]); err != nil {
			return err
		}
		rest = rest[1:]
	}
	if n > len(fields) || len(rest) != 2 && len(rest) != 3 && len(rest) != 4 {
		form := "FILE ACTION [OFFSET LENGTH]"
		if r.version == 3 {
			form = "TIME " + form
		}
		return r.bad("a name cannot hold a space", "%s is not of the form %s", quote(line), form)
	}
	name, word, args := rest[0], rest[1], rest[2:]
	switch string(word) {
	case "add":
		return r.add(name, args)
	case "open":
		return r.open(name, args, true)
	case "close":
		return r.open(name, args, false)
	case "wait":
		return r.wait(name, args)
	}
	for op, w := range opNames {
		if string(word) == w {
			return r.io(Op(op), name, args)
		}
	}
	return r.bad("it is one of add, open, close, wait, read, write, trim, sync and datasync", "there is no action %s", quote(word))
}

// split cuts a line at spaces and tabs, as fio does, and returns how many fields it has; at most one more
// than fields has room for.
func split(line []byte, fields [][]byte) int {
	n := 0
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		end := i
		for end < len(line) && line[end] != ' ' && line[end] != '\t' {
			end++
		}
		if n == len(fields) {
			return n + 1
		}
		fields[n] = line[i:end]
		n++
		i = end
	}
	return n
}

// time reads a version 3 time stamp.
func (r *reader) time(text []byte) error {
	us, err := r.number("the time", text, maxTime)
	if err != nil {
		return err
	}
	if us < r.timeUS {
		return r.bad("sort the lines by their time, as sort -sn does", "the time goes back from %d to %d", r.timeUS, us)
	}
	r.timeUS = us
	return nil
}

// wait reads a version 2 wait. fio 3.33 takes its number for milliseconds since the start, although its manual
// speaks of microseconds since the last wait.
func (r *reader) wait(name []byte, args [][]byte) error {
	if r.version == 3 {
		return r.bad("version 3 has times instead", "version 3 has no action wait")
	}
	if len(args) == 0 {
		return r.bad("write FILE wait MILLISECONDS 0", "it does not say how long to wait")
	}
	if _, err := r.file(name); err != nil {
		return err
	}
	const usPerMS = 1000
	ms, err := r.number("the wait", args[0], maxTime/usPerMS)
	if err == nil {
		r.timeUS = max(r.timeUS, ms*usPerMS)
		r.log.Waits = true
	}
	return err
}

// add makes a file known. Again is as good as once.
func (r *reader) add(name []byte, args [][]byte) error {
	if len(args) > 0 {
		return r.bad("", "add takes no numbers")
	}
	if _, ok := r.known[string(name)]; ok {
		return nil
	}
	r.pathBytes += len(name)
	switch {
	case len(name) > maxPath:
		return r.bad("", "the name is longer than %d bytes", maxPath)
	case len(r.known) == maxFiles || r.pathBytes > maxPathBytes:
		return r.bad("split the log", "it names too many files: at most %d, and %d bytes of names", maxFiles, maxPathBytes)
	}
	r.known[string(name)] = len(r.named)
	r.named = append(r.named, named{index: -1})
	return nil
}

// file finds a file that was added.
func (r *reader) file(name []byte) (*named, error) {
	i, ok := r.known[string(name)]
	if !ok {
		return nil, r.bad("a file comes with a line FILE add before anything else", "the file %s was not added", quote(name))
	}
	return &r.named[i], nil
}

// open reads the actions open and close. Files are really opened before the run and closed after it.
func (r *reader) open(name []byte, args [][]byte, open bool) error {
	f, err := r.file(name)
	switch {
	case err != nil:
		return err
	case len(args) > 0:
		return r.bad("", "open and close take no numbers")
	case f.open == open && open:
		return r.bad("", "the file %s is open already", quote(name))
	case f.open == open:
		return r.bad("", "the file %s is not open, so it cannot be closed", quote(name))
	}
	f.open = open
	return nil
}

// io reads an I/O.
func (r *reader) io(op Op, name []byte, args [][]byte) error {
	f, err := r.file(name)
	if err != nil {
		return err
	}
	if !f.open {
		return r.bad("a file has to be opened with a line FILE open before", "a %s of %s, which is not open", op, quote(name))
	}
	e := Entry{TimeNS: r.timeUS * 1000 * 100 / r.options.TimePercent, Line: r.line, Op: op}
	switch {
	case len(args) == 2:
		offset, err := r.number("the offset", args[0], maxOffset)
		if err != nil {
			return err
		}
		length, err := r.number("the length", args[1], math.MaxInt64)
		if err != nil {
			return err
		}
		if !op.moves() {
			break
		}
		if length == 0 || length > MaxBytes {
			return r.bad("", "a %s of %d bytes: it has to be 1 to %d", op, length, MaxBytes)
		}
		offset /= r.options.Scale
		e.Offset, e.Length = offset-offset%r.options.AlignBytes, uint32(length)
	case len(args) == 1 || op.moves():
		return r.bad("", "a %s needs an offset and a length", op)
	}
	if r.options.Skip[op] {
		return nil
	}
	if r.log.n == maxEntries {
		return r.bad("split the log", "it has more than %d I/Os", maxEntries)
	}
	if f.index < 0 {
		f.index = r.use(string(name))
	}
	e.File = uint16(f.index)
	r.log.add(e)
	return nil
}

// use gives a file its place in the log, and returns it.
func (r *reader) use(path string) int {
	files := &r.log.Files
	if r.options.Redirect != "" {
		if len(*files) > 0 {
			return 0
		}
		path = r.options.Redirect
	}
	*files = append(*files, File{Path: path})
	return len(*files) - 1
}

// number reads a decimal number from 0 to most.
func (r *reader) number(what string, text []byte, most int64) (int64, error) {
	n := int64(0)
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, r.bad("numbers are decimal and not negative", "%s is not a number: %s", what, quote(text))
		}
		if n > (most-int64(c-'0'))/10 {
			return 0, r.bad("", "%s is too large: %s is more than %d", what, quote(text), most)
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// bad is an error in the current line.
func (r *reader) bad(hint, format string, args ...any) error {
	return fault.Usage("IOLOG_SYNTAX", hint, "%s:%d: %s", r.log.Name, r.line, fmt.Sprintf(format, args...))
}

// quote makes a part of the input fit for a message.
func quote(text []byte) string {
	const longest = 80
	if len(text) > longest {
		return fmt.Sprintf("%q...", text[:longest])
	}
	return fmt.Sprintf("%q", text)
}
