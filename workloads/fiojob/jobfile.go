package fiojob

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/internal/fault"
)

const (
	maxLine    = 1 << 20 // bytes of a line, before and after ${NAME} was replaced
	maxNesting = 16      // of include
)

// jobFile reads one job file. The first job of every file but the first waits for all before it.
func (p *parser) jobFile(path string, stonewall bool) {
	r := &fileReader{parser: p, stonewall: stonewall}
	if path == "-" {
		r.read(p.opts.Stdin, "stdin", 0)
	} else {
		f, err := p.opts.Open(path)
		if err != nil {
			p.cannotOpen(err, path, place{})
			return
		}
		r.read(f, path, 0)
		f.Close()
	}
	r.endSection()
}

func (p *parser) cannotOpen(err error, path string, from place) {
	var told *fault.Error
	if errors.As(err, &told) {
		p.problem(told.Code, told.Hint, "%s", told.Error())
		return
	}
	prefix := ""
	if from.file != "" {
		prefix = from.String() + ": include: "
	}
	p.problem("JOB_FILE", "give the path of a job file, or - for stdin", "%scannot open %s: %v", prefix, shorten(path), err)
}

// fileReader reads a job file and what it includes.
type fileReader struct {
	*parser
	stonewall bool
	inSection bool // a section was opened
	skip      bool // --section does not want it
	name      string
	at        place
	options   []assignment
}

