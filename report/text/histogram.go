package text

import (
	"math"
	"strings"

	"github.com/blkmeter/blkmeter/report"
)

// The steps that one decade of a histogram may be cut into, from fine to coarse: the E series of preferred
// numbers (IEC 60063), then 1-2-5.
func decadeSteps() [][]float64 {
	return [][]float64{
		{1, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2},
		{1, 1.5, 2.2, 3.3, 4.7, 6.8},
		{1, 2, 5},
		{1},
	}
}

// mostRows is how many rows a histogram may have.
const mostRows = 20

// edges returns the lower edges, in ns, of logarithmically spaced rows that cover low..high: the finest
// spacing that needs no more than mostRows.
func edges(low, high int64) []float64 {
	var rows []float64
	for _, steps := range decadeSteps() {
		rows = rows[:0]
		var below float64
		for decade := 1.0; decade <= float64(high); decade *= 10 {
			for _, step := range steps {
				// Decimal steps are not exact in binary: 4.7*10 is 47.0000001.
				switch edge := math.Round(step*decade*10) / 10; {
				case edge <= float64(low):
					below = edge
				case edge <= float64(high):
					rows = append(rows, edge)
				}
			}
		}
		rows = append([]float64{below}, rows...)
		if len(rows) <= mostRows {
			break
		}
	}
	return rows
}

// rowCounts counts the samples at or above each edge and below the next. A bucket that an edge cuts belongs
// to the row of its lowest value.
func rowCounts(buckets []report.Bucket, rows []float64) []int64 {
	counts := make([]int64, len(rows))
	i := 0
	for _, b := range buckets {
		for i+1 < len(rows) && float64(b.LowestNS) >= rows[i+1] {
			i++
		}
		counts[i] += b.Count
	}
	return counts
}

// column is one direction's side of a histogram.
type column struct {
	title   string
	latency *report.Latency
}

// histogram draws the distributions side by side over common rows. Bars are linear in the count; whatever
// is not empty shows at least a dot.
func (p *page) histogram(columns []column) error {
	low, high := int64(math.MaxInt64), int64(0)
	for _, c := range columns {
		low, high = min(low, c.latency.MinNS), max(high, c.latency.MaxNS)
	}
	rows := edges(low, high)
	counts := make([][]int64, len(columns))
	for i, c := range columns {
		buckets, err := c.latency.Buckets()
		if err != nil {
			return err
		}
		counts[i] = rowCounts(buckets, rows)
	}

	const label, share = 9, 7 // "   470 us", "  45.20"
	each := (p.width-2-label)/len(columns) - 2
	bars := each - share - 1
	p.put(dim, padLeft("from", 2+label))
	for _, c := range columns {
		p.put(dim, "  "+padRight(c.title, bars)+padLeft("%", share+1))
	}
	p.end()
	empty := 0
	for r, edge := range rows {
		var any int64
		for i := range columns {
			any += counts[i][r]
		}
		if any == 0 {
			if empty++; empty > 1 { // a gap is one line, however wide
				continue
			}
			p.line(dim, padLeft("...", 2+label))
			continue
		}
		empty = 0
		p.put(plain, "  "+padLeft(trimZeros(duration(edge)), label))
		for i, c := range columns {
			p.put(plain, "  "+padRight(bar(counts[i][r], maxOf(counts[i]), bars), bars))
			of := ""
			if counts[i][r] > 0 {
				of = percent(100 * float64(counts[i][r]) / float64(c.latency.N))
			}
			p.put(plain, padLeft(of, share+1))
		}
		p.end()
	}
	return nil
}

func maxOf(counts []int64) int64 {
	most := int64(1)
	for _, c := range counts {
		most = max(most, c)
	}
	return most
}

func bar(n, most int64, width int) string {
	if n == 0 {
		return ""
	}
	if length := int(math.Round(float64(n) / float64(most) * float64(width))); length > 0 {
		return strings.Repeat("#", length)
	}
	return "."
}
