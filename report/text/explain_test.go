package text_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/text"
)

// TestExplainOfManyQueues: what does not fit columns is listed, and what does not fit a screen is summed up.
func TestExplainOfManyQueues(t *testing.T) {
	d := report.ExplainDevice{
		Device: "nvme1n1", IOs: 70_000, IOsKnown: true, Requests: 70_000, RequestsPerIO: 1, DirectPercent: new(100.0),
		Interrupts: new(int64(0)), InterruptsPerIO: new(0.0), Polling: "confirmed", QueuesFrom: "nvme:nvme_setup_cmd", MatchPercent: new(100.0),
	}
	for cpu := range 70 {
		q := report.QueueShare{HCTX: cpu, Requests: 1000, Percent: 100.0 / 70}
		d.Queues = append(d.Queues, q)
		d.CPUs = append(d.CPUs, report.ExplainCPU{CPU: cpu, IOs: 1000, Issued: 1000, Completed: 1000, Queues: []report.QueueShare{q}})
	}
	for i := range 9 { // one CPU that spread over queues
		d.CPUs[0].Queues = append(d.CPUs[0].Queues, report.QueueShare{HCTX: 10 + i, Requests: 1, Percent: 0.001})
	}
	r := &report.Result{Explain: &report.Explain{Stages: []report.ExplainStage{{
		Jobs: []string{"wide"}, LengthNS: 1e9, IOs: 70_000, Devices: []report.ExplainDevice{d},
	}}}}
	var got bytes.Buffer
	if err := text.Write(&got, r, text.Options{Width: 80}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "explain-wide.txt")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}
