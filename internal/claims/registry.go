package claims

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

// Often-cited sources.
const (
	systor13  = "Bjorling, Axboe, Nellans, Bonnet, SYSTOR'13, doi 10.1145/2485732.2485740"
	axboe24   = "Axboe, \"mq-deadline and BFQ scalability improvements\", 20240123174021.1967461-1-axboe@kernel.dk"
	kuai25    = "Yu Kuai, 20250908092007.3796967-1-yukuai1@huaweicloud.com"
	haas23    = "Haas, Leis, VLDB'23, doi 10.14778/3598581.3598584"
	cheops23  = "Ren, Trivedi et al., CHEOPS'23, doi 10.1145/3578353.3589545"
	icpe24    = "Ren et al., ICPE'24, doi 10.1145/3629526.3645053"
	bfqDoc    = "Documentation/block/bfq-iosched.rst"
	blkmqDoc  = "Documentation/block/blk-mq.rst"
	uringPDF  = "Axboe, \"Efficient IO with io_uring\", kernel.dk/io_uring.pdf"
	demos     = "veltzer/demos-linux, src/examples/pthreads"
	piDoc     = "Documentation/locking/pi-futex.rst"
	lockTypes = "Documentation/locking/locktypes.rst"
)

// userLock is printed with every result about a queue shared in userspace.
const userLock = "This measures a userspace lock in front of the kernel; your kernel has no single-queue path."

// costOf says what CPU time per I/O is.
const costOf = "CPU time per I/O is that of all of blkmeter's threads, io_uring's included, and of all kernel threads (loop's workers, ksoftirqd), whoever they work for"

// onDevice is the preconditions of everything that needs blk-mq, and more.
func onDevice(more ...Need) []Need {
	return append([]Need{{Code: NeedDevice}, {Code: DeviceIsBio}}, more...)
}

// reads is a random-read job with direct I/O.
func reads(engine string, bytes uint32, depth int) *workloads.Job {
	j := workloads.DefaultJob()
	j.Name = "claim"
	j.Engine, j.IODepth, j.RW, j.Direct = engine, depth, workloads.RWRandRead, true
	j.NoRandomMap = true
	for d := range j.BS {
		j.BS[d] = workloads.SizeRange{Min: bytes, Max: bytes}
	}
	return &j
}

// batched sets how many requests are submitted and completed at once.
func batched(j *workloads.Job, submit, complete int) *workloads.Job {
	j.BatchSubmit, j.BatchSubmitSet = submit, true
	j.BatchCompleteMin, j.BatchCompleteMax, j.BatchCompleteSet = complete, complete, true
	return j
}

// axboeJob is the job of claim 2's source.
func axboeJob() *workloads.Job {
	j := batched(reads("io_uring", 512, 4), 4, 4)
	j.FixedBufs = true
	return j
}

func with(j *workloads.Job, change func(*workloads.Job)) *workloads.Job {
	change(j)
	return j
}

// scheduler switches the device's I/O scheduler for an arm, with merging off so that requests are counted as
// they were issued.
func scheduler(name string) map[string]string {
	return map[string]string{"scheduler": name, "nomerges": "2"}
}

func needScheduler(name string) []Need {
	if name == "none" {
		return nil
	}
	return []Need{{Code: NeedSched, What: name}, {Code: NeedRoot}}
}

// onePerCPU is one thread on every CPU.
func onePerCPU() Threads { return Threads{PerCPU: 1} }

// crowd is a lock contended by threads.
func crowd(kind string, threads Threads) Arm {
	return Arm{Name: kind, Threads: threads, Lock: &LockArm{Kind: kind, Mode: LockCrowd}}
}

// ratio is the plain test R1 of one arm over another.
func ratio(of, to string, metric Metric, want Want, delta float64) Test {
	return Test{
		Name: of + "/" + to, Rule: RuleRatio, Metric: metric, Of: []string{of}, To: []string{to},
		Want: want, Delta: delta, Decides: true,
	}
}

// named gives a test a name that tells it from another one of the same arms.
func named(name string, t Test) Test {
	t.Name = name
	return t
}

// reported turns a test into one that decides nothing.
func reported(t Test) Test {
	t.Decides = false
	return t
}

// Registry lists the claims in the order of their numbers. Every call makes a new list.
func Registry() []Claim {
	return slices.Concat(queueLockClaims(), deviceClaims(), lockClaims())
}

