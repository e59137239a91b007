package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
	"github.com/spf13/cobra"
)

// loopOptions is the loop command's flags.
type loopOptions struct {
	size        string
	sectorBytes int
	directIO    bool
	dir         string
}

// loopVariable is the environment variable that job files of a run on a loop device can refer to.
const loopVariable = "BLKMETER_LOOP"

// loopPlace is replaced by the device's path in the command that follows --.
const loopPlace = "{}"

func newLoopCommand(a *app) *cobra.Command {
	o := loopOptions{}
	cmd := &cobra.Command{
		Use:   "loop [--size=1g] [--sector-size=4096] [--direct-io] [--dir=DIR] -- COMMAND...",
		Short: "Run a command on a loop device of its own, and take the device away again",
		Long: `Makes a file with random data, a loop device over it, and runs a blkmeter
command on that. Jobs of run that name no target get the device; all may write
to it. Anywhere in the command {} becomes the device's path, and job files can say
filename=${` + loopVariable + `}. The file has no name and the device detaches itself with
its last user, so nothing is left however the command ends. Needs root, or the
right to open /dev/loop-control and /dev/loop*.

Exit status: the command's; 7 when there can be no loop device here.`,
		Example: `  blkmeter loop --size=256m -- run --rw=randwrite --bs=4k --runtime=10
  blkmeter loop --sector-size=4096 --direct-io -- run jobs.fio`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 0 {
				return fault.Usage("NO_COMMAND", "put -- before the command: blkmeter loop -- run --rw=randread", "%q is not a flag of loop", args[0])
			}
			return a.runOnLoop(cmd.Context(), o, args)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVar(&o.size, "size", "1g", "size of the device")
	f.IntVar(&o.sectorBytes, "sector-size", 512, "logical block in bytes: 512, 1024, 2048 or 4096")
	f.BoolVar(&o.directIO, "direct-io", false, "do the device's I/O around the page cache")
	f.StringVar(&o.dir, "dir", "", "directory of the file; default: $TMPDIR, or the first with room")
	return cmd
}

// runOnLoop runs a command of blkmeter's on a loop device of its own.
func (a *app) runOnLoop(ctx context.Context, o loopOptions, command []string) (err error) {
	loop, free, err := a.attachLoop(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, free()) }()
	inner := *a
	inner.loop = loop.Path
	inner.env = func(name string) string {
		if name == loopVariable {
			return loop.Path
		}
		return a.env(name)
	}
	root := newRootCommand(&inner)
	root.SetArgs(loopArgs(command, loop.Path))
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return root.ExecuteContext(ctx)
}

// loopArgs puts the device's path into a command.
func loopArgs(command []string, device string) []string {
	args := slices.Clone(command)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], loopPlace, device)
	}
	return args
}

// lendLoop makes the loop device the target of jobs that name none, with leave to write to it: it is ours.
func lendLoop(plan *workloads.Plan, device string) {
	for i := range plan.Jobs {
		j := &plan.Jobs[i]
		if j.Scratch {
			j.Scratch, j.Size = false, workloads.Amount{}
		}
		if len(j.Filenames) == 0 && len(j.Directories) == 0 {
			j.Filenames, j.NrFiles = []string{device}, 1
		}
		j.Destroy = strings.Trim(j.Destroy+","+filepath.Base(device), ",")
	}
}

// attachLoop makes the device; free detaches it and gives the space of its file back. The file lost its name
// before it was filled, and the device is set to detach itself when nobody has it open, so that the kernel
// does all this too when the process is killed.
func (a *app) attachLoop(ctx context.Context, o loopOptions) (*blk.Loop, func() error, error) {
	size, err := parseLoopSize(o)
	if err != nil {
		return nil, nil, err
	}
	dir := o.dir
	if dir == "" {
		var note string
		if dir, note, err = target.ScratchDir(a.env, size); err != nil {
			return nil, nil, err
		}
		if note != "" {
			fmt.Fprintf(a.stderr, "blkmeter: %s; --dir=DIR chooses another\n", note)
		}
	}
	status := newProgress(a.stderr, a.env, &fiojob.Settings{})
	status.say(fmt.Sprintf("filling a loop device of %s in %s", units.Bytes(size), dir))
	file, err := target.Scratch(ctx, dir, size, true)
	status.clear()
	if err != nil {
		return nil, nil, err
	}
	loop, err := blk.AttachLoop(fmt.Sprintf("/proc/self/fd/%d", file.FD()), blk.LoopOptions{
		SectorBytes: o.sectorBytes, DirectIO: o.directIO, AutoClear: true,
	})
	if err != nil {
		hint := "load the loop module, or choose another --sector-size"
		if errors.Is(err, os.ErrPermission) {
			hint = "run as root; in a container, with /dev/loop-control and the loop devices"
		}
		return nil, nil, errors.Join(fault.Wrap(err, fault.ExitEnvironment, "NO_LOOP", hint, "there can be no loop device here"), file.Close())
	}
	return loop, func() error { return errors.Join(loop.Detach(), file.Close()) }, nil
}

// parseLoopSize checks the geometry and returns the size in bytes.
func parseLoopSize(o loopOptions) (int64, error) {
	if !slices.Contains([]int{512, 1024, 2048, 4096}, o.sectorBytes) {
		return 0, fault.Usage("BAD_SECTOR_SIZE", "use 512 or 4096", "a loop device cannot have sectors of %d bytes", o.sectorBytes)
	}
	q, err := units.ParseQuantity(o.size, 1024)
	if err != nil || q.Percent || q.Zones || q.Trap != "" || q.Value < 1<<20 {
		return 0, fault.Usage("BAD_SIZE", "for example --size=256m; the least is 1m", "--size=%s is not the size of a loop device", o.size)
	}
	return q.Value, nil
}
