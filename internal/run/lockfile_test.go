package run

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// usage is who does I/O to one file at the moment.
type usage struct{ readers, writers atomic.Int32 }

// watchedQueue notes who is at work on the file between Submit and Reap.
type watchedQueue struct {
	t        *testing.T
	use      *usage
	shares   bool
	inFlight []engine.Request
}

func (q *watchedQueue) Submit(reqs []engine.Request) (int, error) {
	for _, r := range reqs {
		if r.Op == engine.OpRead {
			q.use.readers.Add(1)
		} else {
			q.use.writers.Add(1)
		}
	}
	q.inFlight = append(q.inFlight, reqs...)
	return len(reqs), nil
}

func (q *watchedQueue) Reap(done []engine.Completion, _ int, _ time.Duration) (int, error) {
	mine := [2]int32{}
	for _, r := range q.inFlight {
		mine[r.Op]++
	}
	if len(q.inFlight) > 0 {
		others := q.use.readers.Load() + q.use.writers.Load() - mine[0] - mine[1]
		if alone := !q.shares || mine[engine.OpWrite] > 0; alone && others > 0 || q.use.writers.Load() > mine[engine.OpWrite] {
			q.t.Errorf("%d I/Os of others are in flight beside %d reads and %d writes", others, mine[0], mine[1])
		}
	}
	n := min(1, len(q.inFlight))
	for i, r := range q.inFlight[:n] {
		if r.Op == engine.OpRead {
			q.use.readers.Add(-1)
		} else {
			q.use.writers.Add(-1)
		}
		done[i] = engine.Completion{Slot: r.Slot, Result: int32(r.Length)}
	}
	q.inFlight = q.inFlight[n:]
	return n, nil
}

func (q *watchedQueue) Counters() engine.Counters { return engine.Counters{} }
func (q *watchedQueue) Close() error              { return nil }

func TestLockedFilesHaveOneUser(t *testing.T) {
	const depth, rounds = 4, 300
	for _, shares := range []bool{false, true} {
		var use usage
		var lock sync.RWMutex
		var done sync.WaitGroup
		for worker := range 3 {
			l := &locking{
				Queue: &watchedQueue{t: t, use: &use, shares: shares}, shares: shares,
				files: []fileHold{{lock: &lock}}, slots: make([]uint16, depth),
			}
			op := engine.OpRead
			if worker == 0 {
				op = engine.OpWrite
			}
			done.Go(func() { submitAndReap(t, l, op, depth, rounds) })
		}
		done.Wait()
		if !lock.TryLock() {
			t.Errorf("shares %v: the lock is still held", shares)
		}
	}
}

// submitAndReap keeps depth I/Os waiting or in flight until so many are done.
func submitAndReap(t *testing.T, l *locking, op engine.Op, depth, rounds int) {
	completions := make([]engine.Completion, depth)
	free, begun := make([]uint32, 0, depth), 0
	for i := range depth {
		free = append(free, uint32(i))
	}
	var held []engine.Request
	for finished := 0; finished < rounds; {
		for ; len(free) > 0 && begun < rounds; begun++ {
			held = append(held, engine.Request{Slot: free[0], Length: 4096, Op: op})
			free = free[1:]
		}
		taken, err := l.Submit(held)
		if err != nil {
			t.Error(err)
			return
		}
		held = held[taken:]
		n, err := l.Reap(completions, 0, 0)
		if err != nil {
			t.Error(err)
			return
		}
		for _, c := range completions[:n] {
			free = append(free, c.Slot)
		}
		finished += n
	}
}

// Jobs that lock their file do all their work, at any depth and on several files, and also what comes behind
// the loop: reading back, and a sync.
func TestLockfileJobsEnd(t *testing.T) {
	for _, mode := range []string{"exclusive", "readwrite"} {
		for _, engineName := range []string{"psync", "io_uring"} {
			dir := t.TempDir()
			j := job("", engineName, workloads.RWRandRW)
			j.Destroy, j.Direct, j.NumJobs, j.Size = "", false, 3, workloads.Amount{Bytes: 1 << 20, Set: true}
			j.Filenames, j.NrFiles = []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, 2
			j.Layout.LockFile, j.Verify.Kind, j.EndFsync = mode, "crc32c", true
			r := do(t, j)
			if s := &r.Jobs[0]; r.ExitCode != 0 || s.Read.Bytes+s.Write.Bytes != 3<<20 {
				t.Errorf("%s on %s: exit %d, %d bytes", mode, engineName, r.ExitCode, s.Read.Bytes+s.Write.Bytes)
			}
		}
	}
}

// An I/O that had to wait for its file's lock is submitted as soon as it has it, and not with the next arrival:
// paced jobs that share a file keep their rate.
func TestLockfileKeepsRates(t *testing.T) {
	j := job("", "psync", workloads.RWRandWrite)
	j.Destroy, j.Direct, j.NumJobs, j.IODepth, j.Size = "", false, 2, 1, workloads.Amount{Bytes: 4 << 20, Set: true}
	j.Layout.LockFile = "exclusive"
	j.RateIOPS[workloads.Write], j.NumberIOs = 1000, 200
	testlab.Undisturbed(t, func() string {
		j.Filenames = []string{filepath.Join(t.TempDir(), "a")}
		r := do(t, j)
		if late := time.Duration(r.Jobs[0].Write.Response.MaxNS); late >= Interval/4 {
			return fmt.Sprintf("an I/O came %v late", late)
		}
		return ""
	})
}
