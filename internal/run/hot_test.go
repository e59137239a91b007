package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
	"github.com/blkmeter/blkmeter/engine/target"
	"github.com/blkmeter/blkmeter/internal/hist"
	"github.com/blkmeter/blkmeter/internal/kernel/clock"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/pattern"
)

// hotWorker returns a worker on the null engine, ready to loop, with all latencies on. The caller's
// goroutine stays locked to its thread.
func hotWorker(t testing.TB, depth int, change func(*workloads.Job)) *worker {
	t.Helper()
	j := workloads.DefaultJob()
	j.Name, j.Engine, j.RW, j.TimeBased = "hot", catalog.Null, workloads.RWRandRead, true
	j.IODepth = depth
	if change != nil {
		change(&j)
	}
	run := &jobRun{spec: &j, depth: depth, choice: catalog.Choice{Name: catalog.Null}}
	src, err := pattern.New(pattern.Config{Job: &j, Files: []pattern.File{{Low: 0, High: 1 << 40}}, Seed: 1, Align: 512})
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{
		clock: clock.New(""), job: run, source: src, stop: new(atomic.Bool), reapMax: depth,
		batch: batching{submit: depth, low: depth, reapMin: 1}, place: place{cpu: -1},
		config: engine.Config{Depth: depth, BlockBytes: 4096},
	}
	run.prioritize(w)
	if err := w.prepare(func(w *worker, c engine.Config) (engine.Queue, error) {
		q, err := catalog.Open(catalog.Null, c, nil)
		return q.Queue, err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close() })
	govern(t, w)
	return w
}

// readFrom puts a worker of hotWorker's on another engine, to read at random from a target. It returns why this
// system lacks the engine.
func (w *worker) readFrom(t testing.TB, engineName string, tg *target.Target) (lacks error) {
	t.Helper()
	src, err := pattern.New(pattern.Config{Job: w.job.spec, Files: []pattern.File{{High: tg.SizeBytes()}}, Seed: 1, Align: 4096})
	if err != nil {
		t.Error(err)
		return nil
	}
	q, err := catalog.Open(engineName, w.config, []*target.Target{tg})
	if errors.Is(err, engine.ErrUnsupported) {
		return err
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	w.queue, w.source, w.sync = q.Queue, src, engineName == catalog.Psync
	return nil
}

// unwritten makes a file whose blocks are allocated and were never written.
func unwritten(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "unwritten")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, 64<<20); err != nil {
		t.Skipf("needs fallocate: %v", err)
	}
	return path
}

// govern gives a worker the pacing, the flow and the search that its job asks for.
func govern(t testing.TB, w *worker) {
	t.Helper()
	c := &conductor{flows: map[int]*flow{}}
	if err := c.pace(w.job, w, 0); err != nil {
		t.Fatal(err)
	}
	if w.job.paced {
		for _, win := range []*window{w.win, w.box.empty.Load()} {
			win.ops[engine.OpRead].response = hist.NewRecorder()
		}
	}
	w.job.seekDepth(w)
}

// loopFor runs the loop for d and returns the I/Os done.
func loopFor(w *worker, d time.Duration) uint64 {
	w.spent = false
	now := w.clock.Now()
	w.endsAt = now + int64(d)
	w.runFrom(now)
	n := uint64(0)
	for op := range w.win.ops {
		n += w.win.ops[op].ios
	}
	return n
}

// The loop allocates nothing, whatever the pattern: not for an I/O, not for a batch, not for a window.
func TestTheLoopAllocatesNothing(t *testing.T) {
	for name, change := range map[string]func(*workloads.Job){
		"random without map": func(j *workloads.Job) { j.NoRandomMap = true },
		"random with map":    nil,
		"sequential":         func(j *workloads.Job) { j.RW = workloads.RWRead },
		"two priorities": func(j *workloads.Job) {
			j.CmdPrio[workloads.Read] = []workloads.PriorityShare{{Percent: 20, Priority: workloads.NewPriority(workloads.ClassBestEffort, 7, 0)}}
		},
		"paced":       func(j *workloads.Job) { j.RateIOPS[workloads.Read] = 1_000_000 },
		"with a flow": func(j *workloads.Job) { j.Flow.Weight = 3 },
		"seeking a depth": func(j *workloads.Job) {
			j.LatencyTarget = workloads.LatencyTarget{Limit: time.Second, Window: 50 * time.Microsecond, Percentile: 50, Run: true}
		},
		"mix with syncs": func(j *workloads.Job) { j.RW, j.FsyncEvery = workloads.RWRandRW, 8 },
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			go func() { // a worker keeps its thread for good
				defer close(done)
				w := hotWorker(t, 32, change)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				n := uint64(0)
				for tries := 0; n < 1000 && tries < 20; tries++ { // others may have the CPU
					n = loopFor(w, 50*time.Millisecond)
				}
				runtime.ReadMemStats(&after)
				if n < 1000 {
					t.Errorf("the loop did only %d I/Os", n)
				}
				// Other goroutines of the test binary may allocate a little; per I/O it must be nothing.
				if got := after.Mallocs - before.Mallocs; got > 20 {
					t.Errorf("%d allocations in %d I/Os", got, n)
				}
				w.win.reset()
				if got := testing.AllocsPerRun(20, func() {
					w.spent = false
					w.endAt = w.clock.Now() + 100_000
					if err := w.loop(); err != nil {
						t.Error(err)
					}
				}); got != 0 {
					t.Errorf("%v allocations per 100 us of looping", got)
				}
			}()
			<-done
		})
	}
}

