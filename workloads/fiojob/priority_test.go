package fiojob

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/workloads"
)

func TestPrioritiesOfSingleIOs(t *testing.T) {
	type shares = [2][]workloads.PriorityShare
	prio := workloads.NewPriority
	of := func(bytes uint32, percent int, p workloads.Priority) workloads.PriorityShare {
		return workloads.PriorityShare{Bytes: bytes, Percent: percent, Priority: p}
	}
	for options, want := range map[string]shares{
		"cmdprio_percentage=30": {{{Percent: 30, Priority: prio(1, 0, 0)}}, {{Percent: 30, Priority: prio(1, 0, 0)}}},
		"cmdprio_percentage=30, cmdprio_class=2,3 cmdprio=4 cmdprio_hint=5":       {{{Percent: 30, Priority: prio(2, 4, 5)}}},
		"cmdprio_percentage=,7 cmdprio_class=2,3 cmdprio=4,6 cmdprio_hint=0,1023": {1: {{Percent: 7, Priority: prio(3, 6, 1023)}}},
		"cmdprio_class=2 cmdprio=3":                                                         {},
		"cmdprio_bssplit=4k/10:8k/100 cmdprio_class=2":                                      {{of(4096, 10, prio(2, 0, 0)), of(8192, 100, prio(2, 0, 0))}, {of(4096, 10, prio(2, 0, 0)), of(8192, 100, prio(2, 0, 0))}},
		"cmdprio_bssplit=4k/10/1/3:4k/20/2/5/7:8k/30/3/0,8k/50 cmdprio_class=3 cmdprio=2,1": {{of(4096, 10, prio(1, 3, 0)), of(4096, 20, prio(2, 5, 7)), of(8192, 30, prio(3, 0, 0))}, {of(8192, 50, prio(3, 1, 0))}},
		"cmdprio_bssplit=4k/10,":                                                            {{of(4096, 10, prio(1, 0, 0))}},
	} {
		t.Run(options, func(t *testing.T) {
			args := []string{"--name=a", "--filename=/dev/null", "--size=1m", "--ioengine=libaio"}
			for o := range strings.FieldsSeq(options) {
				args = append(args, "--"+o)
			}
			plan, _, err := ParseArgs(args, ParseOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, shares(plan.Jobs[0].CmdPrio)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for options, why := range map[string]string{
		"ioengine=libaio cmdprio_percentage=10 cmdprio_bssplit=4k/10": "exclude each other",
		"ioengine=psync cmdprio_percentage=10":                        "psync cannot give single I/Os a priority",
		"ioengine=libaio cmdprio_percentage=101":                      "above 100",
		"ioengine=libaio cmdprio_class=0":                             "below 1",
		"ioengine=libaio cmdprio=8":                                   "above 7",
		"ioengine=libaio cmdprio_bssplit=4k":                          "neither",
		"ioengine=libaio cmdprio_bssplit=4k/10/1":                     "neither",
		"ioengine=libaio cmdprio_bssplit=4k/60:8k/1:4k/41":            "more than 100 percent",
		"ioengine=libaio cmdprio_bssplit=4k/10,4k/10,4k/10":           "at most two",
		"ioengine=libaio cmdprio_bssplit=4k/10/4/0":                   "above 3",
	} {
		t.Run(options, func(t *testing.T) {
			args := []string{"--name=a", "--filename=/dev/null", "--size=1m"}
			for o := range strings.FieldsSeq(options) {
				args = append(args, "--"+o)
			}
			if _, _, err := ParseArgs(args, ParseOptions{}); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("the error is %v, want %q", err, why)
			}
		})
	}
}

func TestPriorityIsTheKernels(t *testing.T) {
	p := workloads.NewPriority(workloads.ClassIdle, 7, 0)
	if p != 0x6007 || p.Class() != 3 || p.Level() != 7 || p.Hint() != 0 || p.String() != "idle/7" {
		t.Errorf("%#x is %s", uint16(p), p)
	}
	if p = workloads.NewPriority(workloads.ClassRealTime, 3, 5); p != 0x202b || p.String() != "rt/3/5" {
		t.Errorf("%#x is %s", uint16(p), p)
	}
}
