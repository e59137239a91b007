package pattern

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/workloads"
)

// With openfiles, I/O goes to no more files at a time than that: one is finished before another is begun.
// Every block still comes up once per pass, and the last I/O on a file says so.
func TestFewFilesInHand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks, files := rapid.IntRange(1, 20).Draw(t, "blocks"), rapid.IntRange(2, 12).Draw(t, "files")
		j := job(rapid.SampledFrom([]workloads.RW{workloads.RWRead, workloads.RWRandWrite}).Draw(t, "rw"), 4096)
		j.OpenFiles = rapid.IntRange(1, files).Draw(t, "openfiles")
		j.FileService = rapid.SampledFrom([]string{"roundrobin", "sequential", "random", "roundrobin:3", "random:2"}).Draw(t, "service")
		j.Loops = rapid.IntRange(1, 3).Draw(t, "loops")
		regions := make([]File, files)
		for i := range regions {
			regions[i].High = int64(blocks) * 4096
		}
		s, err := New(Config{Job: j, Files: regions, Seed: rapid.Uint64().Draw(t, "seed"), Align: 512})
		if err != nil {
			t.Fatal(err)
		}
		all := drain(s, rapid.IntRange(1, 9).Draw(t, "batch"), math.MaxInt)
		if len(all) != blocks*files*j.Loops {
			t.Fatalf("%d I/Os on %d blocks of %d files in %d passes", len(all), blocks, files, j.Loops)
		}
		for pass := range slices.Chunk(all, blocks*files) {
			seen := map[IO]bool{}
			left, inHand := make([]int, files), 0
			for _, io := range pass {
				where := IO{File: io.File, Offset: io.Offset}
				if seen[where] {
					t.Fatalf("offset %d of file %d twice in a pass", io.Offset, io.File)
				}
				seen[where] = true
				if left[io.File] == 0 {
					left[io.File] = blocks
					if inHand++; inHand > j.OpenFiles {
						t.Fatalf("%d files in hand, %d may be", inHand, j.OpenFiles)
					}
				}
				left[io.File]--
				if last := io.Flags&LastInFile != 0; last != (left[io.File] == 0) {
					t.Fatalf("%d I/Os of file %d are left, and it says last: %v", left[io.File], io.File, last)
				}
				if left[io.File] == 0 {
					inHand--
				}
			}
		}
	})
}

// A skewed choice goes to files that are in hand, too, and the likely ones still get most.
func TestSkewedChoiceAmongFewFiles(t *testing.T) {
	for _, service := range []string{"zipf:1.2", "pareto:0.2", "normal:20"} {
		j := job(workloads.RWRandRead, 4096)
		j.OpenFiles, j.FileService, j.NumberIOs, j.TimeBased = 3, service, 20000, true
		files := make([]File, 16)
		for i := range files {
			files[i].High = 10 * 4096
		}
		counts := make([]int, len(files))
		inHand := map[uint16]bool{}
		for _, io := range drain(source(t, j, files...), 16, math.MaxInt) {
			counts[io.File]++
			inHand[io.File] = true
			if len(inHand) > 3 {
				t.Fatalf("%s: %d files in hand", service, len(inHand))
			}
			if io.Flags&LastInFile != 0 {
				delete(inHand, io.File)
			}
		}
		if most := slices.Max(counts); most < 2*20000/len(files) {
			t.Errorf("%s: the most popular file got %d of 20000 I/Os: %v", service, most, counts)
		}
	}
}
