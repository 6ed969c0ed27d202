// Package clients is clients that misbehave: they send byte by byte, never read, hold
// thousands of connections, hang up, smuggle requests, and send gzip bombs. Meanwhile others
// behave, and their latency must stay near what it was; and the server must hold no more
// than it may, and give back all of it.
package clients

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/generator"
)

// Config says which server the clients misbehave to, and for how long. Zero values get the
// defaults named.
type Config struct {
	Server harness.Target // one process of the product, without a balancer before it
	Seed   uint64

	// From is the address of this machine that misbehaving clients come from, so
	// that a rate limit tells them from the others; 127.0.0.66. The rate limit
	// should be off all the same: it isn't what is to be tested.
	From string

	Stretch     time.Duration // of each behaviour; 20 s
	Grace       time.Duration // for answers to clients that behave, after each stretch; 20 s
	Baseline    time.Duration // of the looks at latency before and after each; 5 s
	Connections int           // of clients that hold many; 4,000
	Rate        float64       // requests per second of the clients that behave; 200

	// HeaderTimeout and BodyTimeout are how long the server may wait for the two; 5 s,
	// which it has built in, and 15 s, its BODY_TIMEOUT. Patience is how late it may
	// be on a busy machine; 2 s. It is seen to be too late only in a longer stretch.
	HeaderTimeout, BodyTimeout, Patience time.Duration

	Bounds Bounds
	Only   string     // the one behaviour to run; empty: all
	Report func(Turn) // is called after each turn; may be nil
}

// Bounds are what misbehaviour may cost. They are generous: the attackers share the
// machine with the server, so that some of the cost is theirs.
type Bounds struct {
	P50Factor, P99Factor float64       // times the latency when nobody misbehaves; 5 and 10
	P50Extra, P99Extra   time.Duration // and so much more; 25 ms and 250 ms
	MemoryExtra          int64         // bytes, meanwhile and afterwards; 128 MiB, twice the server's MAX_IN_FLIGHT_BYTES
	MemoryEach           int64         // bytes for each misbehaving connection; 64 KiB
	GoroutinesEach       int64         // for each misbehaving connection; 3
	Slack                int64         // goroutines and descriptors more; 200 meanwhile, a tenth of it afterwards
	Return               time.Duration // within which all is given back; 30 s
}

