package pattern

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/workloads"
)

func job(rw workloads.RW, bs uint32) *workloads.Job {
	j := workloads.DefaultJob()
	j.RW = rw
	for d := range j.BS {
		j.BS[d] = workloads.SizeRange{Min: bs, Max: bs}
	}
	return &j
}

func source(tb testing.TB, j *workloads.Job, files ...File) Source {
	tb.Helper()
	s, err := New(Config{Job: j, Files: files, Seed: 1, Align: 512})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// drain takes I/Os from s in batches of the given size until it is done or has yielded most.
func drain(s Source, batch, most int) []IO {
	var all []IO
	ios := make([]IO, batch)
	for len(all) < most {
		n := s.Next(ios)
		all = append(all, ios[:n]...)
		if n < batch {
			break
		}
	}
	return all
}

func TestSequentialGoesBlockByBlock(t *testing.T) {
	got := drain(source(t, job(workloads.RWWrite, 4096), File{8192, 8192 + 3*4096 + 512}), 2, 100)
	want := []IO{{8192, 4096, 0, OpWrite, 0}, {12288, 4096, 0, OpWrite, 0}, {16384, 4096, 0, OpWrite, 0}}
	if len(got) != len(want) {
		t.Fatalf("got %d I/Os, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("I/O %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestEveryBlockOncePerPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.Int64Range(1, 5000).Draw(t, "blocks")
		tail := rapid.Int64Range(0, 7).Draw(t, "tail") * 512
		low := rapid.Int64Range(0, 100).Draw(t, "low") * 512
		batch := rapid.IntRange(1, 100).Draw(t, "batch")
		rw := rapid.SampledFrom([]workloads.RW{workloads.RWRandRead, workloads.RWRandRW, workloads.RWRead}).Draw(t, "rw")
		j := job(rw, 4096)
		j.Loops = rapid.IntRange(1, 3).Draw(t, "loops")
		s, err := New(Config{Job: j, Files: []File{{low, low + blocks*4096 + tail}}, Seed: rapid.Uint64().Draw(t, "seed"), Align: 512})
		if err != nil {
			t.Fatal(err)
		}
		all := drain(s, batch, math.MaxInt)
		if len(all) != int(blocks)*j.Loops {
			t.Fatalf("%d I/Os, want %d in each of %d passes", len(all), blocks, j.Loops)
		}
		for pass := range j.Loops {
			seen := make([]bool, blocks)
			for _, io := range all[pass*int(blocks) : (pass+1)*int(blocks)] {
				b := (io.Offset - low) / 4096
				if (io.Offset-low)%4096 != 0 || b < 0 || b >= blocks || io.Length != 4096 {
					t.Fatalf("%+v is no block of the region", io)
				}
				if seen[b] {
					t.Fatalf("pass %d: block %d came twice", pass, b)
				}
				seen[b] = true
			}
		}
	})
}

func TestEqualSeedsAreRepeatableAndClonesDiffer(t *testing.T) {
	for _, rw := range []workloads.RW{workloads.RWRandRead, workloads.RWRandRW} {
		for _, norandommap := range []bool{false, true} {
			sequence := func(seed uint64, clone, batch int) []IO {
				j := job(rw, 4096)
				j.NoRandomMap = norandommap
				s, err := New(Config{Job: j, Files: []File{{0, 1 << 24}}, Seed: seed, Clone: clone, Align: 512})
				if err != nil {
					t.Fatal(err)
				}
				return drain(s, batch, 1<<12)
			}
			a := sequence(7, 0, 1)
			if shared(a, sequence(7, 0, 33)) != len(a) {
				t.Errorf("%v: the same seed and clone gave another sequence", rw)
			}
			// Two random sequences of 4096 blocks out of 4096 agree in about one place.
			if n := shared(a, sequence(7, 1, 1)); n > 20 {
				t.Errorf("%v: clones 0 and 1 agree in %d places", rw, n)
			}
			if n := shared(a, sequence(8, 0, 1)); n > 20 {
				t.Errorf("%v: seeds 7 and 8 agree in %d places", rw, n)
			}
		}
	}
}

// shared counts the places in which a and b have the same offset.
func shared(a, b []IO) int {
	n := 0
	for i := range min(len(a), len(b)) {
		if a[i].Offset == b[i].Offset {
			n++
		}
	}
	return n
}

func TestMixShares(t *testing.T) {
	for _, rw := range []workloads.RW{workloads.RWReadWrite, workloads.RWRandRW} {
		for _, percent := range []int{0, 1, 30, 50, 99, 100} {
			j := job(rw, 4096)
			j.MixReadPercent = percent
			const n = 1 << 16
			reads := 0
			for _, io := range drain(source(t, j, File{0, n * 4096}), 32, n) {
				if io.Op == OpRead {
					reads++
				}
			}
			p := float64(percent) / 100
			// Five standard deviations of the binomial distribution.
			if d := math.Abs(float64(reads) - n*p); d > 5*math.Sqrt(n*p*(1-p)) {
				t.Errorf("%v at %d %%: %d of %d are reads", rw, percent, reads, n)
			}
		}
	}
}

// With the map and sizes that differ between reads and writes, neither takes the region away from the other,
// however small it is: reads keep their share of the I/Os.
func TestMixSharesWithSizesOfTheirOwn(t *testing.T) {
	for _, size := range []int64{1 << 20, 64 << 20, 1 << 30} {
		for _, percent := range []int{5, 50, 80} {
			for _, bs := range [][2]uint32{{4096, 8192}, {8192, 4096}, {4096, 65536}} {
				if size < 64*int64(max(bs[0], bs[1])) {
					continue // each block once and a share of the I/Os exclude each other there
				}
				reads, all, passes := 0, 0, 1+int((4<<20)/size)
				for seed := range passes {
					j := job(workloads.RWRandRW, bs[0])
					j.MixReadPercent = percent
					j.BS[workloads.Write] = workloads.SizeRange{Min: bs[1], Max: bs[1]}
					s, err := New(Config{Job: j, Files: []File{{0, size}}, Seed: uint64(seed), Align: 512})
					if err != nil {
						t.Fatal(err)
					}
					for _, io := range drain(s, 32, math.MaxInt) {
						all++
						if io.Op == OpRead {
							reads++
						}
					}
				}
				p := float64(percent) / 100
				// Five standard deviations, and what may be left over for the other direction at a pass's end.
				allowed := 5*math.Sqrt(float64(all)*p*(1-p)) + 0.02*float64(all)
				if d := math.Abs(float64(reads) - float64(all)*p); d > allowed {
					t.Errorf("%d bytes, %v, %d %%: %d of %d are reads", size, bs, percent, reads, all)
				}
			}
		}
	}
}

func TestLimits(t *testing.T) {
	region := File{0, 16 * 4096}
	for _, c := range []struct {
		name string
		set  func(*workloads.Job)
		want int
	}{
		{"the region", func(*workloads.Job) {}, 16},
		{"loops", func(j *workloads.Job) { j.Loops = 3 }, 48},
		{"io_size below size", func(j *workloads.Job) { j.IOSize = workloads.Amount{Bytes: 5 * 4096, Set: true} }, 5},
		{"io_size above size", func(j *workloads.Job) { j.IOSize = workloads.Amount{Bytes: 40*4096 + 1, Set: true} }, 41},
		{"io_size in percent", func(j *workloads.Job) { j.IOSize = workloads.Amount{Percent: 50, IsPct: true, Set: true} }, 8},
		{"number_ios", func(j *workloads.Job) { j.NumberIOs = 3 }, 3},
		{"number_ios beyond size", func(j *workloads.Job) { j.NumberIOs = 50 }, 16},
		{"number_ios and loops", func(j *workloads.Job) { j.NumberIOs, j.Loops = 3, 2 }, 6},
		{"time_based", func(j *workloads.Job) { j.TimeBased = true }, 1000},
		{"time_based and number_ios", func(j *workloads.Job) { j.TimeBased, j.NumberIOs = true, 99 }, 99},
	} {
		for _, rw := range []workloads.RW{workloads.RWRead, workloads.RWReadWrite, workloads.RWRandRead} {
			j := job(rw, 4096)
			c.set(j)
			if got := len(drain(source(t, j, region), 10, 1000)); got != c.want {
				t.Errorf("%s, %v: %d I/Os, want %d", c.name, rw, got, c.want)
			}
		}
	}
}

func TestSyncsFollowWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := job(rapid.SampledFrom([]workloads.RW{workloads.RWWrite, workloads.RWReadWrite, workloads.RWRandRW}).Draw(t, "rw"), 4096)
		j.FsyncEvery = rapid.IntRange(0, 5).Draw(t, "fsync")
		j.FdatasyncEvery = rapid.IntRange(0, 5).Draw(t, "fdatasync")
		j.SyncRange.Every = rapid.IntRange(0, 5).Draw(t, "sync_file_range")
		const blocks = 100
		s, err := New(Config{Job: j, Files: []File{{0, blocks * 4096}}, Seed: rapid.Uint64().Draw(t, "seed"), Align: 4096})
		if err != nil {
			t.Fatal(err)
		}
		writes, all, previous := 0, 0, IO{}
		low, high := int64(math.MaxInt64), int64(0) // written since the last sync_file_range
		for _, io := range drain(s, rapid.IntRange(1, 40).Draw(t, "batch"), math.MaxInt) {
			every := func(n int) bool { return n > 0 && previous.Op == OpWrite && writes%n == 0 }
			want := OpRead // or any other but a sync
			switch {
			case every(j.FsyncEvery):
				want = OpSync
			case every(j.FdatasyncEvery):
				want = OpDatasync
			case every(j.SyncRange.Every):
				want = OpSyncRange
				if io.Offset != low || int64(io.Length) != high-low {
					t.Fatalf("%+v after writes to %d..%d", io, low, high)
				}
				low, high = math.MaxInt64, 0
			case io.Op >= OpSync:
				t.Fatalf("%+v after write %d", io, writes)
			}
			if want >= OpSync && io.Op != want {
				t.Fatalf("%+v after write %d, want a sync (%d)", io, writes, want)
			}
			if io.Op == OpWrite {
				writes++
				low, high = min(low, io.Offset), max(high, io.Offset+int64(io.Length))
			}
			if io.Op < OpSync {
				all++
			}
			previous = io
		}
		if all != blocks {
			t.Fatalf("%d reads and writes, want %d", all, blocks)
		}
		if n := j.FsyncEvery; n > 0 && writes > 0 && writes%n == 0 && previous.Op == OpWrite {
			t.Fatalf("the last write, number %d, has no sync", writes)
		}
	})
}

