package engine

import "sync"

// Early holds the completions of requests that an asynchronous engine finished, or had refused, inside
// Submit. On a shared queue it has a lock, since there Reap runs in another thread.
type Early struct {
	mu     sync.Mutex
	shared bool
	done   []Completion
}

// NewEarly returns an empty Early for a queue of that configuration.
func NewEarly(c *Config) Early {
	return Early{shared: c.Shared, done: make([]Completion, 0, c.Depth)}
}

// Add appends one completion.
func (e *Early) Add(c Completion) {
	if e.shared {
		e.mu.Lock()
		defer e.mu.Unlock()
	}
	e.done = append(e.done, c)
}

// Take moves completions to done, as many as fit, and returns how many.
func (e *Early) Take(done []Completion) int {
	if e.shared {
		e.mu.Lock()
		defer e.mu.Unlock()
	}
	if len(e.done) == 0 {
		return 0
	}
	n := copy(done, e.done)
	e.done = e.done[:copy(e.done, e.done[n:])]
	return n
}
