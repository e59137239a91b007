package text

import (
	"math"
	"strings"

	"github.com/blkmeter/blkmeter/report"
)

// steps are the edges of rows within one decade.
type steps []float64

// The E series of preferred numbers (IEC 60063), from fine to coarse, then 1-2-5 and whole decades.
func allSteps() []steps {
	return []steps{
		{1, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2, 2.2, 2.4, 2.7, 3, 3.3, 3.6, 3.9, 4.3, 4.7, 5.1, 5.6, 6.2, 6.8, 7.5, 8.2, 9.1},
		{1, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2},
		{1, 1.5, 2.2, 3.3, 4.7, 6.8},
		{1, 2, 5},
		{1},
	}
}

// edges returns the edges from the one at or below low up to high, in ns.
func (s steps) edges(low, high float64) []float64 {
	var edges []float64
	for decade := 1.0; decade <= high; decade *= 10 {
		for _, step := range s {
			edge := math.Round(step*decade*10) / 10 // 4.7*10 is 47.0000001
			if edge > high {
				break
			}
			if edge <= low {
				edges = edges[:0] // a lower one is not needed
			}
			edges = append(edges, edge)
		}
	}
	if len(edges) == 0 || edges[0] > low {
		edges = append([]float64{0}, edges...)
	}
	return edges
}

// mostRows is how many rows a histogram may have.
const mostRows = 20

// apart is how far the rows of a tail keep from those of the middle.
const apart = 1.2

// scope is what the rows of a histogram have to cover: low to high, of which from to to, where most samples
// lie, deserves the finer rows.
type scope struct{ low, from, to, high float64 }

// rows returns the lower edges of logarithmically spaced rows: the finest in the middle that make no more
// than mostRows together with coarse ones for the tails.
func (s scope) rows() []float64 {
	all := allSteps()
	var rows []float64
	for _, tails := range all[len(all)-2:] {
		for _, middle := range all {
			rows = rows[:0]
			fine := middle.edges(s.from, s.to)
			if s.low < fine[0] {
				for i, edge := range tails.edges(s.low, fine[0]) {
					if edge < fine[0] && (i == 0 || edge*apart < fine[0]) {
						rows = append(rows, edge)
					}
				}
			}
			rows = append(rows, fine...)
			for _, edge := range tails.edges(s.to, s.high) {
				if edge > apart*rows[len(rows)-1] {
					rows = append(rows, edge)
				}
			}
			if len(rows) <= mostRows {
				return rows
			}
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

// scopeOf spans all columns; the middle reaches from the lowest 1st to the highest 99th percentile.
func scopeOf(columns []column) scope {
	s := scope{low: math.Inf(1), from: math.Inf(1)}
	for _, c := range columns {
		l := c.latency
		from, to := l.MinNS, l.MaxNS
		for _, p := range l.Percentiles {
			switch p.Percent {
			case 1:
				from = p.ValueNS
			case 99:
				to = p.ValueNS
			}
		}
		s.low, s.high = min(s.low, float64(l.MinNS)), max(s.high, float64(l.MaxNS))
		s.from, s.to = min(s.from, float64(from)), max(s.to, float64(to))
	}
	return s
}

// histogram draws the distributions side by side over common rows. Bars are linear in the count; whatever
// is not empty shows at least a dot.
func (p *page) histogram(columns []column) error {
	rows := scopeOf(columns).rows()
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
