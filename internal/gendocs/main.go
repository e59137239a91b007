// Command gendocs writes docs/jobfile.md from the option table. Run it from the top of the repository:
//
//	go run ./internal/gendocs
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/blkmeter/blkmeter/workloads/fiojob"
)

// jobfilePath is where the page lies, seen from the top of the repository.
const jobfilePath = "docs/jobfile.md"

func main() {
	if err := os.WriteFile(jobfilePath, jobfile(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

const introduction = `# Job files and options

blkmeter reads fio's job files and fio's command line. This page lists every option, from the same table that
the program reads; it is written by ` + "`go run ./internal/gendocs`" + `, so do not edit it.

## Job files

A job file is made of sections. ` + "`[name]`" + ` starts a job, and each line below it is an option of that job:
` + "`option=value`" + `, or ` + "`option`" + ` alone where a value may be left out. ` + "`[global]`" + ` holds options for all jobs after it; there may be
several. A semicolon or number sign starts a comment anywhere on a line, in quotes too.

- ` + "`include FILE`" + ` in a section reads options from another file, which must not start sections. A relative path
  starts at the including file.
- ` + "`${NAME}`" + ` becomes the value of an environment variable, and nothing when it is not set.
- ` + "`$ncpus`, `$pagesize` and `$mb_memory`" + ` become the number of CPUs, the page size in bytes and the memory in MiB.
  A value with one of them may compute: ` + "`size=8*$mb_memory`" + `, with ` + "`+ - * / % ^`" + ` and parentheses, and numbers
  with suffixes. So may a value that starts with a parenthesis: ` + "`bs=(2*4k)`" + `.
- A section whose name starts with ` + "`/dev/`" + ` and that has no ` + "`filename`" + ` does I/O to that device.
- Several job files run one after the other. ` + "`-`" + ` is the job file on standard input.

On the command line, options before the first ` + "`--name`" + ` are global, and each ` + "`--name`" + ` starts a job. One hyphen does as
well as two, ` + "`--rw read`" + ` as well as ` + "`--rw=read`" + `, and an unambiguous beginning of a name as well as the name.

A job that comes from a job file, or from ` + "`blkmeter fio`" + `, has fio's defaults. A job that comes from options of
` + "`blkmeter run`" + ` alone has two others: ` + "`direct=1`" + ` and ` + "`ioengine=auto`" + `.

## Values

| Form | Meaning |
|---|---|
| BYTES, N | decimal, or hexadecimal after 0x, with a suffix in either case: k, m, g, t, p, with or without a b after it, are powers of 1024 |
| N% | a share of the target |
| SECONDS, USEC | a time: a number without a suffix counts in the unit named; the suffixes are d, h, m, s, ms, us |
| 0\|1 | 0 or 1, and nothing else. ` + "`[=0\\|1]`" + ` may stand alone, which means 1 |
| A[,B[,C]] | for reads, writes and trims. A value without a comma after it goes for the rest, too: 8k,32k gives trims 32k |

fio's language has traps. blkmeter reads these as fio does and warns (FIO_TRAP); ` + "`--strict`" + ` makes them errors:

| Text | Is | Since |
|---|---|---|
| bs=4KiB | 4000 bytes | with kb_base=1024 the suffixes kib, mib ... are powers of 1000 |
| bs=4x, size=1.5m, bs=1e6 | 4, 1 and 1 bytes | what follows the digits is ignored when it is no suffix |
| bs = 4k | 4 bytes | a space before a number hides its suffix |
| runtime=1min, runtime=10sec | 1 and 10 microseconds | any suffix of a time that is not known means microseconds |
| startdelay=5s-10s | from 5 microseconds | the suffix of the first number is taken to be s-10s; write 5-10s |
| bs=1k-4k | 1k for reads, 4k for writes and trims | only bsrange takes ranges |
| filename=B after filename=A | both | the option adds to the targets named before, in [global] too |
| size=1g,2g | 2g | the last of a list wins where there should be one value |

## Options

An empty default means that the option is not in force unless it is given.
`

// jobfile renders the page.
func jobfile() []byte {
	var b bytes.Buffer
	b.WriteString(introduction)
	for _, g := range fiojob.Groups() {
		fmt.Fprintf(&b, "\n### %s\n\n| Option | Value | Default | Meaning |\n|---|---|---|---|\n", g)
		for _, o := range fiojob.Options() {
			if o.Group == g {
				row(&b, &o)
			}
		}
	}
	return b.Bytes()
}

func row(b *bytes.Buffer, o *fiojob.Option) {
	name := "`" + o.Name + "`"
	if o.Switch {
		name = "`--" + o.Name + "`"
	}
	for _, alias := range o.Aliases {
		name += ", `" + alias + "`"
	}
	meaning := []string{o.Help}
	add := func(label, text string) {
		if text != "" {
			meaning = append(meaning, label+text)
		}
	}
	if o.Group != fiojob.GroupForeign {
		add("of the engines ", o.Engine)
	}
	add("unlike fio: ", o.Differs)
	switch o.Effect {
	case fiojob.Ignored:
		add("**ignored**: ", o.Why)
	case fiojob.Refused:
		add("**not supported**: ", o.Why)
	}
	if o.Own {
		add("", "blkmeter's own")
	}
	synonyms := []string{}
	for _, w := range o.Kind.Words() {
		if w.Means != "" {
			synonyms = append(synonyms, w.Name+" for "+w.Means)
		}
	}
	add("also ", strings.Join(synonyms, ", "))
	form := o.Kind.Syntax()
	if o.StandsAlone() && form != "" {
		form = "[=" + form + "]"
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, cell(form), cell(o.Default), cell(strings.Join(meaning, "; ")))
}

// cell makes text fit for a table of Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "$", `\$`, "<", "&lt;").Replace(s)
}
