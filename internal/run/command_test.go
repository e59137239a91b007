package run

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
)

func TestCommandsBeforeAndAfterAJob(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	dir := t.TempDir()
	order := filepath.Join(dir, "order")
	run := func(jobs ...workloads.Job) *report.Result {
		t.Helper()
		r, err := Run(t.Context(), &workloads.Plan{Jobs: jobs}, Options{DumpDir: dir, Explain: true, Env: os.Getenv})
		if err != nil {
			t.Fatal(err)
		}
		valid(t, r)
		return r
	}
	note := func(word string) string {
		return "echo " + word + " >> " + order + "; echo printed; echo complained >&2"
	}
	first, second := reader(dev, "first", 100*time.Millisecond), reader(dev, "second", 100*time.Millisecond)
	first.NumJobs, second.WaitFor = 2, "first"
	first.ExecPrerun, first.ExecPostrun = note("before-first"), note("after-first")
	second.ExecPrerun, second.ExecPostrun = note("before-second"), note("after-second")
	r := run(first, second)
	if r.ExitCode != 0 || r.Jobs[0].Read.IOs == 0 || r.Jobs[1].Read.IOs == 0 {
		t.Fatalf("exit %d, %+v", r.ExitCode, r.Error)
	}
	if got, err := os.ReadFile(order); err != nil || string(got) != "before-first\nafter-first\nbefore-second\nafter-second\n" {
		t.Errorf("%v, commands ran in the order %q", err, got)
	}
	for _, name := range []string{"first.prerun.txt", "first.postrun.txt", "second.prerun.txt", "second.postrun.txt"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != "printed\ncomplained\n" {
			t.Errorf("%s: %v, %q", name, err, got)
		}
	}
	for _, what := range []string{"exec_prerun", "exec_postrun"} {
		if !slices.ContainsFunc(r.Jobs[0].Decisions, func(d report.Decision) bool { return d.What == what }) {
			t.Errorf("%s is not among the decisions %+v", what, r.Jobs[0].Decisions)
		}
	}
}

func TestCommandsThatFail(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	for _, waits := range []bool{false, true} {
		fine, bad := reader(dev, "fine", 100*time.Millisecond), reader(dev, "bad", 20*time.Second)
		bad.ExecPrerun, bad.ExecPostrun, fine.ExecPostrun = "exit 3", "echo never", "exit 4"
		if waits {
			bad.WaitFor = "fine"
		}
		dir := t.TempDir()
		r, err := Run(t.Context(), &workloads.Plan{Jobs: []workloads.Job{fine, bad}}, Options{DumpDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		valid(t, r)
		if r.ExitCode != fault.ExitEnvironment || r.Error == nil || r.Error.Code != "EXEC_PRERUN" || r.Jobs[0].Read.IOs == 0 {
			t.Errorf("exit %d, %+v", r.ExitCode, r.Error)
		}
		warned := false
		for _, w := range r.Warnings {
			warned = warned || w.Code == "EXEC_POSTRUN"
		}
		if _, err := os.Stat(filepath.Join(dir, "bad.postrun.txt")); !warned || !os.IsNotExist(err) {
			t.Errorf("warned %v; a job that never began had its postrun: %v", warned, err)
		}
	}
}

// What a command has started ends with the run.
func TestAnInterruptedCommandLeavesNothingRunning(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	dir := t.TempDir()
	j := reader(dev, "waits", 100*time.Millisecond)
	j.ExecPrerun = "sleep 100 & echo $! > " + filepath.Join(dir, "new") + "; mv " + filepath.Join(dir, "new") + " " + filepath.Join(dir, "pid") + "; wait"
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var pid string
	go func() {
		testlab.Eventually(10*time.Second, func() bool {
			text, err := os.ReadFile(filepath.Join(dir, "pid"))
			pid = strings.TrimSpace(string(text))
			return err == nil
		})
		interrupt()
	}()
	r, err := Run(ctx, &workloads.Plan{Jobs: []workloads.Job{j}}, Options{DumpDir: dir})
	if err != nil || r.ExitCode != fault.ExitInterrupted {
		t.Fatalf("%v, %+v", err, r)
	}
	ended := func() bool {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		return err != nil || strings.Contains(string(status), "\nState:\tZ")
	}
	if pid == "" || !testlab.Eventually(5*time.Second, ended) {
		t.Errorf("the command's process %q still runs", pid)
	}
}
