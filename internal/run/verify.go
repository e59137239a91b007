package run

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/content"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// checking is what a job that verifies has beside the others; its workers share it.
type checking struct {
	spec    workloads.Verify
	pattern *content.Pattern
	block   int64 // bytes that every I/O is made up of
	seed    uint64
	regions map[string]*region // by resolved path of the target
	writing sync.WaitGroup     // workers that have not ended their writes
}

// region is what a job's workers check in one target.
type region struct {
	low, high int64
	ledger    *content.Ledger // nil when this run did not write what is read

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
	return offset, length, ok
}

// verifying is a worker's part in checking its job's data.
type verifying struct {
	*checking
	verifier *content.Verifier
	regions  []*region // by file
	reads    bool      // the ledger is only for what to read: nothing is written

	waiting []pattern.IO // came from the pattern while another I/O held their blocks
	ended   bool         // the pattern has no more
	backlog []span       // written and not yet read back, for verify_backlog
	dumpTo  string

	counts     report.VerifyStats
	back       readBack
	writesDone sync.Once
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
	// Blocks of this run differ from those of every other, or a lost write would show the same data.
	k := &checking{spec: s.Verify, seed: rand.Uint64(), regions: map[string]*region{}}
	writes := s.RW.Does(workloads.Write) && !s.Verify.Only
	if !writes {
		// Of what another run wrote it is not known which, and how often.
		k.spec.HeaderSeed, k.spec.WriteSequence = false, false
	}
	if s.Verify.Pattern != "" {
		var err error
		if k.pattern, err = content.ParsePattern(s.Verify.Pattern, os.ReadFile); err != nil {
			return fmt.Errorf("job %s: verify_pattern: %w", s.Name, err)
		}
	}
	for _, w := range j.workers {
		for i, t := range w.targets {
			r := k.regions[t.Resolved()]
			if r == nil {
				r = &region{low: w.files[i].Low, high: w.files[i].High}
				k.regions[t.Resolved()] = r
			}
			r.low, r.high = min(r.low, w.files[i].Low), max(r.high, w.files[i].High)
		}
	}
	k.block = k.blockOf(j)
	if s.RW.Destructive() {
		for _, r := range k.regions {
			var err error
			if r.ledger, err = content.NewLedger(r.low, r.high, k.block); err != nil {
				return fmt.Errorf("job %s: %w", s.Name, err)
			}
			r.at = r.low
		}
	}
	k.writing.Add(len(j.workers))
	for _, w := range j.workers {
		v := &verifying{checking: k, reads: s.Verify.Only, dumpTo: c.o.DumpDir, waiting: make([]pattern.IO, 0, j.depth), back: newReadBack(j.depth, j.choice.Sync)}
		var err error
		if v.verifier, err = content.NewVerifier(&k.spec, k.pattern, int(k.block), w.index, k.seed); err != nil {
			return fmt.Errorf("job %s: %w", s.Name, err)
		}
		for _, t := range w.targets {
			v.regions = append(v.regions, k.regions[t.Resolved()])
		}
		v.counts.Faults = []report.FaultCount{}
		v.counts.Mismatches = []report.Mismatch{}
		if s.Verify.Backlog > 0 {
			v.backlog = make([]span, 0, s.Verify.Backlog+uint64(j.depth))
		}
		w.verify, w.filler = v, nil
	}
	return nil
}

