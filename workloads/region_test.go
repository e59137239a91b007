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
		target    int64
		low, high int64
	}{
		{"all of it", func(j *Job) {}, 3, 16 * mib, 0, 16 * mib},
		{"whole blocks only", func(j *Job) {}, 0, 16*mib + 4095, 0, 16 * mib},
		{"size", func(j *Job) { j.Size = bytesOf(4 * mib) }, 1, 16 * mib, 0, 4 * mib},
		{"a sequential job does its last block whole", func(j *Job) { j.Size = bytesOf(300001) }, 0, 16 * mib, 0, 74 * 4096},
		{"where there is room", func(j *Job) { j.Size = bytesOf(300001) }, 0, 300002, 0, 73 * 4096},
		{"a random job leaves it out", func(j *Job) { j.Size, j.RW = bytesOf(300001), RWRandRead }, 0, 16 * mib, 0, 73 * 4096},
		{"size in percent", func(j *Job) { j.Size = percentOf(50) }, 0, 16 * mib, 0, 8 * mib},
		{"offset", func(j *Job) { j.Offset = bytesOf(mib) }, 0, 16 * mib, mib, 16 * mib},
		{"offset and size", func(j *Job) { j.Offset, j.Size = bytesOf(mib), bytesOf(2*mib) }, 0, 16 * mib, mib, 3 * mib},
		{"percent of the target is cut at its end", func(j *Job) { j.Offset, j.Size = percentOf(50), percentOf(75) }, 0, 16 * mib, 8 * mib, 16 * mib},
		{"offset_increment", func(j *Job) { j.OffsetIncrement, j.Size = bytesOf(4*mib), bytesOf(4*mib) }, 3, 16 * mib, 12 * mib, 16 * mib},
		{"offset_increment in percent", func(j *Job) { j.OffsetIncrement, j.Size = percentOf(25), percentOf(25) }, 2, 16 * mib, 8 * mib, 12 * mib},
		{"a percentage is rounded up to a block", func(j *Job) { j.Offset = percentOf(33) }, 0, 100 * 4096, 33 * 4096, 100 * 4096},
		{"of the smallest size", func(j *Job) { j.Offset = percentOf(10); j.BS[Read] = SizeRange{8192, 65536} }, 0, 101 * 4096, 6 * 8192, 50 * 8192},
		{"or to offset_align", func(j *Job) { j.Offset = percentOf(10); j.OffsetAlign = mib }, 0, 16 * mib, 2 * mib, 16 * mib},
		{"bytes are not rounded", func(j *Job) { j.Offset = bytesOf(512); j.OffsetAlign = mib }, 0, 16 * mib, 512, 16*mib - 3584},
		{"size over files", func(j *Job) { j.Size, j.NrFiles = bytesOf(12*4096), 4 }, 0, 16 * mib, 0, 3 * 4096},
		{"the last block of each file whole", func(j *Job) { j.Size, j.NrFiles = bytesOf(10*4096), 4 }, 0, 16 * mib, 0, 3 * 4096},
		{"where there is room in files", func(j *Job) { j.Size, j.NrFiles = bytesOf(10*4096), 4 }, 0, 10240, 0, 2 * 4096},
		{"zones go on to the end", func(j *Job) { j.Size, j.Zones.Mode = bytesOf(mib), "strided" }, 0, 16 * mib, 0, 16 * mib},
		{"filesize", func(j *Job) { j.FileSize = SizeRange64{mib, mib} }, 0, 16 * mib, 0, mib},
		{"a file within the range of sizes", func(j *Job) { j.FileSize = SizeRange64{mib, 4 * mib} }, 0, 2 * mib, 0, 2 * mib},
		{"only directions that the job works in count", func(j *Job) { j.RW = RWWrite; j.BS[Read] = SizeRange{512, 512} }, 0, 4096 + 512, 0, 4096},
	}
	for _, tt := range tests {
		low, high, err := Region(jobWith(tt.job), tt.clone, tt.target)
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
		{"more in zones than there is", func(j *Job) { j.Size, j.Zones.Mode = bytesOf(17*mib), "strided" }, 0, "SIZE_BEYOND_END"},
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
		low, high, err := Region(j, rapid.IntRange(0, 4095).Draw(t, "clone"), target)
		if err != nil {
			return
		}
		if low < 0 || high <= low || high > target || (high-low)%j.MinBlock() != 0 {
			t.Fatalf("[%d, %d) of %d with blocks of %d", low, high, target, j.MinBlock())
		}
	})
}

