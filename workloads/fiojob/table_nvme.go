package fiojob

import (
	"strings"

	"github.com/blkmeter/blkmeter/workloads"
)

// commandEngine is the engine that sends NVMe commands.
const commandEngine = "io_uring_cmd"

// commandOptions are those of the engine that sends NVMe commands.
func commandOptions() []Option {
	const (
		noPlacement = "blkmeter's writes have no placement directives"
		noMetadata  = "blkmeter's commands carry no metadata, and namespaces formatted with it are refused"
	)
	rows := []Option{
		{
			Name: "cmd_type", Kind: enum{words: words("nvme")}, Default: "nvme",
			Help: "whose commands are sent", Effect: Ignored, Why: "there is one kind",
		},
		{
			Name: "write_mode", Kind: enum{words: words("write", "uncor", "zeroes", "verify"), set: func(d *draft, w, _ string) error { d.NVMe.Write = w; return nil }},
			Default: "write", Help: "the command of a write: Write, Write Uncorrectable, Write Zeroes, or Verify, which has the drive check what it stores",
		},
		{
			Name: "readfua", Kind: flag{set: func(d *draft, v bool) { d.NVMe.FUA[workloads.Read] = v }},
			Help: "reads come from the medium, not from the drive's cache (FUA)",
		},
		{
			Name: "writefua", Kind: flag{set: func(d *draft, v bool) { d.NVMe.FUA[workloads.Write] = v }},
			Help: "writes are done when they are on the medium (FUA)",
		},
		{
			Name: "deac", Kind: flag{set: func(d *draft, v bool) { d.NVMe.Deallocate = v }},
			Help: "write_mode=zeroes may deallocate the blocks",
		},
		{
			Name: "verify_mode", Kind: enum{words: words("read", "compare")}, Default: "read", Help: "read blocks back, or have the drive compare them",
			Effect: Refused, Why: "verify reads the blocks back and compares them itself",
		},
		{
			Name: "num_range", Kind: integer{min: 1, max: 256}, Default: "1", Help: "ranges of a trim",
			Effect: Refused, Why: "a trim has one range",
		},
		{Name: "dataplacement", Aliases: []string{"data_placement"}, Kind: enum{words: words("none", "fdp", "streams")}, Default: "none", Help: "where the drive places data", Effect: Refused, Why: noPlacement},
		{Name: "fdp", Kind: boolean{}, Default: "0", Help: "flexible data placement", Effect: Refused, Why: noPlacement},
		{Name: "plids", Aliases: []string{"fdp_pli"}, Kind: text{form: "LIST"}, Help: "placement identifiers", Effect: Refused, Why: noPlacement},
		{Name: "plid_select", Aliases: []string{"fdp_pli_select"}, Kind: enum{words: words("roundrobin", "random", "scheme")}, Help: "which of them a write has", Effect: Refused, Why: noPlacement},
		{Name: "dp_scheme", Kind: text{form: "FILE"}, Help: "which of them a place has", Effect: Refused, Why: noPlacement},
		{Name: "md_per_io_size", Kind: integer{max: maxInt, unit: "BYTES"}, Default: "0", Help: "metadata of an I/O", Effect: Refused, Why: noMetadata},
		{Name: "pi_act", Kind: boolean{}, Default: "1", Help: "the drive makes and checks protection information", Effect: Refused, Why: noMetadata},
		{Name: "pi_chk", Kind: text{form: "LIST"}, Help: "what is checked of it", Effect: Refused, Why: noMetadata},
		{Name: "apptag", Kind: integer{max: 1<<16 - 1}, Default: "0x1234", Help: "its application tag", Effect: Refused, Why: noMetadata},
		{Name: "apptag_mask", Kind: integer{max: 1<<16 - 1}, Default: "0xffff", Help: "bits of the tag that are checked", Effect: Refused, Why: noMetadata},
	}
	for i := range rows {
		rows[i].Group, rows[i].Engine = GroupEngine, commandEngine
	}
	return rows
}

// settleCommands refuses what has no meaning for NVMe commands, and what has one only for them.
func (d *draft) settleCommands(bad reporter) {
	if d.Engine != commandEngine {
		for _, o := range commandOptions() {
			if o.Effect == Works && d.isSet(o.Name) {
				bad("BAD_JOB", "use ioengine="+commandEngine+", or leave it out", "%s is about NVMe commands, which ioengine=%s does not send", o.Name, d.Engine)
			}
		}
		return
	}
	d.Direct, d.DirectAssumed = true, false // there is no page cache in front of a character device
	var without []string
	for _, o := range []struct {
		name string
		on   bool
	}{
		{"sync", d.SyncMode != ""},
		{"nowait", d.NoWait},
		{"uncached", d.Uncached},
		{"atomic", d.Atomic},
		{"write_hint", d.WriteHint != ""},
		{"sync_file_range", d.SyncRange.Every > 0},
		{"end_syncfs", d.EndSyncFS},
	} {
		if o.on {
			without = append(without, o.name)
		}
	}
	if len(without) > 0 {
		bad("BAD_JOB", "leave it out; writefua=1 makes each write stable", "NVMe commands have no %s", strings.Join(without, " and no "))
	}
	switch {
	case d.NVMe.Write != "write" && d.Verify.Kind != "":
		bad("BAD_JOB", "leave out one of them", "verify checks data, and write_mode=%s writes none", d.NVMe.Write)
	case d.NVMe.Deallocate && d.NVMe.Write != "zeroes":
		bad("BAD_JOB", "add write_mode=zeroes", "deac is about writing zeroes")
	case d.NVMe.FUA[workloads.Write] && d.NVMe.Write == "uncor":
		bad("BAD_JOB", "leave out one of them", "the command of write_mode=uncor has no FUA")
	}
}
