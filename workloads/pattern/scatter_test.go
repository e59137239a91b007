package pattern

import (
	"fmt"
	"testing"
)

func TestScatterIsABijection(t *testing.T) {
	rng := newWyrand(5)
	for n := uint64(1); n <= 100_000; n = n*4/3 + 1 {
		s := newScatter(n, &rng)
		if size := s.m << s.k; size < n || size > n+n/32+1 {
			t.Fatalf("%d numbers scattered in a domain of %d", n, size)
		}
		seen := make([]bool, n)
		for x := range n {
			y := s.at(x)
			if y >= n || seen[y] {
				t.Fatalf("n=%d: %d -> %d, out of range or met before", n, x, y)
			}
			seen[y] = true
		}
	}
}

func TestScatterSpreadsTheFirst(t *testing.T) {
	// Where each of the first numbers lands is even over the keys, and so is where two of them land.
	const draws, parts = 20_000, 16
	for _, n := range []uint64{4096, 1 << 20, 3 << 28} {
		rng := newWyrand(n)
		counts := make([]int, parts*parts)
		for i := range uint64(draws) {
			s := newScatter(n, &rng)
			a, b := s.at(i%10), s.at(i%10+1)
			counts[a*parts/n*parts+b*parts/n]++
		}
		chiSquare(t, fmt.Sprintf("%d blocks", n), counts, func(int) float64 { return 1. / (parts * parts) })
	}
}
