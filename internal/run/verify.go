package run

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/blkmeter/blkmeter/engine"
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

// verifying is a worker's part in checking its job's data.
type verifying struct {
	*checking
	verifier *content.Verifier // nil when nothing is checked
	regions  []*region         // by file
	reads    bool              // the ledger is only for what to read: nothing is written

	waiting []pattern.IO // came from the pattern while another I/O held their blocks
	ended   bool         // the pattern has no more
	backlog []span       // written and not yet read back, for verify_backlog
	trims   *trimming    // of what was written, for trim_backlog; nil without
	dumpTo  string
	beside  *checkers // threads that check for the worker (verify_async); nil: it checks itself

	noting    sync.Mutex // guards the mismatches in counts
	wrong     atomic.Bool
	counts    report.VerifyStats
	readBytes int64 // of the blocks that were read to be checked, and only for that
	left      bool  // the meeting, for good
}

// span is some bytes of a file.
type span struct {
	offset int64
	length uint32
	file   uint16
}

// mostReported is how many mismatches of a worker are told one by one.
const mostReported = 16

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
		v.reads, v.dumpTo = s.Verify.Only, c.o.DumpDir
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

// next is the source of a worker that verifies: the pattern, except that an I/O waits while another one
// holds one of its blocks. No two I/Os of which one is a write are ever in flight on the same block, since
// nobody could say what it contains afterwards. I/Os on a block keep their order.
func (v *verifying) next(w *worker, ios []pattern.IO) int {
	if v.backlogFull() {
		if len(w.free) < len(w.slots) {
			return 0 // what is in flight ends first
		}
		if err := v.readBacklog(w); err != nil {
			w.fail(err)
			return 0
		}
	}
	n, kept := 0, 0
	for _, io := range v.waiting {
		if n < len(ios) && v.acquire(&io, v.waiting[:kept]) {
			ios[n] = io
			n++
		} else {
			v.waiting[kept] = io
			kept++
		}
	}
	v.waiting = v.waiting[:kept]
	for n < len(ios) && !v.ended && len(v.waiting) < cap(v.waiting) {
		want := min(len(ios)-n, cap(v.waiting)-len(v.waiting))
		from := n
		got := v.trims.next(ios[from : from+want])
		if got == 0 {
			got = w.source.Next(ios[from : from+want])
			v.ended = got < want
		}
		for _, io := range ios[from : from+got] {
			if v.acquire(&io, v.waiting) {
				ios[n] = io
				n++
			} else {
				v.waiting = append(v.waiting, io)
			}
		}
	}
	if v.ended && len(v.waiting) == 0 {
		w.spent = true
	}
	return n
}

// acquire takes the blocks of an I/O, unless another one holds one of them or waits for it.
func (v *verifying) acquire(io *pattern.IO, before []pattern.IO) bool {
	if io.Op > pattern.OpTrim || !v.keeps {
		return true
	}
	for i := range before {
		b := &before[i]
		if b.File == io.File && b.Offset < io.Offset+int64(io.Length) && io.Offset < b.Offset+int64(b.Length) {
			return false
		}
	}
	return v.regions[io.File].ledger.Acquire(io.Offset, io.Length)
}

// fill makes the data of a batch's writes.
func (v *verifying) fill(w *worker, reqs []engine.Request) {
	if v.verifier == nil {
		return
	}
	for i := range reqs {
		if r := &reqs[i]; r.Op == engine.OpWrite {
			v.verifier.Fill(w.config.Buffer(r.Slot)[:r.Length], r.Offset, v.regions[r.File].ledger)
		}
	}
}

// settle notes what became of I/Os, and checks what was read. It comes before their slots are used again.
func (v *verifying) settle(w *worker, done []engine.Completion) {
	for i := range done {
		req := &w.slots[done[i].Slot].req
		ok := done[i].Result == int32(req.Length)
		if req.Op > engine.OpTrim || !ok && done[i].Result > 0 && uint32(done[i].Result) < req.Length {
			continue // a sync, or a part of an I/O whose rest follows
		}
		at := span{req.Offset - int64(req.Skip), req.Length + req.Skip, req.File}
		l := v.regions[at.file].ledger
		switch req.Op {
		case engine.OpWrite:
			l.Wrote(at.offset, at.length, ok)
			if ok && v.spec.Backlog > 0 {
				v.backlog = append(v.backlog, at)
			}
			if ok {
				v.trims.wrote(at)
			}
		case engine.OpTrim:
			l.Trimmed(at.offset, at.length, ok)
		default:
			if ok && v.verifier != nil {
				v.check(w, w.config.Buffer(done[i].Slot)[:at.length], at)
			}
			if v.keeps {
				l.Release(at.offset, at.length)
			}
		}
	}
}

