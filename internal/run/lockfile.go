package run

import (
	"sync"
	"time"

	"github.com/blkmeter/blkmeter/engine"
	"github.com/blkmeter/blkmeter/engine/catalog"
)

// locking lets a worker do I/O to a file only while it has the file's lock (lockfile). It stands between the
// loop and its queue. A lock is taken for what is submitted together and given back when all of that is done,
// so that the other workers get their turns. Waiting for it is no part of an I/O's latency, as with fio: a
// Submit that had to wait takes nothing, and the loop submits again.
type locking struct {
	engine.Queue
	shares   bool       // readers share a lock (lockfile=readwrite)
	files    []fileHold // by file
	slots    []uint16   // the file of the I/O in flight, by slot
	inFlight int        // on all files
}

// fileHold is a worker's hold on a file.
type fileHold struct {
	lock     *sync.RWMutex
	mode     holdMode
	inFlight int
	draining bool // some of it is done: the rest, then others get their turn
}

type holdMode uint8

const (
	holdNone holdMode = iota
	holdShared
	holdAlone
)

// lockFiles gives the workers of a job the locks of their files, which jobs have in common.
func (c *conductor) lockFiles(j *jobRun) {
	mode := j.spec.Layout.LockFile
	if mode == "none" || mode == "" || j.choice.Name == catalog.Null {
		return
	}
	if c.locks == nil {
		c.locks = map[string]*sync.RWMutex{}
	}
	for _, w := range j.workers {
		w.locking = &locking{shares: mode == "readwrite", slots: make([]uint16, j.depth)}
		for _, t := range w.targets {
			if c.locks[t.Resolved()] == nil {
				c.locks[t.Resolved()] = new(sync.RWMutex)
			}
			w.locking.files = append(w.locking.files, fileHold{lock: c.locks[t.Resolved()]})
		}
	}
}

// Submit passes on the requests at the front whose files' locks can be had.
func (l *locking) Submit(reqs []engine.Request) (int, error) {
	n := 0
	for ; n < len(reqs); n++ {
		f, mode := &l.files[reqs[n].File], l.modeOf(&reqs[n])
		if !f.try(mode) {
			if n == 0 && l.inFlight == 0 {
				f.wait(mode)
				return 0, nil
			}
			break
		}
		f.inFlight++
		l.inFlight++
	}
	taken, err := l.Queue.Submit(reqs[:n])
	for i := range reqs[:taken] {
		l.slots[reqs[i].Slot] = reqs[i].File
	}
	for i := range reqs[taken:n] {
		l.files[reqs[taken+i].File].done()
		l.inFlight--
	}
	return taken, err
}

// Reap gives locks back.
func (l *locking) Reap(done []engine.Completion, least int, timeout time.Duration) (int, error) {
	n, err := l.Queue.Reap(done, least, timeout)
	for i := range done[:n] {
		f := &l.files[l.slots[done[i].Slot]]
		f.draining = true
		f.done()
		l.inFlight--
	}
	return n, err
}

// Close gives back what a worker still holds that gave up.
func (l *locking) Close() error {
	err := l.Queue.Close()
	for i := range l.files {
		l.files[i].release()
	}
	return err
}

func (l *locking) modeOf(r *engine.Request) holdMode {
	if l.shares && r.Op == engine.OpRead {
		return holdShared
	}
	return holdAlone
}

// try takes the lock if it is free, or says whether what the worker holds allows another I/O.
func (f *fileHold) try(mode holdMode) bool {
	if f.mode != holdNone {
		return f.mode >= mode && !f.draining
	}
	if mode == holdShared && f.lock.TryRLock() || mode == holdAlone && f.lock.TryLock() {
		f.mode = mode
		return true
	}
	return false
}

// wait takes the lock when it becomes free.
func (f *fileHold) wait(mode holdMode) {
	f.release()
	if f.mode = mode; mode == holdShared {
		f.lock.RLock()
	} else {
		f.lock.Lock()
	}
}

// done notes that an I/O is no longer in flight.
func (f *fileHold) done() {
	if f.inFlight--; f.inFlight == 0 {
		f.release()
	}
}

func (f *fileHold) release() {
	switch f.mode {
	case holdShared:
		f.lock.RUnlock()
	case holdAlone:
		f.lock.Unlock()
	}
	f.mode, f.draining, f.inFlight = holdNone, false, 0
}
