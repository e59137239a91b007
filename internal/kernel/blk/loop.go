package blk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// LoopOptions says how a loop device presents its file; see loop(4).
type LoopOptions struct {
	SectorBytes int  // logical block size, 512..4096; 0: the kernel's choice
	DirectIO    bool // read and write the file around the page cache
	ReadOnly    bool
	AutoClear   bool // detach by itself when the last user closes the device
	PartScan    bool // look for partitions
	OffsetBytes int64
	LimitBytes  int64 // 0: to the end of the file
}

// Loop is a loop device that this process attached.
type Loop struct {
	Path   string   // of the device: /dev/loopN
	Number int      // N
	file   *os.File // the device; it holds the device open while attached
}

// attachAttempts bounds the race for a free device with other processes: each attempt asks for a free
// number and loses only if somebody else took it in between.
const attachAttempts = 64

// AttachLoop makes a loop device over the file at path. The file must be a regular file or block device
// that this process may open as ReadOnly says. The returned Loop holds the device open; Detach ends both.
func AttachLoop(path string, o LoopOptions) (*Loop, error) {
	backing, err := Open(path, Flags{Write: !o.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("open backing file: %w", err)
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open loop control: %w", err)
	}
	defer control.Close()
	for range attachAttempts {
		loop, err := attachFree(control, backing, o)
		if !errors.Is(err, syscall.EBUSY) {
			return loop, err
		}
	}
	return nil, fmt.Errorf("attach loop device over %s: lost %d races for a free device", path, attachAttempts)
}

// attachFree makes one attempt; EBUSY means that another process took the device first.
func attachFree(control, backing *os.File, o LoopOptions) (*Loop, error) {
	number, err := ioctlValue("LOOP_CTL_GET_FREE", int(control.Fd()), unix.LOOP_CTL_GET_FREE, 0, nil)
	if err != nil {
		return nil, err
	}
	path := fmt.Sprintf("/dev/loop%d", number)
	device, err := Open(path, Flags{Write: !o.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("open loop device: %w", err)
	}
	config := o.config(int(backing.Fd()))
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		return nil, errors.Join(fmt.Errorf("LOOP_CONFIGURE %s: %w", path, err), device.Close())
	}
	return &Loop{Path: path, Number: number, file: device}, nil
}

func (o LoopOptions) config(backing int) unix.LoopConfig {
	c := unix.LoopConfig{Fd: uint32(backing), Size: uint32(o.SectorBytes)}
	c.Info.Offset = uint64(o.OffsetBytes)
	c.Info.Sizelimit = uint64(o.LimitBytes)
	for _, f := range []struct {
		on  bool
		bit uint32
	}{
		{o.DirectIO, unix.LO_FLAGS_DIRECT_IO},
		{o.ReadOnly, unix.LO_FLAGS_READ_ONLY},
		{o.AutoClear, unix.LO_FLAGS_AUTOCLEAR},
		{o.PartScan, unix.LO_FLAGS_PARTSCAN},
	} {
		if f.on {
			c.Info.Flags |= f.bit
		}
	}
	return c
}

// Grow makes the device take over a new size of its file (LOOP_SET_CAPACITY).
func (l *Loop) Grow() error {
	return ioctl("LOOP_SET_CAPACITY", int(l.file.Fd()), unix.LOOP_SET_CAPACITY, nil)
}

// Detach takes the file away from the device and closes it. While others have it open or mounted the
// kernel only notes the wish; the device then goes when the last of them closes it.
func (l *Loop) Detach() error {
	err := ioctl("LOOP_CLR_FD", int(l.file.Fd()), unix.LOOP_CLR_FD, nil)
	return errors.Join(err, l.file.Close())
}

// LoopStatus is what the kernel knows about an attached loop device.
type LoopStatus struct {
	Backing     FileID // the file, whatever paths lead to it now
	BackingRdev DevT   // when the file is itself a device node
	OffsetBytes int64
	LimitBytes  int64
	ReadOnly    bool
	DirectIO    bool
	AutoClear   bool
	FileName    string // as given when attached, cut to 63 bytes
}

// LoopInfo asks an open loop device what it is attached to (LOOP_GET_STATUS64); ENXIO means nothing.
func LoopInfo(fd int) (LoopStatus, error) {
	info, err := unix.IoctlLoopGetStatus64(fd)
	if err != nil {
		return LoopStatus{}, fmt.Errorf("LOOP_GET_STATUS64: %w", err)
	}
	name, _, _ := bytes.Cut(info.File_name[:], []byte{0})
	if info.Rdevice == info.Device { // of a regular file, old kernels tell the device that it lies on
		info.Rdevice = 0
	}
	return LoopStatus{
		Backing:     FileID{Dev: MakeDevT(info.Device), Ino: info.Inode},
		BackingRdev: MakeDevT(info.Rdevice),
		OffsetBytes: int64(info.Offset), LimitBytes: int64(info.Sizelimit),
		ReadOnly:  info.Flags&unix.LO_FLAGS_READ_ONLY != 0,
		DirectIO:  info.Flags&unix.LO_FLAGS_DIRECT_IO != 0,
		AutoClear: info.Flags&unix.LO_FLAGS_AUTOCLEAR != 0,
		FileName:  string(name),
	}, nil
}
