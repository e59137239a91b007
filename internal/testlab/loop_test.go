package testlab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
)

func TestLoopHasTheGeometryAskedFor(t *testing.T) {
	for name, o := range map[string]LoopOptions{
		"defaults":        {},
		"4096 on tmpfs":   {SectorBytes: 4096, Tmpfs: true, SizeBytes: 8 << 20},
		"direct":          {DirectIO: true, SizeBytes: 1 << 20},
		"read only":       {ReadOnly: true},
		"direct 4096 tmp": {DirectIO: true, SectorBytes: 4096, Tmpfs: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := Loop(t, o)
			f, err := blk.Open(d.Path, blk.Flags{Direct: true})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			fd := int(f.Fd())
			wantSector, wantSize := max(o.SectorBytes, 512), o.SizeBytes
			if wantSize == 0 {
				wantSize = 64 << 20
			}
			if got, err := blk.LogicalBlockBytes(fd); err != nil || got != wantSector {
				t.Errorf("logical block = %d, %v; want %d", got, err, wantSector)
			}
			if got, err := blk.SizeBytes(fd); err != nil || got != wantSize {
				t.Errorf("size = %d, %v; want %d", got, err, wantSize)
			}
			if got, err := blk.ReadOnly(fd); err != nil || got != o.ReadOnly {
				t.Errorf("read only = %v, %v; want %v", got, err, o.ReadOnly)
			}
			status, err := blk.LoopInfo(fd)
			if err != nil || status.DirectIO != o.DirectIO {
				t.Errorf("status = %+v, %v; want direct I/O %v", status, err, o.DirectIO)
			}
			backing, err := blk.Stat(d.Backing)
			if err != nil || backing.ID != status.Backing {
				t.Errorf("backing file is %v, %v; the device says %v", backing.ID, err, status.Backing)
			}
		})
	}
}

func TestLoopIsGoneAfterTheTest(t *testing.T) {
	var d *LoopDevice
	t.Run("inner", func(t *testing.T) { d = Loop(t, LoopOptions{Tmpfs: true}) })
	if d == nil {
		t.Skip("the inner test had no loop device")
	}
	if d.attached() {
		t.Errorf("%s is still attached", d.Path)
	}
	if _, err := os.Stat(d.Backing); !os.IsNotExist(err) {
		t.Errorf("backing file still there: %v", err)
	}
}

// attachAndWait is the environment variable that makes the test below a program that attaches a loop device over
// the file it names, says which, and waits to be killed.
const attachAndWait = "TESTLAB_ATTACH_AND_WAIT"

func TestLoopIsGoneWhenTheTestIsKilled(t *testing.T) {
	if backing := os.Getenv(attachAndWait); backing != "" {
		fmt.Println(Loop(t, LoopOptions{Backing: backing}).Name)
		select {}
	}
	Require(t, "loop")
	backing := backingFile(t, LoopOptions{Tmpfs: true})
	cmd := exec.Command(os.Args[0], "-test.run=^TestLoopIsGoneWhenTheTestIsKilled$")
	cmd.Env = append(os.Environ(), attachAndWait+"="+backing)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	name, err := bufio.NewReader(out).ReadString('\n')
	d := &LoopDevice{Name: strings.TrimSpace(name), Backing: backing}
	if err != nil || !d.attached() {
		t.Errorf("the child said %q, %v, and has no loop device", name, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the killed child ended well")
	}
	if !Eventually(5*time.Second, func() bool { return !d.attached() }) {
		t.Errorf("%s outlived the test that made it", d.Name)
	}
}

func TestEventually(t *testing.T) {
	calls := 0
	if !Eventually(time.Second, func() bool { calls++; return calls == 3 }) || calls != 3 {
		t.Errorf("did not stop at the first true answer: %d calls", calls)
	}
	if Eventually(5*time.Millisecond, func() bool { return false }) {
		t.Error("a condition that never holds came true")
	}
}
