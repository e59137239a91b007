package explain

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/kernel/perf"
	"github.com/blkmeter/blkmeter/report"
)

// lockRecorder takes down the beginnings and ends of all waits for kernel locks (lock:contention_begin and
// contention_end, Linux 5.19; include/trace/events/lock.h), so that they can be told by who asked for the lock
// and how long it took.
type lockRecorder struct {
	cpus      []int
	recorders []*perf.Recorder // in the order of cpus
	begin     uint64           // the number of contention_begin
	hits      []lockHit
	lost      uint64
	stop      chan struct{}
	stopped   chan struct{}
}

// lockHit is the beginning or end of a wait.
type lockHit struct {
	timeNS uint64
	lock   uint64
	thread int32
	cpu    int
	flags  uint32 // of a beginning
	begins bool
	stack  []uint64
}

const (
	// lockRing is the memory for hits of one CPU: all that may be locked without a privilege.
	lockRing = 512 << 10
	// drainEvery empties it long before it is full: a CPU cannot wait for locks more than some million times
	// a second.
	drainEvery = 5 * time.Millisecond
	// maxHits bounds what is kept, some hundred bytes each.
	maxHits = 2_000_000
)

// openLocks makes the recorders, stopped; nil, and a note, when that is not possible.
func (s *Session) openLocks(tracing *perf.Tracing) *lockRecorder {
	r := &lockRecorder{cpus: s.cpus}
	begin, err := tracing.Event("lock", "contention_begin")
	if err != nil {
		s.lack(begin.String(), err)
		return nil
	}
	end, err := tracing.Event("lock", "contention_end")
	if err != nil {
		s.lack(end.String(), err)
		return nil
	}
	r.begin = begin.ID
	for _, cpu := range s.cpus {
		one, err := perf.OpenRecorder(cpu, lockRing, perf.Recorded{Event: begin, Stack: true}, perf.Recorded{Event: end})
		if err != nil {
			s.lack("call sites of locks", err)
			r.close()
			return nil
		}
		r.recorders = append(r.recorders, one)
	}
	return r
}

// start begins to record, and to empty the rings meanwhile.
func (r *lockRecorder) start() error {
	r.stop, r.stopped = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(r.stopped)
		tick := time.NewTicker(drainEvery)
		defer tick.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-tick.C:
				r.drain()
			}
		}
	}()
	for _, one := range r.recorders {
		if err := one.Enable(); err != nil {
			return err
		}
	}
	return nil
}

func (r *lockRecorder) drain() {
	for i, one := range r.recorders {
		r.lost += one.Drain(func(s perf.Sample) {
			if hit, ok := r.hit(s); !ok || len(r.hits) == maxHits {
				r.lost++
			} else {
				hit.cpu = r.cpus[i]
				r.hits = append(r.hits, hit)
			}
		})
	}
}

// hit reads the fields of a sample: common_type (2 bytes at 0), lock_addr (8 at 8) and flags (4 at 16).
func (r *lockRecorder) hit(s perf.Sample) (lockHit, bool) {
	if len(s.Raw) < 20 {
		return lockHit{}, false
	}
	return lockHit{
		timeNS: s.TimeNS, thread: s.ThreadID, stack: s.Stack, begins: uint64(binary.NativeEndian.Uint16(s.Raw)) == r.begin,
		lock: binary.NativeEndian.Uint64(s.Raw[8:]), flags: binary.NativeEndian.Uint32(s.Raw[16:]),
	}, true
}

// finish ends the recording and returns the waits by who asked for the lock.
func (r *lockRecorder) finish() (LockWaits, error) {
	var failed error
	for _, one := range r.recorders {
		if err := one.Disable(); err != nil {
			failed = err
		}
	}
	close(r.stop)
	<-r.stopped
	r.drain()
	symbols, err := perf.ReadSymbols()
	if err != nil {
		return LockWaits{}, err
	}
	return lockWaits(r.hits, r.lost, symbols.Caller), failed
}

func (r *lockRecorder) close() {
	for _, one := range r.recorders {
		one.Close() // a recorder has nothing to lose on close
	}
}

