package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// MaxBytes is the longest Result that Load reads. A worker with two directions and three latencies each
// takes about 40 KiB, so this is room for some thousands of workers.
const MaxBytes = 128 << 20

// Write writes r as one JSON document, indented by two spaces and ended by a newline.
func Write(w io.Writer, r *Result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Save writes r to the file at path as [SaveFile] does.
func Save(path string, r *Result) error {
	return SaveFile(path, func(w io.Writer) error { return Write(w, r) })
}

// SaveFile gives path the content that write produces, or leaves it as it was: the content goes to a
// temporary name in the same directory, is synced, and then takes the name, so that neither a full disk
// nor a kill leaves half a document or a stray file that looks like one. A path that exists and is a
// terminal, pipe or character device (/dev/stdout) is written to directly, since there is nothing to
// replace. A block device is refused: a document over a disk is never what was meant.
func SaveFile(path string, write func(io.Writer) error) error {
	target, mode, err := placeOf(path)
	switch {
	case err != nil:
		return err
	case !mode.IsRegular():
		return writeThrough(target, write)
	}
	if err := replace(target, mode, write); err != nil {
		return cannotWrite(err, path)
	}
	return nil
}

// Create opens a file for what a run writes along the way (logs, dumps, what commands print): made new with the
// permissions, or with what it held cut off, unless append. As with [SaveFile] a block device, which a link may lead
// to, is refused.
func Create(path string, perm fs.FileMode, append bool) (*os.File, error) {
	mode := 0
	if append {
		mode = os.O_APPEND
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|mode, perm)
	if err != nil {
		return nil, err
	}
	switch fi, e := f.Stat(); {
	case e != nil:
		err = e
	case fi.Mode()&fs.ModeDevice != 0 && fi.Mode()&fs.ModeCharDevice == 0:
		err = deviceOutput(path)
	case fi.Mode().IsRegular() && !append:
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func deviceOutput(path string) error {
	return fault.New(fault.ExitRefused, "OUTPUT_IS_DEVICE", "name a file to write the result to", "the output %s is a block device", path)
}

// CanSave says whether [SaveFile] could begin to write to path now; it leaves nothing behind. What takes long to
// make should not be lost to a mistyped directory.
func CanSave(path string) error {
	target, mode, err := placeOf(path)
	if err != nil || !mode.IsRegular() {
		return err
	}
	f, err := temporary(target, mode)
	if err != nil {
		return cannotWrite(err, path)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return cannotWrite(err, path)
	}
	return nil
}

// placeOf returns the file that path leads to, and its type and permissions: only a regular file is replaced.
func placeOf(path string) (target string, mode fs.FileMode, err error) {
	target, err = filepath.EvalSymlinks(path) // a link stays a link to the new content
	if errors.Is(err, fs.ErrNotExist) {
		target = path
	} else if err != nil {
		return "", 0, cannotWrite(err, path)
	}
	fi, err := os.Stat(target)
	switch {
	case err != nil:
		return target, 0o666, nil
	case fi.IsDir():
		return "", 0, cannotWrite(syscall.EISDIR, path)
	case fi.Mode()&fs.ModeDevice != 0 && fi.Mode()&fs.ModeCharDevice == 0:
		return "", 0, deviceOutput(path)
	case fi.Mode().IsRegular():
		return target, fi.Mode().Perm(), nil
	}
	return target, fi.Mode(), nil
}

func cannotWrite(err error, path string) error {
	hint := "choose another file with --output"
	if errors.Is(err, syscall.ENOSPC) {
		hint = "the filesystem is full; what the file held before is untouched"
	}
	return fault.Wrap(err, fault.ExitIO, "OUTPUT_FAILED", hint, "cannot write the result to %s", path)
}

// writeThrough writes to something that cannot be replaced.
func writeThrough(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return cannotWrite(err, path)
	}
	if err := errors.Join(writeBuffered(f, write), f.Close()); err != nil {
		return cannotWrite(err, path)
	}
	return nil
}

func writeBuffered(f *os.File, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(f, 1<<16)
	if err := write(b); err != nil {
		return err
	}
	return b.Flush()
}

// replace writes a temporary file beside path and renames it.
func replace(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	f, err := temporary(path, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(writeBuffered(f, write), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	syncDirectory(filepath.Dir(path))
	return nil
}

// temporary creates a file beside path with a name of its own.
func temporary(path string, mode fs.FileMode) (*os.File, error) {
	dir, base := filepath.Split(path)
	for {
		// os.CreateTemp would ignore the umask and make the file private.
		name := filepath.Join(dir, fmt.Sprintf(".%s.%08x.tmp", base, rand.Uint32()))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// syncDirectory makes the rename durable. Not every filesystem can, and the content is whole either way.
func syncDirectory(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// Load reads one Result. What is not a Result, is one of another schema, is longer than [MaxBytes], or
// contradicts itself is a *fault.Error. Memory stays in proportion to the input's length. Histograms are
// decoded only when they are used.
func Load(r io.Reader) (*Result, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.ExitUsage, "RESULT_UNREADABLE", "", "cannot read the result")
	}
	if len(data) > MaxBytes {
		return nil, notAResult(nil, "longer than %d MiB", MaxBytes>>20)
	}
	if err := checkSchema(data); err != nil {
		return nil, err
	}
	if objects, most := outerObjects(data), len(data)/64+10_000; objects > most {
		return nil, notAResult(nil, "%d jobs and workers in %d bytes: they are empty", objects, len(data))
	}
	var result Result
	if err := json.Unmarshal(data, &result); err != nil {
		return nil, notAResult(err, "not a valid %s document", Schema)
	}
	if err := result.check(); err != nil {
		return nil, notAResult(err, "it contradicts itself")
	}
	return &result, nil
}

func notAResult(err error, format string, args ...any) error {
	return fault.Wrap(err, fault.ExitUsage, "NOT_A_RESULT", "name a file written by blkmeter run --output-format=json", format, args...)
}

func checkSchema(data []byte) error {
	var head struct {
		Schema string `json:"schema"`
		Fio    string `json:"fio version"`
	}
	switch err := json.Unmarshal(data, &head); {
	case err != nil:
		return notAResult(err, "not JSON")
	case head.Schema == Schema:
		return nil
	case head.Fio != "":
		return notAResult(nil, "this is fio's JSON, of %.20q, which does not hold what a result does", head.Fio)
	case head.Schema == "":
		return notAResult(nil, "the document has no schema; a result says %q", Schema)
	default:
		return fault.New(fault.ExitUsage, "RESULT_SCHEMA", "use the blkmeter that wrote it, or a newer one",
			"the document's schema is %.60q; this blkmeter reads %q", head.Schema, Schema)
	}
}

// outerObjects counts the objects of JSON text that may become a job, target, worker or interval: those at
// most five levels deep. They are by far the largest in memory, and "{}" is all an attacker needs to write.
func outerObjects(data []byte) int {
	objects, depth, inString := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			if c == '{' && depth <= 5 {
				objects++
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return objects
}

// mostSkipped is how many workers there can be of jobs that never began: as many as a run can have (--max-jobs).
const mostSkipped = 4096

// check verifies what readers of a Result rely on.
func (r *Result) check() error {
	skipped := 0
	if err := checkOptions(r.Globals); err != nil {
		return fmt.Errorf("globals: %w", err)
	}
	for i := range r.Jobs {
		j := &r.Jobs[i]
		if err := checkOptions(j.Options); err != nil {
			return fmt.Errorf("job %q: %w", j.Name, err)
		}
		if j.Skipped != "" {
			if j.Spec.NumJobs < 0 || j.Spec.NumJobs > mostSkipped-skipped {
				return fmt.Errorf("job %q never began with %d workers", j.Name, j.Spec.NumJobs)
			}
			skipped += j.Spec.NumJobs
		}
		if j.GroupID < 0 || j.GroupID >= len(r.Jobs) {
			return fmt.Errorf("job %q is in group %d of a run with %d jobs", j.Name, j.GroupID, len(r.Jobs))
		}
		for _, t := range j.Spec.Targets {
			if t < 0 || t >= len(r.Targets) {
				return fmt.Errorf("job %q uses target %d of %d", j.Name, t, len(r.Targets))
			}
		}
		if err := j.Stats.check(); err != nil {
			return fmt.Errorf("job %q: %w", j.Name, err)
		}
		for w := range j.Workers {
			if err := j.Workers[w].Stats.check(); err != nil {
				return fmt.Errorf("job %q, worker %d: %w", j.Name, w, err)
			}
		}
	}
	return nil
}

func checkOptions(options []workloads.Option) error {
	if slices.ContainsFunc(options, func(o workloads.Option) bool { return o.Name == "" }) {
		return errors.New("an option without a name")
	}
	return nil
}

func (s *Stats) check() error {
	if s.RuntimeNS < 0 {
		return fmt.Errorf("runtime of %d ns", s.RuntimeNS)
	}
	for _, d := range []*DirStats{s.Read, s.Write, s.Trim} {
		if d == nil {
			continue
		}
		if d.IOs < 0 || d.Bytes < 0 || d.Issued < 0 || d.RuntimeNS < 0 {
			return errors.New("a negative count")
		}
		for _, l := range []*Latency{d.Slat, d.Clat, d.Lat, d.Response} {
			if l != nil && (l.N < 0 || l.MinNS > l.MaxNS) {
				return fmt.Errorf("latency of %d samples from %d to %d ns", l.N, l.MinNS, l.MaxNS)
			}
		}
	}
	return nil
}
