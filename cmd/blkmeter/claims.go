package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/blkmeter/blkmeter/internal/claims"
	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/journal"
	"github.com/blkmeter/blkmeter/internal/kernel/cpu"
	"github.com/blkmeter/blkmeter/internal/lockbench"
	"github.com/blkmeter/blkmeter/internal/run"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/fiojob"
	"github.com/spf13/cobra"
)

// claimsOptions is the flags of blkmeter claims run.
type claimsOptions struct {
	profile string
	budget  time.Duration
	seed    uint64
	json    bool
	output  string
	destroy string
	nullBlk bool
}

func newClaimsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "claims",
		Short: "List the claims of the blk-mq and lock literature, or test them on this machine",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.stdout, claims.List(claims.Registry()))
			return err
		},
	}
	cmd.AddCommand(newClaimsRunCommand(a))
	return cmd
}

func newClaimsRunCommand(a *app) *cobra.Command {
	var o claimsOptions
	cmd := &cobra.Command{
		Use:   "run [ID ...] [DEVICE]",
		Short: "Test claims and give a verdict on each",
		Long: `Test claims by running their arms in randomised, interleaved blocks, and judge
them: REPRODUCED, NOT REPRODUCED, INCONCLUSIVE (with the number of blocks
needed) or CANNOT BE TESTED HERE (with the code and what would make it
testable). Claims are named by number (2, 24a); without any, all are run.

Without a DEVICE they are tested on one of blkmeter's own: a loop device over a
file in memory as root, a scratch file else. A DEVICE is only read, unless
--destroy names it. Its scheduler and the like are changed for the arms that
are about them, and restored; blkmeter restore does that after a crash.

With --null-blk they are tested on null_blk devices, which store nothing and cost
no time of their own: the way to see the block layer alone. They are made with
the queues and the manner of completion that each arm asks for, and removed after
it; so is the module, if it had to be loaded. blkmeter clean does that after a crash.

Profiles: ci (0.35 s arms, up to 10 blocks, smallest effect 10 %), bench (5 s
arms, up to 20 blocks), full (5 s arms, 20 blocks). All look at fixed numbers
of blocks only, early looks with wider intervals.

Exit status: 0 every claim got its verdict, whatever it is; 1 usage; 2 target
refused; 3 the document could not be written; 7 the system lacks something; 130
interrupted, the verdicts so far were written.`,
		Example: `  blkmeter claims run 21 23 24a
  blkmeter claims run --budget=5m --output=claims.json
  blkmeter claims run 2 16 /dev/nvme0n1 --profile=bench
  blkmeter claims run 1 5 6 8 9 --null-blk`,
		RunE: func(cmd *cobra.Command, args []string) error { return runClaims(cmd.Context(), a, o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.profile, "profile", "ci", "how much to spend: ci, bench or full")
	f.DurationVar(&o.budget, "budget", 0, "test what fits, most telling first (with ci: 5m)")
	f.Uint64Var(&o.seed, "seed", 0, "seed of the order of arms (default: drawn)")
	f.BoolVar(&o.json, "json", false, "write the document, blkmeter.claims/1, and no text")
	f.StringVarP(&o.output, "output", "o", "", "write the document to this file as well (-: stdout, and no text)")
	f.StringVar(&o.destroy, "destroy", "", "name of the DEVICE, if what is on it may be lost")
	f.BoolVar(&o.nullBlk, "null-blk", false, "test on null_blk devices made for it, loading the module if need be")
	return cmd
}

// claimID is what tells a claim from a device on the command line.
var claimID = regexp.MustCompile(`^[0-9]+[a-z]?$`)

// splitClaimArgs tells claims (numbers, also with commas between) from the one device.
func splitClaimArgs(args []string) (ids []string, device string, err error) {
	for _, arg := range args {
		for _, word := range strings.Split(arg, ",") {
			switch {
			case claimID.MatchString(word):
				ids = append(ids, word)
			case device == "" && word == arg:
				device = arg
			default:
				return nil, "", fault.Usage("BAD_CLAIM", "name claims by number, and at most one device: blkmeter claims run 2 16 /dev/nvme0n1",
					"%q is neither a claim nor the only device", arg)
			}
		}
	}
	return ids, device, nil
}

func runClaims(ctx context.Context, a *app, o claimsOptions, args []string) error {
	ids, path, err := splitClaimArgs(args)
	if err != nil {
		return err
	}
	selected, err := claims.Select(ids)
	if err != nil {
		return fault.Usage("UNKNOWN_CLAIM", "blkmeter claims lists them", "%v", err)
	}
	if o.nullBlk && path != "" {
		return fault.Usage("TWO_DEVICES", "leave one of them out", "--null-blk makes the device, and %s is another", path)
	}
	if o.budget < 0 {
		return fault.Usage("BAD_BUDGET", "leave it out to test all that were named", "a budget of %v is no time", o.budget)
	}
	if o.output == "-" {
		o.output, o.json = "", true
	}
	if o.output != "" { // minutes of measuring follow
		if err := report.CanSave(o.output); err != nil {
			return err
		}
	}
	profile, ok := claims.ProfileNamed(o.profile)
	if !ok {
		return fault.Usage("UNKNOWN_PROFILE", "the profiles are ci, bench and full", "no profile is called %q", o.profile)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1 << 32)
	}
	env, err := claimsEnvironment()
	if err != nil {
		return err
	}
	status := newProgress(a.stderr, a.env, &fiojob.Settings{})
	state := journal.Dir(a.env)
	runners := claims.Runners{Lock: &claims.LockRunner{CPUs: env.CPUs, Arm: profile.Arm, Ramp: profile.Ramp, StateDir: state}}
	facts := ""
	var subject *claims.Subject
	if path != "" || slices.ContainsFunc(selected, func(c claims.Claim) bool { return c.NeedsDevice() }) {
		status.say("making ready what the claims are tested on")
		if subject, err = claimsSubject(ctx, a, o, path); err != nil {
			status.clear()
			return err
		}
		mayDestroy := o.destroy != "" && o.destroy == subject.Target
		if o.destroy != "" && !mayDestroy {
			err := fault.Usage("DESTROY_OTHER", "leave it out: without it nothing is written to a device of yours", "--destroy=%s does not name what the claims are tested on, which is %s", o.destroy, subject.Name())
			return errors.Join(err, subject.Close())
		}
		env.Device = subject.Device(mayDestroy)
		facts = subject.Describe(len(env.CPUs))
		runners.Device = &claims.DeviceRunner{Subject: subject, CPUs: env.CPUs, MayDestroy: mayDestroy, Env: a.env, StateDir: state}
	}
	doc, runErr := claims.Run(ctx, env, selected, runners, claims.Options{
		Profile: profile, Seed: o.seed, Budget: o.budget,
		Progress: func(p claims.Progress) {
			status.draw(fmt.Sprintf("claim %s, block %d of at most %d, arm %s, at most %v left", p.Claim, p.Block, p.MaxBlocks, p.Arm, p.Left.Round(time.Second)))
		},
	})
	status.clear()
	doc.Command, doc.Tool, doc.KernelLocks = a.args, tool(), claims.KernelLocks("/sys")
	doc.Host = run.Host("", device.ReadTopology("", env.CPUs))
	var closeErr error
	if subject != nil {
		doc.Device, doc.DeviceFacts = subject.Name(), facts
		closeErr = subject.Close()
	}
	if err := errors.Join(writeClaims(a, o, doc), closeErr); err != nil {
		return err
	}
	if runErr != nil {
		return fault.Wrap(runErr, fault.ExitInterrupted, "INTERRUPTED", "", "the claims were interrupted; the verdicts so far were written")
	}
	return nil
}

// claimsSubject opens what the user named, or makes something of our own.
func claimsSubject(ctx context.Context, a *app, o claimsOptions, path string) (*claims.Subject, error) {
	if o.nullBlk {
		return claims.OwnNullBlk(journal.Dir(a.env))
	}
	if path != "" {
		return claims.Named(path)
	}
	if os.Geteuid() == 0 {
		subject, err := claims.OwnLoop(ctx, a.env)
		if err == nil || ctx.Err() != nil {
			return subject, err
		}
		a.warn(workloads.Warning{Code: "NO_LOOP", Sentence: fmt.Sprintf("no loop device can be had, so a scratch file is used: %v", err), Hint: "modprobe loop, or name a DEVICE"})
	}
	return claims.OwnFile(ctx, a.env)
}

// writeClaims writes the document where the user wants it. What cannot be kept in a file is told all the same.
func writeClaims(a *app, o claimsOptions, doc *claims.Document) error {
	var errs []error
	if o.output != "" {
		errs = append(errs, report.SaveFile(o.output, doc.Save))
	}
	show := doc.Text
	if o.json {
		show = doc.Save
	}
	if err := show(a.stdout); err != nil {
		errs = append(errs, fault.Wrap(err, fault.ExitIO, "OUTPUT_FAILED", "", "cannot write the verdicts"))
	}
	return errors.Join(errs...)
}

// claimsEnvironment finds out what the preconditions ask about, except for the device.
func claimsEnvironment() (claims.Environment, error) {
	cpus, err := cpu.Affinity()
	if err != nil {
		return claims.Environment{}, fault.Wrap(err, fault.ExitEnvironment, "NO_AFFINITY", "", "the CPUs of this process are unknown")
	}
	cpus, cores, nodes := claims.Topology("/sys", cpus)
	return claims.Environment{
		CPUs: cpus, Cores: cores, NUMANodes: nodes, Root: os.Geteuid() == 0, RealTime: lockbench.MayInvert(),
	}, nil
}

// terminal says whether progress can be shown on standard error.
func (a *app) terminal() bool {
	f, ok := a.stderr.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
