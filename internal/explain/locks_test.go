package explain

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/blkmeter/blkmeter/report"
)

// byFirst names a caller after the first address of the stack.
func byFirst(stack []uint64) string { return fmt.Sprintf("f%d", stack[0]) }

func hitOf(timeNS uint64, thread int32, cpu int, lock uint64, flags uint32, caller uint64) lockHit {
	return lockHit{timeNS: timeNS, thread: thread, cpu: cpu, lock: lock, flags: flags, begins: true, stack: []uint64{caller}}
}

func endOf(timeNS uint64, thread int32, cpu int, lock uint64) lockHit {
	return lockHit{timeNS: timeNS, thread: thread, cpu: cpu, lock: lock}
}

func TestLockWaits(t *testing.T) {
	hits := []lockHit{
		endOf(5, 7, 0, 90), // began before the recording
		// A wait for a spinlock, and meanwhile, in an interrupt, for another one.
		hitOf(10, 7, 0, 100, flagSpin, 1), hitOf(12, 7, 0, 200, flagSpin, 2), endOf(15, 7, 0, 200), endOf(30, 7, 0, 100),
		// A mutex: spinning, then sleeping, then taken on another CPU. The rings are read one CPU after another.
		endOf(90, 8, 0, 300), hitOf(40, 8, 1, 300, flagSpin|flagMutex, 3), hitOf(50, 8, 1, 300, flagMutex, 3),
		// Two idle threads, both called 0, wait for one lock.
		hitOf(60, 0, 0, 400, flagSpin, 1), hitOf(61, 0, 1, 400, flagSpin, 1), endOf(65, 0, 0, 400), endOf(71, 0, 1, 400),
		hitOf(95, 9, 0, 500, flagSpin, 4), // ends after the recording
	}
	got := lockWaits(hits, 2, byFirst)
	want := LockWaits{Lost: 2, Sites: []LockSite{
		{Function: "f1", Kind: "spin", CPU: 0, Waits: 2, WaitNS: 25},
		{Function: "f1", Kind: "spin", CPU: 1, Waits: 1, WaitNS: 10},
		{Function: "f2", Kind: "spin", CPU: 0, Waits: 1, WaitNS: 3},
		{Function: "f3", Kind: "sleep", CPU: 1, Waits: 1, WaitNS: 50},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	sites := []report.LockSite{{Function: "f1", Kind: "spin", Waits: 2, WaitNS: 25}, {Function: "f2", Kind: "spin", Waits: 1, WaitNS: 3}}
	if diff := cmp.Diff(sites, got.on([]int{0, 5})); diff != "" {
		t.Error(diff)
	}
	if all := got.on([]int{0, 1}); all[0].Waits != 3 || all[0].WaitNS != 35 {
		t.Errorf("over both CPUs: %+v", all)
	}
}

// TestLockWaitsAddUp: however the waits of threads overlap, each is found, with its length.
func TestLockWaitsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var hits []lockHit
		waits, length := int64(0), int64(0)
		for thread := range rapid.IntRange(1, 5).Draw(t, "threads") {
			at := uint64(0)
			for range rapid.IntRange(0, 10).Draw(t, "waits") {
				at += rapid.Uint64Range(1, 100).Draw(t, "pause")
				n := rapid.Uint64Range(1, 100).Draw(t, "length")
				lock := rapid.Uint64Range(1, 3).Draw(t, "lock")
				hits = append(hits, hitOf(at, int32(thread+1), thread%2, lock, flagSpin, lock), endOf(at+n, int32(thread+1), thread%2, lock))
				at += n
				waits, length = waits+1, length+int64(n)
			}
		}
		got := lockWaits(rapid.Permutation(hits).Draw(t, "order"), 0, byFirst)
		for _, s := range got.Sites {
			waits, length = waits-s.Waits, length-s.WaitNS
		}
		if waits != 0 || length != 0 {
			t.Fatalf("%d waits and %d ns too few", waits, length)
		}
	})
}

func TestInBlockLayer(t *testing.T) {
	for function, want := range map[string]bool{
		"blk_mq_submit_bio": true, "__blk_mq_sched_dispatch_requests": true, "bfq_limit_depth": true, "dd_insert_requests": true,
		"kyber_dispatch_request": true, "sbitmap_get": true, "process_one_work": false, "__queue_work": false, "io_uring_enter": false, "": false,
	} {
		if inBlockLayer(function) != want {
			t.Errorf("%q: %v", function, !want)
		}
	}
}
