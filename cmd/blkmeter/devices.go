package main

import (
	"encoding/json"
	"os"
	"strconv"

	"github.com/blkmeter/blkmeter/internal/inspect"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// devicesOptions are the flags of the devices command.
type devicesOptions struct {
	json bool
	all  bool
}

func newDevicesCommand(a *app) *cobra.Command {
	var o devicesOptions
	cmd := &cobra.Command{
		Use:   "devices [NAME]",
		Short: "List block devices, or show one in full, with what may be done to it",
		Long: `List the machine's block devices: geometry, queues, who uses them, and what blkmeter may do to them.
With NAME (nvme0n1, or a path) show one device in full: which CPU feeds which hardware queue, interrupts,
settings, power states and, of an NVMe device, its health.

The list reads /sys and /proc only: it wakes no device and changes nothing. In the column WRITE:
  refused     it is in use; nothing lifts this
  --destroy   a job may write to it when --destroy=NAME names it
  read-only   the kernel takes no writes

Exit codes: 0 done, 1 no such device, 7 the machine shows no block devices.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return showDevice(a, o, args[0])
			}
			return listDevices(a, o)
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "write JSON")
	cmd.Flags().BoolVar(&o.all, "all", false, "list partitions, paths of multipath devices and empty devices too")
	return cmd
}

func listDevices(a *app, o devicesOptions) error {
	devices, err := inspect.All("", o.all)
	if err != nil {
		return err
	}
	if o.json {
		return writeDevicesJSON(a, devices)
	}
	return inspect.Table(a.stdout, devices, a.width())
}

func showDevice(a *app, o devicesOptions, name string) error {
	d, err := inspect.One("", name)
	if err != nil {
		return err
	}
	if o.json {
		return writeDevicesJSON(a, []inspect.Device{d})
	}
	return inspect.Full(a.stdout, d)
}

func writeDevicesJSON(a *app, devices []inspect.Device) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	return e.Encode(inspect.Document{Schema: inspect.Schema, Devices: devices})
}

// width returns how many columns standard output shows: of the terminal, or what COLUMNS says; 0 is no limit.
func (a *app) width() int {
	if f, ok := a.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	width, err := strconv.Atoi(a.env("COLUMNS"))
	if err != nil || width < 0 {
		return 0
	}
	return width
}
