package fiojob

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/workloads"
)

// Kind is how an option's value is read and where it goes.
type Kind interface {
	// Syntax is the form of a value for help: "BYTES", "0|1", "read|write|...".
	Syntax() string
	// Words lists the values that the option accepts by name, for completion; nil for other kinds.
	Words() []Word
	// alone returns the value that an option without a value has; ok is false when it needs one.
	alone() (value string, ok bool)
	parse(d *draft, value string) (trap string, err error)
}

// Word is a value that has a name.
type Word struct {
	Name  string
	Means string // the name that it is a synonym of; empty when it is none
	Help  string
}

// words makes Words of names; "a=b" makes a a synonym of b.
func words(names ...string) []Word {
	list := make([]Word, len(names))
	for i, n := range names {
		list[i].Name, list[i].Means, _ = strings.Cut(n, "=")
	}
	return list
}

// valued is embedded by kinds that need a value and have no named ones.
type valued struct{}

func (valued) Words() []Word         { return nil }
func (valued) alone() (string, bool) { return "", false }

// boolean takes 0 or 1 and needs it.
type boolean struct {
	set func(*draft, bool)
}

func (boolean) Syntax() string        { return "0|1" }
func (boolean) Words() []Word         { return words("0", "1") }
func (boolean) alone() (string, bool) { return "", false }

func (k boolean) parse(d *draft, value string) (string, error) {
	on, trap, err := parseBool(value)
	if err == nil && k.set != nil {
		k.set(d, on)
	}
	return trap, err
}

// flag takes 0 or 1 or stands alone, which means 1.
type flag struct {
	set func(*draft, bool)
}

func (flag) Syntax() string        { return "0|1" }
func (flag) Words() []Word         { return words("0", "1") }
func (flag) alone() (string, bool) { return "1", true }

func (k flag) parse(d *draft, value string) (string, error) { return boolean(k).parse(d, value) }

// parseBool reads fio's booleans: the number at the start of the text, which must be 0 or 1.
func parseBool(value string) (on bool, trap string, err error) {
	q, err := units.ParseQuantity(value, 1024)
	if err != nil || (q.Value != 0 && q.Value != 1) {
		return false, "", fmt.Errorf("%q is neither 0 nor 1", value)
	}
	if s := strings.TrimSpace(value); s != "0" && s != "1" {
		trap = fmt.Sprintf("%q is %d", value, q.Value)
	}
	return q.Value == 1, trap, nil
}

// integer takes a number with fio's suffixes between min and max.
type integer struct {
	valued
	min, max int64
	unit     string // for help; N when empty
	set      func(*draft, int64)
}

func (k integer) Syntax() string {
	if k.unit != "" {
		return k.unit
	}
	return "N"
}

func (k integer) parse(d *draft, value string) (string, error) {
	items, _ := units.SplitList(value)
	q, err := items[0].Quantity(d.kbBase)
	if err != nil {
		return "", fmt.Errorf("%q: %w", value, err)
	}
	if err := inRange(q, k.min, k.max, value); err != nil {
		return "", err
	}
	if k.set != nil {
		k.set(d, q.Value)
	}
	trap := q.Trap
	if len(items) > 1 {
		trap = fmt.Sprintf("%q is %d: the option takes one number", value, q.Value)
	}
	return trap, nil
}

func inRange(q units.Quantity, low, high int64, text string) error {
	switch {
	case q.Percent:
		return fmt.Errorf("%q: the option takes no percentage", text)
	case q.Zones:
		return fmt.Errorf("%q: the option takes no zones", text)
	case q.Value < low:
		return fmt.Errorf("%q is below %d, the lowest value", text, low)
	case q.Value > high:
		return fmt.Errorf("%q is above %d, the highest value", text, high)
	}
	return nil
}

// perDirection takes up to three numbers, for reads, writes and trims. A number not followed by a comma
// also goes to the directions after it.
type perDirection struct {
	valued
	min, max int64
	unit     string
	duration bool // values are times in microseconds
	set      func(*draft, workloads.Direction, int64)
}

func (k perDirection) Syntax() string { return k.unit + "[," + k.unit + "[," + k.unit + "]]" }

func (k perDirection) parse(d *draft, value string) (string, error) {
	items, more := units.SplitList(value)
	var firstErr error
	var traps []string
	done := false
	for i, item := range items {
		n, trap, err := k.number(d, item)
		if err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue
		}
		if i >= workloads.Directions {
			traps = append(traps, fmt.Sprintf("%q has more than three values; those after the third are ignored", value))
			break
		}
		done = true
		if trap != "" {
			traps = append(traps, trap)
		}
		last := i
		if i == len(items)-1 && !more {
			last = workloads.Directions - 1
		}
		if k.set != nil {
			for dir := i; dir <= last; dir++ {
				k.set(d, workloads.Direction(dir), n)
			}
		}
	}
	if !done {
		return "", firstErr
	}
	if !strings.Contains(value, ",") && len(items) > 1 {
		traps = append(traps, fmt.Sprintf("%q is a list, not a range: %s for reads, %s for writes", value, items[0].Text, items[1].Text))
	}
	return strings.Join(traps, "; "), nil
}

