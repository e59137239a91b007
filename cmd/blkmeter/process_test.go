package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// process is a blkmeter that runs on its own, so that it can be sent signals.
type process struct {
	*testlab.Program
	stdout, stderr bytes.Buffer
}

// start starts blkmeter; it is killed when the test ends.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{Program: blkmeter(t, args...)}
	p.Env = append(os.Environ(), env...)
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Wait() }) // collected already, unless the test failed before
	return p
}

// end waits for the process and returns its exit code, -1 when a signal killed it.
func (p *process) end(t *testing.T) int {
	t.Helper()
	var exit *exec.ExitError
	err := p.Wait()
	if p.Hung() {
		t.Fatalf("%q hung: %s", p.Args, &p.stderr)
	}
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

// diskStat is what /sys/block/NAME/stat counts (Documentation/block/stat.rst).
type diskStat struct{ reads, writes, inFlight int64 }

func readDiskStat(t *testing.T, name string) diskStat {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/block", name, "stat"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	number := func(i int) int64 {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return diskStat{reads: number(0), writes: number(4), inFlight: number(8)}
}

// Every way to end a run from outside: a signal that can be caught gives a valid partial Result and exit code
// 130; one that cannot leaves no I/O behind either.
func TestSignalsEndARun(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		engine string
		exit   int
	}{
		{syscall.SIGINT, "io_uring", fault.ExitInterrupted},
		{syscall.SIGTERM, "libaio", fault.ExitInterrupted},
		{syscall.SIGHUP, "psync", fault.ExitInterrupted},
		{syscall.SIGKILL, "io_uring", -1},
		{syscall.SIGKILL, "psync", -1},
	} {
		t.Run(c.signal.String()+" "+c.engine, func(t *testing.T) {
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 8 << 20, DirectIO: true, Tmpfs: true})
			before := readDiskStat(t, dev.Name).reads
			p := start(t, nil, "run", "--filename="+dev.Path, "--rw=randread", "--bs=4k", "--iodepth=8", "--ioengine="+c.engine,
				"--numjobs=2", "--runtime=1h", "--time_based", "--output-format=json")
			if !testlab.Eventually(30*time.Second, func() bool { return readDiskStat(t, dev.Name).reads > before+1000 }) {
				t.Fatalf("no load on the device; stderr: %s", &p.stderr)
			}
			if err := p.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			if exit := p.end(t); exit != c.exit {
				t.Errorf("exit code %d, want %d; stderr: %s", exit, c.exit, &p.stderr)
			}
			if !testlab.Eventually(10*time.Second, func() bool { return readDiskStat(t, dev.Name).inFlight == 0 }) {
				t.Errorf("I/O is still in flight: %+v", readDiskStat(t, dev.Name))
			}
			if c.signal == syscall.SIGKILL {
				if p.stdout.Len() != 0 {
					t.Errorf("a killed process wrote %d bytes to stdout", p.stdout.Len())
				}
				return
			}
			doc, err := validResult(p.stdout.Bytes())
			if err != nil {
				t.Fatalf("the partial Result: %v", err)
			}
			for path, want := range map[string]any{"status": "interrupted", "exit_code": 130.0, "error.code": "INTERRUPTED"} {
				if got, err := lookUp(doc, path); err != nil || got != want {
					t.Errorf("%s is %v, %v; want %v", path, got, err, want)
				}
			}
			if ios, err := lookUp(doc, "jobs.0.read.ios"); err != nil || ios.(float64) < 1000 {
				t.Errorf("%v I/Os in the Result, %v; the device saw more than 1000", ios, err)
			}
		})
	}
}

// Whoever reads the documents may go away: the run ends in silence, and the device has its settings back.
func TestAReaderThatGoesAwayEndsARun(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 8 << 20, DirectIO: true, Tmpfs: true})
	setting := filepath.Join("/sys/block", dev.Name, "queue/nr_requests")
	before, err := os.ReadFile(setting)
	if err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	p := blkmeter(t, "run", "--filename="+dev.Path, "--rw=randread", "--set=nr_requests=32", "--runtime=1h", "--time_based",
		"--status-interval=1", "--output-format=json")
	var stderr bytes.Buffer
	p.Stdout, p.Stderr = writer, &stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Wait(); p.Hung() || p.ProcessState.ExitCode() != fault.ExitNoReader || stderr.Len() != 0 {
		t.Errorf("%v, stderr %q", err, &stderr)
	}
	if after, err := os.ReadFile(setting); err != nil || !bytes.Equal(after, before) {
		t.Errorf("nr_requests is %s instead of %s, %v", after, before, err)
	}
}

// While the process is stopped for a second, as a machine that swaps or migrates may stop it, arrivals of a paced
// job go on: their response times show the stop at its true size, which latencies from start to completion
// cannot.
func TestAStoppedProcessShowsInTheResponseTimes(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 8 << 20, DirectIO: true, Tmpfs: true})
	testlab.Undisturbed(t, func() string { return stopAndLook(t, dev) })
}

