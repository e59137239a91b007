package iolog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// entries returns all entries of a log.
func entries(l *Log) []Entry {
	all := []Entry{}
	for len(all) < l.Len() {
		all = append(all, l.From(len(all))...)
	}
	return all
}

func read(t *testing.T, text string, o Options) *Log {
	t.Helper()
	l, err := ReadLog(strings.NewReader(text), "test.log", o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const version3 = `fio version 3 iolog
0 /a add
0 /b add
0 /never add
3 /a open
4 /b open
100 /b read 1536 4096

250	/a   write 8704 512
300 /a trim 65536 1073741824
300 /b sync 0 0
400 /b datasync
500 /b close
600 /b open
1000 /b read 8192 8192
2000 /a close
`

func TestReadVersion3(t *testing.T) {
	l := read(t, version3, Options{})
	want := []Entry{
		{TimeNS: 100_000, Offset: 1536, Length: 4096, Line: 7, File: 0, Op: Read},
		{TimeNS: 250_000, Offset: 8704, Length: 512, Line: 9, File: 1, Op: Write},
		{TimeNS: 300_000, Offset: 65536, Length: 1 << 30, Line: 10, File: 1, Op: Trim},
		{TimeNS: 300_000, Line: 11, File: 0, Op: Sync},
		{TimeNS: 400_000, Line: 12, File: 0, Op: Datasync},
		{TimeNS: 1_000_000, Offset: 8192, Length: 8192, Line: 15, File: 0, Op: Read},
	}
	if diff := cmp.Diff(want, entries(l)); diff != "" {
		t.Error(diff)
	}
	if l.DurationNS != 1_000_000 || l.Waits {
		t.Errorf("duration %d, waits %v", l.DurationNS, l.Waits)
	}
	files := []File{
		{Path: "/b", Low: 1536, High: 16384, Ops: [Ops]Total{Read: {2, 12288, 4096, 8192}, Sync: {IOs: 1}, Datasync: {IOs: 1}}},
		{Path: "/a", Low: 8704, High: 65536 + 1<<30, Ops: [Ops]Total{Write: {1, 512, 512, 512}, Trim: {1, 1 << 30, 1 << 30, 1 << 30}}},
	}
	if diff := cmp.Diff(files, l.Files); diff != "" {
		t.Error(diff)
	}
	if got := l.Ops[Read]; got != (Total{2, 12288, 4096, 8192}) {
		t.Errorf("reads of all files: %+v", got)
	}
}

func TestOptions(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		want string // offset@microsecond of each entry
	}{
		{"nothing", Options{}, "1536@100 8704@250 65536@300 0@300 0@400 8192@1000"},
		{"scale", Options{Scale: 3}, "512@100 2901@250 21845@300 0@300 0@400 2730@1000"},
		{"align", Options{AlignBytes: 4096}, "0@100 8192@250 65536@300 0@300 0@400 8192@1000"},
		{"scale, then align", Options{Scale: 3, AlignBytes: 512}, "512@100 2560@250 21504@300 0@300 0@400 2560@1000"},
		{"twice the speed", Options{TimePercent: 200}, "1536@50 8704@125 65536@150 0@150 0@200 8192@500"},
		{"half the speed", Options{TimePercent: 50}, "1536@200 8704@500 65536@600 0@600 0@800 8192@2000"},
		{"skip", Options{Skip: [Ops]bool{Read: true, Sync: true, Datasync: true}}, "8704@250 65536@300"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, e := range entries(read(t, version3, tt.o)) {
				got = append(got, fmt.Sprintf("%d@%d", e.Offset, e.TimeNS/1000))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
	l := read(t, version3, Options{Redirect: "/other"})
	if len(l.Files) != 1 || l.Files[0].Path != "/other" || l.Files[0].Low != 1536 || l.Files[0].High != 65536+1<<30 {
		t.Errorf("redirected: %+v", l.Files)
	}
	for _, e := range entries(l) {
		if e.File != 0 {
			t.Errorf("redirected: %+v", e)
		}
	}
}

// Version 2 has no times; fio 3.33 takes its waits for milliseconds since the start.
func TestReadVersion2(t *testing.T) {
	l := read(t, "fio version 2 iolog\n/f add\n/f open\n/f read 0 512\n/f wait 500 0\n/f write 512 512\n/f wait 400 0\n/f sync\n/f wait 900 0\n/f datasync 0 0\n", Options{})
	want := []Entry{
		{Length: 512, Line: 4, Op: Read},
		{TimeNS: 500e6, Offset: 512, Length: 512, Line: 6, Op: Write},
		{TimeNS: 500e6, Line: 8, Op: Sync},
		{TimeNS: 900e6, Line: 10, Op: Datasync},
	}
	if diff := cmp.Diff(want, entries(l)); diff != "" || !l.Waits {
		t.Errorf("waits %v\n%s", l.Waits, diff)
	}
}

// endless yields a part of a line again and again.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

func TestErrors(t *testing.T) {
	const begin = "fio version 3 iolog\n0 /f add\n0 /f open\n"
	tests := []struct{ text, code, want string }{
		{"", "IOLOG_EMPTY", "test.log is empty"},
		{"fio version 3 iolog", "IOLOG_EMPTY", "holds no I/O"},
		{begin, "IOLOG_EMPTY", "holds no I/O"},
		{"fio version 4 iolog\n", "IOLOG_SYNTAX", `test.log:1: "fio version 4 iolog" is not the first line`},
		{"0, 4096, 4096\n", "IOLOG_SYNTAX", "test.log:1: "},
		{"\x07tae\x00\x00\x00\x00more", "IOLOG_BLKTRACE", "test.log is a binary trace"},
		{"eat\x07\x00\x00\x00\x00more", "IOLOG_BLKTRACE", "test.log is a binary trace"},
		{begin + "1 /f read 0 512\nfio version 3 iolog\n0 /g add\n", "IOLOG_SYNTAX", "test.log:5: a second log begins here"},
		{"fio version 3 iolog\n0 /f open\n", "IOLOG_SYNTAX", `test.log:2: the file "/f" was not added`},
		{"fio version 3 iolog\n0 /f add\n0 /f read 0 512\n", "IOLOG_SYNTAX", "test.log:3: a read of \"/f\", which is not open"},
		{"fio version 3 iolog\n0 /f add\n0 /f close\n", "IOLOG_SYNTAX", `test.log:3: the file "/f" is not open, so it cannot be closed`},
		{begin + "0 /f close\n1 /f write 0 512\n", "IOLOG_SYNTAX", "test.log:5: a write of \"/f\", which is not open"},
		{begin + "0 /f open\n", "IOLOG_SYNTAX", "is open already"},
		{begin + "9 /f read 0 512\n8 /f read 0 512\n", "IOLOG_SYNTAX", "test.log:5: the time goes back from 9 to 8"},
		{begin + "-1 /f read 0 512\n", "IOLOG_SYNTAX", `test.log:4: the time is not a number: "-1"`},
		{begin + "1 /f read -4096 512\n", "IOLOG_SYNTAX", `the offset is not a number: "-4096"`},
		{begin + "1 /f read 0x10 512\n", "IOLOG_SYNTAX", "the offset is not a number"},
		{begin + "1 /f read 4611686018427387905 512\n", "IOLOG_SYNTAX", "the offset is too large"},
		{begin + "1 /f read 99999999999999999999999 512\n", "IOLOG_SYNTAX", "the offset is too large"},
		{begin + "99999999999999999 /f read 0 512\n", "IOLOG_SYNTAX", "the time is too large"},
		{begin + "1 /f read 0 0\n", "IOLOG_SYNTAX", "a read of 0 bytes"},
		{begin + "1 /f write 0 1073741825\n", "IOLOG_SYNTAX", "a write of 1073741825 bytes"},
		{begin + "1 /f read 0\n", "IOLOG_SYNTAX", "needs an offset and a length"},
		{begin + "1 /f read\n", "IOLOG_SYNTAX", "needs an offset and a length"},
		{begin + "1 /f sync 0\n", "IOLOG_SYNTAX", "needs an offset and a length"},
		{begin + "1 /f read 0 512 7\n", "IOLOG_SYNTAX", "is not of the form TIME FILE ACTION"},
		{begin + "1 /f\n", "IOLOG_SYNTAX", "is not of the form TIME FILE ACTION"},
		{begin + "1 /f erase 0 512\n", "IOLOG_SYNTAX", `there is no action "erase"`},
		{begin + "1 /f wait 10 0\n", "IOLOG_SYNTAX", "version 3 has no action wait"},
		{begin + "# a comment\n", "IOLOG_SYNTAX", "test.log:4: "},
		{begin + "1 /f re\x00ad 0 512\n", "IOLOG_SYNTAX", "test.log:4: the line holds a NUL byte"},
		{"fio version 2 iolog\n/f wait 5 0\n", "IOLOG_SYNTAX", "was not added"},
		{"fio version 2 iolog\n/f add\n/f wait\n", "IOLOG_SYNTAX", "does not say how long"},
		{"fio version 3 iolog\n0 /" + strings.Repeat("x", maxPath) + " add\n", "IOLOG_SYNTAX", "the name is longer than"},
		{begin + "1 /f " + strings.Repeat("x", maxLine), "IOLOG_SYNTAX", "test.log:4: the line is longer than"},
	}
	for _, tt := range tests {
		_, err := ReadLog(strings.NewReader(tt.text), "test.log", Options{})
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != tt.code || e.Exit != fault.ExitUsage || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %v, want %s: %s", tt.text, err, tt.code, tt.want)
		}
		if e != nil && len(e.Sentence) > 1000 {
			t.Errorf("%.60q: a message of %d bytes", tt.text, len(e.Sentence))
		}
	}
}

// Input without an end gives an error, and needs no more memory than the bounds allow.
func TestHostileInputIsBounded(t *testing.T) {
	for name, in := range map[string]io.Reader{
		"one line":   endless("x"),
		"NUL bytes":  endless("\x00"),
		"no log":     endless("y\n"),
		"many files": io.MultiReader(strings.NewReader("fio version 3 iolog\n"), &manyFiles{}),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := ReadLog(in, "test.log", Options{}); err == nil {
				t.Fatal("it was read")
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
				t.Errorf("%d bytes were allocated", used)
			}
		})
	}
}

// manyFiles adds files without end.
type manyFiles struct {
	n    int
	rest string
}

func (m *manyFiles) Read(p []byte) (int, error) {
	if m.rest == "" {
		m.rest = fmt.Sprintf("0 /%d add\n", m.n)
		m.n++
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// A compact record is kept of each I/O, and nothing else grows with a log.
func TestMemoryPerEntry(t *testing.T) {
	if size := reflect.TypeFor[Entry]().Size(); size != 32 {
		t.Errorf("an entry takes %d bytes, the documentation says 32", size)
	}
	const n = 10 * chunkEntries
	var b bytes.Buffer
	b.WriteString("fio version 3 iolog\n0 /f add\n0 /f open\n")
	for i := range n {
		fmt.Fprintf(&b, "%d /f read %d 4096\n", i, i*4096)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l, err := ReadLog(&b, "test.log", Options{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if l.Len() != n {
		t.Fatalf("%d entries", l.Len())
	}
	if per := float64(after.TotalAlloc-before.TotalAlloc) / n; per > 33 {
		t.Errorf("%.1f bytes were allocated per entry", per)
	}
}

func TestFit(t *testing.T) {
	l := read(t, version3, Options{})
	tests := []struct {
		file        int
		size, align int64
		want        string // of the error; empty: none
	}{
		{0, 16384, 1, ""},
		{0, 16384, 512, ""},
		{0, 16383, 1, "test.log:15: a read of 8192 bytes at offset 8192 ends beyond /b, which has 16383 bytes"},
		{0, 16384, 4096, "test.log:7: a read of 4096 bytes at offset 1536 is no multiple of the 4096 bytes"},
		{1, 1 << 40, 4096, "test.log:9: a write of 512 bytes at offset 8704"},
		{1, 65536, 512, "test.log:10: a trim of 1073741824 bytes at offset 65536 ends beyond /a"},
	}
	for _, tt := range tests {
		err := l.Fit(tt.file, tt.size, tt.align)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("file %d of %d bytes, aligned to %d: %v, want %q", tt.file, tt.size, tt.align, err, tt.want)
		}
	}
}

// anyLog draws files and entries that a log can hold.
func anyLog(t *rapid.T) ([]string, []Entry) {
	paths := rapid.SliceOfNDistinct(rapid.StringMatching(`/[a-zA-Z0-9_./:-]{1,20}`), 1, 5, rapid.ID).Draw(t, "paths")
	list := make([]Entry, rapid.IntRange(1, 200).Draw(t, "entries"))
	at := int64(0)
	for i := range list {
		at += rapid.Int64Range(0, 1_000_000).Draw(t, "gap") * 1000
		e := Entry{TimeNS: at, File: uint16(rapid.IntRange(0, len(paths)-1).Draw(t, "file")), Op: Op(rapid.IntRange(0, Ops-1).Draw(t, "op"))}
		if e.Op.moves() {
			e.Offset = rapid.Int64Range(0, 1<<50).Draw(t, "offset")
			e.Length = rapid.Uint32Range(1, MaxBytes).Draw(t, "length")
		}
		list[i] = e
	}
	return paths, list
}

// What was written is read again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		paths, want := anyLog(t)
		var b bytes.Buffer
		w := NewWriter(&b, paths)
		for part := want; len(part) > 0; {
			n := rapid.IntRange(1, len(part)).Draw(t, "batch")
			w.Write(part[:n])
			part = part[n:]
		}
		if err := w.Close(want[len(want)-1].TimeNS + 5_000); err != nil {
			t.Fatal(err)
		}
		l, err := ReadLog(&b, "x", Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, b.Bytes())
		}
		got := entries(l)
		if len(got) != len(want) {
			t.Fatalf("%d entries were written, %d read", len(want), len(got))
		}
		for i := range got {
			g, e := got[i], want[i]
			path := l.Files[g.File].Path
			if path != paths[e.File] || g.TimeNS != e.TimeNS || g.Offset != e.Offset || g.Length != e.Length || g.Op != e.Op {
				t.Fatalf("entry %d: %+v of %s, written %+v of %s", i, g, path, e, paths[e.File])
			}
		}
	})
}

// Times do not go back in a log, even where they were intended in another order.
func TestWriterKeepsTimeInOrder(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, []string{"/f"})
	w.Write([]Entry{{TimeNS: 5_999, Length: 1}, {TimeNS: 3_000, Offset: 7, Length: 2, Op: Write}, {TimeNS: 8_000, Op: Sync}})
	if err := w.Close(1_000); err != nil {
		t.Fatal(err)
	}
	const want = "fio version 3 iolog\n0 /f add\n0 /f open\n5 /f read 0 1\n5 /f write 7 2\n8 /f sync 0 0\n8 /f close\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// A job may name a file twice; it is added and opened once.
func TestWriterTakesAPathForOneFile(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, []string{"/f", "/g", "/f"})
	w.Write([]Entry{{Length: 1}, {File: 2, Length: 2}})
	if err := w.Close(0); err != nil {
		t.Fatal(err)
	}
	if l := read(t, b.String(), Options{}); len(l.Files) != 1 || l.Files[0].Ops[Read].IOs != 2 {
		t.Errorf("%+v\n%s", l.Files, b.String())
	}
}

