package target

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// The namespace of which these tests make a file system; the other one is only read.
const (
	usedNVMe    = "/dev/nvme0n1"
	usedGeneric = "/dev/ng0n1"
	freeNVMe    = "/dev/nvme0n2"
)

// Whoever may send commands to a namespace's character device can destroy the file system on its block device:
// while that is mounted, here or in another namespace of mounts, the one is refused as the other is.
func TestAMountedNVMeNamespaceIsRefused(t *testing.T) {
	testlab.Require(t, "root", "mount", "nvme")
	t.Run("mounted", func(t *testing.T) {
		dir := testlab.Mount(t, usedNVMe)
		wantInUse(t, usedNVMe, dir)
		wantInUse(t, usedGeneric, dir)
		_, err := Open(Spec{Path: usedGeneric, Access: ReadWrite, Passthrough: true, Destroy: []string{"ng0n1"}})
		if f := wantFault(t, err, "REFUSED_IN_USE", fault.ExitRefused); !strings.Contains(f.Error(), dir) {
			t.Errorf("refusal %q does not name %s", f, dir)
		}
		mustOpen(t, &Opener{}, Spec{Path: usedGeneric, Passthrough: true}) // for reading
	})
	t.Run("mounted where nobody sees it", func(t *testing.T) {
		testlab.InPrivateNamespace(t, "mount "+usedNVMe+" "+t.TempDir())
		wantInUse(t, usedNVMe, "")
		wantInUse(t, usedGeneric, "")
	})
	t.Run("free again", func(t *testing.T) {
		wantWritable(t, usedNVMe)
		_, err := Open(Spec{Path: usedGeneric, Access: ReadWrite, Destroy: []string{"ng0n1"}})
		wantFault(t, err, "TARGET_IS_CHARACTER", fault.ExitUsage)
		_, err = Open(Spec{Path: usedGeneric, Access: ReadWrite, Passthrough: true})
		if f := wantFault(t, err, "REFUSED_EXISTS", fault.ExitRefused); !strings.Contains(f.Error(), "ext4") {
			t.Errorf("refusal %q does not tell of the file system", f)
		}
	})
}

// Both nodes of a namespace are one target to the guard: while commands may write through the one, nobody can
// begin to use the other.
func TestGenericNVMeTarget(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	for _, name := range []string{"0n1", "0n2"} {
		o := &Opener{}
		block := mustOpen(t, o, Spec{Path: "/dev/nvme" + name, Direct: true})
		g := mustOpen(t, o, Spec{Path: "/dev/ng" + name, Access: ReadWrite, Passthrough: true, Direct: true, Destroy: []string{"ng" + name}})
		if g.Kind() != Generic || g.DevT() != block.DevT() || g.SizeBytes() != block.SizeBytes() || g.LogicalBytes() != block.LogicalBytes() ||
			g.OffsetAlign() != block.LogicalBytes() || int(g.NVMeNamespace()) != block.Facts().NVMeNamespace || !g.Direct() || !g.Exclusive() {
			t.Errorf("ng%s: %+v, its block device %+v", name, g, block)
		}
		if notes := g.Facts().Notes; !strings.Contains(strings.Join(notes, ""), "NVMe commands go past") {
			t.Errorf("notes %q", notes)
		}
		if want := []string{"ng" + name, "nvme" + name}; !slices.Equal(g.Stack(), want) {
			t.Errorf("stack %v, want %v", g.Stack(), want)
		}
		if f, err := blk.Open("/dev/nvme"+name, blk.Flags{Write: true, Exclusive: true}); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("the block device can be claimed meanwhile: %v", errors.Join(err, f.Close()))
		}
		if err := g.Sync(); err != nil {
			t.Error(err)
		}
		if "/dev/nvme"+name == usedNVMe {
			if err := g.Fill(t.Context(), 1<<20, 1<<20, nil); err != nil {
				t.Error(err)
			}
			if w := g.Written(1<<20, 1<<20); !w.Known || w.Percent < 99 {
				t.Errorf("after filling: %+v", w)
			}
		}
		_, err := o.Open(Spec{Path: "/dev/nvme" + name, Passthrough: true})
		if f := wantFault(t, err, "TARGET_NOT_GENERIC", fault.ExitUsage); !strings.Contains(f.Hint, "/dev/ng"+name) {
			t.Errorf("hint %q", f.Hint)
		}
		_, err = o.Open(Spec{Path: "/dev/ng" + name})
		wantFault(t, err, "TARGET_IS_CHARACTER", fault.ExitUsage)
	}
}

// A controller that does not count what it has allocated reports everything as used; then blocks are read.
func TestWrittenOnNVMe(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	target := mustOpen(t, &Opener{}, Spec{Path: freeNVMe, Direct: true})
	u, err := device.ReadUtilisation(target.FD(), uint32(target.Facts().NVMeNamespace))
	if err != nil {
		t.Fatal(err)
	}
	if blocks := uint64(target.SizeBytes() / int64(target.LogicalBytes())); u.Capacity != blocks || u.Used > u.Capacity {
		t.Errorf("utilisation %+v of %d blocks", u, blocks)
	}
	w := target.Written(0, target.SizeBytes())
	if !w.Known || w.Percent != 0 || w.Sampled != (u.Used == u.Capacity) || w.Sampled == strings.Contains(w.How, "controller") {
		t.Errorf("of a new drive was written: %+v (utilisation %+v)", w, u)
	}
}
