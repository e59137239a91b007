package pattern

import (
	"fmt"
	"testing"

	"github.com/blkmeter/blkmeter/workloads"
)

func BenchmarkNext(b *testing.B) {
	region := File{Low: 1 << 20, High: 1<<20 + 1<<40 + 4096*12345}
	split := func(j *workloads.Job) {
		j.BSSplit[workloads.Read] = []workloads.Split{{Bytes: 4096, Percent: 60}, {Bytes: 16384, Percent: 30}, {Bytes: 65536, Percent: 10}}
	}
	for _, c := range []struct {
		name string
		rw   workloads.RW
		set  func(*workloads.Job)
	}{
		{"read", workloads.RWRead, nil},
		{"rw", workloads.RWReadWrite, nil},
		{"randread/norandommap", workloads.RWRandRead, func(j *workloads.Job) { j.NoRandomMap = true }},
		{"randrw/norandommap", workloads.RWRandRW, func(j *workloads.Job) { j.NoRandomMap = true }},
		{"randread/map", workloads.RWRandRead, nil},
		{"randrw/map", workloads.RWRandRW, nil},
		{"randread/zipf:0.9", workloads.RWRandRead, func(j *workloads.Job) { j.Distribution[workloads.Read] = "zipf:0.9" }},
		{"randread/zipf:1.2", workloads.RWRandRead, func(j *workloads.Job) { j.Distribution[workloads.Read] = "zipf:1.2" }},
		{"randread/pareto:0.2", workloads.RWRandRead, func(j *workloads.Job) { j.Distribution[workloads.Read] = "pareto:0.2" }},
		{"randread/normal:10", workloads.RWRandRead, func(j *workloads.Job) { j.Distribution[workloads.Read] = "normal:10" }},
		{"randread/zoned", workloads.RWRandRead, func(j *workloads.Job) { j.Distribution[workloads.Read] = "zoned:60/10:30/20:10/70" }},
		{"randread/bssplit,map", workloads.RWRandRead, split},
		{"randread/bssplit,norandommap", workloads.RWRandRead, func(j *workloads.Job) { split(j); j.NoRandomMap = true }},
		{"randread/percentage_random=50", workloads.RWRandRead, func(j *workloads.Job) { j.PercentageRandom[workloads.Read] = 50 }},
		{"randwrite/fsync=32", workloads.RWRandWrite, func(j *workloads.Job) { j.FsyncEvery = 32 }},
		{"randtrimwrite", workloads.RWRandTrimWrite, nil},
	} {
		for _, batch := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/batch=%d", c.name, batch), func(b *testing.B) {
				j := job(c.rw, 4096)
				j.TimeBased = true
				if c.set != nil {
					c.set(j)
				}
				src := source(b, j, region)
				ios := make([]IO, batch)
				for b.Loop() {
					src.Next(ios)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch), "ns/io")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
