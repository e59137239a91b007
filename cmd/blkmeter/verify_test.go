package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// A run that writes at random over what it wrote, many I/Os at a time, is cut: what it saved tells a later run
// what is on the device, whatever it was about to do.
func TestACutRunCanBeVerified(t *testing.T) {
	for _, c := range []struct {
		signal     syscall.Signal
		engine, rw string
		exit       int
	}{
		{syscall.SIGINT, "io_uring", "randwrite", fault.ExitInterrupted},
		{syscall.SIGINT, "libaio", "randrw", fault.ExitInterrupted},
		{syscall.SIGKILL, "io_uring", "randwrite", -1},
		{syscall.SIGKILL, "libaio", "randwrite", -1},
		{syscall.SIGKILL, "psync", "randtrimwrite", -1},
	} {
		t.Run(c.signal.String()+" "+c.engine, func(t *testing.T) {
			dir := t.TempDir()
			dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 8 << 20, DirectIO: true, Tmpfs: true})
			job := []string{
				"run", "--name=cut", "--filename=" + dev.Path, "--rw=" + c.rw, "--bssplit=4k/50:8k/30:32k/20", "--norandommap", "--iodepth=32",
				"--ioengine=" + c.engine, "--numjobs=2", "--verify=crc32c", "--aux-path=" + dir, "--output-format=json",
			}
			before := readDiskStat(t, dev.Name).writes
			p := start(t, nil, append(job, "--destroy="+dev.Name, "--runtime=1h", "--time_based", "--verify_state_save=1")...)
			if !testlab.Eventually(30*time.Second, func() bool { return readDiskStat(t, dev.Name).writes > before+3000 }) {
				t.Fatalf("no load on the device; stderr: %s", &p.stderr)
			}
			if err := p.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			if exit := p.end(t); exit != c.exit {
				t.Errorf("exit code %d, want %d; stderr: %s", exit, c.exit, &p.stderr)
			}
			if !testlab.Eventually(10*time.Second, func() bool { return readDiskStat(t, dev.Name).inFlight == 0 }) {
				t.Fatal("I/O is still in flight")
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 || filepath.Base(left[0]) != "local-cut-0-verify.state" {
				t.Errorf("the run left %v, %v", left, err)
			}
			check := append(job, "--verify_only", "--verify_state_load=1", "--verify_dump=1")
			wantVerified(t, check, fault.ExitDone)

			// A block that was written long ago is not what it was.
			backing, err := os.OpenFile(dev.Backing, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer backing.Close()
			if _, err := backing.WriteAt(make([]byte, 1<<20), 4<<20); err != nil {
				t.Fatal(err)
			}
			if c.rw != "randtrimwrite" {
				wantVerified(t, check, fault.ExitVerify)
			}
		})
	}
}

// wantVerified runs a job that checks blocks.
func wantVerified(t *testing.T, args []string, exit int) {
	t.Helper()
	p := start(t, nil, args...)
	if got := p.end(t); got != exit {
		t.Fatalf("exit code %d, want %d; stderr: %s\n%s", got, exit, &p.stderr, &p.stdout)
	}
	doc, err := validResult(p.stdout.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if blocks, err := lookUp(doc, "jobs.0.verify.blocks"); err != nil || blocks.(float64) < 500 {
		t.Errorf("%v blocks were checked, %v", blocks, err)
	}
	wrong, err := lookUp(doc, "jobs.0.verify.mismatched")
	if err != nil || (wrong.(float64) > 0) != (exit == fault.ExitVerify) {
		t.Errorf("%v blocks are wrong, %v", wrong, err)
	}
}