// Select returns the claims that the user named, in the registry's order: an ID ("24a"), or a number that
// stands for all its parts ("24"). No names select all.
func Select(names []string) ([]Claim, error) {
	all := Registry()
	if len(names) == 0 {
		return all, nil
	}
	wanted := map[string]bool{}
	for _, n := range names {
		found := false
		for _, c := range all {
			if c.ID == n || strings.TrimRight(c.ID, "ab") == n {
				wanted[c.ID], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no claim %q: they go from 1 to 25, see blkmeter claims", n)
		}
	}
	return slices.DeleteFunc(all, func(c Claim) bool { return !wanted[c.ID] }), nil
}

// queueLockClaims is part A: the queue lock.
func queueLockClaims() []Claim {
	curve := func(series string, settings, nullBlk map[string]string, needs []Need) []Arm {
		var arms []Arm
		for _, n := range []int{1, 2, 4, 8, 16, 0} {
			a := Arm{
				Name: series + "@" + strconv.Itoa(n), Series: series, Needs: slices.Clone(needs), Threads: Threads{N: n},
				Job: axboeJob(), Queue: settings, NullBlk: nullBlk,
			}
			if n == 0 {
				a.Name, a.Threads = series+"@max", onePerCPU()
			} else if n > 1 {
				a.Needs = append(a.Needs, Need{Code: NeedCores, N: n + 1}) // below max, or it would be max again
			}
			arms = append(arms, a)
		}
		return arms
	}
	schedulers := []string{"none", "mq-deadline", "kyber", "bfq"}
	bySchedulers := func(job func() *workloads.Job, threads Threads) []Arm {
		var arms []Arm
		for _, s := range schedulers {
			arms = append(arms, Arm{Name: s, Needs: needScheduler(s), Threads: threads, Job: job(), Queue: scheduler(s)})
		}
		return arms
	}
	traced := func(name, sched string, threads Threads, nullBlk map[string]string) Arm {
		return Arm{
			Name: name, Needs: needScheduler(sched), Threads: threads, Job: axboeJob(), Queue: scheduler(sched),
			NullBlk: nullBlk, Explain: true,
		}
	}
	passes := func(job func() *workloads.Job, threads Threads) []Arm {
		arms := bySchedulers(job, threads)
		for i := range arms {
			arms[i].Explain = true
		}
		return arms
	}
	untraced := func(name, sched string, threads Threads) Arm {
		return Arm{Name: name, Needs: needScheduler(sched), Threads: threads, Job: axboeJob(), Queue: scheduler(sched)}
	}

	claim1 := Claim{
		ID: "1", Title: "one shared submission queue stops scaling",
		Statement: "With one shared submission queue, throughput stops scaling or falls as cores are added; with per-core queues it scales.",
		Sources: []Source{
			{systor13, Read, "the block layer has become a bottleneck, \"specially on the high NUMA-factor\" systems; the new design \"scales graciously with the number of cores\" (abstract)"},
			{"thomas-krenn.com wiki on " + systor13, SecondHand, "over 15 million IOPS on 8-socket servers"},
			{systor13 + ", figures", Unread, ""},
		},
		Conditions: "null device, several sockets; the figures of the paper were not read",
		Mechanism:  "one queue lock and its cache lines bounce among all submitters and the completing CPU",
		Decides:    map[Platform]string{NVMe: "yes: none against mq-deadline", NullBlk: "yes"},
		Needs:      onDevice(Need{Code: NeedCores, N: 4}, Need{Code: NeedHCTX, N: 2}),
		Arms: slices.Concat(
			curve("multi", scheduler("none"), map[string]string{"submit_queues": "max", "irqmode": "0"}, nil),
			curve("one-lock", scheduler("mq-deadline"), map[string]string{"submit_queues": "max", "irqmode": "0"}, needScheduler("mq-deadline")),
			curve("one-queue", scheduler("none"), map[string]string{"submit_queues": "1", "irqmode": "0"}, []Need{{Code: NeedNullBlk}}),
		),
		Tests: []Test{
			{
				Name: "scaling of multi over one-lock", Rule: RuleRatio, Metric: IOPS, Of: []string{"multi@max"}, To: []string{"multi@1"},
				Than: &Pair{Of: []string{"one-lock@max"}, To: []string{"one-lock@1"}}, Want: Above, Low: 1.3, Decides: true,
				Band: &Band{2, 4, "32 threads on 16 cores", axboe24},
			},
			{
				Name: "efficiency of one-lock at all CPUs", Rule: RuleRatio, Metric: IOPS, Of: []string{"one-lock@max"}, To: []string{"one-lock@1"},
				Scale: ScaleLoad, Want: Below, High: 0.5, Decides: true,
			},
			reported(Test{
				Name: "scaling of multi over one-queue", Rule: RuleRatio, Metric: IOPS, Of: []string{"multi@max"}, To: []string{"multi@1"},
				Than: &Pair{Of: []string{"one-queue@max"}, To: []string{"one-queue@1"}}, Want: Above, Low: 1.3,
			}),
			reported(Test{Name: "contention (alpha) of one-lock less that of multi", Rule: RuleCurve, Metric: IOPS, Of: []string{"one-lock"}, To: []string{"multi"}, Want: Above, Low: 0}),
		},
		Confounders: []string{"SMT siblings", "clock falling with the number of busy cores", "shared last-level cache", "the generator's own cost", "iostats"},
		Honesty:     "The kernel of 2013 is gone: this compares today's multi-queue path with and without a per-device lock. Claim 25 does it with locks in userspace.",
		Priority:    6,
	}

	claim2 := Claim{
		ID: "2", Title: "a per-device scheduler lock caps throughput",
		Statement: "Today's in-kernel single lock (mq-deadline, BFQ) caps a fast device near or below 1M IOPS, whatever the number of hardware queues.",
		Sources: []Source{
			{axboe24, Read, "16-core 7950X, 32 jobs at depth 4: 879K IOPS on null_blk and 901K on NVMe with 93.6% and 94.5% lock contention; 2867K and 3162K with the patches"},
			{kuai25, Read, "128-core Kunpeng-920, null_blk with 128 submit queues, 16 jobs: mq-deadline 256K, BFQ 153K; 594K and 283K with batch dispatch"},
		},
		Conditions: "bs=512, randread, io_uring, fixed buffers, depth 4, batches of 4. Whether either series is in a given kernel was not established",
		Mechanism:  "insert, merge and dispatch all take one lock per device",
		Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "the sign only: BFQ clearly, the others marginally"},
		Needs:      onDevice(Need{Code: NeedRoot}),
		Arms:       bySchedulers(axboeJob, Threads{PerCPU: 2}),
		Passes:     passes(axboeJob, Threads{PerCPU: 2}),
		Tests: []Test{
			withBand(ratio("mq-deadline", "none", IOPS, Below, 0.10), Band{0.2, 0.6, "16 cores or more", axboe24}),
			withBand(ratio("bfq", "none", IOPS, Below, 0.10), Band{0.2, 0.6, "16 cores or more", axboe24}),
			reported(ratio("kyber", "none", IOPS, Below, 0.10)),
			reported(named("CPU time per I/O bfq/none", ratio("bfq", "none", CostPerIO, Above, 0.10))),
		},
		Explain:     []string{"contended lock acquisitions per 1,000 I/O and their call sites, per scheduler"},
		Confounders: []string{"none may issue directly while a scheduler forces insert and dispatch, so part of the gap is more work, not contention: see claim 3"},
		Priority:    2,
	}

	claim3 := Claim{
		ID: "3", Title: "the loss is lock waiting, not longer code",
		Statement: "The loss of claim 2 is explained by lock waiting, not by longer code.",
		Sources: []Source{
			{axboe24, Read, "contention fell from 93.6% to about 6% while throughput tripled"},
			{"notes on " + systor13, SecondHand, "three problems: request queue locking, hardware interrupts, remote memory accesses"},
		},
		Conditions: "as claim 2",
		Mechanism:  "waiters spin on the device's lock; the critical section itself is short",
		Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "the sign only: two CPUs see BFQ's lock and not mq-deadline's"},
		Needs:      onDevice(Need{Code: NeedRoot}, Need{Code: NeedSched, What: "bfq"}),
		Arms: []Arm{
			traced("bfq@1 traced", "bfq", Threads{N: 1}, nil), traced("bfq@max traced", "bfq", onePerCPU(), nil),
			untraced("bfq@1", "bfq", Threads{N: 1}), untraced("bfq@max", "bfq", onePerCPU()),
		},
		Passes: []Arm{
			traced("none@1", "none", Threads{N: 1}, nil), traced("none@max", "none", onePerCPU(), nil),
			traced("mq-deadline@1", "mq-deadline", Threads{N: 1}, nil), traced("mq-deadline@max", "mq-deadline", onePerCPU(), nil),
		},
		Tests: []Test{
			{
				Name: "contended acquisitions, all CPUs over one", Rule: RuleShareRatio, Metric: Contended, Per: IOs,
				Of: []string{"bfq@max traced"}, To: []string{"bfq@1 traced"}, Want: Above, Low: 2, Decides: true,
			},
			{
				Name: "efficiency at all CPUs: something is lost", Rule: RuleRatio, Metric: IOPS, Of: []string{"bfq@max"}, To: []string{"bfq@1"},
				Scale: ScaleLoad, Want: Below, High: 0.9, Decides: true,
			},
			{
				Name: "share of the added CPU time that is waiting", Rule: RuleExplained, Metric: CostPerIO, Of: []string{"bfq@max traced", "bfq@1 traced"},
				To: []string{"bfq@max", "bfq@1"}, Want: Above, Low: 0.5, Decides: true,
			},
		},
		Explain:     []string{"lock:contention_begin and contention_end (since 5.19), with call sites by /proc/kallsyms; waits count when a function of the block layer or of a scheduler asked for the lock", costOf},
		Confounders: []string{"tracing slows the run, so waits of the traced run are set beside CPU time of the untraced one", "loop's workqueue lock (process_one_work) is not the block layer's", "paravirtual spinlocks in VMs", "a lock that moves between CPUs makes the code under it slower, which is not waiting"},
		Priority:    3,
	}

	claim4 := Claim{
		ID: "4", Title: "IOPS ceiling is 1 over lock-protected time",
		Statement: "The IOPS ceiling is about 1 / (lock-protected time per request).",
		Sources: []Source{
			{bfqDoc, Read, "single-lock-protected time 1.9 us with BFQ and 0.7 us with mq-deadline on an i7-2760QM; at most 400K IOPS with BFQ on an i7-4850HQ, 250K on an A8-3850, 80K on eight Cortex-A53"},
		},
		Conditions: "the CPUs above",
		Mechanism:  "a serial section bounds throughput (Amdahl)",
		Decides:    map[Platform]string{NVMe: "yes, if the device is faster than the bound", NullBlk: "yes"},
		Needs:      onDevice(Need{Code: NeedRoot}, Need{Code: NeedCores, N: 4}, Need{Code: NeedSched, What: "bfq"}),
		Arms:       []Arm{untraced("none@1", "none", Threads{N: 1}), untraced("bfq@1", "bfq", Threads{N: 1}), untraced("bfq@max", "bfq", onePerCPU())},
		Tests: []Test{
			{
				Name: "measured over predicted ceiling", Rule: RuleCeiling, Metric: CostPerIO, Of: []string{"bfq@max"}, To: []string{"bfq@1", "none@1"},
				Want: Within, Low: 0.67, High: 1.5, Decides: true,
			},
		},
		Explain:     []string{costOf},
		Confounders: []string{"handing the lock over adds coherence time, so measured below predicted is expected", "frequency", "the time under the lock is taken to be all that the scheduler adds to an I/O on one CPU"},
		Priority:    4,
	}

	claim5 := Claim{
		ID: "5", Title: "per-CPU queues remove submission contention",
		Statement: "With none and one hardware queue per CPU, lock waits do not grow with cores.",
		Sources: []Source{
			{blkmqDoc, Read, "the former design had \"a single queue ... with a single lock\"; blk-mq \"spawns multiple queues with individual entry points local to the CPU, removing the need for a lock\""},
			{"LWN 552904", SecondHand, "contention eliminated with per-CPU queues, \"greatly reduced\" with per-node ones; with none the software queue is often bypassed altogether"},
		},
		Conditions: "none given",
		Mechanism:  "each CPU submits to a queue of its own",
		Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes"},
		Needs:      onDevice(Need{Code: NeedRoot}, Need{Code: NeedHCTX, N: 2}, Need{Code: NeedCores, N: 4}),
		Arms: []Arm{
			traced("none@1", "none", Threads{N: 1}, map[string]string{"submit_queues": "max"}),
			traced("none@max", "none", onePerCPU(), map[string]string{"submit_queues": "max"}),
		},
		Tests: []Test{
			{
				Name: "contended acquisitions per 1,000 I/O at all CPUs", Rule: RuleShare, Metric: Contended, Per: IOs,
				Of: []string{"none@max"}, Want: Below, High: 5, Against: 20, Decides: true,
			},
			reported(Test{
				Name: "the same over one thread", Rule: RuleShareRatio, Metric: Contended, Per: IOs,
				Of: []string{"none@max"}, To: []string{"none@1"}, Want: Below, High: 2,
			}),
		},
		Explain:     []string{"lock:contention_begin and contention_end per call site; only waits of the block layer count"},
		Confounders: []string{"waiting for tags when depth times threads exceeds them: keep it at half of nr_tags", "shared tag sets"},
		Priority:    5,
	}

	var queueArms []Arm
	var queueNames []string
	for _, k := range []int{1, 2, 4, 8, 16, 32, 0} {
		a := Arm{
			Name: fmt.Sprintf("%d queues", k), Series: "queues", Load: float64(k), Threads: onePerCPU(), Job: axboeJob(),
			Needs: []Need{{Code: NeedCores, N: k + 1}}, Queue: scheduler("none"),
			NullBlk: map[string]string{"submit_queues": strconv.Itoa(k), "hw_queue_depth": "1024"},
		}
		if k == 0 { // one for each CPU; the load is then the number of threads
			a.Name, a.Needs, a.NullBlk["submit_queues"] = "max queues", nil, "max"
		}
		queueArms, queueNames = append(queueArms, a), append(queueNames, a.Name)
	}
	claim6 := Claim{
		ID: "6", Title: "a few hardware queues suffice",
		Statement: "A few hardware queues suffice; more than one per core group brings little.",
		Sources: []Source{
			{systor13 + ", figures on the number of queues", Unread, ""},
			{blkmqDoc, Read, "hardware queues \"will not be more than the number of cores\""},
		},
		Conditions: "not read",
		Mechanism:  "queues stop being shared by busy CPUs long before there is one for each",
		Decides:    map[Platform]string{NVMe: "partly: the count cannot be set safely at run time", NullBlk: "yes"},
		Needs:      onDevice(Need{Code: NeedRoot}, Need{Code: NeedNullBlk}, Need{Code: NeedCores, N: 4}),
		Arms:       queueArms,
		Tests: []Test{
			{
				// Queues come in powers of two: a quarter is few, and exactly a half decides nothing.
				Name: "queues at 95 % of the throughput with one per CPU, as a share of the CPUs", Rule: RuleKnee, Metric: IOPS,
				Of: queueNames, Want: Below, High: 0.26, Against: 0.51, Decides: true,
			},
		},
		Confounders: []string{"each change freezes the queue: warm up again", "the device's tags grow with the number of queues: each queue has 1,024, more than are ever in flight"},
		Priority:    9,
	}

	claim7 := Claim{
		ID: "7", Title: "latency under load is worse with one lock",
		Statement: "Mean and tail latency under load are far worse with one shared queue.",
		Sources:   []Source{{systor13 + ", latency tables", Unread, ""}, {axboe24, Read, "throughput only"}},
		Mechanism: "requests wait for the lock as well as for the device",
		Decides:   map[Platform]string{NVMe: "yes", NullBlk: "yes, with irqmode=2", Loop: "weakly"},
		Needs:     onDevice(Need{Code: NeedRoot}, Need{Code: NeedSched, What: "bfq"}),
		Arms: func() []Arm {
			var arms []Arm
			for _, s := range []string{"none", "bfq"} {
				arms = append(arms, Arm{Name: s + " peak", Needs: needScheduler(s), Threads: onePerCPU(), Job: reads("io_uring", 4096, 16), Queue: scheduler(s)})
			}
			for _, share := range []int{50, 70, 90} {
				for _, s := range []string{"none", "bfq"} {
					arms = append(arms, Arm{
						Name: fmt.Sprintf("%s at %d%%", s, share), Needs: needScheduler(s), Threads: onePerCPU(), Job: reads("io_uring", 4096, 64), Queue: scheduler(s),
						Pace: &Pace{Share: float64(share) / 100, Slowest: []string{"none peak", "bfq peak"}},
					})
				}
			}
			for _, s := range []string{"none", "bfq"} {
				arms = append(arms, Arm{Name: s + " depth 1", Needs: needScheduler(s), Threads: onePerCPU(), Job: reads("io_uring", 4096, 1), Queue: scheduler(s)})
			}
			return arms
		}(),
		Tests: []Test{
			ratio("bfq at 70%", "none at 70%", MeanNS, Above, 0.20),
			{Name: "p99 bfq/none at 70%", Rule: RuleTail, Quantile: 0.99, Of: []string{"bfq at 70%"}, To: []string{"none at 70%"}, Want: Above, Delta: 0.20, Decides: true},
			reported(Test{Name: "p99 bfq/none at 50%", Rule: RuleTail, Quantile: 0.99, Of: []string{"bfq at 50%"}, To: []string{"none at 50%"}, Want: Above, Delta: 0.20}),
			reported(Test{Name: "p99 bfq/none at 90%", Rule: RuleTail, Quantile: 0.99, Of: []string{"bfq at 90%"}, To: []string{"none at 90%"}, Want: Above, Delta: 0.20}),
			reported(ratio("bfq depth 1", "none depth 1", MeanNS, Above, 0.20)),
			reported(Test{Name: "p99.9 bfq/none at 70%", Rule: RuleTail, Quantile: 0.999, Of: []string{"bfq at 70%"}, To: []string{"none at 70%"}, Want: Above, Delta: 0.20}),
		},
		Confounders: []string{"closed-loop latency at different throughput is Little's law, not a finding: arrivals are open-loop at equal load", "timer slack in the generator", "peaks are the lowest of three measured before the blocks: where they vary much, 90 % of one may still be more than the device can do later"},
		Priority:    12,
	}
	return []Claim{claim1, claim2, claim3, claim4, claim5, claim6, claim7}
}

