// Package inspect gathers what blkmeter knows about the machine's block devices and shows it: as a table,
// as one device in full, and as JSON. Gathering a list opens no device.
package inspect

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
)

// Schema names the format of the JSON document; it changes only when a reader of the old one would misread
// the new.
const Schema = "blkmeter.devices/1"

// Document is the JSON form of a list of devices.
type Document struct {
	Schema  string   `json:"schema"`
	Devices []Device `json:"devices"`
}

// Device is one block device. The pointers are of the full view only.
type Device struct {
	Name          string            `json:"name"`
	Path          string            `json:"path"`
	Major         uint32            `json:"major"`
	Minor         uint32            `json:"minor"`
	Disk          string            `json:"disk"` // the whole device: another name only for a partition
	Kind          device.Kind       `json:"kind"`
	SizeBytes     int64             `json:"size_bytes"`
	LogicalBytes  int               `json:"logical_block_bytes"`
	PhysicalBytes int               `json:"physical_block_bytes"`
	Model         string            `json:"model"`
	MapperName    string            `json:"mapper_name"`    // of a dm device
	RAIDLevel     string            `json:"raid_level"`     // of an md device
	BackingFile   string            `json:"backing_file"`   // of a loop device
	LoopDirectIO  bool              `json:"loop_direct_io"` // of a loop device: around the page cache
	Firmware      string            `json:"firmware"`
	Serial        string            `json:"serial"`
	Transport     string            `json:"transport"`
	PCIAddress    string            `json:"pci_address"`
	NUMANode      int               `json:"numa_node"` // -1 unknown
	Scheduler     string            `json:"scheduler"`
	Schedulers    []string          `json:"schedulers"`
	Queues        []Queue           `json:"hardware_queues"` // none for a bio-based device
	Tags          int               `json:"tags"`            // per hardware queue
	NrRequests    int               `json:"nr_requests"`
	WriteCache    string            `json:"write_cache"`
	Rotational    bool              `json:"rotational"`
	IOPoll        bool              `json:"io_poll"`
	ReadOnly      bool              `json:"read_only"`
	Hidden        bool              `json:"hidden"` // a path of a multipath device, which has no node to open
	Removable     bool              `json:"removable"`
	DiscardBytes  int64             `json:"discard_max_bytes"`
	Zoned         string            `json:"zoned"`
	Write         target.Permission `json:"write"` // "destroy", "read-only" or "refused"
	UsedBy        []Use             `json:"used_by"`
	Partitions    []string          `json:"partitions"`
	Stack         []string          `json:"stack"`
	Detail        *Detail           `json:"detail,omitempty"`
}

// Queue is one hardware queue and the CPUs that feed it.
type Queue struct {
	HCTX         int    `json:"hctx"`
	Type         string `json:"type"`
	TypeFrom     string `json:"type_from"`
	Tags         int    `json:"tags"`
	ReservedTags int    `json:"reserved_tags"`
	CPUs         []int  `json:"cpus"`
}

// Use is one reason why writing is refused.
type Use struct {
	Kind     device.UseKind `json:"kind"`
	Device   string         `json:"device"`
	By       string         `json:"by"`
	Detail   string         `json:"detail"`
	Found    string         `json:"found"`
	Sentence string         `json:"sentence"`
}

// Detail is what only the full view of one device asks for.
type Detail struct {
	Settings    map[string]string `json:"settings"`
	Notes       []string          `json:"notes"`
	Interrupts  []Interrupt       `json:"interrupts"`
	CPUPower    CPUPower          `json:"cpu_power"`
	NVMe        *NVMe             `json:"nvme"`         // null when it is no NVMe device, or did not tell
	HealthError string            `json:"health_error"` // why an NVMe controller did not tell
}

// Interrupt is one interrupt of the adapter, and where it goes.
type Interrupt struct {
	Number    int    `json:"irq"`
	Name      string `json:"name"`
	Allowed   []int  `json:"allowed_cpus"`
	Effective []int  `json:"effective_cpus"`
	Count     int64  `json:"count"`
}

// CPUPower is how the CPUs save power.
type CPUPower struct {
	Governor   string      `json:"governor"`
	IdleDriver string      `json:"idle_driver"`
	IdleStates []IdleState `json:"idle_states"`
}

// IdleState is one sleeping state of a CPU.
type IdleState struct {
	Name          string `json:"name"`
	ExitLatencyUS int64  `json:"exit_latency_us"`
	Disabled      bool   `json:"disabled"`
}

