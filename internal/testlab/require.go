// Package testlab makes the devices that tests do I/O on, over files of their own, and takes them away
// again when the test ends, however it ends. Only tests import it.
package testlab

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/kernel/blk"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
)

// RequireEnv names the environment variable that lists, separated by commas, what must not be missing:
// where continuous integration promises root or loop devices, a test that cannot have them fails instead
// of being skipped.
const RequireEnv = "BLKMETER_REQUIRE"

// Require skips the test, with the reason, unless the machine has all of needs: "root", "loop" (loop
// devices that this process may attach), "fuse", "zram", "mount" (mounting file systems), "quiet" (a machine
// that does nothing else, which only the environment can promise), "null_blk" (devices of that driver, whose module
// is loaded only where the environment asks for it), "nvme" (a drive nvme0 that may be overwritten, which only the
// environment can promise), or the name of
// a program. It fails the test instead when RequireEnv names the missing need.
func Require(t testing.TB, needs ...string) {
	t.Helper()
	for _, need := range needs {
		reason := missing(need)
		if reason == "" {
			continue
		}
		if demanded(need) {
			t.Fatalf("%s demands %s, but %s", RequireEnv, need, reason)
		}
		t.Skipf("needs %s: %s", need, reason)
	}
}

// demanded says whether RequireEnv names need, or fio, whose tools are named after it.
func demanded(need string) bool {
	list := strings.Split(os.Getenv(RequireEnv), ",")
	return slices.Contains(list, need) || strings.HasPrefix(need, "fio") && slices.Contains(list, "fio")
}

// missing returns why need cannot be had, or "".
func missing(need string) string {
	switch need {
	case "root", "mount":
		if os.Geteuid() != 0 {
			return "this process is not root"
		}
	case "quiet":
		if !demanded(need) {
			return "rates are compared only on a machine that does nothing else; " + RequireEnv + "=quiet says that it does not"
		}
	case "loop":
		return cannotOpen("/dev/loop-control")
	case "fuse":
		return cannotOpen("/dev/fuse")
	case "zram":
		return cannotOpen("/sys/class/zram-control/hot_add")
	case "null_blk":
		if !demanded(need) {
			return "a module is not loaded unless " + RequireEnv + " asks for it"
		}
	case "nvme":
		if !demanded(need) {
			return "a drive is not written to unless " + RequireEnv + "=nvme says that it may be"
		}
		return cannotOpen("/dev/nvme0")
	case "rt": // real-time threads
		if !demanded(need) {
			return "real-time threads hold up whatever else runs, and " + RequireEnv + " does not ask for them"
		}
		return cannotBeRealTime()
	default:
		if _, err := exec.LookPath(need); err != nil {
			return err.Error()
		}
	}
	return ""
}

// cannotBeRealTime returns why this process cannot have a real-time thread, or "".
func cannotBeRealTime() string {
	reason := make(chan string)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := cpu.SetThreadPolicy(cpu.Policy{Class: cpu.FIFO, Priority: 1}); err != nil {
			reason <- err.Error()
			return
		}
		reason <- ""
	}()
	return <-reason
}

func cannotOpen(path string) string {
	f, err := blk.Open(path, blk.Flags{Write: path != "/sys/class/zram-control/hot_add"})
	if err != nil {
		return err.Error()
	}
	f.Close()
	return ""
}