// withBand adds the published size to a test.
func withBand(t Test, b Band) Test {
	t.Band = &b
	return t
}

// deviceClaims is part B: depth, completion, interface.
func deviceClaims() []Claim {
	depths := func() (arms []Arm, names []string) {
		for _, q := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024} {
			name := fmt.Sprintf("depth %d", q)
			names = append(names, name)
			arms = append(arms, Arm{
				Name: name, Series: "depth", Load: float64(q), Threads: Threads{N: 1}, Job: reads("io_uring", 4096, q),
				NullBlk: map[string]string{"irqmode": "2", "completion_nsec": "100000", "hw_queue_depth": "1024"},
			})
		}
		return arms, names
	}
	depthArms, depthNames := depths()

	// Completions are taken sixteen at a time throughout, or only one slot would ever be free to submit.
	const together = 16
	batches := []int{1, 2, 4, 8, together}
	var batchArms []Arm
	var batchNames []string
	for _, n := range batches {
		name := fmt.Sprintf("io_uring batch %d", n)
		batchNames = append(batchNames, name)
		batchArms = append(batchArms, Arm{
			Name: name, Series: "io_uring", Load: float64(n), Threads: Threads{N: 1}, Job: batched(reads("io_uring", 4096, 32), n, together),
		})
	}
	for _, n := range []int{1, together} {
		batchArms = append(batchArms, Arm{
			Name: fmt.Sprintf("libaio batch %d", n), Series: "libaio", Load: float64(n), Threads: Threads{N: 1}, Job: batched(reads("libaio", 4096, 32), n, together),
		})
	}

	engines := func(depth int) []Arm {
		var arms []Arm
		for _, e := range []string{"psync", "libaio", "io_uring"} {
			if e == "psync" && depth > 1 {
				continue // a synchronous call has no depth
			}
			arms = append(arms, Arm{Name: e, Threads: Threads{N: 1}, Job: reads(e, 4096, depth)})
		}
		arms = append(arms, Arm{
			Name: "io_uring fixed", Threads: Threads{N: 1},
			Job: with(reads("io_uring", 4096, depth), func(j *workloads.Job) { j.FixedBufs, j.RegisterFiles = true, true }),
		})
		return arms
	}
	fixedBatches := func(polled bool) *workloads.Job {
		return with(batched(reads("io_uring", 4096, 32), together, together), func(j *workloads.Job) {
			j.FixedBufs, j.RegisterFiles, j.HiPri = true, true, polled
		})
	}
	hipri := func(depth int) *workloads.Job {
		return with(reads("io_uring", 4096, depth), func(j *workloads.Job) { j.HiPri = true })
	}
	pollArm := func(name string, j *workloads.Job) Arm {
		return Arm{Name: name, Threads: Threads{N: 1}, Job: j, NullBlk: map[string]string{"poll_queues": "1", "irqmode": "2"}}
	}
	schedulers := func(threads Threads) []Arm {
		var arms []Arm
		for _, s := range []string{"none", "mq-deadline", "kyber", "bfq"} {
			arms = append(arms, Arm{Name: s, Needs: needScheduler(s), Threads: threads, Job: reads("io_uring", 4096, 128), Queue: scheduler(s)})
		}
		return arms
	}
	// What scales is asked only where there is room to scale.
	var alone, passes []Arm
	for _, a := range schedulers(Threads{N: 1}) {
		if a.Name == "kyber" {
			continue // it is not said to have such a lock
		}
		a.Name, a.Needs = a.Name+"@1", append(slices.Clone(a.Needs), Need{Code: NeedCores, N: 4})
		alone = append(alone, a)
	}
	for _, a := range schedulers(onePerCPU()) {
		a.Explain = true
		passes = append(passes, a)
	}
	scaling := func(s string) Test {
		return Test{
			Name: "scaling of " + s + " over none", Rule: RuleRatio, Metric: IOPS, Of: []string{s}, To: []string{s + "@1"},
			Than: &Pair{Of: []string{"none"}, To: []string{"none@1"}}, Want: Below, High: 1,
		}
	}
	onNode := func(name string, depth int, p Place) Arm {
		return Arm{Name: name, Threads: Threads{N: 1}, Job: reads("io_uring", 4096, depth), Place: p}
	}
	affinity := func(n int) Arm {
		return Arm{
			Name: fmt.Sprintf("rq_affinity=%d", n), Threads: Threads{N: 1}, Job: reads("io_uring", 4096, 32), Place: PlaceAwayFromIRQ,
			Needs: []Need{{Code: NeedRoot}}, Queue: map[string]string{"rq_affinity": strconv.Itoa(n)}, NullBlk: map[string]string{"irqmode": "1"},
		}
	}
	affinityTraced := affinity(2)
	affinityTraced.Name, affinityTraced.Explain = "rq_affinity=2 traced", true
	beside := func(name string, p Place, needs ...Need) Arm {
		return Arm{
			Name: name, Needs: needs, Threads: Threads{N: 1}, Job: reads("io_uring", 4096, 1), Beside: reads("io_uring", 65536, 32), Place: p,
			NullBlk: map[string]string{"irqmode": "2", "submit_queues": "max"},
		}
	}
	// A tenant asks for blocks at random moments, whether or not the device has answered the last ones.
	tenant := func() *workloads.Job {
		return with(reads("io_uring", 4096, 16), func(j *workloads.Job) {
			j.RateProcess = "poisson"
			j.RateIOPS[workloads.Read] = 1000
		})
	}
	interfered := func(s string) Arm {
		return Arm{
			Name: s, Needs: needScheduler(s), Threads: Threads{N: 1}, Job: tenant(),
			Beside: reads("io_uring", 262144, 32), Queue: scheduler(s), NullBlk: map[string]string{"irqmode": "2"},
		}
	}
	writing := func(s string) Arm {
		a := interfered(s)
		a.Name, a.Needs = s+" beside writes", append(slices.Clone(a.Needs), Need{Code: NeedDestroy})
		a.Beside.RW = workloads.RWRandWrite
		return a
	}
	return []Claim{
		{
			ID: "8", Title: "saturation needs depth = IOPS x latency",
			Statement: "The concurrency needed is about IOPS times latency; synchronous single-threaded I/O reaches only 1/latency.",
			Sources: []Source{
				{haas23, Read, "at least 10M IOPS from an array (abstract)"},
				{"notes on " + haas23, SecondHand, "8 PM1733, EPYC 7713: 12.5M read IOPS at a depth of about 3,000; 1.5M per drive; one synchronous stream about 10K IOPS"},
			},
			Conditions: "NVMe flash of about 100 us",
			Mechanism:  "Little's law",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes, with irqmode=2 and a known latency", Loop: "weakly: it is bound by CPU, not by latency"},
			Needs:      onDevice(),
			Arms:       depthArms,
			Tests: []Test{
				{Name: "depth for 95 % over IOPS x latency", Rule: RuleLittle, Metric: IOPS, Of: depthNames, Want: Within, Low: 0.5, High: 2, Decides: true},
				{Name: "IOPS x latency of one stream", Rule: RuleStream, Metric: IOPS, Of: depthNames[:1], Want: Within, Low: 0.9, High: 1.1, Decides: true},
			},
			Confounders: []string{"caches in the drive", "blocks never written read too fast", "thermal limits", "nr_requests"},
			Priority:    10,
		},
		{
			ID: "9", Title: "polling beats interrupts at depth 1",
			Statement: "Polling beats interrupts for fast devices, at a CPU price.",
			Sources: []Source{
				{"Yang, Minturn, Hady, FAST'12", Read, "when poll is better than interrupt (abstract)"},
				{cheops23, Read, "at low load 1.7 times the performance for 2.3 times the instructions, on Optane (abstract)"},
			},
			Conditions: "Optane; 5.9-rc1",
			Mechanism:  "no interrupt entry, no context switch, no exit from idle",
			Decides:    map[Platform]string{NVMe: "with poll queues", NullBlk: "yes"},
			Needs:      onDevice(Need{Code: NeedPollQ}),
			Arms: []Arm{
				pollArm("irq", reads("io_uring", 4096, 1)), pollArm("poll", hipri(1)),
				pollArm("irq depth 32", reads("io_uring", 4096, 32)), pollArm("poll depth 32", hipri(32)),
			},
			Tests: []Test{
				ratio("poll", "irq", MeanNS, Below, 0.05),
				reported(named("CPU time per I/O poll/irq", ratio("poll", "irq", CostPerIO, Above, 0.05))),
				reported(ratio("poll depth 32", "irq depth 32", IOPS, Above, 0.05)),
			},
			Explain:     []string{"the change of /proc/interrupts for the device's queues is zero when polling"},
			Confounders: []string{"without poll queues polled requests silently use interrupts", "C-states and cpuidle_haltpoll in VMs inflate interrupt latency"},
			Priority:    11,
		},
		{
			ID: "10", Title: "a submission poller on the same core collapses",
			Statement: "A submission poller (SQPOLL) that shares a core with the application collapses.",
			Sources: []Source{
				{"Didona et al., SYSTOR'22", Read, "\"polling design significantly impacts performance\"; with enough cores io_uring approaches SPDK (abstract)"},
				{"notes on Didona et al.", SecondHand, "13 KIOPS with 8 ms median when one core is shared; two cores recover to 18% below SPDK"},
			},
			Conditions: "Optane",
			Mechanism:  "the poller burns the slice that the application needs to make requests",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "yes, with two cores"},
			Needs:      onDevice(Need{Code: NeedCores, N: 2}),
			Arms: []Arm{
				{Name: "plain", Threads: Threads{N: 1}, Job: reads("io_uring", 4096, 16)},
				{Name: "sqpoll same core", Threads: Threads{N: 1}, Place: PlaceSameCPU, Job: with(reads("io_uring", 4096, 16), func(j *workloads.Job) { j.SQThreadPoll = true })},
				{Name: "sqpoll other core", Threads: Threads{N: 1}, Place: PlaceOtherCPU, Job: with(reads("io_uring", 4096, 16), func(j *workloads.Job) { j.SQThreadPoll = true })},
			},
			Tests: []Test{
				{Name: "sqpoll same core/plain", Rule: RuleRatio, Metric: IOPS, Of: []string{"sqpoll same core"}, To: []string{"plain"}, Want: Below, High: 0.5, Decides: true},
				reported(ratio("sqpoll other core", "plain", IOPS, Above, 0.05)),
				reported(ratio("sqpoll same core", "sqpoll other core", IOPS, Below, 0.05)),
			},
			Confounders: []string{"sq_thread_idle", "the scheduler's slice", "an SMT sibling is not a separate core", "where a poller on another core loses as much, it is not the sharing that costs: others have that core (loop's workers, neighbours)"},
			Priority:    13,
		},
		{
			ID: "11a", Title: "at depth 1 all interfaces are about equal",
			Statement:  "At queue depth 1 io_uring, libaio and synchronous I/O are about equal.",
			Sources:    []Source{{cheops23, Read, "at low load \"all APIs perform competitively\""}},
			Conditions: "Optane",
			Mechanism:  "one system call per I/O whatever the interface",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "yes"},
			Needs:      onDevice(),
			Arms:       engines(1),
			Tests: []Test{
				ratio("libaio", "psync", IOPS, Within, 0.10),
				ratio("io_uring", "psync", IOPS, Within, 0.10),
				reported(ratio("io_uring fixed", "psync", IOPS, Within, 0.10)),
			},
			Confounders: []string{"the Go system call wrapper falls hardest on psync", "libaio's second system call"},
			Priority:    7,
		},
		{
			ID: "11b", Title: "at depth io_uring beats libaio",
			Statement:  "At depth io_uring is faster than libaio.",
			Sources:    []Source{{uringPDF + ", section 9.1", Read, "1.7M 4K IOPS polled, 1.2M unpolled, 608K with aio, per core; the author warns that absolute values mean little"}},
			Conditions: "a device that the CPU can saturate",
			Mechanism:  "fewer system calls and copies per I/O",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "yes"},
			Needs:      onDevice(),
			Arms:       engines(32),
			Tests: []Test{
				withBand(ratio("io_uring", "libaio", IOPS, Above, 0.05), Band{1.5, 2.5, "when the CPU is the limit", uringPDF}),
				reported(named("CPU time per I/O io_uring/libaio", ratio("io_uring", "libaio", CostPerIO, Below, 0.05))),
				reported(ratio("io_uring fixed", "io_uring", IOPS, Above, 0.05)),
			},
			Confounders: []string{"batch sizes must match", "a device at its limit makes all interfaces equal: then CPU per I/O decides"},
			Priority:    7,
		},
		{
			ID: "12", Title: "interfaces differ in CPU time per I/O",
			Statement: "CPU per I/O is the limit of fast arrays, and falls from psync over libaio and io_uring to batched io_uring.",
			Sources: []Source{
				{icpe24, Read, "CPU is the primary bottleneck (abstract)"},
				{"notes on " + haas23, SecondHand, "13K cycles per I/O for a whole server at 12M IOPS on 64 cores; libaio and plain io_uring plateau at 32 threads, SPDK needs 3"},
				{cheops23, Read, "io_uring is \"more than an order of magnitude slower than SPDK\" at scale (abstract)"},
			},
			Conditions: "arrays of NVMe drives",
			Mechanism:  "crossings, copies and completions per I/O",
			Decides:    map[Platform]string{NVMe: "yes (cycles with a PMU)", NullBlk: "yes", Loop: "nanoseconds only"},
			Needs:      onDevice(),
			Arms: []Arm{
				{Name: "psync", Threads: Threads{N: 1}, Job: reads("psync", 4096, 1)},
				{Name: "libaio", Threads: Threads{N: 1}, Job: batched(reads("libaio", 4096, 32), 1, 1)},
				{Name: "io_uring", Threads: Threads{N: 1}, Job: batched(reads("io_uring", 4096, 32), 1, 1)},
				{Name: "io_uring batched", Threads: Threads{N: 1}, Job: fixedBatches(false)},
				{Name: "io_uring batched polled", Threads: Threads{N: 1}, Job: fixedBatches(true), Needs: []Need{{Code: NeedPollQ}}},
			},
			Tests: []Test{
				ratio("io_uring batched", "io_uring", CostPerIO, Below, 0.05),
				ratio("io_uring", "libaio", CostPerIO, Below, 0.05),
				ratio("libaio", "psync", CostPerIO, Below, 0.05),
				reported(ratio("io_uring batched polled", "io_uring", CostPerIO, Below, 0.05)),
				reported(named("submitting thread only, io_uring/libaio", ratio("io_uring", "libaio", CPUPerIO, Below, 0.05))),
			},
			Explain:     []string{costOf},
			Confounders: []string{"others' I/O keeps kernel threads busy, too", "interrupts are charged to whoever they interrupt, and to nobody where they hit an idle CPU", "bypassing the kernel (SPDK) is not measured here"},
			Priority:    14,
		},
		{
			ID: "13", Title: "the benchmark itself becomes the bottleneck",
			Statement:  "At high rates the benchmark program itself is the bottleneck.",
			Sources:    []Source{{cheops23, Read, "finding 3: fio itself became the bottleneck"}},
			Conditions: "7 Optane drives",
			Mechanism:  "the generator's own work per I/O",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "yes"},
			Asks:       GeneratorBound,
			Needs:      onDevice(),
			Arms: []Arm{
				{Name: "as usual", Threads: Threads{N: 1}, Job: batched(reads("io_uring", 4096, 32), 1, 1)},
				{Name: "in batches", Threads: Threads{N: 1}, Job: batched(reads("io_uring", 4096, 32), together, together)},
				{Name: "no device", Threads: Threads{N: 1}, Job: batched(reads("null", 4096, 32), 1, 1)},
			},
			Tests: []Test{
				// Taking all of its own work away would speed up a thread that is bound by its CPU by that much.
				{
					Name: "blkmeter's own share of the CPU time per I/O", Rule: RuleRatio, Metric: CPUPerIO, Of: []string{"no device"}, To: []string{"as usual"},
					Want: Above, Low: 0.05, Decides: true,
				},
				reported(Test{Name: "no device/as usual", Rule: RuleRatio, Metric: IOPS, Of: []string{"no device"}, To: []string{"as usual"}, Want: Below, High: 2}),
				reported(ratio("in batches", "as usual", IOPS, Above, 0.05)),
			},
			Confounders: []string{"the clock source", "cache misses of histograms", "a batch saves system calls as well as looks at the clock: claim 14 has what calls cost"},
			Priority:    15,
		},
		{
			ID: "14", Title: "larger batches amortise system calls",
			Statement: "Larger submission batches amortise system calls.",
			Sources: []Source{
				{"notes on " + uringPDF, SecondHand, "batching is what the interface was designed for"},
				{axboe24, Read, "its jobs submit and complete in batches of 4"},
			},
			Conditions: "none given",
			Mechanism:  "one crossing for many requests",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "yes"},
			Needs:      onDevice(),
			Arms:       batchArms,
			Tests: []Test{
				{Name: "cost of one crossing (b in a + b/batch)", Rule: RuleSlope, Metric: CPUPerIO, Of: batchNames, Want: Above, Low: 0, Decides: true},
				ratio("io_uring batch 16", "io_uring batch 1", CPUPerIO, Below, 0.10),
				reported(ratio("libaio batch 16", "libaio batch 1", CPUPerIO, Below, 0.10)),
				reported(named("latency io_uring batch 16/io_uring batch 1", ratio("io_uring batch 16", "io_uring batch 1", MeanNS, Above, 0.10))),
			},
			Explain:     []string{syscallsPerIO},
			Confounders: []string{"batching raises mean latency", "completions are taken 16 at a time in all arms", "mitigations dominate the cost of a crossing"},
			Priority:    7,
		},
		{
			ID: "15", Title: "NVMe passthrough beats the block path",
			Statement:  "NVMe passthrough (io_uring_cmd) beats the block path by 16 to 40 % at peak.",
			Sources:    []Source{{"Joshi et al., FAST'24", Read, "\"16-40% higher IOPS than block path\" (abstract)"}},
			Conditions: "enterprise NVMe",
			Mechanism:  "no bio, no scheduler, no accounting",
			Decides:    map[Platform]string{NVMe: "yes: reads only, through /dev/ngXnY"},
			Needs:      onDevice(Need{Code: NeedNVMe}, Need{Code: NeedRoot}),
			Arms: []Arm{
				{Name: "block", Threads: onePerCPU(), Job: reads("io_uring", 512, 128)},
				{Name: "passthrough", Threads: onePerCPU(), Job: reads("io_uring_cmd", 512, 128)},
			},
			Tests:       []Test{withBand(ratio("passthrough", "block", IOPS, Above, 0.05), Band{1.16, 1.40, "at peak", "Joshi et al., FAST'24"})},
			Confounders: []string{"one consumer drive saturates before the path does", "it bypasses iostats and merging", "an emulated NVMe only tests function"},
			Priority:    20,
		},
		{
			ID: "16", Title: "schedulers cost throughput on fast devices",
			Statement: "Schedulers cost up to half the throughput on fast NVMe, and their global locks stop scaling.",
			Sources: []Source{
				{cheops23, Read, "\"significant (up to 50%) overheads, and their use of global locks hinder their scalability\""},
				{icpe24, Read, "up to 63.4%"},
				{"Jan Kara, commit b6e68ee82585", Read, "BFQ and mq-deadline \"use queue-wide locking\" and ignore the hardware queue, so the kernel dispatches for them from one CPU"},
			},
			Conditions: "4 KB randread, depth 128, 7 Optane drives, 1 to 20 threads; each point of the scaling script once, for 5 s",
			Mechanism:  "queue-wide locking",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "the sign only"},
			Needs:      onDevice(Need{Code: NeedRoot}),
			Arms:       append(schedulers(onePerCPU()), alone...),
			Passes:     passes,
			Tests: []Test{
				{
					Name: "worst scheduler/none", Rule: RuleRatio, Metric: IOPS, Of: []string{"mq-deadline", "kyber", "bfq"}, To: []string{"none"},
					Least: true, Want: Below, High: 0.80, Decides: true, Band: &Band{0.37, 0.63, "7 Optane drives", cheops23 + "; ICPE'24"},
				},
				reported(ratio("mq-deadline", "none", IOPS, Below, 0.20)),
				reported(ratio("kyber", "none", IOPS, Below, 0.20)),
				reported(scaling("mq-deadline")), reported(scaling("bfq")),
			},
			Explain:     []string{"contended lock acquisitions per 1,000 I/O, per scheduler"},
			Confounders: []string{"NVMe offers none and mq-deadline by default; others need modules", "wbt and iocost must be off", "merges"},
			Priority:    3,
		},
		{
			ID: "17", Title: "BFQ and Kyber protect the tail under load",
			Statement:  "Under interference BFQ and Kyber protect tail latency that none and mq-deadline do not.",
			Sources:    []Source{{icpe24, Read, "up to 99.3% lower P99 latency (abstract)"}},
			Conditions: "several tenants on NVMe",
			Mechanism:  "the scheduler holds the bulk back",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes, throttled or with irqmode=2", Loop: "weakly"},
			Needs:      onDevice(Need{Code: NeedRoot}),
			MinArm:     1500 * time.Millisecond,
			Arms:       []Arm{interfered("none"), interfered("mq-deadline"), interfered("kyber"), interfered("bfq"), writing("none"), writing("bfq")},
			Tests: []Test{
				{Name: "p99 bfq/none", Rule: RuleTail, Quantile: 0.99, Of: []string{"bfq"}, To: []string{"none"}, Want: Below, Delta: 0.30, Decides: true},
				{Name: "p99 kyber/none", Rule: RuleTail, Quantile: 0.99, Of: []string{"kyber"}, To: []string{"none"}, Want: Below, Delta: 0.30, Decides: true},
				reported(Test{Name: "p99 mq-deadline/none", Rule: RuleTail, Quantile: 0.99, Of: []string{"mq-deadline"}, To: []string{"none"}, Want: Below, Delta: 0.30}),
				reported(Test{Name: "p99 bfq/none beside writes", Rule: RuleTail, Quantile: 0.99, Of: []string{"bfq beside writes"}, To: []string{"none beside writes"}, Want: Below, Delta: 0.30}),
				reported(named("throughput of the bulk bfq/none", ratio("bfq", "none", BytesPerS, Below, 0.30))),
			},
			Confounders: []string{"queues inside the device hide the scheduler", "arrivals are open-loop, so that latency is the same load's with every scheduler; one that cannot serve them all shows ever longer waits", "BFQ tells I/O contexts apart: threads of a Go program have one each, as processes do"},
			Priority:    16,
		},
		{
			ID: "18", Title: "a latency stream blocks behind a bulk stream",
			Statement: "A latency-sensitive stream suffers head-of-line blocking when it shares a core's queue with a throughput stream.",
			Sources: []Source{
				{"Hwang et al., blk-switch, OSDI'21", Read, "microsecond-scale latency needs the two decoupled (abstract)"},
				{"reading notes on blk-switch", SecondHand, "the data path is static per core; latency applications block behind throughput applications"},
			},
			Conditions: "not read",
			Mechanism:  "one queue, first in first out",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes, with irqmode=2", Loop: "weakly: its CPUs share one queue"},
			Needs:      onDevice(Need{Code: NeedCores, N: 2}),
			MinArm:     1500 * time.Millisecond,
			Arms: []Arm{
				beside("same CPU", PlaceSameCPU),
				beside("same queue", PlaceSameHCTX),
				beside("other queue", PlaceOtherHCTX, Need{Code: NeedHCTX, N: 2}),
			},
			Tests: []Test{
				{Name: "p99 same CPU/other queue", Rule: RuleTail, Quantile: 0.99, Of: []string{"same CPU"}, To: []string{"other queue"}, Want: Above, Delta: 0.30, Decides: true},
				reported(Test{Name: "p99 same queue/other queue", Rule: RuleTail, Quantile: 0.99, Of: []string{"same queue"}, To: []string{"other queue"}, Want: Above, Delta: 0.30}),
				reported(Test{Name: "p99 same CPU/same queue", Rule: RuleTail, Quantile: 0.99, Of: []string{"same CPU"}, To: []string{"same queue"}, Want: Above, Delta: 0.30}),
			},
			Confounders: []string{"the same-CPU contrast is mostly CPU scheduling; only the queue contrast isolates the queue", "sharing the device's bandwidth affects both"},
			Priority:    17,
		},
		{
			ID: "19", Title: "completing on the submitter's CPU saves time",
			Statement:  "Where the completion runs matters: completing on the submitter's CPU saves cycles.",
			Sources:    []Source{{"Documentation/ABI/stable/sysfs-block", Read, "rq_affinity=1 moves completions to the submitter's CPU group, \"a significant reduction in CPU cycles due to caching effects\"; 2 forces the exact CPU"}},
			Conditions: "none given",
			Mechanism:  "the submitter's cache holds the request",
			Decides:    map[Platform]string{NVMe: "yes, with fewer queues than CPUs", NullBlk: "yes, with irqmode=1", Loop: "yes"},
			Needs:      onDevice(Need{Code: NeedRoot}),
			Arms:       []Arm{affinity(0), affinity(1), affinity(2), affinityTraced},
			Tests: []Test{
				reported(Test{
					Name: "completed on the submitter's CPU, per 1,000 (2)", Rule: RuleShare, Metric: SameCPU, Per: IOs,
					Of: []string{"rq_affinity=2 traced"}, Want: Above, Low: 990,
				}),
				ratio("rq_affinity=2", "rq_affinity=0", CostPerIO, Below, 0.03),
				reported(ratio("rq_affinity=1", "rq_affinity=0", CostPerIO, Below, 0.03)),
				reported(named("submitting thread only, rq_affinity=2/rq_affinity=0", ratio("rq_affinity=2", "rq_affinity=0", CPUPerIO, Below, 0.03))),
				reported(named("IOPS rq_affinity=2/rq_affinity=0", ratio("rq_affinity=2", "rq_affinity=0", IOPS, Above, 0.03))),
			},
			Explain:     []string{"block_rq_issue and block_rq_complete counted per CPU: with 2, all complete where they were issued", costOf},
			Confounders: []string{"interrupts between CPUs are dear in VMs, so the sign can flip there: a good finding", "what interrupts take from idle CPUs and from other programs is not in the CPU time"},
			Priority:    8,
		},
		{
			ID: "20", Title: "a remote NUMA node costs latency",
			Statement: "Submitting from a remote NUMA node costs latency and throughput.",
			Sources: []Source{
				{"notes on " + systor13, SecondHand, "remote memory access is the third problem named"},
				{systor13 + ", sizes", Unread, ""},
			},
			Conditions: "several sockets",
			Mechanism:  "memory and interrupts cross the interconnect",
			Decides:    map[Platform]string{NVMe: "yes, on two sockets", NullBlk: "with home_node"},
			Needs:      onDevice(Need{Code: NeedNUMA}),
			Arms:       []Arm{onNode("local", 1, PlaceLocalNode), onNode("remote", 1, PlaceRemoteNode)},
			Tests: []Test{
				ratio("remote", "local", MeanNS, Above, 0.03),
				reported(named("CPU time per I/O remote/local", ratio("remote", "local", CostPerIO, Above, 0.03))),
			},
			Confounders: []string{"sub-NUMA clustering", "different clocks per socket", "numa_node = -1"},
			Priority:    21,
		},
	}
}

