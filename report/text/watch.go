package text

import (
	"fmt"

	"github.com/blkmeter/blkmeter/report"
)

// surroundings prints what went on around the workers: means over the samples, and the extremes of what
// heats up.
func (p *page) surroundings(samples []report.Sample) {
	var length, steal, others, mhz, mhzLength float64
	hottest := map[string]float64{}
	var disks []string
	for i := range samples {
		s := &samples[i]
		n := float64(s.LengthNS)
		length += n
		steal += n * s.StealPercent
		others += n * s.OthersPercent
		if s.FrequencyMHz != nil {
			mhz += n * *s.FrequencyMHz
			mhzLength += n
		}
		for _, d := range s.Devices {
			if d.TemperatureC == nil {
				continue
			}
			if _, ok := hottest[d.Device]; !ok {
				disks = append(disks, d.Device)
				hottest[d.Device] = *d.TemperatureC
			}
			hottest[d.Device] = max(hottest[d.Device], *d.TemperatureC)
		}
	}
	if length == 0 {
		return
	}
	parts := []string{
		fmt.Sprintf("the workers' CPUs were %s%% busy with others' work", percent(others/length)),
		unless(steal == 0, percent(steal/length)+"% stolen by the hypervisor"),
	}
	if mhzLength > 0 {
		parts = append(parts, significant(mhz/mhzLength/1000, 3)+nbsp+"GHz")
	}
	for _, disk := range disks {
		parts = append(parts, fmt.Sprintf("%s up to %.0f"+nbsp+"°C", disk, hottest[disk]))
	}
	p.entry(dim, "around", labelWidth, dim, sentence(", ", parts...))
}
