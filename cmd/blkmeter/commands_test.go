package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
)

// commandLines reads testdata/commands.txt: where each line is from, and its words.
func commandLines(t *testing.T) (origins []string, commands [][]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		origin, command, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			t.Fatalf("%q has no origin", line)
		}
		origins, commands = append(origins, origin), append(commands, strings.Fields(command))
	}
	return origins, commands
}

// The command lines that people publish run as they are, but for the word to write to a device, and each
// direction that they ask for does I/O.
func TestCommandLinesOfTheWorld(t *testing.T) {
	testlab.Require(t, "loop")
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: 16 << 20, DirectIO: true, Tmpfs: true})
	origins, commands := commandLines(t)
	if len(commands) < 20 {
		t.Fatalf("%d command lines", len(commands))
	}
	for i, args := range commands {
		t.Run(origins[i], func(t *testing.T) {
			dir := testlab.Dir(t, false)
			for i, arg := range args {
				args[i] = strings.NewReplacer("DEVICE", dev.Path, "FILE", "test.file").Replace(arg)
			}
			plan, _, err := fiojob.ParseArgs(args, fiojob.ParseOptions{Fio: true})
			if err != nil {
				t.Fatal(err)
			}
			if plan.Jobs[0].RW.Destructive() && len(plan.Jobs[0].Filenames) > 0 && plan.Jobs[0].Filenames[0] == dev.Path {
				args = append(args, "--destroy="+dev.Name)
			}
			stdout, stderr, exit := asFio(t, dir, append(args, "--output-format=json")...)
			if exit != 0 {
				t.Fatalf("exit status %d: %s", exit, stderr)
			}
			jobs := documentsIn(t, stdout)[0].Jobs
			var did [workloads.Directions]int64
			for _, j := range jobs {
				did[workloads.Read] += j.Read.IOs
				did[workloads.Write] += j.Write.IOs
				did[workloads.Trim] += j.Trim.IOs
			}
			for _, j := range plan.Jobs {
				for d, n := range did {
					if j.RW.Does(workloads.Direction(d)) && n == 0 {
						t.Errorf("job %s: no %ss", j.Name, workloads.Direction(d))
					}
				}
			}
			if strings.Contains(stderr, "OPTION_UNSUPPORTED") || strings.Contains(stderr, "FIO_TRAP") {
				t.Errorf("it warns: %s", stderr)
			}
		})
	}
}

// What etcd's users read from its test is there: the latencies of fdatasync, in text and JSON.
func TestLatenciesOfEtcdsTest(t *testing.T) {
	dir := testlab.Dir(t, false)
	args := []string{"--rw=write", "--ioengine=sync", "--fdatasync=1", "--directory=.", "--size=110k", "--bs=2300", "--name=mytest"}
	text, stderr, exit := asFio(t, dir, args...)
	if exit != 0 {
		t.Fatalf("exit status %d: %s", exit, stderr)
	}
	for _, want := range []string{"  fsync/fdatasync/sync_file_range/syncfs:\n    sync (", "\n    sync percentiles (", "| 99.00th=["} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	stdout, stderr, exit := asFio(t, dir, append(args, "--output-format=json", "--filename="+filepath.Join(dir, "other"))...)
	if exit != 0 {
		t.Fatalf("exit status %d: %s", exit, stderr)
	}
	j := documentsIn(t, stdout)[0].Jobs[0]
	if p := j.Sync.Lat.Percentiles; len(p) != 17 || p["99.000000"] == 0 || j.Sync.Lat.N != j.Write.IOs || j.Sync.IOs != j.Write.IOs {
		t.Errorf("%d writes, syncs %s", j.Write.IOs, fmt.Sprintf("%+v", j.Sync))
	}
}
