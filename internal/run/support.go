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
		{j.Verify.Kind != "", "verify"},
		{j.Verify.TrimPercent > 0, "trim_percentage"},
		{j.LatencyTarget > 0, "latency_target"},
		{j.SteadyState.Duration > 0, "steadystate"},
		{j.Replay.Read != "", "read_iolog"},
		{j.Replay.Write != "", "write_iolog"},
		{j.Flow.Weight != 0, "flow"},
		{j.WaitFor != "", "wait_for"},
		{j.ExitAll, "exitall"},
		{j.ExitAllOnError, "exitall_on_error"},
		{j.SubmitMode == "offload", "io_submit_mode=offload"},
		{j.Zones.Mode == "zbd", "zonemode=zbd"},
		{j.Layout.CreateOnly, "create_only"},
		{j.Layout.CreateOnOpen, "create_on_open"},
		{j.Layout.FillDevice, "fill_device"},
		{j.Layout.FileAppend, "file_append"},
		{j.Layout.Overwrite, "overwrite"},
		{j.Layout.UnlinkEachLoop, "unlink_each_loop"},
		{j.Layout.PreRead, "pre_read"},
		{j.Nice != 0, "nice"},
		{j.PrioClass != 0 || j.Prio != 0, "prio"},
	} {
		if o.asked {
			return fault.New(fault.ExitEnvironment, "UNSUPPORTED", "leave it out, or run this job with fio",
				"job %s asks for %s, which blkmeter reads but does not do yet", j.Name, o.name)
		}
	}
	return nil
}
