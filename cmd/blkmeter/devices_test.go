package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/inspect"
	"github.com/blkmeter/blkmeter/internal/testlab"
)

// runDevices runs the program's command line in this process.
func runDevices(t *testing.T, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	var out, words bytes.Buffer
	exit = execute(&app{
		args: append([]string{"blkmeter"}, args...), stdin: strings.NewReader(""), stdout: &out, stderr: &words,
		env: func(string) string { return "" },
	})
	return out.String(), words.String(), exit
}

func TestDevices(t *testing.T) {
	d := testlab.Loop(t, testlab.LoopOptions{SectorBytes: 4096, Tmpfs: true})
	out, words, exit := runDevices(t, "devices")
	if exit != fault.ExitDone || words != "" || !strings.HasPrefix(out, "NAME") || !strings.Contains(out, d.Name+" ") {
		t.Errorf("devices: exit %d, said %q:\n%s", exit, words, out)
	}
	out, _, exit = runDevices(t, "devices", d.Path)
	if exit != fault.ExitDone || !strings.Contains(out, d.Path) || !strings.Contains(out, "--destroy="+d.Name) || !strings.Contains(out, d.Backing) {
		t.Errorf("devices %s: exit %d:\n%s", d.Path, exit, out)
	}
	out, _, exit = runDevices(t, "devices", "--json", d.Name)
	var doc inspect.Document
	if err := json.Unmarshal([]byte(out), &doc); err != nil || exit != fault.ExitDone {
		t.Fatalf("devices --json: exit %d, %v:\n%s", exit, err, out)
	}
	if got := doc.Devices[0]; got.Name != d.Name || got.LogicalBytes != 4096 || got.SizeBytes != 64<<20 || got.BackingFile != d.Backing {
		t.Errorf("devices --json: %+v", got)
	}
}

func TestDevicesThatAreNotThere(t *testing.T) {
	out, words, exit := runDevices(t, "devices", "nvme99n9")
	if exit != fault.ExitUsage || out != "" || !strings.Contains(words, "DEVICE_MISSING") || !strings.Contains(words, "hint:") {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, out, words)
	}
}
