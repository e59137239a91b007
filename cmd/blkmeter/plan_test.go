package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", path, got)
	}
}

// call runs a command line and returns what it printed and its exit code.
func call(t *testing.T, stdin string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	var out, words bytes.Buffer
	exit = execute(&app{
		args: append([]string{"blkmeter"}, args...), stdin: strings.NewReader(stdin), stdout: &out, stderr: &words,
		env: func(string) string { return "" },
	})
	return out.String(), words.String(), exit
}

const planJobs = `[global]
ioengine=io_uring
direct=1
[fill]
rw=write
bs=1m
size=64m
filename=/nowhere/data
[mix]
stonewall
rw=randrw
bs=4k-16k
iodepth=32
numjobs=12
offset_increment=16m
size=32m
filename=/nowhere/data
time_based
runtime=30
ramp_time=5
cpus_allowed=0-3
[trim]
rw=trim
filename=/nowhere/else
`

func TestPlan(t *testing.T) {
	stdout, stderr, exit := call(t, planJobs, "plan", "-")
	if exit != fault.ExitDone || stderr != "" {
		t.Fatalf("exit %d, %s", exit, stderr)
	}
	golden(t, "plan.txt", stdout)

	stdout, _, exit = call(t, planJobs, "plan", "--json", "-")
	var forecast workloads.Forecast
	if err := json.Unmarshal([]byte(stdout), &forecast); err != nil || exit != fault.ExitDone || forecast.Workers != 14 || len(forecast.Overlaps) == 0 {
		t.Errorf("exit %d, %v: %+v", exit, err, forecast)
	}
}

func TestPlanErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"plan"}, "[NO_JOBS]"},
		{[]string{"plan", "--rwmixraed=5"}, `did you mean "rwmixread"? [UNKNOWN_OPTION]`},
		{[]string{"plan", "/nowhere.fio"}, "[JOB_FILE]"},
		{[]string{"plan", "--size=1m", "--latency_target=1ms"}, "latency_target needs a latency_window [BAD_JOB]"},
		{[]string{"plan", "--size=1m", "--latency_target=1ms", "--latency_window=5s", "--runtime=9"}, "no room for two windows of 5s"},
	} {
		stdout, stderr, exit := call(t, "", tt.args...)
		if exit != fault.ExitUsage || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want %s", tt.args, exit, stdout, stderr, tt.want)
		}
	}
}

func TestPlanTellsWhatGovernsTheLoad(t *testing.T) {
	for want, args := range map[string][]string{
		"load: searches the highest depth at which 99 % of the I/Os take at most 500µs, in windows of 2s, until its time is up\n": {
			"--latency_target=500", "--latency_percentile=99", "--latency_window=2s", "--latency_run=1",
		},
		"load: each clone has 16 threads that submit its I/O\n": {"--io_submit_mode=offload", "--ioengine=psync", "--iodepth=16"},
		"load: each clone has weight 3 in flow 7\n":             {"--flow=3", "--flow_id=7"},
	} {
		stdout, stderr, exit := call(t, "", append([]string{"plan", "--name=x", "--size=1m"}, args...)...)
		if exit != fault.ExitDone || !strings.Contains(stdout, want) {
			t.Errorf("%q: exit %d, stderr %q\n%s", args, exit, stderr, stdout)
		}
	}
}

func TestPlanHelpAndCompletion(t *testing.T) {
	stdout, _, exit := call(t, "", "plan", "--help")
	if exit != fault.ExitDone || !strings.Contains(stdout, "--iodepth=N") || !strings.Contains(stdout, "blkmeter plan [--json]") {
		t.Errorf("exit %d:\n%s", exit, stdout)
	}
	stdout, _, _ = call(t, "", "__complete", "plan", "--rw=randr")
	if !strings.HasPrefix(stdout, "--rw=randread\n--rw=randrw\n") {
		t.Errorf("completion:\n%s", stdout)
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"plan", "--cmdhelp=bs"}, "Block size"},
		{[]string{"plan", "--enghelp"}, "io_uring"},
		{[]string{"plan", "--showcmd", "--bs=4k", "--name=a b", "--size=1m"}, "blkmeter plan --bs=4k '--name=a b' --size=1m\n"},
		{[]string{"plan", "--parse-only", "--size=1m"}, ""},
	} {
		stdout, stderr, exit := call(t, "", tt.args...)
		if exit != fault.ExitDone || stderr != "" || !strings.Contains(strings.ToLower(stdout), strings.ToLower(tt.want)) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", tt.args, exit, stdout, stderr)
		}
	}
}

func TestTargetBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, make([]byte, 12345), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := targetBytes(path); n != 12345 {
		t.Errorf("a file of 12345 bytes has %d", n)
	}
	for _, path := range []string{"/nowhere", t.TempDir(), "/dev/null"} {
		if n := targetBytes(path); n != 0 {
			t.Errorf("%s has %d bytes", path, n)
		}
	}
}
