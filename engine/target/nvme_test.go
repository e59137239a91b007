package target

import (
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
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
	})
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
