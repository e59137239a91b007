package target

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// What is asked about a namespace's character device is asked about the block device with the same number in
// sysfs, whatever the node in /dev is called.
func TestACharacterDeviceIsItsNamespace(t *testing.T) {
	for _, c := range []struct{ machine, generic, block string }{
		{"nvme", "ng0n1", "nvme0n1"},
		{"nvme", "ng0n2", "nvme0n2"},
		{"multipath", "ng0n1", "nvme0n1"},
	} {
		root := testlab.Tree(t, filepath.Join("../../internal/device/testdata", c.machine+".txtar"))
		inv := device.ReadInventory(device.Root(root))
		s := fixtureSubject(t, root, c.generic, inv)
		if n := inv.ByName(c.block); s.kind != Generic || s.blockDevT != n.DevT || s.blockPath != "/dev/"+c.block {
			t.Errorf("%s of %s: kind %q, block device %s %v", c.generic, c.machine, s.kind, s.blockPath, s.blockDevT)
		}
		err := guard{inv: inv, look: func(s subject) string { return "it holds " + s.blockPath }}.refuseUnnamed(s, Spec{})
		if f := wantFault(t, err, "REFUSED_EXISTS", fault.ExitRefused); !strings.Contains(f.Error(), "/dev/"+c.block) || !strings.Contains(f.Hint, "--destroy="+c.generic) {
			t.Errorf("unnamed: %v (%s)", f, f.Hint)
		}
		other := s
		other.kind, other.info.Rdev = character, blk.DevT{Major: 1, Minor: 3}
		if _, ok := other.asGeneric(inv); ok {
			t.Error("a number that no namespace has became a namespace")
		}
	}
}

// A job that would send commands to a block device or a file is told which device takes them.
func TestCommandsNeedACharacterDevice(t *testing.T) {
	for _, c := range []struct{ machine, target, hint string }{
		{"nvme", "nvme0n2", "/dev/ng0n2"},
		{"nvme", "nvme0n2p3", "name /dev/ng0n2, and the place of nvme0n2p3 on it"},
		{"multipath", "nvme0n1", "/dev/ng0n1"},
		{"mixed", "sda", "ls /dev/ng*"},
		{"mixed", "/m1/disk.img", "ls /dev/ng*"},
	} {
		root := testlab.Tree(t, filepath.Join("../../internal/device/testdata", c.machine+".txtar"))
		testlab.TreeOf(t, root, "-- m1/disk.img --\nimage\n")
		inv := device.ReadInventory(device.Root(root))
		o := &Opener{Root: device.Root(root)}
		f := wantFault(t, o.notGeneric(fixtureSubject(t, root, c.target, inv), inv), "TARGET_NOT_GENERIC", fault.ExitUsage)
		if !strings.Contains(f.Hint, c.hint) {
			t.Errorf("%s: hint %q, want %q in it", c.target, f.Hint, c.hint)
		}
	}
}

// Nobody splits commands: what the device does not take at once is refused before the first I/O.
func TestCommandsAreNotSplit(t *testing.T) {
	g := &Target{path: "/dev/ng0n1", kind: Generic, facts: device.Facts{Settings: map[string]string{"max_hw_sectors_kb": "256"}}}
	if err := g.CheckCommand(256 << 10); err != nil {
		t.Error(err)
	}
	wantFault(t, g.CheckCommand(256<<10+512), "COMMAND_TOO_LARGE", fault.ExitUsage)
	b := *g
	b.kind = Block
	if err := b.CheckCommand(1 << 20); err != nil {
		t.Errorf("of a block device, where the kernel splits: %v", err)
	}
}