// full fails after some bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("no space")
	}
	return len(p), nil
}

func TestRecorder(t *testing.T) {
	var b bytes.Buffer
	r := NewRecorder(NewWriter(&b, []string{"/f"}))
	const n = 5*batchEntries + 17
	for i := range n {
		r.Add(Entry{TimeNS: int64(i) * 1000, Offset: int64(i) * 512, Length: 512})
	}
	if err := r.Close(n * 1000); err != nil {
		t.Fatal(err)
	}
	l := read(t, b.String(), Options{})
	if l.Len() != n {
		t.Fatalf("%d of %d entries were written", l.Len(), n)
	}
	for i, e := range entries(l) {
		if e.TimeNS != int64(i)*1000 || e.Offset != int64(i)*512 {
			t.Fatalf("entry %d is %+v", i, e)
		}
	}

	r = NewRecorder(NewWriter(&full{room: 1 << 20}, []string{"/f"}))
	for i := range 50 * batchEntries { // a failure holds nobody up
		r.Add(Entry{TimeNS: int64(i) * 1000, Length: 512})
	}
	if err := r.Close(0); err == nil || err.Error() != "no space" {
		t.Errorf("a full disk: %v", err)
	}
}

func TestRecorderAllocatesNothing(t *testing.T) {
	r := NewRecorder(NewWriter(io.Discard, []string{"/f"}))
	for range 10 * batchEntries { // until the writer's buffers have their size
		r.Add(Entry{Length: 512})
	}
	if got := testing.AllocsPerRun(5*batchEntries, func() { r.Add(Entry{Length: 512}) }); got != 0 {
		t.Errorf("%v allocations for an I/O", got)
	}
	if err := r.Close(0); err != nil {
		t.Error(err)
	}
}

