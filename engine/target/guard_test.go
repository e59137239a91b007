package target

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// Overlays over the captured machines: what is in use in ways that the captured machine did not show.
const (
	noUses = `
-- proc/swaps --
Filename				Type		Size		Used		Priority
-- proc/self/mountinfo --
1 1 0:2 / / rw - rootfs rootfs rw
-- proc/1/mountinfo --
1 1 0:2 / / rw - rootfs rootfs rw
`
	privateMount = noUses + `
-- proc/4242/ns/mnt -> mnt:[4026532999] --
-- proc/4242/mountinfo --
50 49 259:4 / /var/lib/private rw - ext4 /dev/disk/by-uuid/1234 rw
`
	unreadableNamespace = noUses + `
-- proc/77/mountinfo --
50 49 259:4 / /hidden rw - ext4 /dev/whatever rw
`
	lyingSource = noUses + `
-- proc/self/mountinfo --
1 1 259:0 / /data rw - ext4 /dev/nvme7n7 rw
`
	spacedMount = noUses + `
-- proc/self/mountinfo --
1 1 259:0 / /mnt/my\040disk rw - xfs /dev/nvme0n1 rw
`
	wholeDiskMounted = noUses + `
-- proc/self/mountinfo --
1 1 259:1 / /media/iso rw - iso9660 /dev/nvme0n2 rw
`
	btrfsPair = noUses + `
-- proc/self/mountinfo --
1 1 0:44 /@home /home rw - btrfs /dev/nvme0n1 rw,subvol=/@home
-- sys/fs/btrfs/5f2c/devices/nvme0n1 -> ../../../../devices/a --
-- sys/fs/btrfs/5f2c/devices/nvme0n2p3 -> ../../../../devices/b --
`
	bcachefsPair = noUses + `
-- proc/self/mountinfo --
1 1 0:51 / /pool rw - bcachefs /dev/nvme0n1:/dev/nvme0n2p3 rw
`
	bcacheHolder = noUses + `
-- sys/devices/pci0000:00/0000:00:02.0/nvme/nvme0/nvme0n1/holders/bcache0 -> ../../x --
-- sys/class/block/bcache0 -> ../../devices/virtual/block/bcache0 --
-- sys/devices/virtual/block/bcache0/dev --
251:0
-- sys/devices/virtual/block/bcache0/slaves/nvme0n1 -> ../../x --
`
	unknownHolder = noUses + `
-- sys/devices/pci0000:00/0000:00:02.0/nvme/nvme0/nvme0n1/holders/drbd7 -> ../../x --
`
	swapByMapper = noUses + `
-- proc/swaps --
Filename				Type		Size		Used		Priority
/dev/mapper/vg0-free                    partition	16380		0		-2
`
	dmMultipath = noUses + `
-- sys/devices/pci0000:00/0000:00:02.0/nvme/nvme0/nvme0n1/holders/dm-9 -> ../../x --
-- sys/devices/pci0000:00/0000:00:02.0/nvme/nvme0/nvme0n2/holders/dm-9 -> ../../x --
-- sys/class/block/dm-9 -> ../../devices/virtual/block/dm-9 --
-- sys/devices/virtual/block/dm-9/dev --
253:9
-- sys/devices/virtual/block/dm-9/dm/name --
mpatha
-- sys/devices/virtual/block/dm-9/dm/uuid --
mpath-3600
-- sys/devices/virtual/block/dm-9/slaves/nvme0n1 -> ../../x --
-- sys/devices/virtual/block/dm-9/slaves/nvme0n2 -> ../../x --
`
	circle = noUses + `
-- sys/devices/virtual/block/dm-0/holders/dm-1 -> ../../x --
-- sys/devices/virtual/block/dm-1/holders/dm-0 -> ../../x --
-- sys/class/block/dm-0 -> ../../devices/virtual/block/dm-0 --
-- sys/class/block/dm-1 -> ../../devices/virtual/block/dm-1 --
-- sys/devices/virtual/block/dm-0/dev --
253:0
-- sys/devices/virtual/block/dm-1/dev --
253:1
`
	mdPartition = `
-- sys/class/block/md0p1 -> ../../devices/virtual/block/md0/md0p1 --
-- sys/devices/virtual/block/md0/md0p1/dev --
259:9
-- sys/devices/virtual/block/md0/md0p1/partition --
1
-- proc/self/mountinfo --
1 1 259:9 / /raid rw - ext4 /dev/md0p1 rw
-- proc/1/mountinfo --
1 1 0:2 / / rw - rootfs rootfs rw
`
	belowIsMounted = `
-- proc/self/mountinfo --
1 1 259:3 / /oops rw - ext4 /dev/nvme0n2p2 rw
-- proc/1/mountinfo --
1 1 0:2 / / rw - rootfs rootfs rw
-- proc/swaps --
Filename				Type		Size		Used		Priority
`
	loopOverDisk = noUses + `
-- sys/devices/virtual/block/loop0/loop/backing_file --
/dev/sda
-- m1/disk.img --
image
`
	loopOverDiskMounted = loopOverDisk + `
-- proc/self/mountinfo --
1 1 7:0 / /looped rw - ext4 /dev/loop0 rw
`
	diskUnderLoopMounted = loopOverDisk + `
-- proc/self/mountinfo --
1 1 8:0 / /disk rw - ext4 /dev/sda rw
`
	loopOverPartitionedDisk = loopOverDisk + `
-- sys/class/block/sda1 -> ../../devices/virtual/block/sda/sda1 --
-- sys/class/block/sda -> ../../devices/virtual/block/sda --
-- sys/devices/virtual/block/sda/dev --
8:0
-- sys/devices/virtual/block/sda/sda1/dev --
8:1
-- sys/devices/virtual/block/sda/sda1/partition --
1
-- proc/self/mountinfo --
1 1 8:1 / /part rw - ext4 /dev/sda1 rw
`
	loopMounted = noUses + `
-- proc/self/mountinfo --
1 1 7:0 / /looped rw - ext4 /dev/loop0 rw
-- m1/disk.img --
image
`
	loopIdle = noUses + `
-- m1/disk.img --
image
`
	twoLoops = noUses + `
-- m1/disk.img --
image
-- sys/devices/virtual/block/loop1/loop/backing_file --
/m1/disk.img
-- proc/self/mountinfo --
1 1 7:1 / /second rw - ext4 /dev/loop1 rw
`
	twoLoopsPartition = twoLoops + `
-- sys/class/block/loop0p1 -> ../../devices/virtual/block/loop0/loop0p1 --
-- sys/devices/virtual/block/loop0/loop0p1/dev --
259:7
-- sys/devices/virtual/block/loop0/loop0p1/partition --
1
`
	dmOverLoop = twoLoops + `
-- sys/class/block/dm-0 -> ../../devices/virtual/block/dm-0 --
-- sys/devices/virtual/block/dm-0/dev --
250:0
-- sys/devices/virtual/block/dm-0/slaves/loop0 -> ../../x --
`
	loopOverLoop = noUses + `
-- m1/disk.img --
image
-- sys/devices/virtual/block/loop1/loop/backing_file --
/dev/loop0
-- proc/self/mountinfo --
1 1 7:1 / /nested rw - ext4 /dev/loop1 rw
`
	swapFile = noUses + `
-- m1/disk.img --
image
-- proc/swaps --
Filename				Type		Size		Used		Priority
/m1/disk.img                            file		16380		0		-2
`
	swapFileSpaced = noUses + `
-- m1/my swap.img --
image
-- proc/swaps --
Filename				Type		Size		Used		Priority
/m1/my\040swap.img                      file		16380		0		-2
`
)