// All gathers the block devices worth listing: whole devices that hold something. With everything set,
// partitions, paths of multipath devices and empty loop devices too.
func All(root device.Root, everything bool) ([]Device, error) {
	inv := device.ReadInventory(root)
	devices := make([]Device, len(inv.Nodes))
	// Each attribute is a file; a large machine has tens of thousands.
	var wg sync.WaitGroup
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(devices); i = int(next.Add(1)) - 1 {
				devices[i] = gather(inv, inv.Nodes[i], device.Summarize(root, inv.Nodes[i]))
			}
		})
	}
	wg.Wait()
	if !everything {
		devices = slices.DeleteFunc(devices, func(d Device) bool { return d.Hidden || d.Disk != d.Name || d.SizeBytes == 0 })
	}
	if len(devices) == 0 {
		return nil, fault.New(fault.ExitEnvironment, "NO_DEVICES", "is /sys mounted?", "this machine shows no block devices")
	}
	return devices, nil
}

// One gathers everything about the device that name, a kernel name or a path, leads to. Of an NVMe device
// it asks the controller for its health, by commands that only read.
func One(root device.Root, name string) (Device, error) {
	inv := device.ReadInventory(root)
	n := inv.ByName(name)
	if n == nil {
		n = inv.ByPath(name)
	}
	if n == nil {
		return Device{}, fault.Usage("DEVICE_MISSING", "blkmeter devices lists them", "there is no block device %s", name)
	}
	facts, err := device.DescribeName(root, n.Name)
	if err != nil {
		return Device{}, fault.Wrap(err, fault.ExitUsage, "DEVICE_MISSING", "blkmeter devices lists them", "cannot describe %s", name)
	}
	d := gather(inv, n, facts)
	d.Detail = detail(root, facts)
	return d, nil
}

func gather(inv *device.Inventory, n *device.Node, f device.Facts) Device {
	verdict := target.Judge(inv, n, f.ReadOnly)
	return Device{
		Name: f.Name, Path: "/dev/" + f.Name, Major: f.DevT.Major, Minor: f.DevT.Minor, Disk: f.Disk, Kind: f.Kind,
		SizeBytes: f.SizeBytes, LogicalBytes: f.LogicalBytes, PhysicalBytes: f.PhysicalBytes,
		Model: f.Model, MapperName: f.MapperName, RAIDLevel: f.Level, BackingFile: f.BackingFile, LoopDirectIO: f.LoopDirectIO,
		Firmware: f.Firmware, Serial: f.Serial,
		Transport: f.Transport, PCIAddress: f.PCIAddress, NUMANode: f.NUMANode,
		Scheduler: f.Scheduler, Schedulers: list(f.Schedulers), Queues: queues(f.Queues), Tags: f.Tags, NrRequests: f.NrRequests,
		WriteCache: f.WriteCache, Rotational: f.Rotational, IOPoll: f.IOPoll, ReadOnly: f.ReadOnly, Hidden: f.Hidden, Removable: f.Removable,
		DiscardBytes: f.DiscardBytes, Zoned: f.Zoned,
		Write: verdict.Write, UsedBy: uses(verdict.Uses), Partitions: list(n.Partitions), Stack: list(inv.Stack(n)),
	}
}

func queues(from []device.Queue) []Queue {
	to := make([]Queue, len(from))
	for i, q := range from {
		to[i] = Queue(q)
		to[i].CPUs = list(q.CPUs)
	}
	return to
}

func uses(from []device.Use) []Use {
	to := make([]Use, len(from))
	for i, u := range from {
		to[i] = Use{Kind: u.Kind, Device: u.Device, By: u.By, Detail: u.Detail, Found: u.Found, Sentence: u.String()}
	}
	return to
}

func detail(root device.Root, f device.Facts) *Detail {
	topology := device.ReadTopology(root, nil)
	idle := device.ReadIdle(root)
	d := &Detail{
		Settings: f.Settings, Notes: list(f.Notes), Interrupts: []Interrupt{},
		CPUPower: CPUPower{Governor: device.Governor(root, topology), IdleDriver: idle.Driver, IdleStates: []IdleState{}},
	}
	for _, s := range idle.States {
		d.CPUPower.IdleStates = append(d.CPUPower.IdleStates, IdleState(s))
	}
	for _, i := range device.Interrupts(root, f.Disk) {
		d.Interrupts = append(d.Interrupts, Interrupt{
			Number: i.Number, Name: i.Name, Allowed: list(i.Allowed), Effective: list(i.Effective), Count: i.Count(),
		})
	}
	if f.NVMeController == "" {
		return d
	}
	d.NVMe, d.HealthError = health(root, f.NVMeController)
	return d
}

// list keeps an empty list from becoming null in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// title is what a person would call the device.
func (d *Device) title() string { return cmp.Or(d.Model, d.MapperName, d.RAIDLevel, d.BackingFile) }

// errElsewhere says that a description is not of this machine, so that nothing can be asked.
var errElsewhere = errors.New("this is not the machine that is described")

func health(root device.Root, controller string) (*NVMe, string) {
	if !root.Real() {
		return nil, errElsewhere.Error()
	}
	h, err := device.ReadHealth(controller)
	if err != nil {
		return nil, err.Error()
	}
	return nvmeOf(h), ""
}
