package device

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

// Kind says which driver family a block device belongs to, as far as that changes how it is measured.
type Kind string

// The kinds of block devices.
const (
	KindNVMe      Kind = "nvme"
	KindMultipath Kind = "nvme-multipath" // one namespace over several NVMe controllers
	KindSCSI      Kind = "scsi"           // SATA, SAS, USB and SCSI disks
	KindVirtio    Kind = "virtio"
	KindLoop      Kind = "loop"
	KindZram      Kind = "zram"
	KindRAM       Kind = "ram" // brd
	KindNull      Kind = "null"
	KindDM        Kind = "dm"
	KindMD        Kind = "md"
	KindBcache    Kind = "bcache"
	KindNBD       Kind = "nbd"
	KindUblk      Kind = "ublk"
	KindPmem      Kind = "pmem"
	KindMMC       Kind = "mmc"
	KindXen       Kind = "xen"
	KindOther     Kind = "other"
)

// Facts is what sysfs tells about one block device. Of a partition, everything but its size, number and
// name is its disk's.
type Facts struct {
	Name           string
	DevT           blk.DevT
	Disk           string // the whole device: Name itself, unless that is a partition
	Kind           Kind
	SizeBytes      int64
	LogicalBytes   int // logical block: the unit of addresses
	PhysicalBytes  int // physical block: written without reading first
	ReadOnly       bool
	Removable      bool
	Hidden         bool
	Model          string
	Firmware       string
	Serial         string
	Transport      string // pcie, tcp, rdma, fc, sata, sas, usb, virtio; empty where the data does not leave the host's memory
	Scheduler      string // the active one; empty for a bio-based device
	Schedulers     []string
	Queues         []Queue // none for a bio-based device
	Tags           int     // per hardware queue
	NrRequests     int     // requests the scheduler, or the queue without one, may hold
	Rotational     bool
	WriteCache     string // "write back" or "write through"
	IOPoll         bool   // the driver has poll queues
	NUMANode       int    // -1 unknown
	DiscardBytes   int64  // most per discard request; 0: no discard
	Zoned          string // "none", "host-managed", "host-aware"
	Settings       map[string]string
	Notes          []string // what this kind of device does differently, for a reader of its figures
	MapperName     string   // of a dm device
	BackingFile    string   // of a loop device
	LoopDirectIO   bool     // of a loop device: it goes around the page cache
	Level          string   // of an md device: raid0, raid1 ...
	NVMeController string   // of an NVMe namespace: nvme0
	NVMeNamespace  int      // its number on the controller
	PCIAddress     string   // of the controller or adapter; empty when it is not on PCI
}

// settingNames are the queue attributes that a Result keeps, since they change what is measured.
var settingNames = []string{
	"scheduler", "nr_requests", "rq_affinity", "nomerges", "iostats", "wbt_lat_usec", "io_poll", "io_poll_delay",
	"max_sectors_kb", "max_hw_sectors_kb", "max_segments", "read_ahead_kb", "rotational", "write_cache", "fua",
	"add_random", "discard_max_bytes", "discard_granularity", "write_zeroes_max_bytes", "chunk_sectors",
	"virt_boundary_mask", "dma_alignment", "zoned", "dax",
}

// Describe reads the facts of the disk or partition with number d.
func Describe(root Root, d blk.DevT) (Facts, error) {
	link := root.linkBase("sys/dev/block", d.String())
	if link == "" {
		return Facts{}, fmt.Errorf("no block device %s in %s", d, root.Path("sys/dev/block"))
	}
	return DescribeName(root, link)
}

// DescribeName reads the facts of the disk or partition with the kernel's name.
func DescribeName(root Root, name string) (Facts, error) {
	if !root.has("sys/class/block", name) {
		return Facts{}, fmt.Errorf("no block device %s in %s", name, root.Path("sys/class/block"))
	}
	n := readNode(root, name)
	f := Summarize(root, n)
	dir := f.diskDir(n)
	f.Settings = map[string]string{}
	for _, name := range settingNames {
		if v := root.read(dir, "queue", name); v != "" {
			f.Settings[name] = v
		}
	}
	askQueueTypes(root, f.Disk, f.Queues)
	f.Notes = notes(root, &f, dir)
	return f, nil
}

// Summarize reads the facts that a list of devices shows: all but settings and notes.
func Summarize(root Root, n *Node) Facts {
	f := Facts{
		Name: n.Name, Disk: n.Name, DevT: n.DevT, Hidden: n.Hidden,
		SizeBytes: root.readInt(0, n.dir, "size") * statSectorBytes,
		ReadOnly:  root.read(n.dir, "ro") == "1",
		NUMANode:  -1,
	}
	if n.Disk != "" {
		f.Disk = n.Disk
	}
	dir := f.diskDir(n)
	f.Kind = kindOf(f.Disk, dir)
	f.readDisk(root, dir)
	f.readQueue(root, filepath.Join(dir, "queue"))
	f.Queues = readQueues(root, filepath.Join(dir, "mq"), f.IOPoll)
	if len(f.Queues) > 0 {
		f.Tags = f.Queues[0].Tags
	}
	return f
}

