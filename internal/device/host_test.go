package device

import (
	"slices"
	"testing"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/google/go-cmp/cmp"
)

// twoNodes is a machine of two sockets, each a NUMA node of two cores of two threads, one CPU off line.
const twoNodes = `
-- sys/devices/system/cpu/online --
0-6
-- sys/devices/system/node/node0/cpulist --
0-1,4-5
-- sys/devices/system/node/node1/cpulist --
2-3,6-7
-- sys/devices/system/node/has_cpu --
0-1
-- sys/devices/system/cpu/cpu0/topology/thread_siblings_list --
0,4
-- sys/devices/system/cpu/cpu1/topology/thread_siblings_list --
1,5
-- sys/devices/system/cpu/cpu1/topology/core_id --
1
-- sys/devices/system/cpu/cpu2/topology/thread_siblings_list --
2,6
-- sys/devices/system/cpu/cpu2/topology/physical_package_id --
1
-- sys/devices/system/cpu/cpu2/topology/core_id --
0
-- sys/devices/system/cpu/cpu3/topology/thread_siblings_list --
3
-- sys/devices/system/cpu/cpu3/topology/physical_package_id --
1
-- sys/devices/system/cpu/cpu4/topology/thread_siblings_list --
0,4
-- sys/devices/system/cpu/cpu5/topology/thread_siblings_list --
1,5
-- sys/devices/system/cpu/cpu6/topology/thread_siblings_list --
2,6
-- sys/devices/system/cpu/cpu0/cpufreq/scaling_governor --
performance
-- sys/devices/system/cpu/cpu1/cpufreq/scaling_governor --
performance
-- sys/devices/system/cpu/cpu2/cpufreq/scaling_governor --
powersave
-- sys/devices/system/cpu/cpu0/cpuidle/state0/name --
POLL
-- sys/devices/system/cpu/cpu0/cpuidle/state0/latency --
0
-- sys/devices/system/cpu/cpu0/cpuidle/state1/name --
C6
-- sys/devices/system/cpu/cpu0/cpuidle/state1/latency --
133
-- sys/devices/system/cpu/cpu0/cpuidle/state1/disable --
1
-- sys/devices/system/cpu/cpuidle/current_driver --
intel_idle
`

func twoNodeRoot(t *testing.T) Root {
	t.Helper()
	dir := t.TempDir()
	testlab.TreeOf(t, dir, twoNodes)
	return Root(dir)
}

func TestTopology(t *testing.T) {
	root := twoNodeRoot(t)
	all := ReadTopology(root, nil)
	if len(all.CPUs) != 7 || all.Cores() != 4 || !cmp.Equal(all.Nodes, []int{0, 1}) {
		t.Errorf("%d CPUs on %d cores and nodes %v, want 7 on 4 and [0 1]", len(all.CPUs), all.Cores(), all.Nodes)
	}
	if diff := cmp.Diff(CPU{ID: 2, Node: 1, Package: 1, Core: 0, Siblings: []int{2, 6}}, all.CPUs[2]); diff != "" {
		t.Error(diff)
	}
	some := ReadTopology(root, []int{6, 7, 3, 2})
	if len(some.CPUs) != 3 || some.Cores() != 2 || !cmp.Equal(some.Nodes, []int{1}) {
		t.Errorf("of CPUs 2,3,6,7: %+v", some)
	}
}

func TestGovernor(t *testing.T) {
	root := twoNodeRoot(t)
	for want, allowed := range map[string][]int{"performance": {0, 1}, "powersave": {2}, "mixed": {0, 2}, "": {4}} {
		if got := Governor(root, ReadTopology(root, allowed)); got != want {
			t.Errorf("governor of CPUs %v = %q, want %q", allowed, got, want)
		}
	}
}

func TestIdle(t *testing.T) {
	want := Idle{Driver: "intel_idle", States: []IdleState{{"POLL", 0, false}, {"C6", 133, true}}}
	if diff := cmp.Diff(want, ReadIdle(twoNodeRoot(t))); diff != "" {
		t.Error(diff)
	}
}

func TestHost(t *testing.T) {
	root := fixture(t, "nvme")
	h := ReadHost(root, ReadTopology(root, nil))
	if h.CPUs != 8 || h.Cores != 8 || h.NUMANodes != 1 || h.MemoryBytes < 500<<20 || h.Virtualized != "qemu" ||
		h.CPUModel == "" || h.Kernel == "" || h.UringDisabled != 0 {
		t.Errorf("host = %+v", h)
	}
	if n := AvailableMemory(root); n < 400<<20 || n >= h.MemoryBytes {
		t.Errorf("%d bytes available of %d", n, h.MemoryBytes)
	}
	if h.MemlockBytes == 0 || h.OpenFilesLimit == 0 {
		t.Errorf("limits = %d and %d", h.MemlockBytes, h.OpenFilesLimit)
	}
	if n := AvailableMemory(Root(t.TempDir())); n != 0 {
		t.Errorf("without /proc %d bytes are available", n)
	}
	if nodes := MemoryNodes(Root(t.TempDir())); !slices.Equal(nodes, []int{0}) {
		t.Errorf("without /sys nodes %v have memory", nodes)
	}
	empty := ReadHost(Root(t.TempDir()), Topology{})
	if empty.UringDisabled != -1 || empty.Kernel != "" || empty.CPUModel != "" {
		t.Errorf("a machine that tells nothing = %+v", empty)
	}
}