// blockOf returns the largest number of bytes that every I/O of the job is made up of.
func (k *checking) blockOf(j *jobRun) int64 {
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
	for _, w := range j.workers {
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
// nobody could say what it contains afterwards.
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
		if n < len(ios) && v.acquire(&io) {
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
		got := w.source.Next(ios[from : from+want])
		v.ended = got < want
		for _, io := range ios[from : from+got] {
			if v.acquire(&io) {
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

func (v *verifying) acquire(io *pattern.IO) bool {
	l := v.regions[io.File].ledger
	return io.Op > pattern.OpTrim || l == nil || l.Acquire(io.Offset, io.Length)
}

// fill makes the data of a batch's writes.
func (v *verifying) fill(w *worker, reqs []engine.Request) {
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
		case engine.OpTrim:
			if l != nil {
				l.Trimmed(at.offset, at.length, ok)
			}
		default:
			if ok {
				v.check(w, w.config.Buffer(done[i].Slot)[:at.length], at)
			}
			if l != nil {
				l.Release(at.offset, at.length)
			}
		}
	}
}

// abandon gives back the blocks of what a worker that gave up still had in flight.
func (v *verifying) abandon(w *worker) {
	idle := make([]bool, len(w.slots))
	for _, s := range w.free {
		idle[s] = true
	}
	for i := range w.slots {
		req := &w.slots[i].req
		if idle[i] || req.Op > engine.OpTrim || v.regions[req.File].ledger == nil {
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
	v.counts.Bytes += int64(len(buf))
	interval := v.verifier.Interval()
	for ; len(buf) >= interval; buf, at.offset = buf[interval:], at.offset+int64(interval) {
		v.counts.Blocks++
		m := v.verifier.CheckBlock(buf[:interval], at.offset, v.regions[at.file].ledger.Expect(at.offset))
		if m == nil {
			continue
		}
		v.note(w, m, at.file, buf[:interval])
		if v.spec.Fatal {
			w.spent = true
		}
	}
}

// note counts a mismatch, and tells the first ones.
func (v *verifying) note(w *worker, m *content.Mismatch, file uint16, block []byte) {
	v.counts.Mismatched++
	v.counts.Faults = report.CountFault(v.counts.Faults, m.Fault.String(), 1)
	if len(v.counts.Mismatches) == mostReported {
		return
	}
	path := w.targets[file].Path()
	found := report.Mismatch{Path: path, OffsetBytes: m.Offset, LengthBytes: int64(m.Length), FirstByte: int64(m.First), Fault: m.Fault.String(), Sentence: path + ": " + m.Error()}
	if v.spec.Dump {
		found.Dumped = v.dump(path, block, m)
	}
	v.counts.Mismatches = append(v.counts.Mismatches, found)
}

// dump writes the block that was found, and the expected one when that is known, to files beside each other
// and returns their names. As in fio, they are named after the target and the offset.
func (v *verifying) dump(path string, block []byte, m *content.Mismatch) []string {
	names := []string{}
	stem := filepath.Join(v.dumpTo, fmt.Sprintf("%s.%d", filepath.Base(path), m.Offset))
	received := append([]byte(nil), block...)
	for _, part := range []struct {
		suffix string
		data   []byte
	}{{".received", received}, {".expected", v.verifier.Rebuild(received, m)}} {
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
	defer v.back.begin(w)()
	inFlight, more := 0, true
	var failed error
	for {
		for more && w.held < len(w.reqs) && len(w.free) > 0 && !v.endsEarly(w) && failed == nil {
			s, ok := next()
			if !ok {
				more = false
				break
			}
			slot := w.free[len(w.free)-1]
			w.free = w.free[:len(w.free)-1]
			req := engine.Request{Offset: s.offset, Length: s.length, File: s.file, Slot: slot, Op: engine.OpRead}
			w.slots[slot].req, w.reqs[w.held] = req, req
			w.held++
		}
		if ready := w.held; ready > 0 {
			if err := w.submit(ready); err != nil {
				return err
			}
			inFlight += ready - w.held
		}
		if inFlight == 0 && w.held == 0 {
			return failed
		}
		got, err := w.queue.Reap(w.done, 1, -1)
		complete := w.clock.Now()
		if err != nil {
			return err
		}
		w.win.reaps[got]++
		for i := range w.done[:got] {
			inFlight--
			slot, result := w.done[i].Slot, w.done[i].Result
			req := &w.slots[slot].req
			if done := uint32(max(result, 0)); done > 0 && done < req.Length {
				req.Offset, req.Skip, req.Length = req.Offset+int64(done), req.Skip+done, req.Length-done
				w.win.ops[engine.OpRead].short++
				w.reqs[w.held] = *req
				w.held++
				continue
			}
			at := span{req.Offset - int64(req.Skip), req.Length + req.Skip, req.File}
			if result == int32(req.Length) {
				v.back.record(&w.slots[slot], complete, at.length)
				v.check(w, w.config.Buffer(slot)[:at.length], at)
			} else {
				w.win.ops[engine.OpRead].errors++
				if failed == nil {
					failed = w.readFailed(req, result)
				}
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
	return w.stop.Load() || v.spec.Fatal && v.counts.Mismatched > 0
}

// readFailed tells that a block could not be read back.
func (w *worker) readFailed(req *engine.Request, result int32) error {
	errno, status := errnoOf(result)
	f := &failure{errno: errno, status: status, op: req.Op, offset: req.Offset, length: req.Length, file: req.File, short: result >= 0}
	code, hint := explainErrno(f)
	return fault.Wrap(f.cause(), fault.ExitIO, code, hint, "job %s: reading back %d bytes at offset %d of %s failed", w.job.spec.Name, f.length, f.offset, w.targets[f.file].Path())
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
	v.writesDone.Do(v.writing.Done)
	if v.regions[0].ledger == nil || !v.spec.Do && !v.reads || w.stop.Load() || w.failed() || len(w.free) < len(w.slots) {
		return nil
	}
	v.writing.Wait()
	w.reading.Store(true)
	start := w.clock.Now()
	before, _ := cpu.ThreadUsage()
	for _, t := range w.targets {
		if err := t.DropCache(); err != nil {
			return err
		}
	}
	err := v.readAll(w)
	v.counts.RuntimeNS = w.clock.Now() - start
	if after, e := cpu.ThreadUsage(); e == nil {
		v.counts.CPU = cpuOf(after.Sub(before), v.back.ios())
	}
	return err
}

// verdict tells what the check found, nil when all was well.
func (v *verifying) verdict(job string, ignored []syscall.Errno) *report.Error {
	n := v.counts.Mismatched
	if n == 0 || slices.Contains(ignored, syscall.EILSEQ) {
		return nil
	}
	sentence := fmt.Sprintf("job %s: %s", job, v.counts.Mismatches[0].Sentence)
	if n > 1 {
		sentence += fmt.Sprintf(" (and %d more blocks are wrong)", n-1)
	}
	return &report.Error{Code: "VERIFY_MISMATCH", Sentence: sentence, Hint: "the Result lists the first of them; --verify_dump=1 saves them", Errno: int(syscall.EILSEQ)}
}
