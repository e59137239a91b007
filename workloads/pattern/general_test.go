package pattern

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// anyJob draws a job over the whole width of what the package does, and targets for it.
func anyJob(t *rapid.T) Config {
	j := workloads.DefaultJob()
	j.RW = rapid.SampledFrom([]workloads.RW{
		workloads.RWRead, workloads.RWWrite, workloads.RWTrim, workloads.RWRandRead, workloads.RWRandWrite,
		workloads.RWRandTrim, workloads.RWReadWrite, workloads.RWRandRW, workloads.RWTrimWrite, workloads.RWRandTrimWrite,
	}).Draw(t, "rw")
	if rapid.Bool().Draw(t, "rw:N") {
		j.RWRun = rapid.IntRange(1, 5).Draw(t, "run")
		j.RWSkipBytes = rapid.Int64Range(-4, 4).Draw(t, "skip") * 512
	}
	j.Sequencer = rapid.SampledFrom([]string{"sequential", "identical"}).Draw(t, "sequencer")
	j.MixReadPercent = rapid.IntRange(0, 100).Draw(t, "rwmixread")
	j.NoRandomMap = rapid.Bool().Draw(t, "norandommap")
	j.RandomGenerator = rapid.SampledFrom([]string{"tausworthe", "lfsr", "tausworthe64"}).Draw(t, "generator")
	distribution := rapid.SampledFrom([]string{
		"random", "random", "random", "zipf:1.1", "zipf:0.5:0.3", "pareto:0.3", "normal:10", "zoned:60/10:40/90", "sequence:2:0:1",
	}).Draw(t, "distribution")
	for d := range j.BS {
		lo := rapid.SampledFrom([]uint32{512, 1024, 1536, 4096}).Draw(t, "bs")
		j.BS[d] = workloads.SizeRange{Min: lo, Max: lo}
		switch rapid.IntRange(0, 4).Draw(t, "sizes") {
		case 0:
			j.BS[d].Max *= uint32(rapid.IntRange(1, 9).Draw(t, "max"))
		case 1:
			j.BSSplit[d] = []workloads.Split{{Bytes: lo, Percent: 40}, {Bytes: 3 * lo, Percent: 35}, {Bytes: 512, Percent: 25}}
		}
		j.Distribution[d] = distribution
		j.PercentageRandom[d] = rapid.SampledFrom([]int{0, 50, 100, 100, 100}).Draw(t, "percentage_random")
	}
	if rapid.IntRange(0, 3).Draw(t, "align") == 0 {
		j.BlockAlign = [workloads.Directions]uint32{1024, 2048, 4096}
	}
	j.BSIsSeqRand = rapid.IntRange(0, 5).Draw(t, "seqrand") == 0
	if distribution == "random" && rapid.IntRange(0, 3).Draw(t, "zones") == 0 {
		j.Zones = workloads.Zones{Mode: "strided", SizeBytes: 8192, RangeBytes: 16384, SkipBytes: rapid.Int64Range(0, 3).Draw(t, "zoneskip") * 512}
	}
	j.FileService = rapid.SampledFrom([]string{"roundrobin", "sequential", "random", "roundrobin:3", "zipf:1.2", "normal:20"}).Draw(t, "service")
	j.FsyncEvery = rapid.IntRange(0, 3).Draw(t, "fsync")
	j.Loops = rapid.IntRange(1, 2).Draw(t, "loops")
	c := Config{Job: &j, Seed: rapid.Uint64().Draw(t, "seed"), Align: 512}
	for range rapid.IntRange(1, 4).Draw(t, "files") {
		low := rapid.Int64Range(0, 100).Draw(t, "low") * 512
		c.Files = append(c.Files, File{low, low + rapid.Int64Range(0, 200).Draw(t, "size")*512})
	}
	return c
}

