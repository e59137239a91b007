package run

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"

	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/content"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// checking is what a job that verifies has beside the others; its workers share it. A job that only keeps its
// I/Os apart (serialize_overlap) has one, too: for each worker its own, and without a method.
type checking struct {
	spec    workloads.Verify
	pattern *content.Pattern
	block   int64 // bytes that every I/O is made up of
	seed    uint64
	regions map[string]*region // by resolved path of the target
	order   []*region          // in the order of the job's targets
	keeps   bool               // the job changes its regions, and keeps I/Os on the same blocks apart
	passes  int                // how often the pattern runs; what a pass wrote is read back before the next
	meeting *meeting           // of the workers, between writing and reading back
}

// region is what a job's workers check in one target.
type region struct {
	low, high int64
	ledger    *content.Ledger // nil when nothing is known of who wrote what is read

	mu sync.Mutex
	at int64 // what lies before was handed out to be read back
}

// next hands out the next bytes to read back, at most so many; false when there are no more.
func (r *region) next(most uint32) (offset int64, length uint32, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if offset, length, ok = r.ledger.Known(r.at, most); ok {
		r.at = offset + int64(length)
	}
	return offset, length, ok && offset < r.high
}

// rewind has next begin again at the start of each region.
func (k *checking) rewind() {
	for _, r := range k.order {
		r.at = r.low
	}
}

// verify prepares a job to check its data, once its workers have their regions.
func (c *conductor) verify(j *jobRun) error {
	s := j.spec
	if s.Verify.Kind == "" {
		return nil
	}
	bad := func(code, hint, why string) error {
		return fault.Usage(code, hint, "job %s: verify=%s: %s", s.Name, s.Verify.Kind, why)
	}
	if j.choice.Name == catalog.Null {
		return bad("VERIFY_NULL", "use another engine, or leave verify out", "the null engine keeps nothing that could be read back")
	}
	if renews(s) {
		return bad("VERIFY_UNLINK", "leave one of them out", "unlink_each_loop removes what is to be read back")
	}
	if s.Verify.Only && !s.RW.Does(workloads.Write) {
		return bad("VERIFY_ONLY", "give the rw= that the data was written with", "verify_only checks what a writing job wrote, and this one only reads")
	}
	if err := checkState(c, s); err != nil {
		return err
	}
	if s.Verify.Only && !s.Verify.StateLoad && s.Trims() && (s.Verify.TrimBacklog > 0 || among(j.workers)) {
		return bad("VERIFY_ONLY", "write with verify_state_save=1, and check with verify_state_load=1", "which of the writes and trims came last is not known without a saved state")
	}
	// Blocks of this run differ from those of every other, or a lost write would show the same data.
	k := &checking{spec: s.Verify, seed: rand.Uint64(), keeps: changes(s), passes: passesOf(s), meeting: newMeeting(len(j.workers))}
	if s.Verify.Pattern != "" {
		var err error
		if k.pattern, err = content.ParsePattern(s.Verify.Pattern, os.ReadFile); err != nil {
			return fmt.Errorf("job %s: verify_pattern: %w", s.Name, err)
		}
	}
	k.survey(j.workers)
	k.block = k.blockOf(j, j.workers)
	if err := c.expect(j, k); err != nil {
		return err
	}
	for _, w := range j.workers {
		v := k.worker(w, j.depth)
		v.reads, v.dumpTo, v.back = s.Verify.Only, c.o.DumpDir, newReadBack(j.depth, j.choice.Sync)
		verifier := func() (*content.Verifier, error) {
			return content.NewVerifier(&k.spec, k.pattern, int(k.block), w.index, k.seed)
		}
		var err error
		if v.verifier, err = verifier(); err == nil && s.Verify.Async > 0 {
			v.beside, err = newCheckers(v, w, s.Verify.Async, s.Verify.AsyncCPUs, verifier)
		}
		if err != nil {
			return fmt.Errorf("job %s: %w", s.Name, err)
		}
		if s.Verify.Backlog > 0 {
			v.backlog = make([]span, 0, s.Verify.Backlog+uint64(j.depth))
		}
		if k.keeps {
			v.trims = newTrimming(&s.Verify, j.seed+uint64(w.index))
		}
		w.filler = nil
	}
	return nil
}

