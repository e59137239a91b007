package testlab

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Limit is how long a program that a test runs may take: many times what any of them needs, so that only one that
// hangs is ended by it.
const Limit = time.Minute

// Program is a program that a test runs, and that may hang.
type Program struct {
	*exec.Cmd
	hung atomic.Bool
}

// Hung says whether the program was still running at its Limit.
func (p *Program) Hung() bool { return p.hung.Load() }

// Command is exec.Command for programs that may hang: at Limit, or when the test is over, the program ends with
// all processes that it has started, whichever session they are in (each job of fio starts one of its own, and an
// orphan of them that holds a pipe would keep its reader waiting for ever). A Go program says before where it was.
func Command(t testing.TB, name string, args ...string) *Program {
	t.Helper()
	return command(t, Limit, name, args...)
}

func command(t testing.TB, limit time.Duration, name string, args ...string) *Program {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	p := &Program{Cmd: exec.CommandContext(ctx, name, args...)}
	p.Cancel = func() error {
		p.hung.Store(true)
		for _, pid := range descendants(p.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
		return p.Process.Signal(syscall.SIGQUIT)
	}
	p.WaitDelay = 5 * time.Second
	return p
}

// Output runs a program of the system in dir, and returns what it prints. The test fails, with what the program said,
// unless it succeeds. One that hangs is run again, twice at most: fio 3.33 does now and then, and is not what is tested.
func Output(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	for try := 1; ; try++ {
		var words strings.Builder
		p := Command(t, name, args...)
		p.Dir, p.Stderr = dir, &words
		out, err := p.Output()
		if err == nil {
			return string(out)
		}
		if !p.Hung() || try == 3 {
			t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, words.String())
		}
		t.Logf("%s %s hung", name, strings.Join(args, " "))
	}
}

// FioScript unpacks a tool that Debian ships among fio's documents, for python3, and returns its path.
func FioScript(t testing.TB, name string) string {
	t.Helper()
	Require(t, "fio", "python3")
	f, err := os.Open("/usr/share/doc/fio/" + name + ".gz")
	if err != nil {
		t.Skipf("needs fio's documents: %v", err) // minimal installations leave them out
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// descendants lists the processes that the process has started, and those that they have.
func descendants(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// "PID (NAME) STATE PPID ...", and a name may hold parentheses (proc_pid_stat(5)).
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], child)
		}
	}
	var found []int
	for next := children[pid]; len(next) > 0; {
		child := next[0]
		next = append(next[1:], children[child]...)
		found = append(found, child)
	}
	return found
}
