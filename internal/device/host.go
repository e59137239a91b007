package device

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
)

// Host is the machine and what it allows this process.
type Host struct {
	Name           string
	Kernel         string
	Arch           string
	CPUModel       string
	CPUs           int    // online logical CPUs that this process may use
	Cores          int    // physical cores among them
	NUMANodes      int    // nodes with any of them
	Governor       string // cpufreq governor; "mixed" when CPUs differ, empty when the kernel has none
	MemoryBytes    int64
	Virtualized    string // the hypervisor as the kernel or the firmware names it; empty on bare metal
	ClockSource    string
	Root           bool  // effective uid 0
	UringDisabled  int   // kernel.io_uring_disabled; -1 when the kernel has no such switch
	MemlockBytes   int64 // RLIMIT_MEMLOCK; -1 unlimited
	OpenFilesLimit int64 // RLIMIT_NOFILE; -1 unlimited
}

// RLIMIT_MEMLOCK of asm-generic/resource.h; the standard library does not name it.
const rlimitMemlock = 8

// ReadHost reads the facts about the machine; t is the CPUs that this process may use.
func ReadHost(root Root, t Topology) Host {
	h := Host{
		Name: root.read("proc/sys/kernel/hostname"), Kernel: root.read("proc/sys/kernel/osrelease"), Arch: runtime.GOARCH,
		CPUs: len(t.CPUs), Cores: t.Cores(), NUMANodes: len(t.Nodes), Governor: Governor(root, t),
		MemoryBytes:   MemoryBytes(root),
		ClockSource:   root.read("sys/devices/system/clocksource/clocksource0/current_clocksource"),
		Root:          os.Geteuid() == 0,
		UringDisabled: int(root.readInt(-1, "proc/sys/kernel/io_uring_disabled")),
		MemlockBytes:  rlimit(rlimitMemlock), OpenFilesLimit: OpenFilesLimit(),
	}
	h.CPUModel, h.Virtualized = cpuModel(root)
	return h
}

// Governor returns the frequency governor of the CPUs.
func Governor(root Root, t Topology) string {
	governor := ""
	for _, c := range t.CPUs {
		g := root.read("sys/devices/system/cpu/cpu"+strconv.Itoa(c.ID), "cpufreq/scaling_governor")
		if governor != "" && g != governor {
			return "mixed"
		}
		governor = g
	}
	return governor
}

// cpuModel reads /proc/cpuinfo, and who virtualizes the machine if somebody does.
func cpuModel(root Root) (model, virtualized string) {
	fs, err := procfs.NewFS(root.Path("proc"))
	if err != nil {
		return "", ""
	}
	cpus, err := fs.CPUInfo()
	if err != nil || len(cpus) == 0 {
		return "", hypervisor(root, false)
	}
	return cpus[0].ModelName, hypervisor(root, slices.Contains(cpus[0].Flags, "hypervisor"))
}

// hypervisor names what the machine runs on. guest says that the CPU says that there is something.
func hypervisor(root Root, guest bool) string {
	if t := root.read("sys/hypervisor/type"); t != "" {
		return t
	}
	product := root.read("sys/class/dmi/id/product_name")
	if strings.HasSuffix(product, ".metal") { // a cloud's machine without its hypervisor
		return ""
	}
	vendor := root.read("sys/class/dmi/id/sys_vendor") + " " + product
	for _, known := range []struct{ mark, name string }{
		{"QEMU", "qemu"},
		{"KVM", "kvm"},
		{"VMware", "vmware"},
		{"VirtualBox", "virtualbox"},
		{"Xen", "xen"},
		{"Microsoft Corporation Virtual", "hyper-v"},
		{"Amazon EC2", "amazon"},
		{"Google Compute", "google"},
		{"Firecracker", "firecracker"},
	} {
		if strings.Contains(vendor, known.mark) {
			return known.name
		}
	}
	if guest {
		return "unnamed hypervisor"
	}
	return ""
}

// MemoryBytes returns the size of the memory, 0 when /proc does not tell.
func MemoryBytes(root Root) int64 {
	return meminfo(root, func(m *procfs.Meminfo) *uint64 { return m.MemTotalBytes })
}

// meminfo returns one figure of /proc/meminfo, 0 when that does not tell.
func meminfo(root Root, figure func(*procfs.Meminfo) *uint64) int64 {
	fs, err := procfs.NewFS(root.Path("proc"))
	if err != nil {
		return 0
	}
	info, err := fs.Meminfo()
	if err != nil {
		return 0
	}
	n := figure(&info)
	if n == nil {
		return 0
	}
	return int64(*n)
}

// OpenFilesLimit returns how many files this process may have open (RLIMIT_NOFILE), -1 for any number.
func OpenFilesLimit() int64 { return rlimit(syscall.RLIMIT_NOFILE) }

// AvailableMemory returns how much memory programs could still take (MemAvailable), 0 when /proc does not tell.
func AvailableMemory(root Root) int64 {
	return meminfo(root, func(m *procfs.Meminfo) *uint64 { return m.MemAvailableBytes })
}

// FreeHugePages returns how many bytes of the huge pages that are set aside nobody uses yet; MemAvailable leaves
// them out.
func FreeHugePages(root Root) int64 {
	return meminfo(root, func(m *procfs.Meminfo) *uint64 { return m.HugePagesFree }) *
		meminfo(root, func(m *procfs.Meminfo) *uint64 { return m.HugepagesizeBytes })
}

// MemoryNodes returns the NUMA nodes that have memory, node 0 where the kernel does not tell.
func MemoryNodes(root Root) []int {
	nodes, err := ParseCPUList(root.read("sys/devices/system/node/has_memory"))
	if err != nil || len(nodes) == 0 {
		return []int{0}
	}
	return nodes
}

func rlimit(resource int) int64 {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(resource, &lim); err != nil || lim.Cur > 1<<62 {
		return -1
	}
	return int64(lim.Cur)
}
