// Package units reads numbers as fio does, traps included, and prints quantities for people.
//
// fio's number grammar is older than its manual and differs from it. The rules here were established
// by running fio 3.33 (fio --parse-only --debug=parse) and agree with its 3.42 sources; the test
// compares them with an installed fio. Where a text means something that a reader would not expect,
// the value is fio's and a trap says what it became.
package units

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Quantity is a number as fio reads it.
type Quantity struct {
	Value   int64  // after the suffix was applied; the bare number when Percent or Zones
	Percent bool   // written "N%"
	Zones   bool   // written "Nz": a count of zones of a zoned device
	Trap    string // what a reader would not expect of this text; empty when there is no surprise
}

var (
	errNoNumber = errors.New("not a number")
	errTooLarge = errors.New("the number is too large")
)

// ParseQuantity reads a count or size: decimal or 0x hexadecimal digits and an optional suffix in either
// case. kbBase is fio's kb_base, 1024 or 1000. With 1024 (fio's default) k, m, g, t and p, with or without
// a b, are powers of 1024 and kib, mib ... are powers of 1000; with 1000 both are the other way round.
// Whatever else follows the digits is ignored, as fio ignores it.
func ParseQuantity(s string, kbBase int) (Quantity, error) { return parseQuantity(s, s, kbBase) }

// parseQuantity reads the number at the start of text. shown is the part of text that the reader takes
// for the number: in lists fio reads each number from the text up to the end of the list.
func parseQuantity(text, shown string, kbBase int) (Quantity, error) {
	n, err := leadingInt(text)
	if err != nil {
		return Quantity{}, err
	}
	q := Quantity{Value: n}
	suffix := suffixOf(text)
	mult := uint64(1)
	switch {
	case strings.HasPrefix(suffix, "%"):
		q.Percent = true
	case strings.EqualFold(suffixOf(shown), "z"):
		q.Zones = true
	default:
		mult = byteMultiplier(strings.ToLower(suffix), kbBase)
	}
	if q.Value, err = scale(n, mult); err != nil {
		return Quantity{}, err
	}
	if expected, ok := plainReading(shown, kbBase); !ok || expected != q.Value {
		q.Trap = quantityTrap(shown, q, kbBase)
	}
	return q, nil
}

// leadingInt is C's strtoll with the base that fio chooses: 16 when "0x" occurs anywhere, else 10.
func leadingInt(s string) (int64, error) {
	t := strings.TrimLeft(s, " \t\n\v\f\r")
	negative := false
	if t != "" && (t[0] == '-' || t[0] == '+') {
		negative = t[0] == '-'
		t = t[1:]
	}
	base := uint64(10)
	if hasHexMark(s) {
		base = 16
		if hasHexMark(t[:min(2, len(t))]) {
			if len(t) == 2 || digitOf(t[2]) >= base {
				return 0, nil // "0x" alone: the zero is the number
			}
			t = t[2:]
		}
	}
	var n uint64
	digits := 0
	for digits < len(t) && digitOf(t[digits]) < base {
		hi, lo := bits.Mul64(n, base)
		n = lo + digitOf(t[digits])
		if hi != 0 || n > math.MaxInt64 {
			return 0, errTooLarge
		}
		digits++
	}
	if digits == 0 {
		return 0, errNoNumber
	}
	if negative {
		return -int64(n), nil
	}
	return int64(n), nil
}

func hasHexMark(s string) bool { return strings.Contains(s, "0x") || strings.Contains(s, "0X") }

// digitOf returns the value of a digit in base 36, or 36 when c is none.
func digitOf(c byte) uint64 {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0')
	case c >= 'a' && c <= 'z':
		return uint64(c-'a') + 10
	case c >= 'A' && c <= 'Z':
		return uint64(c-'A') + 10
	}
	return 36
}

// suffixOf returns what follows the sign and decimal digits at the very start of s when that begins with a
// letter or a percent sign, else nothing. A leading space therefore hides the suffix: " 4k" is 4.
func suffixOf(s string) string {
	i := 0
	if s != "" && (s[0] == '+' || s[0] == '-') {
		i = 1
	}
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i < len(s) && (s[i] == '%' || isLetter(s[i])) {
		return s[i:]
	}
	return ""
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

const sizeLetters = "kmgtp" // powers 1 to 5

// byteMultiplier returns what the suffix, in lower case, multiplies with; fio compares its start only.
func byteMultiplier(suffix string, kbBase int) uint64 {
	if suffix == "" {
		return 1
	}
	power := strings.IndexByte(sizeLetters, suffix[0]) + 1
	if power == 0 {
		return 1
	}
	base := uint64(kbBase)
	if strings.HasPrefix(suffix[1:], "ib") {
		base = 2024 - base // 1000 for 1024 and the reverse
	}
	mult := uint64(1)
	for range power {
		mult *= base
	}
	return mult
}

func scale(n int64, mult uint64) (int64, error) {
	magnitude := uint64(n)
	if n < 0 {
		magnitude = -magnitude
	}
	hi, lo := bits.Mul64(magnitude, mult)
	if hi != 0 || lo > math.MaxInt64 {
		return 0, errTooLarge
	}
	if n < 0 {
		return -int64(lo), nil
	}
	return int64(lo), nil
}

// plainReading returns what a reader expects of s: all of it is a number with one of the usual suffixes,
// where kib means 1024 whatever kb_base says. ok is false when s is not such a text.
func plainReading(s string, kbBase int) (value int64, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false
	}
	n, err := leadingInt(s)
	if err != nil {
		return 0, false
	}
	i := 0
	if s[0] == '+' || s[0] == '-' {
		i = 1
	}
	base := uint64(10)
	if hasHexMark(s[i:min(i+2, len(s))]) {
		i, base = i+2, 16
	} else if hasHexMark(s) {
		return 0, false
	}
	for i < len(s) && digitOf(s[i]) < base {
		i++
	}
	mult := uint64(1)
	switch suffix := strings.ToLower(s[i:]); suffix {
	case "", "b", "%", "z":
	default:
		power := strings.IndexByte(sizeLetters, suffix[0]) + 1
		if power == 0 {
			return 0, false
		}
		unit := uint64(kbBase)
		switch suffix[1:] {
		case "", "b":
		case "i", "ib":
			unit = 1024
		default:
			return 0, false
		}
		for range power {
			mult *= unit
		}
	}
	value, err = scale(n, mult)
	return value, err == nil
}

