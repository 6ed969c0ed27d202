// Package workload is the traffic of a run: clients that send events, alone and in batches,
// new and repeated, valid and invalid, and retry elsewhere what got no clear answer; and
// readers that ask how many there are. It records every request and response, and never
// stops because something failed.
package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"highload.example/analytics/impl/contract"
	"highload.example/analytics/test/torture/history"
)

// Config says what traffic there is.
type Config struct {
	// Targets are base URLs: first the one that most requests go to, the balancer if there
	// is one, then the replicas.
	Targets  []string
	Recorder *history.Recorder
	Seed     uint64
	Senders  int
	Readers  int
	// Rate is how many requests all of them make in a second together; 0: each makes one
	// after the other.
	Rate float64
	// Timeout is how long a client waits for an answer; 0: 10 seconds.
	Timeout time.Duration
	// Base is what the timestamps of events are before; zero: now. Most are in the
	// hour before it, ten minutes earlier, so that a server whose clock is late takes them.
	Base time.Time
}

// defaultTimeout is longer than the server's own deadline: a client that hangs up
// earlier learns less.
const defaultTimeout = 10 * time.Second

// spare is how much earlier than Base the latest event is.
const spare = 10 * time.Minute

// Clients are the senders and the readers.
type Clients struct {
	config  Config
	base    int64
	http    *http.Client
	senders []*sender
	readers []*reader
}

// New returns clients, which do nothing yet.
func New(c Config) (*Clients, error) {
	switch {
	case len(c.Targets) == 0:
		return nil, errors.New("there is nobody to send to: name a target")
	case c.Senders < 1 || c.Readers < 0 || c.Rate < 0:
		return nil, fmt.Errorf("%d senders, %d readers and %g requests a second are no traffic", c.Senders, c.Readers, c.Rate)
	}
	if _, err := contract.Document(); err != nil {
		return nil, err
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Base.IsZero() {
		c.Base = time.Now()
	}
	for i, target := range c.Targets {
		c.Targets[i] = strings.TrimSuffix(target, "/")
	}
	w := &Clients{
		config: c, base: c.Base.Add(-spare).Truncate(time.Minute).Unix(),
		http: &http.Client{
			Transport:     &http.Transport{Proxy: nil, MaxIdleConnsPerHost: c.Senders + c.Readers, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for i := range c.Senders + c.Readers {
		b := client{clients: w, number: i, rng: rand.New(rand.NewPCG(c.Seed, uint64(i)))} //nolint:gosec // the same for the same seed is what it is for
		if i < c.Senders {
			w.senders = append(w.senders, &sender{client: b, source: source{rng: b.rng, base: w.base}})
		} else {
			w.readers = append(w.readers, &reader{client: b})
		}
	}
	return w, nil
}

// Run makes traffic until ctx is done. What is on its way then is waited for.
func (w *Clients) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range w.senders {
		wg.Go(func() { s.paced(ctx, s.act) })
	}
	for _, r := range w.readers {
		wg.Go(func() { r.paced(ctx, r.act) })
	}
	wg.Wait()
}

// Settle has the senders send again what got no clear answer, until it gets one or ctx
// is done. It is called when everything is healed; the moment before is
// check.Input.Settling.
func (w *Clients) Settle(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range w.senders {
		wg.Go(func() { s.settle(ctx) })
	}
	wg.Wait()
}

// Close closes the connections that are kept. No client may be at work.
func (w *Clients) Close() { w.http.CloseIdleConnections() }

// client is what senders and readers have in common. It is used by one goroutine.
type client struct {
	clients *Clients
	number  int
	rng     *rand.Rand
	failed  int // answers in a row that were none
}

// paced calls act at the configured rate. When the servers fail it takes its time,
// so that the record isn't filled with refused connections.
func (c *client) paced(ctx context.Context, act func()) {
	config := &c.clients.config
	var pace <-chan time.Time
	if config.Rate > 0 {
		ticker := time.NewTicker(time.Duration(float64(config.Senders+config.Readers) / config.Rate * float64(time.Second)))
		defer ticker.Stop()
		pace = ticker.C
	}
	for ctx.Err() == nil {
		act()
		c.rest(ctx)
		if pace != nil {
			select {
			case <-pace:
			case <-ctx.Done():
			}
		}
	}
}

// rest waits after failures, the longer the more there were.
func (c *client) rest(ctx context.Context) {
	const first, last = 10 * time.Millisecond, 200 * time.Millisecond
	if c.failed == 0 {
		return
	}
	timer := time.NewTimer(min(first<<min(c.failed-1, 10), last))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// target chooses where to send: mostly to the first, and never to the one that is
// to be avoided if there are others.
func (c *client) target(avoid string) string {
	targets := c.clients.config.Targets
	for {
		target := targets[0]
		if len(targets) > 1 && c.rng.IntN(3) == 0 {
			target = targets[1+c.rng.IntN(len(targets)-1)]
		}
		if target != avoid || len(targets) == 1 {
			return target
		}
	}
}

// record writes an operation and notes whether it was answered.
func (c *client) record(o history.Operation) history.Operation {
	c.clients.config.Recorder.Record(o)
	answered := false
	for _, outcome := range o.Outcomes {
		answered = answered || !isOpen(outcome)
	}
	if answered {
		c.failed = 0
	} else {
		c.failed++
	}
	return o
}