func TestAnyJobStaysInItsRegionAndIsRepeatable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyJob(t)
		s, err := New(c)
		if err != nil {
			if f := fault.Of(err); f.Code == "ERROR" || f.Hint == "" {
				t.Fatalf("%v is no fault that helps a user", err)
			}
			return
		}
		const most = 2000
		all := drain(s, rapid.IntRange(1, 40).Draw(t, "batch"), most)
		for _, io := range all {
			f := c.Files[io.File]
			if io.Op >= OpSync {
				continue
			}
			if io.Offset%512 != 0 || io.Length%512 != 0 || io.Length == 0 || io.Offset < f.Low || io.Offset+int64(io.Length) > f.High {
				t.Fatalf("%+v does not lie in %+v", io, f)
			}
			if io.Op != OpSync && !c.Job.RW.Does(workloads.Direction(io.Op)) {
				t.Fatalf("%+v in a job of %v", io, c.Job.RW)
			}
		}
		again, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if second := drain(again, 7, most); !slices.Equal(second[:min(len(second), most)], all[:min(len(all), most)]) {
			t.Fatal("the same configuration gave another sequence in other batches")
		}
	})
}

// coverage counts how often each unit of each file is touched.
func coverage(ios []IO, files []File, unit int64) [][]int {
	count := make([][]int, len(files))
	for i, f := range files {
		count[i] = make([]int, (f.High-f.Low)/unit)
	}
	for _, io := range ios {
		for at := io.Offset; at < io.Offset+int64(io.Length); at += unit {
			count[io.File][(at-files[io.File].Low)/unit]++
		}
	}
	return count
}

func TestEveryBlockOncePerPassWithVaryingSizes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := job(workloads.RWRandRW, 4096)
		switch rapid.IntRange(0, 3).Draw(t, "sizes") {
		case 0:
			for d := range j.BS {
				j.BS[d].Max = 4096 * uint32(rapid.IntRange(1, 16).Draw(t, "max"))
			}
		case 1:
			split := []workloads.Split{{Bytes: 4096, Percent: 50}, {Bytes: 8192, Percent: 20}, {Bytes: 65536, Percent: 30}}
			j.BSSplit = [workloads.Directions][]workloads.Split{split, split, nil}
		case 2:
			j.BS[workloads.Write] = workloads.SizeRange{Min: 65536, Max: 65536}
		case 3:
			j.RWRun = rapid.IntRange(2, 9).Draw(t, "run")
		}
		j.FileService = rapid.SampledFrom([]string{"roundrobin", "sequential", "random"}).Draw(t, "service")
		j.Loops = rapid.IntRange(1, 3).Draw(t, "loops")
		var files []File
		total := int64(0)
		for range rapid.IntRange(1, 3).Draw(t, "files") {
			blocks := rapid.Int64Range(16, 3000).Draw(t, "blocks")
			files = append(files, File{512, 512 + blocks*4096 + rapid.Int64Range(0, 7).Draw(t, "tail")*512})
			total += blocks
		}
		s, err := New(Config{Job: j, Files: files, Seed: rapid.Uint64().Draw(t, "seed"), Align: 512})
		if err != nil {
			t.Fatal(err)
		}
		all := drain(s, rapid.IntRange(1, 40).Draw(t, "batch"), math.MaxInt)
		// A pass ends where the bytes of all files were moved.
		for pass := range j.Loops {
			bytes, n := int64(0), 0
			for n < len(all) && bytes < total*4096 {
				bytes += int64(all[n].Length)
				n++
			}
			for i, count := range coverage(all[:n], files, 4096) {
				for block, c := range count {
					if c != 1 {
						t.Fatalf("pass %d: block %d of file %d was touched %d times", pass, block, i, c)
					}
				}
			}
			all = all[n:]
		}
		if len(all) > 0 {
			t.Fatalf("%d I/Os too many", len(all))
		}
	})
}

func TestZonesAreCoveredOncePerVisit(t *testing.T) {
	j := job(workloads.RWRandWrite, 4096)
	j.Zones = workloads.Zones{Mode: "strided", SizeBytes: 16 * 4096, RangeBytes: 16 * 4096, SkipBytes: 4096}
	all := drain(source(t, j, File{0, 170 * 4096}), 32, math.MaxInt)
	if len(all) != 170 {
		t.Fatalf("%d I/Os, want as many as the region has blocks", len(all))
	}
	count := coverage(all[:160], []File{{0, 170 * 4096}}, 4096)[0]
	for block, c := range count {
		if want := map[bool]int{true: 1, false: 0}[block%17 < 16]; c != want {
			t.Errorf("block %d was touched %d times, want %d", block, c, want)
		}
	}
	for i, io := range all[:160] {
		if zone := io.Offset / (17 * 4096); zone != int64(i/16) {
			t.Fatalf("I/O %d is in zone %d, want %d", i, zone, i/16)
		}
	}
}

