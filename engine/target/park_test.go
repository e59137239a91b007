package target

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

func TestParkedFilesHaveNoDescriptor(t *testing.T) {
	path, content := writeFile(t, 8192)
	var o Opener
	one, two := mustOpen(t, &o, Spec{Path: path}), mustOpen(t, &o, Spec{Path: path})
	if err := one.Park(); err != nil || one.FD() != -1 || two.FD() < 0 {
		t.Fatalf("%v: descriptors %d and %d", err, one.FD(), two.FD())
	}
	if w := one.Written(0, 8192); !w.Known || one.FD() != -1 {
		t.Errorf("what was written to a parked file: %+v, descriptor %d", w, one.FD())
	}
	if err := one.Unpark(); err != nil || one.FD() < 0 || one.FD() == two.FD() {
		t.Fatalf("%v: descriptors %d and %d", err, one.FD(), two.FD())
	}
	buf := make([]byte, len(content))
	if n, err := one.handle.file.ReadAt(buf, 0); err != nil || string(buf) != string(content) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestAnotherFileAtTheSamePathIsNotOpened(t *testing.T) {
	path, _ := writeFile(t, 8192)
	target := mustOpen(t, &Opener{}, Spec{Path: path, Access: ReadWrite, Overwrite: true})
	if err := target.Park(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFault(t, target.Unpark(), "REFUSED_CHANGED", fault.ExitRefused)
}

func TestADeviceStaysOpen(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 1 << 20})
	target := mustOpen(t, &Opener{}, Spec{Path: dev.Path, Access: ReadWrite, Destroy: []string{filepath.Base(dev.Path)}})
	if err := target.Park(); err != nil || target.FD() < 0 || !target.Exclusive() {
		t.Errorf("%v: descriptor %d, exclusive %v", err, target.FD(), target.Exclusive())
	}
}

func TestPlannedFilesAreMadeWhenTheyAreOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var o Opener
	spec := Spec{Path: path, Access: ReadWrite, Create: true, Later: true, SizeBytes: 1 << 20}
	one, two := mustOpen(t, &o, spec), mustOpen(t, &o, spec)
	if _, err := os.Stat(path); err == nil || !one.Planned() || one.SizeBytes() != 1<<20 || one.FD() != -1 {
		t.Fatalf("%v: %+v", err, one)
	}
	if err := one.Unpark(); err != nil {
		t.Fatal(err)
	}
	if err := two.Unpark(); err != nil {
		t.Fatalf("the file that another worker made: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 || one.Planned() || !one.Created() {
		t.Errorf("%v: %+v, planned %v", err, info, one.Planned())
	}
	if err := one.Park(); err != nil {
		t.Fatal(err)
	}
	if err := one.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file that was made is left: %v", err)
	}
}

func TestAPlannedFileTakesNothingOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	target := mustOpen(t, &Opener{}, Spec{Path: path, Access: ReadWrite, Create: true, Later: true, SizeBytes: 1 << 20})
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFault(t, target.Unpark(), "REFUSED_CHANGED", fault.ExitRefused)
	if _, err := (&Opener{}).Open(Spec{Path: "/dev/blkmeter-of-a-test", Create: true, Later: true, SizeBytes: 1}); fault.Of(err).Code != "REFUSED_UNDER_DEV" {
		t.Errorf("a planned file under /dev: %v", err)
	}
}
