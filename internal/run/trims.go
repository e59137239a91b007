package run

import (
	"math/rand/v2"

	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// trimming trims a share of what a job that verifies has written (trim_percentage, trim_backlog): after so
// many writes, a batch of them.
type trimming struct {
	percent      int
	every, batch uint64
	rng          *rand.Rand
	chosen       []span // written and to be trimmed, oldest first
	written      uint64 // since the last batch
	left         uint64 // of the batches that are due
}

// mostChosen bounds what waits to be trimmed, when batches are smaller than what the writes add.
const mostChosen = 1 << 16

// newTrimming returns nil when the job does not ask for it.
func newTrimming(v *workloads.Verify, seed uint64) *trimming {
	if v.TrimPercent == 0 || v.TrimBacklog == 0 {
		return nil
	}
	batch := v.TrimBatch
	if batch == 0 {
		batch = v.TrimBacklog
	}
	return &trimming{percent: v.TrimPercent, every: v.TrimBacklog, batch: min(batch, mostChosen), rng: rand.New(rand.NewPCG(seed, 0x7472696d)), chosen: make([]span, 0, mostChosen)}
}

// wrote notes a write that was done.
func (t *trimming) wrote(at span) {
	if t == nil {
		return
	}
	t.written++
	if len(t.chosen) < cap(t.chosen) && t.rng.IntN(100) < t.percent {
		t.chosen = append(t.chosen, at)
	}
}

// next fills ios from the front with the trims that are due, and returns how many there are.
func (t *trimming) next(ios []pattern.IO) int {
	if t == nil {
		return 0
	}
	t.left += t.written / t.every * t.batch
	t.written %= t.every
	n := int(min(t.left, uint64(len(t.chosen)), uint64(len(ios))))
	for i, at := range t.chosen[:n] {
		ios[i] = pattern.IO{Offset: at.offset, Length: at.length, File: at.file, Op: pattern.OpTrim}
	}
	t.chosen = t.chosen[:copy(t.chosen, t.chosen[n:])]
	if t.left -= uint64(n); len(t.chosen) == 0 {
		t.left = 0
	}
	return n
}
