package device

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

func TestParseSetting(t *testing.T) {
	for text, want := range map[string]Setting{
		"scheduler=none":      {"scheduler", "none"},
		"nr_requests=256":     {"nr_requests", "256"},
		"wbt_lat_usec=-1":     {"wbt_lat_usec", "-1"},
		"scheduler":           {},
		"scheduler=":          {},
		"=none":               {},
		"write_cache=none":    {},
		"discard_max_bytes=0": {},
		"../../size=1":        {},
		"scheduler=a b":       {},
		"scheduler=none\n":    {},
	} {
		got, err := ParseSetting(text)
		if got != want || (err == nil) != (want != Setting{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if err != nil && (fault.Of(err).Exit != fault.ExitUsage || fault.Of(err).Hint == "") {
			t.Errorf("%q: %+v", text, fault.Of(err))
		}
	}
}

// queueOf makes a fixture of a disk's queue directory.
func queueOf(t *testing.T, values map[string]string) Root {
	t.Helper()
	root := Root(t.TempDir())
	dir := root.Path("sys/block/sda/queue")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestApplyRefusesBeforeItChangesAnything(t *testing.T) {
	root := queueOf(t, map[string]string{"scheduler": "[none] mq-deadline", "nr_requests": "64"})
	state := t.TempDir()
	for name, c := range map[string]struct {
		disk string
		s    []Setting
		code string
	}{
		"an attribute that is not there": {"sda", []Setting{{"nr_requests", "32"}, {"io_poll", "1"}}, "BAD_SETTING"},
		"a disk without a queue":         {"zram0", []Setting{{"nr_requests", "32"}}, "BAD_SETTING"},
	} {
		_, err := Apply(root, state, []string{c.disk}, c.s)
		if err == nil || fault.Of(err).Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := root.read("sys/block/sda/queue/nr_requests"); got != "64" {
		t.Errorf("nr_requests is %s", got)
	}
	if left, _ := os.ReadDir(state); len(left) != 0 {
		t.Errorf("journals left: %v", left)
	}
	blocked := filepath.Join(state, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Apply(root, blocked, []string{"sda"}, []Setting{{"nr_requests", "32"}}); err == nil || fault.Of(err).Code != "JOURNAL" {
		t.Errorf("without a journal: %v", err)
	}
	if got := root.read("sys/block/sda/queue/nr_requests"); got != "64" {
		t.Errorf("nr_requests is %s, and no journal knows", got)
	}
}

// set returns a disk's scheduler and nr_requests.
func set(d *testlab.LoopDevice) string {
	c := &Changes{}
	return c.value(d.Name, "scheduler") + " " + c.value(d.Name, "nr_requests")
}

func TestApplyAndRestoreOnARealDevice(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	state := t.TempDir()
	before := set(d)
	c, err := Apply("", state, []string{d.Name}, []Setting{{"nr_requests", "32"}, {"scheduler", "mq-deadline"}, {"read_ahead_kb", "64"}})
	if err != nil {
		t.Fatal(err)
	}
	if now := set(d); now != "mq-deadline 32" {
		t.Errorf("set to %s", now)
	}
	if err := c.Restore(); err != nil {
		t.Error(err)
	}
	if now := set(d); now != before {
		t.Errorf("restored to %s, it was %s", now, before)
	}
	if left, _ := os.ReadDir(state); len(left) != 0 {
		t.Errorf("journals left: %v", left)
	}
	// What the kernel refuses takes everything back.
	_, err = Apply("", state, []string{d.Name}, []Setting{{"scheduler", "mq-deadline"}, {"nr_requests", "lots"}})
	if err == nil || fault.Of(err).Code != "BAD_SETTING" {
		t.Errorf("nr_requests=lots: %v", err)
	}
	if now := set(d); now != before {
		t.Errorf("after a refusal %s, it was %s", now, before)
	}
}

// TestRestoreAfterSIGKILL kills a process that has changed a device's settings.
func TestRestoreAfterSIGKILL(t *testing.T) {
	if disk := os.Getenv("DEVICE_TEST_SETTINGS_OF"); disk != "" {
		if _, err := Apply("", os.Getenv("DEVICE_TEST_STATE"), []string{disk}, []Setting{{"scheduler", "mq-deadline"}, {"nr_requests", "32"}}); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("applied\n")
		select {} // until killed
	}
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	state := t.TempDir()
	before := set(d)
	cmd := exec.Command(os.Args[0], "-test.run=^TestRestoreAfterSIGKILL$")
	cmd.Env = append(os.Environ(), "DEVICE_TEST_SETTINGS_OF="+d.Name, "DEVICE_TEST_STATE="+state)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if restored, err := RestoreOrphans("", state); err != nil || len(restored) != 0 {
		t.Errorf("while the process lives: %v, %v", restored, err)
	}
	if _, err := Apply("", state, []string{d.Name}, []Setting{{"scheduler", "bfq"}}); fault.Of(err).Code != "SET_IN_USE" || fault.Of(err).Exit != fault.ExitRefused {
		t.Errorf("changing what a living process has changed: %v, want SET_IN_USE", err)
	}
	if now := set(d); line != "applied\n" || now != "mq-deadline 32" {
		t.Errorf("the child said %q and set %s", line, now)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var died *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &died) {
		t.Errorf("the child ended with %v", err)
	}
	restored, err := RestoreOrphans("", state)
	if err != nil {
		t.Error(err)
	}
	if now := set(d); now != before {
		t.Errorf("restored to %s, it was %s", now, before)
	}
	names := ""
	for _, c := range restored {
		names += c.Name + " "
	}
	if !strings.Contains(names, "scheduler") || restored[0].Old != strings.Fields(before)[0] || restored[0].New != "mq-deadline" {
		t.Errorf("restored %+v", restored)
	}
	if again, err := RestoreOrphans("", state); err != nil || len(again) != 0 {
		t.Errorf("twice: %v, %v", again, err)
	}
}

// TestWhatWasChangedSinceIsLeftAlone: by somebody else, or because another device has the name now.
func TestWhatWasChangedSinceIsLeftAlone(t *testing.T) {
	c := &Changes{root: queueOf(t, map[string]string{"nr_requests": "32", "read_ahead_kb": "7"}), List: []Change{
		{Disk: "sda", Name: "nr_requests", Old: "64", New: "32", Asked: true},
		{Disk: "sda", Name: "read_ahead_kb", Old: "128", New: "64", Asked: true},
		{Disk: "sdb", Name: "nr_requests", Old: "64", New: "32", Asked: true},
	}}
	c.untouched()
	restored, err := c.restore()
	if err != nil || len(restored) != 1 || restored[0].Name != "nr_requests" || restored[0].Disk != "sda" {
		t.Errorf("restored %+v, %v", restored, err)
	}
}
