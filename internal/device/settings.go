package device

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/journal"
)

// Setting is a wish to change an attribute of a device's queue.
type Setting struct{ Name, Value string }

// settable lists the attributes of /sys/block/X/queue that can be changed and changed back without harm to
// data, in the order in which they are to be set: a new scheduler brings its own nr_requests and writeback
// throttling.
var settable = []string{
	"scheduler", "nr_requests", "rq_affinity", "nomerges", "iostats", "wbt_lat_usec", "read_ahead_kb", "max_sectors_kb",
	"io_poll", "io_poll_delay",
}

// ParseSetting reads NAME=VALUE.
func ParseSetting(text string) (Setting, error) {
	const code = "BAD_SETTING"
	name, value, ok := strings.Cut(text, "=")
	switch {
	case !ok || name == "" || value == "":
		return Setting{}, fault.Usage(code, "for example --set scheduler=none", "--set %s is not NAME=VALUE", text)
	case !slices.Contains(settable, name):
		return Setting{}, fault.Usage(code, "blkmeter changes only "+strings.Join(settable, ", "),
			"--set %s: it is not known that %q can be changed and changed back without harm", text, name)
	case strings.ContainsAny(value, " \t\n\x00/"):
		return Setting{}, fault.Usage(code, "a setting is one word or number", "--set %s: no setting has such a value", text)
	}
	return Setting{name, value}, nil
}

// Change is a setting that was changed.
type Change struct {
	Disk  string `json:"disk"`
	Name  string `json:"name"`
	Old   string `json:"old"`
	New   string `json:"new"`   // what the kernel made of the wish
	Asked bool   `json:"asked"` // false for what only changes along with the scheduler
}

// Changes is what was changed for a run, until Restore.
type Changes struct {
	List  []Change
	root  Root
	entry *journal.Entry
}

const settingsJournal = "settings"

// Apply changes settings of disks. The old values are in a journal in dir first, so that
// [RestoreOrphans] can bring them back if this process is killed. When a change fails, all are taken back.
func Apply(root Root, dir string, disks []string, settings []Setting) (*Changes, error) {
	c := &Changes{root: root}
	for _, disk := range disks {
		if !root.has("sys/block", disk, "queue/nr_requests") {
			return nil, fault.Usage("BAD_SETTING", "leave --set out, or set it on the devices below", "%s is bio-based: it has no request queue to set", disk)
		}
		for _, name := range settable {
			at := slices.IndexFunc(settings, func(s Setting) bool { return s.Name == name })
			if at < 0 && !followsScheduler(name, settings) {
				continue
			}
			change := Change{Disk: disk, Name: name, Old: c.value(disk, name), Asked: at >= 0}
			if change.Asked {
				change.New = settings[at].Value
				if err := c.settable(change); err != nil {
					return nil, err
				}
			} else if change.Old == "" {
				continue // this disk does not have it
			}
			c.List = append(c.List, change)
		}
	}
	var err error
	if c.entry, err = journal.Write(dir, settingsJournal, c.List); err != nil {
		return nil, fault.Wrap(err, fault.ExitEnvironment, "JOURNAL", "make "+dir+" writable, or set XDG_STATE_HOME",
			"cannot note the settings' old values, so they are not changed")
	}
	if err := c.refuseTogether(dir); err != nil {
		return nil, errors.Join(err, c.entry.Remove())
	}
	for _, change := range c.List {
		if !change.Asked {
			continue
		}
		if err := c.write(change.Disk, change.Name, change.New); err != nil {
			return nil, errors.Join(fault.Wrap(err, fault.ExitUsage, "BAD_SETTING", "cat "+c.path(change.Disk, change.Name)+" shows the present value",
				"the kernel does not take %s=%s for %s", change.Name, change.New, change.Disk), c.Restore())
		}
	}
	for i := range c.List {
		c.List[i].New = c.value(c.List[i].Disk, c.List[i].Name)
	}
	if err := c.entry.Update(c.List); err != nil {
		return nil, errors.Join(err, c.Restore())
	}
	return c, nil
}

