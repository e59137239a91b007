package text

import (
	"math"
	"strconv"
	"strings"
)

// significant returns x with so many significant digits and no exponent; below 1, with so many decimals.
func significant(x float64, digits int) string {
	if x < 1-0.5*math.Pow10(-digits) {
		return strconv.FormatFloat(x, 'f', digits, 64)
	}
	whole := 1
	for limit := 10.0; whole < digits && math.Round(x*math.Pow10(digits-whole))/math.Pow10(digits-whole) >= limit; limit *= 10 {
		whole++
	}
	return strconv.FormatFloat(x, 'f', digits-whole, 64)
}

// scaled prints x in the largest of units (each step times as big as the one before) in which it is not
// below 1.
func scaled(x float64, digits int, step float64, units ...string) string {
	if x == 0 {
		return "0" + units[0]
	}
	i := 0
	// What would be rounded up to a full step belongs to the next unit.
	for i < len(units)-1 && x >= step*(1-0.5*math.Pow10(-digits)) {
		x /= step
		i++
	}
	if i == 0 && x == math.Trunc(x) {
		return strconv.FormatFloat(x, 'f', 0, 64) + units[0]
	}
	return significant(x, digits) + units[i]
}

// duration prints nanoseconds: "217 ns", "35.2 us", "4.12 ms", "10.0 s".
func duration(ns float64) string {
	if ns >= 999.5e9 {
		return strconv.FormatFloat(ns/1e9, 'f', 0, 64) + nbsp + "s"
	}
	return scaled(ns, 3, 1000, nbsp+"ns", nbsp+"us", nbsp+"ms", nbsp+"s")
}

// count prints a number of things: "812", "42.52k", "1.708M".
func count(n float64) string { return scaled(n, 4, 1000, "", "k", "M", "G", "T") }

// binary prints bytes in powers of 1024: "4 KiB", "1.5 GiB".
func binary(bytes float64) string {
	return trimZeros(scaled(bytes, 3, 1024, nbsp+"B", nbsp+"KiB", nbsp+"MiB", nbsp+"GiB", nbsp+"TiB", nbsp+"PiB"))
}

// decimal prints bytes in powers of 1000, as drives are sold: "3.84 TB".
func decimal(bytes float64) string {
	return trimZeros(scaled(bytes, 3, 1000, nbsp+"B", nbsp+"kB", nbsp+"MB", nbsp+"GB", nbsp+"TB", nbsp+"PB"))
}

// trimZeros turns "4.00 KiB" into "4 KiB".
func trimZeros(s string) string {
	number, unit, _ := strings.Cut(s, nbsp)
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + nbsp + unit
}

// bandwidth prints bytes per second: "667 MiB/s".
func bandwidth(bytesPerS float64) string {
	return scaled(bytesPerS, 3, 1024, nbsp+"B/s", nbsp+"KiB/s", nbsp+"MiB/s", nbsp+"GiB/s", nbsp+"TiB/s")
}

// percent prints a share, with two decimals so that shares line up: "45.20", "0.02", "<0.01".
func percent(p float64) string {
	if p > 0 && p < 0.005 {
		return "<0.01"
	}
	return strconv.FormatFloat(p, 'f', 2, 64)
}

// plural returns "1 queue" or "3 queues".
func plural(n int, thing string) string {
	if n == 1 {
		return "1" + nbsp + thing
	}
	return strconv.Itoa(n) + nbsp + thing + "s"
}
