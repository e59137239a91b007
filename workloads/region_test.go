package workloads

import (
	"errors"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"pgregory.net/rapid"
)

func bytesOf(n int64) Amount     { return Amount{Bytes: n, Set: true} }
func percentOf(p float64) Amount { return Amount{Percent: p, IsPct: true, Set: true} }
func jobWith(change func(*Job)) *Job {
	j := DefaultJob()
	j.Name = "test"
	change(&j)
	return &j
}

const mib = 1 << 20

func TestRegion(t *testing.T) {
	tests := []struct {
		name      string
		job       func(*Job)
		clone     int
		file      int
		target    int64
		low, high int64
	}{
		{"all of it", func(j *Job) {}, 3, 0, 16 * mib, 0, 16 * mib},
		{"whole blocks only", func(j *Job) {}, 0, 0, 16*mib + 4095, 0, 16 * mib},
		{"size", func(j *Job) { j.Size = bytesOf(4 * mib) }, 1, 0, 16 * mib, 0, 4 * mib},
		{"a sequential job does its last block whole", func(j *Job) { j.Size = bytesOf(300001) }, 0, 0, 16 * mib, 0, 74 * 4096},
		{"where there is room", func(j *Job) { j.Size = bytesOf(300001) }, 0, 0, 300002, 0, 73 * 4096},
		{"a random job leaves it out", func(j *Job) { j.Size, j.RW = bytesOf(300001), RWRandRead }, 0, 0, 16 * mib, 0, 73 * 4096},
		{"size in percent", func(j *Job) { j.Size = percentOf(50) }, 0, 0, 16 * mib, 0, 8 * mib},
		{"offset", func(j *Job) { j.Offset = bytesOf(mib) }, 0, 0, 16 * mib, mib, 16 * mib},
		{"offset and size", func(j *Job) { j.Offset, j.Size = bytesOf(mib), bytesOf(2*mib) }, 0, 0, 16 * mib, mib, 3 * mib},
		{"percent of the target is cut at its end", func(j *Job) { j.Offset, j.Size = percentOf(50), percentOf(75) }, 0, 0, 16 * mib, 8 * mib, 16 * mib},
		{"offset_increment", func(j *Job) { j.OffsetIncrement, j.Size = bytesOf(4*mib), bytesOf(4*mib) }, 3, 0, 16 * mib, 12 * mib, 16 * mib},
		{"offset_increment in percent", func(j *Job) { j.OffsetIncrement, j.Size = percentOf(25), percentOf(25) }, 2, 0, 16 * mib, 8 * mib, 12 * mib},
		{"a percentage is rounded up to a block", func(j *Job) { j.Offset = percentOf(33) }, 0, 0, 100 * 4096, 33 * 4096, 100 * 4096},
		{"of the smallest size", func(j *Job) { j.Offset = percentOf(10); j.BS[Read] = SizeRange{8192, 65536} }, 0, 0, 101 * 4096, 6 * 8192, 50 * 8192},
		{"or to offset_align", func(j *Job) { j.Offset = percentOf(10); j.OffsetAlign = mib }, 0, 0, 16 * mib, 2 * mib, 16 * mib},
		{"bytes are not rounded", func(j *Job) { j.Offset = bytesOf(512); j.OffsetAlign = mib }, 0, 0, 16 * mib, 512, 16*mib - 3584},
		{"size over files", func(j *Job) { j.Size, j.NrFiles = bytesOf(10*4096), 4 }, 0, 1, 16 * mib, 0, 3 * 4096},
		{"the last files get less", func(j *Job) { j.Size, j.NrFiles = bytesOf(10*4096), 4 }, 0, 2, 16 * mib, 0, 2 * 4096},
		{"filesize", func(j *Job) { j.FileSize = SizeRange64{mib, mib} }, 0, 0, 16 * mib, 0, mib},
		{"a file within the range of sizes", func(j *Job) { j.FileSize = SizeRange64{mib, 4 * mib} }, 0, 0, 2 * mib, 0, 2 * mib},
		{"only directions that the job works in count", func(j *Job) { j.RW = RWWrite; j.BS[Read] = SizeRange{512, 512} }, 0, 0, 4096 + 512, 0, 4096},
	}
	for _, tt := range tests {
		low, high, err := FileRegion(jobWith(tt.job), tt.clone, tt.file, tt.target)
		if err != nil || low != tt.low || high != tt.high {
			t.Errorf("%s: [%d, %d), %v; want [%d, %d)", tt.name, low, high, err, tt.low, tt.high)
		}
	}

	bad := []struct {
		name  string
		job   func(*Job)
		clone int
		code  string
	}{
		{"size beyond the end", func(j *Job) { j.Size = bytesOf(17 * mib) }, 0, "SIZE_BEYOND_END"},
		{"offset and size beyond the end", func(j *Job) { j.Offset, j.Size = bytesOf(8*mib), bytesOf(9*mib) }, 0, "SIZE_BEYOND_END"},
		{"offset at the end", func(j *Job) { j.Offset = bytesOf(16 * mib) }, 0, "OFFSET_BEYOND_END"},
		{"a clone's offset", func(j *Job) { j.OffsetIncrement = bytesOf(8 * mib) }, 2, "OFFSET_BEYOND_END"},
		{"an offset that overflows", func(j *Job) { j.OffsetIncrement = bytesOf(1 << 61) }, 9, "OFFSET_BEYOND_END"},
		{"no block", func(j *Job) { j.Size = bytesOf(4095) }, 0, "REGION_TOO_SMALL"},
		{"no block per file", func(j *Job) { j.Size, j.NrFiles = bytesOf(8192), 3 }, 0, "REGION_TOO_SMALL"},
	}
	for _, tt := range bad {
		low, high, err := Region(jobWith(tt.job), tt.clone, 16*mib)
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != tt.code || e.Hint == "" {
			t.Errorf("%s: [%d, %d), %v; want %s", tt.name, low, high, err, tt.code)
		}
	}
}

func TestRegionProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.Int64Range(1, 1<<44).Draw(t, "target")
		amount := func(name string) Amount {
			switch rapid.IntRange(0, 2).Draw(t, name+" kind") {
			case 0:
				return Amount{}
			case 1:
				return percentOf(float64(rapid.IntRange(0, 100).Draw(t, name)))
			}
			return bytesOf(rapid.Int64Range(0, 1<<44).Draw(t, name))
		}
		j := jobWith(func(j *Job) {
			j.Offset, j.Size, j.OffsetIncrement = amount("offset"), amount("size"), amount("increment")
			bs := rapid.Uint32Range(1, 1<<30).Draw(t, "bs")
			j.BS[Read] = SizeRange{bs, bs}
			j.NrFiles = rapid.IntRange(1, 5).Draw(t, "nrfiles")
		})
		low, high, err := FileRegion(j, rapid.IntRange(0, 4095).Draw(t, "clone"), rapid.IntRange(0, 4).Draw(t, "file"), target)
		if err != nil {
			return
		}
		if low < 0 || high <= low || high > target || (high-low)%j.MinBlock() != 0 {
			t.Fatalf("[%d, %d) of %d with blocks of %d", low, high, target, j.MinBlock())
		}
	})
}
