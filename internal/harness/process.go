package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a program that the harness started. It is ended by its own pid, and ends
// with the process that started it (on Linux; elsewhere only Stop and Kill end it).
type Process struct {
	name  string
	cmd   *exec.Cmd
	out   *output
	ended chan struct{}

	mu       sync.Mutex
	expected bool
}

// ProcessConfig says what to start.
type ProcessConfig struct {
	Name    string // in errors
	Program string
	Args    []string
	// Env is NAME=value. Nothing else of our environment reaches the program but PATH and
	// TMPDIR, so that a setting of the person at the keyboard doesn't.
	Env []string
	Dir string // the working directory; empty: ours
	// LogFile gets what the program prints, appended. Without one it is kept in memory.
	LogFile string
}

// StartProcess starts a program.
func StartProcess(c ProcessConfig) (*Process, error) {
	out, err := newOutput(c.LogFile)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", c.Name, err)
	}
	p := &Process{name: c.Name, out: out, ended: make(chan struct{})}
	// Not bound to a context: how and when it ends is the caller's business.
	p.cmd = exec.CommandContext(context.Background(), c.Program, c.Args...) //nolint:gosec // a program that our own code names
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = c.Dir, out.stdout(), out.stderr()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}, c.Env...)
	p.cmd.SysProcAttr = processAttributes()
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", c.Name, err), out.close())
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		_ = out.close()  // the process had a descriptor of its own
		close(p.ended)
	}()
	return p, nil
}

// Name returns the name that the process has in errors.
func (p *Process) Name() string { return p.name }

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended and its output is complete.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Running reports whether the process hasn't ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// ExitCode returns the exit code of a process that has ended; -1 when a signal ended it.
func (p *Process) ExitCode() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

// ExpectEnd says that the process is about to end, and should.
func (p *Process) ExpectEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = true
}

// Died returns an error with the end of the log when the process has ended although
// nobody expected it to.
func (p *Process) Died() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.expected || p.Running() {
		return nil
	}
	return fmt.Errorf("%s ended by itself (%s); end of its log:\n%s", p.name, p.cmd.ProcessState, p.LogTail())
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("sending %s to %s: %w", s, p.name, err)
	}
	return nil
}

// AwaitEnd waits until the process has ended and returns its exit code; -1 when a signal
// ended it.
func (p *Process) AwaitEnd(ctx context.Context, timeout time.Duration) (int, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.ExitCode(), nil
	case <-timer.C:
		return 0, fmt.Errorf("%s didn't end within %s; end of its log:\n%s", p.name, timeout, p.LogTail())
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Kill ends the process at once, whatever state it is in, and waits until it is gone.
func (p *Process) Kill() error {
	p.ExpectEnd()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.ended
	return nil
}

// Stop ends the process in order: it sends the signal (and SIGCONT, should the process
// be paused), waits, and expects exit code 0. A process that doesn't end in time is killed,
// which is an error. Stopping twice is harmless.
func (p *Process) Stop(ctx context.Context, signal syscall.Signal, timeout time.Duration) error {
	if !p.Running() {
		return p.Died()
	}
	p.ExpectEnd()
	_ = p.Signal(syscall.SIGCONT) // it may have ended meanwhile
	if err := p.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	code, err := p.AwaitEnd(ctx, timeout)
	if err != nil {
		return errors.Join(err, p.Kill())
	}
	if code != 0 {
		return fmt.Errorf("%s exited with %d after %s; end of its log:\n%s", p.name, code, signal, p.LogTail())
	}
	return nil
}

// Stdout returns what the process has printed so far; with a log file, nothing.
func (p *Process) Stdout() string { return p.out.stdoutText() }

// Stderr returns what the process has logged so far; with a log file, all that it printed
// and logged, without what was in the file before.
func (p *Process) Stderr() string { return p.out.stderrText() }

// logTail is how many bytes of a log errors show.
const logTail = 3000

// LogTail returns the end of what the process printed and logged.
func (p *Process) LogTail() string {
	text := p.Stdout() + p.Stderr()
	return text[max(0, len(text)-logTail):]
}

// output takes what a process prints: in a file, or in memory.
type output struct {
	file  *os.File
	path  string
	begin int64 // where the process's part of the file begins

	out, err lockedBuffer
}

func newOutput(path string) (*output, error) {
	if path == "" {
		return &output{}, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &output{file: file, path: path, begin: info.Size()}, nil
}

func (o *output) stdout() io.Writer {
	if o.file != nil {
		return o.file
	}
	return &o.out
}

func (o *output) stderr() io.Writer {
	if o.file != nil {
		return o.file
	}
	return &o.err
}

func (o *output) stdoutText() string { return o.out.String() }

func (o *output) stderrText() string {
	if o.path == "" {
		return o.err.String()
	}
	text, err := os.ReadFile(o.path)
	if err != nil {
		return err.Error()
	}
	return string(text[min(o.begin, int64(len(text))):])
}

func (o *output) close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}

// lockedBuffer is a buffer that is read while it is written.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}
