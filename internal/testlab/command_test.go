package testlab

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A program that hangs ends with what it started in another session, and nothing waits for the pipe that both hold.
func TestCommandEndsWhatHangs(t *testing.T) {
	Require(t, "setsid")
	const limit = 500 * time.Millisecond
	for name, script := range map[string]string{
		"and its child":   "setsid --fork sleep 1000 & setsid sleep 1000 & echo $!; wait",
		"and ignores all": "trap '' QUIT TERM INT; setsid sleep 1000 & echo $!; while :; do wait; done",
	} {
		t.Run(name, func(t *testing.T) {
			p := command(t, limit, "sh", "-c", script)
			p.WaitDelay = limit
			begun := time.Now()
			out, err := p.Output()
			if err == nil || !p.Hung() {
				t.Errorf("it ended with %v, hung: %t", err, p.Hung())
			}
			if took := time.Since(begun); took < limit || took > Limit/2 {
				t.Errorf("it took %v", took)
			}
			child, err := strconv.Atoi(strings.TrimSpace(string(out)))
			if err != nil {
				t.Fatal(err)
			}
			if !Eventually(10*time.Second, func() bool { return syscall.Kill(child, 0) != nil }) {
				t.Errorf("its child %d lives", child)
			}
		})
	}
}

func TestCommandOfAGoProgramSaysWhereItWas(t *testing.T) {
	if os.Getenv("TESTLAB_HANG") != "" {
		select {
		case <-t.Context().Done():
		case <-time.After(Limit):
		}
		return
	}
	p := command(t, 2*time.Second, os.Args[0], "-test.run=^"+t.Name()+"$")
	p.Env = append(os.Environ(), "TESTLAB_HANG=1")
	out, err := p.CombinedOutput()
	if err == nil || !p.Hung() || !strings.Contains(string(out), t.Name()) || !strings.Contains(string(out), "goroutine ") {
		t.Errorf("%v, hung: %t; it says %s", err, p.Hung(), out)
	}
}

func TestCommandThatEndsDidNotHang(t *testing.T) {
	p := Command(t, "true")
	if err := p.Run(); err != nil || p.Hung() {
		t.Errorf("%v, hung: %t", err, p.Hung())
	}
	if out := Output(t, t.TempDir(), "echo", "a", "b"); out != "a b\n" {
		t.Errorf("%q", out)
	}
}
