package inspect

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/prose"
)

// column is one column of the table. Columns with the lowest priority go first when the table is too wide.
type column struct {
	title    string
	priority int
	right    bool // numbers
	value    func(Device) string
}

var columns = []column{
	{"NAME", 100, false, func(d Device) string { return d.Name }},
	{"MODEL", 20, false, func(d Device) string { return cutStart(d.title(), titleWidth) }},
	{"FIRMWARE", 10, false, func(d Device) string { return d.Firmware }},
	{"SIZE", 95, true, func(d Device) string { return formatBytes(d.SizeBytes) }},
	{"BLOCK", 80, false, func(d Device) string { return fmt.Sprintf("%d/%d", d.LogicalBytes, d.PhysicalBytes) }},
	{"KIND", 60, false, func(d Device) string { return string(d.Kind) }},
	{"VIA", 30, false, func(d Device) string { return orDash(d.Transport) }},
	{"SCHEDULER", 70, false, func(d Device) string { return orDash(d.Scheduler) }},
	{"QUEUES", 75, false, func(d Device) string { return queueWords(d.Queues) }},
	{"TAGS", 65, true, func(d Device) string { return numberOrDash(d.Tags, 0) }},
	{"NODE", 40, true, func(d Device) string { return numberOrDash(d.NUMANode, -1) }},
	{"CACHE", 35, false, func(d Device) string { return cacheWord(d.WriteCache) }},
	{"WRITE", 90, false, writeWord},
	{"IN USE BY", 85, false, usedBy},
}

const (
	gap        = "  "
	titleWidth = 32
)

// Table writes one line for each device. Columns are left out, the least telling first, until the lines fit
// width; 0 is no limit.
func Table(w io.Writer, devices []Device, width int) error {
	shown := columns
	for totalWidth(shown, devices) > width && width > 0 && len(shown) > 5 {
		shown = without(shown, leastTelling(shown))
	}
	widths := columnWidths(shown, devices)
	var b strings.Builder
	writeRow(&b, shown, widths, width, func(c column) string { return c.title })
	for _, d := range devices {
		writeRow(&b, shown, widths, width, func(c column) string { return c.value(d) })
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRow writes one line, cut to limit.
func writeRow(b *strings.Builder, cols []column, widths []int, limit int, value func(column) string) {
	var line strings.Builder
	for i, c := range cols {
		text := value(c)
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
		if i > 0 {
			line.WriteString(gap)
		}
		if c.right {
			line.WriteString(pad + text)
		} else {
			line.WriteString(text + pad)
		}
	}
	row := strings.TrimRight(line.String(), " ")
	if limit > 0 {
		row = prose.Cut(row, limit)
	}
	b.WriteString(row + "\n")
}

// cutStart shortens a text to limit characters from its start: the end of a path tells more.
func cutStart(text string, limit int) string {
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return "…" + string(runes[len(runes)-limit+1:])
}

func columnWidths(cols []column, devices []Device) []int {
	widths := make([]int, len(cols))
	for i, c := range cols {
		widths[i] = len(c.title)
		for _, d := range devices {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.value(d)))
		}
	}
	return widths
}

// totalWidth is the width of the longest line; the last column may be cut, and counts with its title.
func totalWidth(cols []column, devices []Device) int {
	widths := columnWidths(cols, devices)
	widths[len(widths)-1] = len(cols[len(cols)-1].title)
	total := len(gap) * (len(cols) - 1)
	for _, n := range widths {
		total += n
	}
	return total
}

func leastTelling(cols []column) int {
	least := 0
	for i, c := range cols {
		if c.priority < cols[least].priority {
			least = i
		}
	}
	return least
}

func without(cols []column, at int) []column {
	rest := make([]column, 0, len(cols)-1)
	return append(append(rest, cols[:at]...), cols[at+1:]...)
}

// queueWords counts hardware queues: "8", or "8+2 poll", or "-" for a bio-based device.
func queueWords(queues []Queue) string {
	count := map[string]int{}
	for _, q := range queues {
		count[q.Type]++
	}
	if len(queues) == 0 {
		return "-"
	}
	words := strconv.Itoa(count["default"])
	for _, kind := range []string{"read", "poll"} {
		if count[kind] > 0 {
			words += fmt.Sprintf("+%d %s", count[kind], kind)
		}
	}
	return words
}

// writeWord is the guard's verdict in one word.
func writeWord(d Device) string {
	if d.Write == target.OnRequest {
		return "--destroy"
	}
	return string(d.Write)
}

// usedBy names what uses a device: the mount points and swap areas, or else the holders.
func usedBy(d Device) string {
	var words []string
	for _, u := range d.UsedBy {
		switch {
		case u.Kind == "mounted":
			words = append(words, u.By)
		case u.Kind == "swap":
			words = append(words, "swap")
		case len(words) == 0 || u.Kind == "held" && u.Device == d.Name:
			words = append(words, u.By)
		}
	}
	return strings.Join(words, ", ")
}

func cacheWord(cache string) string {
	switch cache {
	case "write back":
		return "back"
	case "write through":
		return "through"
	}
	return orDash(cache)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func numberOrDash(n, dash int) string {
	if n == dash {
		return "-"
	}
	return strconv.Itoa(n)
}

// formatBytes writes a size with three figures in binary units.
func formatBytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= 1023.5 && unit < 6 {
		value /= 1024
		unit++
	}
	digits := 0
	switch {
	case value < 9.995:
		digits = 2
	case value < 99.95:
		digits = 1
	}
	text := strconv.FormatFloat(value, 'f', digits, 64)
	if digits > 0 {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + " " + []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}[unit]
}
