package cpu

// PauseInstruction names what Pause executes.
const PauseInstruction = "PAUSE"

// Pause executes the processor's spin-wait hint n times: on x86 it leaves the pipeline and the sibling
// hyperthread alone for some 40 to 140 cycles and avoids the memory-order flush at the end of the spin
// (Intel SDM, PAUSE).
//
// Keep n small: the loop is assembly and cannot be preempted by the Go runtime.
//
//go:noescape
func Pause(n uint32)
