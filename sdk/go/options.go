package analytics

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Version is the SDK's, as the User-Agent header tells the server.
const Version = "0.1.0"

// Policy says what to do with an event that the queue has no room for.
type Policy int

const (
	// DropNewest drops the event that is being tracked.
	DropNewest Policy = iota
	// DropOldest drops the oldest events, but none of a request under way.
	DropOldest
	// Block makes Track wait for room, for at most Options.BlockTimeout; then it is DropNewest.
	Block
)

// Options say how a Client works. Only URL is needed; the zero value of each other field is its default.
type Options struct {
	// URL is where the server is, like http://localhost:8000. A path is kept: behind a gateway
	// the server may be at https://example.com/analytics.
	URL string

	// MaxQueueEvents and MaxQueueBytes bound the events that aren't settled, those of the request under
	// way included. Defaults: 10,000 and 16 MiB of JSON.
	MaxQueueEvents int
	MaxQueueBytes  int
	// OnFull says what to do when the bounds are reached.
	OnFull Policy
	// BlockTimeout bounds how long Track waits with Block. Default: 100 ms.
	BlockTimeout time.Duration

	// A batch is sent when it has MaxBatchEvents (default 500, at most 5,000), when the next event would
	// make it larger than MaxBatchBytes (default 1 MiB, at most 8 MiB, before compression), or
	// when its oldest event has waited for FlushInterval (default 1 s).
	MaxBatchEvents int
	MaxBatchBytes  int
	FlushInterval  time.Duration

	// RequestTimeout bounds one try to deliver a batch. Default: 10 s.
	RequestTimeout time.Duration
	// After a try that failed the client waits for a random time up to BackoffBase (default 100 ms), which
	// doubles with each failure up to BackoffMax (default 30 s), and at least as long
	// as the server says (Retry-After, at most 5 min).
	BackoffBase time.Duration
	BackoffMax  time.Duration
	// NoGzip sends bodies plain; else those of 1 KiB and more are compressed.
	NoGzip bool

	// QueueDir is a folder for the queue, made if missing; empty: the queue is in memory only. Then each event is written to a
	// file before Track returns, and what isn't settled when the process ends, in whatever way, is sent by the
	// next one. It survives the process, not a power cut: nothing is synced to the disk. One process at
	// a time may use the folder.
	QueueDir string

	// OnOutcome is told of every event what became of it, by one goroutine, in its own time: a slow callback slows
	// delivery down, not Track. A panic in it is logged. It must not call Flush or Close.
	OnOutcome func(Outcome)
	// Logger gets warnings and, at the level debug, every request; never a payload. Default: slog.Default().
	Logger *slog.Logger
	// HTTPClient makes the requests. Default: one of the client's own, closed with it. A Timeout of it would hold for streamed
	// exports too; leave it to RequestTimeout and contexts.
	HTTPClient *http.Client
}

const (
	maxBatchEvents   = 5000
	maxBatchBytes    = 8 << 20
	maxEventBytes    = 128 << 10 // of the JSON of one event, in the contract
	maxPayloadBytes  = 64 << 10
	maxRetryAfter    = 5 * time.Minute
	minGzipBytes     = 1 << 10
	maxResponseBytes = 64 << 20 // of what isn't streamed: more than any answer of the contract
)

// resolved returns the options with defaults, or everything that is wrong with them.
func (o Options) resolved() (Options, error) {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	number := func(name string, n *int, byDefault, highest int) {
		if *n == 0 {
			*n = byDefault
		}
		if *n < 1 || *n > highest {
			fail("Options.%s: %d is not from 1 to %d", name, *n, highest)
		}
	}
	duration := func(name string, d *time.Duration, byDefault time.Duration) {
		if *d == 0 {
			*d = byDefault
		}
		if *d < 0 || *d > 24*time.Hour {
			fail("Options.%s: %s is not from 0 to 24h", name, *d)
		}
	}
	switch u, err := url.Parse(o.URL); {
	case o.URL == "":
		fail("Options.URL: say where the server is, like http://localhost:8000")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "":
		// The text is not repeated: it may have a password in it.
		fail("Options.URL: is not an address like http://localhost:8000 or https://example.com/analytics")
	}
	const plenty = 1 << 40
	number("MaxQueueEvents", &o.MaxQueueEvents, 10_000, plenty)
	number("MaxQueueBytes", &o.MaxQueueBytes, 16<<20, plenty)
	number("MaxBatchEvents", &o.MaxBatchEvents, 500, maxBatchEvents)
	number("MaxBatchBytes", &o.MaxBatchBytes, 1<<20, maxBatchBytes)
	duration("BlockTimeout", &o.BlockTimeout, 100*time.Millisecond)
	duration("FlushInterval", &o.FlushInterval, time.Second)
	duration("RequestTimeout", &o.RequestTimeout, 10*time.Second)
	duration("BackoffBase", &o.BackoffBase, 100*time.Millisecond)
	duration("BackoffMax", &o.BackoffMax, 30*time.Second)
	if o.OnFull < DropNewest || o.OnFull > Block {
		fail("Options.OnFull: %d is not DropNewest, DropOldest or Block", o.OnFull)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, errors.Join(errs...)
}
