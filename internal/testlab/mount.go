package testlab

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// Run runs a program of the system and fails the test, with what it said, unless it succeeds. The test is
// skipped where there is no such program.
func Run(t testing.TB, name string, args ...string) {
	t.Helper()
	Require(t, name)
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// Mkfs puts an empty ext4 file system on a device.
func Mkfs(t testing.TB, device string) {
	t.Helper()
	Run(t, "mkfs.ext4", "-q", "-F", "-O", "^has_journal", device)
}

// Mount makes a file system on a device, mounts it on a directory of the test's own, which it returns, and
// unmounts it when the test ends.
func Mount(t testing.TB, device string, options ...string) string {
	t.Helper()
	Require(t, "mount")
	Mkfs(t, device)
	dir := t.TempDir()
	Run(t, "mount", append(options, device, dir)...)
	t.Cleanup(func() { undo(t, "umount", dir) })
	return dir
}

// SwapOn makes a swap area of a device or file, uses it, and ends that when the test ends.
func SwapOn(t testing.TB, path string) {
	t.Helper()
	Require(t, "root")
	Run(t, "mkswap", path)
	Run(t, "swapon", path)
	t.Cleanup(func() { undo(t, "swapoff", path) })
}

func undo(t testing.TB, name string, args ...string) {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// InPrivateNamespace runs a shell script in a mount namespace of its own, which nothing outside sees, and
// keeps the namespace until the test ends. The script must have done its work when it ends.
func InPrivateNamespace(t testing.TB, script string) {
	t.Helper()
	Require(t, "root", "unshare")
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", script+"\necho ready\ncat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var words strings.Builder
	cmd.Stderr = &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endScript(t, cmd, in, &words) })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("script in a private mount namespace said %q: %v", line, err)
	}
}

// endScript ends the script's cat by closing its input.
func endScript(t testing.TB, cmd *exec.Cmd, in io.Closer, words *strings.Builder) {
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("script in a private mount namespace: %v: %s", err, words)
	}
}
