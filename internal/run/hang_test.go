package run

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// Workers on a device that does not answer are given up, and what they use is left to them: when it answers after
// all, they come back to queues and buffers that are still there, and end.
func TestWorkersThatDoNotComeBackAreGivenUp(t *testing.T) {
	testlab.Require(t, "root", "fuse", "loop")
	disk := testlab.NewFaultDisk(t, 8<<20)
	dev := testlab.Loop(t, testlab.LoopOptions{Backing: disk.Path, DirectIO: true})
	defer time.AfterFunc(time.Minute, disk.Clear).Stop() // should the run hang itself
	var jobs []workloads.Job
	for i, engine := range []string{"psync", "libaio", "io_uring", "io_uring", "libaio"} {
		j := job(dev.Path, engine, workloads.RWRandRead)
		j.Name, j.NumJobs, j.SharedQueue = fmt.Sprintf("%s.%d", engine, i), 2, i > 2
		j.TimeBased, j.Runtime = true, 500*time.Millisecond
		jobs = append(jobs, j)
	}
	disk.Inject(testlab.Fault{Op: testlab.Reads, Skip: 300, Hang: true})
	r := do(t, jobs...)
	if r.Error == nil || r.Error.Code != "DEVICE_HANGS" || r.ExitCode != fault.ExitIO {
		t.Fatalf("%+v, exit code %d", r.Error, r.ExitCode)
	}
	disk.Clear()
	for _, j := range r.Jobs {
		for _, w := range j.Workers {
			if w.Error == nil || w.Error.Code != "DEVICE_HANGS" {
				t.Errorf("job %s, worker %d: %+v", j.Name, w.Index, w.Error)
			}
			ended := func() bool {
				_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", w.ThreadID))
				return err != nil || w.ThreadID == os.Getpid() // Go keeps the first thread
			}
			if !testlab.Eventually(20*time.Second, ended) {
				t.Errorf("job %s, worker %d has not ended", j.Name, w.Index)
			}
		}
	}
}