func TestNextDoesNotAllocate(t *testing.T) {
	for _, rw := range []workloads.RW{workloads.RWRead, workloads.RWReadWrite, workloads.RWRandRead, workloads.RWRandRW} {
		for _, norandommap := range []bool{false, true} {
			j := job(rw, 4096)
			j.TimeBased, j.NoRandomMap, j.FsyncEvery = true, norandommap, 3
			s := source(t, j, File{0, 100 * 4096})
			ios := make([]IO, 32)
			if n := testing.AllocsPerRun(100, func() { s.Next(ios) }); n != 0 {
				t.Errorf("%v: Next allocates %v times", rw, n)
			}
		}
	}
}

func TestPermutationIsABijection(t *testing.T) {
	rng := newWyrand(3)
	for n := uint64(1); n <= 4096; n = n*3/2 + 1 {
		p := newPermutation(n, &rng)
		if p.size < n || p.size >= max(2*n, minDomain+1) {
			t.Fatalf("%d numbers permuted in a domain of %d", n, p.size)
		}
		seen := make([]bool, p.size)
		for x := range p.size - 1 + 1 {
			y := p.at(x)
			if y >= p.size || seen[y] {
				t.Fatalf("n=%d: %d -> %d, out of range or met before", n, x, y)
			}
			seen[y] = true
		}
	}
}

