package run

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads/content"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// verifying is a worker's part in checking its job's data, or only in keeping its I/Os apart.
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

	noting sync.Mutex // guards the mismatches in counts
	wrong  atomic.Bool
	counts report.VerifyStats
	back   readBack
	used   cpu.Usage // for reading back
	left   bool      // the meeting, for good
}

// span is some bytes of a file.
type span struct {
	offset int64
	length uint32
	file   uint16
}

// mostReported is how many mismatches of a worker are told one by one.
const mostReported = 16

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
	n, kept, fresh := 0, 0, math.MaxInt
	if w.pacing != nil && w.pacing.pacer != nil {
		fresh = len(ios) - len(v.waiting) // those have had their arrivals
	}
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
	for n < len(ios) && fresh > 0 && !v.ended && len(v.waiting) < cap(v.waiting) {
		want := min(len(ios)-n, cap(v.waiting)-len(v.waiting), fresh)
		from := n
		if w.pacing != nil && w.pacing.ops != nil {
			for i, op := range w.pacing.ops[len(ios)-fresh:][:want] {
				ios[from+i].Op = op
			}
		}
		got := v.trims.next(ios[from : from+want])
		if got == 0 {
			got = w.source.Next(ios[from : from+want])
			v.ended = got < want
		}
		fresh -= got
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
	if v.beside != nil {
		v.beside.hand(buf, at, ledger)
	} else {
		for ; len(buf) >= interval; buf, at.offset = buf[interval:], at.offset+int64(interval) {
			v.judge(w, v.verifier, buf[:interval], at.offset, at.file, v.expect(ledger, at.offset))
		}
	}
	if v.spec.Fatal && v.wrong.Load() {
		w.spent = true
	}
}

// expect says what a block should hold, and counts it as checked unless that may be anything.
func (v *verifying) expect(l *content.Ledger, offset int64) content.Expected {
	want := l.Expect(offset)
	if want.State != content.Unknown {
		v.counts.Blocks++
		v.counts.Bytes += int64(v.verifier.Interval())
	}
	return want
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
		file, err := report.Create(stem+part.suffix, 0o600, false)
		if err != nil {
			continue
		}
		_, err = file.Write(part.data)
		if errors.Join(err, file.Close()) == nil {
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
			w.intendNow(slot)
		}
		if ready := w.held; ready > 0 {
			if err := w.submit(ready); err != nil {
				return err
			}
			inFlight += ready - w.held
		}
		if inFlight == 0 && w.held == 0 {
			v.beside.drain()
			return failed
		}
		got, err := w.queue.Reap(w.done, min(1, inFlight), -1) // nothing is when a submission had to wait for a file's lock
		complete := w.clock.Now()
		if err != nil {
			return err
		}
		w.win.reaps[got]++
		if w.logging != nil {
			w.log(w.done[:got], complete)
		}
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
				if errno, _ := errnoOf(result); failed == nil && !w.job.toleratesError(engine.OpRead, errno) {
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
	return w.stop.Load() || v.spec.Fatal && v.wrong.Load()
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
	before, _ := cpu.ThreadUsage()
	for _, t := range w.targets {
		if err := t.DropCache(); err != nil {
			return err
		}
	}
	err := v.readAll(w)
	v.counts.RuntimeNS += w.clock.Now() - start
	if after, e := cpu.ThreadUsage(); e == nil {
		v.used = v.used.Add(after.Sub(before))
		v.counts.CPU = cpuOf(v.used, v.back.ios())
	}
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
