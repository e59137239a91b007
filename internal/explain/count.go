// Package explain proves where requests were issued and completed, and which way they took. While a load
// runs, tracepoints count per CPU what the block layer does with one disk's requests; afterwards a pure
// function sets the counts beside what the workers say they did.
//
// Counting costs some tens of nanoseconds per request, so it is never done while figures are taken: see
// the explain pass in internal/run.
package explain

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/kernel/perf"
	"github.com/blkmeter/blkmeter/report"
)

// event is a tracepoint of the block layer that carries a device number.
type event int

const (
	issued event = iota
	completed
	inserted
	backMerged
	frontMerged
	split
	requeued
	events // how many there are
)

var eventNames = [events]string{
	issued: "block_rq_issue", completed: "block_rq_complete", inserted: "block_rq_insert",
	backMerged: "block_bio_backmerge", frontMerged: "block_bio_frontmerge", split: "block_split", requeued: "block_rq_requeue",
}

// Counts is what was counted. Slices by CPU are in the order of CPUs. What could not be
// counted is nil.
type Counts struct {
	CPUs        []int // the online ones
	Length      time.Duration
	Disks       []DiskCounts
	Contentions []int64 // lock:contention_begin by CPU
	LockWaits   *LockWaits
	Missing     []report.Missing
}

// DiskCounts is what was counted at one disk.
type DiskCounts struct {
	Disk       device.Facts
	events     [events][]int64 // by event and CPU
	queues     [][]int64       // by place in Disk.Queues and CPU: nvme:nvme_setup_cmd
	interrupts []int64         // by CPU
}

// Session counts from Start to Stop; it is for one such span.
type Session struct {
	root       device.Root
	cpus       []int
	disks      []diskSession
	contention []*perf.Counter // by CPU
	locks      *lockRecorder   // nil: not possible here
	missing    []report.Missing
	started    time.Time
}

type diskSession struct {
	disk    device.Facts
	events  [events][]*perf.Counter
	queues  [][]*perf.Counter
	vectors vectors
	before  []int64 // interrupts by CPU
}

// maxQueueCounters bounds the counters of hardware queues: each takes a file descriptor, and there is one
// per CPU and queue.
const maxQueueCounters = 4096

// Open makes what is needed to count what happens to the disks, and counts nothing yet. It does not fail:
// what cannot be counted here is told in Counts.Missing, with the remedy.
func Open(root device.Root, disks ...device.Facts) *Session {
	s := &Session{root: root}
	online, err := os.ReadFile(root.Path("sys/devices/system/cpu/online"))
	if err == nil {
		s.cpus, err = device.ParseCPUList(string(online))
	}
	if err != nil {
		s.lack("tracepoints", err)
		return s
	}
	for _, d := range disks {
		s.disks = append(s.disks, diskSession{disk: d, vectors: findVectors(root, &d)})
	}
	tracing, err := perf.OpenTracing(string(root))
	if err != nil {
		s.lack("tracepoints", err)
		return s
	}
	s.openAll(tracing)
	s.lack("tracefs", tracing.Close())
	return s
}

// Start begins to count.
func (s *Session) Start() {
	text := readInterrupts(s.root)
	for i := range s.disks {
		d := &s.disks[i]
		d.before = d.vectors.count(text, s.cpus)
	}
	s.started = time.Now()
	for c := range s.counters() {
		s.lack("perf events", c.Enable())
	}
	if s.locks != nil {
		s.lack("call sites of locks", s.locks.start())
	}
}

// openAll makes the counters, all stopped.
func (s *Session) openAll(tracing *perf.Tracing) {
	for i := range s.disks {
		d := &s.disks[i]
		if len(d.disk.Queues) == 0 {
			s.missing = append(s.missing, report.Missing{
				What: "requests of " + d.disk.Name, Why: "it is bio-based: it has no requests and no hardware queues of its own",
				Remedy: "explain a run on the devices below it, where it has any",
			})
			continue
		}
		filter := fmt.Sprintf("dev == %d", d.disk.DevT.Major<<minorBits|d.disk.DevT.Minor)
		for e, name := range eventNames {
			d.events[e] = s.open(tracing, "block", name, filter)
		}
		if d.disk.Kind == device.KindNVMe {
			d.queues = s.openQueues(tracing, &d.disk)
		}
	}
	s.contention = s.open(tracing, "lock", "contention_begin", "")
	if s.contention != nil {
		s.locks = s.openLocks(tracing)
	}
}

// minorBits is the width of the minor number in the kernel's own dev_t (linux/kdev_t.h), which is what the
// block tracepoints carry.
const minorBits = 20

