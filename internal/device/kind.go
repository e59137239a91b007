package device

import (
	"path/filepath"
	"strings"
)

// kindPrefixes maps the kernel's device names to kinds, for drivers that own a name.
var kindPrefixes = []struct {
	prefix string
	kind   Kind
}{
	{"loop", KindLoop}, {"zram", KindZram}, {"ram", KindRAM}, {"nullb", KindNull}, {"dm-", KindDM}, {"md", KindMD},
	{"bcache", KindBcache}, {"nbd", KindNBD}, {"ublkb", KindUblk}, {"pmem", KindPmem}, {"mmcblk", KindMMC},
	{"xvd", KindXen}, {"vd", KindVirtio}, {"sd", KindSCSI}, {"sr", KindSCSI},
}

// kindOf tells the kind of a whole device.
func kindOf(root Root, disk string) Kind {
	if strings.HasPrefix(disk, "nvme") {
		// The head of a multipath namespace hangs below its subsystem, not below a controller.
		if strings.HasPrefix(root.linkBase("sys/block", disk, "device"), "nvme-subsys") {
			return KindMultipath
		}
		return KindNVMe
	}
	for _, p := range kindPrefixes {
		if strings.HasPrefix(disk, p.prefix) {
			return p.kind
		}
	}
	return KindOther
}

// transport tells what carries a device's data.
func transport(root Root, disk string, kind Kind) string {
	dir := filepath.Join("sys/block", disk)
	switch kind {
	case KindNVMe:
		return root.read(dir, "device/transport")
	case KindMultipath:
		for _, path := range multipathPaths(root, disk) {
			if t := root.read("sys/block", path, "device/transport"); t != "" {
				return t
			}
		}
		return ""
	case KindVirtio:
		return "virtio"
	case KindXen:
		return "xen"
	case KindMMC:
		return "mmc"
	case KindNBD:
		return "network"
	case KindSCSI:
		return scsiTransport(root, dir)
	}
	return ""
}

// scsiTransport reads the bus from a SCSI disk's place in the device tree.
func scsiTransport(root Root, dir string) string {
	real, err := filepath.EvalSymlinks(root.Path(dir))
	if err != nil {
		return ""
	}
	for _, bus := range []struct{ mark, name string }{
		{"/ata", "sata"}, {"/usb", "usb"}, {"/end_device-", "sas"}, {"/rport-", "fc"}, {"/session", "iscsi"}, {"/virtio", "virtio-scsi"},
	} {
		if strings.Contains(real, bus.mark) {
			return bus.name
		}
	}
	return "scsi"
}

// multipathPaths returns the hidden devices nvmeXcYnZ that are the paths of the multipath device nvmeXnZ;
// none when head is no such device.
func multipathPaths(root Root, head string) []string {
	subsystem, namespace, ok := strings.Cut(strings.TrimPrefix(head, "nvme"), "n")
	if !ok || !strings.HasPrefix(root.linkBase("sys/block", head, "device"), "nvme-subsys") {
		return nil
	}
	var paths []string
	for _, name := range root.list("sys/block") {
		rest, isPath := strings.CutPrefix(name, "nvme"+subsystem+"c")
		if isPath && strings.HasSuffix(rest, "n"+namespace) {
			paths = append(paths, name)
		}
	}
	return paths
}
