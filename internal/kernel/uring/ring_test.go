package uring

import (
	"errors"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func TestLayoutsEqualTheKernels(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"sizeof(struct io_uring_sqe)", unsafe.Sizeof(SQE{}), 64},
		{"offsetof(sqe, off)", unsafe.Offsetof(SQE{}.Off), 8},
		{"offsetof(sqe, addr)", unsafe.Offsetof(SQE{}.Addr), 16},
		{"offsetof(sqe, len)", unsafe.Offsetof(SQE{}.Len), 24},
		{"offsetof(sqe, user_data)", unsafe.Offsetof(SQE{}.UserData), 32},
		{"offsetof(sqe, buf_index)", unsafe.Offsetof(SQE{}.BufIndex), 40},
		{"sizeof(struct io_uring_cqe)", unsafe.Sizeof(CQE{}), 16},
		{"sizeof(struct io_uring_params)", unsafe.Sizeof(params{}), 120},
		{"offsetof(params, sq_off)", unsafe.Offsetof(params{}.sq), 40},
		{"offsetof(params, cq_off)", unsafe.Offsetof(params{}.cq), 80},
		{"sizeof(struct io_uring_getevents_arg)", unsafe.Sizeof(getEventsArg{}), 24},
		{"sizeof(struct io_uring_rsrc_update)", unsafe.Sizeof(rsrcUpdate{}), 16},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, the kernel's is %d", c.name, c.got, c.want)
		}
	}
}

// newRing makes a ring on a locked thread or skips with the kernel's reason.
func newRing(t testing.TB, o Options) *Ring {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, err := New(o)
	if errors.Is(err, ErrNoSyscall) || errors.Is(err, ErrDenied) || errors.Is(err, syscall.EINVAL) {
		t.Skipf("this kernel does not set up such a ring: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

var shapes = []struct {
	name  string
	flags SetupFlags
}{
	{"plain", 0},
	{"coop", SetupCoopTaskrun},
	{"deferred", SetupSingleIssuer | SetupDeferTaskrun},
	{"no-array", SetupSingleIssuer | SetupDeferTaskrun | SetupNoSQArray},
	{"sqpoll", SetupSQPoll},
}

// Every no-op comes back once, in any shape, over several turns of the rings and of the positions' 2^32.
func TestNopsComeBackOnce(t *testing.T) {
	for _, s := range shapes {
		for _, register := range []bool{false, true} {
			t.Run(s.name, func(t *testing.T) {
				r := newRing(t, Options{Entries: 8, Flags: s.flags, Register: register, SQIdle: 100 * time.Millisecond})
				sent, seen := uint64(0), map[uint64]int{}
				for round := range 50 {
					n := uint32(round%8 + 1)
					for r.Room() < n { // an SQPOLL thread takes its time
						runtime.Gosched()
					}
					for i := range n {
						*r.Next(i) = SQE{Opcode: OpNop, UserData: sent}
						sent++
					}
					r.Advance(n)
					if err := r.Submit(); err != nil || r.Unsubmitted() != 0 {
						t.Fatalf("%d of %d not submitted: %v", r.Unsubmitted(), n, err)
					}
					for got := uint32(0); got < n; {
						if r.Ready() == 0 {
							if err := r.Wait(1, time.Second); err != nil {
								t.Fatal(err)
							}
						}
						k := min(r.Ready(), n-got)
						for i := range k {
							c := r.Completion(i)
							if c.Res != 0 {
								t.Fatalf("no-op %d: %d", c.UserData, c.Res)
							}
							seen[c.UserData]++
						}
						r.Consume(k)
						got += k
					}
				}
				for i := range sent {
					if seen[i] != 1 {
						t.Fatalf("no-op %d came back %d times", i, seen[i])
					}
				}
				if r.Overflows() != 0 {
					t.Errorf("%d completions overflowed", r.Overflows())
				}
			})
		}
	}
}

func TestWaitEndsAtItsLimit(t *testing.T) {
	r := newRing(t, Options{Entries: 8})
	start := time.Now()
	if err := r.Wait(1, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 15*time.Millisecond {
		t.Errorf("waited %v of 20ms", d)
	}
}

func TestSetupErrorsAreTold(t *testing.T) {
	_, err := New(Options{Entries: 8, Flags: SetupDeferTaskrun})
	if err == nil {
		t.Fatal("DEFER_TASKRUN without SINGLE_ISSUER was accepted")
	}
	if !errors.Is(err, syscall.EINVAL) && !errors.Is(err, ErrNoSyscall) && !errors.Is(err, ErrDenied) {
		t.Errorf("unexpected error %v", err)
	}
}

func TestTurnAllocatesNothing(t *testing.T) {
	r := newRing(t, Options{Entries: 8})
	allocs := testing.AllocsPerRun(100, func() {
		*r.Next(0) = SQE{Opcode: OpNop}
		r.Advance(1)
		if err := r.Submit(); err != nil {
			t.Fatal(err)
		}
		if err := r.Wait(1, time.Second); err != nil {
			t.Fatal(err)
		}
		r.Consume(r.Ready())
	})
	if allocs != 0 {
		t.Errorf("%v allocations per turn", allocs)
	}
}

func BenchmarkNop(b *testing.B) {
	for _, batch := range []uint32{1, 16, 32} {
		b.Run(map[uint32]string{1: "batch=1", 16: "batch=16", 32: "batch=32"}[batch], func(b *testing.B) {
			r := newRing(b, Options{Entries: 64, Flags: SetupSingleIssuer | SetupDeferTaskrun | SetupNoSQArray, Register: true})
			n := 0
			for b.Loop() {
				for i := range batch {
					*r.Next(i) = SQE{Opcode: OpNop, UserData: uint64(i)}
				}
				r.Advance(batch)
				if err := r.Submit(); err != nil {
					b.Fatal(err)
				}
				n += int(r.Ready())
				r.Consume(r.Ready())
			}
			b.ReportMetric(float64(b.Elapsed())/float64(n), "ns/nop")
		})
	}
}
