package lock

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/blkmeter/blkmeter/internal/kernel/sysv"
)

// TestMain lets the test binary play the process that leaks: it makes a SysV lock, says so, and waits for its
// end.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BLKMETER_TEST_LEAK"); dir != "" {
		if _, err := New("sysv", Options{Holders: 1, StateDir: dir}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("made")
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// leaker starts a process that holds a SysV lock recorded in dir, and returns it with the set's key.
func leaker(t *testing.T, dir string) (*exec.Cmd, int32) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BLKMETER_TEST_LEAK="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "made\n" {
		t.Fatalf("the leaking process said %q, %v", line, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, recordPrefix+"*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("records: %v, %v", files, err)
	}
	r, err := readRecord(files[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if id, err := sysv.Lookup(r.Key); err == nil {
			_ = sysv.Remove(id)
		}
	})
	return cmd, r.Key
}

func exists(key int32) bool {
	_, err := sysv.Lookup(key)
	return !errors.Is(err, syscall.ENOENT)
}

func TestCleanAfterSIGKILL(t *testing.T) {
	dir := t.TempDir()
	cmd, key := leaker(t, dir)
	if leaks, err := Clean(dir); err != nil || len(leaks) != 0 || !exists(key) {
		t.Fatalf("Clean beside a living owner = %v, %v; the set exists: %v", leaks, err, exists(key))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if !exists(key) {
		t.Fatal("the set went with its process: nothing to test")
	}
	leaks, err := Clean(dir)
	if err != nil || len(leaks) != 1 || leaks[0] != (Leak{Key: key, PID: cmd.Process.Pid}) {
		t.Errorf("Clean = %+v, %v", leaks, err)
	}
	if exists(key) {
		t.Error("the set outlived Clean")
	}
	if leaks, err := Clean(dir); err != nil || len(leaks) != 0 {
		t.Errorf("second Clean = %+v, %v", leaks, err)
	}
}

func TestCleanJudgesRecords(t *testing.T) {
	self := describeSelf(1)
	dead := self
	dead.PID, dead.Started = 1<<22, "1" // above the kernel's largest pid
	reused := self
	reused.Started = "1"
	otherBoot := dead
	otherBoot.Boot = "another"
	otherSpace := dead
	otherSpace.Namespaces = "ipc:[1] pid:[1]"
	for _, c := range []struct {
		name string
		r    record
		goes bool
	}{
		{"this process", self, false},
		{"a dead process", dead, true},
		{"a process whose pid is another's now", reused, true},
		{"a process before the last boot", otherBoot, true},
		{"a process of another container", otherSpace, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			// No set has this key, so Clean has only the record to deal with.
			c.r.Key = 0x7ffffff0
			if exists(c.r.Key) {
				t.Skipf("somebody uses key %#x", c.r.Key)
			}
			text, err := json.Marshal(c.r)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, recordPrefix+"7ffffff0.json")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			leaks, err := Clean(dir)
			if err != nil {
				t.Fatal(err)
			}
			_, statErr := os.Stat(file)
			if gone := errors.Is(statErr, os.ErrNotExist); gone != c.goes || len(leaks) == 1 != c.goes {
				t.Errorf("Clean = %+v, record gone: %v; want gone: %v", leaks, gone, c.goes)
			}
		})
	}
}

func TestCleanReportsWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, recordPrefix+"1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, recordPrefix+"2.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	leaks, err := Clean(dir)
	if err == nil || !strings.Contains(err.Error(), recordPrefix+"1.json") || len(leaks) != 0 {
		t.Errorf("Clean = %v, %v; want an error that names the broken record only", leaks, err)
	}
	if leaks, err := Clean(filepath.Join(dir, "none")); err != nil || leaks != nil {
		t.Errorf("Clean of no directory = %v, %v", leaks, err)
	}
}

func TestStateDir(t *testing.T) {
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
		if got := StateDir(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("StateDir with %v = %s, want %s", c.env, got, c.want)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	good, err := json.Marshal(describeSelf(7))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"key":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRecord(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseRecord(again); err != nil || back != r {
			t.Errorf("%+v became %+v, %v", r, back, err)
		}
	})
}
