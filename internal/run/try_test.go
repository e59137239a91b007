package run

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/blkmeter/blkmeter/report/text"
	"github.com/blkmeter/blkmeter/workloads"
)

func TestTry(t *testing.T) {
	j := workloads.DefaultJob()
	e := func(k, d string) string {
		if v := os.Getenv(k); v != "" {
			return v
		}
		return d
	}
	j.Name, j.Engine = "try", e("ENGINE", "auto")
	j.RW, _ = workloads.ParseRW(e("RW", "randread"))
	j.Filenames = []string{e("FILE", "/dev/loop0")}
	j.Direct = true
	n, _ := strconv.Atoi(e("QD", "32"))
	j.IODepth = n
	j.NumJobs, _ = strconv.Atoi(e("JOBS", "1"))
	j.Destroy = e("DESTROY", "")
	if os.Getenv("NOMAP") != "" {
		j.NoRandomMap = true
	}
	j.SharedQueue = os.Getenv("SHARED") != ""
	j.QueueLock = e("LOCK", "mutex")
	j.Runtime, j.TimeBased = 3*time.Second, true
	r, err := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	text.Write(os.Stderr, r, text.Options{Width: 80})
}

func TestSeries(t *testing.T) {
	j := workloads.DefaultJob()
	j.Name, j.Engine, j.RW, j.NoRandomMap = "null", "null", workloads.RWRandRead, true
	j.Size = workloads.Amount{Bytes: 1 << 30, Set: true}
	j.Runtime, j.TimeBased = 2*time.Second, true
	r, _ := Run(context.Background(), &workloads.Plan{Jobs: []workloads.Job{j}}, Options{})
	for _, iv := range r.Jobs[0].Series {
		t.Logf("%+v %+v", iv, iv.Read)
	}
}
