package device

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKernelThreadTimes(t *testing.T) {
	root := Root(t.TempDir())
	for name, text := range map[string]string{
		"proc/7/stat":      "7 (kworker/0:1-events) I 2 0 0 0 -1 69238880 0 0 0 0",
		"proc/7/schedstat": "123456 77 9\n",
		"proc/8/stat":      "8 (a) b) S 1 8 8 0 -1 4194560 0 0 0 0", // a user's process
		"proc/8/schedstat": "1 1 1\n",
		"proc/9/stat":      "9 (ksoftirqd/1) S 2 0 0 0 -1 69238848 0 0",
		"proc/10/stat":     "",
		"proc/self/stat":   "7 (x) I 2 0 0 0 -1 69238880 0",
	} {
		path := root.Path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[int]int64{7: 123456}, KernelThreadTimes(root)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[int]int64{}, KernelThreadTimes(Root(t.TempDir()))); diff != "" {
		t.Error(diff)
	}
}

// TestKernelThreadTimesHere finds threads that every kernel has, and time that they used.
func TestKernelThreadTimesHere(t *testing.T) {
	times := KernelThreadTimes("")
	if len(times) == 0 {
		t.Skip("this kernel does not tell the times of its threads, or its threads are hidden (a container)")
	}
	sum := int64(0)
	for _, ns := range times {
		sum += ns
	}
	if sum <= 0 {
		t.Errorf("%d threads used %d ns", len(times), sum)
	}
	if _, own := times[os.Getpid()]; own {
		t.Error("this process is none of the kernel's")
	}
}
