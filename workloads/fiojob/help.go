package fiojob

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/blkmeter/blkmeter/internal/fault"
)

const (
	helpWidth  = 80
	helpIndent = 30
)

// WriteHelp prints the options that work, by group, in at most 80 columns.
func WriteHelp(w io.Writer) error {
	var b strings.Builder
	for _, g := range Groups() {
		heading := false
		for i := range table().options {
			o := &table().options[i]
			if o.Group != g || o.Effect != Works {
				continue
			}
			if !heading {
				heading = true
				fmt.Fprintf(&b, "%s:\n", g)
			}
			writeOption(&b, o)
		}
		if heading {
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeOption prints "--name=FORM" and beside or below it what the option does.
func writeOption(b *strings.Builder, o *Option) {
	form, about := o.Kind.Syntax(), o.Help
	if list := o.Kind.Words(); list != nil && len(form) > 12 {
		names := make([]string, 0, len(list))
		for _, word := range list {
			if word.Means == "" {
				names = append(names, word.Name)
			}
		}
		about += ": " + strings.Join(names, ", ")
		form = "WORD"
	}
	if o.Default != "" && o.Default != "0" && len(o.Default) < helpWidth-helpIndent-2 {
		about += " [" + o.Default + "]"
	}
	head := "  --" + o.Name
	switch {
	case form == "":
	case o.StandsAlone():
		head += "[=" + form + "]"
	default:
		head += "=" + form
	}
	lines := wrap(about, helpWidth-helpIndent)
	if len(head) > helpIndent-2 {
		b.WriteString(head + "\n")
	} else {
		fmt.Fprintf(b, "%-*s%s\n", helpIndent, head, lines[0])
		lines = lines[1:]
	}
	for _, l := range lines {
		fmt.Fprintf(b, "%*s%s\n", helpIndent, "", l)
	}
}

// wrap breaks text at blanks into lines of at most width columns, longer words excepted.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// Complete returns how the last word of a command line may go on: names of options, or values of one that
// has named values. Each is followed by a tab and a description, as shells' completion wants it.
func Complete(word string) []string {
	name, value, valued := strings.Cut(strings.TrimLeft(word, "-"), "=")
	var list []string
	if valued {
		o, ok := Lookup(name)
		if !ok {
			return nil
		}
		for _, w := range o.Kind.Words() {
			if strings.HasPrefix(w.Name, value) {
				list = append(list, strings.TrimSuffix(word, value)+w.Name+"\t"+w.Help)
			}
		}
		return list
	}
	for _, o := range table().options {
		if o.Effect != Works || !strings.HasPrefix(o.Name, name) {
			continue
		}
		end := "="
		if o.StandsAlone() {
			end = ""
		}
		list = append(list, "--"+o.Name+end+"\t"+o.Help)
	}
	return list
}

// WriteCmdHelp prints what fio prints under --cmdhelp: one line per option for "all" or "", or what is known
// of one option.
func WriteCmdHelp(w io.Writer, name string) error {
	if name == "" || name == "all" {
		for _, o := range table().options {
			if o.Switch || o.Group == GroupForeign {
				continue
			}
			if _, err := fmt.Fprintf(w, "%-24s: %s\n", o.Name, o.Help); err != nil {
				return err
			}
		}
		return nil
	}
	o, ok := Lookup(name)
	if !ok {
		hint := "--cmdhelp=all lists the options"
		if near := nearest(name, table().names); near != "" {
			hint = "did you mean " + near + "?"
		}
		return fault.Usage("UNKNOWN_OPTION", hint, "there is no option %q", shorten(name))
	}
	var b strings.Builder
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%20s: %s\n", name, value)
		}
	}
	row(o.Name, o.Help)
	row("alias", strings.Join(o.Aliases, ", "))
	row("type", o.Kind.Syntax())
	row("default", o.Default)
	row("engines", o.Engine)
	row("differs from fio", o.Differs)
	switch o.Effect {
	case Ignored:
		row("ignored", o.Why)
	case Refused:
		row("not supported", o.Why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteEngHelp prints what fio prints under --enghelp: the engines, or the options of one.
func WriteEngHelp(w io.Writer, name string) error {
	name, option, _ := strings.Cut(name, ",")
	var b strings.Builder
	switch e, known := EngineNamed(name); {
	case option != "":
		return WriteCmdHelp(w, option)
	case name == "":
		b.WriteString("Available IO engines:\n")
		for _, e := range engines {
			if e.Runs != "" {
				fmt.Fprintf(&b, "\t%s\n", e.Name)
			}
		}
	case !known || e.Runs == "":
		return fault.Usage("ENGINE_UNSUPPORTED", "--enghelp lists the engines", "engine not supported: %s", shorten(name))
	default:
		for _, o := range table().options {
			for engine := range strings.SplitSeq(o.Engine, ", ") {
				if engine == name {
					fmt.Fprintf(&b, "%-24s: %s\n", o.Name, o.Help)
				}
			}
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "IO engine %s has no options\n", name)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ShellCommand joins a program and its arguments to a line that a shell reads back as they are.
func ShellCommand(program string, args []string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,%@^"
	var b strings.Builder
	b.WriteString(program)
	for _, arg := range args {
		b.WriteByte(' ')
		if arg != "" && strings.Trim(arg, plain) == "" {
			b.WriteString(arg)
			continue
		}
		b.WriteString("'" + strings.ReplaceAll(arg, "'", `'\''`) + "'")
	}
	return b.String()
}
