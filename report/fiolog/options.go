package fiolog

import "github.com/blkmeter/blkmeter/workloads"

// OptionsOf returns what a job's options ask for. first is how many workers the jobs before it have.
func OptionsOf(j *workloads.Job, first int) Options {
	l := &j.Logs
	o := Options{
		Window: l.Average, HistWindow: l.HistEvery, Coarseness: l.HistCoarseness, Shared: !l.PerJob,
		Offset: l.Offset, Priority: l.Prio, IssueTime: l.IssueTime, UnixEpoch: l.AlternateEpoch, First: first,
		Compress: l.StoreCompressed,
	}
	for _, log := range []struct {
		kind     Kind
		file     workloads.LogFile
		disabled bool // as in fio, a latency that is not reported has no log
	}{
		{BW, l.BW, false},
		{IOPS, l.IOPS, false},
		{Slat, l.Lat, j.Stats.DisableSlat},
		{Clat, l.Lat, j.Stats.DisableClat},
		{Lat, l.Lat, j.Stats.DisableLat},
		{Hist, l.Hist, false},
	} {
		switch {
		case log.disabled || log.file == workloads.LogFile{}:
		case log.file.Prefix != "":
			o.Prefix[log.kind] = log.file.Prefix
		default:
			o.Prefix[log.kind] = j.Name
		}
	}
	switch l.Window {
	case "max":
		o.Value = Max
	case "both":
		o.Value = AverageAndMax
	}
	return o
}