// chiSquare fails t when counts are not drawn with the given probabilities: p below 1e-5.
func chiSquare(t *testing.T, name string, counts []int, probability func(i int) float64) {
	t.Helper()
	n := 0
	for _, c := range counts {
		n += c
	}
	stat, freedom := 0.0, -1.0
	observed, expected := 0.0, 0.0
	for i, c := range counts {
		observed += float64(c)
		expected += probability(i) * float64(n)
		// Classes with few expected draws are pooled, as the test demands.
		if expected >= 10 || i == len(counts)-1 {
			if expected > 0 {
				stat += (observed - expected) * (observed - expected) / expected
				freedom++
			} else if observed > 0 {
				t.Errorf("%s: %v draws where none can be", name, observed)
			}
			observed, expected = 0, 0
		}
	}
	if p := (distuv.ChiSquared{K: max(freedom, 1)}).Survival(stat); p < 1e-5 {
		t.Errorf("%s: chi-square %.1f with %.0f degrees of freedom, p = %.2g", name, stat, freedom, p)
	}
}

func TestZipfFollowsItsFormula(t *testing.T) {
	for _, theta := range []float64{0, 0.3, 0.9, 1, 1.2, 2.5, 20} {
		for _, n := range []uint64{1, 2, 100, 256, 257, 300, 100_000} {
			z := newZipf(theta, n)
			rng := newWyrand(n, math.Float64bits(theta))
			counts := make([]int, n)
			for range 200_000 {
				counts[z.draw(&rng)]++
			}
			sum := 0.0
			for r := n; r > 0; r-- {
				sum += math.Pow(float64(r), -theta)
			}
			chiSquare(t, fmt.Sprintf("theta %g, %d ranks", theta, n), counts, func(i int) float64 {
				return math.Pow(float64(i+1), -theta) / sum
			})
		}
	}
}

func TestZipfWeightsAreExactFarBehindTheHead(t *testing.T) {
	for _, theta := range []float64{0, 0.5, 0.999999, 1, 1.2, 3} {
		z := &zipf{theta: theta}
		for _, c := range []cell{{first: 257, width: 8}, {first: 1_000_000, width: 31_250}} {
			sum := 0.0
			for r := c.first; r < c.first+c.width; r++ {
				sum += math.Pow(float64(r), -theta)
			}
			if got := z.weight(c.first, c.width); math.Abs(got-sum) > 1e-8*sum {
				t.Errorf("theta %g: ranks %d.. weigh %.12g, want %.12g", theta, c.first, got, sum)
			}
		}
	}
}

// blockCounts draws offsets of a random job with a distribution and counts them per block.
func blockCounts(t *testing.T, distribution string, blocks, draws int) []int {
	t.Helper()
	j := job(workloads.RWRandRead, 4096)
	j.TimeBased = true
	j.Distribution[workloads.Read] = distribution
	counts := make([]int, blocks)
	for _, io := range drain(source(t, j, File{4096, int64(blocks+1) * 4096}), 50, draws) {
		counts[io.Offset/4096-1]++
	}
	return counts
}

