package fiojob

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blkmeter/blkmeter/workloads"
)

// setByLog are the options that mean nothing when a log says what is done.
var setByLog = []string{
	"rw", "rwmixread", "rwmixwrite", "bs", "bsrange", "bssplit", "ba", "bs_unaligned", "size", "offset", "offset_increment",
	"filename", "directory", "nrfiles", "filesize", "file_service_type", "percentage_random", "random_distribution", "norandommap",
	"fsync", "fdatasync",
}

// settleReplay brings the options of a job that replays a log in line with each other.
func (p *parser) settleReplay(d *draft, where string, bad reporter) {
	if !d.Replays() {
		for _, name := range []string{"replay_no_stall", "replay_redirect", "replay_scale", "replay_align", "replay_time_scale", "replay_skip"} {
			if d.isSet(name) {
				p.warn("REPLAY_WITHOUT_LOG", "give read_iolog=", "%s: %s does nothing without a log to replay", where, name)
			}
		}
		return
	}
	none := [workloads.Directions]uint64{}
	for _, o := range []struct {
		asked bool
		name  string
	}{
		{d.IOSize.Set, "io_size"},
		{d.NumberIOs > 0, "number_ios"},
		{d.RateBytes != none || d.RateIOPS != none, "a rate"},
		{d.RateMin != none || d.RateIOPSMin != none, "a least rate"},
		{d.Thinktime.Time > 0, "thinktime"},
		{d.Verify.Kind != "", "verify"},
		{d.Layout.FillDevice, "fill_device"},
		{d.Layout.CreateOnly, "create_only"},
		{d.Zones.Mode != "none", "zonemode"},
		{d.SharedQueue, "queue=single"},
	} {
		if o.asked {
			bad("BAD_JOB", "leave it out", "%s and read_iolog exclude each other: the log says what is done, and when", o.name)
		}
	}
	if a := d.Replay.AlignBytes; a&(a-1) != 0 {
		bad("BAD_JOB", "use 512 or 4096", "replay_align=%d is no power of two", a)
	}
	if slices.Contains(d.Replay.Logs, d.RecordTo) {
		bad("BAD_JOB", "give write_iolog another name", "read_iolog and write_iolog name the same file")
	}
	var given []string
	for _, name := range setByLog {
		if d.isSet(name) {
			given = append(given, name)
		}
	}
	if len(given) > 0 {
		p.warn("REPLAY_OVERRIDES", "replay_redirect=PATH sends all I/Os to one target", "%s: read_iolog goes before %s, which do nothing", where, strings.Join(given, ", "))
	}
	d.FsyncEvery, d.FdatasyncEvery = 0, 0
}

// setReplaySkip reads the kinds that replay_skip leaves out.
func setReplaySkip(d *draft, value string) error {
	d.Replay.Skip = nil
	for kind := range strings.SplitSeq(value, ",") {
		switch kind = strings.TrimSpace(kind); kind {
		case "read", "write", "trim", "sync":
			d.Replay.Skip = append(d.Replay.Skip, kind)
		default:
			return fmt.Errorf("%q is none of read, write, trim, sync", kind)
		}
	}
	return nil
}
