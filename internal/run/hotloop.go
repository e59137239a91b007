package run

import "github.com/blkmeter/blkmeter/engine"

// loop is the hot loop. Free slots are filled by the pattern and submitted as one batch; whatever has
// finished is reaped as one batch; the loop waits only when every slot is taken. The clock is read three
// times a turn, however many I/Os the turn moves:
//
//	fill ─ start ─ Submit ─ issue ─ Reap ─ complete ─ record ─ fill ...
//	         └─── slat ────────┘└── clat ──────┘
//
// so a latency is exact to the length of the batch it travelled in.
func (w *worker) loop() error {
	for {
		if n := w.fill(); n > 0 {
			if err := w.submit(n); err != nil {
				return err
			}
		}
		inFlight := len(w.slots) - len(w.free) - w.held
		if inFlight == 0 && w.held == 0 && w.spent {
			return nil
		}
		if w.mayFill(inFlight) {
			continue
		}
		got, err := w.reap(inFlight)
		complete := w.clock.Now()
		if err != nil {
			return err
		}
		if complete >= w.flipAt {
			w.flip(complete)
		}
		if w.search != nil {
			w.search.look(w, w.done[:got], complete)
		}
		w.record(w.done[:got], complete)
		if complete >= w.endAt || w.stop.Load() {
			w.spent = true
		}
	}
}

// mayFill says whether the queue can take more at once: only when the user asked for smaller batches than
// the depth, since otherwise every free slot was just submitted.
func (w *worker) mayFill(inFlight int) bool {
	return inFlight < len(w.slots) && w.held == 0 && !w.spent && !w.batch.draining && w.pacing == nil && w.verify == nil
}

// reap takes what has finished, and waits when nothing has.
func (w *worker) reap(inFlight int) (int, error) {
	switch {
	case w.spent:
		return w.queue.Reap(w.done, min(1, inFlight), -1)
	case w.pacing != nil:
		return w.reapPaced(inFlight)
	}
	return w.queue.Reap(w.done, min(w.batch.reapMin, inFlight), -1)
}

// fill takes free slots, lets the pattern say what they are to do, and returns how many requests are
// ready at the front of reqs.
func (w *worker) fill() int {
	want := min(len(w.free), w.batch.submit-w.held)
	if w.spent || want <= 0 {
		return w.held
	}
	if w.batch.low < len(w.slots) && !w.refill() {
		return w.held
	}
	if w.pacing != nil {
		if want = w.due(want); want == 0 {
			return w.held
		}
	}
	n := w.next(want)
	slots := w.free[len(w.free)-n:]
	w.free = w.free[:len(w.free)-n]
	reqs := w.reqs[w.held : w.held+n]
	for i := range reqs {
		io := &w.ios[i]
		s := slots[n-1-i]
		req := engine.Request{Offset: io.Offset, Length: io.Length, Slot: s, File: io.File, Op: engine.Op(io.Op)}
		reqs[i] = req
		w.slots[s].req = req
		if req.Op == engine.OpWrite && w.filler != nil {
			w.filler.Fill(w.config.Buffer(s)[:io.Length], io.Offset)
		}
	}
	if w.verify != nil {
		w.verify.fill(w, reqs)
	}
	if w.prios != nil {
		w.prios.choose(w, reqs)
	}
	if w.pacing != nil {
		w.intend(reqs)
	}
	return w.held + n
}

// next takes up to want I/Os from the pattern; fewer when it is at its end.
func (w *worker) next(want int) int {
	if w.verify != nil {
		return w.verify.next(w, w.ios[:want])
	}
	n := w.source.Next(w.ios[:want])
	if n < want {
		w.spent = true
	}
	return n
}

// submit hands the n requests at the front of reqs to the queue, notes when those that it took started, and
// keeps the rest for the next turn.
func (w *worker) submit(n int) error {
	start := w.clock.Now()
	taken, err := w.queue.Submit(w.reqs[:n])
	if err != nil {
		return err
	}
	issue := start // a synchronous engine does the I/O inside Submit
	if !w.sync {
		issue = w.clock.Now()
	}
	if taken > 0 {
		reqs := w.reqs[:taken]
		if w.recording != nil {
			w.recordIssued(reqs, start)
		}
		for i := range reqs {
			s := &w.slots[reqs[i].Slot]
			s.start, s.issue = start, issue
		}
		inFlight := len(w.slots) - len(w.free) - (n - taken)
		w.win.depth[inFlight] += uint32(taken)
		w.win.submits[taken]++
	}
	w.held = copy(w.reqs, w.reqs[taken:n])
	return nil
}

// record counts what was reaped. I/Os that travelled in one batch have the same latencies, so a run of
// them is recorded at once.
func (w *worker) record(done []engine.Completion, complete int64) {
	if len(done) == 0 {
		return
	}
	w.win.reaps[len(done)]++
	if w.verify != nil {
		w.verify.settle(w, done)
	}
	if w.pacing != nil {
		w.recordResponses(done, complete)
	}
	if w.prios != nil {
		w.recordPriorities(done, complete)
	}
	if w.logging != nil {
		w.log(done, complete)
	}
	var run struct {
		start, issue int64
		n            uint32
		op           engine.Op
	}
	for i := range done {
		s := &w.slots[done[i].Slot]
		if done[i].Result != int32(s.req.Length) {
			w.irregular(s, done[i].Result)
			continue
		}
		w.give(done[i].Slot)
		w.win.ops[s.req.Op].bytes += uint64(s.req.Length)
		if s.start != run.start || s.req.Op != run.op {
			if run.n > 0 {
				w.win.ops[run.op].record(run.start, run.issue, complete, run.n)
			}
			run.start, run.issue, run.op, run.n = s.start, s.issue, s.req.Op, 0
		}
		run.n++
	}
	if run.n > 0 {
		w.win.ops[run.op].record(run.start, run.issue, complete, run.n)
	}
}

// give takes a slot back. There is room: each slot is free once at most.
func (w *worker) give(slot uint32) {
	n := len(w.free)
	w.free = w.free[:n+1]
	w.free[n] = slot
}

// record counts n I/Os that started, were issued and completed at the same times.
func (o *opWindow) record(start, issue, complete int64, n uint32) {
	o.ios += uint64(n)
	o.clat.Record(complete-issue, n)
	if o.slat != nil {
		o.slat.Record(issue-start, n)
		o.lat.Record(complete-start, n)
	}
}