func quantityTrap(shown string, q Quantity, kbBase int) string {
	suffix := strings.ToLower(suffixOf(shown))
	if len(suffix) == 3 && strings.HasSuffix(suffix, "ib") && strings.IndexByte(sizeLetters, suffix[0]) >= 0 {
		return fmt.Sprintf("%q is %d: with kb_base=%d the suffix %s is a power of 1000 and %s a power of 1024",
			shown, q.Value, kbBase, suffix, suffix[:1])
	}
	if strings.TrimLeft(shown, " \t") != shown {
		return fmt.Sprintf("%q is %d: a space before a number hides its suffix", shown, q.Value)
	}
	return fmt.Sprintf("%q is %d: what follows the digits is no suffix that fio knows", shown, q.Value)
}

// Item is one number of a list: Text is the part of the list that stands for it, Tail the list from there
// on. fio reads the number from the tail.
type Item struct{ Text, Tail string }

// SplitList cuts a list of numbers as fio does: at the first comma, else colon, else hyphen, over and over.
// A trailing comma leaves the rest of the list unset: more is true. Empty items are kept.
func SplitList(s string) (items []Item, more bool) {
	for {
		at := strings.IndexByte(s, ',')
		if at == len(s)-1 && at >= 0 {
			return append(items, Item{s[:at], s[:at]}), true
		}
		if at < 0 {
			at = strings.IndexByte(s, ':')
		}
		if at < 0 {
			at = strings.IndexByte(s, '-')
		}
		if at <= 0 && (at < 0 || s[0] == '-') { // a hyphen at the start is a sign
			return append(items, Item{s, s}), false
		}
		items = append(items, Item{s[:at], s})
		s = s[at+1:]
	}
}

// Quantity reads the item as ParseQuantity does.
func (it Item) Quantity(kbBase int) (Quantity, error) {
	return parseQuantity(it.Tail, it.Text, kbBase)
}

// Duration reads the item as ParseDuration does.
func (it Item) Duration(bare time.Duration) (time.Duration, string, error) {
	return parseDuration(it.Tail, it.Text, bare)
}

// ParseDuration reads a time: a number and one of the suffixes d, h, m, s, ms, msec, us, usec in either
// case. A number without a suffix counts in bare, which depends on the option (seconds or microseconds).
// Any other suffix, sec and min among them, means microseconds; trap says so.
func ParseDuration(s string, bare time.Duration) (d time.Duration, trap string, err error) {
	return parseDuration(s, s, bare)
}

// fio reads a time's suffix otherwise than a size's: it starts after all leading digits and signs, so that
// in a range such as 5-10s both numbers have the suffix of the last, and it must be known as a whole, up to
// the next comma, except that anything may follow ms and us.
func parseDuration(text, shown string, bare time.Duration) (time.Duration, string, error) {
	n, err := leadingInt(text)
	if err != nil {
		return 0, "", err
	}
	unit := bare
	suffix := strings.TrimLeft(text, "+-0123456789")
	if suffix != "" && isLetter(suffix[0]) {
		suffix, _, _ = strings.Cut(strings.ToLower(suffix), ",")
		switch {
		case strings.HasPrefix(suffix, "us"):
			unit = time.Microsecond
		case strings.HasPrefix(suffix, "ms"):
			unit = time.Millisecond
		default:
			var known bool
			if unit, known = timeUnit(suffix); !known {
				unit = time.Microsecond
			}
		}
	}
	ns, err := scale(n, uint64(unit))
	if err != nil {
		return 0, "", err
	}
	d := time.Duration(ns)
	if expected, ok := plainDuration(shown, bare); ok && expected == d {
		return d, "", nil
	}
	if shown != text {
		shown += " in " + text
	}
	return d, fmt.Sprintf("%q is %s: the suffixes of times are d, h, m, s, ms and us, and must fit", shown, Time(d)), nil
}

// timeUnit returns what a suffix in lower case stands for.
func timeUnit(suffix string) (unit time.Duration, known bool) {
	switch suffix {
	case "us", "usec":
		return time.Microsecond, true
	case "ms", "msec":
		return time.Millisecond, true
	case "s":
		return time.Second, true
	case "m":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return 24 * time.Hour, true
	}
	return 0, false
}

// plainDuration returns what a reader expects of s, when all of it is a time.
func plainDuration(s string, bare time.Duration) (d time.Duration, ok bool) {
	s = strings.TrimSpace(s)
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit := bare
	if suffix := strings.ToLower(s[len(number):]); suffix != "" {
		if unit, ok = timeUnit(suffix); !ok {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil {
		return 0, false
	}
	ns, err := scale(n, uint64(unit))
	return time.Duration(ns), err == nil
}