func (k perDirection) number(d *draft, item units.Item) (int64, string, error) {
	if k.duration {
		t, trap, err := item.Duration(time.Microsecond)
		if err != nil {
			return 0, "", fmt.Errorf("%q: %w", item.Text, err)
		}
		return int64(t), trap, inRange(units.Quantity{Value: int64(t)}, k.min, k.max, item.Text)
	}
	q, err := item.Quantity(d.kbBase)
	if err != nil {
		return 0, "", fmt.Errorf("%q: %w", item.Text, err)
	}
	return q.Value, q.Trap, inRange(q, k.min, k.max, item.Text)
}

// amount takes a size in bytes or a percentage of the target.
type amount struct {
	valued
	set func(*draft, workloads.Amount)
}

func (amount) Syntax() string { return "BYTES|N%" }

func (k amount) parse(d *draft, value string) (string, error) {
	items, _ := units.SplitList(value)
	item := items[len(items)-1]
	q, err := item.Quantity(d.kbBase)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q: %w", value, err)
	case q.Zones:
		return "", fmt.Errorf("%q: sizes in zones need zonemode=zbd, which blkmeter does not have", value)
	case q.Value < 0:
		return "", fmt.Errorf("%q is negative", value)
	case q.Percent && q.Value > 100:
		return "", fmt.Errorf("%q is more than the whole target", value)
	}
	a := workloads.Amount{Bytes: q.Value, Set: true}
	if q.Percent {
		a = workloads.Amount{Percent: float64(q.Value), IsPct: true, Set: true}
	}
	if k.set != nil {
		k.set(d, a)
	}
	trap := q.Trap
	if len(items) > 1 {
		trap = fmt.Sprintf("%q is %s: the option takes one size, and the last of a list wins", value, item.Text)
	}
	return trap, nil
}

// duration takes a time; a number without a suffix counts in bare.
type duration struct {
	valued
	bare time.Duration
	set  func(*draft, time.Duration)
}

func (k duration) Syntax() string {
	if k.bare == time.Second {
		return "SECONDS"
	}
	return "USEC"
}

func (k duration) parse(d *draft, value string) (string, error) {
	items, _ := units.SplitList(value)
	t, trap, err := items[0].Duration(k.bare)
	if err != nil {
		return "", fmt.Errorf("%q: %w", value, err)
	}
	if t < 0 {
		return "", fmt.Errorf("%q is negative", value)
	}
	if len(items) > 1 {
		trap = fmt.Sprintf("%q is %s: the option takes one time", value, units.Time(t))
	}
	if k.set != nil {
		k.set(d, t)
	}
	return trap, nil
}

// durationRange takes one time in seconds, or two that a time is drawn from.
type durationRange struct {
	valued
	set func(*draft, workloads.DurationRange)
}

func (durationRange) Syntax() string { return "SECONDS[-SECONDS]" }

func (k durationRange) parse(d *draft, value string) (string, error) {
	items, _ := units.SplitList(value)
	if len(items) > 2 {
		return "", fmt.Errorf("%q: the option takes a time or a range of two", value)
	}
	var times [2]time.Duration
	var traps []string
	for i, item := range items {
		t, trap, err := item.Duration(time.Second)
		if err != nil || t < 0 {
			return "", fmt.Errorf("%q is not a time", item.Text)
		}
		if trap != "" {
			traps = append(traps, trap)
		}
		times[i] = t
	}
	if len(items) == 1 {
		times[1] = times[0]
	}
	k.set(d, workloads.DurationRange{Min: min(times[0], times[1]), Max: max(times[0], times[1])})
	return strings.Join(traps, "; "), nil
}

// sizeRanges takes up to three ranges of sizes, for reads, writes and trims.
type sizeRanges struct {
	valued
	set func(*draft, workloads.Direction, workloads.SizeRange)
}

func (sizeRanges) Syntax() string { return "MIN-MAX[,MIN-MAX[,MIN-MAX]]" }

