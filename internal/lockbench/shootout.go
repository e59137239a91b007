package lockbench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/prose"
	"github.com/blkmeter/blkmeter/internal/stats"
)

// Schema names the format of a shoot-out's document.
const Schema = "blkmeter.locks/1"

// Shootout compares locks over numbers of threads.
type Shootout struct {
	Kinds    []string      // of lock.Names
	Threads  []int         // each 1 or more
	CPUs     []int         // to bind threads to
	HoldNS   int64         // critical section
	Duration time.Duration // of one measured window
	Rounds   int           // every lock at every number of threads, in random order, this often
	Seed     uint64        // of the order
	StateDir string
	Progress func(done, total int) // called before every window; nil: not at all
}

// DefaultThreads is 1, 2, 4, ... up to the number of CPUs, and twice and four times that.
func DefaultThreads(cpus int) []int {
	threads := []int{}
	for n := 1; n < cpus; n *= 2 {
		threads = append(threads, n)
	}
	return append(threads, cpus, 2*cpus, 4*cpus)
}

// Report is what a shoot-out found.
type Report struct {
	Schema     string   `json:"schema"`
	CPUs       []int    `json:"cpus"`
	HoldNS     int64    `json:"hold_ns"`
	DurationNS int64    `json:"duration_ns"` // of one window
	Rounds     int      `json:"rounds"`
	Seed       uint64   `json:"seed"`
	Pause      string   `json:"pause_instruction"`
	ClockNS    float64  `json:"clock_ns"` // cost of one look at the clock, contained in every wait
	Locks      []Lane   `json:"locks"`
	Meaning    []string `json:"meaning"` // for a shared submission queue
}

// Lane is one lock.
type Lane struct {
	Kind          string  `json:"kind"`
	Title         string  `json:"title"`
	Waits         string  `json:"waiters"` // how they pass the time
	FIFO          bool    `json:"fifo"`
	Counterpart   string  `json:"kernel_counterpart"`
	UncontendedNS float64 `json:"uncontended_pair_ns"`
	Points        []Point `json:"points"`
}

// Point is one lock at one number of threads: medians over the rounds, waits merged.
type Point struct {
	Threads      int     `json:"threads"`
	OpsPerS      float64 `json:"ops_per_s"`
	OpsMin       float64 `json:"ops_min_per_s"`
	OpsMax       float64 `json:"ops_max_per_s"`
	WaitP50NS    int64   `json:"wait_p50_ns"`
	WaitP99NS    int64   `json:"wait_p99_ns"`  // 0 with fewer than 1000 sampled waits
	WaitP999NS   int64   `json:"wait_p999_ns"` // 0 with fewer than 20000
	WaitMaxNS    int64   `json:"wait_max_ns"`
	WaitSamples  int64   `json:"wait_samples"`
	Jain         float64 `json:"jain"`
	LongestGapNS int64   `json:"longest_gap_ns"`
	Switches     int64   `json:"involuntary_switches"`
	CPUPerOpNS   float64 `json:"cpu_per_op_ns"`
}

