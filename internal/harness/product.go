package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is a build of the product: a file, and what its environment needs to be the
// product (a test binary that is the product when told so).
type Program struct {
	Path string
	Env  []string // NAME=value
}

// ProductConfig says how to start the product.
type ProductConfig struct {
	Program Program
	Name    string // in errors; empty: analytics
	// Address is host:port. Empty: 127.0.0.1 and a port that the system chooses at the first
	// start; restarts keep it.
	Address string
	Env     []string // settings, NAME=value
	LogFile string   // see ProcessConfig
	Dir     string   // the working directory
	// Pprof has the product serve profiles and failpoints on an address of their own.
	Pprof bool
}

// Product is the product at one address: one process at a time. What its methods don't ask
// for is reported by Died.
type Product struct {
	Name  string
	URL   string // http://host:port; empty until the first start without an address
	Pprof string // where profiles and failpoints are; empty without

	config ProductConfig

	mu       sync.Mutex
	process  *Process
	launched []*Process // whose end Died hasn't reported
}

// UnlimitedRate is a RATE_LIMIT that nobody reaches; 0 would take the limiter, and what it
// asks of Redis, away.
const UnlimitedRate = "1000000000"

// The times that the product may take. They bound a run that hangs; they assert nothing
// about speed, for the machine may be small and busy.
const (
	StartTimeout = 90 * time.Second
	StopTimeout  = 60 * time.Second
)

// NewProduct prepares the product. Start or Launch starts it; the caller calls Close.
func NewProduct(c ProductConfig) (*Product, error) {
	p := &Product{Name: c.Name, config: c}
	if p.Name == "" {
		p.Name = "analytics"
	}
	host := "127.0.0.1"
	if c.Address != "" {
		var err error
		if host, _, err = net.SplitHostPort(c.Address); err != nil {
			return nil, fmt.Errorf("the address of %s: %w", p.Name, err)
		}
		p.URL = "http://" + c.Address
	}
	if c.Pprof {
		pprof, err := FreeAddress(host)
		if err != nil {
			return nil, err
		}
		p.Pprof = "http://" + pprof
	}
	return p, nil
}

// StartProduct starts the product and waits until it is ready. The caller calls Close, also
// after an error, unless there is no product.
func StartProduct(ctx context.Context, c ProductConfig) (*Product, error) {
	p, err := NewProduct(c)
	if err != nil {
		return nil, err
	}
	return p, p.Start(ctx)
}

// Start starts the process, with more settings for this time, and waits until it is ready.
func (p *Product) Start(ctx context.Context, more ...string) error {
	if err := p.Launch(ctx, more...); err != nil {
		return err
	}
	return p.AwaitReady(ctx)
}

// Launch starts the process, with more settings for this time, and waits only until it has
// printed its address: then it is the one that listens there, and not another program.
func (p *Product) Launch(ctx context.Context, more ...string) error {
	if err := p.launch(more...); err != nil {
		return err
	}
	process := p.Process()
	return Poll(ctx, StartTimeout, func(context.Context) error {
		// Asked for first: a process that has ended has printed everything.
		running := process.Running()
		_, after, found := strings.Cut(process.Stdout()+process.Stderr(), "API ")
		url, _, complete := strings.Cut(after, "\n")
		switch {
		case found && complete:
			if p.URL == "" {
				p.URL = strings.TrimSpace(url)
				p.config.Address = strings.TrimPrefix(p.URL, "http://")
			}
			return nil
		case !running:
			return Permanent(fmt.Errorf("%s ended at once (exit code %d); end of its log:\n%s", p.Name, process.ExitCode(), process.LogTail()))
		default:
			return fmt.Errorf("%s didn't print its address; end of its log:\n%s", p.Name, process.LogTail())
		}
	})
}

func (p *Product) launch(more ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil && p.process.Running() {
		return fmt.Errorf("%s is running already", p.Name)
	}
	address := p.config.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	env := append([]string{"ADDR=" + address}, p.config.Program.Env...)
	if p.Pprof != "" {
		env = append(env, "PPROF_ADDR="+strings.TrimPrefix(p.Pprof, "http://"))
	}
	env = append(append(env, p.config.Env...), more...)
	process, err := StartProcess(ProcessConfig{
		Name: p.Name, Program: p.config.Program.Path, Env: env, Dir: p.config.Dir, LogFile: p.config.LogFile,
	})
	if err != nil {
		return err
	}
	p.process = process
	p.launched = append(p.launched, process)
	return nil
}

// AwaitReady waits until GET /readyz answers 200.
func (p *Product) AwaitReady(ctx context.Context) error {
	return Poll(ctx, StartTimeout, func(ctx context.Context) error {
		if process := p.Process(); !process.Running() {
			return Permanent(fmt.Errorf("%s isn't running; end of its log:\n%s", p.Name, process.LogTail()))
		}
		status, body, err := Request(ctx, http.MethodGet, p.URL+"/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s isn't ready: %d %s", p.Name, status, body)
		}
		return err
	})
}

// Process returns the process that was started last; nil before the first start.
func (p *Product) Process() *Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

// PID returns the process's id.
func (p *Product) PID() int { return p.Process().PID() }

// Running reports whether there is a process.
func (p *Product) Running() bool {
	process := p.Process()
	return process != nil && process.Running()
}

// Died returns how processes ended that nothing here ended, and forgets them.
func (p *Product) Died() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	p.launched = slices.DeleteFunc(p.launched, func(process *Process) bool {
		if process.Running() {
			return false
		}
		errs = append(errs, process.Died())
		return true
	})
	return errors.Join(errs...)
}

// Kill ends the process as the kernel does when memory is out.
func (p *Product) Kill() error { return p.Process().Kill() }

// Pause stops the process, and Resume lets it go on.
func (p *Product) Pause() error { return p.Process().Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Product) Resume() error { return p.Process().Signal(syscall.SIGCONT) }

// Terminate ends the process with SIGTERM, as orchestrators do: it takes the product's
// SHUTDOWN_DELAY, and the exit code must be 0.
func (p *Product) Terminate(ctx context.Context) error {
	return p.Process().Stop(ctx, syscall.SIGTERM, StopTimeout)
}

// Close ends the process if it runs, with SIGINT, for which the product doesn't wait for
// load balancers. Its error says what went wrong with that, or died before.
func (p *Product) Close(ctx context.Context) error {
	if !p.Running() {
		return p.Died()
	}
	err := p.Process().Stop(context.WithoutCancel(ctx), syscall.SIGINT, StopTimeout)
	return errors.Join(err, p.Died())
}

// Stats reads what the process holds.
func (p *Product) Stats(ctx context.Context) (ProcessStats, error) { return p.Target().Stats(ctx) }

// Target returns what ReadStats and Metrics ask.
func (p *Product) Target() Target { return Target{Name: p.Name, URL: p.URL, PID: p.PID()} }

// requester makes the few requests that are no client's. A connection that is kept would
// count as the product's.
var requester = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}

// Request makes a request without a body and returns the response's status and body.
func Request(ctx context.Context, method, url string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("requesting %s: %w", url, err)
	}
	response, err := requester.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("requesting: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the response of %s: %w", url, err)
	}
	return response.StatusCode, body, nil
}
