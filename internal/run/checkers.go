package run

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/workloads/content"
)

// checkers check what a worker reads on threads of their own (verify_async), so that long digests do not hold
// the worker up. They get copies: copying costs a tenth of the shortest digest that is worth it, and the
// worker's slots and blocks are free at once.
type checkers struct {
	v         *verifying
	w         *worker
	verifiers []*content.Verifier // of each thread
	cpus      []int               // they run on; nil: wherever the program's other threads do
	full      chan *parcel        // to be checked
	empty     chan *parcel
	running   sync.WaitGroup
	started   bool
}

// parcel is blocks to be checked, and what they should be.
type parcel struct {
	at   span
	data []byte
	want []content.Expected // of each verify_interval
}

// parcelsEach is how many reads per thread may wait to be checked before the worker waits.
const parcelsEach = 4

// newCheckers makes a worker's checkers; each has a verifier from newVerifier.
func newCheckers(v *verifying, w *worker, threads int, cpus []int, newVerifier func() (*content.Verifier, error)) (*checkers, error) {
	n := threads * parcelsEach
	c := &checkers{v: v, w: w, cpus: cpus, full: make(chan *parcel, n), empty: make(chan *parcel, n)}
	for range threads {
		verifier, err := newVerifier()
		if err != nil {
			return nil, err
		}
		c.verifiers = append(c.verifiers, verifier)
	}
	for range n {
		c.empty <- &parcel{
			data: make([]byte, w.config.BlockBytes), want: make([]content.Expected, w.config.BlockBytes/v.verifier.Interval()),
		}
	}
	return c, nil
}

// start starts the threads.
func (c *checkers) start() error {
	placed := make(chan error, len(c.verifiers))
	c.started = true
	for _, verifier := range c.verifiers {
		c.running.Go(func() {
			if c.cpus != nil {
				runtime.LockOSThread() // for good: the thread, with its affinity, ends with the goroutine
				if err := cpu.SetAffinity(c.cpus); err != nil {
					placed <- fault.Wrap(err, fault.ExitUsage, "CPU_PIN", "taskset -p $$ shows the CPUs this process may use", "verify_async_cpus: cannot use CPUs %v", c.cpus)
					return
				}
			}
			placed <- nil
			for p := range c.full {
				c.check(verifier, p)
				c.empty <- p
			}
		})
	}
	for range c.verifiers {
		if err := <-placed; err != nil {
			return fmt.Errorf("job %s: %w", c.w.job.spec.Name, err)
		}
	}
	return nil
}

// check checks a parcel.
func (c *checkers) check(verifier *content.Verifier, p *parcel) {
	interval := verifier.Interval()
	for i, want := range p.want {
		c.v.judge(c.w, verifier, p.data[i*interval:(i+1)*interval], p.at.offset+int64(i*interval), p.at.file, want)
	}
}

// hand gives blocks that the caller holds to the checkers, and waits while they are too far behind.
func (c *checkers) hand(buf []byte, at span, l *content.Ledger) {
	p := <-c.empty
	interval := c.v.verifier.Interval()
	p.at, p.data, p.want = at, p.data[:copy(p.data[:len(buf)], buf)], p.want[:len(buf)/interval]
	for i := range p.want {
		p.want[i] = c.v.expect(l, at.offset+int64(i*interval))
	}
	c.full <- p
}

// drain waits until everything that was handed over is checked.
func (c *checkers) drain() {
	if c == nil || !c.started {
		return
	}
	all := make([]*parcel, cap(c.empty))
	for i := range all {
		all[i] = <-c.empty
	}
	for _, p := range all {
		c.empty <- p
	}
}

// close ends the threads when everything is checked.
func (c *checkers) close() {
	if c == nil || !c.started {
		return
	}
	close(c.full)
	c.running.Wait()
	c.started = false
}

// checkers returns how many threads check for the stage's workers.
func (s *stageRun) checkers() int {
	n := 0
	for _, w := range s.workers {
		if w.verify != nil && w.verify.beside != nil {
			n += len(w.verify.beside.verifiers)
		}
	}
	return n
}
