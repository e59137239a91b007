package target

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// partition makes partition number of a loop device and deletes it when the test ends.
func partition(t *testing.T, d *testlab.LoopDevice, number int, start, length int64) (path string) {
	t.Helper()
	f, err := blk.Open(d.Path, blk.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := blk.AddPartition(int(f.Fd()), number, start, length); err != nil {
		t.Skipf("this kernel makes no partitions on loop devices: %v", err)
	}
	t.Cleanup(func() {
		f, err := blk.Open(d.Path, blk.Flags{})
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if err := blk.DeletePartition(int(f.Fd()), number); err != nil {
			t.Error(err)
		}
	})
	return d.Path + "p" + strconv.Itoa(number)
}

// wantInUse checks that writing to path is refused although it is named.
func wantInUse(t *testing.T, path, reason string) {
	t.Helper()
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	target, err := Open(Spec{Path: path, Access: ReadWrite, Direct: true, Destroy: []string{filepath.Base(resolved)}})
	if err == nil {
		target.Close()
		t.Fatalf("writing to %s was allowed", path)
	}
	f := wantFault(t, err, "REFUSED_IN_USE", fault.ExitRefused)
	if !strings.Contains(f.Error(), reason) || !strings.Contains(f.Error(), "[found ") {
		t.Errorf("refusal = %q, want it to contain %q", f, reason)
	}
}

// wantWritable checks that writing to path is allowed once it is named.
func wantWritable(t *testing.T, path string) {
	t.Helper()
	mustOpen(t, &Opener{}, Spec{Path: path, Access: ReadWrite, Direct: true, Destroy: []string{filepath.Base(path)}})
}

func TestMountedDevice(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	point := testlab.Mount(t, d.Path)
	mounted := d.Name + " is mounted on " + point

	t.Run("by its name", func(t *testing.T) { wantInUse(t, d.Path, mounted) })
	t.Run("by an odd path", func(t *testing.T) { wantInUse(t, "/dev/./"+d.Name, mounted) })
	t.Run("by a path through a parent", func(t *testing.T) { wantInUse(t, "/dev/shm/../"+d.Name, mounted) })
	t.Run("by a symbolic link", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "scratchdisk")
		if err := os.Symlink(d.Path, link); err != nil {
			t.Fatal(err)
		}
		wantInUse(t, link, mounted)
	})
	t.Run("by a node of another name", func(t *testing.T) {
		node := filepath.Join(t.TempDir(), "harmless")
		testlab.Run(t, "mknod", node, "b", "7", strconv.Itoa(d.Number))
		wantInUse(t, node, mounted)
	})
	t.Run("its backing file", func(t *testing.T) { wantInUse(t, d.Backing, mounted) })
	t.Run("its backing file under another name", func(t *testing.T) {
		other := d.Backing + ".renamed"
		if err := os.Rename(d.Backing, other); err != nil {
			t.Fatal(err)
		}
		defer os.Rename(other, d.Backing)
		wantInUse(t, other, mounted)
	})
	t.Run("fio's way of overwriting lifts nothing", func(t *testing.T) {
		_, err := Open(Spec{Path: d.Backing, Access: ReadWrite, Overwrite: true})
		wantFault(t, err, "REFUSED_IN_USE", fault.ExitRefused)
	})
	t.Run("another loop device over its file", func(t *testing.T) {
		second := testlab.Loop(t, testlab.LoopOptions{Backing: d.Backing})
		wantInUse(t, second.Path, mounted)
	})
	t.Run("reading is allowed, and cannot trim", func(t *testing.T) {
		target := mustOpen(t, &Opener{}, Spec{Path: d.Path, Direct: true})
		if target.Writable() {
			t.Error("a target opened for reading says that it is writable")
		}
		if err := blk.Discard(target.FD(), 0, 4096); err == nil {
			t.Error("a target opened for reading took a discard of a mounted device")
		}
		if err := blk.ZeroOut(target.FD(), 0, 4096); err == nil {
			t.Error("a target opened for reading took zeros over a mounted device")
		}
	})
	t.Run("a file on it is a file", func(t *testing.T) {
		target := mustOpen(t, &Opener{}, Spec{
			Path: filepath.Join(point, "new"), Access: ReadWrite, Create: true, SizeBytes: 1 << 20, Direct: true,
		})
		if target.DevT() != (blk.DevT{Major: 7, Minor: uint32(d.Number)}) || target.FileSystem().Type != "ext4" {
			t.Errorf("device %s, file system %+v", target.DevT(), target.FileSystem())
		}
		stack := strings.Join(target.Stack(), " > ")
		if want := filepath.Join(point, "new") + " > ext4 > " + d.Name + " > " + d.Backing + " > tmpfs"; stack != want {
			t.Errorf("stack = %s, want %s", stack, want)
		}
	})
}