// Files that a run makes have the sizes that fio gives them: shares in bytes, long enough for all who use them.
func TestPlannedFiles(t *testing.T) {
	write := jobWith(func(j *Job) { j.Filenames, j.Size = []string{"f"}, bytesOf(mib) })
	behind := jobWith(func(j *Job) {
		j.Filenames, j.Size, j.Offset, j.OffsetIncrement, j.NumJobs = []string{"./f"}, bytesOf(mib), bytesOf(2*mib), bytesOf(mib), 3
	})
	null := jobWith(func(j *Job) { j.Filenames, j.Size, j.Engine = []string{"f"}, bytesOf(1000*mib), "null" })
	own := jobWith(func(j *Job) { j.Size, j.NrFiles, j.OffsetIncrement, j.NumJobs = bytesOf(100<<10), 3, bytesOf(4096), 2 })
	unknown := jobWith(func(j *Job) { j.Filenames, j.Size = []string{"g"}, percentOf(50) })
	planned := PlannedFiles{}
	for _, j := range []*Job{write, behind, null, own, unknown} {
		planned.Add(j)
	}
	for path, want := range map[string]int64{"f": 5 * mib, "./f": 5 * mib, "test.0.2": 34133, "test.1.0": 34133 + 4096, "g": 0, "none": 0} {
		if got := planned.Bytes(path); got != want {
			t.Errorf("%s: %d bytes, want %d", path, got, want)
		}
	}
}

// A range of file sizes is drawn from: within it, in whole blocks, another for each file, the same each time.
func TestFileSizeRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Int64Range(1, 1<<30).Draw(t, "low")
		high := low + rapid.Int64Range(0, 1<<30).Draw(t, "more")
		bs := rapid.Uint32Range(1, 1<<20).Draw(t, "bs")
		j := jobWith(func(j *Job) { j.FileSize, j.BS[Read] = SizeRange64{low, high}, SizeRange{bs, bs} })
		got := j.PlannedBytes(0, "f")
		if got < low || got > high || got < min(int64(bs), high) || got != j.PlannedBytes(1, "f") {
			t.Fatalf("%d bytes of %d to %d, blocks of %d", got, low, high, bs)
		}
	})
	j := jobWith(func(j *Job) { j.FileSize, j.NrFiles = SizeRange64{mib, 1000 * mib}, 100 })
	sizes := map[int64]bool{}
	sum := int64(0)
	for _, path := range j.Paths(0) {
		sizes[j.PlannedBytes(0, path)] = true
		sum += j.PlannedBytes(0, path)
	}
	if mean := sum / 100; len(sizes) < 95 || mean < 400*mib || mean > 600*mib {
		t.Errorf("%d sizes, %d bytes on average", len(sizes), mean)
	}
}

// With zones, size is how much of the region is done, not where it ends.
func TestShareBytes(t *testing.T) {
	for _, tt := range []struct {
		name string
		job  func(*Job)
		want int64
	}{
		{"no zones", func(j *Job) { j.Size = bytesOf(mib) }, 12 * mib},
		{"all", func(j *Job) { j.Zones.Mode = "strided" }, 12 * mib},
		{"size", func(j *Job) { j.Zones.Mode, j.Size = "strided", bytesOf(mib) }, mib},
		{"size over files", func(j *Job) { j.Zones.Mode, j.Size, j.NrFiles = "strided", bytesOf(mib), 4 }, mib / 4},
		{"size in percent of the target", func(j *Job) { j.Zones.Mode, j.Size = "strided", percentOf(50) }, 8 * mib},
		{"no more than there is", func(j *Job) { j.Zones.Mode, j.Size = "strided", percentOf(100) }, 12 * mib},
	} {
		if got := jobWith(tt.job).ShareBytes(4*mib, 16*mib); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// A clone does no more than size, be its files larger, and its last block whole.
func TestTransferBytes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		job     func(*Job)
		regions int64
		want    int64
	}{
		{"the regions once", func(j *Job) {}, 10 * 4096, 10 * 4096},
		{"size", func(j *Job) { j.Size = bytesOf(40000) }, 24 * 4096, 10 * 4096},
		{"size of more than there is", func(j *Job) { j.Size = bytesOf(mib) }, 24 * 4096, 24 * 4096},
		{"size in percent is in the regions", func(j *Job) { j.Size = percentOf(50) }, 24 * 4096, 24 * 4096},
		{"io_size", func(j *Job) { j.Size, j.IOSize = bytesOf(40000), bytesOf(mib) }, 24 * 4096, mib},
		{"io_size in percent", func(j *Job) { j.IOSize = percentOf(200) }, 4096, 8192},
	} {
		if got := jobWith(tt.job).TransferBytes(tt.regions); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
