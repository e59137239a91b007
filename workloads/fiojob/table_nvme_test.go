package fiojob

import (
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/workloads"
)

func TestCommandOptions(t *testing.T) {
	for options, want := range map[string]workloads.NVMe{
		"":                                 {Write: "write"},
		"cmd_type=nvme":                    {Write: "write"},
		"write_mode=uncor":                 {Write: "uncor"},
		"write_mode=verify readfua":        {Write: "verify", FUA: [2]bool{true, false}},
		"write_mode=zeroes deac writefua":  {Write: "zeroes", FUA: [2]bool{false, true}, Deallocate: true},
		"readfua=1 writefua=1 direct=0":    {Write: "write", FUA: [2]bool{true, true}},
		"fdp=0 num_range=1 apptag=0x1234":  {Write: "write"}, // as things are without them
		"verify=crc32c hipri fixedbufs":    {Write: "write"},
		"sqthread_poll nonvectored=1 bs=8": {Write: "write"},
	} {
		plan, _, err := ParseArgs(flagArgs("ioengine=io_uring_cmd "+options), ParseOptions{})
		if err != nil {
			t.Errorf("%s: %v", options, err)
		} else if j := plan.Jobs[0]; j.NVMe != want || !j.Direct || j.DirectAssumed || j.Engine != "io_uring_cmd" {
			t.Errorf("%s: %+v, direct %v, engine %s; want %+v", options, j.NVMe, j.Direct, j.Engine, want)
		}
	}
	for options, why := range map[string]string{
		"ioengine=io_uring write_mode=zeroes":                "write_mode is about NVMe commands, which ioengine=io_uring does not send",
		"ioengine=psync readfua":                             "readfua is about NVMe commands",
		"ioengine=io_uring_cmd sync=1 nowait=1":              "NVMe commands have no sync and no nowait",
		"ioengine=io_uring_cmd write_hint=short":             "NVMe commands have no write_hint",
		"ioengine=io_uring_cmd write_mode=zeroes verify=md5": "write_mode=zeroes writes none",
		"ioengine=io_uring_cmd deac":                         "deac is about writing zeroes",
		"ioengine=io_uring_cmd write_mode=uncor writefua":    "has no FUA",
		"ioengine=io_uring_cmd fdp=1":                        "no placement directives",
		"ioengine=io_uring_cmd md_per_io_size=8":             "carry no metadata",
		"ioengine=io_uring_cmd cmd_type=scsi":                "cmd_type",
	} {
		if _, _, err := ParseArgs(flagArgs(options), ParseOptions{}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: the error is %v, want %q", options, err, why)
		}
	}
}
