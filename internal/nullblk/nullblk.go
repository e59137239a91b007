// Package nullblk makes null_blk devices, which complete requests without storing anything, and takes them
// away again. They are made through configfs (Documentation/block/null_blk.rst), each with the hardware queues,
// tags and manner of completion that an experiment asks for.
//
// What is made is in a journal first, so that [RemoveOrphans] can remove it when its process was killed.
package nullblk

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/journal"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

const (
	directory   = "/sys/kernel/config/nullb" // one directory below for each device
	module      = "null_blk"
	journalKind = "null_blk"
	// prefix starts the names of devices made here. Others of this driver are called nullb0, nullb1 ...
	prefix = "nullb-blkmeter-"
	// nodeTimeout is how long a device's node may take to appear: udev may be busy.
	nodeTimeout = 5 * time.Second
)

// leftover is what a killed process leaves: the module that it loaded, or the device with the directory.
type leftover struct {
	Module    bool   `json:"module,omitempty"`
	Directory string `json:"directory,omitempty"`
}

// Driver is the null_blk driver, ready to make devices.
type Driver struct {
	dir    string         // of the journal
	loaded *journal.Entry // nil: it was there before
}

// Load makes the driver ready: if it is not there, it loads the module, without the device that the module
// makes by default. Errors have code NO_NULL_BLK and say what is missing. dir is that of the journal.
func Load(dir string) (*Driver, error) {
	d := &Driver{dir: dir}
	if present() {
		return d, nil
	}
	if os.Geteuid() != 0 {
		return nil, fault.New(fault.ExitEnvironment, "NO_NULL_BLK", "run as root", "this user may not load the module null_blk")
	}
	var err error
	if d.loaded, err = journal.Write(dir, journalKind, leftover{Module: true}); err != nil {
		return nil, err
	}
	if err := modprobe(module, "nr_devices=0"); err != nil {
		return nil, errors.Join(fault.Wrap(err, fault.ExitEnvironment, "NO_NULL_BLK", "take a kernel with CONFIG_BLK_DEV_NULL_BLK, and install its modules", "this kernel has no null_blk"), d.loaded.Remove())
	}
	if !present() {
		return nil, errors.Join(fault.New(fault.ExitEnvironment, "NO_NULL_BLK", "mount -t configfs configfs /sys/kernel/config", "null_blk is loaded, but there is no %s", directory), d.Unload())
	}
	return d, nil
}

func present() bool {
	_, err := os.Stat(directory)
	return err == nil
}

// modprobe runs the program that the kernel itself loads modules with (Documentation/admin-guide/sysctl/kernel.rst).
func modprobe(args ...string) error {
	program := "/sbin/modprobe"
	if text, err := os.ReadFile("/proc/sys/kernel/modprobe"); err == nil && len(strings.TrimSpace(string(text))) > 0 {
		program = strings.TrimSpace(string(text))
	}
	if said, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(said)))
	}
	return nil
}

// Unload takes away the module if it was loaded here and nobody else has begun to use it.
func (d *Driver) Unload() error {
	if d.loaded == nil {
		return nil
	}
	if _, err := unload(); err != nil {
		return err
	}
	return d.loaded.Remove()
}

// unload removes the module, unless it is gone or in use: devices, also those of others, hold it.
func unload() (done bool, err error) {
	users, err := os.ReadFile("/sys/module/" + module + "/refcnt")
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(users)) != "0" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// modprobe may fail because of a module that this one needed; that one is none of ours.
	err = modprobe("-r", module)
	if _, gone := os.Stat("/sys/module/" + module); errors.Is(gone, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// Device is one null_blk device.
type Device struct {
	Name  string // the kernel's
	dir   string // in configfs
	entry *journal.Entry
}

// Create makes a device with attributes of configfs, as in submit_queues=4; the others keep the driver's
// defaults. A number of submit_queues may be "max": one for each CPU that is online. It returns when the
// device's node is there. What this kernel does not take is an error with code NULL_BLK_ATTRIBUTE.
func (d *Driver) Create(attributes map[string]string) (*Device, error) {
	name := fmt.Sprintf("%s%08x", prefix, rand.Uint32())
	dev := &Device{dir: filepath.Join(directory, name)}
	var err error
	if dev.entry, err = journal.Write(d.dir, journalKind, leftover{Directory: name}); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dev.dir, 0o755); err != nil {
		return nil, errors.Join(fault.Wrap(err, fault.ExitEnvironment, "NO_NULL_BLK", "run as root", "no null_blk device can be made"), dev.entry.Remove())
	}
	if err := dev.powerOn(attributes); err != nil {
		return nil, errors.Join(err, dev.Remove())
	}
	return dev, nil
}

