package device

import (
	"strconv"
	"strings"
)

// CPUTimes is how a CPU spent its time since boot, in ticks of the kernel (USER_HZ).
type CPUTimes struct {
	CPU   int
	Idle  int64 // nothing to do, or waiting for I/O
	Total int64
}

// ReadCPUTimes reads the times of the online CPUs (proc_stat(5)).
func ReadCPUTimes(root Root) []CPUTimes {
	var all []CPUTimes
	for line := range strings.Lines(root.readAll("proc/stat")) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		number, ok := strings.CutPrefix(fields[0], "cpu")
		cpu, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue
		}
		t := CPUTimes{CPU: cpu}
		for i, field := range fields[1:min(len(fields), 9)] { // what guests used is part of user and nice
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				break
			}
			t.Total += ticks
			if i == 3 || i == 4 { // idle, iowait
				t.Idle += ticks
			}
		}
		all = append(all, t)
	}
	return all
}
