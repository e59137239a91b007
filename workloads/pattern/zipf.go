package pattern

import "math"

// zipf draws ranks with probabilities in proportion to (rank+1)^-theta, for any theta >= 0. The first
// ranks stand in an alias table one by one; those behind them in cells that grow in proportion to the
// rank. Within a cell the probability hardly falls, so that a uniform draw is nearly always accepted
// without computing a power, and the few rejections make the result exact. The table takes some 30 KiB
// whatever the number of ranks, and a draw less than half of what rejection-inversion (Hörmann and
// Derflinger 1996) takes.
type zipf struct {
	theta float64
	table alias  // over the head's ranks, then the cells
	cells []cell // behind the head
	head  int
}

// cell is a range of ranks, counted from 1.
type cell struct {
	first, width uint64
	surely       uint64 // fractions up to this one are accepted whatever the rank
}

const (
	zipfHead = 256 // ranks in the table one by one
	zipfCell = 32  // the cell at rank r is r/zipfCell wide
)

// newZipf returns the distribution over n ranks, n >= 1.
func newZipf(theta float64, n uint64) *zipf {
	z := &zipf{theta: theta, head: int(min(n, zipfHead))}
	var weights []float64
	for rank := 1; rank <= z.head; rank++ {
		weights = append(weights, math.Pow(float64(rank), -theta))
	}
	for first := uint64(zipfHead + 1); first <= n; {
		width := min(first/zipfCell, n-first+1)
		z.cells = append(z.cells, cell{first, width, fraction(z.relative(first+width-1, first))})
		weights = append(weights, z.weight(first, width))
		first += width
	}
	z.table = newAlias(weights)
	return z
}

// relative returns how likely rank is compared with the rank first.
func (z *zipf) relative(rank, first uint64) float64 {
	return math.Exp(-z.theta * math.Log(float64(rank)/float64(first)))
}

// weight returns the sum of rank^-theta over a cell, by the Euler-Maclaurin formula; its first term left
// out is below 1e-9 of the result for the ranks behind the head.
func (z *zipf) weight(first, width uint64) float64 {
	a, b := float64(first), float64(first+width)
	fa, fb := math.Pow(a, -z.theta), math.Pow(b, -z.theta)
	integral := a * fa * math.Log(b/a)
	if t := (1 - z.theta) * math.Log(b/a); t != 0 {
		integral = a * fa * math.Expm1(t) / (1 - z.theta)
	}
	return integral + (fa-fb)/2 + z.theta*(fa/a-fb/b)/12
}

// draw returns a rank, counted from 0.
func (z *zipf) draw(rng *wyrand) uint64 {
	i := z.table.draw(rng)
	if i < z.head {
		return uint64(i)
	}
	c := &z.cells[i-z.head]
	for {
		step, u := rng.below(c.width)
		if u <= c.surely || u <= fraction(z.relative(c.first+step, c.first)) {
			return c.first + step - 1
		}
	}
}