func TestMountedReadOnlyIsInUseToo(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	point := testlab.Mount(t, d.Path, "-o", "ro")
	wantInUse(t, d.Path, d.Name+" is mounted on "+point)
}

func TestMountedInAnotherNamespace(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	testlab.Mkfs(t, d.Path)
	dir := t.TempDir()
	testlab.InPrivateNamespace(t, "mount "+d.Path+" "+dir)
	wantInUse(t, d.Path, d.Name+" is mounted on "+dir+" (ext4, in another mount namespace)")
	wantInUse(t, d.Backing, d.Name+" is mounted on "+dir)
}

// A mount namespace can live without any process, held by a bind mount: no mountinfo shows it.
func TestMountedWhereNoProcessLives(t *testing.T) {
	testlab.Require(t, "root", "unshare", "nsenter")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	testlab.Mkfs(t, d.Path)
	hold := filepath.Join(t.TempDir(), "namespace")
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	testlab.Run(t, "unshare", "--mount="+hold, "--propagation", "private", "mount", d.Path, dir)
	t.Cleanup(func() { testlab.Run(t, "umount", hold) })
	wantInUse(t, d.Path, "the kernel says it is in use [found by opening it with O_EXCL]")
	wantInUse(t, d.Backing, d.Path+" stores the same data, and the kernel says that it is in use")
	second := testlab.Loop(t, testlab.LoopOptions{Backing: d.Backing})
	wantInUse(t, second.Path, d.Path+" stores the same data, and the kernel says that it is in use")
	testlab.Run(t, "nsenter", "--mount="+hold, "umount", dir)
	wantWritable(t, d.Backing)
	wantWritable(t, d.Path)
}

func TestSwapDevice(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	testlab.SwapOn(t, d.Path)
	wantInUse(t, d.Path, d.Name+" is an active swap area")
	wantInUse(t, d.Backing, d.Name+" is an active swap area")
}

func TestSwapFile(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	file := filepath.Join(testlab.Mount(t, d.Path), "swap file")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	testlab.SwapOn(t, file)
	wantInUse(t, file, "swap file is an active swap area")
}

func TestPartitions(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	first := partition(t, d, 1, 1<<20, 16<<20)
	second := partition(t, d, 2, 20<<20, 16<<20)
	point := testlab.Mount(t, first)
	mounted := d.Name + "p1 is mounted on " + point
	wantInUse(t, first, mounted)
	wantInUse(t, d.Path, mounted)
	wantInUse(t, d.Backing, mounted)
	wantWritable(t, second)
}

func TestPartitionOfADiskMountedAsAWhole(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	part := partition(t, d, 1, 1<<20, 16<<20)
	point := testlab.Mount(t, d.Path)
	wantInUse(t, part, d.Name+" is mounted on "+point)
}

