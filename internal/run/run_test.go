package run

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/workloads"
)

func TestNullRuns(t *testing.T) {
	j := workloads.DefaultJob()
	j.Name, j.Engine, j.RW, j.NoRandomMap = "null", "null", workloads.RWRandRead, true
	j.Size = workloads.Amount{Bytes: 1 << 30, Set: true}
	j.IODepth, j.NumJobs = 32, 1
	j.Runtime, j.TimeBased = 2*time.Second, true
	r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := r.Jobs[0].Read
	t.Logf("%.1f ns/IO user, %.1f sys, %.2f M IOPS", r.Jobs[0].CPU.UserPerIONS, r.Jobs[0].CPU.SysPerIONS, d.IOPS/1e6)
	e := json.NewEncoder(os.Stderr)
	e.SetIndent("", " ")
	r.Jobs[0].Workers = nil
	e.Encode(r)
}
