// Package process runs the servers that are measured, and reads what the system says of them.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Process is a server that this program started. It is ended by its own pid.
type Process struct {
	name  string
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
	err   error // valid once ended is closed
}

// Start starts a program with an environment of its own, so that no setting
// of the person at the keyboard reaches it. Its output goes to a file in dir.
func Start(name, dir string, env []string, program string, args ...string) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(dir, "server.log"), ended: make(chan struct{})}
	output, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer func() { _ = output.Close() }() // the process has its own
	// Not bound to a context: it is to end in order, and that is stop's business.
	p.cmd = exec.CommandContext(context.Background(), program, args...) //nolint:gosec // the program that is to be measured
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, output, output
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}, env...)
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// PID returns its pid.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// HasEnded returns an error with the end of its log when it doesn't run any more.
func (p *Process) HasEnded() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended by itself (%v), and last said:\n%s", p.name, p.cmd.ProcessState, p.LastWords())
	default:
		return nil
	}
}

// logTail is how much of a log is shown.
const logTail = 2000

// LastWords returns the end of its log.
func (p *Process) LastWords() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(text[max(0, len(text)-logTail):])
}

// stopTimeout is longer than the product's own limits for its end.
const stopTimeout = 30 * time.Second

// Stop ends it in order, by force when it doesn't go. Stopping twice is harmless.
func (p *Process) Stop() error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	// SIGINT, not SIGTERM: then the product doesn't wait for load balancers.
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		_ = p.cmd.Process.Kill() // fails only when it has ended
		<-p.ended
		return fmt.Errorf("%s didn't end within %s of SIGINT and was killed\n%s", p.name, stopTimeout, p.LastWords())
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with %w\n%s", p.name, p.err, p.LastWords())
	}
	return nil
}
