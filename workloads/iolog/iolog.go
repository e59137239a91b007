// Package iolog reads and writes logs of single I/Os in fio's text formats, versions 2 and 3: what
// write_iolog records and read_iolog replays (fio(1), "TRACE FILE FORMAT"). A line is an action on a file:
//
//	fio version 3 iolog
//	0 /data/file add
//	0 /data/file open
//	125 /data/file read 4096 8192
//	310 /data/file sync 0 0
//	400 /data/file close
//
// with the time in microseconds since the beginning, the offset and the length in bytes. Version 2 has no
// times, but waits.
//
// A log is read line by line, and of each I/O 32 bytes are kept: 10 million I/Os take 320 MB. Whatever the
// input, the memory needed is bounded.
package iolog

import "github.com/blkmeter/blkmeter/internal/fault"

// Op is what an entry does. The values equal those of engine.Op and pattern.IO.
type Op uint8

// The kinds of entries.
const (
	Read Op = iota
	Write
	Trim
	Sync     // fsync; offset and length mean nothing
	Datasync // fdatasync; likewise
	Ops      = 5
)

var opNames = [Ops]string{"read", "write", "trim", "sync", "datasync"}

// String returns the log's word.
func (o Op) String() string { return opNames[o] }

// moves says whether the operation has an offset and a length.
func (o Op) moves() bool { return o <= Trim }

// Entry is one I/O of a log.
type Entry struct {
	TimeNS int64  // since the log's beginning; not before that of the entry in front of it
	Offset int64  // bytes; 0 for syncs
	Length uint32 // bytes, 1 to MaxBytes; 0 for syncs
	Line   uint32 // of the log, from 1
	File   uint16 // index into Log.Files
	Op     Op
}

// MaxBytes is the most that one entry may move: the most that Linux does in one call (MAX_RW_COUNT), rounded
// down to a power of two.
const MaxBytes = 1 << 30

// Log is a log that has been read.
type Log struct {
	Name       string     // of the file that it was read from
	Files      []File     // that its entries use, in the order in which they first do
	Ops        [Ops]Total // of all files
	DurationNS int64      // from the beginning to the last entry
	Waits      bool       // a version 2 log with waits

	chunks [][]Entry
	n      int
}

// Has says whether any entry of the log is of the kind, which may be one that logs do not have.
func (l *Log) Has(op Op) bool { return op < Ops && l.Ops[op].IOs > 0 }

// File is one target of a log.
type File struct {
	Path string
	Ops  [Ops]Total
	Low  int64 // the first byte that any entry touches; Low and High are 0 when there is none
	High int64 // the byte behind the last
}

// Total is what the entries of one kind are together.
type Total struct {
	IOs                int64
	Bytes              int64
	MinBytes, MaxBytes uint32 // shortest and longest entry; 0 without entries
}

func (t *Total) add(length uint32) {
	if t.IOs == 0 || length < t.MinBytes {
		t.MinBytes = length
	}
	t.MaxBytes = max(t.MaxBytes, length)
	t.IOs++
	t.Bytes += int64(length)
}

// Entries are kept in chunks, since a slice that grows is copied and would need twice its size.
const chunkEntries = 1 << 15

// Len is the number of entries.
func (l *Log) Len() int { return l.n }

// From returns entries from number i on: at least one, unless there are none, and not always all.
func (l *Log) From(i int) []Entry {
	if i >= l.n {
		return nil
	}
	return l.chunks[i/chunkEntries][i%chunkEntries:]
}

// add appends an entry.
func (l *Log) add(e Entry) {
	if l.n%chunkEntries == 0 {
		l.chunks = append(l.chunks, make([]Entry, 0, chunkEntries))
	}
	last := &l.chunks[len(l.chunks)-1]
	*last = append(*last, e)
	l.n++
	l.DurationNS = e.TimeNS
	f := &l.Files[e.File]
	f.Ops[e.Op].add(e.Length)
	l.Ops[e.Op].add(e.Length)
	if e.Op.moves() {
		if f.High == 0 || e.Offset < f.Low {
			f.Low = e.Offset
		}
		f.High = max(f.High, e.Offset+int64(e.Length))
	}
}

// Fit finds out whether all entries of a file lie within size bytes, at offsets and with lengths that are
// multiples of align. The error is a usage fault that names the line of the first that does not.
func (l *Log) Fit(file int, size, align int64) error {
	f := &l.Files[file]
	for i := 0; i < l.n; {
		chunk := l.From(i)
		for k := range chunk {
			e := &chunk[k]
			if int(e.File) != file || !e.Op.moves() {
				continue
			}
			if e.Offset+int64(e.Length) > size {
				return fault.Usage("IOLOG_BEYOND_TARGET", "use --replay_scale=N to divide the offsets, or a larger target",
					"%s:%d: a %s of %d bytes at offset %d ends beyond %s, which has %d bytes", l.Name, e.Line, e.Op, e.Length, e.Offset, f.Path, size)
			}
			if e.Offset%align != 0 || int64(e.Length)%align != 0 {
				return fault.Usage("IOLOG_ALIGNMENT", "use --replay_align=BYTES to round offsets down, or --direct=0 to go through the page cache",
					"%s:%d: a %s of %d bytes at offset %d is no multiple of the %d bytes that direct I/O on %s needs", l.Name, e.Line, e.Op, e.Length, e.Offset, align, f.Path)
			}
		}
		i += len(chunk)
	}
	return nil
}
