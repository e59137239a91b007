package device

import (
	"path/filepath"
	"strconv"
	"strings"
)

// IdleState is one of the states that an idle CPU can sleep in (C-states). Waking from one costs its exit
// latency, which an interrupt-driven I/O at low depth pays.
type IdleState struct {
	Name          string
	ExitLatencyUS int64
	Disabled      bool
}

// Idle is how the CPUs sleep.
type Idle struct {
	Driver   string // cpuidle driver; empty or "none" when CPUs only halt
	Governor string
	States   []IdleState // of the first online CPU
}

// ReadIdle reads the CPUs' idle states (Documentation/admin-guide/pm/cpuidle.rst).
func ReadIdle(root Root) Idle {
	const cpus = "sys/devices/system/cpu"
	idle := Idle{Driver: root.read(cpus, "cpuidle/current_driver"), Governor: root.read(cpus, "cpuidle/current_governor")}
	online, _ := ParseCPUList(root.read(cpus, "online"))
	if len(online) == 0 {
		return idle
	}
	dir := filepath.Join(cpus, "cpu"+strconv.Itoa(online[0]), "cpuidle")
	for _, state := range root.list(dir) {
		if !strings.HasPrefix(state, "state") {
			continue
		}
		idle.States = append(idle.States, IdleState{
			Name:          root.read(dir, state, "name"),
			ExitLatencyUS: root.readInt(0, dir, state, "latency"),
			Disabled:      root.read(dir, state, "disable") == "1",
		})
	}
	return idle
}
