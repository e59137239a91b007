package device

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Interrupt is one interrupt of the adapter behind a device.
type Interrupt struct {
	Number    int
	Name      string  // as the driver called it: nvme0q3, virtio1-req.0
	Allowed   []int   // CPUs that it may be delivered to
	Effective []int   // CPUs that it is delivered to now
	PerCPU    []int64 // how often since boot, by column of /proc/interrupts: online CPUs in order
}

// Count returns how often it came since boot, on all CPUs together.
func (i Interrupt) Count() int64 {
	var n int64
	for _, c := range i.PerCPU {
		n += c
	}
	return n
}

// Interrupts reads the message interrupts of the PCI function that a disk hangs on, with where they go. None
// for a device without hardware of its own.
func Interrupts(root Root, disk string) []Interrupt {
	numbers := msiNumbers(root, disk)
	if len(numbers) == 0 {
		return nil
	}
	var found []Interrupt
	for _, i := range parseInterrupts(root.readAll("proc/interrupts")) {
		if !slices.Contains(numbers, i.Number) {
			continue
		}
		dir := filepath.Join("proc/irq", strconv.Itoa(i.Number))
		i.Allowed, _ = ParseCPUList(root.read(dir, "smp_affinity_list"))
		i.Effective, _ = ParseCPUList(root.read(dir, "effective_affinity_list"))
		found = append(found, i)
	}
	return found
}

// msiNumbers lists the interrupts of the closest device above a disk that has any.
func msiNumbers(root Root, disk string) []int {
	for dir := realDir(root, "sys/block", disk); strings.HasPrefix(dir, "sys/devices/"); dir = filepath.Dir(dir) {
		var numbers []int
		for _, name := range root.list(dir, "msi_irqs") {
			numbers = append(numbers, numberOf(name))
		}
		if len(numbers) > 0 {
			return numbers
		}
	}
	return nil
}

// parseInterrupts reads the numbered lines of /proc/interrupts: "27: 6 0 PCI-MSIX-0000:00:02.0 1-edge
// nvme0q1", one count for each CPU of the header.
func parseInterrupts(text string) []Interrupt {
	header, rest, _ := strings.Cut(text, "\n")
	cpus := len(strings.Fields(header))
	var all []Interrupt
	for line := range strings.Lines(rest) {
		label, counts, ok := strings.Cut(line, ":")
		number := numberOf(strings.TrimSpace(label))
		fields := strings.Fields(counts)
		if !ok || number < 0 || len(fields) < cpus {
			continue
		}
		i := Interrupt{Number: number, PerCPU: make([]int64, cpus)}
		for c := range cpus {
			i.PerCPU[c], _ = strconv.ParseInt(fields[c], 10, 64)
		}
		if len(fields) > cpus {
			i.Name = fields[len(fields)-1]
		}
		all = append(all, i)
	}
	return all
}
