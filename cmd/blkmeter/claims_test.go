package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/claims"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
)

// loopsOf lists the loop devices that a process made for its claims: those over files that it has open.
func loopsOf(t *testing.T, pid int) []string {
	t.Helper()
	open := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil { // it may be closed by now
			open[link] = true
		}
	}
	var loops []string
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && open[strings.TrimSpace(string(text))] {
			loops = append(loops, f)
		}
	}
	return loops
}

// However claims are ended, their loop device goes, and a signal that can be caught leaves a document.
func TestSignalsEndClaims(t *testing.T) {
	testlab.Require(t, "root", "loop")
	for signal, exit := range map[syscall.Signal]int{syscall.SIGINT: fault.ExitInterrupted, syscall.SIGTERM: fault.ExitInterrupted, syscall.SIGKILL: -1} {
		t.Run(signal.String(), func(t *testing.T) {
			state := t.TempDir()
			file := filepath.Join(t.TempDir(), "claims.json")
			p := start(t, []string{"XDG_STATE_HOME=" + state}, "claims", "run", "25", "--profile=full", "--output="+file)
			var loops []string
			if !testlab.Eventually(30*time.Second, func() bool { loops = loopsOf(t, p.Process.Pid); return len(loops) == 1 }) {
				t.Fatalf("it has no loop device: %v; stderr: %s", loops, &p.stderr)
			}
			backing, err := os.ReadFile(loops[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if got := p.end(t); got != exit {
				t.Errorf("exit code %d, want %d; stderr: %s", got, exit, &p.stderr)
			}
			if !testlab.Eventually(10*time.Second, func() bool { now, err := os.ReadFile(loops[0]); return err != nil || string(now) != string(backing) }) {
				t.Errorf("%s is still attached to %s", loops[0], backing)
			}
			if signal == syscall.SIGKILL {
				return
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			doc, err := claims.Load(f)
			if err != nil {
				t.Fatal(err)
			}
			if doc.Status != report.StatusInterrupted || len(doc.Records) != 1 || doc.Records[0].Verdict != claims.CannotTest {
				t.Errorf("the document: %s, %+v", doc.Status, doc.Records)
			}
			if doc.Host.Kernel == "" || doc.Tool.Go == "" || !strings.HasPrefix(doc.Device, "loop") || doc.DeviceFacts == "" {
				t.Errorf("it describes tool %+v, host %+v, device %q (%s)", doc.Tool, doc.Host, doc.Device, doc.DeviceFacts)
			}
			if left, err := filepath.Glob(filepath.Join(state, "*", "*")); err != nil || len(left) != 0 {
				t.Errorf("left in the journal: %v %v", left, err)
			}
		})
	}
}

// A saved document of claims is rendered as it was, with its verdicts computed again.
func TestReportOfClaims(t *testing.T) {
	file := filepath.Join(t.TempDir(), "claims.json")
	exit, text, errs := cli(t, "claims", "run", "24a", "20", "--seed=3", "--output="+file)
	if exit != 0 {
		t.Fatalf("exit %d, %s", exit, errs)
	}
	exit, again, errs := cli(t, "report", file)
	if exit != 0 || again != text {
		t.Errorf("exit %d %s, and\n%sinstead of\n%s", exit, errs, again, text)
	}
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	exit, again, errs = cli(t, "report", "--format=json", file)
	if exit != 0 || again != string(saved) {
		t.Errorf("exit %d %s: the JSON is another", exit, errs)
	}
	// Somebody changes a verdict by hand; the blocks know better.
	var doc map[string]any
	if err := json.Unmarshal(saved, &doc); err != nil {
		t.Fatal(err)
	}
	doc["claims"].([]any)[1].(map[string]any)["verdict"] = "WISHFUL"
	forged, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, again, _ = cli(t, "report", file); exit != 0 || again != text {
		t.Errorf("exit %d, and a forged verdict stays:\n%s", exit, again)
	}
	if exit, _, errs = cli(t, "report", "--format=fio-json", file); exit != fault.ExitUsage || !strings.Contains(errs, "BAD_FORMAT") {
		t.Errorf("claims in fio's format: exit %d, %s", exit, errs)
	}
	if err := os.WriteFile(file, []byte(`{"schema": "blkmeter.claims/99"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, _, errs = cli(t, "report", file); exit != fault.ExitUsage || !strings.Contains(errs, "blkmeter.claims/99") {
		t.Errorf("a future document: exit %d, %s", exit, errs)
	}
}

// Verdicts that took minutes are not lost because the file for them cannot be written; where that can be known, nothing
// is measured.
func TestVerdictsSurviveTheirFile(t *testing.T) {
	for file, verdicts := range map[string]string{"/dev/full": "0 reproduced", filepath.Join(t.TempDir(), "no", "directory.json"): ""} {
		exit, out, errs := cli(t, "claims", "run", "21", "--budget=1ns", "--output="+file)
		if exit != fault.ExitIO || !strings.Contains(errs, "OUTPUT_FAILED") || !strings.Contains(out, verdicts) || verdicts == "" && out != "" {
			t.Errorf("%s: exit %d, %s, and the verdicts are\n%s", file, exit, errs, out)
		}
	}
	if exit, out, errs := cli(t, "claims", "run", "21", "--budget=1ns", "--output=-"); exit != 0 || !json.Valid([]byte(out)) {
		t.Errorf("to stdout: exit %d, %s\n%s", exit, errs, out)
	}
	if exit, _, errs := cli(t, "claims", "run", "21", "--budget=-5m"); exit != fault.ExitUsage || !strings.Contains(errs, "BAD_BUDGET") {
		t.Errorf("a negative budget: exit %d, %s", exit, errs)
	}
}

// A device that is not there, or another than --destroy names, is refused before anything is measured.
func TestDevicesOfClaims(t *testing.T) {
	for _, c := range []struct {
		args []string
		code string
	}{
		{[]string{"14", "/dev/nosuch"}, "/dev/nosuch"},
		{[]string{"14", "--destroy=vda"}, "DESTROY_OTHER"},
	} {
		exit, out, errs := cli(t, append([]string{"claims", "run"}, c.args...)...)
		if exit != fault.ExitUsage && exit != fault.ExitRefused || out != "" || !strings.Contains(errs, c.code) {
			t.Errorf("%v: exit %d, %q, %s", c.args, exit, out, errs)
		}
	}
}

// nullBlks lists the null_blk devices and the module of that name.
func nullBlks(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"/dev/nullb*", "/sys/module/null_blk"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// However claims on null_blk are ended, the device and the module go: by themselves after a signal that can be
// caught, else with blkmeter clean.
func TestNullBlkGoes(t *testing.T) {
	testlab.Require(t, "root", "null_blk")
	for signal, exit := range map[syscall.Signal]int{syscall.SIGINT: fault.ExitInterrupted, syscall.SIGKILL: -1} {
		t.Run(signal.String(), func(t *testing.T) {
			env := []string{"XDG_STATE_HOME=" + t.TempDir()}
			p := start(t, env, "claims", "run", "9", "--null-blk", "--profile=full")
			// Its own device, and that of an arm.
			if !testlab.Eventually(30*time.Second, func() bool { return len(nullBlks(t)) == 3 }) {
				t.Fatalf("it has %v; stderr: %s", nullBlks(t), &p.stderr)
			}
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if got := p.end(t); got != exit {
				t.Errorf("exit code %d, want %d; stderr: %s", got, exit, &p.stderr)
			}
			if signal == syscall.SIGINT {
				if left := nullBlks(t); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			if left := nullBlks(t); len(left) != 3 {
				t.Errorf("after SIGKILL there are %v", left)
			}
			for _, want := range []string{"removed null_blk device", "nothing was left behind"} {
				c := start(t, env, "clean")
				if got := c.end(t); got != 0 || !strings.Contains(c.stdout.String(), want) {
					t.Errorf("clean: exit code %d, %s%s", got, &c.stdout, &c.stderr)
				}
			}
			if left := nullBlks(t); len(left) > 0 {
				t.Errorf("left behind after clean: %v", left)
			}
		})
	}
	if exit, _, errs := cli(t, "claims", "run", "9", "--null-blk", "/dev/loop0"); exit != fault.ExitUsage || !strings.Contains(errs, "TWO_DEVICES") {
		t.Errorf("with a device: exit code %d, %s", exit, errs)
	}
}
