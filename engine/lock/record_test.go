package lock

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	files, err := filepath.Glob(filepath.Join(dir, recordKind+"-*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("records: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var entry struct{ Body record }
	if err := json.Unmarshal(text, &entry); err != nil || entry.Body.Key <= 0 || entry.Body.Namespace != ipcNamespace() {
		t.Fatalf("the record %s: %v", text, err)
	}
	r := entry.Body
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

// orphan leaves an entry of the journal whose process is dead.
func orphan(t *testing.T, dir string, body any) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"owner": map[string]any{"pid": 1 << 22, "started": "1", "boot_id": fileText(t, "/proc/sys/kernel/random/boot_id"), "pid_namespace": linkText(t, "/proc/self/ns/pid")},
		"body":  body,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, recordKind+"-1.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func linkText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCleanJudgesRecords(t *testing.T) {
	const key = 0x7ffffff0 // no set has it, so that there is only the record to deal with
	if exists(key) {
		t.Skipf("needs a key that nobody uses: somebody uses %#x", key)
	}
	for _, c := range []struct {
		name  string
		body  any
		goes  bool
		fails bool
	}{
		{"of this namespace", record{Key: key, Namespace: ipcNamespace()}, true, false},
		{"of another container", record{Key: key, Namespace: "ipc:[1]"}, false, false},
		{"without a key", record{Namespace: ipcNamespace()}, false, true},
		{"of another shape", "text", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			orphan(t, dir, c.body)
			leaks, err := Clean(dir)
			if (err != nil) != c.fails || len(leaks) == 1 != c.goes {
				t.Errorf("Clean = %+v, %v", leaks, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) == 0 != c.goes {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
	if leaks, err := Clean(filepath.Join(t.TempDir(), "none")); err != nil || leaks != nil {
		t.Errorf("Clean of no directory = %v, %v", leaks, err)
	}
}

// TestCleanSparesOthers: a set of somebody else at the key of a record stays, though the record goes. A process that
// found its key taken may be killed before it has taken its record back.
func TestCleanSparesOthers(t *testing.T) {
	_, key := leaker(t, t.TempDir())
	dir := t.TempDir()
	orphan(t, dir, record{Key: key, Namespace: ipcNamespace()})
	leaks, err := Clean(dir)
	if err != nil || len(leaks) != 1 || !leaks[0].Gone {
		t.Errorf("Clean = %+v, %v", leaks, err)
	}
	if !exists(key) {
		t.Error("Clean removed the set of a process that lives")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