// read handles the lines of one file; depth counts the includes around it.
func (r *fileReader) read(input io.Reader, file string, depth int) {
	lines := bufio.NewReaderSize(input, 64<<10)
	var long []byte
	for at := (place{file, 1}); !r.full(); at.line++ {
		line, err := lines.ReadSlice('\n')
		for err == bufio.ErrBufferFull && len(long) <= maxLine {
			long = append(long, line...)
			line, err = lines.ReadSlice('\n')
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		r.budget.bytes -= len(line)
		switch {
		case len(line) > maxLine:
			r.problem("JOB_FILE", "", "%s: the line is longer than %d bytes", at, maxLine)
			return
		case r.budget.bytes < 0:
			r.problem("JOB_FILE", "", "%s: the job files are too large", at)
			return
		case bytes.IndexByte(line, 0) >= 0:
			r.problem("JOB_FILE", "a job file is text; a device or image is named with --filename", "%s: the line holds a NUL byte", at)
			return
		case err != nil && err != io.EOF:
			r.problem("JOB_FILE", "", "%s: cannot read it: %v", at, err)
			return
		}
		if !r.line(clean(string(line)), at, depth) || err == io.EOF {
			return
		}
		long = long[:0]
	}
}

// clean removes the comment and the blanks around a line. fio cuts at the first semicolon, then at the first
// number sign, in quotes too.
func clean(line string) string {
	line, _, _ = strings.Cut(line, ";")
	line, _, _ = strings.Cut(line, "#")
	return strings.Trim(line, " \t\r\n\v\f")
}

// line handles one line; false ends the reading of the file.
func (r *fileReader) line(line string, at place, depth int) bool {
	switch {
	case line == "":
		return true
	case line[0] == '[':
		if depth > 0 {
			r.problem("JOB_FILE", "move the section into the including file", "%s: an included file must not start sections", at)
			return false
		}
		return r.startSection(line, at)
	case !r.inSection:
		r.problem("JOB_FILE", "start a section with [name] or [global] before it", "%s: %q is outside of a section", at, shorten(line))
		return false
	case r.skip:
		return true
	}
	if rest, ok := strings.CutPrefix(line, "include"); ok && rest != "" && strings.ContainsRune(" \t=", rune(rest[0])) {
		return r.include(strings.TrimLeft(rest, " \t="), at, depth)
	}
	return r.option(line, at)
}

// startSection opens the section of a [name] line; the name ends at the last bracket.
func (r *fileReader) startSection(line string, at place) bool {
	end := strings.LastIndexByte(line, ']')
	if end < 0 {
		r.problem("JOB_FILE", "write [name]", "%s: the section has no closing bracket", at)
		return false
	}
	r.endSection()
	if r.clones > r.settings.MaxJobs {
		return false
	}
	r.inSection, r.name, r.at = true, line[1:end], at
	r.skip = !r.isGlobal() && !r.wanted(r.name)
	return true
}

// isGlobal says whether the section holds globals: fio compares the first six letters.
func (r *fileReader) isGlobal() bool { return strings.HasPrefix(r.name, "global") }

// endSection turns the options gathered into a job, or gives them to the globals.
func (r *fileReader) endSection() {
	if !r.inSection {
		return
	}
	r.inSection = false
	options := r.options
	r.options = r.options[:0]
	if r.skip {
		return
	}
	kbBase := table().byName["kb_base"]
	slices.SortStableFunc(options, func(a, b assignment) int {
		switch {
		case (a.index == kbBase) == (b.index == kbBase):
			return 0
		case a.index == kbBase:
			return -1
		}
		return 1
	})
	if r.isGlobal() {
		r.section(&r.globals, options, true)
		return
	}
	d := r.globals
	d.Options, d.Name = nil, r.name
	if r.stonewall {
		d.Stonewall, r.stonewall = true, false
	}
	r.section(&d, options, false)
	if d.Name != r.name { // files that the job makes keep the section's name
		d.FilenameFormat = strings.ReplaceAll(d.FilenameFormat, "$jobname", r.name)
	}
	r.finish(&d, r.at)
}

// option reads a line "name=value" or "name".
func (r *fileReader) option(line string, at place) bool {
	if r.budget.options--; r.budget.options < 0 {
		r.problem("JOB_FILE", "", "%s: there are too many options", at)
		return false
	}
	if line = r.expandEnv(line); len(line) > maxLine {
		r.problem("JOB_FILE", "", "%s: with its variables replaced the line is longer than %d bytes", at, maxLine)
		return false
	}
	name, value, valued := strings.Cut(line, "=")
	name = strings.TrimRight(name, " \t")
	index, ok := table().byName[name]
	if !ok {
		r.unknown(at, name)
		return true
	}
	o := &table().options[index]
	if o.Switch {
		r.problem("UNKNOWN_OPTION", "give it on the command line", "%s: %s is a switch of the command line, not an option of jobs", at, name)
		return true
	}
	value, err := r.calculate(value, o)
	if err != nil {
		r.problem("BAD_VALUE", "", "%s: %s=%s: %v", at, name, shorten(value), err)
		return true
	}
	r.options = append(r.options, assignment{index: index, value: value, bare: !valued, place: at})
	return true
}

// expandEnv replaces every ${NAME} by the environment's value, which is empty when it is not set.
func (r *fileReader) expandEnv(line string) string {
	if !strings.Contains(line, "${") {
		return line
	}
	var b strings.Builder
	for b.Len() <= maxLine {
		before, after, found := strings.Cut(line, "${")
		name, rest, closed := strings.Cut(after, "}")
		if !found || !closed {
			b.WriteString(line)
			break
		}
		b.WriteString(before)
		b.WriteString(r.opts.Env(name))
		line = rest
	}
	return b.String()
}

// calculate replaces the keywords of a value and, when there were any or the value is in parentheses,
// computes it.
func (r *fileReader) calculate(value string, o *Option) (string, error) {
	replaced := false
	for _, k := range [...]struct {
		word  string
		value int64
	}{
		{"$pagesize", int64(r.opts.PageBytes)},
		{"$mb_memory", r.opts.MemoryBytes >> 20},
		{"$ncpus", int64(r.opts.NCPUs)},
	} {
		if k.value > 0 && strings.Contains(value, k.word) {
			value = strings.ReplaceAll(value, k.word, strconv.FormatInt(k.value, 10))
			replaced = true
		}
	}
	inParens := strings.HasPrefix(value, "(") && o.numeric()
	if !inParens && (!replaced || !o.numeric() || !strings.ContainsAny(value, "+-*/%^")) {
		return value, nil
	}
	v, err := evaluate(value)
	if err != nil {
		return value, err
	}
	return strconv.FormatInt(v, 10), nil
}

// numeric says whether the option takes a number or size.
func (o *Option) numeric() bool {
	switch k := o.Kind.(type) {
	case integer, amount, duration, fileSizes:
		return true
	case perDirection:
		return !k.duration
	}
	return false
}

// include reads another file's options into the section. A relative path starts at the including file.
func (r *fileReader) include(path string, at place, depth int) bool {
	switch {
	case depth+1 >= maxNesting:
		r.problem("JOB_FILE", "does a file include itself?", "%s: includes are nested more than %d deep", at, maxNesting)
		return false
	case r.budget.includes == 0:
		r.problem("JOB_FILE", "", "%s: there are too many includes", at)
		return false
	}
	r.budget.includes--
	if dir := filepath.Dir(at.file); !filepath.IsAbs(path) && dir != "." {
		path = filepath.Join(dir, path)
	}
	f, err := r.opts.Open(path)
	if err != nil {
		r.cannotOpen(err, path, at)
		return false
	}
	defer f.Close()
	before := len(r.problems)
	r.read(f, path, depth+1)
	return len(r.problems) == before
}
