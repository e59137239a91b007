package inspect

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
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

func fixture(t testing.TB, name string) device.Root {
	return device.Root(testlab.Tree(t, filepath.Join("../device/testdata", name+".txtar")))
}

func TestTables(t *testing.T) {
	var b strings.Builder
	for _, name := range []string{"nvme", "lvm", "md", "mixed", "multipath"} {
		devices, err := All(fixture(t, name), name == "multipath")
		if err != nil {
			t.Fatal(err)
		}
		for _, width := range []int{0, 120, 80} {
			fmt.Fprintf(&b, "# %s, %d columns\n", name, width)
			if err := Table(&b, devices, width); err != nil {
				t.Fatal(err)
			}
		}
	}
	golden(t, "tables.golden", b.String())
	for section := range strings.SplitSeq(b.String(), "# ") {
		head, rows, _ := strings.Cut(section, "\n")
		for row := range strings.Lines(rows) {
			if limit := len([]rune(strings.TrimRight(row, "\n"))); strings.HasSuffix(head, ", 80 columns") && limit > 80 {
				t.Errorf("%s: a line of %d columns: %s", head, limit, row)
			}
		}
	}
}

func TestFullViews(t *testing.T) {
	for machine, names := range map[string][]string{
		"nvme": {"nvme0n2"}, "lvm": {"dm-1"}, "mixed": {"loop0", "zram0", "/dev/vda"}, "multipath": {"nvme0n1"},
	} {
		root := fixture(t, machine)
		for _, name := range names {
			d, err := One(root, name)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := Full(&b, d); err != nil {
				t.Fatal(err)
			}
			golden(t, machine+"-"+filepath.Base(name)+".golden", b.String())
		}
	}
}

// TestHealthView shows made-up figures, each different, so that a swapped column shows.
func TestHealthView(t *testing.T) {
	p := &page{}
	p.health(&Detail{NVMe: &NVMe{
		CriticalWarnings: []string{"media are read-only"}, TemperatureC: 41, WarningC: 82, CriticalC: 85,
		WarningMinutes: 3, CriticalMinutes: 4, LightThrottles: 5, LightThrottleS: 6, HeavyThrottles: 7, HeavyThrottleS: 8,
		SparePercent: 99, SpareMinPercent: 10, UsedPercent: 12, ReadBytes: 13 << 40, WrittenBytes: 14 << 40,
		PowerOnHours: 15, MediaErrors: 16, PowerState: 3, APST: true,
		PowerStates: []PowerState{{0, 8.5, true, 17, 18}, {3, 0.05, false, 19, 20}},
		Transitions: []Transition{{0, 3, 100}},
	}})
	golden(t, "health.golden", p.String())
}

// TestJSONHasNoNulls: a reader of the document finds lists, empty or not, and knows no null but a missing
// detail.
func TestJSONHasNoNulls(t *testing.T) {
	for _, machine := range []string{"nvme", "mixed", "multipath"} {
		devices, err := All(fixture(t, machine), true)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(Document{Schema: Schema, Devices: devices})
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(text, []byte("null")); i >= 0 && !bytes.Contains(text[i-8:i+8], []byte("nullb0")) && !bytes.Contains(text[i-8:i+8], []byte(`"null"`)) {
			t.Errorf("%s: null in %s", machine, text[max(0, i-60):i+10])
		}
		var back Document
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(devices, back.Devices); diff != "" {
			t.Errorf("%s: reading it back differs:\n%s", machine, diff)
		}
	}
}

func TestMissing(t *testing.T) {
	root := fixture(t, "nvme")
	for name, f := range map[string]func() error{
		"DEVICE_MISSING": func() error { _, err := One(root, "nvme9n9"); return err },
		"NO_DEVICES":     func() error { _, err := All(device.Root(t.TempDir()), false); return err },
	} {
		if err := fault.Of(f()); err.Code != name || err.Hint == "" {
			t.Errorf("error = %+v, want %s with a hint", err, name)
		}
	}
}

// TestListingOpensNoDevice puts named pipes where the device nodes would be: opening one would wait for a
// writer for ever.
func TestListingOpensNoDevice(t *testing.T) {
	root := fixture(t, "mixed")
	if err := os.MkdirAll(root.Path("dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"loop0", "nullb0", "sda", "vda", "zram0", "loop-control"} {
		if err := syscall.Mkfifo(root.Path("dev", name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := All(root, true)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("listing waits for something under /dev")
	}
}

// crowd makes a machine of n NVMe devices of the fixture's kind.
func crowd(t testing.TB, n int) device.Root {
	t.Helper()
	root := testlab.Tree(t, "../device/testdata/nvme.txtar")
	model := filepath.Join(root, "sys/devices/pci0000:00/0000:00:02.0/nvme/nvme0/nvme0n1")
	for i := range n {
		name := fmt.Sprintf("nvme%dn1", i+100)
		dir := filepath.Join(root, "sys/devices/crowd", name)
		if err := os.CopyFS(dir, os.DirFS(model)); err != nil {
			t.Fatal(err)
		}
		devT := fmt.Sprintf("300:%d", i)
		if err := os.WriteFile(filepath.Join(dir, "dev"), []byte(devT), 0o644); err != nil {
			t.Fatal(err)
		}
		for link, up := range map[string]string{"sys/class/block/" + name: "../..", "sys/block/" + name: "..", "sys/dev/block/" + devT: "../.."} {
			if err := os.Symlink(filepath.Join(up, "devices/crowd", name), filepath.Join(root, link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return device.Root(root)
}

// BenchmarkList500 lists 500 devices; the budget is 100 ms.
func BenchmarkList500(b *testing.B) {
	root := crowd(b, 498)
	for b.Loop() {
		devices, err := All(root, false)
		if err != nil || len(devices) != 500 {
			b.Fatalf("%d devices, %v", len(devices), err)
		}
	}
}
