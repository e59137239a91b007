package device

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxCPU bounds CPU numbers, so that a damaged file cannot ask for a list of billions.
const maxCPU = 1 << 16

// ParseCPUList reads the kernel's list format: "0-3,8", and the "0, 1, 2" of mq/*/cpu_list. The result is in
// ascending order without repeats; an empty string is an empty list.
func ParseCPUList(s string) ([]int, error) {
	var cpus []int
	for _, field := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' }) {
		low, high, err := cpuRange(field)
		if err != nil {
			return nil, fmt.Errorf("CPU list %q: %w", s, err)
		}
		for cpu := low; cpu <= high; cpu++ {
			cpus = append(cpus, cpu)
		}
		if len(cpus) > 2*maxCPU {
			return nil, fmt.Errorf("CPU list %q: too many CPUs", s)
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

func cpuRange(field string) (low, high int, err error) {
	a, b, isRange := strings.Cut(field, "-")
	if !isRange {
		b = a
	}
	if low, err = strconv.Atoi(a); err != nil {
		return 0, 0, err
	}
	if high, err = strconv.Atoi(b); err != nil {
		return 0, 0, err
	}
	if low < 0 || high < low || high >= maxCPU {
		return 0, 0, fmt.Errorf("range %q is out of order or beyond %d", field, maxCPU)
	}
	return low, high, nil
}

// FormatCPUList writes cpus, which must be in ascending order, in the kernel's list format: "0-3,8".
func FormatCPUList(cpus []int) string {
	var b strings.Builder
	for i := 0; i < len(cpus); {
		j := i
		for j+1 < len(cpus) && cpus[j+1] == cpus[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cpus[i]))
		if j > i {
			fmt.Fprintf(&b, "-%d", cpus[j])
		}
		i = j + 1
	}
	return b.String()
}
