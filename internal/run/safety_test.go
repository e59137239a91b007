package run

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
)

// runAsFio runs options as blkmeter fio does, and fails when that goes wrong in another way than by an error
// of Run.
func runAsFio(t *testing.T, args ...string) (*report.Result, error) {
	t.Helper()
	plan, _, err := fiojob.ParseArgs(append([]string{"--name=fio", "--bs=4k"}, args...), fiojob.ParseOptions{Fio: true})
	if err != nil {
		t.Fatal(err)
	}
	return Run(t.Context(), plan, Options{Overwrite: true, DumpDir: t.TempDir()})
}

func link(t *testing.T, to string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// What somebody uses or what holds data is not written to or trimmed in fio's clothes either, by whatever
// path it is named.
func TestFioModeWritesToNothingInUse(t *testing.T) {
	testlab.Require(t, "loop", "mount")
	used := map[string]*testlab.LoopDevice{}
	for _, name := range []string{"mounted", "swap", "signed"} {
		used[name] = testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, Tmpfs: true})
	}
	testlab.Mount(t, used["mounted"].Path)
	testlab.SwapOn(t, used["swap"].Path)
	testlab.Mkfs(t, used["signed"].Path)
	for name, dev := range used {
		paths := map[string]string{
			"itself": dev.Path, "a link": link(t, dev.Path), "another spelling": "/dev/./" + dev.Name,
		}
		if name != "signed" { // a file that is not in use is overwritten when it is named, as fio does
			paths["its backing file"] = dev.Backing
		}
		for by, path := range paths {
			for _, rw := range []string{"write", "randwrite", "randrw", "trim", "randtrim", "trimwrite"} {
				args := []string{"--filename=" + path, "--rw=" + rw, "--size=64k"}
				if name != "signed" {
					args = append(args, "--destroy="+filepath.Base(dev.Path), "--allow_mounted_write=1")
				}
				before, err := os.ReadFile(dev.Backing)
				if err != nil {
					t.Fatal(err)
				}
				_, err = runAsFio(t, args...)
				var e *fault.Error
				if !errors.As(err, &e) || e.Exit != fault.ExitRefused || e.Hint == "" {
					t.Errorf("%s by %s, rw=%s: %v", name, by, rw, err)
				}
				// What is in use changes by itself.
				if after, _ := os.ReadFile(dev.Backing); name == "signed" && !bytes.Equal(before, after) {
					t.Errorf("%s by %s, rw=%s: it was changed", name, by, rw)
				}
			}
		}
	}
}

func TestFioModeReadsChangeNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	content := bytes.Repeat([]byte("precious"), 1024)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range [][]string{
		{"--size=1m"},
		{"--size=1m", "--overwrite=1"},
		{"--size=1m", "--fallocate=none"},
		{"--size=1m", "--allow_file_create=0"},
		{"--size=4k"},
		{"--size=1m", "--create_only=1"},
		{"--filesize=1m"},
		{"--size=4k", "--unlink=1"},
		{"--size=4k", "--verify=md5"},
	} {
		for _, rw := range []string{"read", "randread"} {
			r, err := runAsFio(t, append(options, "--filename="+path, "--rw="+rw)...)
			if fits := options[0] == "--size=4k"; fits && err != nil || !fits && err == nil && r.ExitCode == 0 {
				t.Errorf("%v %s: %v", options, rw, err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
				t.Fatalf("%v %s: the file was changed: %v, %d bytes", options, rw, err, len(got))
			}
		}
	}
}

// Writing what was never written is writing, and a read job has no leave for that.
func TestFioModeFillsNoFileThatWasNotGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	content := bytes.Repeat([]byte("precious"), 1024)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := runAsFio(t, "--filename="+path, "--rw=read", "--fill"); fault.Of(err).Code != "REFUSED_EXISTS" {
		t.Errorf("filling a file that exists: %v, want REFUSED_EXISTS", err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(got, content) {
		t.Fatalf("the file was changed (%v)", err)
	}
}

// A write job that names a file overwrites it within its size, as scripts expect of fio, and never beyond.
func TestFioModeOverwritesWithinTheSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := runAsFio(t, "--filename="+path, "--rw=write", "--size=8k")
	if err != nil || r.ExitCode != 0 {
		t.Fatalf("%v", err)
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) != 64<<10 || bytes.Equal(data[:8<<10], make([]byte, 8<<10)) || !bytes.Equal(data[8<<10:], make([]byte, 56<<10)) {
		t.Errorf("%v, %d bytes", err, len(data))
	}
	if _, err := runAsFio(t, "--filename="+path, "--rw=write", "--size=1m"); err == nil {
		t.Error("a region beyond the file's end was taken")
	}
}

func TestFioModeMakesNothingUnderDev(t *testing.T) {
	const typo = "/dev/nvme9n9-of-a-test"
	for _, rw := range []string{"read", "randwrite", "trim"} {
		for _, path := range []string{typo, link(t, typo)} {
			if _, err := runAsFio(t, "--filename="+path, "--rw="+rw, "--size=1m"); err == nil {
				t.Errorf("rw=%s on %s went through", rw, path)
			}
			if _, err := os.Lstat(typo); !errors.Is(err, os.ErrNotExist) {
				os.Remove(typo)
				t.Fatalf("rw=%s made %s", rw, typo)
			}
		}
	}
}

// fio's exit code is the number of failed jobs modulo 256.
func TestNoNumberOfFailuresIsZero(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
	if err := os.Truncate(dev.Backing, 0); err != nil {
		t.Fatal(err)
	}
	j := job(dev.Path, "psync", workloads.RWRead)
	j.NumJobs = 256
	r := do(t, j)
	failed := 0
	for _, w := range r.Jobs[0].Workers {
		if w.Error != nil {
			failed++
		}
	}
	if r.ExitCode != fault.ExitIO || failed != 256 {
		t.Errorf("exit %d with %d failed workers", r.ExitCode, failed)
	}
}

// A run that does not start leaves no files behind: with its mistake put right they would be of the wrong size.
func TestARunThatDoesNotStartLeavesNoFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := runAsFio(t, "--directory="+dir, "--rw=write", "--size=64k", "--name=does-not", "--directory="+dir, "--rw=write", "--size=64k", "--offset=50%")
	if fault.Of(err).Code != "SIZE_BEYOND_END" {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