// Run measures. It returns what there is when ctx ends, with the error.
func (s Shootout) Run(ctx context.Context) (*Report, error) {
	r := &Report{
		Schema: Schema, CPUs: s.CPUs, HoldNS: s.HoldNS, DurationNS: int64(s.Duration), Rounds: s.Rounds, Seed: s.Seed,
		Pause: cpu.PauseInstruction, ClockNS: clockCost(), Locks: []Lane{}, Meaning: []string{},
	}
	var described []lock.Kind
	for _, name := range s.Kinds {
		at := slices.IndexFunc(lock.Kinds(), func(k lock.Kind) bool { return k.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("no lock is called %q: the kinds are %s", name, strings.Join(lock.Names(), ", "))
		}
		described = append(described, lock.Kinds()[at])
	}
	type cell struct{ kind, threads int }
	results := map[cell][]*Result{}
	pairs := make([][]float64, len(s.Kinds))
	done, total := 0, s.Rounds*len(s.Kinds)*(1+len(s.Threads))
	step := func() {
		if s.Progress != nil {
			s.Progress(done, total)
		}
		done++
	}
	rng := rand.New(rand.NewPCG(s.Seed, 0))
	for range s.Rounds {
		for _, k := range rng.Perm(len(s.Kinds)) {
			step()
			ns, err := Uncontended(ctx, Load{Kind: s.Kinds[k], CPUs: s.CPUs, Duration: s.Duration / 4, StateDir: s.StateDir})
			if err != nil {
				return nil, err
			}
			pairs[k] = append(pairs[k], ns)
		}
		for _, i := range rng.Perm(len(s.Kinds) * len(s.Threads)) {
			step()
			c := cell{i % len(s.Kinds), i / len(s.Kinds)}
			res, err := Run(ctx, Load{
				Kind: s.Kinds[c.kind], Threads: s.Threads[c.threads], CPUs: s.CPUs, HoldNS: s.HoldNS,
				Duration: s.Duration, Ramp: s.Duration / 5, StateDir: s.StateDir,
			})
			if err != nil {
				return nil, err
			}
			results[c] = append(results[c], res)
		}
	}
	for k, d := range described {
		lane := Lane{
			Kind: d.Name, Title: d.Title, Waits: d.Waits, FIFO: d.FIFO, Counterpart: d.Counterpart,
			UncontendedNS: stats.Median(pairs[k]), Points: []Point{},
		}
		for t, threads := range s.Threads {
			lane.Points = append(lane.Points, point(threads, results[cell{k, t}]))
		}
		r.Locks = append(r.Locks, lane)
	}
	r.Meaning = r.meaning()
	return r, nil
}

// point sums up the rounds of one lock at one number of threads.
func point(threads int, rounds []*Result) Point {
	p := Point{Threads: threads}
	var ops, jains []float64
	waits := hdrhistogram.New(1, int64(time.Hour), 3)
	var passages, cpuNS float64
	for _, r := range rounds {
		ops, jains = append(ops, r.OpsPerS), append(jains, r.Jain)
		waits.Merge(r.Waits) // the same geometry: nothing is dropped
		p.LongestGapNS = max(p.LongestGapNS, r.LongestGapNS)
		p.Switches += r.Involuntary
		cpuNS += float64(r.CPUNS)
		for _, n := range r.PerThread {
			passages += n
		}
	}
	p.OpsPerS, p.OpsMin, p.OpsMax = stats.Median(ops), slices.Min(ops), slices.Max(ops)
	p.Jain = stats.Median(jains)
	p.WaitSamples = waits.TotalCount()
	p.WaitP50NS, p.WaitMaxNS = waits.ValueAtPercentile(50), waits.Max()
	if p.WaitSamples >= 1000 {
		p.WaitP99NS = waits.ValueAtPercentile(99)
	}
	if p.WaitSamples >= 20_000 {
		p.WaitP999NS = waits.ValueAtPercentile(99.9)
	}
	if passages > 0 {
		p.CPUPerOpNS = cpuNS / passages
	}
	return p
}

// lane returns a lock's lane, or nil.
func (r *Report) lane(kind string) *Lane {
	for i := range r.Locks {
		if r.Locks[i].Kind == kind {
			return &r.Locks[i]
		}
	}
	return nil
}

// last returns a lane's point with the most threads.
func (l *Lane) last() Point { return l.Points[len(l.Points)-1] }

// meaning says in words what the numbers mean for one submission queue that several threads share.
func (r *Report) meaning() []string {
	if len(r.Locks) == 0 || len(r.Locks[0].Points) == 0 {
		return []string{}
	}
	best, worst := r.Locks[0], r.Locks[0]
	for _, l := range r.Locks {
		if l.last().OpsPerS > best.last().OpsPerS {
			best = l
		}
		if l.last().OpsPerS < worst.last().OpsPerS {
			worst = l
		}
	}
	threads := best.last().Threads
	says := []string{fmt.Sprintf(
		"A shared queue takes its lock for every submission, so no device can get more I/O through it than the lock lets pass. "+
			"With %d threads on %d CPUs that is at most %s/s behind the best lock here (%s) and %s/s behind the worst (%s).",
		threads, len(r.CPUs), prose.Count(best.last().OpsPerS), best.Kind, prose.Count(worst.last().OpsPerS), worst.Kind)}
	futex := r.lane("futex")
	if futex != nil && threads > len(r.CPUs) {
		for _, kind := range []string{"ticket", "mcs"} {
			l := r.lane(kind)
			if l == nil || l.last().OpsPerS > futex.last().OpsPerS/2 {
				continue
			}
			says = append(says, fmt.Sprintf(
				"A %s is first come, first served: with more threads than CPUs the next in line is often not running and all wait for its time slice "+
					"(longest gap %s). It lets %.2g times as many through as the futex. A kernel spinlock disables preemption and does not suffer this.",
				l.Kind+" lock", prose.Nanoseconds(float64(l.last().LongestGapNS)), l.last().OpsPerS/max(futex.last().OpsPerS, 1)))
		}
	}
	if pi := r.lane("pi"); pi != nil && futex != nil && threads > 1 && pi.last().OpsPerS < 0.7*futex.last().OpsPerS {
		says = append(says, fmt.Sprintf(
			"The priority-inheriting futex hands the lock to a sleeper every time and lets %.2g times as many through as the futex: "+
				"the price of bounded priority inversion, which spinlock_t pays on PREEMPT_RT too.", pi.last().OpsPerS/futex.last().OpsPerS))
	}
	for _, l := range r.Locks {
		if p := l.last(); p.Jain < 0.9 && threads > 1 {
			says = append(says, fmt.Sprintf("The %s lock is unfair at %d threads: Jain %.2f, and a thread went without it for %s.", l.Kind, threads, p.Jain, prose.Nanoseconds(float64(p.LongestGapNS))))
		}
	}
	return append(says,
		"Batches divide the lock's cost by their size. One queue per CPU needs no lock at all, which is what blk-mq does.",
		"This measures a userspace lock in front of the kernel; your kernel has no single-queue path.")
}

// Save writes the report as indented JSON.
func (r *Report) Save(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("writing the locks report: %w", err)
	}
	return nil
}
