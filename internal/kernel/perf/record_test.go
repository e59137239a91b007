package perf

import (
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestRecorderTakesDownEveryHit makes a known number of system calls on a thread bound to one CPU, more than the
// ring holds at once, and expects all of them: in order, of that thread, and with a stack where one was asked for.
func TestRecorderTakesDownEveryHit(t *testing.T) {
	tracing, err := OpenTracing("")
	if err != nil {
		skip(t, err)
	}
	defer tracing.Close()
	begin := counting(t, "raw_syscalls", "sys_enter")
	end, err := tracing.Event("raw_syscalls", "sys_exit")
	if err != nil {
		skip(t, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread, with its affinity, ends here
		r, err := OpenRecorder(bind(t), 64<<10, Recorded{Event: begin, Stack: true}, Recorded{Event: end})
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		if err := r.Enable(); err != nil {
			t.Error(err)
		}
		const calls, rounds = 50, 30
		tid, begins, ends, last := int32(unix.Gettid()), 0, 0, uint64(0)
		gone := uint64(0) // others on this CPU may have filled the ring
		for range rounds {
			for range calls {
				unix.Getppid()
			}
			gone += r.Drain(func(s Sample) {
				if s.ThreadID != tid || binary.NativeEndian.Uint64(s.Raw[8:]) != unix.SYS_GETPPID {
					return // somebody else on this CPU, or another call
				}
				if s.TimeNS < last {
					t.Errorf("time goes back from %d to %d", last, s.TimeNS)
				}
				last = s.TimeNS
				switch id := uint64(binary.NativeEndian.Uint16(s.Raw)); {
				case id == begin.ID && len(s.Stack) > 0:
					begins++
				case id == end.ID && len(s.Stack) == 0:
					ends++
				default:
					t.Errorf("event %d with %d frames", id, len(s.Stack))
				}
			})
		}
		if n := calls * rounds; begins > n || ends > n || begins+ends+int(gone) < 2*n || begins == 0 || ends == 0 {
			t.Errorf("%d begins and %d ends of %d, %d lost", begins, ends, n, gone)
		}
		for range 5000 { // more than fit
			unix.Getppid()
		}
		seen := uint64(0)
		lost := r.Drain(func(s Sample) { seen++ })
		unix.Getppid() // the kernel tells of losses when there is room again
		if lost += r.Drain(func(s Sample) { seen++ }); lost == 0 || seen+lost < 10_000 {
			t.Errorf("a full ring: %d seen and %d lost", seen, lost)
		}
		if err := errors.Join(r.Disable(), r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	}()
	<-done
}

// TestWrapped cuts records out of a ring at every place.
func TestWrapped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ring := make([]byte, 64)
		for i := range ring {
			ring[i] = byte(i)
		}
		at, size := rapid.Uint64Range(0, 1000).Draw(t, "at"), rapid.IntRange(0, 64).Draw(t, "size")
		got := wrapped(ring, at, size)
		if len(got) != size {
			t.Fatalf("%d bytes of %d", len(got), size)
		}
		for i, b := range got {
			if want := byte((at + uint64(i)) % 64); b != want {
				t.Fatalf("byte %d is %d, not %d", i, b, want)
			}
		}
	})
}

func FuzzParseSample(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 8, 8, 8, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := parseSample(b)
		if ok && 28+8*len(s.Stack)+len(s.Raw) > len(b) {
			t.Errorf("%d frames and %d bytes out of %d", len(s.Stack), len(s.Raw), len(b))
		}
	})
}

const table = `ffffffff81000000 T _stext
ffffffff81000100 t blk_mq_submit_bio.isra.0
ffffffff81000200 T queued_spin_lock_slowpath
ffffffff81000300 t __pv_queued_spin_lock_slowpath
ffffffff81000380 d not_code
ffffffff81000400 T __lock_text_start
ffffffff81000400 T _raw_spin_lock
ffffffff81000500 T __lock_text_end
ffffffff81000500 T bfq_finish_request	[bfq]
damaged
`

func TestSymbols(t *testing.T) {
	s, err := ParseSymbols(strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[uint64]string{
		0: "", 0xffffffff80ffffff: "", 0xffffffff81000000: "_stext", 0xffffffff810001ff: "blk_mq_submit_bio",
		0xffffffff810003ff: "__pv_queued_spin_lock_slowpath", 0xffffffff81000510: "bfq_finish_request",
	} {
		if got := s.Name(address); got != want {
			t.Errorf("%x is %q, not %q", address, got, want)
		}
	}
	for _, c := range []struct {
		stack []uint64
		want  string
	}{
		{[]uint64{0xffffffff81000301, 0xffffffff81000401, 0xffffffff81000501, 0xffffffff81000101}, "bfq_finish_request"},
		{[]uint64{0xffffffff81000201, 0xffffffff81000101}, "blk_mq_submit_bio"},
		{[]uint64{0xffffffff81000201}, ""},
		{nil, ""},
	} {
		if got := s.Caller(c.stack); got != c.want {
			t.Errorf("caller of %x is %q, not %q", c.stack, got, c.want)
		}
	}
	if _, err := ParseSymbols(strings.NewReader(strings.ReplaceAll(table, "ffffffff81000", "0000000000000"))); err != nil {
		t.Errorf("small addresses: %v", err)
	}
	if _, err := ParseSymbols(strings.NewReader("0000000000000000 T _stext\n")); !errors.Is(err, errNoAddresses) {
		t.Errorf("hidden addresses: %v", err)
	}
}

// TestReadSymbols finds a function that every kernel has.
func TestReadSymbols(t *testing.T) {
	s, err := ReadSymbols()
	if err != nil {
		skip(t, err)
	}
	if !slices.Contains(s.names, "schedule") || !slices.IsSorted(s.addresses) {
		t.Errorf("%d symbols without schedule", len(s.names))
	}
}

func FuzzParseSymbols(f *testing.F) {
	f.Add(table)
	f.Add("0 T x\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSymbols(strings.NewReader(text))
		if err == nil && (!slices.IsSorted(s.addresses) || len(s.names) != len(s.addresses)) {
			t.Errorf("addresses out of order")
		}
	})
}
