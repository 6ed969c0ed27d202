// Package overload sends more than a server takes: from half of what saturates it to
// ten times that, with a database that is fast, slow, and stopped. What is accepted
// must stay near its peak, the rest be refused at once, memory be bounded, and service
// be back soon after the overload.
package overload

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/generator"
)

// Database is the server's, and can be made slow or stopped.
type Database interface {
	// Slow delays every answer; 0 ends that.
	Slow(delay time.Duration) error
	// Stop has it answer nothing and keep its connections. When it returns, the database has
	// stopped.
	Stop() error
	Resume() error
}

// Config says what is overloaded, and how. Zero values get the defaults named.
type Config struct {
	Server   harness.Target // with RATE_LIMIT=0
	Database Database
	Source   *generator.Source
	Ledger   *generator.Ledger

	Factors     []float64     // times saturation; 0.5, 1, 2, 5, 10
	Connections int           // of the generator; 2,000. More than the server works on at once
	Probe       int           // connections that find saturation, sending as fast as they get answers; 256. As many as it works on
	Waiting     int           // connections that send while the database is stopped, a second time; 1,024
	Stretch     time.Duration // of each turn; 10 s
	WarmUp      time.Duration // before each, until queues are as long as they get; 5 s
	Grace       time.Duration // for the answers after each; 20 s

	// FastDelay and SlowDelay are how late a database's answers come; 50 and 200 ms.
	// Even a fast one is delayed: otherwise the processors would be saturated, and as server,
	// database and generator share them, refusals would cost accepted events. With a delay,
	// and few requests worked on at once, one machine can send ten times saturation.
	FastDelay, SlowDelay time.Duration

	// RequestTimeout is the server's REQUEST_TIMEOUT; 5 s. It may wait so long for a stopped
	// database; then it refuses at once.
	RequestTimeout time.Duration

	Bounds Bounds
	Report func(Turn) // is called after each turn; may be nil
}

// MaxInFlight is the MAX_IN_FLIGHT_REQUESTS that the server should have.
const MaxInFlight = 256

// Bounds are what the server must keep.
type Bounds struct {
	Share    float64       // of the peak that is accepted at Loaded times saturation; 0.9
	Loaded   float64       // 5
	Refusal  time.Duration // 99 of 100 refusals come sooner; 50 ms
	Memory   int64         // the most RSS since the server's start, in bytes; 256 MiB
	Recovery time.Duration // from the end of the overload, or the database's return, to the first 202; 5 s
	// Offered is how much of a rate must have been sent for a turn to mean what it says; 0.8.
	Offered float64
}

