package run

import (
	"math"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pace"
)

// pacing is what a paced worker has beside the others. Arrivals are open loop: an I/O that the device or the
// program holds up keeps its intended time, and its response time counts from there.
type pacing struct {
	pacer    arrivals      // nil without a rate and a log
	thinker  *pace.Thinker // nil without thinktime
	floor    *pace.Floor   // nil without a least rate
	flow     *flowing      // nil without a share of what several jobs do
	intended []int64       // of the I/Os of one batch, the earliest in front
	ops      []uint8       // their directions, when arrivals have some
	owed     int           // at the front of both: arrivals whose I/Os had to wait, as those on busy blocks do
	asked    int64         // ns: when due last looked
	bySlot   []int64       // intended time of the I/O in flight
	bytes    [workloads.Directions]uint64
	ios      [workloads.Directions]uint64
	wakeUp   wakeUp
}

// arrivals say when I/Os are due: those of a rate ([pace.Pacer] has the contract) or of a log.
type arrivals interface {
	Start(now int64)
	Due(now int64, intended []int64, ops []uint8) int
	Next() int64
	Issued(op uint8, length uint32)
	Delay(ns int64)
}

const (
	// lateAfter is how far behind its intended time an arrival may be submitted without counting as late:
	// more than the kernel's timers are off.
	lateAfter = int64(50 * time.Microsecond)
	// spinLeast and spinMost bound how long before a time a worker stops sleeping and spins.
	spinLeast = int64(3 * time.Microsecond)
	spinMost  = int64(60 * time.Microsecond)
)

// wakeUp is how late the kernel's timers wake a worker, in nanoseconds, learnt from its sleeps: that long
// before a time the worker spins instead.
type wakeUp int64

// saw notes a sleep that ended so many nanoseconds late. One that was later than spinMost met something else
// than its timer, such as another thread on the CPU.
func (u *wakeUp) saw(late int64) {
	if late <= spinMost {
		*u = max(*u, wakeUp(late))
	}
}

// forget makes the worker try shorter spins again, a little with every batch: it halves within 700.
func (u *wakeUp) forget() { *u = max(*u-*u/1024-1, wakeUp(spinLeast)) }

// pace gives a worker its arrivals, if its job has a rate or thinks.
func (c *conductor) pace(j *jobRun, w *worker, clone int) error {
	p := &pacing{}
	pacer, paced := pace.New(j.spec, clone, j.seed)
	if paced {
		p.pacer = pacer
		j.paced = true
	}
	timed := j.replays != nil && !j.spec.Replay.NoStall
	if timed {
		p.pacer = &timetable{cursor: j.cursor(clone)}
		j.paced = true
	}
	thinker, thinks := pace.NewThinker(j.spec.Thinktime)
	if thinks {
		p.thinker = thinker
	}
	floor, checked := pace.NewFloor(j.spec, 0)
	if checked {
		p.floor = floor
	}
	p.flow = c.flow(j)
	if !paced && !timed && !thinks && !checked && p.flow == nil {
		return nil
	}
	p.intended = make([]int64, j.depth)
	p.bySlot = make([]int64, j.depth)
	if paced && pacer.Directed() {
		p.ops = make([]uint8, j.depth)
	}
	w.pacing = p
	return nil
}

// directed says whether the arrivals of a job, and not its pattern, decide which of its I/Os read.
func directed(s *workloads.Job) bool {
	pacer, paced := pace.New(s, 0, 0)
	return paced && pacer.Directed()
}

// begin sets the time from which arrivals count.
func (p *pacing) begin(t0 int64) {
	if p.pacer != nil {
		p.pacer.Start(t0)
	}
	if p.floor != nil {
		*p.floor = *p.floor.From(t0)
	}
	if p.flow != nil {
		p.flow.join()
	}
	p.wakeUp = wakeUp(spinLeast)
	_ = cpu.SetTimerSlack(1) // without it timers are later, and the worker spins for longer
}

// end lets other workers go on without this one.
func (p *pacing) end() {
	if p.flow != nil {
		p.flow.leave()
	}
}

// due returns how many of want I/Os may start now, and notes their intended times.
func (w *worker) due(want int) int {
	p := w.pacing
	now := w.clock.Now()
	if p.thinker != nil {
		want = min(want, p.thinker.Budget())
	}
	if p.flow != nil {
		want = min(want, p.flow.budget(now))
	}
	if p.pacer == nil {
		for i := range p.intended[:max(want, 0)] {
			p.intended[i] = now
		}
		return max(want, 0)
	}
	p.asked = now
	if p.owed < want {
		ops := p.ops
		if ops != nil {
			ops = ops[p.owed:want]
		}
		p.owed += p.pacer.Due(now, p.intended[p.owed:want], ops)
	}
	n := min(p.owed, max(want, 0))
	if p.ops != nil {
		for i, op := range p.ops[:n] {
			w.ios[i].Op = op
		}
	}
	if p.owed == 0 && p.pacer.Next() == pace.Never {
		w.spent = true
	}
	return n
}