// refuseTogether refuses to change a disk while another run has it changed: each would take the other's values for
// the old ones, and whichever ended last would leave them. Both have their journals by now, so one sees the other.
func (c *Changes) refuseTogether(dir string) error {
	living, _ := journal.Living(dir, settingsJournal) // an entry that cannot be read keeps nobody from anything
	for i := range living {
		var theirs []Change
		if err := living[i].Body(&theirs); err != nil {
			continue
		}
		for _, t := range theirs {
			if slices.ContainsFunc(c.List, func(change Change) bool { return change.Disk == t.Disk }) {
				return fault.New(fault.ExitRefused, "SET_IN_USE", "wait until it ends, or leave --set out",
					"process %d has changed settings of %s for its run", living[i].PID, t.Disk)
			}
		}
	}
	return nil
}

// followsScheduler says whether an attribute changes along with the scheduler.
func followsScheduler(name string, settings []Setting) bool {
	return (name == "nr_requests" || name == "wbt_lat_usec") && slices.ContainsFunc(settings, func(s Setting) bool { return s.Name == "scheduler" })
}

// settable finds out before anything is changed whether this process may change it.
func (c *Changes) settable(change Change) error {
	file, err := os.OpenFile(c.path(change.Disk, change.Name), os.O_WRONLY, 0)
	switch {
	case err == nil:
		return file.Close()
	case errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(err, fault.ExitUsage, "BAD_SETTING", "leave it out", "%s has no setting %s on this kernel", change.Disk, change.Name)
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(err, fault.ExitEnvironment, "SET_PERMISSION", "run as root, or leave --set out", "this user may not change %s of %s", change.Name, change.Disk)
	}
	return fault.Wrap(err, fault.ExitEnvironment, "SET_PERMISSION", "", "cannot change %s of %s", change.Name, change.Disk)
}

// Restore brings the old values back and removes the journal. What could not be brought back stays in it.
func (c *Changes) Restore() error {
	if _, err := c.restore(); err != nil {
		return err
	}
	return c.entry.Remove()
}

// restore writes the old values back, in the order of settable: the scheduler's first. It returns those that
// were different, with what they were.
func (c *Changes) restore() ([]Change, error) {
	var restored []Change
	var errs []error
	for _, change := range c.List {
		now := c.value(change.Disk, change.Name)
		if now == change.Old || now == "" {
			continue
		}
		if err := c.write(change.Disk, change.Name, change.Old); err != nil {
			errs = append(errs, fmt.Errorf("restore %s of %s to %s: %w", change.Name, change.Disk, change.Old, err))
			continue
		}
		change.New = now
		restored = append(restored, change)
	}
	return restored, errors.Join(errs...)
}

// untouched leaves those changes whose settings still are what they were changed to. Others were changed
// again since, or belong to another device that has the name now.
func (c *Changes) untouched() {
	c.List = slices.DeleteFunc(c.List, func(change Change) bool { return c.value(change.Disk, change.Name) != change.New })
}

// RestoreOrphans brings back what processes changed that were killed, as their journals in dir say. It
// returns what it changed back: from New to Old.
func RestoreOrphans(root Root, dir string) ([]Change, error) {
	orphans, err := journal.Orphans(dir, settingsJournal)
	errs := []error{err}
	var all []Change
	for i := range orphans {
		o := &orphans[i]
		c := &Changes{root: root}
		if err := o.Body(&c.List); err != nil {
			errs = append(errs, err)
			continue
		}
		if !o.OtherBoot { // else the kernel began with its defaults again
			c.untouched()
			restored, err := c.restore()
			all = append(all, restored...)
			if err != nil {
				errs = append(errs, err)
				continue
			}
		}
		errs = append(errs, o.Remove())
	}
	return all, errors.Join(errs...)
}

// value reads an attribute; of the scheduler, the active one.
func (c *Changes) value(disk, name string) string {
	text := c.root.read("sys/block", disk, "queue", name)
	if name == "scheduler" {
		active, _ := parseScheduler(text)
		return active
	}
	return text
}

func (c *Changes) path(disk, name string) string {
	return c.root.Path(filepath.Join("sys/block", disk, "queue", name))
}

// write sets an attribute. The file is never made, and never cut short before the kernel took the value.
func (c *Changes) write(disk, name, value string) error {
	file, err := os.OpenFile(c.path(disk, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
