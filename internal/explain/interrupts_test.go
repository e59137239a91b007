package explain

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/blkmeter/blkmeter/internal/device"
)

const interruptsText = `            CPU0       CPU1       CPU3
  24:          1          0          0  IO-APIC   5-edge      ACPI:Ged
  36:          0     417208          7  PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
  37:          5          6          8  PCI-MSIX-0000:00:02.0   2-edge      virtio1-req.1
  38:         10         20         30  PCI-MSIX-0000:00:03.0   0-edge      virtio10-req.0
  40:          9          9          9  PCI-MSIX-0000:01:00.0   0-edge      nvme0q0
  41:        100          0          0  PCI-MSIX-0000:01:00.0   1-edge      nvme0q1
  42:          0        200          0  PCI-MSIX-0000:01:00.0   2-edge      nvme0q2
  43:          1          1          1  PCI-MSIX-0000:02:00.0   0-edge      nvme1q0, nvme1q1
  44:          3          4          5  PCI-MSI-0000:00:17.0    0-edge      ahci[0000:00:17.0]
 NMI:          0          0          0   Non-maskable interrupts
 ERR:          0
`

func TestInterruptsOfADisk(t *testing.T) {
	cpus := []int{0, 1, 2, 3}
	for name, c := range map[string]struct {
		v    vectors
		want []int64
	}{
		"virtio":             {vectors{prefix: "virtio1-req."}, []int64{5, 417214, 0, 15}},
		"nvme without admin": {vectors{prefix: "nvme0q"}, []int64{100, 200, 0, 0}},
		"nvme, one vector":   {vectors{prefix: "nvme1q"}, []int64{1, 1, 0, 1}},
		"by number":          {vectors{lines: []string{"44"}}, []int64{3, 4, 0, 5}},
		"loop":               {vectors{}, nil},
		"not there":          {vectors{prefix: "nvme7q"}, nil},
	} {
		if got := c.v.count(interruptsText, cpus); !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestFindVectors(t *testing.T) {
	root := device.Root(t.TempDir())
	mkdir := func(path string) {
		if err := os.MkdirAll(root.Path(path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("sys/block/vda")
	mkdir("sys/bus/pci/devices/0000:00:17.0/msi_irqs/44")
	if err := os.Symlink("../../devices/pci0000:00/0000:00:02.0/virtio1", root.Path("sys/block/vda/device")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		disk device.Facts
		want vectors
	}{
		"nvme":    {drive(), vectors{prefix: "nvme0q"}},
		"virtio":  {device.Facts{Disk: "vda", Kind: device.KindVirtio}, vectors{prefix: "virtio1-req."}},
		"gone":    {device.Facts{Disk: "vdb", Kind: device.KindVirtio}, vectors{}},
		"sata":    {device.Facts{Disk: "sda", Kind: device.KindSCSI, PCIAddress: "0000:00:17.0"}, vectors{lines: []string{"44"}}},
		"no msi":  {device.Facts{Disk: "sdb", Kind: device.KindSCSI, PCIAddress: "0000:00:18.0"}, vectors{}},
		"a loop ": {device.Facts{Disk: "loop0", Kind: device.KindLoop}, vectors{}},
	} {
		got := findVectors(root, &c.disk)
		if got.prefix != c.want.prefix || !slices.Equal(got.lines, c.want.lines) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if text := readInterrupts(root); text != "" {
		t.Errorf("no /proc/interrupts, but %q", text)
	}
	if err := os.MkdirAll(filepath.Dir(root.Path("proc/interrupts")), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root.Path("proc/interrupts"), []byte(interruptsText), 0o644); err != nil {
		t.Fatal(err)
	}
	if text := readInterrupts(root); text != interruptsText {
		t.Errorf("read %q", text)
	}
}

func FuzzInterrupts(f *testing.F) {
	f.Add(interruptsText)
	f.Add("CPU0\n 1: 99999999999999999999 nvme0q1")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		cpus := []int{0, 1}
		if got := (vectors{prefix: "nvme0q"}).count(text, cpus); got != nil && len(got) != len(cpus) {
			t.Errorf("%d counts for %d CPUs", len(got), len(cpus))
		}
	})
}
