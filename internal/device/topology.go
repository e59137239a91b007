package device

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// CPU is one online logical CPU that this process may use.
type CPU struct {
	ID       int
	Node     int   // NUMA node; 0 on a kernel without NUMA
	Package  int   // socket
	Core     int   // physical core within the package
	Siblings []int // all online CPUs of the same core, itself included
}

// Topology is the CPUs that workers can be placed on.
type Topology struct {
	CPUs  []CPU // in order of ID
	Nodes []int // NUMA nodes that have any of them
}

// ReadTopology reads the online CPUs, limited to allowed unless that is nil.
func ReadTopology(root Root, allowed []int) Topology {
	online, _ := ParseCPUList(root.read("sys/devices/system/cpu/online"))
	nodeOf := cpuNodes(root)
	var t Topology
	for _, id := range online {
		if allowed != nil && !slices.Contains(allowed, id) {
			continue
		}
		dir := filepath.Join("sys/devices/system/cpu", "cpu"+strconv.Itoa(id), "topology")
		cpu := CPU{
			ID: id, Node: nodeOf[id],
			Package: int(root.readInt(0, dir, "physical_package_id")),
			Core:    int(root.readInt(int64(id), dir, "core_id")),
		}
		cpu.Siblings, _ = ParseCPUList(root.read(dir, "thread_siblings_list"))
		if len(cpu.Siblings) == 0 {
			cpu.Siblings = []int{id}
		}
		t.CPUs = append(t.CPUs, cpu)
		if !slices.Contains(t.Nodes, cpu.Node) {
			t.Nodes = append(t.Nodes, cpu.Node)
		}
	}
	slices.Sort(t.Nodes)
	return t
}

// Cores returns how many physical cores the CPUs are on.
func (t Topology) Cores() int {
	seen := map[int]bool{}
	for _, c := range t.CPUs {
		seen[c.Siblings[0]] = true
	}
	return len(seen)
}

// cpuNodes maps CPUs to NUMA nodes.
func cpuNodes(root Root) map[int]int {
	nodes := map[int]int{}
	for _, name := range root.list("sys/devices/system/node") {
		number, ok := strings.CutPrefix(name, "node")
		if !ok {
			continue
		}
		cpus, _ := ParseCPUList(root.read("sys/devices/system/node", name, "cpulist"))
		for _, cpu := range cpus {
			nodes[cpu] = numberOf(number)
		}
	}
	return nodes
}