// expect gives the regions their ledgers: empty ones for what the job will write, those of a saved state, or,
// when nothing is known of who wrote what is read, none.
func (c *conductor) expect(j *jobRun, k *checking) error {
	s := j.spec
	if s.Verify.StateLoad {
		saved, err := c.loadState(j)
		if err != nil {
			return fmt.Errorf("job %s: %w", s.Name, err)
		}
		return k.adopt(s, saved)
	}
	if !k.keeps {
		// Of what another run wrote it is not known which, and how often.
		k.spec.HeaderSeed, k.spec.WriteSequence = false, false
	}
	if !s.RW.Destructive() {
		return nil
	}
	if s.Verify.StateSave && k.keeps {
		saved := &content.SavedState{
			Kind: s.Verify.Kind, IntervalBytes: uint32(cmp.Or(s.Verify.IntervalBytes, k.block)), BlockBytes: k.block,
			Seed: k.seed, Trims: s.Trims(),
		}
		for _, r := range k.order {
			saved.Regions = append(saved.Regions, content.Extent{Low: r.low, High: r.high})
		}
		var err error
		if j.state, err = c.createState(j, saved); err != nil {
			return err
		}
		for i, r := range k.order {
			r.ledger = saved.Ledgers[i]
		}
		return nil
	}
	return k.begin(s)
}

// begin gives the regions empty ledgers.
func (k *checking) begin(s *workloads.Job) (err error) {
	for _, r := range k.order {
		if r.ledger, err = content.NewLedger(r.low, r.high, k.block); err != nil {
			return fmt.Errorf("job %s: %w", s.Name, err)
		}
	}
	return nil
}

// checkState refuses what verify_state_save and verify_state_load cannot do.
func checkState(c *conductor, s *workloads.Job) error {
	bad := func(hint, why string) error { return fault.Usage("VERIFY_STATE_USE", hint, "job %s: %s", s.Name, why) }
	switch {
	case s.Verify.StateLoad && changes(s):
		return bad("add verify_only=1, or use rw=read or randread", "verify_state_load checks what an earlier run wrote, and this job writes")
	case s.Verify.StateSave && changes(s) && c.o.Explain:
		return bad("leave one of them out", "--explain runs the job once more, and the saved verify state would not be that of the data")
	}
	return nil
}

// survey finds the regions of some workers.
func (k *checking) survey(workers []*worker) {
	k.regions = map[string]*region{}
	for _, w := range workers {
		for i, t := range w.targets {
			r := k.regions[t.Resolved()]
			if r == nil {
				r = &region{low: w.files[i].Low, high: w.files[i].High}
				k.regions[t.Resolved()] = r
				k.order = append(k.order, r)
			}
			r.low, r.high = min(r.low, w.files[i].Low), max(r.high, w.files[i].High)
		}
	}
}

// worker gives a worker its part.
func (k *checking) worker(w *worker, depth int) *verifying {
	v := &verifying{checking: k, waiting: make([]pattern.IO, 0, depth)}
	for _, t := range w.targets {
		v.regions = append(v.regions, k.regions[t.Resolved()])
	}
	v.counts.Faults = []report.FaultCount{}
	v.counts.Mismatches = []report.Mismatch{}
	w.verify = v
	return v
}

// serialize has the workers of a job that does not verify keep overlapping I/Os apart (serialize_overlap), each
// its own, as fio does. With one I/O in flight there is nothing to keep apart, nor among reads.
func (c *conductor) serialize(j *jobRun) error {
	s := j.spec
	if !s.SerializeOverlap || s.Verify.Kind != "" || !s.RW.Destructive() || j.depth == 1 {
		return nil
	}
	for _, w := range j.workers {
		alone := []*worker{w}
		k := &checking{keeps: true, passes: 1, meeting: newMeeting(1)}
		k.survey(alone)
		k.block = max(k.blockOf(j, alone), 512) // a block more or less makes an I/O wait, and no more
		if err := k.begin(s); err != nil {
			return err
		}
		k.worker(w, j.depth)
	}
	j.decide("serialize_overlap", "on", "an I/O waits while another one of its worker is in flight on the same bytes")
	return nil
}

// blockOf returns the largest number of bytes that every I/O of the job is made up of.
func (k *checking) blockOf(j *jobRun, workers []*worker) int64 {
	s := j.spec
	block := max(s.RWSkipBytes, -s.RWSkipBytes)
	for d := workloads.Read; d < workloads.Directions; d++ {
		if !s.RW.Does(d) && !(s.BSIsSeqRand && d != workloads.Trim) {
			continue
		}
		block = gcd(block, int64(s.BS[d].Min))
		if s.BS[d].Max != s.BS[d].Min && s.BSUnaligned {
			block = 1
		}
		for _, e := range s.BSSplit[d] {
			block = gcd(block, int64(e.Bytes))
		}
		block = gcd(block, int64(s.BlockAlign[d]))
	}
	if s.Zones.SizeBytes > 0 {
		block = gcd(gcd(block, s.Zones.RangeBytes), s.Zones.SkipBytes)
	}
	for _, w := range workers {
		for i, t := range w.targets {
			block = gcd(block, w.files[i].Low-k.regions[t.Resolved()].low)
		}
	}
	return block
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
