package fleet

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"highload.example/analytics/impl/failpoint"
	"highload.example/analytics/internal/harness"
)

// Replica is the product at one address of a fleet.
type Replica struct {
	*harness.Product

	// Front is the network between the load balancer and the replica, the others are between
	// it and each server that it uses; all are nil without Config.Stores.
	Front    *harness.Proxy
	Postgres []*harness.Proxy
	Redis    *harness.Proxy
}

// defaultSettings go before those that are asked for.
var defaultSettings = []string{"RATE_LIMIT=" + harness.UnlimitedRate, "LOG_FORMAT=json"}

func newReplica(c harness.ProductConfig) (*Replica, error) {
	p, err := harness.NewProduct(c)
	if err != nil {
		return nil, err
	}
	return &Replica{Product: p}, nil
}

// Host returns the address that DNS names, without a port: the network's before the
// replica, if there is one.
func (r *Replica) Host() string {
	address := strings.TrimPrefix(r.URL, "http://")
	if r.Front != nil {
		address = r.Front.Address()
	}
	host, _, _ := net.SplitHostPort(address) // we made it
	return host
}

// failpointTimeout is how long traffic may take to pass a failpoint.
const failpointTimeout = 60 * time.Second

// goPanic is the exit code of a Go program that panicked.
const goPanic = 2

// FailAt arms a failpoint and waits until it has done what it was armed with: in a
// handler a panic is caught, everywhere else it ends the process, as an exit does.
func (r *Replica) FailAt(ctx context.Context, place, action string) error {
	p := r.Process()
	inHandler := place == failpoint.BeforeSubmit || place == failpoint.AfterSubmit
	ends := !inHandler || action == failpoint.Exit
	before, err := r.failpoints(ctx)
	if err != nil {
		return err
	}
	if ends {
		p.ExpectEnd()
	}
	status, body, err := harness.Request(ctx, http.MethodPut, r.Pprof+"/failpoint/"+place+"?action="+action)
	switch {
	case err != nil && ends: // it may have been too fast to answer; its exit code will tell
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("arming %s of %s: %d %s", place, r.Name, status, body)
	}
	if !ends {
		return harness.Poll(ctx, failpointTimeout, func(ctx context.Context) error {
			now, err := r.failpoints(ctx)
			if err == nil && now == before {
				err = fmt.Errorf("nothing passed %s of %s", place, r.Name)
			}
			return err
		})
	}
	code, err := p.AwaitEnd(ctx, failpointTimeout)
	want := goPanic
	if action == failpoint.Exit {
		want = failpoint.ExitCode
	}
	if err == nil && code != want {
		err = fmt.Errorf("%s exited with %d at %s, not %d; end of its log:\n%s", r.Name, code, place, want, p.LogTail())
	}
	return err
}

// failpoints returns which failpoints were passed, as the product says it.
func (r *Replica) failpoints(ctx context.Context) (string, error) {
	status, body, err := harness.Request(ctx, http.MethodGet, r.Pprof+"/failpoint/")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("reading the failpoints of %s: %d %s", r.Name, status, body)
	}
	return string(body), err
}

// Goroutines returns the stacks of the process's goroutines, equal ones together.
func (r *Replica) Goroutines(ctx context.Context) (string, error) {
	_, body, err := harness.Request(ctx, http.MethodGet, r.Pprof+"/debug/pprof/goroutine?debug=1")
	return string(body), err
}
