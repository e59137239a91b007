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
	{"loop", KindLoop},
	{"zram", KindZram},
	{"ram", KindRAM},
	{"nullb", KindNull},
	{"dm-", KindDM},
	{"md", KindMD},
	{"bcache", KindBcache},
	{"nbd", KindNBD},
	{"ublkb", KindUblk},
	{"pmem", KindPmem},
	{"mmcblk", KindMMC},
	{"xvd", KindXen},
	{"vd", KindVirtio},
	{"sd", KindSCSI},
	{"sr", KindSCSI},
}

// kindOf tells the kind of a whole device from its name and its directory.
func kindOf(disk, dir string) Kind {
	if strings.HasPrefix(disk, "nvme") {
		if isMultipathHead(dir) {
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

// isMultipathHead recognises the one device over all paths to an NVMe namespace: it hangs below its
// subsystem, not below a controller.
func isMultipathHead(dir string) bool {
	return strings.HasPrefix(filepath.Base(filepath.Dir(dir)), "nvme-subsys")
}

// transport tells what carries a device's data.
func transport(root Root, f *Facts, dir string) string {
	switch f.Kind {
	case KindNVMe:
		return root.read(dir, "device/transport")
	case KindMultipath:
		for _, path := range multipathPaths(root, dir) {
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
		return scsiTransport(dir)
	}
	return ""
}

// scsiTransport reads the bus from a SCSI disk's place in the device tree.
func scsiTransport(dir string) string {
	for _, bus := range []struct{ mark, name string }{
		{"/ata", "sata"}, {"/usb", "usb"}, {"/end_device-", "sas"}, {"/rport-", "fc"}, {"/session", "iscsi"}, {"/virtio", "virtio-scsi"},
	} {
		if strings.Contains(dir, bus.mark) {
			return bus.name
		}
	}
	return "scsi"
}

// multipathPaths returns the hidden devices nvmeXcYnZ that are the paths of the multipath device nvmeXnZ
// with the given directory; none when it is no such device.
func multipathPaths(root Root, dir string) []string {
	subsystem, namespace, ok := strings.Cut(strings.TrimPrefix(filepath.Base(dir), "nvme"), "n")
	if !ok || !isMultipathHead(dir) {
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