// abandon gives back the blocks of what a worker that gave up still had in flight.
func (v *verifying) abandon(w *worker) {
	if !v.keeps {
		return
	}
	idle := make([]bool, len(w.slots))
	for _, s := range w.free {
		idle[s] = true
	}
	for i := range w.slots {
		req := &w.slots[i].req
		if idle[i] || req.Op > engine.OpTrim {
			continue
		}
		offset, length := req.Offset-int64(req.Skip), req.Length+req.Skip
		if req.Op == engine.OpRead {
			v.regions[req.File].ledger.Release(offset, length)
		} else {
			v.regions[req.File].ledger.Wrote(offset, length, false)
		}
	}
}

// check compares what was read with what was written, block by block. The caller holds the blocks.
func (v *verifying) check(w *worker, buf []byte, at span) {
	interval := v.verifier.Interval()
	ledger := v.regions[at.file].ledger
	v.counts.Bytes += int64(len(buf))
	v.counts.Blocks += int64(len(buf) / interval)
	if v.beside != nil {
		v.beside.hand(buf, at, ledger)
	} else {
		for ; len(buf) >= interval; buf, at.offset = buf[interval:], at.offset+int64(interval) {
			v.judge(w, v.verifier, buf[:interval], at.offset, at.file, ledger.Expect(at.offset))
		}
	}
	if v.spec.Fatal && v.wrong.Load() {
		w.spent = true
	}
}

// judge checks a block and notes a mismatch. Checkers come here side by side.
func (v *verifying) judge(w *worker, verifier *content.Verifier, block []byte, offset int64, file uint16, want content.Expected) {
	m := verifier.CheckBlock(block, offset, want)
	if m == nil || v.spec.Fatal && v.wrong.Swap(true) {
		return
	}
	v.noting.Lock()
	defer v.noting.Unlock()
	v.note(w, verifier, m, file, block)
}

// note counts a mismatch, and tells the first ones.
func (v *verifying) note(w *worker, verifier *content.Verifier, m *content.Mismatch, file uint16, block []byte) {
	v.counts.Mismatched++
	v.counts.Faults = report.CountFault(v.counts.Faults, m.Fault.String(), 1)
	if len(v.counts.Mismatches) == mostReported {
		return
	}
	path := w.targets[file].Path()
	found := report.Mismatch{Path: path, OffsetBytes: m.Offset, LengthBytes: int64(m.Length), FirstByte: int64(m.First), Fault: m.Fault.String(), Sentence: path + ": " + m.Error()}
	if v.spec.Dump {
		found.Dumped = v.dump(verifier, path, block, m)
	}
	v.counts.Mismatches = append(v.counts.Mismatches, found)
}

// dump writes the block that was found, and the expected one when that is known, to files beside each other
// and returns their names. As in fio, they are named after the target and the offset.
func (v *verifying) dump(verifier *content.Verifier, path string, block []byte, m *content.Mismatch) []string {
	names := []string{}
	stem := filepath.Join(v.dumpTo, fmt.Sprintf("%s.%d", filepath.Base(path), m.Offset))
	received := append([]byte(nil), block...)
	for _, part := range []struct {
		suffix string
		data   []byte
	}{{".received", received}, {".expected", verifier.Rebuild(received, m)}} {
		if part.data == nil {
			continue
		}
		if err := os.WriteFile(stem+part.suffix, part.data, 0o600); err == nil {
			names = append(names, stem+part.suffix)
		}
	}
	return names
}

func (v *verifying) backlogFull() bool {
	return v.spec.Backlog > 0 && uint64(len(v.backlog)) >= v.spec.Backlog
}

// readBacklog reads the oldest written I/Os back: verify_backlog_batch of them, or all. Nothing is in flight.
func (v *verifying) readBacklog(w *worker) error {
	batch := len(v.backlog)
	if n := v.spec.BacklogBatch; n > 0 && n < uint64(batch) {
		batch = int(n)
	}
	i := 0
	err := v.readBack(w, func() (span, bool) {
		for i < batch {
			s := v.backlog[i]
			i++
			if l := v.regions[s.file].ledger; l.Acquire(s.offset, s.length) {
				return s, true
			}
			// Another worker is writing there, and will check what it wrote.
		}
		return span{}, false
	}, true)
	v.backlog = v.backlog[:copy(v.backlog, v.backlog[batch:])]
	return err
}

// readAll reads everything back that the job's workers wrote, as this worker's share of it.
func (v *verifying) readAll(w *worker) error {
	file := 0
	return v.readBack(w, func() (span, bool) {
		for file < len(v.regions) {
			if offset, length, ok := v.regions[file].next(uint32(w.config.BlockBytes)); ok {
				return span{offset, length, uint16(file)}, true
			}
			file++
		}
		return span{}, false
	}, false)
}

