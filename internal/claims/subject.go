package claims

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/nullblk"
)

// Subject is what arms do their I/O on.
type Subject struct {
	Path   string       // of a device or file; empty for a scratch file
	Target string       // last element of the path with links resolved: what --destroy must say
	Facts  device.Facts // of the disk that gets the I/O
	Own    bool         // made for these claims, with nothing on it that anybody could miss

	isDevice bool           // and not a file on one
	file     *target.Target // the scratch file, or the file under the loop device
	loop     *blk.Loop
	driver   *nullblk.Driver // of null_blk devices, of which arms may have their own
	null     *nullblk.Device
}

// ownBytes is the size of a subject of our own: more than the caches of most CPUs, and soon written.
const ownBytes = 64 << 20

// Named returns the device or file that the user named. It is opened once, for reading, to learn what it is.
func Named(path string) (*Subject, error) {
	t, err := new(target.Opener).Open(target.Spec{Path: path, Direct: true})
	if err != nil {
		return nil, err
	}
	return &Subject{Path: path, Target: filepath.Base(t.Resolved()), Facts: t.Facts(), isDevice: t.Kind() == target.Block}, t.Close()
}

// OwnLoop makes a loop device over a file in memory, filled with data that does not compress. The file has
// no name and the device detaches itself, so that nothing is left however this process ends.
func OwnLoop(ctx context.Context, env func(string) string) (*Subject, error) {
	file, err := target.Scratch(ctx, "/dev/shm", ownBytes, true)
	if err != nil && ctx.Err() == nil { // no room in memory
		file, err = scratch(ctx, env)
	}
	if err != nil {
		return nil, err
	}
	s := &Subject{Own: true, isDevice: true, file: file}
	s.loop, err = blk.AttachLoop(fmt.Sprintf("/proc/self/fd/%d", file.FD()), blk.LoopOptions{DirectIO: true, AutoClear: true})
	if err == nil {
		s.Path, s.Target = s.loop.Path, filepath.Base(s.loop.Path)
		s.Facts, err = device.DescribeName("", fmt.Sprintf("loop%d", s.loop.Number))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OwnNullBlk makes a null_blk device with a hardware queue for each CPU, loading the module if need be. Arms that
// ask for another get one of their own. stateDir is that of the journal.
func OwnNullBlk(stateDir string) (*Subject, error) {
	driver, err := nullblk.Load(stateDir)
	if err != nil {
		return nil, err
	}
	s, err := nullBlk(driver, nil)
	if err != nil {
		return nil, errors.Join(err, driver.Unload())
	}
	s.driver = driver
	return s, nil
}

// nullBlk makes a null_blk device with a hardware queue for each CPU, unless the attributes say otherwise.
func nullBlk(driver *nullblk.Driver, attributes map[string]string) (*Subject, error) {
	all := map[string]string{"submit_queues": "max"}
	maps.Copy(all, attributes)
	dev, err := driver.Create(all)
	if err != nil {
		return nil, err
	}
	s := &Subject{Path: dev.Path(), Target: dev.Name, Own: true, isDevice: true, null: dev}
	if s.Facts, err = device.DescribeName("", dev.Name); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OwnFile makes a scratch file, for users who may not have a loop device.
func OwnFile(ctx context.Context, env func(string) string) (*Subject, error) {
	file, err := scratch(ctx, env)
	if err != nil {
		return nil, err
	}
	return &Subject{Own: true, file: file, Facts: file.Facts()}, nil
}

func scratch(ctx context.Context, env func(string) string) (*target.Target, error) {
	dir, _, err := target.ScratchDir(env, ownBytes)
	if err != nil {
		return nil, err
	}
	return target.Scratch(ctx, dir, ownBytes, true)
}

// Close takes away what was made.
func (s *Subject) Close() error {
	var errs []error
	if s.loop != nil {
		errs = append(errs, s.loop.Detach())
	}
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	if s.null != nil {
		errs = append(errs, s.null.Remove())
	}
	if s.driver != nil {
		errs = append(errs, s.driver.Unload())
	}
	return errors.Join(errs...)
}

// Name is the kernel's name of the disk, or what stands in for one.
func (s *Subject) Name() string {
	switch {
	case s.isDevice:
		return s.Facts.Name
	case s.Path != "":
		return s.Path
	}
	return "scratch file"
}

// Describe says in a few words what the subject is, for the first line of a report.
func (s *Subject) Describe(cpus int) string {
	f := &s.Facts
	text := fmt.Sprintf("%d CPUs", cpus)
	switch n := len(f.Queues); {
	case n > 0:
		text = fmt.Sprintf("%d hctx, %s", n, text)
	case f.Disk != "":
		text = "bio-based, " + text
	default:
		text = "no block device, " + text
	}
	if !s.isDevice && f.Disk != "" {
		text = "on " + f.Disk + ", " + text
	}
	if s.loop != nil {
		text = "own, in memory, " + text
	}
	if s.null != nil {
		text = "own, " + text
	}
	return text
}

// Device is what the preconditions ask about the subject.
func (s *Subject) Device(mayDestroy bool) *Device {
	d := &Device{Name: s.Name(), Platform: Other, Tags: s.Facts.Tags, MayDestroy: s.Own || mayDestroy}
	if s.isDevice {
		d.Schedulers = s.Facts.Schedulers
	}
	switch s.Facts.Kind {
	case device.KindNVMe:
		d.Platform = NVMe
	case device.KindNull:
		d.Platform = NullBlk
	case device.KindLoop:
		d.Platform = Loop
	}
	for _, q := range s.Facts.Queues {
		if q.Type == "poll" {
			d.PollQueues++
		} else {
			d.HardwareQueues++
		}
	}
	if s.Facts.IOPoll {
		d.PollQueues = max(d.PollQueues, 1) // their type shows in debugfs only, for root
	}
	return d
}