// LockWaits is what was recorded about waits for kernel locks.
type LockWaits struct {
	Sites []LockSite
	Lost  uint64 // beginnings and ends that were not recorded
}

// LockSite is the waits on one CPU for a kind of lock that one function of the kernel asked for.
type LockSite struct {
	Function string
	Kind     string
	CPU      int
	Waits    int64 // begun and ended meanwhile
	WaitNS   int64
}

// Kinds of locks by what waiting for one does to the CPU.
const (
	kindSpin  = "spin"
	kindSleep = "sleep"
)

// Flags of contention_begin (LCB_F_*, include/trace/events/lock.h).
const (
	flagSpin  = 1 << 0
	flagMutex = 1 << 5
)

// lockWaits joins beginnings and ends. A thread waits for one lock at a time, except that an interrupt may make
// it wait for another one meanwhile: the last begun ends first.
func lockWaits(hits []lockHit, lost uint64, caller func(stack []uint64) string) LockWaits {
	slices.SortStableFunc(hits, func(a, b lockHit) int { return cmp.Compare(a.timeNS, b.timeNS) })
	type waiter struct {
		thread int32
		cpu    int // of thread 0 only: every CPU has an idle thread of that number
		lock   uint64
	}
	type site struct {
		function, kind string
		cpu            int
	}
	open := map[waiter]lockHit{}
	sites := map[site]*LockSite{}
	for _, h := range hits {
		w := waiter{thread: h.thread, lock: h.lock}
		if h.thread == 0 {
			w.cpu = h.cpu
		}
		if h.begins {
			// A mutex begins anew when spinning for it turns into sleeping: the wait goes on.
			if begun, waiting := open[w]; waiting && begun.flags&flagMutex != 0 {
				continue
			}
			open[w] = h
			continue
		}
		begun, waiting := open[w]
		if !waiting {
			continue // it began before the recording
		}
		delete(open, w)
		k := site{function: caller(begun.stack), kind: kindSleep, cpu: begun.cpu}
		if begun.flags&flagSpin != 0 && begun.flags&flagMutex == 0 {
			k.kind = kindSpin
		}
		if sites[k] == nil {
			sites[k] = &LockSite{Function: k.function, Kind: k.kind, CPU: k.cpu}
		}
		sites[k].Waits++
		sites[k].WaitNS += int64(h.timeNS - begun.timeNS)
	}
	out := LockWaits{Lost: lost}
	for s := range maps.Values(sites) {
		out.Sites = append(out.Sites, *s)
	}
	slices.SortFunc(out.Sites, func(a, b LockSite) int {
		return cmp.Or(cmp.Compare(b.Waits, a.Waits), cmp.Compare(a.Function, b.Function), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.CPU, b.CPU))
	})
	return out
}

// on adds up the sites over the CPUs.
func (w *LockWaits) on(cpus []int) []report.LockSite {
	sites := []report.LockSite{}
	for _, s := range w.Sites {
		if !slices.Contains(cpus, s.CPU) {
			continue
		}
		i := slices.IndexFunc(sites, func(t report.LockSite) bool { return t.Function == s.Function && t.Kind == s.Kind })
		if i < 0 {
			i = len(sites)
			sites = append(sites, report.LockSite{Function: s.Function, Kind: s.Kind, BlockLayer: inBlockLayer(s.Function)})
		}
		sites[i].Waits += s.Waits
		sites[i].WaitNS += s.WaitNS
	}
	slices.SortStableFunc(sites, func(a, b report.LockSite) int { return cmp.Compare(b.Waits, a.Waits) })
	return sites
}

// inBlockLayer says whether a function is the block layer's or one of its schedulers', by the prefixes of
// names in block/ and lib/sbitmap.c.
func inBlockLayer(function string) bool {
	bare := strings.TrimLeft(function, "_")
	return slices.ContainsFunc([]string{"blk_", "blkcg_", "blkg_", "bio_", "submit_bio", "bfq", "dd_", "deadline_", "kyber_", "elv_", "sbitmap_", "sbq_", "rq_qos_", "wbt_", "ioc_", "disk_"},
		func(prefix string) bool { return strings.HasPrefix(bare, prefix) })
}
