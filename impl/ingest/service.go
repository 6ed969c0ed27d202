// Package ingest takes events in: the rules that a schema can't state, and the
// group commit that makes accepted mean committed at a price that load pays
// together.
//
// Group commit: whoever has an event puts it in a bounded queue and waits. A few
// writers take whatever waits, store it in one transaction and release the
// waiting with their outcomes. An idle service so writes a lone event at once, and
// under load batches grow by themselves while the database is busy with the last.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"highload.example/analytics/impl/event"
)

// Config says what a Service works with. Zero values get the defaults named.
type Config struct {
	Store    Store
	Counters Counters
	// Probe asks the database whether it's there again after an outage.
	Probe    func(ctx context.Context) error
	Observer Observer
	Logger   *slog.Logger

	Writers       int           // goroutines that write; 4
	MaxBatch      int           // events per transaction; 1,000
	MaxQueueItems int           // events queued and being written; 20,000
	MaxQueueBytes int           // the memory they may take, in bytes; 64 MiB
	GiveUpAfter   time.Duration // how long a batch is tried; 4 s, shorter than a request's deadline
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Writers, 4)
	def(&c.MaxBatch, 1000)
	def(&c.MaxQueueItems, 20_000)
	def(&c.MaxQueueBytes, 64<<20)
	if c.GiveUpAfter <= 0 {
		c.GiveUpAfter = 4 * time.Second
	}
	return c
}

// Observer hears what happened, for metrics. Its methods are called by several
// goroutines and return at once.
type Observer interface {
	EventsDone(outcome event.Outcome, n int)
	BatchWritten(size int, took time.Duration)
	BatchRetried()
	BatchFailed(size int)
}

// Service takes events in. Use New.
type Service struct {
	config Config

	mu      sync.Mutex
	work    sync.Cond // signalled when the queue grows or the service stops
	queue   []entry
	items   int // queued and being written
	bytes   int // their memory
	down    bool
	stopped bool

	writers sync.WaitGroup
	stop    context.CancelFunc // ends retries at a hard stop
	life    context.Context    //nolint:containedctx // of the writers, not of a request
}

// entry is an event in the queue, and who waits for it.
type entry struct {
	event  event.Event
	waiter *waiter
}

// waiter is told once what became of its event.
type waiter struct {
	outcome event.Outcome
	err     error
	done    chan struct{} // capacity 1: whoever tells never waits
}

var waiters = sync.Pool{New: func() any { return &waiter{done: make(chan struct{}, 1)} }}

// New starts a service. Close it.
func New(config Config) *Service {
	s := &Service{config: config.withDefaults()}
	s.work.L = &s.mu
	s.life, s.stop = context.WithCancel(context.Background())
	for range s.config.Writers {
		s.writers.Go(s.runWriter)
	}
	return s
}

// NewID makes an id for an event that came without one: a UUIDv7 (RFC 9562,
// section 5.7), so that ids made later sort later.
func NewID() (event.ID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return event.ID{}, fmt.Errorf("making an event id: %w", err)
	}
	return event.ID(id), nil
}

// Submit stores the event, which must satisfy the contract and have an ID, and
// returns what became of it once that is durable.
//
// Errors match event.ErrBusy when the queue is full, event.ErrInvalid when the
// database can't hold the event, and event.ErrUnavailable when the database
// doesn't answer in time: then the event may be stored or not, and
// sending it again is safe. When ctx ends first the error is ctx's.
func (s *Service) Submit(ctx context.Context, e event.Event) (event.Outcome, error) {
	w := waiters.Get().(*waiter)
	if err := s.enqueue(entry{event: e, waiter: w}); err != nil {
		waiters.Put(w)
		return 0, err
	}
	select {
	case <-w.done:
		outcome, err := w.outcome, w.err
		w.outcome, w.err = 0, nil
		waiters.Put(w)
		return outcome, err
	case <-ctx.Done():
		// The writer still holds w: leave it to the collector.
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return 0, fmt.Errorf("%w: the database didn't answer within the request's time", event.ErrUnavailable)
		}
		return 0, fmt.Errorf("waiting for the commit: %w", ctx.Err())
	}
}

func (s *Service) enqueue(e entry) error {
	size := e.event.Size()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return fmt.Errorf("%w: the service is stopping", event.ErrUnavailable)
	case s.down:
		return errDown
	case s.items >= s.config.MaxQueueItems || s.bytes+size > s.config.MaxQueueBytes:
		return fmt.Errorf("%w: %d events wait already", event.ErrBusy, s.items)
	}
	s.items++
	s.bytes += size
	s.queue = append(s.queue, e)
	s.work.Signal()
	return nil
}

var errDown = fmt.Errorf("%w: the database doesn't answer", event.ErrUnavailable)

// Load is how much waits or is being written.
type Load struct {
	Items int
	Bytes int
}

// Load returns how much waits or is being written now.
func (s *Service) Load() Load {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Load{Items: s.items, Bytes: s.bytes}
}

// Available says whether events can be stored, as far as is known: false from a
// batch that had to be given up until the database answers again.
func (s *Service) Available() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.down && !s.stopped
}

// Close refuses new events, writes what waits, and returns when the writers have
// ended. When ctx ends first, retries are cut short and the rest is answered
// with event.ErrUnavailable. Closing twice is harmless.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	s.work.Broadcast()
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		s.writers.Wait()
		close(ended)
	}()
	defer s.stop()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		s.stop()
		<-ended
		return fmt.Errorf("stopping the writers: %w", ctx.Err())
	}
}
