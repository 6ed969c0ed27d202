// Package stats answers questions about what was counted. A count comes from
// the live totals when they are complete, and else from the record; a reconciler
// keeps comparing the two, because whoever commits may die before it publishes.
package stats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"highload.example/analytics/impl/event"
)

// Config says what a Service works with. Zero values get the defaults named.
type Config struct {
	Reader   Reader
	Live     Live
	Observer Observer
	Logger   *slog.Logger
	Clock    func() time.Time

	LiveTimeout  time.Duration // how long a question to the live totals may take; 50 ms
	LivePause    time.Duration // how long they are left alone after a failure; 500 ms
	RecordPeriod time.Duration // between two rounds of reconciliation; 1 s
	SettleTime   time.Duration // what a publication that is under way is given to arrive; 200 ms
	RoundTypes   int           // event types compared in a round, besides the suspects; 1,000
}

func (c Config) withDefaults() Config {
	if c.LiveTimeout <= 0 {
		c.LiveTimeout = 50 * time.Millisecond
	}
	if c.LivePause <= 0 {
		c.LivePause = 500 * time.Millisecond
	}
	if c.RecordPeriod <= 0 {
		c.RecordPeriod = time.Second
	}
	if c.SettleTime <= 0 {
		c.SettleTime = 200 * time.Millisecond
	}
	if c.RoundTypes <= 0 {
		c.RoundTypes = 1000
	}
	return c
}

// Observer hears what happened, for metrics.
type Observer interface {
	CountAnswered(source Source)
	LiveFailed()
	Drift(types int) // types whose live totals differed from the record in a round
}

// Source says where a count came from.
type Source string

// The sources.
const (
	FromLive   Source = "live"
	FromRecord Source = "record"
)

// Service answers questions. Use New.
type Service struct {
	config Config

	mu          sync.Mutex
	pausedUntil time.Time
	suspects    map[string]uint64 // types whose live totals may lag behind, and their last failure
	failures    uint64            // publications that failed
	verified    uint64            // the generation of live totals that was compared with the record; 0 needs no comparing
}

// New returns a service. Run its reconciler with Run.
func New(config Config) *Service {
	return &Service{config: config.withDefaults(), suspects: map[string]uint64{}}
}

// Count returns how many events of a type there are; a type that no event has
// is counted as 0. Errors match event.ErrUnavailable.
func (s *Service) Count(ctx context.Context, eventType string) (int64, error) {
	if n, ok := s.liveCount(ctx, eventType); ok {
		s.config.Observer.CountAnswered(FromLive)
		return n, nil
	}
	totals, err := s.config.Reader.Totals(ctx, []string{eventType})
	if err != nil {
		return 0, fmt.Errorf("counting events of a type: %w", err)
	}
	s.config.Observer.CountAnswered(FromRecord)
	// A type without events is not filled: anyone can ask for any name, and what
	// they make up must not take memory.
	if len(totals) > 0 && !s.paused() {
		// A failure is observed in onLive; the answer is known without it.
		_ = s.fill(ctx, eventType, totals)
	}
	return sum(totals), nil
}

func sum(totals []event.Total) (n int64) {
	for _, t := range totals {
		n += t.Count
	}
	return n
}

func (s *Service) liveCount(ctx context.Context, eventType string) (n int64, ok bool) {
	s.mu.Lock()
	_, suspect := s.suspects[eventType]
	verified := s.verified
	s.mu.Unlock()
	if suspect || s.paused() || s.config.Live.Generation() != verified {
		return 0, false
	}
	err := s.onLive(ctx, func(ctx context.Context) (err error) {
		n, ok, err = s.config.Live.Count(ctx, eventType)
		return err
	})
	// The question itself may have been the first to find another server.
	return n, ok && err == nil && s.config.Live.Generation() == verified
}

// Publish merges new totals into the live ones; it is what the ingest writers
// call after a commit. Totals that couldn't be published are suspect on this
// replica at once, and on the others until the next round of reconciliation.
func (s *Service) Publish(ctx context.Context, totals []event.Total) error {
	err := errPaused
	if !s.paused() {
		err = s.onLive(ctx, func(ctx context.Context) error { return s.config.Live.Publish(ctx, totals) })
	}
	if err != nil {
		s.suspect(totals)
	}
	return err
}

var errPaused = errors.New("live totals failed a moment ago and are left alone")

// maxSuspects bounds the memory of suspects. Beyond it types are found by the
// rounds alone.
const maxSuspects = 10_000

func (s *Service) suspect(totals []event.Total) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	for _, t := range totals {
		if len(s.suspects) >= maxSuspects {
			return
		}
		s.suspects[t.Type] = s.failures
	}
}

// onLive calls the live totals with a short time-out, and leaves them alone for
// a while after they failed, so that an outage costs a time-out now and then and
// not one per request.
func (s *Service) onLive(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.LiveTimeout)
	defer cancel()
	err := call(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.config.Observer.LiveFailed()
		s.mu.Lock()
		s.pausedUntil = s.config.Clock().Add(s.config.LivePause)
		s.mu.Unlock()
	}
	return err
}

func (s *Service) paused() bool {
	now := s.config.Clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.pausedUntil)
}