// intend notes what the requests of a batch were intended for.
func (w *worker) intend(reqs []engine.Request) {
	p := w.pacing
	for i := range reqs {
		at := p.intended[min(i, len(p.intended)-1)]
		p.bySlot[reqs[i].Slot] = at
		if p.pacer != nil {
			p.pacer.Issued(uint8(reqs[i].Op), reqs[i].Length)
			if p.asked-at > lateAfter {
				w.win.late++
			}
		}
	}
	if p.pacer != nil {
		n := len(reqs)
		w.win.arrivals += uint64(n)
		copy(p.intended, p.intended[n:p.owed])
		if p.ops != nil {
			copy(p.ops, p.ops[n:p.owed])
		}
		p.owed -= n
	}
	if p.thinker != nil {
		p.thinker.Issued(w.clock.Now(), len(reqs))
	}
	if p.flow != nil {
		p.flow.took(len(reqs))
	}
	p.wakeUp.forget()
}

// intendNow notes that an I/O which no arrival asks for, as one that reads back, is intended for now.
func (w *worker) intendNow(slot uint32) {
	if w.pacing != nil {
		w.pacing.bySlot[slot] = w.clock.Now()
	}
}

// recordResponses records intended to complete, and checks the least rates.
func (w *worker) recordResponses(done []engine.Completion, complete int64) {
	p := w.pacing
	for i := range done {
		s := &w.slots[done[i].Slot]
		if done[i].Result != int32(s.req.Length) || s.req.Op > engine.OpTrim {
			continue
		}
		if r := w.win.ops[s.req.Op].response; r != nil {
			r.Record(complete-p.bySlot[done[i].Slot], 1)
		}
		p.bytes[s.req.Op] += uint64(s.req.Length)
		p.ios[s.req.Op]++
	}
	if p.floor != nil && !w.timing.ramping {
		if err := p.floor.Check(complete, p.bytes, p.ios); err != nil && w.failure.err == nil {
			w.failure.err = err
			w.spent = true
		}
	}
}

// reapPaced waits for whatever comes first: a completion, the next arrival, the end of a pause or of the
// window.
func (w *worker) reapPaced(inFlight int) (int, error) {
	if inFlight == 0 && w.held > 0 {
		return 0, nil // what the queue did not take, as for want of a file's lock, it may take now
	}
	p := w.pacing
	now := w.clock.Now()
	if p.thinker != nil {
		if pause, ok := p.thinker.Pause(now, inFlight); ok {
			w.sleepUntil(now+int64(pause.Spin+pause.Sleep), int64(pause.Spin))
			if p.pacer != nil && w.job.spec.RateIgnoreThinktime {
				p.pacer.Delay(int64(pause.Spin + pause.Sleep))
			}
			return w.queue.Reap(w.done, 0, 0)
		}
	}
	next := min(w.flipAt, w.endAt)
	switch {
	case len(w.free) == 0:
	case p.flow != nil && now < p.flow.until:
		next = min(next, p.flow.until)
	case p.owed > 0 && inFlight == 0 && (p.thinker == nil || p.thinker.Budget() > 0):
		return 0, nil // another worker has its blocks
	case p.pacer != nil:
		next = min(next, p.pacer.Next())
	case p.thinker == nil || p.thinker.Budget() > 0:
		return w.queue.Reap(w.done, 0, 0) // more can be issued at once
	}
	if inFlight == 0 {
		w.sleepUntil(next, 0)
		return 0, nil
	}
	sleep := next - now - int64(p.wakeUp)
	switch {
	case sleep <= 0:
		return w.queue.Reap(w.done, 0, 0)
	case next == math.MaxInt64:
		return w.queue.Reap(w.done, 1, -1)
	}
	got, err := w.queue.Reap(w.done, 1, time.Duration(sleep))
	if got == 0 {
		p.wakeUp.saw(w.clock.Now() - now - sleep)
	}
	return got, err
}

// sleepUntil sleeps, and spins the last part: at least spin nanoseconds of it. The stop flag ends it.
func (w *worker) sleepUntil(at, spin int64) {
	u := &w.pacing.wakeUp
	for {
		now := w.clock.Now()
		if now >= at || w.stop.Load() {
			return
		}
		sleep := min(at-now-max(spin, int64(*u)), int64(Interval/4))
		if sleep > 0 {
			cpu.Sleep(time.Duration(sleep))
			u.saw(w.clock.Now() - now - sleep)
		}
	}
}
