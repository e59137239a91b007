package run

import (
	"sync"

	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// passesOf returns how many passes a job that verifies makes over its pattern: it reads back after every
// loop, as fio does. The loops of other jobs are one pass, and so is what ends by its time.
func passesOf(s *workloads.Job) int {
	if s.Verify.Kind == "" || !s.RW.Destructive() || s.TimeBased || s.Layout.CreateOnly {
		return 1
	}
	return max(s.Loops, 1)
}

// work does the job's I/O, and reads back after every pass but the last, which readPhase reads.
func (v *verifying) work(w *worker) error {
	if v.beside != nil {
		if err := v.beside.start(); err != nil {
			return err
		}
	}
	for pass := 1; ; pass++ {
		if !v.reads {
			if err := w.loop(); err != nil {
				return err
			}
		} else if !v.spec.StateLoad {
			v.replay(w)
		}
		if pass == v.passes || w.stop.Load() || w.failed() || w.clock.Now() >= w.endAt || v.verifier != nil && v.endsEarly(w) {
			return nil
		}
		if v.spec.Do && !v.reads {
			if err := w.aside(func() error { return v.readPass(w) }); err != nil || v.endsEarly(w) {
				return err
			}
			v.meeting.wait(func() {}) // nobody writes while others still read
			if v.endsEarly(w) {
				return nil
			}
		}
		next := w.pattern
		next.Seed = mix(w.pattern.Seed + uint64(pass))
		source, err := pattern.New(next)
		if err != nil {
			return err
		}
		if r, ok := w.source.(*rotation); ok {
			r.source = source
		} else {
			w.source = source
		}
		v.ended, w.spent = false, false
	}
}

// aside does something in the middle of the measured window that is no part of it.
func (w *worker) aside(f func() error) error {
	start := w.clock.Now()
	used, err := cpu.ThreadUsage()
	if err != nil {
		return err
	}
	counted := w.queue.Counters()
	if err := f(); err != nil {
		return err
	}
	after, err := cpu.ThreadUsage()
	if err != nil {
		return err
	}
	w.timing.usage = after.Sub(used.Sub(w.timing.usage))
	c := w.queue.Counters()
	w.timing.counters.Syscalls += c.Syscalls - counted.Syscalls
	w.timing.counters.LockWaitNS += c.LockWaitNS - counted.LockWaitNS
	w.timing.counters.LockAcquires += c.LockAcquires - counted.LockAcquires
	length := w.clock.Now() - start
	w.win.asideNS += length
	if w.pacing != nil && w.pacing.pacer != nil {
		w.pacing.pacer.Delay(length)
	}
	return nil
}

// meeting is where a job's workers wait for one another.
type meeting struct {
	mu      sync.Mutex
	members int           // that have not left
	here    int           // that wait
	all     chan struct{} // closed when all are here
	last    func()
}

func newMeeting(members int) *meeting {
	return &meeting{members: members, all: make(chan struct{})}
}

// wait waits until every worker that has not left is here. Before they go on, last is called once.
func (m *meeting) wait(last func()) {
	m.mu.Lock()
	m.here++
	m.last = last
	all := m.all
	m.meet()
	m.mu.Unlock()
	<-all
}

// leave makes the others not wait for a worker any more.
func (m *meeting) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members--
	m.meet()
}

// meet lets all go on who are here, if nobody is missing. The caller holds the lock.
func (m *meeting) meet() {
	if m.here == 0 || m.here < m.members {
		return
	}
	m.last()
	close(m.all)
	m.here, m.all = 0, make(chan struct{})
}
