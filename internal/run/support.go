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
	} {
		if o.asked {
			return fault.New(fault.ExitEnvironment, "UNSUPPORTED", "leave it out, or run this job with fio",
				"job %s asks for %s, which blkmeter reads but does not do yet", j.Name, o.name)
		}
	}
	return nil
}