// inOrder returns the first most numbers below n in the order of a permutation.
func inOrder(n uint64, most int, rng *wyrand) []uint64 {
	p := newPermutation(n, rng)
	var order []uint64
	for x := uint64(0); x < p.size && len(order) < most; x++ {
		if b := p.at(x); b < n {
			order = append(order, b)
		}
	}
	return order
}

func TestEachPassIsAnotherOrder(t *testing.T) {
	// Over many passes every ordered pair of blocks stands equally often in two neighbouring places.
	const passes = 5000
	for _, n := range []uint64{2, 4, 5, 16, 33, 64} {
		rng := newWyrand(n)
		counts := make([]int, n*n)
		for range passes {
			order := inOrder(n, int(n), &rng)
			i := (n - 1) / 2
			counts[order[i]*n+order[i+1]]++
		}
		chiSquare(t, fmt.Sprintf("pairs of %d blocks", n), counts, func(i int) float64 {
			if uint64(i)/n == uint64(i)%n {
				return 0
			}
			return 1 / float64(n*(n-1))
		})
	}
}

func TestOrderOfAPassLooksRandom(t *testing.T) {
	const draws, parts = 1 << 18, 16
	for _, n := range []uint64{1 << 20, 1<<20 + 5, 3 << 20, 1<<28 + 7, 1 << 32} {
		rng := newWyrand(n)
		order := inOrder(n, draws, &rng)
		near, part := make([]int, parts*parts), func(b uint64) int { return int(b * parts / n) }
		far, bits := slices.Clone(near), make([]int, 256)
		for i := 2; i < len(order); i++ {
			near[part(order[i-1])*parts+part(order[i])]++
			far[part(order[i-2])*parts+part(order[i])]++
			bits[(order[i]^order[i-1])&255]++
		}
		even := func(int) float64 { return 1. / 256 }
		chiSquare(t, fmt.Sprintf("%d blocks, where the next I/O goes", n), near, even)
		chiSquare(t, fmt.Sprintf("%d blocks, where the one after it goes", n), far, even)
		chiSquare(t, fmt.Sprintf("%d blocks, low bits", n), bits, even)
	}
}

