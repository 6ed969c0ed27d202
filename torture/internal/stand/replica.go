package stand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"highload.example/analytics/impl/failpoint"
)

// Replica is one process of the product at a time, at one address. What happens to it
// is asked for by its methods; should it end otherwise, Died says so.
type Replica struct {
	Name  string
	URL   string // of the process itself
	Front *Proxy // between the balancer and it; nil without one
	// Links are between it and each server that it uses.
	Postgres []*Proxy
	Redis    *Proxy

	binary   string
	log      string
	pprof    string
	settings []string

	mu      sync.Mutex
	process *process
	died    []error
}

// The times that a replica may take. They are generous: the machine may be small and
// everything is being broken on it.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 60 * time.Second
)

// asker asks the few questions that are no client's.
var asker = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}

// ask makes a request and returns the answer's status and body.
func ask(ctx context.Context, method, url string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("asking %s: %w", url, err)
	}
	response, err := asker.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("asking: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("reading %s: %w", url, err)
	}
	return response.StatusCode, body, nil
}

// Start starts the process, with more settings if need be, and waits until it is ready.
func (r *Replica) Start(ctx context.Context, more ...string) error {
	if err := r.launch(more...); err != nil {
		return err
	}
	return r.AwaitReady(ctx)
}

func (r *Replica) launch(more ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil && r.process.running() {
		return fmt.Errorf("%s is running already", r.Name)
	}
	p, err := startProcess(r.Name, r.log, append(more, r.settings...), r.binary)
	if err != nil {
		return err
	}
	r.process = p
	go func() {
		<-p.ended
		if p.isExpected() {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.died = append(r.died, fmt.Errorf("%s ended by itself (%s), and last said:\n%s", r.Name, p.cmd.ProcessState, p.lastWords()))
	}()
	return nil
}

// AwaitReady waits until the replica says that it is ready.
func (r *Replica) AwaitReady(ctx context.Context) error {
	return poll(ctx, startTimeout, func(ctx context.Context) error {
		if !r.now().running() {
			return fmt.Errorf("%s isn't running; it last said:\n%s", r.Name, r.now().lastWords())
		}
		status, body, err := ask(ctx, http.MethodGet, r.URL+"/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s isn't ready: %d %s", r.Name, status, body)
		}
		return err
	})
}

func (r *Replica) now() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// PID returns the process's.
func (r *Replica) PID() int { return r.now().pid() }

// Running says whether there is a process.
func (r *Replica) Running() bool { return r.now().running() }

// Died returns how processes ended that nobody wanted to end, and forgets it.
func (r *Replica) Died() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := errors.Join(r.died...)
	r.died = nil
	return err
}

// Kill ends the process as the kernel does when memory is out.
func (r *Replica) Kill() error { return r.now().kill() }

// Freeze stops the process and Unfreeze lets it go on.
func (r *Replica) Freeze() error { return r.now().signal(syscall.SIGSTOP) }

// Unfreeze lets the process go on.
func (r *Replica) Unfreeze() error { return r.now().signal(syscall.SIGCONT) }

// Terminate ends the process in order. It has to exit with 0.
func (r *Replica) Terminate(ctx context.Context) error {
	p := r.now()
	p.expect()
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	code, err := p.awaitEnd(ctx, stopTimeout)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s exited with %d after SIGTERM, and last said:\n%s", r.Name, code, p.lastWords())
	}
	return err
}

// firingTimeout is how long traffic may take to come by a failpoint.
const firingTimeout = 15 * time.Second

// goPanic is the exit code of a Go program that panicked.
const goPanic = 2

// FailAt arms a failpoint and waits until it has done what it was armed with: in a
// handler a panic is caught, everywhere else it ends the process, as an exit does.
func (r *Replica) FailAt(ctx context.Context, place, action string) error {
	p := r.now()
	inHandler := place == failpoint.BeforeSubmit || place == failpoint.AfterSubmit
	ends := !inHandler || action == failpoint.Exit
	before, err := r.fired(ctx)
	if err != nil {
		return err
	}
	if ends {
		p.expect()
	}
	status, body, err := ask(ctx, http.MethodPut, r.pprof+"/failpoint/"+place+"?action="+action)
	switch {
	case err != nil && ends: // it may have been too fast to answer; its exit code will tell
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("arming %s of %s: %d %s", place, r.Name, status, body)
	}
	if !ends {
		return poll(ctx, firingTimeout, func(ctx context.Context) error {
			now, err := r.fired(ctx)
			if err == nil && now == before {
				err = fmt.Errorf("nothing came by %s of %s", place, r.Name)
			}
			return err
		})
	}
	code, err := p.awaitEnd(ctx, firingTimeout)
	want := goPanic
	if action == failpoint.Exit {
		want = failpoint.ExitCode
	}
	if err == nil && code != want {
		err = fmt.Errorf("%s exited with %d at %s, not %d, and last said:\n%s", r.Name, code, place, want, p.lastWords())
	}
	return err
}

func (r *Replica) fired(ctx context.Context) (string, error) {
	status, body, err := ask(ctx, http.MethodGet, r.pprof+"/failpoint/")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("asking %s for its failpoints: %d %s", r.Name, status, body)
	}
	return string(body), err
}

// Goroutines returns the stacks of the process's goroutines, those alike together.
func (r *Replica) Goroutines(ctx context.Context) (string, error) {
	_, body, err := ask(ctx, http.MethodGet, r.pprof+"/debug/pprof/goroutine?debug=1")
	return string(body), err
}

// newReplica prepares a replica whose settings are given.
func newReplica(name, dir, binary, address string, settings ...string) (*Replica, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the address of %s: %w", name, err)
	}
	pprof, err := freeAddress(host)
	if err != nil {
		return nil, err
	}
	return &Replica{
		Name: name, URL: "http://" + address, binary: binary, log: filepath.Join(dir, name+".log"), pprof: "http://" + pprof,
		settings: append([]string{"ADDR=" + address, "PPROF_ADDR=" + pprof, "RATE_LIMIT=" + unlimited, "LOG_FORMAT=json"}, settings...),
	}, nil
}

// unlimited is a rate limit that nobody reaches; 0 would take the limiter, and what it
// asks of Redis, away.
const unlimited = "1000000000"

// close ends the process if it runs, in order, and says what of that went wrong.
func (r *Replica) close(ctx context.Context) error {
	p := r.now()
	if p == nil || !p.running() {
		return r.Died()
	}
	p.expect()
	_ = p.signal(syscall.SIGCONT) // it may have ended meanwhile
	// Unlike SIGTERM it doesn't have it wait for balancers.
	if err := p.signal(syscall.SIGINT); err != nil && p.running() {
		return err
	}
	if _, err := p.awaitEnd(context.WithoutCancel(ctx), stopTimeout); err != nil {
		return errors.Join(err, p.kill())
	}
	return r.Died()
}