func (c Config) withDefaults() Config {
	if len(c.Factors) == 0 {
		c.Factors = []float64{0.5, 1, 2, 5, 10}
	}
	def(&c.Connections, 2000)
	def(&c.Probe, MaxInFlight)
	def(&c.Waiting, 1024)
	def(&c.Stretch, 10*time.Second)
	def(&c.WarmUp, 5*time.Second)
	def(&c.Grace, 20*time.Second)
	def(&c.FastDelay, 50*time.Millisecond)
	def(&c.SlowDelay, 200*time.Millisecond)
	def(&c.RequestTimeout, 5*time.Second)
	b := &c.Bounds
	def(&b.Share, 0.9)
	def(&b.Loaded, 5)
	def(&b.Refusal, 50*time.Millisecond)
	def(&b.Memory, 256<<20)
	def(&b.Recovery, 5*time.Second)
	def(&b.Offered, 0.8)
	return c
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// The states of the database.
const (
	Fast    = "fast"
	Slow    = "slow"
	Stopped = "stopped"
)

// Turn is one rate with one state of the database.
type Turn struct {
	Database string  `json:"database"`
	Factor   float64 `json:"factor"` // times saturation; 0: the turn that finds it
	// Connections is how many there were of a turn that sends as fast as it gets answers.
	Connections int `json:"connections,omitempty"`

	Offered  float64          `json:"offered_per_second"`  // what was to be sent
	Sent     float64          `json:"answered_per_second"` // what the machine and the server made of it
	Accepted float64          `json:"accepted_per_second"`
	Statuses map[string]int64 `json:"statuses"`

	RefusalP50 float64 `json:"refusal_p50_ms"` // from when a request was sent
	RefusalP99 float64 `json:"refusal_p99_ms"`
	RSSPeak    int64   `json:"rss_peak"` // since the server's start
	Goroutines int64   `json:"goroutines_peak"`

	Recovery   *float64 `json:"recovery_seconds,omitempty"` // to the first 202
	Violations []string `json:"violations,omitempty"`
}

// String says it in a line.
func (t Turn) String() string {
	verdict := "held"
	if len(t.Violations) > 0 {
		verdict = "VIOLATED: " + strings.Join(t.Violations, "; ")
	}
	recovery := ""
	if t.Recovery != nil {
		recovery = fmt.Sprintf(", first 202 after %.2f s", *t.Recovery)
	}
	connections := ""
	if t.Connections > 0 {
		connections = fmt.Sprintf(" from %d connections", t.Connections)
	}
	return fmt.Sprintf("database %s, %g times saturation%s: %.0f/s offered, %.0f answered, %.0f accepted %v; refusals p50 %.1f, p99 %.1f ms; at most %d MiB, %d goroutines%s: %s",
		t.Database, t.Factor, connections, t.Offered, t.Sent, t.Accepted, t.Statuses, t.RefusalP50, t.RefusalP99, t.RSSPeak>>20, t.Goroutines, recovery, verdict)
}

// Run goes through the states of the database and returns the turns. Violations are
// in them; an error means that it couldn't be seen. What was accepted is in the
// ledger, to be compared with the rows.
func Run(ctx context.Context, c Config) (turns []Turn, err error) {
	c = c.withDefaults()
	server, err := url.Parse(c.Server.URL)
	if err != nil {
		return nil, fmt.Errorf("the server's URL: %w", err)
	}
	r := &runner{config: c, address: server.Host}
	// Whatever happens, the database is left as it was.
	defer func() { err = errors.Join(err, c.Database.Resume(), c.Database.Slow(0)) }()

	var fast float64
	for _, state := range []string{Fast, Slow} {
		saturation, err := r.state(ctx, state)
		if err != nil {
			return r.turns, fmt.Errorf("with the database %s: %w", state, err)
		}
		if state == Fast {
			fast = saturation
		}
	}
	if err := c.Database.Slow(c.FastDelay); err != nil {
		return r.turns, err
	}
	for _, connections := range []int{r.config.Probe, r.config.Waiting} {
		if err := r.stopped(ctx, connections, fast); err != nil {
			return r.turns, fmt.Errorf("with the database stopped: %w", err)
		}
	}
	return r.turns, nil
}

type runner struct {
	config  Config
	address string
	turns   []Turn
}

// state finds saturation in a state of the database, goes through the rates, and
// measures how soon it recovers. It returns what saturates the server.
func (r *runner) state(ctx context.Context, state string) (saturation float64, err error) {
	delay := r.config.FastDelay
	if state == Slow {
		delay = r.config.SlowDelay
	}
	if err := r.config.Database.Slow(delay); err != nil {
		return 0, err
	}
	found, err := r.load(ctx, state, 0, r.generator(r.config.Probe, 0))
	if err != nil {
		return 0, err
	}
	r.done(found)
	saturation = found.Accepted
	if saturation == 0 {
		return 0, errors.New("nothing is accepted at all")
	}

	first := len(r.turns)
	for _, factor := range r.config.Factors {
		t, err := r.load(ctx, state, factor, r.generator(r.config.Connections, factor*saturation))
		if err != nil {
			return 0, err
		}
		if factor >= r.config.Bounds.Loaded {
			// The peak of the rates: the clients that found saturation keep step with the server,
			// and all send when it is about to take a batch, which independent clients don't.
			peak := t.Accepted
			for _, other := range r.turns[first:] {
				peak = max(peak, other.Accepted)
			}
			if least := r.config.Bounds.Share * peak; t.Accepted < least {
				t.Violations = append(t.Violations, fmt.Sprintf("%.0f/s were accepted, and at least %.0f must be: %g of the peak", t.Accepted, least, r.config.Bounds.Share))
			}
		}
		// The overload has ended: a new load finds a server that serves.
		if factor == r.config.Factors[len(r.config.Factors)-1] {
			if err := r.recovered(ctx, &t, saturation); err != nil {
				return 0, err
			}
		}
		r.done(t)
	}
	return saturation, nil
}

func (r *runner) done(t Turn) {
	r.turns = append(r.turns, t)
	if r.config.Report != nil {
		r.config.Report(t)
	}
}

// generator returns a load: at a rate, or as fast as it gets answers.
func (r *runner) generator(connections int, rate float64) *generator.Load {
	return &generator.Load{
		Address: r.address, Source: r.config.Source, Ledger: r.config.Ledger, Connections: connections, Rate: rate,
		WarmUp: r.config.WarmUp, Duration: r.config.Stretch, Grace: r.config.Grace,
	}
}

// load sends and watches, and judges what every turn must hold.
func (r *runner) load(ctx context.Context, state string, factor float64, l *generator.Load) (Turn, error) {
	t := Turn{Database: state, Factor: factor, Offered: l.Rate}
	watch := harness.WatchPeak(ctx, r.config.Server)
	result, err := l.Prepare().Do(ctx)
	most := watch.Stop()
	if err != nil {
		return t, err
	}
	r.take(&t, result, most)
	return t, nil
}

func (r *runner) take(t *Turn, result generator.Result, most harness.ProcessStats) {
	t.Sent, t.Accepted, t.Statuses = float64(result.Requests)/result.Elapsed.Seconds(), result.StoredPerSecond(), result.Statuses
	t.RefusalP50, t.RefusalP99 = quantile(result.Refusals, 50), quantile(result.Refusals, 99)
	t.RSSPeak, t.Goroutines = most.PeakRSS, most.Goroutines

	wrong := func(format string, args ...any) { t.Violations = append(t.Violations, fmt.Sprintf(format, args...)) }
	for status, n := range t.Statuses {
		switch status {
		case "202", "429", "503", generator.StatusLate: // late: the generator had no connection for it
		default:
			wrong("%d requests ended with %s", n, status)
		}
	}
	if t.Offered > 0 && t.Sent < r.config.Bounds.Offered*t.Offered {
		wrong("only %.0f of %.0f requests/s could be made: this machine is too small, or too busy, and the turn says little", t.Sent, t.Offered)
	}
	// Of more connections than the server works on at once, each waits until all others were
	// served: how long that takes is up to the machine.
	if most := r.config.Bounds.Refusal.Seconds() * 1000; t.Connections <= r.config.Probe && t.RefusalP99 >= most {
		wrong("refusals took %.1f ms at the 99th percentile, and may take %.0f", t.RefusalP99, most)
	}
	if t.RSSPeak > r.config.Bounds.Memory {
		wrong("memory came to %d MiB, and may to %d", t.RSSPeak>>20, r.config.Bounds.Memory>>20)
	}
}

func quantile(h *hdrhistogram.Histogram, percentile float64) float64 {
	if h.TotalCount() == 0 {
		return 0
	}
	return float64(h.ValueAtQuantile(percentile)) / 1000
}

// recovered measures how long after an overload a modest load gets its first 202, and
// wants all of it served.
func (r *runner) recovered(ctx context.Context, t *Turn, saturation float64) error {
	l := r.generator(goodConnections, saturation/10)
	l.Duration = r.config.Stretch / 2
	l.Prepare()
	recovery, result, _, err := r.await(ctx, l)
	if err != nil {
		return err
	}
	t.Recovery = &recovery
	if most := r.config.Bounds.Recovery.Seconds(); recovery > most {
		t.Violations = append(t.Violations, fmt.Sprintf("the first 202 came %.1f s after the overload, and may take %.0f", recovery, most))
	}
	for status, n := range result.Statuses {
		if status != "202" {
			t.Violations = append(t.Violations, fmt.Sprintf("%s after the overload %d requests of a modest load ended with %s", l.WarmUp, n, status))
		}
	}
	return nil
}

const goodConnections = 64

// await runs a prepared load, and returns how many seconds after its begin, or after
// its OnEnd, the first 202 came.
func (r *runner) await(ctx context.Context, l *generator.Load) (recovery float64, result generator.Result, most harness.ProcessStats, err error) {
	var waiting sync.WaitGroup
	var waitErr error
	ask := func() {
		waiting.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, recoveryTimeout)
			defer cancel()
			var took time.Duration
			took, waitErr = l.AwaitAccepted(ctx)
			recovery = took.Seconds()
			l.Stop()
		})
	}
	if resume := l.OnEnd; resume != nil {
		l.OnEnd = func() error {
			ask()
			return resume()
		}
	} else {
		ask()
	}
	watch := harness.WatchPeak(ctx, r.config.Server)
	result, err = l.Do(ctx)
	most = watch.Stop()
	if err == nil {
		waiting.Wait()
		if waitErr != nil {
			err = fmt.Errorf("no event was accepted within %s: %w", recoveryTimeout, waitErr)
		}
	}
	return recovery, result, most, err
}