func TestZipfAndParetoScatterTheirHotBlocks(t *testing.T) {
	const blocks, draws = 1000, 400_000
	harmonic := 0.0
	for r := 1; r <= blocks; r++ {
		harmonic += math.Pow(float64(r), -1.1)
	}
	cases := []struct {
		distribution string
		share        func(rank int) float64 // of the ranks up to and including this one
	}{
		{"zipf:1.1", func(rank int) float64 {
			sum := 0.0
			for r := 1; r <= rank+1; r++ {
				sum += math.Pow(float64(r), -1.1)
			}
			return sum / harmonic
		}},
		{"pareto:0.2", func(rank int) float64 {
			return math.Pow(float64(rank+1)/blocks, math.Log(0.8)/math.Log(0.2))
		}},
	}
	for _, c := range cases {
		for _, centre := range []string{"", ":0.25"} {
			counts := blockCounts(t, c.distribution+centre, blocks, draws)
			hottest, neighbours := 0, 0
			for i := range counts {
				if counts[i] > counts[hottest] {
					hottest = i
				}
			}
			if centre != "" && hottest != blocks/4 {
				t.Errorf("%s%s: block %d is the hottest", c.distribution, centre, hottest)
			}
			sorted := slices.Clone(counts)
			slices.SortFunc(sorted, func(a, b int) int { return b - a })
			for i := 1; i < blocks; i++ {
				if counts[i] > sorted[20] && counts[i-1] > sorted[20] {
					neighbours++
				}
			}
			if neighbours > 4 {
				t.Errorf("%s%s: %d of the 20 hottest blocks lie side by side", c.distribution, centre, neighbours)
			}
			// Sorting raises the tail's counts a little above their ranks' shares; the head is exact.
			sum := 0
			for rank, n := range sorted[:100] {
				sum += n
				if want := c.share(rank); math.Abs(float64(sum)/draws-want) > 0.01 {
					t.Fatalf("%s%s: the %d hottest blocks got %.4f, want %.4f", c.distribution, centre, rank+1, float64(sum)/draws, want)
				}
			}
		}
	}
}

func TestNormalAndZonedFollowTheirFormulas(t *testing.T) {
	const blocks, draws = 1000, 400_000
	for _, c := range []struct {
		distribution string
		mean, dev    float64
	}{{"normal:10", 500, 100}, {"normal:30:0.2", 200, 300}, {"gauss:1:0", 0, 10}} {
		n := distuv.Normal{Mu: c.mean, Sigma: c.dev}
		inside := n.CDF(blocks) - n.CDF(0)
		chiSquare(t, c.distribution, blockCounts(t, c.distribution, blocks, draws), func(i int) float64 {
			return (n.CDF(float64(i+1)) - n.CDF(float64(i))) / inside
		})
	}
	share := func(i int, zones ...[2]float64) float64 { // {blocks, share}
		for _, z := range zones {
			if float64(i) < z[0] {
				return z[1] / z[0]
			}
			i -= int(z[0])
		}
		return 0
	}
	chiSquare(t, "zoned", blockCounts(t, "zoned:60/10:30/20:8/30:2/40", blocks, draws), func(i int) float64 {
		return share(i, [2]float64{100, .6}, [2]float64{200, .3}, [2]float64{300, .08}, [2]float64{400, .02})
	})
	chiSquare(t, "zoned with the rest of the region", blockCounts(t, "zoned:60/10:30/20:8/30:2/", blocks, draws), func(i int) float64 {
		return share(i, [2]float64{100, .6}, [2]float64{200, .3}, [2]float64{300, .08}, [2]float64{400, .02})
	})
	chiSquare(t, "zoned with a blank share and a gap", blockCounts(t, "zoned:60/10:/20:0/50:10/20", blocks, draws), func(i int) float64 {
		return share(i, [2]float64{100, .6}, [2]float64{200, .3}, [2]float64{500, 0}, [2]float64{200, .1})
	})
	chiSquare(t, "zoned_abs beyond the region", blockCounts(t, "zoned_abs:40/400k:40/1m:20/1g", blocks, draws), func(i int) float64 {
		return share(i, [2]float64{100, .4}, [2]float64{256, .4}, [2]float64{644, .2})
	})
	chiSquare(t, "random", blockCounts(t, "random", blocks, draws), func(int) float64 { return 1. / blocks })
}

func TestSequenceDistribution(t *testing.T) {
	for _, stride := range []bool{false, true} {
		j := job(workloads.RWRandRead, 4096)
		j.TimeBased, j.SequenceStride = true, stride
		j.Distribution[workloads.Read] = "sequence:2:0:1"
		want := []int64{2, 0, 1, 2, 0, 1}
		if stride {
			want = []int64{2, 0, 1, 5, 3, 4}
		}
		for i, io := range drain(source(t, j, File{0, 12 * 4096}), 6, 6) {
			if io.Offset/4096 != want[i] {
				t.Errorf("stride %v: I/O %d is at block %d, want %d", stride, i, io.Offset/4096, want[i])
			}
		}
	}
}