// powerOn gives the device its attributes, makes it appear, and finds out how it is called.
func (dev *Device) powerOn(attributes map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		value := attributes[name]
		if value == "max" {
			n, err := onlineCPUs()
			if err != nil {
				return err
			}
			value = strconv.Itoa(n)
		}
		if err := dev.set(name, value); err != nil {
			return fault.Wrap(err, fault.ExitEnvironment, "NULL_BLK_ATTRIBUTE", "cat "+directory+"/features lists what this kernel's null_blk can do",
				"null_blk does not take %s=%s", name, value)
		}
	}
	if err := dev.set("power", "1"); err != nil {
		return fault.Wrap(err, fault.ExitEnvironment, "NO_NULL_BLK", "dmesg says why", "the null_blk device does not start")
	}
	// The device is called as its directory, or by older kernels after its number.
	index, err := os.ReadFile(filepath.Join(dev.dir, "index"))
	if err != nil {
		return err
	}
	dev.Name = filepath.Base(dev.dir)
	if _, err := os.Stat("/sys/block/" + dev.Name); err != nil {
		dev.Name = "nullb" + strings.TrimSpace(string(index))
	}
	return dev.awaitNode()
}

// set writes an attribute; the file is never made.
func (dev *Device) set(name, value string) error {
	file, err := os.OpenFile(filepath.Join(dev.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

func onlineCPUs() (int, error) {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return 0, err
	}
	cpus, err := device.ParseCPUList(strings.TrimSpace(string(text)))
	return len(cpus), err
}

// awaitNode waits until the node in /dev leads to the device.
func (dev *Device) awaitNode() error {
	facts, err := device.DescribeName("", dev.Name)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(nodeTimeout); ; time.Sleep(time.Millisecond) {
		info, err := blk.Stat(dev.Path())
		if err == nil && info.Rdev == facts.DevT {
			return nil
		}
		if time.Now().After(deadline) {
			return fault.Wrap(err, fault.ExitEnvironment, "NO_NULL_BLK", "run where /dev is a devtmpfs or udev runs, not in a container", "%s does not appear", dev.Path())
		}
	}
}

// Path returns the device's node.
func (dev *Device) Path() string { return "/dev/" + dev.Name }

// Remove takes the device away.
func (dev *Device) Remove() error {
	if err := os.Remove(dev.dir); err != nil {
		return fmt.Errorf("remove null_blk device %s: %w", dev.Name, err)
	}
	return dev.entry.Remove()
}

// RemoveOrphans removes what processes made that were killed, as their journals in dir say, and tells each
// thing that it removed.
func RemoveOrphans(dir string) ([]string, error) {
	orphans, err := journal.Orphans(dir, journalKind)
	errs := []error{err}
	var removed []string
	var modules []journal.Found // after the devices that use them
	for _, o := range orphans {
		var l leftover
		if err := o.Body(&l); err != nil {
			errs = append(errs, err)
			continue
		}
		if l.Module && !o.OtherBoot {
			modules = append(modules, o)
			continue
		}
		if !o.OtherBoot && strings.HasPrefix(l.Directory, prefix) {
			err := os.Remove(filepath.Join(directory, filepath.Base(l.Directory)))
			if err == nil {
				removed = append(removed, fmt.Sprintf("removed null_blk device %s of process %d", l.Directory, o.PID))
			} else if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
				continue
			}
		}
		errs = append(errs, o.Remove())
	}
	for _, o := range modules {
		done, err := unload()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if done {
			removed = append(removed, fmt.Sprintf("unloaded the module %s, which process %d loaded", module, o.PID))
		}
		errs = append(errs, o.Remove())
	}
	return removed, errors.Join(errs...)
}