// stopAndLook says what is wrong with the figures of a process that was stopped for a second.
func stopAndLook(t *testing.T, dev *testlab.LoopDevice) string {
	t.Helper()
	const rate = 500
	before := readDiskStat(t, dev.Name).reads
	p := start(t, nil, "run", "--filename="+dev.Path, "--rw=randread", "--bs=4k", "--iodepth=8", "--ioengine=io_uring",
		fmt.Sprintf("--rate_iops=%d", rate), "--runtime=3s", "--time_based", "--output-format=json")
	if !testlab.Eventually(30*time.Second, func() bool { return readDiskStat(t, dev.Name).reads > before+100 }) {
		t.Fatalf("no load on the device; stderr: %s", &p.stderr)
	}
	stopped := time.Now()
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	testlab.Eventually(time.Second, func() bool { return false })
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	frozen := float64(time.Since(stopped))
	if exit := p.end(t); exit != 0 {
		t.Fatalf("exit code %d; stderr: %s", exit, &p.stderr)
	}
	doc, err := validResult(p.stdout.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	figure := func(path string) float64 {
		v, err := lookUp(doc, path)
		if err != nil {
			t.Fatal(err)
		}
		return v.(float64)
	}
	// A busy machine adds waiting of its own, and takes none away.
	if longest := figure("jobs.0.read.response.max_ns"); longest < 0.95*frozen || longest > 1.2*frozen+1e8 {
		return fmt.Sprintf("the longest response took %.0f ms, the process was stopped for %.0f", longest/1e6, frozen/1e6)
	}
	if n := figure("jobs.0.read.ios"); n < 0.98*3*rate {
		return fmt.Sprintf("%v of %d arrivals were carried out", n, 3*rate)
	}
	if late := figure("jobs.0.late_arrivals"); late < 0.9*frozen/1e9*rate {
		return fmt.Sprintf("%v late arrivals, %v were due meanwhile", late, frozen/1e9*rate)
	}
	if response, lat := figure("jobs.0.read.response.mean_ns"), figure("jobs.0.read.lat.mean_ns"); response < 10*lat {
		return fmt.Sprintf("a mean response of %.0f us and a mean latency of %.0f us", response/1e3, lat/1e3)
	}
	return ""
}

// The main job's scratch file has no name from the start, so that its space comes back however the process
// ends, even while it is being written.
func TestAKilledMainJobLeavesNoFile(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			dir := t.TempDir()
			p := start(t, []string{"TMPDIR=" + dir}, "run")
			opened := func() bool { return holdsScratch(p.Process.Pid, dir) }
			if !testlab.Eventually(30*time.Second, opened) {
				t.Fatalf("no scratch file was opened in %s; stderr: %s", dir, &p.stderr)
			}
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if exit := p.end(t); exit != fault.ExitInterrupted && signal == syscall.SIGINT {
				t.Errorf("exit code %d, want %d; stderr: %s", exit, fault.ExitInterrupted, &p.stderr)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("left in the scratch directory: %v, %v", left, err)
			}
		})
	}
}

// holdsScratch says whether the process has a scratch file of dir open that has no name any more.
func holdsScratch(pid int, dir string) bool {
	fds := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(fds)
	if err != nil {
		return false
	}
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(fds, e.Name()))
		if err == nil && strings.HasPrefix(to, filepath.Join(dir, "blkmeter-scratch-")) && strings.HasSuffix(to, " (deleted)") {
			return true
		}
	}
	return false
}

// A user who is not root measures what belongs to that user, and is told what to do about the rest.
func TestAnOrdinaryUser(t *testing.T) {
	testlab.Require(t, "root") // to become another user, and to own what that user may not read
	const nobody = 65534
	dir := filepath.Join(os.TempDir(), "blkmeter-user-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	secret, own := filepath.Join(dir, "secret"), filepath.Join(dir, "own")
	for path, uid := range map[string]int{secret: 0, own: nobody, dir: nobody} {
		if path != dir {
			if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path, code string
		exit       int
	}{
		{secret, "TARGET_PERMISSION", fault.ExitEnvironment},
		{own, "", fault.ExitDone},
	} {
		p := &process{Program: blkmeter(t, "run", "--filename="+c.path, "--rw=read", "--bs=64k", "--output-format=json")}
		p.Path = "/proc/self/exe" // which nobody may execute, wherever the binary is
		p.Env = []string{"PATH=" + os.Getenv("PATH")}
		p.Dir = "/"
		p.Stdout, p.Stderr = &p.stdout, &p.stderr
		p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if exit := p.end(t); exit != c.exit || !strings.Contains(p.stderr.String(), c.code) {
			t.Errorf("%s: exit code %d, want %d with %q; stderr: %s", c.path, exit, c.exit, c.code, &p.stderr)
		}
		if _, err := validResult(p.stdout.Bytes()); (err == nil) != (c.exit == fault.ExitDone) {
			t.Errorf("%s: the Result: %v", c.path, err)
		}
	}
}