func TestCheckPath(t *testing.T) {
	for path, ok := range map[string]bool{
		"/dev/loop0": true, "/a:b": true, "": false, "/a b": false, "/a\tb": false, "/a\nb": false, "/" + strings.Repeat("x", 4096): false,
	} {
		if err := CheckPath(path); (err == nil) != ok {
			t.Errorf("%.20q: %v", path, err)
		}
	}
}

func TestOpenFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, []byte(version3), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := OpenFile(name, Options{})
	if err != nil || l.Len() != 6 || l.Name != name {
		t.Errorf("%+v, %v", l, err)
	}
	for _, missing := range []string{name + "x", filepath.Dir(name)} {
		if _, err := OpenFile(missing, Options{}); fault.Of(err).Code != "IOLOG_UNREADABLE" {
			t.Errorf("%s: %v", missing, err)
		}
	}
}

// Whatever is read, the answer is a log that keeps its promises or a fault, in bounded memory.
func FuzzRead(f *testing.F) {
	f.Add([]byte(version3), int64(3), int64(512), int64(200))
	f.Add([]byte("fio version 2 iolog\n/f add\n/f open\n/f wait 500 0\n/f write 512 512\n/f close\n"), int64(1), int64(1), int64(1))
	f.Add([]byte("\x07tae"), int64(0), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, text []byte, scale, align, percent int64) {
		l, err := ReadLog(bytes.NewReader(text), "fuzz.log", Options{Scale: scale, AlignBytes: align, TimePercent: percent})
		if err != nil {
			var e *fault.Error
			if !errors.As(err, &e) || e.Exit != fault.ExitUsage || e.Sentence == "" || len(e.Sentence) > 4*maxLine {
				t.Fatalf("the error is %#v", err)
			}
			return
		}
		last := int64(0)
		for _, e := range entries(l) {
			file := l.Files[e.File]
			if e.TimeNS < last || e.Offset < 0 || e.Op >= Ops || e.Op.moves() != (e.Length > 0) || e.Length > MaxBytes || e.Line < 3 ||
				e.Op.moves() && (e.Offset < file.Low || e.Offset+int64(e.Length) > file.High) {
				t.Fatalf("%+v of %+v", e, file)
			}
			last = e.TimeNS
		}
		if last != l.DurationNS || len(entries(l)) != l.Len() || l.Len() == 0 {
			t.Fatalf("%d entries over %d ns", l.Len(), l.DurationNS)
		}
		if scale <= 1 && align <= 1 && (percent <= 0 || percent == 100) && !slices.ContainsFunc(l.Files, func(f File) bool { return CheckPath(f.Path) != nil }) {
			var b bytes.Buffer
			paths := make([]string, len(l.Files))
			for i := range l.Files {
				paths[i] = l.Files[i].Path
			}
			w := NewWriter(&b, paths)
			w.Write(entries(l))
			if err := w.Close(last); err != nil {
				t.Fatal(err)
			}
			again, err := ReadLog(&b, "again", Options{})
			if err != nil || again.Len() != l.Len() || !slices.Equal(again.Files, l.Files) {
				t.Fatalf("written and read again: %v", err)
			}
		}
	})
}
