package device

import (
	"testing"
	"time"
)

func TestSleepIsTheFirstStateWithoutIO(t *testing.T) {
	p := Power{
		APST: true,
		States: []PowerState{
			{Number: 0, Operational: true},
			{Number: 1, Operational: true, ExitLatencyUS: 5},
			{Number: 3, ExitLatencyUS: 1500},
			{Number: 4, ExitLatencyUS: 20000},
		},
		Transitions: []PowerTransition{
			{From: 0, To: 1, Idle: 10 * time.Millisecond},
			{From: 0, To: 4, Idle: 2 * time.Second},
			{From: 1, To: 3, Idle: 100 * time.Millisecond},
		},
	}
	if after, wake := p.Sleep(); after != 100*time.Millisecond || wake != 1500*time.Microsecond {
		t.Errorf("sleeps after %v and wakes in %v", after, wake)
	}
	p.APST = false
	if after, wake := p.Sleep(); after != 0 || wake != 0 {
		t.Errorf("without APST it sleeps after %v and wakes in %v", after, wake)
	}
}