func (k sizeRanges) parse(d *draft, value string) (string, error) {
	more := strings.HasSuffix(value, ",")
	parts := strings.Split(strings.TrimSuffix(value, ","), ",")
	if len(parts) > workloads.Directions {
		return "", fmt.Errorf("%q has more than three ranges", value)
	}
	var traps []string
	for i, part := range parts {
		if part == "" && i < len(parts)-1 {
			continue
		}
		r, trap, err := parseRange(part, d.kbBase, 1, MaxBlockBytes)
		if err != nil {
			return "", err
		}
		if trap != "" {
			traps = append(traps, trap)
		}
		last := i
		if i == len(parts)-1 && !more {
			last = workloads.Directions - 1
		}
		for dir := i; dir <= last; dir++ {
			k.set(d, workloads.Direction(dir), workloads.SizeRange{Min: uint32(r.Min), Max: uint32(r.Max)})
		}
	}
	return strings.Join(traps, "; "), nil
}

// parseRange reads "low-high" or "low:high"; the bounds may come in either order.
func parseRange(text string, kbBase int, low, high int64) (workloads.SizeRange64, string, error) {
	at := strings.IndexByte(text, '-')
	if at < 0 {
		at = strings.IndexByte(text, ':')
	}
	if at < 0 {
		return workloads.SizeRange64{}, "", fmt.Errorf("%q is not a range, as in 4k-64k", text)
	}
	var bounds [2]int64
	var traps []string
	for i, part := range [2]string{text[:at], text[at+1:]} {
		q, err := units.ParseQuantity(part, kbBase)
		if err != nil {
			return workloads.SizeRange64{}, "", fmt.Errorf("%q: %w", part, err)
		}
		if err := inRange(q, low, high, part); err != nil {
			return workloads.SizeRange64{}, "", err
		}
		if q.Trap != "" {
			traps = append(traps, q.Trap)
		}
		bounds[i] = q.Value
	}
	return workloads.SizeRange64{Min: min(bounds[0], bounds[1]), Max: max(bounds[0], bounds[1])}, strings.Join(traps, "; "), nil
}

// enum takes one of a list of words; with suffix set, ":something" may follow it. Blanks around the value
// do no harm here; fio takes "rw = read" for an error.
type enum struct {
	words  []Word
	suffix string // the form of what may follow the colon; empty: nothing may
	set    func(d *draft, word, suffix string) error
}

func (k enum) Syntax() string {
	names := make([]string, 0, len(k.words))
	for _, w := range k.words {
		if w.Means == "" {
			names = append(names, w.Name)
		}
	}
	s := strings.Join(names, "|")
	if k.suffix != "" {
		s += "[:" + k.suffix + "]"
	}
	return s
}

func (k enum) Words() []Word       { return k.words }
func (enum) alone() (string, bool) { return "", false }

func (k enum) parse(d *draft, value string) (string, error) {
	name, suffix := strings.TrimSpace(value), ""
	if k.suffix != "" {
		name, suffix, _ = strings.Cut(name, ":")
	}
	for _, w := range k.words {
		if w.Name != name {
			continue
		}
		if w.Means != "" {
			name = w.Means
		}
		if k.set == nil {
			return "", nil
		}
		return "", k.set(d, name, suffix)
	}
	names := make([]string, len(k.words))
	for i, w := range k.words {
		names[i] = w.Name
	}
	if near := nearest(name, names); near != "" {
		return "", fmt.Errorf("%q is not a value that it knows; did you mean %q?", name, near)
	}
	return "", fmt.Errorf("%q is none of %s", name, strings.Join(names, ", "))
}

// text takes anything.
type text struct {
	valued
	form string
	set  func(d *draft, value string) error
}

func (k text) Syntax() string { return k.form }

func (k text) parse(d *draft, value string) (string, error) {
	if k.set == nil {
		return "", nil
	}
	return "", k.set(d, strings.TrimSpace(value))
}

// floats takes up to limit numbers, separated by colons, in (low, high].
type floats struct {
	valued
	limit     int
	low, high float64
	set       func(*draft, []float64)
}

func (k floats) Syntax() string {
	if k.limit == 1 {
		return "N.N"
	}
	return "N.N[:N.N...]"
}

func (k floats) parse(d *draft, value string) (string, error) {
	parts := strings.Split(value, ":")
	if len(parts) > k.limit {
		return "", fmt.Errorf("%q has more than %d numbers", value, k.limit)
	}
	list := make([]float64, len(parts))
	for i, part := range parts {
		v, err := parseFloat(part)
		if err != nil {
			return "", err
		}
		if v < k.low || v > k.high {
			return "", fmt.Errorf("%q is not between %v and %v", part, k.low, k.high)
		}
		list[i] = v
	}
	slices.Sort(list)
	if k.set != nil {
		k.set(d, list)
	}
	return "", nil
}

func parseFloat(s string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return v, nil
}