func TestBssplitShares(t *testing.T) {
	for _, norandommap := range []bool{false, true} {
		for _, rw := range []workloads.RW{workloads.RWRandRead, workloads.RWRead} {
			j := job(rw, 4096)
			j.NoRandomMap = norandommap
			j.BSSplit[workloads.Read] = []workloads.Split{{Bytes: 4096, Percent: 50}, {Bytes: 65536, Percent: 10}, {Bytes: 16384, Percent: 40}}
			counts := map[uint32]int{}
			n := 0
			for _, io := range drain(source(t, j, File{0, 1 << 31}), 32, math.MaxInt) {
				counts[io.Length]++
				n++
			}
			for _, e := range j.BSSplit[workloads.Read] {
				if got := 100 * float64(counts[e.Bytes]) / float64(n); math.Abs(got-e.Percent) > 0.5 {
					t.Errorf("%v, norandommap %v: %.2f %% are of %d bytes, want %g %%", rw, norandommap, got, e.Bytes, e.Percent)
				}
			}
			if len(counts) != 3 {
				t.Errorf("%v, norandommap %v: lengths %v", rw, norandommap, counts)
			}
		}
	}
}

func TestBsrangeIsUniform(t *testing.T) {
	for _, norandommap := range []bool{false, true} {
		j := job(workloads.RWRandWrite, 4096)
		j.NoRandomMap = norandommap
		j.BS[workloads.Write].Max = 16 * 4096
		counts := make([]int, 16)
		for _, io := range drain(source(t, j, File{0, 1 << 32}), 32, math.MaxInt) {
			counts[io.Length/4096-1]++
		}
		total := 0
		for _, c := range counts {
			total += c
		}
		for i, c := range counts {
			if share := float64(c) / float64(total); math.Abs(share-1./16) > 0.003 {
				t.Errorf("norandommap %v: %.4f of the writes have %d blocks, want %.4f", norandommap, share, i+1, 1./16)
			}
		}
	}
}

func TestUnalignedSizes(t *testing.T) {
	j := job(workloads.RWRandRead, 1000)
	j.BS[workloads.Read].Max = 5000
	j.BSUnaligned, j.TimeBased = true, true
	s, err := New(Config{Job: j, Files: []File{{0, 1 << 20}}, Align: 1})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint32]bool{}
	for _, io := range drain(s, 32, 100_000) {
		if io.Length < 1000 || io.Length > 5000 || io.Offset%1000 != 0 {
			t.Fatalf("%+v", io)
		}
		seen[io.Length] = true
	}
	if len(seen) != 4001 {
		t.Errorf("%d different lengths, want all of 1000..5000", len(seen))
	}
}

// offsets returns the block numbers of a job's first n I/Os.
func offsets(t *testing.T, j *workloads.Job, blocks int64, n int) []int64 {
	t.Helper()
	var got []int64
	for _, io := range drain(source(t, j, File{0, blocks * 4096}), n, n) {
		got = append(got, io.Offset/4096)
	}
	return got
}

