package null

import (
	"runtime"
	"testing"

	"github.com/blkmeter/blkmeter/engine"
)

// TestCompletesInOrder: every request comes back once, in order and whole, however many fit at a time.
func TestCompletesInOrder(t *testing.T) {
	for _, shared := range []bool{false, true} {
		q := New(engine.Config{Depth: 5, Shared: shared})
		reqs, done := make([]engine.Request, 7), make([]engine.Completion, 3)
		for i := range reqs {
			reqs[i] = engine.Request{Slot: uint32(i), Length: uint32(100 + i)}
		}
		if n, err := q.Submit(reqs); n != 5 || err != nil {
			t.Fatalf("%d of 5 taken, %v", n, err)
		}
		next := uint32(0)
		for _, want := range []int{3, 2, 0} {
			n, err := q.Reap(done, 1, 0)
			if n != want || err != nil {
				t.Fatalf("%d of %d reaped, %v", n, want, err)
			}
			for _, c := range done[:n] {
				if c.Slot != next || c.Result != int32(100+next) {
					t.Errorf("%+v, want slot %d", c, next)
				}
				next++
			}
		}
	}
}

// TestOneSubmitsAnotherReaps is what a shared queue does with it; the race detector watches.
func TestOneSubmitsAnotherReaps(t *testing.T) {
	const all = 20_000
	q := New(engine.Config{Depth: 8, Shared: true})
	go func() {
		for i := uint32(0); i < all; {
			n, err := q.Submit([]engine.Request{{Slot: i, Length: i}, {Slot: i + 1, Length: i + 1}})
			if err != nil {
				t.Error(err)
				return
			}
			i += uint32(n)
			runtime.Gosched()
		}
	}()
	done := make([]engine.Completion, 8)
	for next := uint32(0); next < all; {
		n, err := q.Reap(done, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range done[:n] {
			if c.Slot != next || c.Result != int32(next) {
				t.Fatalf("%+v, want slot %d", c, next)
			}
			next++
		}
		runtime.Gosched()
	}
}