func (c Config) withDefaults() Config {
	def(&c.From, "127.0.0.66")
	def(&c.Stretch, 20*time.Second)
	def(&c.Grace, 20*time.Second)
	def(&c.Baseline, 5*time.Second)
	def(&c.Connections, 4000)
	def(&c.Rate, 200)
	def(&c.HeaderTimeout, 5*time.Second)
	def(&c.BodyTimeout, 15*time.Second)
	def(&c.Patience, 2*time.Second)
	b := &c.Bounds
	def(&b.P50Factor, 5)
	def(&b.P99Factor, 10)
	def(&b.P50Extra, 25*time.Millisecond)
	def(&b.P99Extra, 250*time.Millisecond)
	def(&b.MemoryExtra, 128<<20)
	def(&b.MemoryEach, 64<<10)
	def(&b.GoroutinesEach, 3)
	def(&b.Slack, 200)
	def(&b.Return, 30*time.Second)
	return c
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Turn is one behaviour and what came of it.
type Turn struct {
	Behaviour   string           `json:"behaviour"`
	Connections int              `json:"connections"` // at once
	Attempts    int64            `json:"attempts"`
	Answers     map[string]int64 `json:"answers"` // to the clients that misbehave: by status, or how the connection ended

	Before harness.ProcessStats `json:"before"`
	Peak   harness.ProcessStats `json:"peak"`
	After  harness.ProcessStats `json:"after"`

	// Of the clients that behave, in milliseconds, counted from when a request was due. Calm is
	// the worse of before and after: a machine that others make slow is no fault.
	P50Calm  float64          `json:"p50_calm_ms"`
	P99Calm  float64          `json:"p99_calm_ms"`
	P50      float64          `json:"p50_ms"`
	P99      float64          `json:"p99_ms"`
	Statuses map[string]int64 `json:"statuses"`

	Violations []string `json:"violations,omitempty"`
}

// String says it in a line.
func (t Turn) String() string {
	verdict := "held"
	if len(t.Violations) > 0 {
		verdict = "VIOLATED: " + strings.Join(t.Violations, "; ")
	}
	return fmt.Sprintf("%s: %d connections, %d attempts %v; the others p50 %.1f -> %.1f ms, p99 %.1f -> %.1f ms %v; before %s, peak %s, after %s: %s",
		t.Behaviour, t.Connections, t.Attempts, t.Answers, t.P50Calm, t.P50, t.P99Calm, t.P99, t.Statuses, t.Before, t.Peak, t.After, verdict)
}

// goodConnections are those of clients that behave.
const goodConnections = 16

// Run has every behaviour take its turn, and returns the turns. Violations are in
// them; an error means that it couldn't be seen.
func Run(ctx context.Context, c Config) ([]Turn, error) {
	c = c.withDefaults()
	server, err := url.Parse(c.Server.URL)
	if err != nil {
		return nil, fmt.Errorf("the server's URL: %w", err)
	}
	source, err := generator.NewSource(generator.Config{
		Seed: c.Seed, Run: uint16(rand.New(rand.NewPCG(c.Seed, 0)).Uint32()), //nolint:gosec // to be repeated, not to be secret
		Users: 10_000, Spread: time.Hour, Base: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(behaviours(c), func(b behaviour) bool { return c.Only != "" && c.Only != b.name })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("there is no behaviour %q", c.Only)
	}
	r := &runner{config: c, address: server.Host, source: source, ledger: &generator.Ledger{}}
	if slices.ContainsFunc(chosen, func(b behaviour) bool { return b.name == sendingBombs }) {
		if r.bombs, err = makeBombs(); err != nil {
			return nil, err
		}
	}
	var turns []Turn
	for _, b := range chosen {
		t, err := r.turn(ctx, b)
		if err != nil {
			return turns, fmt.Errorf("%s: %w", b.name, err)
		}
		turns = append(turns, t)
		if c.Report != nil {
			c.Report(t)
		}
	}
	return turns, nil
}

type runner struct {
	config  Config
	address string
	source  *generator.Source
	ledger  *generator.Ledger
	bombs   bombs
}

// turn looks at the server, has clients misbehave, and looks again.
func (r *runner) turn(ctx context.Context, b behaviour) (Turn, error) {
	t := Turn{Behaviour: b.name, Connections: b.connections}
	calm, err := r.behave(ctx, r.config.Baseline)
	if err != nil {
		return t, err
	}
	t.P50Calm, t.P99Calm = milliseconds(calm, 50), milliseconds(calm, 99)
	if t.Before, err = r.config.Server.Stats(ctx); err != nil {
		return t, err
	}

	// 1. Some misbehave, others behave.
	attacking, stop := context.WithCancel(ctx)
	defer stop()
	crowd := &crowd{runner: r, answers: map[string]int64{}, wrong: map[string]int{}}
	crowd.start(attacking, b)
	watch := harness.WatchPeak(ctx, r.config.Server)
	result, err := r.behave(ctx, r.config.Stretch)
	stop()
	crowd.wait()
	t.Peak = watch.Stop()
	if err != nil {
		return t, err
	}
	t.Attempts, t.Answers = crowd.attempts, crowd.answers
	t.P50, t.P99, t.Statuses = milliseconds(result, 50), milliseconds(result, 99), result.Statuses

	// 2. They are gone: everything comes back.
	if t.After, err = r.settled(ctx, t.Before); err != nil {
		return t, err
	}
	if calm, err = r.behave(ctx, r.config.Baseline); err != nil {
		return t, err
	}
	t.P50Calm, t.P99Calm = max(t.P50Calm, milliseconds(calm, 50)), max(t.P99Calm, milliseconds(calm, 99))
	t.Violations = append(crowd.violations(), r.judge(t)...)
	return t, nil
}

func milliseconds(r generator.Result, percentile float64) float64 {
	return float64(r.Latency.ValueAtQuantile(percentile)) / 1000
}

// behave sends well-formed events at a modest rate.
func (r *runner) behave(ctx context.Context, d time.Duration) (generator.Result, error) {
	load := (&generator.Load{
		Address: r.address, Connections: goodConnections, Source: r.source, Ledger: r.ledger, Rate: r.config.Rate, Duration: d, Grace: r.config.Grace,
	}).Prepare()
	return load.Do(ctx)
}

// settled waits until the server holds what it held before, or Bounds.Return is over.
func (r *runner) settled(ctx context.Context, before harness.ProcessStats) (harness.ProcessStats, error) {
	b := r.config.Bounds
	ctx, cancel := context.WithTimeout(ctx, b.Return)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		after, err := r.config.Server.Stats(context.WithoutCancel(ctx))
		if err != nil {
			return after, err
		}
		if after.Goroutines >= 0 && after.Goroutines <= before.Goroutines+b.Slack/10 &&
			after.Descriptors <= before.Descriptors+b.Slack/10 && after.RSS <= before.RSS+b.MemoryExtra {
			return after, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return after, nil // whether that is all right, is judged
		}
	}
}

// judge holds a turn against the bounds.
func (r *runner) judge(t Turn) (violations []string) {
	b, n := r.config.Bounds, int64(t.Connections)
	wrong := func(format string, args ...any) { violations = append(violations, fmt.Sprintf(format, args...)) }

	for status, count := range t.Statuses {
		if status != "202" {
			wrong("%d requests of clients that behave were answered %s", count, status)
		}
	}
	if t.Statuses["202"] == 0 {
		wrong("no client that behaves was served")
	}
	if most := b.P50Factor*t.P50Calm + ms(b.P50Extra); t.P50 > most {
		wrong("the others' median latency was %.1f ms, and may be %.1f", t.P50, most)
	}
	if most := b.P99Factor*t.P99Calm + ms(b.P99Extra); t.P99 > most {
		wrong("the others' 99th percentile was %.1f ms, and may be %.1f", t.P99, most)
	}
	if most := t.Before.Goroutines + b.GoroutinesEach*n + b.Slack; t.Peak.Goroutines > most {
		wrong("there were %d goroutines, and may be %d", t.Peak.Goroutines, most)
	}
	if most := t.Before.Descriptors + n + b.Slack; t.Peak.Descriptors > most {
		wrong("there were %d descriptors, and may be %d", t.Peak.Descriptors, most)
	}
	if most := t.Before.RSS + b.MemoryExtra + b.MemoryEach*n; t.Peak.RSS > most {
		wrong("memory grew from %d MiB to %d, and may to %d", t.Before.RSS>>20, t.Peak.RSS>>20, most>>20)
	}
	if most := t.Before.Goroutines + b.Slack/10; t.After.Goroutines > most || t.After.Goroutines < 0 {
		wrong("%s after they left there are %d goroutines, and there were %d", b.Return, t.After.Goroutines, t.Before.Goroutines)
	}
	if most := t.Before.Descriptors + b.Slack/10; t.After.Descriptors > most {
		wrong("%s after they left there are %d descriptors, and there were %d", b.Return, t.After.Descriptors, t.Before.Descriptors)
	}
	if most := t.Before.RSS + b.MemoryExtra; t.After.RSS > most {
		wrong("%s after they left %d MiB are in use, and there were %d", b.Return, t.After.RSS>>20, t.Before.RSS>>20)
	}
	return violations
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// crowd is the clients of one turn that misbehave.
type crowd struct {
	runner *runner
	group  sync.WaitGroup

	mu       sync.Mutex
	attempts int64
	answers  map[string]int64
	wrong    map[string]int // what the server did that it mustn't, and how often
}

// pace is how soon a client misbehaves again. The crowd is to load the server, not the
// machine on which both run.
const pace = 100 * time.Millisecond

func (c *crowd) start(ctx context.Context, b behaviour) {
	dialer := &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.runner.config.From)}}
	for i := range b.connections {
		c.group.Go(func() {
			rng := rand.New(rand.NewPCG(c.runner.config.Seed, uint64(i))) //nolint:gosec // to be repeated, not to be secret
			ticker := time.NewTicker(pace)
			defer ticker.Stop()
			for ctx.Err() == nil {
				c.misbehave(ctx, dialer, b, i, rng)
				select {
				case <-ticker.C:
				case <-ctx.Done():
				}
			}
		})
	}
}

func (c *crowd) misbehave(ctx context.Context, dialer *net.Dialer, b behaviour, number int, rng *rand.Rand) {
	conn, err := dialer.DialContext(ctx, "tcp", c.runner.address)
	if err != nil {
		if ctx.Err() == nil {
			c.note("no connection")
		}
		return
	}
	defer func() { _ = conn.Close() }() // it may be closed already
	// The end of the turn wakes what waits for the server.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.mu.Lock()
	c.attempts++
	c.mu.Unlock()
	err = b.be(&visit{ctx: ctx, crowd: c, conn: conn.(*net.TCPConn), number: number, rng: rng})
	var violation wrongError
	if errors.As(err, &violation) {
		c.mu.Lock()
		c.wrong[violation.Error()]++
		c.mu.Unlock()
	}
}

func (c *crowd) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[what]++
}

func (c *crowd) wait() { c.group.Wait() }

func (c *crowd) violations() (all []string) {
	for what, n := range c.wrong {
		all = append(all, fmt.Sprintf("%d times: %s", n, what))
	}
	return all
}

// wrongError is what the server did and must not do.
type wrongError string

func (e wrongError) Error() string { return string(e) }
