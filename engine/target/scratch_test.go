package target

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

func TestScratchIsWrittenAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, direct := range []bool{false, true} {
		target, err := Scratch(context.Background(), dir, 3<<20+1, direct)
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(3<<20 + 4096); target.SizeBytes() != want {
			t.Errorf("size = %d, want %d", target.SizeBytes(), want)
		}
		zeros, err := zeroBlocks(target)
		if err != nil || zeros != 0 {
			t.Errorf("%d blocks of zeros, %v", zeros, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("%s has %v", dir, entries)
		}
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file system may take long to allocate, and the process may be killed then: the name goes before.
func TestScratchHasNoNameWhileItIsAllocated(t *testing.T) {
	path := filepath.Join(testlab.Dir(t, true), "scratch")
	looks, named := 0, 0
	for range 5 { // the CPU may be taken away while there is a name
		made := make(chan error, 1)
		var o Opener
		go func() {
			target, err := o.createScratch(path, 256<<20, false)
			if err == nil {
				err = target.Close()
			}
			made <- err
		}()
		looks, named = 0, 0
		var err error
		for ended := false; !ended; looks++ {
			select {
			case err = <-made:
				ended = true
			default:
				if _, err := os.Lstat(path); err == nil {
					named++
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if named <= looks/2 {
			return
		}
	}
	t.Errorf("at %d of %d looks the file had a name", named, looks)
}

// zeroBlocks counts the 4 KiB blocks of a target that hold nothing but zeros.
func zeroBlocks(target *Target) (int, error) {
	data, err := os.ReadFile(filepath.Join("/proc/self/fd", strconv.Itoa(target.FD())))
	zero, count := make([]byte, 4096), 0
	for ; len(data) >= 4096; data = data[4096:] {
		if bytes.Equal(data[:4096], zero) {
			count++
		}
	}
	return count, err
}

func TestScratchStopsWhenInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Scratch(ctx, dir, 8<<20, false)
	wantFault(t, err, "INTERRUPTED", fault.ExitInterrupted)
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("%s has %v", dir, entries)
	}
}

func TestScratchWithoutRoom(t *testing.T) {
	_, err := Scratch(context.Background(), t.TempDir(), 1<<60, true)
	wantFault(t, err, "NO_SPACE", fault.ExitUsage)
	_, err = Scratch(context.Background(), filepath.Join(t.TempDir(), "absent"), 4096, true)
	wantFault(t, err, "NO_DIRECTORY", fault.ExitUsage)
}

func TestScratchDir(t *testing.T) {
	disk, memory := t.TempDir(), testlab.Dir(t, true)
	env := func(tmpdir string) func(string) string {
		return func(name string) string { return map[string]string{"TMPDIR": tmpdir}[name] }
	}
	onDisk := func() bool {
		dir, note, err := ScratchDir(env(disk), 1<<20)
		return err == nil && dir == disk && note == ""
	}
	if !onDisk() {
		t.Skipf("%s is in memory itself", disk)
	}
	if dir, note, err := ScratchDir(env(memory), 1<<20); err != nil || dir == memory || note != "" {
		t.Errorf("with $TMPDIR in memory: %s, %q, %v; want a directory on a device", dir, note, err)
	}
	if dir, _, err := ScratchDir(env(""), 1<<20); err != nil || !filepath.IsAbs(dir) {
		t.Errorf("without $TMPDIR: %s, %v", dir, err)
	}
	if entries, _ := os.ReadDir(disk); len(entries) != 0 {
		t.Errorf("choosing left %v behind", entries)
	}
	_, _, err := ScratchDir(env(disk), 1<<60)
	wantFault(t, err, "NO_SPACE", fault.ExitUsage)
}

func TestFillSaysWhatWentWrong(t *testing.T) {
	d := testlab.NewFaultDisk(t, 8<<20)
	target := mustOpen(t, &Opener{}, Spec{Path: d.Path, Access: ReadWrite, Overwrite: true})
	for errno, want := range map[syscall.Errno]struct {
		code string
		exit int
	}{
		syscall.ENOSPC: {"NO_SPACE", fault.ExitUsage},
		syscall.EIO:    {"FILL", fault.ExitIO},
	} {
		d.Inject(testlab.Fault{Op: testlab.Writes, Offset: 5 << 20, Errno: errno})
		wantFault(t, target.Fill(context.Background(), 0, 8<<20, nil), want.code, want.exit)
		d.Clear()
	}
	var told int64
	if err := target.Fill(context.Background(), 0, 8<<20, func(done int64) { told = done }); err != nil || told != 8<<20 {
		t.Errorf("told of %d bytes, %v", told, err)
	}
	stored := d.Bytes()
	if bytes.Equal(stored[:1<<20], stored[1<<20:2<<20]) {
		t.Error("two blocks hold the same")
	}
	reader := mustOpen(t, &Opener{}, Spec{Path: d.Path})
	if err := reader.Fill(context.Background(), 0, 4096, nil); err == nil {
		t.Error("a target opened for reading was filled")
	}
}
