package content

import (
	"crypto/sha256"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// hashes counts how often each content occurs.
func hashes(all [][]byte) map[[32]byte]int {
	counts := map[[32]byte]int{}
	for _, b := range all {
		counts[sha256.Sum256(b)]++
	}
	return counts
}

// Of buffers that are drawn from a set, the share that was asked for repeats, all of it buffers of the set, and
// each of them about as often as any other.
func TestRepeatsComeFromTheSet(t *testing.T) {
	const n = 20_000
	rapid.Check(t, func(t *rapid.T) {
		percent, set := rapid.IntRange(1, 100).Draw(t, "percent"), rapid.IntRange(1, 200).Draw(t, "set")
		s := spec()
		s.DedupePercent = percent
		f, err := NewFiller(s, nil, 64, rapid.Bool().Draw(t, "mixed"), rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		f.DrawFrom(uint64(set), 7)
		counts := map[[32]byte]int{}
		buf := make([]byte, 64)
		for i := range n {
			f.Fill(buf, int64(i)*64)
			counts[sha256.Sum256(buf)]++
		}
		share := float64(percent) / 100
		repeated, sets := 0, 0
		for _, c := range counts {
			if c > 1 {
				repeated += c
				sets++
			}
		}
		if sets > set {
			t.Errorf("%d different buffers repeat, and the set has %d", sets, set)
		}
		// A buffer of the set that was drawn only once is not seen to repeat: at this n they are few.
		expected := n * share
		slack := 5*math.Sqrt(n*share*(1-share)) + n*share*math.Exp(-n*share/float64(set)) + 1
		if math.Abs(float64(repeated)-expected) > slack {
			t.Errorf("%d of %d buffers repeat, want %.0f", repeated, n, expected)
		}
		each := expected / float64(set)
		for _, c := range counts {
			if c > 1 && math.Abs(float64(c)-each) > 7*math.Sqrt(each)+2 {
				t.Errorf("a buffer occurs %d times, want about %.0f", c, each)
			}
		}
	})
}

// Fillers with one seed for the set have it in common, and what does not repeat is still each one's own.
func TestASetIsSharedByItsSeed(t *testing.T) {
	const n = 2000
	fill := func(seed, setSeed uint64) map[[32]byte]int {
		s := spec()
		s.DedupePercent = 50
		f, err := NewFiller(s, nil, 64, false, seed)
		if err != nil {
			t.Fatal(err)
		}
		f.DrawFrom(20, setSeed)
		return hashes(written(t, f, n, 64, false))
	}
	common := func(a, b map[[32]byte]int) (n int) {
		for h := range a {
			if b[h] > 0 {
				n++
			}
		}
		return n
	}
	first := fill(1, 9)
	if got := common(first, fill(2, 9)); got != 20 {
		t.Errorf("%d buffers in common with a shared set of 20", got)
	}
	if got := common(first, fill(2, 10)); got != 0 {
		t.Errorf("%d buffers in common with sets of their own", got)
	}
}
