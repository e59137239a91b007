package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
)

// command runs the program in this process.
func command(t *testing.T, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	state := t.TempDir()
	exit = execute(&app{
		args: append([]string{"blkmeter"}, args...), stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		env: func(name string) string {
			if name == "XDG_STATE_HOME" {
				return state
			}
			return os.Getenv(name)
		},
	})
	return exit, out.String(), errs.String()
}

// loopsOn lists the loop devices over files that are, or were, in dir.
func loopsOn(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(path string) bool {
		text, err := os.ReadFile(path)
		return err != nil || !strings.HasPrefix(string(text), dir+"/")
	})
}

// gone checks that nothing is left of a loop device over a file in dir.
func gone(t *testing.T, dir string) {
	t.Helper()
	if !testlab.Eventually(5*time.Second, func() bool { return len(loopsOn(t, dir)) == 0 }) {
		t.Errorf("loop devices left: %v", loopsOn(t, dir))
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestLoopRunsAndLeavesNothing(t *testing.T) {
	testlab.Require(t, "loop")
	for _, c := range []struct {
		flags  []string
		sector int
		dio    bool
	}{
		{nil, 512, false},
		{[]string{"--sector-size=4096", "--direct-io"}, 4096, true},
	} {
		dir := testlab.Dir(t, true)
		args := append([]string{"loop", "--size=4m", "--dir=" + dir}, c.flags...)
		exit, out, errs := command(t, append(args, "--", "run", "--rw=randrw", "--bs=4k", "--ioengine=psync", "--output-format=json")...)
		if exit != 0 {
			t.Fatalf("exit %d: %s", exit, errs)
		}
		r, err := report.Load(strings.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		d, j := r.Targets[0], r.Jobs[0]
		if !strings.HasPrefix(d.Path, "/dev/loop") || d.SizeBytes != 4<<20 || d.LogicalBytes != c.sector || !d.ExclusiveDevice {
			t.Errorf("target %+v", d)
		}
		if j.Read.IOs+j.Write.IOs != 1024 || d.Kernel.ReadBytes != j.Read.Bytes || d.Kernel.WriteBytes != j.Write.Bytes {
			t.Errorf("%d reads, %d writes; the kernel counted %+v", j.Read.IOs, j.Write.IOs, d.Kernel)
		}
		around := strings.Contains(strings.Join(d.Notes, "\n"), "around the page cache")
		if around != c.dio {
			t.Errorf("direct I/O %v, want %v: %v", around, c.dio, d.Notes)
		}
		gone(t, dir)
	}
}

func TestLoopPutsTheDeviceIntoTheCommand(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"run --rw=read", "run --rw=read"},
		{"run --name=a --filename={}", "run --name=a --filename=/dev/loop9"},
		{"probe {}", "probe /dev/loop9"},
	} {
		if got := strings.Join(loopArgs(strings.Fields(c.in), "/dev/loop9"), " "); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.in, got, c.want)
		}
	}
}

