package nullblk

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// load loads the driver and unloads it when the test ends, which must leave nothing.
func load(t *testing.T, dir string) *Driver {
	t.Helper()
	testlab.Require(t, "root", "null_blk")
	d, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Unload(); err != nil {
			t.Error(err)
		}
		for _, pattern := range []string{"/sys/module/null_blk", "/sys/block/nullb*", filepath.Join(dir, "*")} {
			if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		}
	})
	return d
}

// queueMap writes the queues with the CPUs that feed them, sorted: which CPU feeds which is the kernel's choice.
func queueMap(f device.Facts) string {
	var queues []string
	for _, q := range f.Queues {
		queues = append(queues, q.Type+" "+device.FormatCPUList(q.CPUs))
	}
	slices.Sort(queues)
	return strings.Join(queues, "; ")
}

func TestNullBlkIsAsAskedFor(t *testing.T) {
	d := load(t, t.TempDir())
	cpus, err := onlineCPUs()
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("0-%d", cpus-1)
	var own []string
	for cpu := range cpus {
		own = append(own, fmt.Sprintf("default %d", cpu))
	}
	for name, c := range map[string]struct {
		attributes map[string]string
		queues     string
		tags       int
		logical    int
	}{
		"the driver's defaults": {nil, "default " + all + "; poll " + all, 64, 512},
		"a queue for each CPU":  {map[string]string{"submit_queues": "max", "poll_queues": "0"}, strings.Join(own, "; "), 64, 512},
		"slow, deep and with large blocks": {
			map[string]string{"submit_queues": "1", "poll_queues": "1", "irqmode": "2", "hw_queue_depth": "128", "blocksize": "4096", "completion_nsec": "100000"},
			"default " + all + "; poll " + all, 128, 4096,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dev, err := d.Create(c.attributes)
			if err != nil {
				t.Fatal(err)
			}
			facts, err := device.DescribeName("", dev.Name)
			if err != nil {
				t.Fatal(err)
			}
			if got := queueMap(facts); got != c.queues || facts.Kind != device.KindNull || facts.Tags != c.tags || facts.LogicalBytes != c.logical {
				t.Errorf("%s is %s with queues %q, %d tags, blocks of %d", dev.Name, facts.Kind, got, facts.Tags, facts.LogicalBytes)
			}
			if _, err := os.Stat(dev.Path()); err != nil {
				t.Error(err)
			}
			if err := dev.Remove(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(dev.Path()); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", dev.Path(), err)
			}
		})
	}
}

// What the kernel refuses is told by name, and no device stays.
func TestNullBlkRefusesUnknownAttributes(t *testing.T) {
	d := load(t, t.TempDir())
	for _, a := range []map[string]string{{"wings": "2"}, {"irqmode": "9999999999999"}} {
		dev, err := d.Create(a)
		if f := fault.Of(err); f == nil || f.Code != "NULL_BLK_ATTRIBUTE" {
			t.Errorf("%v: %v, %v", a, dev, err)
		}
	}
}

// A killed process leaves its device, the module and their journal; all are removed after it, and what a living
// process has is not.
func TestNullBlkOrphansAreRemoved(t *testing.T) {
	if dir := os.Getenv("NULLBLK_TEST_STATE"); dir != "" { // the process to be killed
		d, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		dev, err := d.Create(nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(dev.Name)
		_, _ = io.Copy(io.Discard, os.Stdin) // until killed, or until the other has died
		return
	}
	testlab.Require(t, "root", "null_blk")
	dir := t.TempDir()
	dead := exec.Command(os.Args[0], "-test.run=^TestNullBlkOrphansAreRemoved$")
	dead.Env = append(os.Environ(), "NULLBLK_TEST_STATE="+dir)
	dead.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := dead.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := dead.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSpace(line)
	d := load(t, dir) // the module is there: unloading it is the other's business
	living, err := d.Create(nil)
	if err != nil {
		t.Fatal(err)
	}
	if removed, err := RemoveOrphans(dir); err != nil || len(removed) > 0 {
		t.Errorf("of living processes, removed %v: %v", removed, err)
	}
	if err := dead.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dead.Wait() // it was killed
	if _, err := os.Stat("/dev/" + name); err != nil {
		t.Errorf("the device went with its process: %v", err)
	}
	removed, err := RemoveOrphans(dir)
	if err != nil || len(removed) != 1 || !strings.Contains(removed[0], name) {
		t.Errorf("removed %v: %v", removed, err)
	}
	if _, err := os.Stat("/dev/" + name); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", name, err)
	}
	if err := living.Remove(); err != nil {
		t.Error(err)
	}
	if done, err := unload(); err != nil || !done {
		t.Errorf("the module is not unloaded: %v", err)
	}
}

// Where there is no null_blk the error says so, and the journal stays empty.
func TestWithoutTheModule(t *testing.T) {
	if present() {
		t.Skip("this machine has null_blk")
	}
	if loadable, err := filepath.Glob("/lib/modules/*/kernel/drivers/block/null_blk"); err != nil || len(loadable) > 0 {
		t.Skip("this machine may have null_blk")
	}
	dir := t.TempDir()
	_, err := Load(dir)
	if f := fault.Of(err); f == nil || f.Code != "NO_NULL_BLK" || f.Hint == "" || f.Exit != fault.ExitEnvironment {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("in the journal: %v %v", left, err)
	}
}
