package units

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Bytes prints a size for people with IEC prefixes and four significant digits: 512 B, 4 KiB, 1.5 GiB.
func Bytes(n int64) string {
	const prefixes = "KMGTPE"
	v, unit := float64(n), "B"
	for i := 0; i < len(prefixes) && math.Abs(v) >= 1023.95; i++ {
		v /= 1024
		unit = prefixes[i:i+1] + "iB"
	}
	return significant(v) + " " + unit
}

// Count prints a number of things, such as I/Os per second, with SI prefixes and four significant digits:
// 950, 42.5k, 1.234M.
func Count(v float64) string {
	const prefixes = "kMGTPE"
	prefix := ""
	for i := 0; i < len(prefixes) && math.Abs(v) >= 999.95; i++ {
		v /= 1000
		prefix = prefixes[i : i+1]
	}
	return significant(v) + prefix
}

// Nanoseconds prints a latency with four significant digits and the unit that suits it: 823 ns, 12.34 µs,
// 1.5 ms, 2 s, 90 s.
func Nanoseconds(ns float64) string {
	units := [...]string{"ns", "µs", "ms", "s"}
	i := 0
	for i < len(units)-1 && math.Abs(ns) >= 999.95 {
		ns /= 1000
		i++
	}
	return significant(ns) + " " + units[i]
}

// significant prints v with four significant digits, without trailing zeros or an exponent.
func significant(v float64) string {
	decimals := 3
	for limit := 9.9995; decimals > 0 && math.Abs(v) >= limit; limit *= 10 {
		decimals--
	}
	scaled := math.Pow10(decimals)
	return strconv.FormatFloat(math.Round(v*scaled)/scaled, 'f', -1, 64)
}

// Size prints n exactly, in the shortest form that fio with kb_base=1024 reads back as n: 4k, 1g, 4000.
func Size(n int64) string {
	suffix := ""
	for i := 0; i < len(sizeLetters) && n != 0 && n%1024 == 0; i++ {
		n /= 1024
		suffix = sizeLetters[i : i+1]
	}
	return strconv.FormatInt(n, 10) + suffix
}

// Time prints d exactly, in the largest unit of seconds or below that fio reads back as d: 10s, 1500ms,
// 20us. fio's times end at the microsecond; a rest below it is printed in nanoseconds, which fio does
// not know.
func Time(d time.Duration) string {
	switch {
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	case d%time.Millisecond == 0:
		return fmt.Sprintf("%dms", d/time.Millisecond)
	case d%time.Microsecond == 0:
		return fmt.Sprintf("%dus", d/time.Microsecond)
	}
	return fmt.Sprintf("%dns", d.Nanoseconds())
}