func TestJobFilesMayNameTheLoopDevice(t *testing.T) {
	testlab.Require(t, "loop")
	dir := testlab.Dir(t, true)
	jobs := filepath.Join(t.TempDir(), "jobs.fio")
	if err := os.WriteFile(jobs, []byte("[r]\nfilename=${BLKMETER_LOOP}\nrw=write\nbs=64k\n[w]\nstonewall\nrw=read\nbs=64k\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	exit, out, errs := command(t, "loop", "--size=1m", "--dir="+dir, "--", "run", "--output-format=json", jobs)
	if exit != 0 {
		t.Fatalf("exit %d: %s", exit, errs)
	}
	var r report.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Targets) != 1 || len(r.Jobs) != 2 || r.Jobs[0].Write.Bytes != 1<<20 || r.Jobs[1].Read.Bytes != 1<<20 {
		t.Errorf("targets %+v", r.Targets)
	}
	gone(t, dir)
}

func TestLoopRefuses(t *testing.T) {
	dir := testlab.Dir(t, true)
	for _, c := range []struct {
		args []string
		code string
		exit int
	}{
		{[]string{"run", "--rw=read"}, "NO_COMMAND", 1},
		{[]string{"--sector-size=100", "--", "run"}, "BAD_SECTOR_SIZE", 1},
		{[]string{"--size=many", "--", "run"}, "BAD_SIZE", 1},
		{[]string{"--size=4096", "--", "run"}, "BAD_SIZE", 1},
		{[]string{"--size=50%", "--", "run"}, "BAD_SIZE", 1},
		{[]string{"--size=1000t", "--dir=" + dir, "--", "run"}, "NO_SPACE", 1},
		{[]string{"--dir=" + dir + "/none", "--", "run"}, "NO_DIRECTORY", 1},
	} {
		exit, out, errs := command(t, append([]string{"loop"}, c.args...)...)
		if exit != c.exit || !strings.Contains(errs, "["+c.code+"]") || out != "" {
			t.Errorf("%v: exit %d, %q, %q", c.args, exit, out, errs)
		}
	}
	testlab.Require(t, "loop")
	exit, _, errs := command(t, "loop", "--size=1m", "--dir="+dir, "--", "run", "--no-such-option")
	if exit != fault.ExitUsage || !strings.Contains(errs, "UNKNOWN_OPTION") {
		t.Errorf("a command that fails: exit %d, %s", exit, errs)
	}
	gone(t, dir)
}

// TestLoopLeavesNothingWhenItDies interrupts and kills the program in the middle of a run.
func TestLoopLeavesNothingWhenItDies(t *testing.T) {
	testlab.Require(t, "root", "loop")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			dir, state := testlab.Dir(t, true), t.TempDir()
			cmd := start(t, []string{"XDG_STATE_HOME=" + state}, "loop", "--size=4m", "--dir="+dir, "--",
				"run", "--rw=randwrite", "--bs=4k", "--time_based", "--runtime=60", "--output-format=json", "--set=nr_requests=32")
			journals := func() []string {
				found, err := filepath.Glob(filepath.Join(state, "blkmeter", "settings-*.json"))
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			first := ""
			busy := testlab.Eventually(20*time.Second, func() bool {
				if len(journals()) == 0 {
					return false
				}
				for _, path := range loopsOn(t, dir) {
					stat, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(path)), "stat"))
					if fields := strings.Fields(string(stat)); err == nil && len(fields) > 4 {
						if first == "" {
							first = fields[4] // a device that was used before has counted before
						}
						return fields[4] != first // writes have ended
					}
				}
				return false
			})
			if !busy {
				t.Errorf("no load on a loop device: %s", cmd.stderr.String())
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			var ended *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &ended) {
				t.Errorf("it ended with %v", err)
			}
			if signal != syscall.SIGKILL {
				if code := cmd.ProcessState.ExitCode(); code != fault.ExitInterrupted {
					t.Errorf("exit code %d: %s", code, cmd.stderr.String())
				}
				if r, err := report.Load(bytes.NewReader(cmd.stdout.Bytes())); err != nil || r.Status != report.StatusInterrupted {
					t.Errorf("no partial Result: %v", err)
				}
			}
			gone(t, dir)
			if n := len(journals()); (n == 1) != (signal == syscall.SIGKILL) {
				t.Errorf("%d journals", n)
			}
			// A loop device keeps its settings for whoever attaches it next.
			var restored, told bytes.Buffer
			exit := execute(&app{args: []string{"blkmeter", "restore"}, stdout: &restored, stderr: &told, env: func(name string) string {
				if name == "XDG_STATE_HOME" {
					return state
				}
				return ""
			}})
			want := "nothing to restore"
			if signal == syscall.SIGKILL {
				want = "nr_requests: 32 -> "
			}
			if exit != 0 || !strings.Contains(restored.String(), want) {
				t.Errorf("restore: exit %d, %q, %q; want %q", exit, restored.String(), told.String(), want)
			}
			if left := journals(); len(left) != 0 {
				t.Errorf("journals left: %v", left)
			}
		})
	}
}