// readBack reads what next names, at the job's depth, and checks it. It is no part of what is measured.
// held says that next acquires blocks.
func (v *verifying) readBack(w *worker, next func() (span, bool), held bool) error {
	inFlight, ready, more := 0, 0, true
	var failed error
	for {
		for more && ready < len(w.reqs) && len(w.free) > 0 && !v.endsEarly(w) && failed == nil {
			s, ok := next()
			if !ok {
				more = false
				break
			}
			slot := w.free[len(w.free)-1]
			w.free = w.free[:len(w.free)-1]
			req := engine.Request{Offset: s.offset, Length: s.length, File: s.file, Slot: slot, Op: engine.OpRead}
			w.slots[slot].req, w.reqs[ready] = req, req
			ready++
		}
		if ready > 0 {
			taken, err := w.queue.Submit(w.reqs[:ready])
			if err != nil {
				return err
			}
			inFlight += taken
			ready = copy(w.reqs, w.reqs[taken:ready])
		}
		if inFlight == 0 && ready == 0 {
			v.beside.drain()
			return failed
		}
		got, err := w.queue.Reap(w.done, 1, -1)
		if err != nil {
			return err
		}
		for i := range w.done[:got] {
			inFlight--
			slot, result := w.done[i].Slot, w.done[i].Result
			req := &w.slots[slot].req
			if done := uint32(max(result, 0)); done > 0 && done < req.Length {
				req.Offset, req.Skip, req.Length = req.Offset+int64(done), req.Skip+done, req.Length-done
				w.reqs[ready] = *req
				ready++
				continue
			}
			at := span{req.Offset - int64(req.Skip), req.Length + req.Skip, req.File}
			if result == int32(req.Length) {
				v.readBytes += int64(at.length)
				v.check(w, w.config.Buffer(slot)[:at.length], at)
			} else if failed == nil {
				failed = w.readFailed(req, result)
			}
			if held {
				v.regions[at.file].ledger.Release(at.offset, at.length)
			}
			w.free = append(w.free, slot)
		}
	}
}

// endsEarly says whether reading back ends now: the run was stopped, or a mismatch is fatal.
func (v *verifying) endsEarly(w *worker) bool {
	return w.stop.Load() || v.spec.Fatal && v.wrong.Load()
}

// readFailed tells that a block could not be read back.
func (w *worker) readFailed(req *engine.Request, result int32) error {
	f := &failure{errno: errnoOf(result), op: req.Op, offset: req.Offset, length: req.Length, file: req.File, short: result >= 0}
	code, hint := explainErrno(f)
	return fault.Wrap(f.errno, fault.ExitIO, code, hint, "job %s: reading back %d bytes at offset %d of %s failed", w.job.spec.Name, f.length, f.offset, w.targets[f.file].Path())
}

// replay lets the ledger know what a run of the same job has written, without doing it.
func (v *verifying) replay(w *worker) {
	for n := len(w.ios); n == len(w.ios); {
		n = w.source.Next(w.ios)
		for _, io := range w.ios[:n] {
			l := v.regions[io.File].ledger
			switch io.Op {
			case pattern.OpWrite:
				l.Wrote(io.Offset, io.Length, true)
			case pattern.OpTrim:
				l.Trimmed(io.Offset, io.Length, true)
			}
		}
	}
}

// readPhase reads back what was written, when all of the job's workers have written it.
func (v *verifying) readPhase(w *worker) error {
	defer v.beside.close()
	if v.regions[0].ledger == nil || !v.spec.Do && !v.reads || w.stop.Load() || w.failed() || len(w.free) < len(w.slots) || !v.keeps && !v.reads {
		return nil
	}
	return v.readPass(w)
}

// readPass reads back what was written so far, together with the job's other workers.
func (v *verifying) readPass(w *worker) error {
	v.meeting.wait(v.rewind)
	w.reading.Store(true)
	defer w.reading.Store(false)
	start := w.clock.Now()
	for _, t := range w.targets {
		if err := t.DropCache(); err != nil {
			return err
		}
	}
	err := v.readAll(w)
	v.counts.RuntimeNS += w.clock.Now() - start
	return err
}

// leave tells the other workers not to wait for this one any more.
func (v *verifying) leave() {
	if !v.left {
		v.left = true
		v.meeting.leave()
	}
}

// verdict tells what the check found, nil when all was well.
func (v *verifying) verdict(job string, ignored []syscall.Errno) *report.Error {
	n := v.counts.Mismatched
	if n == 0 || slices.Contains(ignored, syscall.EILSEQ) {
		return nil
	}
	sentence := fmt.Sprintf("job %s: %s", job, v.counts.Mismatches[0].Sentence)
	switch {
	case n == 2:
		sentence += " (and one more block is wrong)"
	case n > 2:
		sentence += fmt.Sprintf(" (and %d more blocks are wrong)", n-1)
	}
	return &report.Error{Code: "VERIFY_MISMATCH", Sentence: sentence, Hint: "the Result lists the first of them; --verify_dump=1 saves them", Errno: int(syscall.EILSEQ)}
}
