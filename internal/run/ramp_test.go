package run

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/workloads"
)

// The device saw at least as much before the measured window as the ramp was to transfer, and the window has its
// full length; of each clone, or of all together.
func TestARampOfBytesIsLeftOut(t *testing.T) {
	for _, together := range []bool{false, true} {
		dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes, DirectIO: true, Tmpfs: true})
		j := job(dev.Path, "io_uring", workloads.RWRandRead)
		j.NumJobs, j.GroupReporting = 2, together
		j.Runtime, j.RampBytes, j.TimeBased = 700*time.Millisecond, 8<<20, true
		j.RateIOPS = [workloads.Directions]uint64{2048, 2048, 2048} // 8 MiB/s
		testlab.Undisturbed(t, func() (why string) {
			dir := t.TempDir()
			j.Logs = logsOf(filepath.Join(dir, "x"))
			r := do(t, j)
			s := r.Jobs[0].Stats
			// At 8 MiB/s, each transfers 8 MiB in a second, and both together in half of that.
			least, ramp := int64(1e9), int64(2*j.RampBytes)
			if together {
				least, ramp = 0.5e9, j.RampBytes
			}
			if s.StartNS < least {
				t.Errorf("together %v: measured from %d ns", together, s.StartNS)
			}
			if before := r.Targets[0].Kernel.ReadBytes - s.Read.Bytes; before < ramp {
				t.Errorf("together %v: %d bytes were read before the measured window", together, before)
			}
			if s.StartNS > least+15e8 || s.RuntimeNS < 65e7 || s.RuntimeNS > 12e8 {
				why = fmt.Sprintf("together %v: measured from %d ns for %d ns", together, s.StartNS, s.RuntimeNS)
			}
			starts := [2]int64{}
			for i, w := range r.Jobs[0].Workers {
				starts[i] = w.StartNS
			}
			if apart := starts[0] - starts[1]; apart > 4e8 || apart < -4e8 {
				why = fmt.Sprintf("together %v: the ramps ended %d ns apart", together, apart)
			}
			for _, line := range readLog(t, filepath.Join(dir, "x_iops.1.log")) {
				if line[0] < 0 || line[0] > 1200 {
					why = fmt.Sprintf("together %v: the log's time is %d ms", together, line[0])
				}
			}
			return why
		})
	}
}

// A job that ends before its ramp has nothing to report, and ends all the same.
func TestAJobMayEndInsideItsRamp(t *testing.T) {
	dev := testlab.Loop(t, testlab.LoopOptions{SizeBytes: devBytes})
	j := job(dev.Path, "io_uring", workloads.RWRandRead)
	j.RampBytes = 1 << 30
	r := do(t, j)
	if s := r.Jobs[0].Read; r.Error != nil || s.IOs != 0 || r.Targets[0].Kernel.ReadBytes != devBytes {
		t.Errorf("%+v: %+v, the kernel counted %d bytes", r.Error, s, r.Targets[0].Kernel.ReadBytes)
	}
}
