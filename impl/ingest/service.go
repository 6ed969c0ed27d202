// Package ingest takes events in: the rules that a schema can't state, and the
// group commit that makes accepted mean committed at a price that load pays
// together.
//
// Group commit: whoever has events puts them in a bounded queue and waits. A few
// writers take whatever waits, store it in one transaction and release the
// waiting with their outcomes. An idle service so writes a lone event at once, and
// under load batches grow by themselves while the database is busy with the last.
// (The idea is older than SQL: DeWitt et al., "Implementation Techniques for Main
// Memory Database Systems", SIGMOD 1984, section 5.2.)
package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"highload.example/analytics/impl/event"
)

// Config says what a Service works with. Zero values get the defaults named.
type Config struct {
	Store    Store
	Counters Counters
	// Totals reads the record's totals of types, of every slot: for types of duplicates,
	// because whoever stored the first of them may have died before it published.
	Totals func(ctx context.Context, eventTypes []string) ([]event.Total, error)
	// Probe asks the database whether it's there again after an outage.
	Probe    func(ctx context.Context) error
	Observer Observer
	Logger   *slog.Logger

	Writers       int // goroutines that write; 2
	MaxBatch      int // events per transaction, but for those that must not be split; 1,000
	MaxQueueItems int // events queued and being written; 50,000
	MaxQueueBytes int // the memory they may take, in bytes; 64 MiB

	// GiveUpAfter is how long after its arrival an event is answered at the
	// latest, but for the end of a try that is under way: a little less than a
	// request may take; 4 s.
	GiveUpAfter time.Duration
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Writers, 2)
	def(&c.MaxBatch, 1000)
	def(&c.MaxQueueItems, 50_000)
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
	config  Config
	singles singles

	mu      sync.Mutex
	work    sync.Cond   // signalled when a writer has something to take, or the service stops
	late    *time.Timer // signals it when something has waited for longEnough
	timed   bool        // late runs
	queue   queue
	busy    int // writers that have a batch
	items   int // events queued and being written
	bytes   int // their memory
	down    bool
	stopped bool

	publisher *publisher
	writers   sync.WaitGroup
	stop      context.CancelFunc // ends retries at a hard stop
	life      context.Context    //nolint:containedctx // of the writers, not of a request
}

// New starts a service. Close it.
func New(config Config) *Service {
	s := &Service{config: config.withDefaults()}
	s.work.L = &s.mu
	s.late = time.AfterFunc(math.MaxInt64, s.overdue)
	s.life, s.stop = context.WithCancel(context.Background())
	s.publisher = newPublisher(s)
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
// returns what became of it once that is durable. It returns GiveUpAfter after it
// was called at the latest, but for the end of a try that is under way, whoever
// still wants to know: an event on its way into the database can't be called back.
//
// Errors match event.ErrBusy when more waits than the service takes on,
// event.ErrInvalid when the database can't hold the event, and
// event.ErrUnavailable when the database doesn't answer in time: then the event
// may be stored or not, and sending it again is safe.
func (s *Service) Submit(e event.Event) (event.Outcome, error) {
	g := s.singles.get(e)
	if err := s.enqueue(g); err != nil {
		s.singles.put(g)
		return 0, err
	}
	<-g.done
	outcome, err := g.outcomes[0], g.err
	s.singles.put(g)
	return outcome, err
}

// SubmitBatch stores the events of one request, each as Submit does, and sets
// outcomes[i] to what became of events[i]. Both have the same length and belong to
// the service until it returns. With whole, all are stored in one transaction, or
// none.
//
// The error is nil when every outcome is known; a rejected event is. Otherwise it
// is as Submit's, and the events whose outcome is zero may be stored or not:
// sending them again is safe. With whole, an event that the database can't hold
// is an error that matches event.ErrInvalid, and nothing is stored.
func (s *Service) SubmitBatch(events []event.Event, outcomes []event.Outcome, whole bool) error {
	if len(events) != len(outcomes) {
		return fmt.Errorf("ingest: %d events, %d outcomes", len(events), len(outcomes))
	}
	if len(events) == 0 {
		return nil
	}
	clear(outcomes)
	g := newGroup(events, outcomes, whole)
	if err := s.enqueue(g); err != nil {
		return err
	}
	<-g.done
	return g.err
}

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
	s.late.Stop()
	s.work.Broadcast()
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		s.writers.Wait()
		s.publisher.close()
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
