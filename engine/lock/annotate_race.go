//go:build race

package lock

import "sync/atomic"

// annotate shows the race detector what it cannot see: it ignores words outside the Go heap and knows
// nothing of futexes and semaphores, so it would report every use of protected data as a race. Each owner
// hands a word on the heap to the next; should the lock underneath fail to exclude, two would hold the word
// at once, and the panic says so.
func annotate(l Lock) Lock { return &annotated{inner: l} }

type annotated struct {
	inner  Lock
	owners atomic.Int32
}

func (a *annotated) Lock(h *Holder) error {
	if err := a.inner.Lock(h); err != nil {
		return err
	}
	if n := a.owners.Add(1); n != 1 {
		panic("lock: two holders own the lock")
	}
	return nil
}

func (a *annotated) Unlock(h *Holder) {
	a.owners.Add(-1)
	a.inner.Unlock(h)
}

func (a *annotated) Stop()        { a.inner.Stop() }
func (a *annotated) Close() error { return a.inner.Close() }
