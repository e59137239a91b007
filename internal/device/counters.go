package device

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Counters are a block device's statistics since it appeared, from /sys/class/block/X/stat
// (Documentation/ABI/stable/sysfs-block). Kernels before 5.5 have no flush counters, before 4.18 no discard
// counters: they stay 0.
type Counters struct {
	ReadIOs        int64
	ReadMerges     int64
	ReadBytes      int64
	ReadTicksMS    int64
	WriteIOs       int64
	WriteMerges    int64
	WriteBytes     int64
	WriteTicksMS   int64
	InFlight       int64 // now, not since
	IOTicksMS      int64 // time with at least one I/O in flight
	InQueueMS      int64 // sum of the time that all I/Os took
	DiscardIOs     int64
	DiscardMerges  int64
	DiscardBytes   int64
	DiscardTicksMS int64
	FlushIOs       int64
	FlushTicksMS   int64
}

// statSectorBytes is the sector of the kernel's statistics, whatever the device's logical block is.
const statSectorBytes = 512

// ReadCounters reads the counters of the disk or partition with number d.
func ReadCounters(root Root, d blk.DevT) (Counters, error) {
	path := filepath.Join("sys/dev/block", d.String(), "stat")
	text := root.read(path)
	if text == "" {
		return Counters{}, fmt.Errorf("read statistics of device %s: no %s", d, root.Path(path))
	}
	return ParseCounters(text)
}

// ParseCounters reads the text of a stat file.
func ParseCounters(text string) (Counters, error) {
	var c Counters
	into := []*int64{
		&c.ReadIOs, &c.ReadMerges, &c.ReadBytes, &c.ReadTicksMS,
		&c.WriteIOs, &c.WriteMerges, &c.WriteBytes, &c.WriteTicksMS,
		&c.InFlight, &c.IOTicksMS, &c.InQueueMS,
		&c.DiscardIOs, &c.DiscardMerges, &c.DiscardBytes, &c.DiscardTicksMS,
		&c.FlushIOs, &c.FlushTicksMS,
	}
	fields := strings.Fields(text)
	if len(fields) < 11 {
		return Counters{}, fmt.Errorf("device statistics %q: %d fields, want at least 11", text, len(fields))
	}
	for i, field := range fields[:min(len(fields), len(into))] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return Counters{}, fmt.Errorf("device statistics, field %d: %w", i+1, err)
		}
		*into[i] = n
	}
	c.ReadBytes *= statSectorBytes
	c.WriteBytes *= statSectorBytes
	c.DiscardBytes *= statSectorBytes
	return c, nil
}

// Since returns what was counted after before. InFlight stays the value of c.
func (c Counters) Since(before Counters) Counters {
	return Counters{
		ReadIOs: c.ReadIOs - before.ReadIOs, ReadMerges: c.ReadMerges - before.ReadMerges,
		ReadBytes: c.ReadBytes - before.ReadBytes, ReadTicksMS: c.ReadTicksMS - before.ReadTicksMS,
		WriteIOs: c.WriteIOs - before.WriteIOs, WriteMerges: c.WriteMerges - before.WriteMerges,
		WriteBytes: c.WriteBytes - before.WriteBytes, WriteTicksMS: c.WriteTicksMS - before.WriteTicksMS,
		InFlight: c.InFlight, IOTicksMS: c.IOTicksMS - before.IOTicksMS, InQueueMS: c.InQueueMS - before.InQueueMS,
		DiscardIOs: c.DiscardIOs - before.DiscardIOs, DiscardMerges: c.DiscardMerges - before.DiscardMerges,
		DiscardBytes: c.DiscardBytes - before.DiscardBytes, DiscardTicksMS: c.DiscardTicksMS - before.DiscardTicksMS,
		FlushIOs: c.FlushIOs - before.FlushIOs, FlushTicksMS: c.FlushTicksMS - before.FlushTicksMS,
	}
}
