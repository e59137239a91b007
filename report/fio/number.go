package fio

import (
	"strconv"
	"strings"
)

// abbreviate prints n in at most so many digits, the decimal point counted as one, with the prefix that
// makes it fit: 1000 or 1024 to the step. fio rounds in two ways: a number that leaves no room for
// decimals is rounded half up by its last remainder, one that does takes the remainder's decimals, which
// may carry.
func abbreviate(n uint64, figures int, binary bool, unit string) string {
	step, prefixes := uint64(1000), []string{"", "k", "M", "G", "T", "P", "E"}
	if binary {
		step, prefixes = 1024, []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	}
	prefix, divided := 0, false
	var rest uint64
	for len(strconv.FormatUint(n, 10)) > figures && prefix < len(prefixes)-1 {
		n, rest = n/step, n%step
		prefix++
		divided = true
	}
	whole := strconv.FormatUint(n, 10)
	decimals := figures - len(whole) - 1
	switch {
	case !divided:
	case decimals < 1:
		if rest >= step/2 {
			n++
		}
		whole = strconv.FormatUint(n, 10)
	default:
		fraction := strconv.FormatFloat(float64(rest)/float64(step), 'f', decimals, 64)
		if strings.HasPrefix(fraction, "1") {
			whole = strconv.FormatUint(n+1, 10)
		}
		whole += fraction[1:]
	}
	return whole + prefixes[prefix] + unit
}

// bytes prints a number of bytes in the base that is asked for, or in the other one.
func (o *Options) bytes(n int64, other bool) string {
	return abbreviate(uint64(n), o.Figures, (o.KBBase == 1024) != other, "B")
}

// bandwidth prints bytes per second likewise, as bits if those are asked for.
func (o *Options) bandwidth(n int64, other bool) string {
	if o.Bits {
		return abbreviate(uint64(n)*8, o.Figures, (o.KBBase == 1024) != other, "bit/s")
	}
	return abbreviate(uint64(n), o.Figures, (o.KBBase == 1024) != other, "B/s")
}