// diskDir is the directory of the whole device.
func (f *Facts) diskDir(n *Node) string {
	if f.Disk != f.Name {
		return filepath.Dir(n.dir)
	}
	return n.dir
}

// readDisk reads what the whole device and its driver tell.
func (f *Facts) readDisk(root Root, dir string) {
	f.Removable = root.read(dir, "removable") == "1"
	f.Transport = transport(root, f, dir)
	f.PCIAddress = pciAddress(dir)
	switch f.Kind {
	case KindDM:
		f.MapperName = root.read(dir, "dm/name")
		return
	case KindLoop:
		f.BackingFile = root.read(dir, "loop/backing_file")
		f.LoopDirectIO = root.read(dir, "loop/dio") == "1"
		return
	case KindMD:
		f.Level = root.read(dir, "md/level")
		return
	case KindNVMe:
		f.NVMeController = root.linkBase(dir, "device")
		f.NVMeNamespace = int(root.readInt(0, dir, "nsid"))
	}
	f.Model = root.read(dir, "device/model")
	f.Firmware = root.first(dir, "device/firmware_rev", "device/rev")
	f.Serial = root.first(dir, "device/serial", "serial")
	f.NUMANode = numaNode(root, dir)
}

// readQueue reads the request queue's attributes.
func (f *Facts) readQueue(root Root, dir string) {
	f.LogicalBytes = int(root.readInt(0, dir, "logical_block_size"))
	f.PhysicalBytes = int(root.readInt(0, dir, "physical_block_size"))
	f.Scheduler, f.Schedulers = parseScheduler(root.read(dir, "scheduler"))
	f.NrRequests = int(root.readInt(0, dir, "nr_requests"))
	f.Rotational = root.read(dir, "rotational") == "1"
	f.WriteCache = root.read(dir, "write_cache")
	f.IOPoll = root.read(dir, "io_poll") == "1"
	f.DiscardBytes = root.readInt(0, dir, "discard_max_bytes")
	f.Zoned = root.read(dir, "zoned")
}

// HCTX returns the number of the hardware queue of the given type ("default", "read" or "poll") that cpu
// feeds, or -1. A device without read queues reads through its default ones.
func (f *Facts) HCTX(cpu int, kind string) int {
	found := -1
	for _, q := range f.Queues {
		for _, c := range q.CPUs {
			if c != cpu {
				continue
			}
			if q.Type == kind {
				return q.HCTX
			}
			if q.Type == "default" {
				found = q.HCTX
			}
		}
	}
	return found
}

// first returns the first of the attributes that says anything.
func (r Root) first(dir string, names ...string) string {
	for _, name := range names {
		if v := r.read(dir, name); v != "" {
			return v
		}
	}
	return ""
}

// parseScheduler reads "[none] mq-deadline kyber": the active one is in brackets. A scheduler file with one
// plain word has no choice.
func parseScheduler(text string) (active string, all []string) {
	for word := range strings.FieldsSeq(text) {
		if name, ok := strings.CutPrefix(word, "["); ok {
			word = strings.TrimSuffix(name, "]")
			active = word
		}
		all = append(all, word)
	}
	if active == "" && len(all) == 1 {
		active = all[0]
	}
	return active, all
}

// numaNode reads the node that a device is attached to: on the device itself (NVMe) or on the adapter.
func numaNode(root Root, dir string) int {
	for _, at := range []string{"device/numa_node", "device/device/numa_node"} {
		if v := root.read(dir, at); v != "" {
			return numberOf(v)
		}
	}
	return -1
}

// pciAddress finds the last PCI function on the way from the root of the device tree to a device.
func pciAddress(dir string) string {
	address := ""
	for elem := range strings.SplitSeq(dir, "/") {
		if isPCIAddress(elem) {
			address = elem
		}
	}
	return address
}

// isPCIAddress recognises domain:bus:device.function, as in 0000:01:00.0.
func isPCIAddress(s string) bool {
	a, b, ok := strings.Cut(s, ".")
	parts := strings.Split(a, ":")
	return ok && len(b) == 1 && len(parts) == 3 && len(parts[0]) >= 4 && len(parts[1]) == 2 && len(parts[2]) == 2
}

// PartitionStart returns where a partition begins on its disk, in bytes; 0 for a whole disk.
func PartitionStart(root Root, name string) int64 {
	return root.readInt(0, "sys/class/block", name, "start") * statSectorBytes
}
