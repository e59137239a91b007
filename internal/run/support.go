package run

import (
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// unsupported refuses a job that asks for what runs do not do yet. Reading such an option and leaving it out
// would give figures of another job than the one that was asked for.
func unsupported(j *workloads.Job) error {
	for _, o := range []struct {
		asked bool
		name  string
	}{
		{j.Buffers.Mem == "cudamalloc", "mem=cudamalloc"},
		{j.Zones.Mode == "zbd", "zonemode=zbd"},
		{j.Logs.BW.Want, "write_bw_log"},
		{j.Logs.IOPS.Want, "write_iops_log"},
		{j.Logs.Lat.Want, "write_lat_log"},
		{j.Logs.Hist.Want, "write_hist_log"},
		{j.Stats.Off, "stats=0"},
		{j.Stats.Unified != "" && j.Stats.Unified != "none" && j.Stats.Unified != "0", "unified_rw_reporting"},
	} {
		if o.asked {
			return fault.New(fault.ExitEnvironment, "UNSUPPORTED", "leave it out, or run this job with fio",
				"job %s asks for %s, which blkmeter reads but does not do yet", j.Name, o.name)
		}
	}
	return nil
}
