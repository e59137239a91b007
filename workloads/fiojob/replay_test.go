package fiojob

import (
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/google/go-cmp/cmp"
)

func TestReplayOptions(t *testing.T) {
	tests := []struct {
		args    string
		want    workloads.Replay
		record  string
		warning string // code of the only one; empty: none
	}{
		{`--read_iolog=a.log:b\:c.log`, workloads.Replay{Logs: []string{"a.log", "b:c.log"}, Scale: 1, TimePercent: 100}, "", ""},
		{
			"--read_iolog=a --replay_no_stall=1 --replay_redirect=/dev/x --replay_scale=2 --replay_align=4k --replay_time_scale=50 --replay_skip=trim,sync --write_iolog=b",
			workloads.Replay{Logs: []string{"a"}, NoStall: true, Redirect: "/dev/x", Scale: 2, AlignBytes: 4096, TimePercent: 50, Skip: []string{"trim", "sync"}},
			"b", "",
		},
		{"--read_iolog=a --rw=randrw --bs=8k --fsync=4", workloads.Replay{Logs: []string{"a"}, Scale: 1, TimePercent: 100}, "", "REPLAY_OVERRIDES"},
		{"--read_iolog=a --read_iolog_chunked=1", workloads.Replay{Logs: []string{"a"}, Scale: 1, TimePercent: 100}, "", "OPTION_IGNORED"},
		{"--rw=write --size=1m --replay_no_stall=1 --write_iolog=x", workloads.Replay{NoStall: true, Scale: 1, TimePercent: 100}, "x", "REPLAY_WITHOUT_LOG"},
	}
	for _, tt := range tests {
		plan, _, err := ParseArgs(append([]string{"--name=x"}, strings.Fields(tt.args)...), ParseOptions{Fio: true})
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		j := &plan.Jobs[0]
		if diff := cmp.Diff(tt.want, j.Replay); diff != "" || j.RecordTo != tt.record {
			t.Errorf("%s: recorded to %q\n%s", tt.args, j.RecordTo, diff)
		}
		if len(plan.Warnings) > 1 || (len(plan.Warnings) == 1) != (tt.warning != "") || tt.warning != "" && plan.Warnings[0].Code != tt.warning {
			t.Errorf("%s: warnings %+v, want %q", tt.args, plan.Warnings, tt.warning)
		}
		if j.Replays() && j.FsyncEvery != 0 {
			t.Errorf("%s: syncs beside those of the log", tt.args)
		}
	}
}

func TestReplayConflicts(t *testing.T) {
	for args, want := range map[string]string{
		"--rate_iops=100":                     "a rate and read_iolog exclude each other",
		"--rate_iops_min=100":                 "a least rate and read_iolog exclude each other",
		"--thinktime=5":                       "thinktime and read_iolog exclude each other",
		"--verify=md5":                        "verify and read_iolog exclude each other",
		"--io_size=1m":                        "io_size and read_iolog exclude each other",
		"--number_ios=5":                      "number_ios and read_iolog exclude each other",
		"--fill_device=1":                     "fill_device and read_iolog exclude each other",
		"--create_only=1":                     "create_only and read_iolog exclude each other",
		"--zonemode=strided --zonesize=64k":   "zonemode and read_iolog exclude each other",
		"--replay_align=1000":                 "replay_align=1000 is no power of two",
		"--write_iolog=a":                     "read_iolog and write_iolog name the same file",
		"--replay_skip=reads":                 `"reads" is none of read, write, trim, sync`,
		"--replay_time_scale=0":               "below 1",
		"--replay_scale=0":                    "below 1",
		"--merge_blktrace_file=merged.log":    "merge_blktrace_file=merged.log is not supported",
		"--queue=single --ioengine=io_uring ": "queue=single and read_iolog exclude each other",
	} {
		_, _, err := ParseArgs(append([]string{"--name=x", "--read_iolog=a"}, strings.Fields(args)...), ParseOptions{Fio: true})
		if err == nil || fault.Of(err).Exit != fault.ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
