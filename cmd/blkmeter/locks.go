package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/blkmeter/blkmeter/engine/lock"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/journal"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/lockbench"
	"github.com/spf13/cobra"
)

// locksOptions is the flags of blkmeter locks.
type locksOptions struct {
	kinds    []string
	threads  []int
	holdNS   int64
	duration time.Duration
	rounds   int
	seed     uint64
	json     bool
}

func newLocksCommand(a *app) *cobra.Command {
	var o locksOptions
	cmd := &cobra.Command{
		Use:   "locks",
		Short: "Compare the locks that a shared submission queue could hide behind",
		Long: `Compare seven locks without any I/O: what they cost alone, what becomes of
throughput, waiting and fairness as threads come, up to and beyond the number
of CPUs, and what each one's counterpart in the kernel is. It ends with what
that means for one submission queue that threads share.

Exit status: 0 done, 1 usage, 7 the system lacks something (a semaphore,
memory), 130 interrupted.`,
		Example: `  blkmeter locks
  blkmeter locks --threads=1,2,4,8 --hold-ns=700 --lock=futex,ticket,mcs
  blkmeter locks --json > locks.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLocks(cmd, a, o) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.kinds, "lock", lock.Names(), "which locks")
	f.IntSliceVar(&o.threads, "threads", nil, "numbers of threads (default: up to 4 per CPU)")
	f.Int64Var(&o.holdNS, "hold-ns", 0, "critical section in ns (mq-deadline 700, BFQ 1900)")
	f.DurationVar(&o.duration, "duration", 200*time.Millisecond, "length of one measured window")
	f.IntVar(&o.rounds, "rounds", 3, "how often everything is measured")
	f.Uint64Var(&o.seed, "seed", 1, "seed of that order")
	f.BoolVar(&o.json, "json", false, "write the report as JSON")
	return cmd
}

func runLocks(cmd *cobra.Command, a *app, o locksOptions) error {
	cpus, err := cpu.Affinity()
	if err != nil {
		return fault.Wrap(err, fault.ExitEnvironment, "NO_AFFINITY", "", "the CPUs of this process are unknown")
	}
	if len(o.threads) == 0 {
		o.threads = lockbench.DefaultThreads(len(cpus))
	}
	if err := o.check(); err != nil {
		return err
	}
	slices.Sort(o.threads) // the last are the most, of which the report speaks in the end
	o.threads = slices.Compact(o.threads)
	s := lockbench.Shootout{
		Kinds: o.kinds, Threads: o.threads, CPUs: cpus, HoldNS: o.holdNS, Duration: o.duration, Rounds: o.rounds, Seed: o.seed,
		StateDir: journal.Dir(a.env),
	}
	s.Progress = func(done, total int) {
		fmt.Fprintf(a.stderr, "\rmeasuring %d of %d ", done+1, total)
		if done+1 == total {
			fmt.Fprint(a.stderr, "\r\x1b[K")
		}
	}
	if !a.terminal() {
		s.Progress = nil
	}
	r, err := s.Run(cmd.Context())
	if err != nil {
		if cmd.Context().Err() != nil {
			return fault.Wrap(err, fault.ExitInterrupted, "INTERRUPTED", "", "the comparison of locks was interrupted")
		}
		return fault.Wrap(err, fault.ExitEnvironment, "LOCKS_FAILED", "blkmeter clean removes semaphores that a killed run left behind", "the locks could not be compared")
	}
	if o.json {
		return r.Save(a.stdout)
	}
	return r.Text(a.stdout)
}

// check refuses what cannot be measured before anything is.
func (o *locksOptions) check() error {
	known := map[string]bool{}
	for _, n := range lock.Names() {
		known[n] = true
	}
	for _, k := range o.kinds {
		if !known[k] {
			return fault.Usage("UNKNOWN_LOCK", fmt.Sprintf("the locks are %v", lock.Names()), "no lock is called %q", k)
		}
	}
	for _, n := range o.threads {
		if n < 1 || n > maxLockThreads {
			return fault.Usage("BAD_THREADS", "", "%d threads: between 1 and %d can be had", n, maxLockThreads)
		}
	}
	if o.holdNS < 0 || o.holdNS > int64(time.Millisecond) {
		return fault.Usage("BAD_HOLD", "", "a critical section of %d ns: between 0 and 1000000 can be had", o.holdNS)
	}
	if o.duration < time.Millisecond || o.rounds < 1 || len(o.kinds) == 0 {
		return fault.Usage("BAD_DURATION", "", "nothing to measure: %d locks, %d rounds of %v", len(o.kinds), o.rounds, o.duration)
	}
	return nil
}

// maxLockThreads bounds what a mistyped --threads can do to a machine.
const maxLockThreads = 4096