// lockClaims is part C: locks.
func lockClaims() []Claim {
	twice := Threads{PerCPU: 2}
	pair := func(kind string) Arm {
		return Arm{Name: kind, Threads: Threads{N: 1}, Lock: &LockArm{Kind: kind, Mode: LockPair}}
	}
	all := []string{"sysv", "futex", "pi", "ttas", "ticket", "mcs", "mutex"}
	var pairs []Arm
	for _, k := range all {
		pairs = append(pairs, pair(k))
	}
	yielding := func(kind string) Arm {
		a := crowd(kind, twice)
		a.Name, a.Lock.YieldAfter = kind+" yielding", 1000
		return a
	}
	curve := func(kind string) (arms []Arm, names []string) {
		for _, n := range []int{1, 2, 4, 6, 8, 0} {
			a := crowd(kind, Threads{N: n})
			a.Name, a.Series = kind+"@"+strconv.Itoa(n), kind
			if n == 0 {
				a.Name, a.Threads = kind+"@max", Threads{PerCore: 1} // two threads on a core are another experiment
			}
			a.Lock.HoldNS = 50
			arms, names = append(arms, a), append(names, a.Name)
		}
		return arms, names
	}
	ticketArms, ticketNames := curve("ticket")
	mcsArms, mcsNames := curve("mcs")
	ttasArms, _ := curve("ttas")

	shared := func(lock string) Arm {
		return Arm{Name: "shared " + lock, Threads: onePerCPU(), Job: with(reads("io_uring", 4096, 8), func(j *workloads.Job) { j.SharedQueue, j.QueueLock = true, lock })}
	}
	var sharedArms []Arm
	var sharedNames []string
	for _, k := range all {
		sharedArms, sharedNames = append(sharedArms, shared(k)), append(sharedNames, "shared "+k)
	}
	variant := func(v string) Arm {
		a := shared("futex")
		a.Name, a.Job.QueueVariant = "shared futex "+v, v
		return a
	}
	held := variant("u3")
	held.Job.HoldNS = 1900 // what BFQ's documentation gives for a request under its lock
	// The fair control has as many rings as threads, each like the shared one (set up for several submitters) and
	// behind a lock of its own that nobody else wants: what it gains is gained by not sharing.
	striped := func(name string, stripes int, needs ...Need) Arm {
		a := shared("futex")
		a.Name, a.Stripes, a.Needs = name, stripes, needs
		return a
	}
	private := Arm{Name: "private", Threads: onePerCPU(), Job: reads("io_uring", 4096, 8)}
	noIO := func(name string, a Arm) Arm {
		a.Name = name
		a.Job.Engine = "null"
		return a
	}
	queueSeries := func(series string, arm func() Arm) (arms []Arm) {
		for _, n := range []int{1, 2, 4, 6, 8, 16} {
			a := arm()
			a.Name, a.Series, a.Threads = series+"@"+strconv.Itoa(n), series, Threads{N: n}
			a.Needs = []Need{{Code: NeedCores, N: max(n, 6)}}
			arms = append(arms, a)
		}
		return arms
	}
	queueArms := slices.Concat(
		sharedArms,
		[]Arm{variant("u1"), variant("u2"), held, striped("striped", -1), striped("two rings", 2, Need{Code: NeedCores, N: 4}), private},
		[]Arm{noIO("no I/O, shared futex", shared("futex")), noIO("no I/O, striped", striped("", -1))},
		queueSeries("shared", func() Arm { return shared("futex") }),
		queueSeries("own rings", func() Arm { return striped("", -1) }),
	)

	var traced []Arm
	for _, a := range []Arm{shared("futex"), striped("striped", -1)} {
		a.Explain = true
		traced = append(traced, a)
	}

	invert := func(kind string) Arm {
		return Arm{Name: kind, Threads: Threads{N: 3}, Lock: &LockArm{Kind: kind, Mode: LockInvert}}
	}

	everywhere := map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "yes", Other: "yes: no device is needed"}
	return []Claim{
		{
			ID: "21", Title: "a SysV semaphore costs about ten futex locks",
			Statement:  "An uncontended System V semaphore costs about ten times a futex lock.",
			Sources:    []Source{{demos + "/mutex/mutex_performance.cc", Read, "\"regular lock/unlock costs about 90 nanos ... while SYSV IPC costs 10 times more\""}},
			Conditions: "one thread, lock and unlock in a loop",
			Mechanism:  "semop always enters the kernel, a futex only when contended",
			Decides:    everywhere,
			Arms:       pairs,
			Tests: []Test{
				{
					Name: "sysv/futex", Rule: RuleRatio, Metric: PairNS, Of: []string{"sysv"}, To: []string{"futex"}, Want: Above, Low: 3, Decides: true,
					Band: &Band{5, 50, "the source says 10; mitigations and VMs move it", demos},
				},
			},
			Confounders: []string{"system call mitigations", "virtual machines", "frequency"},
			Priority:    1,
		},
		{
			ID: "22", Title: "TAS and ticket collapse with waiters, MCS not",
			Statement: "Non-scalable spinlocks (TAS, ticket) collapse as waiters grow; MCS does not.",
			Sources: []Source{
				{"summaries of Boyd-Wickizer et al., Linux Symposium 2012", SecondHand, "the cost of a handover grows linearly with waiters; MCS improved four applications by at least 3.5 times"},
				{"MIT 6.828 FAQ, pdos.csail.mit.edu", SecondHand, "scalable locks still serialise; \"non-collapsing\" is the better name"},
			},
			Conditions: "not read",
			Mechanism:  "every waiter reads the word that the owner writes",
			Decides:    map[Platform]string{NVMe: "yes, with 8 cores", NullBlk: "yes, with 8 cores"},
			Needs:      []Need{{Code: NeedCores, N: 8}},
			Arms:       slices.Concat(ticketArms, mcsArms, ttasArms),
			Tests: []Test{
				{Name: "ticket on all cores over its best", Rule: RuleRatio, Metric: OpsPerS, Of: []string{"ticket@max"}, To: ticketNames, Want: Below, High: 0.5, Decides: true},
				{Name: "mcs on all cores over its best contended", Rule: RuleRatio, Metric: OpsPerS, Of: []string{"mcs@max"}, To: mcsNames[1:], Want: Above, Low: 0.8, Decides: true},
				reported(Test{Name: "ttas on all cores over ticket", Rule: RuleRatio, Metric: OpsPerS, Of: []string{"ttas@max"}, To: []string{"ticket@max"}, Want: Above, Low: 1}),
			},
			Confounders: []string{"one thread alone needs no handover: best contended starts at two", "two CPUs cannot show it"},
			Priority:    5,
		},
		{
			ID: "23", Title: "FIFO spinlocks collapse with threads > CPUs",
			Statement: "FIFO spinlocks collapse when threads outnumber CPUs; barging and blocking locks do not.",
			Sources: []Source{
				{"He, Scherer, Scott, \"Preemption Adaptivity in Time-Published Queue-Based Spin Locks\"", Read, "spin locks \"either scale poorly (test-and-set style) or handle preemption badly (queue-based)\""},
				{demos + "/spinlock/spinlock_performance.cc", Read, "with many spinners on one CPU \"you will see the time slice of the operating system in the histograms\""},
			},
			Conditions: "more threads than CPUs",
			Mechanism:  "the next owner in line is not running, and everyone waits for its time slice",
			Decides:    everywhere,
			Arms: []Arm{
				crowd("futex", twice), crowd("ttas", twice), crowd("ticket", twice), crowd("mcs", twice), crowd("pi", twice), crowd("sysv", twice), crowd("mutex", twice),
				yielding("ticket"), yielding("mcs"),
			},
			Tests: []Test{
				{Name: "ticket/futex", Rule: RuleRatio, Metric: OpsPerS, Of: []string{"ticket"}, To: []string{"futex"}, Want: Below, High: 0.5, Decides: true},
				{Name: "mcs/futex", Rule: RuleRatio, Metric: OpsPerS, Of: []string{"mcs"}, To: []string{"futex"}, Want: Below, High: 0.5, Decides: true},
				reported(Test{Name: "ttas/futex", Rule: RuleRatio, Metric: OpsPerS, Of: []string{"ttas"}, To: []string{"futex"}, Want: Above, Low: 0.1}),
				reported(Test{Name: "ticket yielding/futex", Rule: RuleRatio, Metric: OpsPerS, Of: []string{"ticket yielding"}, To: []string{"futex"}, Want: Below, High: 0.5}),
			},
			Explain:     []string{"waits near the scheduler's slice (2 to 100 ms) show the mechanism"},
			Confounders: []string{"with fewer Go processors than spinners plus one, Go starves the owner as well: they are raised", "kernel spinlocks disable preemption, these cannot"},
			Priority:    1,
		},
		{
			ID: "24a", Title: "a contended PI futex costs throughput",
			Statement:  "A priority-inheriting futex costs throughput when contended.",
			Sources:    []Source{{piDoc, Read, "the uncontended path has no kernel work; contended, the kernel hands the lock over"}},
			Conditions: "none given",
			Mechanism:  "every handover is a switch to the most urgent waiter; nobody may overtake",
			Decides:    everywhere,
			Arms:       []Arm{crowd("futex", Threads{N: 2}), crowd("pi", Threads{N: 2})},
			Tests: []Test{
				{Name: "pi/futex", Rule: RuleRatio, Metric: OpsPerS, Of: []string{"pi"}, To: []string{"futex"}, Want: Below, High: 0.7, Decides: true},
			},
			Confounders: []string{"the scheduler decides how often waiters sleep"},
			Priority:    1,
		},
		{
			ID: "24b", Title: "PI futexes bound priority inversion",
			Statement: "PI futexes bound priority inversion; RT kernels give the kernel's own spinlock_t the same property, raw_spinlock_t not.",
			Sources: []Source{
				{piDoc, Read, "without PI a medium-priority task can delay a high-priority one \"indefinitely\"; \"user-space spinlocks have the same priority inversion problems\""},
				{lockTypes, Read, "on PREEMPT_RT spinlock_t and rwlock_t become sleeping locks based on rt_mutex, raw_spinlock_t stays spinning; semaphores have no owner, so no PI"},
			},
			Conditions: "one CPU; a fair thread holds the lock for 200 us of work, a FIFO 10 thread burns 50 ms, a FIFO 20 thread wants the lock",
			Mechanism:  "the owner inherits the waiter's priority",
			Decides:    map[Platform]string{NVMe: "as root", NullBlk: "as root", Loop: "as root, time-boxed", Other: "as root"},
			Needs:      []Need{{Code: NeedRT}},
			Arms:       []Arm{invert("futex"), invert("pi"), invert("sysv"), invert("ttas")},
			Tests: []Test{
				{Name: "wait behind a PI futex", Rule: RuleLevel, Metric: WaitNS, Of: []string{"pi"}, Want: Below, High: 5e6, Decides: true},
				{Name: "wait behind a futex", Rule: RuleLevel, Metric: WaitNS, Of: []string{"futex"}, Want: Above, Low: 5e6, Decides: true},
				reported(Test{Name: "wait behind a SysV semaphore", Rule: RuleLevel, Metric: WaitNS, Of: []string{"sysv"}, Want: Above, Low: 5e6}),
				reported(Test{Name: "wait behind a TTAS spinlock (gives up at 7 ms)", Rule: RuleLevel, Metric: WaitNS, Of: []string{"ttas"}, Want: Above, Low: 5e6}),
			},
			Confounders: []string{"RT throttling and the fair server cap an inversion", "kernels without PREEMPT_RT limit PI", "a spinning real-time thread is stopped by a watchdog on another CPU"},
			Priority:    2,
		},
		{
			ID: "25", Title: "a shared queue loses to per-CPU queues",
			Statement: "One shared queue behind any lock loses to per-CPU queues; the lock only chooses how it loses.",
			Sources: []Source{
				{"claims 1, 5, 22 and 23 taken together", Read, ""},
				{"notes on " + haas23, SecondHand, "one global lock over I/O in flight became LeanStore's bottleneck and was partitioned"},
			},
			Conditions: "threads on all CPUs, the same number of requests in flight in all arms",
			Mechanism:  "one ring, one lock, all CPUs",
			Decides:    map[Platform]string{NVMe: "yes", NullBlk: "yes", Loop: "yes"},
			Needs:      []Need{{Code: NeedDevice}, {Code: NeedCores, N: 2}},
			Arms:       queueArms,
			Passes:     traced,
			Tests: []Test{
				{Name: "best shared/striped", Rule: RuleRatio, Metric: IOPS, Of: sharedNames, To: []string{"striped"}, Want: Below, Delta: 0.10, Decides: true},
				{Name: "contention (alpha) of shared less that of own rings", Rule: RuleCurve, Metric: IOPS, Of: []string{"shared"}, To: []string{"own rings"}, Want: Above, Low: 0, Decides: true},
				reported(Test{Name: "best shared/private", Rule: RuleRatio, Metric: IOPS, Of: sharedNames, To: []string{"private"}, Want: Below, Delta: 0.10}),
				reported(ratio("striped", "private", IOPS, Below, 0.10)),
				reported(ratio("shared futex u1", "shared futex", IOPS, Above, 0.10)),
				reported(ratio("shared futex u2", "shared futex", IOPS, Above, 0.10)),
				reported(ratio("shared futex u3", "shared futex", IOPS, Below, 0.10)),
				reported(ratio("two rings", "shared futex", IOPS, Above, 0.10)),
				reported(ratio("no I/O, shared futex", "no I/O, striped", IOPS, Below, 0.10)),
				reported(ratio("shared ticket", "shared futex", IOPS, Below, 0.10)),
				reported(ratio("shared sysv", "shared futex", IOPS, Below, 0.10)),
			},
			Confounders: []string{"the kernel's own ring mutex hides behind the user's lock", "hold time differs with the batch", "a private ring is set up for one submitter (SINGLE_ISSUER, DEFER_TASKRUN), which a shared one cannot be: the claim is decided against rings that are set up as the shared one is (striped), and the difference to private ones is told beside"},
			Honesty:     userLock,
			Priority:    4,
		},
	}
}
