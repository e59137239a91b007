package text

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// style is how a piece of text looks on a terminal that shows colours.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	yellow style = "33"
)

// page collects lines of at most width characters.
type page struct {
	out   bytes.Buffer
	width int
	color bool
}

// nbsp joins what must stay on one line, such as a number and its unit; it is printed as a blank.
const nbsp = "\u00a0"

// put writes a piece of a line; blanks at its ends are not styled. What came from a device, a file or a user is harmless afterwards: control
// characters, which a terminal would obey, become "?".
func (p *page) put(s style, text string) {
	text = strings.Map(func(r rune) rune {
		switch {
		case string(r) == nbsp:
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '?'
	}, text)
	core := strings.Trim(text, " ")
	if !p.color || s == plain || core == "" {
		p.out.WriteString(text)
		return
	}
	before, after, _ := strings.Cut(text, core)
	p.out.WriteString(before + "\x1b[" + string(s) + "m" + core + "\x1b[0m" + after)
}

// end ends the line, without the blanks that padded its last piece.
func (p *page) end() {
	p.out.Truncate(len(bytes.TrimRight(p.out.Bytes(), " ")))
	p.out.WriteByte('\n')
}

// line writes one line in one style.
func (p *page) line(s style, text string) {
	p.put(s, text)
	p.end()
}

// entry writes "  label  text", the text broken into lines that all start below its first word.
// labelWidth is the label's column; wider labels push the first line only.
func (p *page) entry(labelStyle style, label string, labelWidth int, textStyle style, text string) {
	label = padRight(label, labelWidth)
	for i, l := range wrap(text, p.width-labelWidth-2) {
		if i > 0 {
			label = strings.Repeat(" ", labelWidth)
		}
		p.put(labelStyle, label)
		p.put(plain, "  ")
		p.line(textStyle, l)
	}
}

// wrap breaks text at blanks into lines of at most width characters; a longer word gets its own line.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' }) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

func padRight(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

func padLeft(s string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s))) + s
}

// shorten cuts s to width characters, the last two being "..".
func shorten(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-2)]) + ".."
}

// centre puts s into the middle of a line of fill.
func centre(s string, width int, fill string) string {
	left := max(0, width-utf8.RuneCountInString(s))
	return strings.Repeat(fill, left/2) + s + strings.Repeat(fill, left-left/2)
}