// open makes a counter of one event for each CPU; nil, and a note, when that is not possible.
func (s *Session) open(tracing *perf.Tracing, system, name, filter string) []*perf.Counter {
	e, err := tracing.Event(system, name)
	if err != nil {
		s.lack(e.String(), err)
		return nil
	}
	counters := make([]*perf.Counter, 0, len(s.cpus))
	for _, cpu := range s.cpus {
		c, err := perf.Open(e, cpu, filter)
		if err != nil {
			s.lack(e.String(), err)
			closeAll(counters)
			return nil
		}
		counters = append(counters, c)
	}
	return counters
}

// openQueues makes counters of an NVMe namespace's commands by CPU and hardware queue. Queue 0 of a
// controller is for administration, so hardware queue k is the controller's queue k+1.
func (s *Session) openQueues(tracing *perf.Tracing, disk *device.Facts) [][]*perf.Counter {
	const what = "nvme:nvme_setup_cmd"
	if n := len(disk.Queues) * len(s.cpus); n > maxQueueCounters {
		s.missing = append(s.missing, report.Missing{
			What: what, Why: fmt.Sprintf("%d hardware queues and %d CPUs would take %d counters; %d are the limit", len(disk.Queues), len(s.cpus), n, maxQueueCounters),
		})
		return nil
	}
	controller := strings.TrimPrefix(disk.NVMeController, "nvme")
	byQueue := make([][]*perf.Counter, 0, len(disk.Queues))
	for _, q := range disk.Queues {
		filter := fmt.Sprintf("ctrl_id == %s && nsid == %d && qid == %d", controller, disk.NVMeNamespace, q.HCTX+1)
		counters := s.open(tracing, "nvme", "nvme_setup_cmd", filter)
		if counters == nil {
			for _, c := range byQueue {
				closeAll(c)
			}
			return nil
		}
		byQueue = append(byQueue, counters)
	}
	return byQueue
}

// lack notes that something cannot be counted; the same reason is told once.
func (s *Session) lack(what string, err error) {
	if err == nil {
		return
	}
	m := report.Missing{What: what, Why: err.Error()}
	var u *perf.Unavailable
	if errors.As(err, &u) {
		m.Why, m.Remedy = u.Why, u.Remedy
	}
	for i := range s.missing {
		if s.missing[i].Why != m.Why {
			continue
		}
		if !slices.Contains(strings.Split(s.missing[i].What, ", "), what) {
			s.missing[i].What += ", " + what
		}
		return
	}
	s.missing = append(s.missing, m)
}

// counters yields every counter that is open.
func (s *Session) counters() iter.Seq[*perf.Counter] {
	return func(yield func(*perf.Counter) bool) {
		sets := [][]*perf.Counter{s.contention}
		for i := range s.disks {
			sets = append(sets, s.disks[i].events[:]...)
			sets = append(sets, s.disks[i].queues...)
		}
		for _, set := range sets {
			for _, c := range set {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// Stop ends the counting and returns the counts since Start.
func (s *Session) Stop() Counts {
	for c := range s.counters() {
		s.lack("perf events", c.Disable())
	}
	counts := Counts{CPUs: s.cpus, Length: time.Since(s.started)}
	text := readInterrupts(s.root)
	for i := range s.disks {
		d := &s.disks[i]
		out := DiskCounts{Disk: d.disk, interrupts: since(d.vectors.count(text, s.cpus), d.before)}
		for e := range d.events {
			out.events[e] = s.read(d.events[e])
		}
		for _, q := range d.queues {
			out.queues = append(out.queues, s.read(q))
		}
		counts.Disks = append(counts.Disks, out)
	}
	counts.Contentions = s.read(s.contention)
	if s.locks != nil {
		waits, err := s.locks.finish()
		if err != nil {
			s.lack("call sites of locks", err)
		} else {
			counts.LockWaits = &waits
		}
	}
	counts.Missing = s.missing
	return counts
}

// Close frees the counters. It takes tens of milliseconds per event: the kernel waits until no CPU is in the
// middle of one.
func (s *Session) Close() {
	closeAll(slices.Collect(s.counters()))
	if s.locks != nil {
		s.locks.close()
	}
}

// read returns the counts by CPU, nil when there are none.
func (s *Session) read(counters []*perf.Counter) []int64 {
	var counts []int64
	for _, c := range counters {
		n, err := c.Read()
		if err != nil {
			s.lack("perf events", err)
			return nil
		}
		counts = append(counts, int64(n))
	}
	return counts
}

func closeAll(counters []*perf.Counter) {
	for _, c := range counters {
		c.Close() // a perf event has nothing to lose on close
	}
}
