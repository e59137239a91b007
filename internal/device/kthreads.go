package device

import (
	"os"
	"path"
	"strconv"
	"strings"
)

// kernelThread is PF_KTHREAD of include/linux/sched.h: a thread of the kernel's own.
const kernelThread = 0x00200000

// KernelThreadTimes returns how many nanoseconds of processor time each of the kernel's own threads has used
// since it began, by its process ID: workers of loop devices and other queues of work, ksoftirqd and so on.
// io_uring's threads belong to the process that uses the ring and are not among them. It is empty where the
// kernel does not tell (CONFIG_SCHED_INFO).
func KernelThreadTimes(root Root) map[int]int64 {
	times := map[int]int64{}
	entries, err := os.ReadDir(root.Path("proc"))
	if err != nil {
		return times
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat := root.readAll(path.Join("proc", e.Name(), "stat"))
		_, rest, found := strings.Cut(stat, ") ") // a name in parentheses comes first, and may hold anything
		fields := strings.Fields(rest)
		if !found || len(fields) < 7 {
			continue // it has ended meanwhile
		}
		flags, err := strconv.ParseUint(fields[6], 10, 64)
		if err != nil || flags&kernelThread == 0 {
			continue
		}
		used, _, _ := strings.Cut(root.readAll(path.Join("proc", e.Name(), "schedstat")), " ")
		if ns, err := strconv.ParseInt(used, 10, 64); err == nil {
			times[pid] = ns
		}
	}
	return times
}