// TestGuardOnMachines asks the guard about devices and files of captured machines. Every target is named by
// --destroy, so that what is refused is refused whatever the user says.
func TestGuardOnMachines(t *testing.T) {
	for _, c := range []struct {
		name, machine, overlay, target string
		reason                         string // part of the refusal; "" when the guard agrees
	}{
		{"free disk", "nvme", "", "nvme0n1", ""},
		{"free partition beside used ones", "nvme", "", "nvme0n2p3", ""},
		{"mounted partition", "nvme", "", "nvme0n2p1", "nvme0n2p1 is mounted on /m1 (ext4)"},
		{"swap partition", "nvme", "", "nvme0n2p2", "nvme0n2p2 is an active swap area"},
		{"disk with mounted partition", "nvme", "", "nvme0n2", "nvme0n2p1 is mounted on /m1"},
		{"disk with mounted partition names the swap too", "nvme", "", "nvme0n2", "nvme0n2p2 is an active swap area"},
		{"nothing used", "nvme", noUses, "nvme0n2", ""},
		{"mounted in another namespace", "nvme", privateMount, "nvme0n2p3", "nvme0n2p3 is mounted on /var/lib/private (ext4, in another mount namespace) [found in /proc/4242/mountinfo]"},
		{"disk of one mounted in another namespace", "nvme", privateMount, "nvme0n2", "/var/lib/private"},
		{"beside one mounted in another namespace", "nvme", privateMount, "nvme0n2p1", ""},
		{"namespace whose name may not be read", "nvme", unreadableNamespace, "nvme0n2p3", "/hidden"},
		{"mount whose source has another name", "nvme", lyingSource, "nvme0n1", "nvme0n1 is mounted on /data"},
		{"mount point with a space", "nvme", spacedMount, "nvme0n1", "/mnt/my disk"},
		{"partition of a disk mounted as a whole", "nvme", wholeDiskMounted, "nvme0n2p3", "nvme0n2 is mounted on /media/iso"},
		{"btrfs, the device it was mounted from", "nvme", btrfsPair, "nvme0n1", "nvme0n1 is mounted on /home (btrfs)"},
		{"btrfs, its other device", "nvme", btrfsPair, "nvme0n2p3", "nvme0n2p3 is mounted on /home (btrfs)"},
		{"btrfs, disk of its other device", "nvme", btrfsPair, "nvme0n2", "nvme0n2p3 is mounted on /home"},
		{"btrfs, beside its other device", "nvme", btrfsPair, "nvme0n2p1", ""},
		{"bcachefs, second device", "nvme", bcachefsPair, "nvme0n2p3", "/pool"},
		{"bcache member", "nvme", bcacheHolder, "nvme0n1", "nvme0n1 is held by bcache0"},
		{"bcache device itself", "nvme", bcacheHolder, "bcache0", ""},
		{"holder that is no block device", "nvme", unknownHolder, "nvme0n1", "nvme0n1 is held by drbd7"},
		{"dm multipath, first path", "nvme", dmMultipath, "nvme0n1", "nvme0n1 is held by dm-9 (mpatha)"},
		{"dm multipath, second path", "nvme", dmMultipath, "nvme0n2", "held by dm-9 (mpatha)"},
		{"dm multipath, partition of a path", "nvme", dmMultipath, "nvme0n2p1", "nvme0n2 is held by dm-9"},
		{"dm multipath, the whole", "nvme", dmMultipath, "dm-9", ""},
		{"holders in a circle", "nvme", circle, "dm-0", "dm-0 is held by dm-1"},
		{"LVM physical volume", "lvm", "", "nvme0n2p3", "nvme0n2p3 is held by dm-2 (vg0-free)"},
		{"LVM disk", "lvm", "", "nvme0n2", "dm-0 is mounted on /m1"},
		{"LVM volume mounted", "lvm", "", "dm-0", "dm-0 is mounted on /m1 (ext4)"},
		{"LVM volume swapped on", "lvm", "", "dm-1", "dm-1 is an active swap area"},
		{"LVM volume free", "lvm", "", "dm-2", ""},
		{"partition beside LVM", "lvm", "", "nvme0n2p1", ""},
		{"swap named by mapper", "lvm", swapByMapper, "dm-2", "dm-2 is an active swap area"},
		{"volume over a mounted partition", "lvm", belowIsMounted, "dm-0", "nvme0n2p2 is mounted on /oops"},
		{"RAID mounted", "md", "", "md0", "md0 is mounted on /m1"},
		{"RAID member", "md", "", "nvme0n1p1", "nvme0n1p1 is held by md0"},
		{"RAID member says what for", "md", "", "nvme0n1p2", "md0 is mounted on /m1"},
		{"RAID disk", "md", "", "nvme0n1", "nvme0n1p2 is held by md0"},
		{"partition beside RAID", "md", "", "nvme0n1p3", ""},
		{"RAID with mounted partition", "md", mdPartition, "md0", "md0p1 is mounted on /raid"},
		{"member of RAID with mounted partition", "md", mdPartition, "nvme0n1p1", "md0p1 is mounted on /raid"},
		{"virtio disk mounted", "mixed", "", "vda", "vda is mounted on /m1"},
		{"zram swap", "mixed", "", "zram0", "zram0 is an active swap area"},
		{"SCSI disk", "mixed", "", "sda", ""},
		{"null device", "mixed", "", "nullb0", ""},
		{"loop device idle", "mixed", loopIdle, "loop0", ""},
		{"loop device mounted", "mixed", loopMounted, "loop0", "loop0 is mounted on /looped"},
		{"file under a mounted loop device", "mixed", loopMounted, "/m1/disk.img", "loop0 is mounted on /looped"},
		{"file under an idle loop device", "mixed", loopIdle, "/m1/disk.img", ""},
		{"loop device whose file is mounted through another", "mixed", twoLoops, "loop0", "loop1 is mounted on /second"},
		{"file under two loop devices", "mixed", twoLoops, "/m1/disk.img", "is under loop device loop1"},
		{"loop device under a loop device", "mixed", loopOverLoop, "loop0", "loop1 is mounted on /nested"},
		{"file under a loop device under a loop device", "mixed", loopOverLoop, "/m1/disk.img", "loop1 is mounted on /nested"},
		{"disk under an idle loop device", "mixed", loopOverDisk, "sda", ""},
		{"disk under a mounted loop device", "mixed", loopOverDiskMounted, "sda", "sda is under loop device loop0"},
		{"loop device over a mounted disk", "mixed", diskUnderLoopMounted, "loop0", "sda is mounted on /disk"},
		{"loop device over a disk with a mounted partition", "mixed", loopOverPartitionedDisk, "loop0", "sda1 is mounted on /part"},
		{"partition of a loop device whose file is mounted through another", "mixed", twoLoopsPartition, "loop0p1", "loop1 is mounted on /second"},
		{"dm over a loop device whose file is mounted through another", "mixed", dmOverLoop, "dm-0", "loop1 is mounted on /second"},
		{"swap file", "mixed", swapFile, "/m1/disk.img", "is an active swap area"},
		{"swap file with a space in its name", "mixed", swapFileSpaced, "/m1/my swap.img", "is an active swap area"},
		{"loop device over a swap file", "mixed", swapFile, "loop0", "is an active swap area"},
		{"NVMe multipath mounted", "multipath", "", "nvme0n1", "nvme0n1 is mounted on /m1"},
		{"NVMe multipath free", "multipath", noUses, "nvme0n1", ""},
		{"character device of a free namespace", "nvme", "", "ng0n1", ""},
		{"character device of a namespace in use", "nvme", "", "ng0n2", "nvme0n2p1 is mounted on /m1"},
		{"character device of a namespace mounted unseen", "nvme", privateMount, "ng0n2", "/var/lib/private"},
		{"character device of a namespace held by LVM", "lvm", "", "ng0n2", "dm-0 is mounted on /m1"},
		{"character device of a RAID member", "md", "", "ng0n1", "nvme0n1p2 is held by md0"},
		{"character device of a multipath namespace in use", "multipath", "", "ng0n1", "nvme0n1 is mounted on /m1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := testlab.Tree(t, filepath.Join("../../internal/device/testdata", c.machine+".txtar"))
			testlab.TreeOf(t, root, c.overlay)
			inv := device.ReadInventory(device.Root(root))
			s := fixtureSubject(t, root, c.target, inv)
			err := guard{inv: inv}.consent(s, Spec{Access: ReadWrite, Destroy: []string{s.base()}})
			if c.reason == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			f := wantFault(t, err, "REFUSED_IN_USE", fault.ExitRefused)
			if !strings.Contains(f.Error(), c.reason) || !strings.Contains(f.Error(), "[found in /") {
				t.Errorf("refusal = %q, want it to contain %q and where it was found", f, c.reason)
			}
			if f.Hint == "" {
				t.Error("refused without a hint")
			}
		})
	}
}

// fixtureSubject is what identify would find on the captured machine.
func fixtureSubject(t *testing.T, root, target string, inv *device.Inventory) subject {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		info, err := blk.Stat(filepath.Join(root, target))
		if err != nil {
			t.Fatal(err)
		}
		return subject{path: target, resolved: target, kind: File, info: info}
	}
	s := subject{path: "/dev/" + target, resolved: "/dev/" + target, kind: Block, blockPath: "/dev/" + target}
	if strings.HasPrefix(target, "ng") {
		s.kind = character
		text, err := os.ReadFile(filepath.Join(root, "sys/class/nvme-generic", target, "dev"))
		if err != nil {
			t.Fatal(err)
		}
		s.info = blk.Info{Mode: fs.ModeDevice | fs.ModeCharDevice}
		if s.info.Rdev, err = blk.ParseDevT(string(text)); err != nil {
			t.Fatal(err)
		}
		if g, ok := s.asGeneric(inv); ok {
			return g
		}
		return s
	}
	n := inv.ByName(target)
	if n == nil {
		t.Fatalf("no %s on this machine", target)
	}
	s.info, s.blockDevT = blk.Info{Mode: fs.ModeDevice, Rdev: n.DevT}, n.DevT
	return s
}
