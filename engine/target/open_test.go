package target

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// wantFault checks the code and exit code that an error leads to.
func wantFault(t *testing.T, err error, code string, exit int) *fault.Error {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("error = %v, want a fault with code %s", err, code)
	}
	if f.Code != code || f.Exit != exit {
		t.Fatalf("error = %s (exit %d): %v; want %s (exit %d)", f.Code, f.Exit, f, code, exit)
	}
	return f
}

// writeFile makes a file of size bytes of text.
func writeFile(t *testing.T, size int) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	content = bytes.Repeat([]byte("blkmeter"), size/8)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// mustOpen opens a target and closes it when the test ends.
func mustOpen(t *testing.T, o *Opener, spec Spec) *Target {
	t.Helper()
	target, err := o.Open(spec)
	if err != nil {
		t.Fatalf("open %+v: %v", spec, err)
	}
	t.Cleanup(func() {
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	})
	return target
}

func TestOpenFileForReading(t *testing.T) {
	path, content := writeFile(t, 8192)
	target := mustOpen(t, &Opener{}, Spec{Path: path})
	if target.Kind() != File || target.SizeBytes() != 8192 || target.Writable() || target.Created() || target.OffsetAlign() != 1 {
		t.Errorf("target = %+v", target)
	}
	if _, err := target.handle.file.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a target opened for reading took a write")
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, content) {
		t.Error("reading changed the file")
	}
}

func TestFilesNeedTheUsersWord(t *testing.T) {
	path, _ := writeFile(t, 8192)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spec    Spec
		refused bool
	}{
		"plain":               {Spec{Path: path, Access: ReadWrite}, true},
		"named":               {Spec{Path: path, Access: ReadWrite, Destroy: []string{"file"}}, false},
		"named wrongly":       {Spec{Path: path, Access: ReadWrite, Destroy: []string{"other"}}, true},
		"named by path":       {Spec{Path: path, Access: ReadWrite, Destroy: []string{path}}, true},
		"link, named as file": {Spec{Path: link, Access: ReadWrite, Destroy: []string{"file"}}, false},
		"link, named as link": {Spec{Path: link, Access: ReadWrite, Destroy: []string{"file.link"}}, true},
		"fio's way":           {Spec{Path: path, Access: ReadWrite, Overwrite: true}, false},
		"create, but exists":  {Spec{Path: path, Access: ReadWrite, Create: true, SizeBytes: 4096}, true},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := Open(c.spec)
			if c.refused {
				wantFault(t, err, "REFUSED_EXISTS", fault.ExitRefused)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := target.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatIsNoTarget(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data.img"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spec       Spec
		code, hint string
		exit       int
	}{
		"missing":         {Spec{Path: filepath.Join(dir, "data.imf")}, "TARGET_MISSING", "did you mean " + filepath.Join(dir, "data.img"), 1},
		"missing device":  {Spec{Path: "/dev/nvme99n77"}, "TARGET_MISSING", "blkmeter devices", 1},
		"under a file":    {Spec{Path: filepath.Join(dir, "data.img", "x")}, "TARGET_MISSING", "", 1},
		"directory":       {Spec{Path: dir}, "TARGET_IS_DIRECTORY", "", 1},
		"kernel switch":   {Spec{Path: "/proc/sys/kernel/hostname", Access: ReadWrite, Destroy: []string{"hostname"}}, "TARGET_KIND", "", 1},
		"attribute":       {Spec{Path: "/sys/kernel/mm/transparent_hugepage/enabled", Access: ReadWrite, Overwrite: true}, "TARGET_KIND", "", 1},
		"null device":     {Spec{Path: "/dev/null"}, "TARGET_IS_CHARACTER", "--ioengine=null", 1},
		"new under /dev":  {Spec{Path: "/dev/blkmeter-typo", Access: ReadWrite, Create: true, SizeBytes: 4096}, "REFUSED_UNDER_DEV", "", 2},
		"new without dir": {Spec{Path: filepath.Join(dir, "no/file"), Access: ReadWrite, Create: true, SizeBytes: 4096}, "TARGET_MISSING", "", 1},
		"new, no size":    {Spec{Path: filepath.Join(dir, "new"), Access: ReadWrite, Create: true}, "NO_SIZE", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(c.spec)
			f := wantFault(t, err, c.code, c.exit)
			if !strings.Contains(f.Hint, c.hint) {
				t.Errorf("hint = %q, want it to contain %q", f.Hint, c.hint)
			}
			if _, err := os.Lstat("/dev/blkmeter-typo"); !errors.Is(err, fs.ErrNotExist) {
				t.Error("something was made under /dev")
			}
		})
	}
}

func TestCreatedFileIsSharedAndRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	o := &Opener{}
	spec := Spec{Path: path, Access: ReadWrite, Create: true, SizeBytes: 1 << 20}
	first, second := mustOpen(t, o, spec), mustOpen(t, o, spec)
	if first.FD() != second.FD() || !first.Created() || !second.Created() {
		t.Errorf("descriptors %d and %d, created %v and %v", first.FD(), second.FD(), first.Created(), second.Created())
	}
	if first.SizeBytes() != 1<<20 {
		t.Errorf("size = %d", first.SizeBytes())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.handle.file.WriteAt([]byte("x"), 0); err != nil {
		t.Errorf("the second target lost its descriptor with the first: %v", err)
	}
	if err := second.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestRemoveDeletesNothingElse(t *testing.T) {
	path, content := writeFile(t, 4096)
	target := mustOpen(t, &Opener{}, Spec{Path: path, Access: ReadWrite, Destroy: []string{"file"}})
	if err := target.Remove(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
		t.Errorf("a file that the user gave was touched: %v", err)
	}
}

func TestLoopDeviceIsClaimedAndShared(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true, SectorBytes: 4096})
	o := &Opener{}
	spec := Spec{Path: d.Path, Access: ReadWrite, Direct: true, Destroy: []string{d.Name}}
	first := mustOpen(t, o, spec)
	second := mustOpen(t, o, spec)
	buffered := spec
	buffered.Direct = false
	third := mustOpen(t, o, buffered)
	reader := mustOpen(t, o, Spec{Path: d.Path, Direct: true})
	if first.FD() != second.FD() || first.FD() == third.FD() || first.FD() == reader.FD() {
		t.Errorf("descriptors: %d %d %d %d", first.FD(), second.FD(), third.FD(), reader.FD())
	}
	if !first.Exclusive() || !third.Exclusive() || reader.Exclusive() {
		t.Error("exclusive is not as opened")
	}
	if first.Kind() != Block || first.LogicalBytes() != 4096 || first.OffsetAlign() != 4096 || first.SizeBytes() != 64<<20 {
		t.Errorf("kind %s, logical %d, offset alignment %d, size %d", first.Kind(), first.LogicalBytes(), first.OffsetAlign(), first.SizeBytes())
	}
	if _, err := Open(spec); err == nil {
		t.Fatal("another run could claim the device too")
	} else {
		wantFault(t, err, "REFUSED_IN_USE", fault.ExitRefused)
	}
	for _, target := range []*Target{first, second, third} {
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	}
	mustOpen(t, &Opener{}, spec)
}

func TestLoopDeviceNeedsTheUsersWord(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	_, err := Open(Spec{Path: d.Path, Access: ReadWrite})
	f := wantFault(t, err, "REFUSED_EXISTS", fault.ExitRefused)
	if !strings.Contains(f.Hint, "--destroy="+d.Name) {
		t.Errorf("hint = %q", f.Hint)
	}
}

func TestReadOnlyDevice(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true, ReadOnly: true})
	_, err := Open(Spec{Path: d.Path, Access: ReadWrite, Destroy: []string{d.Name}})
	wantFault(t, err, "TARGET_READ_ONLY", fault.ExitUsage)
	mustOpen(t, &Opener{}, Spec{Path: d.Path, Direct: true})
}

func TestCheckIO(t *testing.T) {
	direct := &Target{path: "/dev/x", size: 1 << 20}
	direct.align.Offset = 4096
	buffered := &Target{path: "/dev/x", size: 1<<20 + 100}
	buffered.align.Offset = 1
	for name, c := range map[string]struct {
		target *Target
		io     IO
		code   string
	}{
		"whole":             {direct, IO{0, 1 << 20, []int64{4096, 65536}}, ""},
		"tail":              {direct, IO{1<<20 - 4096, 4096, []int64{4096}}, ""},
		"beyond":            {direct, IO{0, 1<<20 + 4096, []int64{4096}}, "BEYOND_TARGET"},
		"ends beyond":       {direct, IO{4096, 1 << 20, []int64{4096}}, "BEYOND_TARGET"},
		"starts beyond":     {direct, IO{1 << 20, 0, nil}, "BEYOND_TARGET"},
		"offset overflow":   {direct, IO{4096, 1<<63 - 1, nil}, "BEYOND_TARGET"},
		"negative":          {direct, IO{-4096, 4096, nil}, "BAD_REGION"},
		"half a block":      {direct, IO{0, 1 << 20, []int64{512}}, "BAD_ALIGNMENT"},
		"odd offset":        {direct, IO{512, 8192, []int64{4096}}, "BAD_ALIGNMENT"},
		"block over region": {direct, IO{0, 4096, []int64{8192}}, "BLOCK_TOO_LARGE"},
		"buffered odd":      {buffered, IO{3, 1 << 20, []int64{1000}}, ""},
		"empty":             {&Target{path: "/x"}, IO{0, 0, nil}, "TARGET_EMPTY"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.target.CheckIO(c.io)
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantFault(t, err, c.code, fault.ExitUsage)
		})
	}
}

// TestOpenersAreShared opens and closes one device from many goroutines: in the end it must be free.
func TestOpenersAreShared(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	o := &Opener{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				target, err := o.Open(Spec{Path: d.Path, Access: Access(i % 2), Direct: i%4 < 2, Destroy: []string{d.Name}})
				if err != nil {
					t.Error(err)
					return
				}
				if target.SizeBytes() != 64<<20 || target.Writable() != (i%2 == 1) {
					t.Errorf("target = %+v", target)
				}
				if err := errors.Join(target.Close(), target.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(o.handles) != 0 || len(o.claims) != 0 {
		t.Errorf("%d descriptors and %d claims are left", len(o.handles), len(o.claims))
	}
	mustOpen(t, &Opener{}, Spec{Path: d.Path, Access: ReadWrite, Destroy: []string{d.Name}})
}