// Unaligned sizes are drawn as fio draws them: from the smallest to the smallest and the largest together, and cut to
// the largest.
func TestUnalignedSizesHaveFiosShares(t *testing.T) {
	j := workloads.DefaultJob()
	j.BSUnaligned = true
	j.BS[workloads.Read] = workloads.SizeRange{Min: 1 << 10, Max: 8 << 10}
	s, err := newSizes(&j, workloads.Read)
	if err != nil {
		t.Fatal(err)
	}
	rng := newWyrand(1)
	const draws = 1 << 16
	var largest, odd int
	var total int64
	for range draws {
		length := s.draw(&rng)
		if length < 1<<10 || length > 8<<10 {
			t.Fatalf("a length of %d", length)
		}
		total += int64(length)
		if length == 8<<10 {
			largest++
		}
		odd += int(length & 1)
	}
	// An eighth is cut to 8 KiB; the others are even between the ends, with a mean of 4.5 KiB.
	if share := float64(largest) / draws; share < 0.12 || share > 0.13 {
		t.Errorf("%.3f of the lengths are the largest, want 0.125", share)
	}
	if mean := float64(total) / draws; mean < 5020 || mean > 5100 {
		t.Errorf("the mean is %.0f bytes, want %.0f", mean, 0.875*4608+0.125*8192)
	}
	if odd < draws/3 {
		t.Errorf("only %d of %d lengths are odd", odd, draws)
	}
}