// recoveryTimeout bounds the wait for what should take seconds.
const recoveryTimeout = time.Minute

// stopped stops the database under load, and measures how soon after its return
// events are accepted.
func (r *runner) stopped(ctx context.Context, connections int, saturation float64) error {
	// Each connection sends as soon as it has an answer. Refusals come at once, so that is far
	// more than saturation. The measurement begins when the server waits for nothing any more.
	l := r.generator(connections, 0)
	l.WarmUp += stopAfter + r.config.RequestTimeout
	l.Tail = recoveryTimeout
	l.OnEnd = r.config.Database.Resume
	l.Prepare()
	stopping := make(chan error, 1)
	timer := time.AfterFunc(stopAfter, func() { stopping <- r.config.Database.Stop() })
	recovery, result, most, err := r.await(ctx, l)
	if !timer.Stop() {
		err = errors.Join(err, <-stopping)
	}
	if err != nil {
		return err
	}
	t := Turn{Database: Stopped, Connections: connections}
	r.take(&t, result, most)
	t.Offered, t.Factor, t.Recovery = t.Sent, t.Sent/saturation, &recovery
	if t.Accepted > 0 {
		t.Violations = append(t.Violations, fmt.Sprintf("%.0f/s were accepted while the database was stopped", t.Accepted))
	}
	if most := r.config.Bounds.Recovery.Seconds(); recovery > most {
		t.Violations = append(t.Violations, fmt.Sprintf("the first 202 came %.1f s after the database's return, and may take %.0f", recovery, most))
	}
	r.done(t)
	return nil
}

// stopAfter is how long into the load the database stops.
const stopAfter = time.Second
