package pattern

import (
	"testing"

	"github.com/blkmeter/blkmeter/workloads"
)

func BenchmarkNext(b *testing.B) {
	region := File{Low: 1 << 20, High: 1<<20 + 1<<40 + 4096*12345}
	for _, c := range []struct {
		name string
		job  func() *workloads.Job
	}{
		{"read", func() *workloads.Job { return job(workloads.RWRead, 4096) }},
		{"rw", func() *workloads.Job { return job(workloads.RWReadWrite, 4096) }},
		{"randread_norandommap", func() *workloads.Job {
			j := job(workloads.RWRandRead, 4096)
			j.NoRandomMap = true
			return j
		}},
		{"randrw_norandommap", func() *workloads.Job {
			j := job(workloads.RWRandRW, 4096)
			j.NoRandomMap = true
			return j
		}},
		{"randread_map", func() *workloads.Job { return job(workloads.RWRandRead, 4096) }},
		{"randrw_map", func() *workloads.Job { return job(workloads.RWRandRW, 4096) }},
	} {
		for _, batch := range []int{1, 32} {
			b.Run(c.name+map[int]string{1: "/batch=1", 32: "/batch=32"}[batch], func(b *testing.B) {
				j := c.job()
				j.TimeBased = true
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
