package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/kernel/mem"
	"github.com/blkmeter/blkmeter/workloads"
	"github.com/blkmeter/blkmeter/workloads/content"
)

// stateFile keeps the ledgers of a job while it runs, and afterwards (verify_state_save). It has its name
// once the job begins, so that a run that comes to nothing leaves the last one's state alone.
type stateFile struct {
	path  string
	file  *os.File
	saved *content.SavedState
	unmap func() error
}

// stateFault is what keeps a state from being saved or loaded.
func stateFault(err error, path string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Wrap(err, fault.ExitIO, "VERIFY_STATE_FILE", "make room on its filesystem, or name another directory with --aux-path", "cannot save the verify state %s", path)
	}
	return fault.Wrap(err, fault.ExitUsage, "VERIFY_STATE_FILE", "--aux-path=DIR says where the state lies; a job finds it by its name and its place among the jobs",
		"cannot use the verify state %s", path)
}

// statePath returns where the state of a job lies. It is named as fio names its own.
func (c *conductor) statePath(j *jobRun) string {
	name := strings.ReplaceAll(j.spec.Name, "/", "_")
	return filepath.Join(c.o.DumpDir, fmt.Sprintf("local-%s-%d-verify.state", name, j.first))
}

// createState makes the file in which a job's ledgers lie.
func (c *conductor) createState(j *jobRun, saved *content.SavedState) (*stateFile, error) {
	path := c.statePath(j)
	n, err := saved.Words()
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", j.spec.Name, err)
	}
	if old, err := os.ReadFile(path); err == nil {
		if !content.IsState(old) {
			return nil, fault.Usage("VERIFY_STATE_FILE", "remove it, or name another directory with --aux-path", "job %s: %s exists and is no verify state of blkmeter", j.spec.Name, path)
		}
	}
	if err := os.Remove(path + ".new"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, stateFault(err, path)
	}
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, stateFault(err, path)
	}
	s := &stateFile{path: path, file: f, saved: saved}
	if s.unmap, err = s.lay(n); err != nil {
		return nil, errors.Join(stateFault(err, path), s.close())
	}
	j.decide("verify state", path, "what was written is kept there; verify_state_load=1 checks it later")
	return s, nil
}

// lay writes the file, in full so that its pages are there, and puts the ledgers into it.
func (s *stateFile) lay(words int) (unmap func() error, err error) {
	if _, err := s.file.Write(s.saved.Head()); err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<16)
	for left := 4 * words; left > 0; left -= len(zeros) {
		if _, err := s.file.Write(zeros[:min(left, len(zeros))]); err != nil {
			return nil, err
		}
	}
	cells, unmap, err := mem.MapWords(s.file, int64(s.saved.HeadBytes()), words)
	if err != nil {
		return nil, err
	}
	return unmap, errors.Join(s.saved.Attach(cells))
}

// publish gives the file its name.
func (s *stateFile) publish() error {
	if err := os.Rename(s.path+".new", s.path); err != nil {
		return stateFault(err, s.path)
	}
	return nil
}

// seal notes that the job has ended, with nothing in flight.
func (s *stateFile) seal() error {
	s.saved.Ended = true
	if _, err := s.file.WriteAt(s.saved.Head(), 0); err != nil {
		return stateFault(err, s.path)
	}
	return nil
}

// close frees the file. No worker uses the ledgers any more.
func (s *stateFile) close() error {
	err := s.file.Close()
	if s.unmap != nil {
		err = errors.Join(err, s.unmap())
	}
	if e := os.Remove(s.path + ".new"); e != nil && !errors.Is(e, os.ErrNotExist) { // the job never began
		err = errors.Join(err, e)
	}
	return err
}

// sealStates ends the states of a stage's jobs. That of a job with a lost worker stays as it is: what is in
// flight may still be written.
func (c *conductor) sealStates(jobs []*jobRun) {
	for _, j := range jobs {
		if j.state != nil && j.begun && !j.lost() {
			c.fail(j.state.seal())
		}
	}
}

// closeStates frees what createState made, when the run is over.
func (c *conductor) closeStates() {
	for _, j := range c.jobs {
		if j.state != nil && !j.lost() {
			c.fail(j.state.close())
		}
	}
}

// lost says whether a worker of the job did not come back from the kernel.
func (j *jobRun) lost() bool {
	for _, w := range j.workers {
		if w.lost {
			return true
		}
	}
	return false
}

// loadState reads the state that an earlier run of a job left.
func (c *conductor) loadState(j *jobRun) (*content.SavedState, error) {
	path := c.statePath(j)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, stateFault(err, path)
	}
	saved, err := content.ParseState(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	why := "it is of a run that ended"
	if !saved.Ended {
		why = "it is of a run that was cut: what was in flight may be old or new"
	}
	j.decide("verify state", path, why)
	return saved, nil
}

// adopt makes the regions expect what a saved state says. The job may read less than was written, and in
// larger I/Os, but of the same blocks.
func (k *checking) adopt(s *workloads.Job, saved *content.SavedState) error {
	unlike := func(what string) error {
		return fault.Usage("VERIFY_STATE_UNLIKE", "give the job the name, targets, verify options and block size that the data was written with",
			"job %s: its verify state is of a job with %s", s.Name, what)
	}
	switch {
	case saved.Kind != s.Verify.Kind:
		return unlike("verify=" + saved.Kind)
	case len(saved.Ledgers) != len(k.order):
		return unlike(fmt.Sprintf("%d targets", len(saved.Ledgers)))
	case k.block%saved.BlockBytes != 0:
		return unlike(fmt.Sprintf("blocks of %d bytes", saved.BlockBytes))
	}
	for i, r := range k.order {
		e := saved.Regions[i]
		if r.low < e.Low || (r.low-e.Low)%saved.BlockBytes != 0 {
			return unlike(fmt.Sprintf("bytes %d to %d of target %d", e.Low, e.High, i))
		}
		r.ledger, r.at = saved.Ledgers[i], r.low
	}
	k.block, k.seed = saved.BlockBytes, saved.Seed
	if k.spec.IntervalBytes == 0 {
		k.spec.IntervalBytes = saved.BlockBytes
	}
	if k.spec.IntervalBytes != int64(saved.IntervalBytes) {
		return unlike(fmt.Sprintf("verify_interval=%d", saved.IntervalBytes))
	}
	return nil
}
