package fiojob

import (
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/workloads"
)

// What goes with the page cache and what goes around it is settled from the options of both kinds.
func TestFlagsThatSettleDirectIO(t *testing.T) {
	for options, want := range map[string]struct{ direct, assumed bool }{
		"":                    {true, true},
		"direct=1":            {true, false},
		"atomic=1":            {true, false},
		"atomic=1 direct=1":   {true, false},
		"uncached=1":          {false, false},
		"uncached=1 direct=1": {true, false}, // refused when the target is open
	} {
		plan, _, err := ParseArgs(flagArgs(options), ParseOptions{})
		if err != nil {
			t.Errorf("%s: %v", options, err)
		} else if j := plan.Jobs[0]; j.Direct != want.direct || j.DirectAssumed != want.assumed {
			t.Errorf("%s: direct %v, assumed %v; want %+v", options, j.Direct, j.DirectAssumed, want)
		}
	}
	for options, why := range map[string]string{
		"atomic=1 direct=0":   "go around the page cache",
		"atomic=1 buffered=1": "go around the page cache",
		"atomic=1 uncached=1": "go around the page cache",
		"write_hint=forever":  "none of none, short",
	} {
		if _, _, err := ParseArgs(flagArgs(options), ParseOptions{}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: the error is %v, want %q", options, err, why)
		}
	}
}

func TestSyncFileRange(t *testing.T) {
	for value, want := range map[string]workloads.SyncRange{
		"write:8":                        {Every: 8, Write: true},
		"wait_before,write:1k":           {Every: 1024, WaitBefore: true, Write: true},
		"wait_before,write,wait_after:1": {Every: 1, WaitBefore: true, Write: true, WaitAfter: true},
	} {
		plan, _, err := ParseArgs(flagArgs("sync_file_range="+value), ParseOptions{})
		if err != nil {
			t.Errorf("%s: %v", value, err)
		} else if got := plan.Jobs[0].SyncRange; got != want {
			t.Errorf("%s: %+v, want %+v", value, got, want)
		}
	}
	for _, value := range []string{"write", "write:", "write:0", "write:x", "write:10%", ":8", "all:8", "write;wait_after:8"} {
		if _, _, err := ParseArgs(flagArgs("sync_file_range="+value), ParseOptions{}); err == nil {
			t.Errorf("%s is taken", value)
		}
	}
}

func flagArgs(options string) []string {
	args := []string{"--name=a", "--filename=/dev/null", "--size=1m"}
	for o := range strings.FieldsSeq(options) {
		args = append(args, "--"+o)
	}
	return args
}
