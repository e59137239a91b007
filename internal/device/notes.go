package device

import (
	"fmt"
	"strings"
)

// notes says which facts of the block layer apply to a device, where they decide how to read its figures.
func notes(root Root, f *Facts, dir string) []string {
	var n []string
	add := func(format string, args ...any) { n = append(n, fmt.Sprintf(format, args...)) }
	switch f.Kind {
	case KindZram:
		add("zram is bio-based: no hardware queues, no scheduler, no tags; each I/O is done by the submitting CPU")
	case KindRAM, KindPmem:
		add("%s is bio-based memory: each I/O is a copy by the submitting CPU", f.Kind)
	case KindNull:
		add("null_blk completes requests without a device: it shows what the block layer costs, and most often stores nothing")
	case KindLoop:
		loopNotes(f, add)
	case KindVirtio:
		add("the virtual machine monitor sets the number of queues (%d here) and does the I/O in its own threads", len(f.Queues))
	case KindMultipath:
		add("NVMe multipath is bio-based: the hardware queues belong to its paths (%s)", strings.Join(multipathPaths(root, dir), ", "))
	case KindDM:
		add("dm maps each I/O to the devices below it (%s); their queues and schedulers apply", slavesOf(root, dir))
	case KindMD:
		add("md %s turns each I/O into I/O on its members (%s); their queues and schedulers apply", f.Level, slavesOf(root, dir))
	case KindNVMe:
		nvmeNotes(f, add)
	}
	return append(n, queueNotes(f)...)
}

func loopNotes(f *Facts, add func(string, ...any)) {
	if f.BackingFile == "" {
		return
	}
	cache := "through the page cache, so reads may come from memory"
	if f.LoopDirectIO {
		cache = "around the page cache"
	}
	add("a loop device has one hardware queue and hands each request to a kernel worker, which does file I/O on %s %s", f.BackingFile, cache)
}

func nvmeNotes(f *Facts, add func(string, ...any)) {
	count := map[string]int{}
	for _, q := range f.Queues {
		count[q.Type]++
	}
	if count["poll"] == 0 {
		add("no poll queues: --hipri cannot poll (nvme.poll_queues=N makes them)")
	} else {
		add("%d of %d hardware queues are for polling", count["poll"], len(f.Queues))
	}
}

// queueNotes are notes about settings that are unusual for a benchmark.
func queueNotes(f *Facts) []string {
	var n []string
	if f.Settings["iostats"] == "0" && len(f.Queues) > 0 {
		n = append(n, "iostats is off: the kernel does not count this device's I/O, so nothing checks blkmeter's own count")
	}
	if f.Kind == KindNVMe && f.Scheduler != "" && f.Scheduler != "none" {
		n = append(n, fmt.Sprintf("the %s scheduler stands before the hardware queues", f.Scheduler))
	}
	if f.Zoned != "" && f.Zoned != "none" {
		n = append(n, fmt.Sprintf("%s zones: writes must follow the zones' write pointers", f.Zoned))
	}
	return n
}

func slavesOf(root Root, dir string) string { return strings.Join(root.list(dir, "slaves"), ", ") }