func TestHCTX(t *testing.T) {
	f, err := DescribeName(fixture(t, "nvme"), "nvme0n1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cpu  int
		kind string
		want int
	}{{0, "default", 0}, {5, "default", 5}, {5, "poll", 9}, {0, "poll", 8}, {3, "read", 3}, {99, "default", -1}} {
		if got := f.HCTX(c.cpu, c.kind); got != c.want {
			t.Errorf("CPU %d, %s: hctx %d, want %d", c.cpu, c.kind, got, c.want)
		}
	}
}

// TestQueueTypesWithoutDebugfs compares what follows from the CPU map with what debugfs said.
func TestQueueTypesWithoutDebugfs(t *testing.T) {
	for machine, name := range map[string]string{"nvme": "nvme0n1", "lvm": "nvme0n2", "mixed": "nullb0", "multipath": "nvme0c0n1"} {
		root := fixture(t, machine)
		told, err := DescribeName(root, name)
		if err != nil {
			t.Fatal(err)
		}
		testlab.TreeOf(t, string(root), "\n-- -sys/kernel/debug --\n")
		derived, err := DescribeName(root, name)
		if err != nil {
			t.Fatal(err)
		}
		for i, q := range derived.Queues {
			if q.TypeFrom != "cpu map" || told.Queues[i].TypeFrom != "debugfs" || q.Type != told.Queues[i].Type {
				t.Errorf("%s hctx %d is %s by %s; debugfs says %s", name, q.HCTX, q.Type, q.TypeFrom, told.Queues[i].Type)
			}
		}
	}
}

func TestThreeQueueTypes(t *testing.T) {
	queues := []Queue{{CPUs: []int{0, 1}}, {CPUs: []int{2, 3}}, {CPUs: []int{0, 1, 2, 3}}, {CPUs: []int{0, 2}}, {CPUs: []int{1, 3}}}
	mapTypes(queues, true)
	var got []string
	for _, q := range queues {
		got = append(got, q.Type)
	}
	if want := []string{"default", "default", "read", "poll", "poll"}; !cmp.Equal(got, want) {
		t.Errorf("types = %v, want %v", got, want)
	}
	reads := []Queue{{CPUs: []int{0, 1}}, {CPUs: []int{0, 1}}}
	mapTypes(reads, false)
	if reads[1].Type != "read" {
		t.Errorf("without poll queues the second type is %s", reads[1].Type)
	}
}

func TestFileSystemOf(t *testing.T) {
	root := fixture(t, "mixed")
	testlab.TreeOf(t, string(root), `
-- proc/self/mountinfo --
1 1 254:0 / / rw - ext4 /dev/vda rw
2 1 0:30 / /tmp rw - tmpfs tmpfs rw
3 1 0:44 /@ /data rw - btrfs /dev/sda rw
4 1 0:31 / /var/lib/over rw - overlay overlay rw,upperdir=/x
5 3 0:45 / /data/sub rw - nfs4 server:/x rw
`)
	inv := ReadInventory(root)
	for path, want := range map[string]FileSystem{
		"/etc/x":          {"ext4", "/", "/dev/vda", blk.DevT{Major: 254}},
		"/tmp/x":          {"tmpfs", "/tmp", "tmpfs", blk.DevT{}},
		"/tmpfile":        {"ext4", "/", "/dev/vda", blk.DevT{}},
		"/data/x":         {"btrfs", "/data", "/dev/sda", blk.DevT{Major: 8}},
		"/data/sub/x":     {"nfs4", "/data/sub", "server:/x", blk.DevT{}},
		"/var/lib/over/x": {"overlay", "/var/lib/over", "overlay", blk.DevT{}},
	} {
		dev := blk.DevT{Minor: 99}
		if want.Type == "ext4" {
			dev, want.DevT = blk.DevT{Major: 254}, blk.DevT{Major: 254}
		}
		if diff := cmp.Diff(want, inv.FileSystemOf(path, dev)); diff != "" {
			t.Errorf("%s:\n%s", path, diff)
		}
	}
}

func TestThisMachine(t *testing.T) {
	inv := ReadInventory("")
	if len(inv.Mounts) == 0 {
		t.Error("this machine has no mounts")
	}
	for _, n := range inv.Nodes {
		if n.DevT.IsZero() && !n.Hidden {
			t.Errorf("%s has no number", n.Name)
			continue
		}
		f, err := DescribeName("", n.Name)
		if err != nil {
			t.Logf("%s went away: %v", n.Name, err)
			continue
		}
		if f.LogicalBytes < 512 || f.PhysicalBytes < f.LogicalBytes {
			t.Errorf("%s: blocks of %d and %d bytes", n.Name, f.LogicalBytes, f.PhysicalBytes)
		}
	}
}
