package explain

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/internal/device"
)

// vectors recognises a disk's rows of /proc/interrupts. The zero value recognises none: a device such as
// loop, which has no interrupts of its own.
type vectors struct {
	prefix string   // of the names that drivers give their queues' vectors
	lines  []string // else the numbers of the PCI function's interrupts
}

// findVectors learns which rows are the disk's.
func findVectors(root device.Root, disk *device.Facts) vectors {
	switch {
	case disk.Kind == device.KindNVMe && disk.NVMeController != "":
		return vectors{prefix: disk.NVMeController + "q"}
	case disk.Kind == device.KindVirtio:
		link, err := os.Readlink(root.Path("sys/block", disk.Disk, "device"))
		if err != nil {
			return vectors{}
		}
		return vectors{prefix: filepath.Base(link) + "-req."}
	case disk.PCIAddress != "":
		entries, err := os.ReadDir(root.Path("sys/bus/pci/devices", disk.PCIAddress, "msi_irqs"))
		if err != nil {
			return vectors{}
		}
		var v vectors
		for _, e := range entries {
			v.lines = append(v.lines, e.Name())
		}
		return v
	}
	return vectors{}
}

// known says whether the disk has rows that can be recognised.
func (v vectors) known() bool { return v.prefix != "" || len(v.lines) > 0 }

// has says whether a row with the number (without its colon) and the names of its handlers is the disk's.
// The vector of an NVMe controller's queue 0 serves no I/O unless it is shared.
func (v vectors) has(number string, names []string) bool {
	if slices.Contains(v.lines, number) {
		return true
	}
	return v.prefix != "" && slices.ContainsFunc(names, func(name string) bool {
		queue, ok := strings.CutPrefix(name, v.prefix)
		k, err := strconv.Atoi(queue)
		return ok && err == nil && (k > 0 || !strings.HasSuffix(v.prefix, "q"))
	})
}

func readInterrupts(root device.Root) string {
	text, err := os.ReadFile(root.Path("proc/interrupts"))
	if err != nil {
		return ""
	}
	return string(text)
}

// count adds up the disk's rows of /proc/interrupts by CPU, in the order of cpus. It returns nil when the
// disk has none there.
func (v vectors) count(text string, cpus []int) []int64 {
	if !v.known() {
		return nil
	}
	header, rows, _ := strings.Cut(text, "\n")
	columns := interruptColumns(header)
	var counts []int64
	for row := range strings.Lines(rows) {
		number, rest, ok := strings.Cut(strings.TrimSpace(row), ":")
		fields := strings.Fields(rest)
		if !ok || len(fields) < len(columns) {
			continue
		}
		names := fields[len(columns):]
		for i := range names {
			names[i] = strings.TrimSuffix(names[i], ",")
		}
		if !v.has(number, names) {
			continue
		}
		if counts == nil {
			counts = make([]int64, len(cpus))
		}
		for i, field := range fields[:len(columns)] {
			n, err := strconv.ParseInt(field, 10, 64)
			if at := slices.Index(cpus, columns[i]); err == nil && at >= 0 {
				counts[at] += n
			}
		}
	}
	return counts
}

// interruptColumns reads the header: "CPU0 CPU1 CPU3". A CPU that is offline has no column.
func interruptColumns(header string) []int {
	var columns []int
	for _, field := range strings.Fields(header) {
		n, err := strconv.Atoi(strings.TrimPrefix(field, "CPU"))
		if err != nil {
			return nil
		}
		columns = append(columns, n)
	}
	return columns
}

// since returns what was counted after before; nil when either is.
func since(after, before []int64) []int64 {
	if after == nil || before == nil {
		return nil
	}
	counts := make([]int64, len(after))
	for i := range after {
		counts[i] = after[i] - before[i]
	}
	return counts
}