func TestSequentialSkips(t *testing.T) {
	for _, c := range []struct {
		skip int64
		want []int64
	}{
		{8192, []int64{0, 3, 6, 9, 0, 3, 6, 9, 0, 3}},
		{-8192, []int64{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{-4096, []int64{9, 9, 9, 9, 9, 9, 9, 9, 9, 9}},
	} {
		j := job(workloads.RWRead, 4096)
		j.RWSkipBytes = c.skip
		if got := offsets(t, j, 10, 100); !slices.Equal(got, c.want) {
			t.Errorf("skipping %d: blocks %v, want %v", c.skip, got, c.want)
		}
	}
}

func TestRunsOfRandomOffsets(t *testing.T) {
	for _, identical := range []bool{false, true} {
		for _, norandommap := range []bool{false, true} {
			j := job(workloads.RWRandRead, 4096)
			j.RWRun, j.NoRandomMap, j.TimeBased = 4, norandommap, true
			if identical {
				j.Sequencer = "identical"
			}
			got := offsets(t, j, 1<<20, 400)
			jumps := 0
			for i := 1; i < len(got); i++ {
				step := got[i] - got[i-1]
				onward := step == 1 && !identical || step == 0 && identical
				if i%4 != 0 && !onward {
					t.Fatalf("identical %v: I/O %d is at block %d after %d", identical, i, got[i], got[i-1])
				}
				if !onward {
					jumps++
				}
			}
			if jumps != 99 {
				t.Errorf("identical %v: %d jumps in 400 I/Os, want 99", identical, jumps)
			}
		}
	}
}

func TestPercentageRandom(t *testing.T) {
	j := job(workloads.RWRandRW, 4096)
	j.TimeBased = true
	j.PercentageRandom = [workloads.Directions]int{30, 0, 0}
	var last [2]int64
	var n, jumps [2]int
	for _, io := range drain(source(t, j, File{0, 1 << 40}), 32, 100_000) {
		if io.Offset != last[io.Op] {
			jumps[io.Op]++
		}
		last[io.Op] = io.Offset + int64(io.Length)
		n[io.Op]++
	}
	if share := float64(jumps[0]) / float64(n[0]); math.Abs(share-0.3) > 0.01 {
		t.Errorf("%.3f of the reads are random, want 0.3", share)
	}
	if jumps[1] != 0 {
		t.Errorf("%d of the writes are random, want none", jumps[1])
	}
}

func TestSequentialAndRandomSizes(t *testing.T) {
	j := job(workloads.RWRandRead, 4096)
	j.TimeBased, j.BSIsSeqRand = true, true
	j.BS[workloads.Write] = workloads.SizeRange{Min: 16384, Max: 16384}
	j.PercentageRandom[workloads.Read] = 50
	last := int64(-1)
	for i, io := range drain(source(t, j, File{0, 1 << 40}), 32, 1000) {
		want := uint32(16384)
		if io.Offset == last {
			want = 4096
		}
		if io.Length != want && i > 0 {
			t.Fatalf("I/O %d: %+v after an end at %d", i, io, last)
		}
		last = io.Offset + int64(io.Length)
	}
}

func TestFileServices(t *testing.T) {
	files := []File{{0, 4 * 4096}, {0, 2 * 4096}, {0, 3 * 4096}}
	for _, c := range []struct {
		service string
		want    []uint16
	}{
		{"roundrobin", []uint16{0, 1, 2, 0, 1, 2, 0, 2, 0}},
		{"roundrobin:2", []uint16{0, 0, 1, 1, 2, 2, 0, 0, 2}},
		{"sequential", []uint16{0, 0, 0, 0, 1, 1, 2, 2, 2}},
	} {
		j := job(workloads.RWRead, 4096)
		j.FileService, j.Loops = c.service, 2
		var got []uint16
		for _, io := range drain(source(t, j, files...), 4, 100) {
			got = append(got, io.File)
		}
		if want := append(slices.Clone(c.want), c.want...); !slices.Equal(got, want) {
			t.Errorf("%s: files %v, want %v", c.service, got, want)
		}
	}
	many := make([]File, 100)
	for i := range many {
		many[i] = File{0, 1 << 20}
	}
	for _, service := range []string{"random", "zipf:1.2", "pareto:0.3", "normal:10"} {
		j := job(workloads.RWRandRead, 4096)
		j.FileService, j.TimeBased, j.NoRandomMap = service, true, true
		counts := make([]int, len(many))
		for _, io := range drain(source(t, j, many...), 32, 100_000) {
			counts[io.File]++
		}
		slices.SortFunc(counts, func(a, b int) int { return b - a })
		top := 0.0
		for _, n := range counts[:10] {
			top += float64(n) / 100_000
		}
		harmonic := func(n float64) (sum float64) {
			for ; n > 0; n-- {
				sum += math.Pow(n, -1.2)
			}
			return sum
		}
		want := map[string]float64{
			"random": 0.10, "zipf:1.2": harmonic(10) / harmonic(100), "normal:10": 0.383,
			"pareto:0.3": math.Pow(0.1, math.Log(0.7)/math.Log(0.3)),
		}[service]
		if math.Abs(top-want) > 0.02 {
			t.Errorf("%s: the ten busiest of 100 files got %.3f, want %.3f", service, top, want)
		}
	}
}

func TestTrimwriteWritesWhatItTrimmed(t *testing.T) {
	for _, rw := range []workloads.RW{workloads.RWTrimWrite, workloads.RWRandTrimWrite} {
		for _, batch := range []int{1, 2, 3, 32} {
			j := job(rw, 4096)
			all := drain(source(t, j, File{0, 99 * 4096}), batch, math.MaxInt)
			if len(all) != 2*99 {
				t.Fatalf("%v: %d I/Os, want 99 trims and 99 writes", rw, len(all))
			}
			for i := 0; i < len(all); i += 2 {
				want := all[i]
				want.Op, want.Flags = OpWrite, AfterPrevious
				if all[i].Op != OpTrim || all[i].Flags != 0 || all[i+1] != want {
					t.Fatalf("%v: pair %d is %+v, %+v", rw, i/2, all[i], all[i+1])
				}
			}
			j.NumberIOs = 7
			if n := len(drain(source(t, j, File{0, 99 * 4096}), batch, math.MaxInt)); n != 7 {
				t.Errorf("%v, number_ios=7: %d I/Os", rw, n)
			}
		}
	}
}

func TestDirectedMixDoesWhatIsAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := job(workloads.RWRandRW, 4096)
		j.TimeBased, j.FsyncEvery = true, rapid.IntRange(0, 3).Draw(t, "fsync")
		j.MixReadPercent = rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "rwmixread") // does not matter
		s, err := New(Config{Job: j, Files: []File{{0, 100 * 4096}}, Directed: true})
		if err != nil {
			t.Fatal(err)
		}
		asked := rapid.SliceOfN(rapid.Uint8Range(OpRead, OpWrite), 1, 200).Draw(t, "asked")
		ios := make([]IO, 16)
		for len(asked) > 0 {
			k := min(len(asked), rapid.IntRange(1, len(ios)).Draw(t, "batch"))
			for i := range k {
				ios[i] = IO{Op: asked[i]}
			}
			for _, io := range ios[:s.Next(ios[:k])] {
				if io.Op >= OpSync {
					continue
				}
				if io.Op != asked[0] {
					t.Fatalf("asked for %d, got %+v", asked[0], io)
				}
				asked = asked[1:]
			}
		}
	})
}

