package inspect

import (
	"bytes"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/testlab"
)

// A drive's own account of its health, its queues and its interrupts, asked of a real controller.
func TestNVMe(t *testing.T) {
	testlab.Require(t, "root", "nvme")
	d, err := One("", "nvme0n1")
	if err != nil {
		t.Fatal(err)
	}
	queues := map[string]int{}
	for _, q := range d.Queues {
		if queues[q.Type]++; q.TypeFrom != "debugfs" || q.Tags == 0 {
			t.Errorf("queue %+v", q)
		}
	}
	if queues["default"] < 2 || queues["poll"] == 0 || !d.IOPoll || d.Transport != "pcie" || d.Serial == "" || d.Model == "" || d.Firmware == "" {
		t.Errorf("queues %v, polling %v, %q %q %q on %q", queues, d.IOPoll, d.Model, d.Firmware, d.Serial, d.Transport)
	}
	// One interrupt for each queue, and one for administration; polled queues have none.
	if got, want := len(d.Detail.Interrupts), queues["default"]+1; got != want {
		t.Errorf("%d interrupts, want %d: %+v", got, want, d.Detail.Interrupts)
	}
	n := d.Detail.NVMe
	if n == nil || d.Detail.HealthError != "" {
		t.Fatalf("its health: %+v, %s", n, d.Detail.HealthError)
	}
	if n.TemperatureC < 1 || n.TemperatureC > 100 || n.CriticalC <= n.WarningC || n.ReadBytes <= 0 || len(n.CriticalWarnings) > 0 {
		t.Errorf("its health: %+v", n)
	}
	if len(n.PowerStates) == 0 || !n.PowerStates[0].Operational || n.PowerStates[0].MaxWatts <= 0 {
		t.Errorf("its power states: %+v", n.PowerStates)
	}
	var page bytes.Buffer
	if err := Full(&page, d); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"temperature", "power state", "nvme0q1", "poll"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not tell %q:\n%s", want, page.String())
		}
	}
}
