package run

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
)

// commandEnd is a job's command that has ended.
type commandEnd struct {
	job     *jobRun
	post    bool // exec_postrun
	command string
	output  string
	took    time.Duration
	err     error
}

// command runs a shell command of a job's (exec_prerun, exec_postrun), its output in a file named as fio's.
func (s *stageRun) command(ctx context.Context, j *jobRun, post bool) commandEnd {
	end := commandEnd{job: j, post: post, command: j.spec.ExecPrerun}
	word := "prerun"
	if post {
		end.command, word = j.spec.ExecPostrun, "postrun"
	}
	end.output = filepath.Join(s.o.DumpDir, strings.ReplaceAll(j.spec.Name, "/", "_")+"."+word+".txt")
	begun := time.Now()
	end.err = shell(ctx, end.command, end.output)
	end.took = time.Since(begun)
	return end
}

func shell(ctx context.Context, command, output string) error {
	file, err := report.Create(output, 0o666, false)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Stdout, cmd.Stderr = file, file
	// What the shell has started ends with it when the run is interrupted.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return errors.Join(cmd.Run(), file.Close())
}

// commandEnded notes what a job's command did. A job whose first command failed does not begin.
func (s *stageRun) commandEnded(e commandEnd) {
	j, name := e.job, "exec_postrun"
	if !e.post {
		name, j.preparing, j.prepared = "exec_prerun", false, true
	}
	j.decide(name, e.command, fmt.Sprintf("ran for %v; what it printed is in %s", e.took.Round(time.Millisecond), e.output))
	switch {
	case e.err != nil && e.post:
		s.warn("EXEC_POSTRUN", fmt.Sprintf("job %s: exec_postrun: %s: %v", j.spec.Name, e.command, e.err), "what it printed is in "+e.output)
	case e.err != nil:
		for _, w := range j.workers {
			w.failure.err = fault.Wrap(e.err, fault.ExitEnvironment, "EXEC_PRERUN", "what it printed is in "+e.output, "exec_prerun: %s", e.command)
		}
	}
}

// beforehand runs the commands of the jobs that begin with the stage.
func (s *stageRun) beforehand(ctx context.Context) {
	running := make(chan commandEnd, len(s.jobs))
	n := 0
	for _, j := range s.jobs {
		if j.spec.ExecPrerun != "" && !s.waits(j) {
			s.say("running exec_prerun of " + j.spec.Name)
			n++
			go func() { running <- s.command(ctx, j, false) }()
		}
	}
	for range n {
		s.commandEnded(<-running)
	}
}

// launch runs a job's command while others measure; its end comes as an event.
func (s *stageRun) launch(ctx context.Context, j *jobRun, post bool) {
	s.launched++
	go func() { s.commands <- s.command(ctx, j, post) }()
}

// landed handles the end of a command that was launched: jobs may begin now.
func (s *stageRun) landed(ctx context.Context, e commandEnd) {
	s.launched--
	s.commandEnded(e)
	if e.post {
		e.job.running--
	}
	s.beginWaiting(ctx)
}