func TestHugeTargetsTakeLittleMemory(t *testing.T) {
	huge := File{0, 16 << 40}
	for name, set := range map[string]func(*workloads.Job){
		"map":          func(*workloads.Job) {},
		"map, bsrange": func(j *workloads.Job) { j.BS[workloads.Read].Max = 1 << 20 },
		"map, 512":     func(j *workloads.Job) { j.BS[workloads.Read] = workloads.SizeRange{Min: 512, Max: 1 << 30} },
		"zipf":         func(j *workloads.Job) { j.Distribution[workloads.Read] = "zipf:0.9" },
		"no map":       func(j *workloads.Job) { j.NoRandomMap = true },
		"lfsr, bssplit": func(j *workloads.Job) {
			j.RandomGenerator, j.BSSplit[workloads.Read] = "lfsr", []workloads.Split{{Bytes: 4096, Percent: 1}, {Bytes: 1 << 20, Percent: 99}}
		},
	} {
		j := job(workloads.RWRandRead, 4096)
		set(j)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		drain(source(t, j, huge), 32, 10_000)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
			t.Errorf("%s: %d bytes allocated for a 16 TiB target", name, n)
		}
	}
}

func TestNothingAllocatesInNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyJob(t)
		c.Job.TimeBased = true
		s, err := New(c)
		if err != nil {
			return
		}
		ios := make([]IO, 32)
		if n := testing.AllocsPerRun(20, func() { s.Next(ios) }); n != 0 {
			t.Fatalf("Next allocates %v times", n)
		}
	})
}

