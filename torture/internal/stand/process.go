package stand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a program that we started. It is ended by its own pid, and ends with us.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string
	ended chan struct{}

	mu       sync.Mutex
	expected bool // that it ends
}

// startProcess starts a program with an environment of its own, so that no setting of
// the person at the keyboard reaches it. Its output is appended to a file.
func startProcess(name, log string, env []string, program string, args ...string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer func() { _ = output.Close() }() // the process has its own
	p := &process{name: name, log: log, ended: make(chan struct{})}
	// Not bound to a context: how it ends is the matter here.
	p.cmd = exec.CommandContext(context.Background(), program, args...) //nolint:gosec // a program of ours
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}, env...)
	// Its own group keeps Ctrl-C at the terminal from it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// expect says that the process is about to end, and rightly.
func (p *process) expect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = true
}

func (p *process) isExpected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.expected
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("sending %s to %s: %w", s, p.name, err)
	}
	return nil
}

// awaitEnd waits for the process's end and returns its exit code; -1: a signal's.
func (p *process) awaitEnd(ctx context.Context, timeout time.Duration) (int, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-timer.C:
		return 0, fmt.Errorf("%s doesn't end within %s\n%s", p.name, timeout, p.lastWords())
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// kill ends the process at once, whatever state it is in.
func (p *process) kill() error {
	p.expect()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.ended
	return nil
}

// logTail is how much of a log is shown.
const logTail = 3000

func (p *process) lastWords() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(text[max(0, len(text)-logTail):])
}

// poll asks every 20 ms until there is no error, and returns the last one when there
// is no more time.
func poll(ctx context.Context, timeout time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", timeout, err)
		case <-ticker.C:
		}
	}
}

// freeAddress returns a host's address with a port that was free a moment ago.
func freeAddress(host string) (string, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// freePort returns a port that was free on all hosts a moment ago.
func freePort(hosts ...string) (string, error) {
	var last error
	for range 50 {
		address, err := freeAddress(hosts[0])
		if err != nil {
			return "", err
		}
		_, port, _ := net.SplitHostPort(address)
		last = nil
		for _, host := range hosts[1:] {
			listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, port))
			if err != nil {
				last = err
				break
			}
			_ = listener.Close() // it took nothing
		}
		if last == nil {
			return port, nil
		}
	}
	return "", fmt.Errorf("no port is free on all of %v: %w", hosts, last)
}
