package run

import (
	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/workloads"
)

// checkApart refuses jobs that would spoil each other's check: one that verifies, and another one that writes
// or trims the same bytes meanwhile. Clones of one job know of each other's writes; other jobs do not.
func (c *conductor) checkApart() error {
	for _, j := range c.jobs {
		for _, other := range c.jobs {
			if j == other || j.stage != other.stage || j.spec.Verify.Kind == "" || !changes(other.spec) || waitsFor(j.spec, other.spec) || waitsFor(other.spec, j.spec) {
				continue
			}
			if path := meets(j, other); path != "" {
				return fault.Usage("VERIFY_OVERLAP", "give them offset and size so that they do not meet, or put stonewall between them",
					"job %s checks what job %s changes at the same time in %s", j.spec.Name, other.spec.Name, path)
			}
		}
	}
	return nil
}

func waitsFor(a, b *workloads.Job) bool { return a.WaitFor != "" && a.WaitFor == b.Name }

// meets returns a target of which both jobs use the same bytes, or "".
func meets(a, b *jobRun) string {
	for _, w := range a.workers {
		for _, v := range b.workers {
			if path := share(w, v); path != "" {
				return path
			}
		}
	}
	return ""
}

// among says whether two of the workers use the same bytes.
func among(workers []*worker) bool {
	for i, w := range workers {
		for _, v := range workers[:i] {
			if share(w, v) != "" {
				return true
			}
		}
	}
	return false
}

// share returns a target of which two workers use the same bytes, or "".
func share(w, v *worker) string {
	for i, t := range w.targets {
		for k, u := range v.targets {
			if t.Resolved() == u.Resolved() && w.files[i].Low < v.files[k].High && v.files[k].Low < w.files[i].High {
				return t.Path()
			}
		}
	}
	return ""
}
