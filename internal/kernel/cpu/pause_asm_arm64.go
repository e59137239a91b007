package cpu

// PauseInstruction names what Pause executes.
const PauseInstruction = "YIELD"

// Pause executes the processor's spin-wait hint n times. On most arm64 cores YIELD is a plain no-op, so a
// Pause there is shorter than on x86 (Arm ARM, YIELD).
//
// Keep n small: the loop is assembly and cannot be preempted by the Go runtime.
//
//go:noescape
func Pause(n uint32)
