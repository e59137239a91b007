package journal

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

type note struct {
	Name string
	Old  int
}

func TestAnEntryOfALivingProcessIsNoOrphan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "blkmeter")
	e, err := Write(dir, "settings", note{"loop3", 64})
	if err != nil {
		t.Fatal(err)
	}
	if orphans, err := Orphans(dir, "settings"); len(orphans) != 0 || err != nil {
		t.Errorf("orphans %v, %v", orphans, err)
	}
	if err := e.Update(func() {}); err == nil {
		t.Error("a body that is no JSON was taken")
	}
	if err := e.Update(note{"loop3", 32}); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(e.path); err != nil || !strings.Contains(string(text), "32") {
		t.Errorf("after the update: %s, %v", text, err)
	}
	if err := e.Remove(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); len(left) != 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// rewrite makes an entry look as if another process had made it.
func rewrite(t *testing.T, e *Entry, change func(*owner)) {
	t.Helper()
	text, err := os.ReadFile(e.path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	change(&d.Owner)
	if text, err = json.Marshal(d); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(e.path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAnotherUsersEntryIsNotBelieved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file another user's")
	}
	dir := t.TempDir()
	e, err := Write(dir, "settings", note{"loop3", 64})
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, e, func(o *owner) { o.Boot = "another" })
	if orphans, err := Orphans(dir, "settings"); len(orphans) != 1 || err != nil {
		t.Fatalf("of root's: %v, %v", orphans, err)
	}
	if err := os.Chown(e.path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if orphans, err := Orphans(dir, "settings"); len(orphans) != 0 || err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("%v, %v; want an error that says whose it is", orphans, err)
	}
}

func TestOrphans(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change    func(*owner)
		orphan    bool
		otherBoot bool
	}{
		"dead":              {func(o *owner) { o.PID = dead.Process.Pid }, true, false},
		"its pid is reused": {func(o *owner) { o.Started = "1" }, true, false},
		"another container": {func(o *owner) { o.Namespace, o.Started = "pid:[1]", "1" }, false, false},
		"another boot":      {func(o *owner) { o.Boot = "x" }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e, err := Write(dir, "settings", note{"loop3", 64})
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, e, c.change)
			if other, err := Orphans(dir, "loop"); len(other) != 0 || err != nil {
				t.Errorf("of another kind: %v, %v", other, err)
			}
			orphans, err := Orphans(dir, "settings")
			if err != nil || (len(orphans) == 1) != c.orphan {
				t.Fatalf("orphans %v, %v", orphans, err)
			}
			if !c.orphan {
				return
			}
			var got note
			if err := orphans[0].Body(&got); err != nil || got != (note{"loop3", 64}) || orphans[0].OtherBoot != c.otherBoot {
				t.Errorf("body %+v, %v, other boot %v", got, err, orphans[0].OtherBoot)
			}
			if err := orphans[0].Remove(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestADamagedEntryIsToldOf(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "settings-1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Orphans(dir, "settings"); err == nil || !strings.Contains(err.Error(), "settings-1.json") {
		t.Errorf("error %v", err)
	}
	if _, err := Write(dir, "settings", func() {}); err == nil {
		t.Error("a body that is no JSON was taken")
	}
}

// A process that is killed while it writes an entry leaves a file that is none yet.
func TestAnUnfinishedEntryGoesInTime(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "settings-1.new")
	for _, c := range []struct {
		age  time.Duration
		goes bool
	}{{0, false}, {2 * unfinished, true}} {
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		written := time.Now().Add(-c.age)
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
		if orphans, err := Orphans(dir, "settings"); len(orphans) != 0 || err != nil {
			t.Errorf("orphans %v, %v", orphans, err)
		}
		if _, err := os.Stat(path); os.IsNotExist(err) != c.goes {
			t.Errorf("%v old: %v", c.age, err)
		}
	}
}

func TestDir(t *testing.T) {
	uid := strconv.Itoa(os.Getuid())
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/blkmeter"},
		{map[string]string{"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/blkmeter"},
		{map[string]string{"TMPDIR": "/t"}, "/t/blkmeter-" + uid},
		{nil, "/tmp/blkmeter-" + uid},
	} {
		if got := Dir(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("Dir with %v = %s, want %s", c.env, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"owner":{"pid":1,"started":"2","boot_id":"b","pid_namespace":"n"},"body":{"Name":"x"}}`))
	f.Add([]byte(`{"owner":{"pid":-1},"body":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, err := parse(text); err == nil && (d.Owner.PID <= 0 || !json.Valid(d.Body)) {
			t.Errorf("took %q", text)
		}
	})
}
