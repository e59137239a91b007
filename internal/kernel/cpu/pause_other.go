//go:build !amd64 && !arm64

package cpu

// PauseInstruction names what Pause executes.
const PauseInstruction = "none"

// Pause burns n calls: this architecture has no spin-wait hint here.
func Pause(n uint32) {
	for range n {
		nothing()
	}
}

//go:noinline
func nothing() {}
