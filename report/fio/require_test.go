package fio_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// requireProgram skips the test when program is not installed; it fails it when BLKMETER_REQUIRE promises
// what it belongs to.
func requireProgram(t *testing.T, program, need string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if slices.Contains(strings.Split(os.Getenv("BLKMETER_REQUIRE"), ","), need) {
		t.Fatalf("BLKMETER_REQUIRE demands %s: %v", need, err)
	}
	t.Skipf("needs %s: %v", need, err)
	return ""
}
