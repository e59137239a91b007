package device

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// fixture unpacks a machine that was captured with testdata/capture.sh.
func fixture(t testing.TB, name string) Root {
	t.Helper()
	return Root(testlab.Tree(t, filepath.Join("testdata", name+".txtar")))
}

// golden compares got with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("differs from %s (-want +got), run with -update if that is right:\n%s", path, diff)
	}
}

// TestMachines describes every block device of five captured machines (emulated, their kernels real): NVMe with poll queues; LVM on partitions;
// RAID; virtio, zram, loop, null and SCSI devices; NVMe multipath.
func TestMachines(t *testing.T) {
	for _, name := range []string{"nvme", "lvm", "md", "mixed", "multipath"} {
		t.Run(name, func(t *testing.T) {
			root := fixture(t, name)
			inv := ReadInventory(root)
			var b strings.Builder
			topology := ReadTopology(root, nil)
			fmt.Fprintf(&b, "topology: %+v\n", topology)
			for _, n := range inv.Nodes {
				f, err := DescribeName(root, n.Name)
				if err != nil {
					t.Fatal(err)
				}
				writeFacts(&b, f)
				fmt.Fprintf(&b, "  stack: %s\n", strings.Join(inv.Stack(n), " > "))
				for _, u := range inv.Uses(n) {
					fmt.Fprintf(&b, "  use: %s [%s]\n", u, u.Found)
				}
			}
			golden(t, name, b.String())
		})
	}
}

func writeFacts(b *strings.Builder, f Facts) {
	fmt.Fprintf(b, "%s %s kind=%s disk=%s size=%d lbs=%d pbs=%d model=%q fw=%q serial=%q transport=%q scheduler=%s%v tags=%d nr_requests=%d rot=%v cache=%q poll=%v node=%d pci=%s ro=%v hidden=%v\n",
		f.Name, f.DevT, f.Kind, f.Disk, f.SizeBytes, f.LogicalBytes, f.PhysicalBytes, f.Model, f.Firmware, f.Serial, f.Transport,
		f.Scheduler, f.Schedulers, f.Tags, f.NrRequests, f.Rotational, f.WriteCache, f.IOPoll, f.NUMANode, f.PCIAddress, f.ReadOnly, f.Hidden)
	for _, q := range f.Queues {
		if f.Disk != f.Name {
			break
		}
		fmt.Fprintf(b, "  hctx %d %s (%s) tags=%d cpus=%s\n", q.HCTX, q.Type, q.TypeFrom, q.Tags, FormatCPUList(q.CPUs))
	}
	for _, n := range f.Notes {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
}