func TestFaultsNameTheOption(t *testing.T) {
	for _, c := range []struct {
		code string
		set  func(*Config)
	}{
		{"FILES", func(c *Config) { c.Files = nil }},
		{"REGION", func(c *Config) { c.Files[0].Low = 100 }},
		{"REGION_TOO_SMALL", func(c *Config) { c.Files[0].High = 1024 }},
		{"REGION_TOO_SMALL", func(c *Config) {
			c.Job.BlockAlign[workloads.Read] = 1 << 30
			c.Job.Distribution[workloads.Read] = "zipf:1"
		}},
		{"BS", func(c *Config) { c.Job.BS[workloads.Read].Min = 0 }},
		{"BS_ALIGNMENT", func(c *Config) { c.Job.BS[workloads.Read] = workloads.SizeRange{Min: 1000, Max: 1000} }},
		{"BSSPLIT", func(c *Config) { c.Job.BSSplit[workloads.Read] = []workloads.Split{{Bytes: 4096}} }},
		{"BSSPLIT", func(c *Config) { c.Job.BSSplit[workloads.Read] = []workloads.Split{{Percent: 10}} }},
		{"BLOCKALIGN", func(c *Config) { c.Job.BlockAlign[workloads.Read] = 1000 }},
		{"RW_SKIP_ALIGNMENT", func(c *Config) { c.Job.RW, c.Job.RWSkipBytes = workloads.RWRead, 4 }},
		{"ZONEMODE", func(c *Config) { c.Job.Zones.Mode = "zbd" }},
		{"ZONEMODE", func(c *Config) {
			c.Job.Zones = workloads.Zones{Mode: "strided", SizeBytes: 8192}
			c.Job.Distribution[workloads.Read] = "zipf:1"
		}},
		{"ZONESIZE", func(c *Config) { c.Job.Zones.Mode = "strided" }},
		{"ZONES_TOO_SMALL", func(c *Config) { c.Job.Distribution[workloads.Read] = "zoned:100/0.0001:0/99" }},
		{"FILE_SERVICE", func(c *Config) { c.Job.FileService = "sometimes" }},
		{"FILE_SERVICE", func(c *Config) { c.Job.FileService = "roundrobin:0" }},
		{"DISTRIBUTION", func(c *Config) { c.Job.Distribution[workloads.Read] = "zipf" }},
		{"DISTRIBUTION", func(c *Config) { c.Job.FileService = "zipf:-1" }},
	} {
		config := Config{Job: job(workloads.RWRandRead, 4096), Files: []File{{0, 1 << 20}}, Align: 512}
		c.set(&config)
		_, err := New(config)
		if err == nil {
			t.Errorf("%s: no error", c.code)
			continue
		}
		if f := fault.Of(err); f.Code != c.code || f.Exit != fault.ExitUsage || f.Hint == "" {
			t.Errorf("got %+v, want code %s", f, c.code)
		}
	}
}

func TestParseDistribution(t *testing.T) {
	for _, bad := range []string{
		"zipf", "zipf:", "zipf:x", "zipf:-1", "zipf:1:2", "zipf:NaN", "zipf:1e9", "pareto:0", "pareto:1", "normal:0", "normal:101",
		"random:1", "uniform", "zoned", "zoned:60/10", "zoned:60/60:40/60", "zoned:50/0:50/100", "zoned:101/1", "zoned:-1/10:101/10",
		"zoned_abs:100/1x", "zoned_abs:100/", "zoned_abs:100/1e308p", "sequence", "sequence:-1", "sequence:a",
	} {
		if s, err := parseDistribution(bad); err == nil {
			t.Errorf("%q is taken as %+v", bad, s)
		}
	}
	for _, good := range []string{
		"", "random", "zipf:1", "zipf:0:1", "pareto:0.5:0", "normal:100", "gauss:5:0.1", "zoned:/50:/50", "zoned:50/5:50/",
		"zoned_abs:60/20G:40/0.5t", "sequence:1,2,3",
	} {
		if _, err := parseDistribution(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func FuzzParseDistribution(f *testing.F) {
	for _, s := range []string{"random", "zipf:1.2:0.25", "pareto:0.2", "normal:10", "zoned:60/10:30/20:/70", "zoned_abs:60/20g:40/1k", "sequence:2,0,1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseDistribution(text)
		if err != nil {
			return
		}
		rng := newWyrand(1)
		d, err := newDistribution(&s, 77, 4096, true, &rng)
		if err != nil {
			return
		}
		for range 100 {
			if b := d.draw(&rng); b >= 77 {
				t.Fatalf("%q drew block %d of 77", text, b)
			}
		}
	})
}
