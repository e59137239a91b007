package target

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/testlab"
)

// wantWritten checks a share, exactly unless it was sampled.
func wantWritten(t *testing.T, w Written, percent float64, how string) {
	t.Helper()
	slack := 0.01
	if w.Sampled {
		slack = 10
	}
	if !w.Known || math.Abs(w.Percent-percent) > slack || !strings.Contains(w.How, how) {
		t.Errorf("written = %+v, want %v %% by %q", w, percent, how)
	}
}

func TestWrittenOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	target := mustOpen(t, &Opener{}, Spec{Path: path, Access: ReadWrite, Create: true, SizeBytes: 8 << 20})
	wantWritten(t, target.Written(0, 8<<20), 0, "extent map")
	if err := target.Fill(context.Background(), 2<<20, 2<<20, nil); err != nil {
		t.Fatal(err)
	}
	wantWritten(t, target.Written(0, 8<<20), 25, "extent map")
	wantWritten(t, target.Written(2<<20, 2<<20), 100, "extent map")
	wantWritten(t, target.Written(4<<20, 100<<20), 0, "extent map")
	if w := target.Written(8<<20, 1); w.Known {
		t.Errorf("beyond the end: %+v", w)
	}
}

func TestWrittenOfATmpfsFile(t *testing.T) {
	path := filepath.Join(testlab.Dir(t, true), "sparse")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4<<20); err != nil {
		t.Fatal(err)
	}
	wantWritten(t, mustOpen(t, &Opener{}, Spec{Path: path}).Written(0, 4<<20), 25, "extent map")
}

func TestWrittenOfALoopDevice(t *testing.T) {
	for _, tmpfs := range []bool{true, false} {
		d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: tmpfs, SizeBytes: 16 << 20, DirectIO: true})
		target := mustOpen(t, &Opener{}, Spec{Path: d.Path, Access: ReadWrite, Direct: true, Destroy: []string{d.Name}})
		wantWritten(t, target.Written(0, 16<<20), 0, "extent map of "+d.Backing)
		if err := target.Fill(context.Background(), 0, 4<<20, nil); err != nil {
			t.Fatal(err)
		}
		wantWritten(t, target.Written(0, 16<<20), 25, "extent map of "+d.Backing)
		wantWritten(t, target.Written(4<<20, 4<<20), 0, "extent map of "+d.Backing)
	}
}

func TestWrittenOfAPartitionOfALoopDevice(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true, SizeBytes: 16 << 20})
	part := partition(t, d, 1, 4<<20, 8<<20)
	whole := mustOpen(t, &Opener{}, Spec{Path: d.Path, Access: ReadWrite, Direct: true, Destroy: []string{d.Name}})
	if err := whole.Fill(context.Background(), 0, 6<<20, nil); err != nil {
		t.Fatal(err)
	}
	wantWritten(t, mustOpen(t, &Opener{}, Spec{Path: part}).Written(0, 8<<20), 25, "extent map")
}

// A loop device whose file has lost its name can only be sampled, as any other device.
func TestWrittenBySampling(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true, SizeBytes: 64 << 20})
	target := mustOpen(t, &Opener{}, Spec{Path: d.Path, Access: ReadWrite, Direct: true, Destroy: []string{d.Name}})
	if err := target.Fill(context.Background(), 32<<20, 32<<20, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.Backing); err != nil {
		t.Fatal(err)
	}
	wantWritten(t, target.Written(0, 64<<20), 50, "a sample of")
	wantWritten(t, target.Written(32<<20, 32<<20), 100, "a sample of")
	wantWritten(t, target.Written(0, 32<<20), 0, "a sample of")
}

func TestNullTargetKnowsNothing(t *testing.T) {
	target := Null(1 << 30)
	if w := target.Written(0, 1<<30); w.Known {
		t.Errorf("written = %+v", w)
	}
	if target.FD() != -1 || target.Kind() != NoIO || target.SizeBytes() != 1<<30 || !target.NoWait() {
		t.Errorf("target = %+v", target)
	}
	if err := target.CheckIO(IO{Offset: 0, Size: 1 << 30, Blocks: []int64{513}}); err != nil {
		t.Error(err)
	}
	if err := target.Close(); err != nil {
		t.Error(err)
	}
}