func TestLoopOverLoop(t *testing.T) {
	testlab.Require(t, "root")
	lower := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	upper := testlab.Loop(t, testlab.LoopOptions{Backing: lower.Path})
	t.Run("idle", func(t *testing.T) {
		_, err := Open(Spec{Path: lower.Path, Access: ReadWrite})
		f := wantFault(t, err, "REFUSED_EXISTS", fault.ExitRefused)
		if !strings.Contains(f.Error(), "under "+upper.Name) {
			t.Errorf("refusal = %q, want the loop device over it named", f)
		}
		wantWritable(t, lower.Path)
	})
	t.Run("mounted", func(t *testing.T) {
		point := testlab.Mount(t, upper.Path)
		wantInUse(t, lower.Path, upper.Name+" is mounted on "+point)
		wantInUse(t, lower.Backing, upper.Name+" is mounted on "+point)
	})
}

// A loop device remembers the path of what is under it, and the path may lead nowhere by now.
func TestLoopOverLoopByANodeThatIsGone(t *testing.T) {
	testlab.Require(t, "root")
	lower := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	node := filepath.Join(t.TempDir(), "node")
	testlab.Run(t, "mknod", node, "b", "7", strconv.Itoa(lower.Number))
	upper := testlab.Loop(t, testlab.LoopOptions{Backing: node})
	if err := os.Remove(node); err != nil {
		t.Fatal(err)
	}
	t.Run("the upper one mounted", func(t *testing.T) {
		wantInUse(t, lower.Path, upper.Name+" is mounted on "+testlab.Mount(t, upper.Path))
	})
	t.Run("the lower one mounted", func(t *testing.T) {
		wantInUse(t, upper.Path, lower.Name+" is mounted on "+testlab.Mount(t, lower.Path))
	})
	t.Run("both in one run", func(t *testing.T) {
		o := &Opener{}
		for _, d := range []*testlab.LoopDevice{lower, upper} {
			mustOpen(t, o, Spec{Path: d.Path, Access: ReadWrite, Direct: true, Destroy: []string{d.Name}})
		}
	})
}

func TestDataIsNamedAndGivenUpOnlyByName(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	refusal := func() string {
		_, err := Open(Spec{Path: d.Path, Access: ReadWrite})
		return wantFault(t, err, "REFUSED_EXISTS", fault.ExitRefused).Error()
	}
	if got := refusal(); !strings.Contains(got, "its first and last blocks are zeros") {
		t.Errorf("a blank device: %q", got)
	}
	testlab.Run(t, "mkfs.ext4", "-q", "-F", "-L", "precious", d.Path)
	if got := refusal(); !strings.Contains(got, `it holds ext4 file system "precious"`) {
		t.Errorf("a device with ext4: %q", got)
	}
	wantWritable(t, d.Path)
}

func TestReplacedBetweenLookAndOpen(t *testing.T) {
	path, _ := writeFile(t, 4096)
	s, err := identify(path)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := writeFile(t, 4096)
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	_, err = new(Opener).open(s, Spec{Path: path})
	wantFault(t, err, "REFUSED_CHANGED", fault.ExitRefused)
}

// A virtual machine has its disk open without an exclusive claim.
func TestOpenForWritingByAnotherProcess(t *testing.T) {
	testlab.Require(t, "root")
	d := testlab.Loop(t, testlab.LoopOptions{Tmpfs: true})
	part := partition(t, d, 1, 1<<20, 16<<20)
	t.Run("reading", func(t *testing.T) {
		testlab.InPrivateNamespace(t, "exec 3<"+d.Path)
		wantWritable(t, d.Path)
	})
	t.Run("writing", func(t *testing.T) {
		testlab.InPrivateNamespace(t, "exec 3<>"+d.Path)
		wantInUse(t, d.Path, "has it open for writing")
		wantInUse(t, part, "has it open for writing")
		wantInUse(t, d.Backing, "has "+d.Path+", which stores the same data, open for writing")
	})
	t.Run("no longer", func(t *testing.T) { wantWritable(t, d.Path) })
}