// BenchmarkLoop is the whole loop on the null engine, with all latencies on: what blkmeter itself spends
// per I/O.
func BenchmarkLoop(b *testing.B) {
	for _, c := range []struct {
		name   string
		depth  int
		change func(*workloads.Job)
	}{
		{"rand-nomap/qd=32", 32, func(j *workloads.Job) { j.NoRandomMap = true }},
		{"rand-map/qd=32", 32, nil},
		{"rand-nomap/qd=1", 1, func(j *workloads.Job) { j.NoRandomMap = true }},
		{"rand-nomap/qd=256", 256, func(j *workloads.Job) { j.NoRandomMap = true }},
		{"seq/qd=32", 32, func(j *workloads.Job) { j.RW = workloads.RWRead }},
		{"randrw-map/qd=32", 32, func(j *workloads.Job) { j.RW = workloads.RWRandRW }},
		{"zipf/qd=32", 32, func(j *workloads.Job) { j.NoRandomMap, j.Distribution[0] = true, "zipf:1.2" }},
	} {
		b.Run(c.name, func(b *testing.B) {
			type result struct {
				ios   uint64
				cpuNS int64
			}
			out := make(chan result)
			go func() {
				w := hotWorker(b, c.depth, c.change)
				loopFor(w, 5*time.Millisecond)
				var r result
				for r.ios < uint64(b.N) {
					w.win.reset()
					r.ios += loopFor(w, 2*time.Millisecond)
					r.cpuNS += w.outcome.usage.UserNS + w.outcome.usage.SysNS
				}
				out <- r
			}()
			r := <-out
			b.ReportMetric(0, "ns/op") // b.N counts I/Os, but the loop runs in slices of time
			b.ReportMetric(float64(r.cpuNS)/float64(r.ios), "cpu-ns/IO")
		})
	}
}

// BenchmarkLoopOnFile is the loop on the engines that reach the kernel: reads of blocks that were allocated and
// never written, which a file system answers at once.
func BenchmarkLoopOnFile(b *testing.B) {
	path := unwritten(b)
	for _, c := range []struct {
		engine string
		depth  int
	}{{catalog.Uring, 32}, {catalog.Uring, 1}, {catalog.Libaio, 32}, {catalog.Psync, 1}} {
		b.Run(fmt.Sprintf("%s/qd=%d", c.engine, c.depth), func(b *testing.B) {
			tg, err := target.Open(target.Spec{Path: path, Access: target.ReadOnly, Direct: true})
			if err != nil {
				b.Fatal(err)
			}
			defer tg.Close()
			var lacks error
			var ios uint64
			var userNS, sysNS int64
			done := make(chan struct{})
			go func() { // a worker keeps its thread for good
				defer close(done)
				w := hotWorker(b, c.depth, func(j *workloads.Job) { j.NoRandomMap = true })
				if lacks = w.readFrom(b, c.engine, tg); lacks != nil || b.Failed() {
					return
				}
				defer w.queue.Close()
				for ios < uint64(b.N) {
					w.win.reset()
					ios += loopFor(w, 2*time.Millisecond)
					userNS += w.outcome.usage.UserNS
					sysNS += w.outcome.usage.SysNS
				}
			}()
			<-done
			if lacks != nil {
				b.Skipf("needs %s: %v", c.engine, lacks)
			}
			b.ReportMetric(0, "ns/op") // b.N counts I/Os, but the loop runs in slices of time
			b.ReportMetric(float64(userNS)/float64(ios), "user-ns/IO")
			b.ReportMetric(float64(sysNS)/float64(ios), "sys-ns/IO")
		})
	}
}
