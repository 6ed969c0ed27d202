package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"highload.example/analytics/impl/event"
)

// batch is a writer's own working memory, reused from batch to batch.
type batch struct {
	entries  []entry
	events   []event.Event
	outcomes []event.Outcome
}

// runWriter is the life of a writer: take what waits, write it, until the
// service stops and nothing waits.
func (s *Service) runWriter() {
	var (
		b      batch
		writer Writer
	)
	for s.take(&b) {
		writer = s.writeBatch(writer, &b)
	}
	if writer != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.config.GiveUpAfter)
		defer cancel()
		if err := writer.Close(ctx); err != nil {
			s.config.Logger.Warn("giving back a writer", "error", err)
		}
	}
}

// take moves what waits into b, up to a batch. It returns false when the service
// has stopped and nothing waits.
func (s *Service) take(b *batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 {
		if s.stopped {
			return false
		}
		s.work.Wait()
	}
	n := min(len(s.queue), s.config.MaxBatch)
	b.entries = append(b.entries[:0], s.queue[:n]...)
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:]) // let go of events and waiters
	s.queue = s.queue[:rest]
	if rest > 0 {
		s.work.Signal() // more than one batch waits: wake another writer
	}
	return true
}

// writeBatch stores b and releases everyone who waits for it. It returns the
// writer to use next, which is nil when there is none yet.
func (s *Service) writeBatch(writer Writer, b *batch) Writer {
	b.events = b.events[:0]
	for i := range b.entries {
		b.events = append(b.events, b.entries[i].event)
	}
	b.outcomes = append(b.outcomes[:0], make([]event.Outcome, len(b.entries))...)

	// The batch has a context of its own: no client's leaving may cancel the
	// others' events.
	ctx, cancel := context.WithTimeout(s.life, s.config.GiveUpAfter)
	defer cancel()
	var err error
	if !s.isDown() {
		writer, err = s.store(ctx, writer, b.events, b.outcomes)
	} else {
		err = errDown
	}
	s.release(b, err)
	if errors.Is(err, event.ErrUnavailable) && s.markDown() {
		s.awaitDatabase()
	}
	return writer
}

// store writes events, retrying while the database doesn't answer and finding
// the event that it can't hold by bisection.
func (s *Service) store(ctx context.Context, writer Writer, events []event.Event, outcomes []event.Outcome) (Writer, error) {
	started := time.Now()
	totals, err := backoff.Retry(ctx, func() ([]event.Total, error) {
		if writer == nil {
			w, err := s.config.Store.OpenWriter(ctx)
			if err != nil {
				return nil, s.retryable(err)
			}
			writer = w
		}
		totals, err := writer.Write(ctx, events, outcomes)
		return totals, s.retryable(err)
	},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: 25 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 500 * time.Millisecond,
		}),
		backoff.WithMaxElapsedTime(s.config.GiveUpAfter))
	switch {
	case err == nil:
		s.config.Observer.BatchWritten(len(events), time.Since(started))
		s.publish(totals)
		return writer, nil
	case errors.Is(err, event.ErrInvalid) && len(events) == 1:
		outcomes[0] = event.Rejected
		s.config.Logger.Warn("an event passed the contract but the database can't hold it", "error", err)
		return writer, nil
	case errors.Is(err, event.ErrInvalid):
		// Nothing of the batch is stored. Both halves are, but for the one event.
		half := len(events) / 2
		writer, err = s.store(ctx, writer, events[:half], outcomes[:half])
		if err != nil {
			return writer, err
		}
		return s.store(ctx, writer, events[half:], outcomes[half:])
	case ctx.Err() != nil && !errors.Is(err, event.ErrUnavailable):
		// The time ran out between two tries, or inside one.
		err = fmt.Errorf("%w: the database didn't answer for %s: %w", event.ErrUnavailable, s.config.GiveUpAfter, err)
	}
	clear(outcomes) // whatever a failed try left there
	s.config.Observer.BatchFailed(len(events))
	s.config.Logger.Error("a batch could not be stored", "events", len(events), "error", err)
	return writer, err
}

// retryable marks everything but an outage as final for the retry loop.
func (s *Service) retryable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, event.ErrUnavailable):
		s.config.Observer.BatchRetried()
		s.config.Logger.Debug("the database didn't take a batch; trying again", "error", err)
		return err
	}
	return backoff.Permanent(err)
}

// publishTimeout is short, for people wait for the batch: a count that didn't
// reach Redis in time is put right by the reconciler.
const publishTimeout = 100 * time.Millisecond

func (s *Service) publish(totals []event.Total) {
	if len(totals) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.life, publishTimeout)
	defer cancel()
	if err := s.config.Counters.Publish(ctx, totals); err != nil {
		s.config.Logger.Debug("counts were not published; they will be reconciled", "error", err)
	}
}

// release tells everyone in b what became of their event, and gives back the
// memory that the batch was charged with.
func (s *Service) release(b *batch, err error) {
	var done [event.Rejected + 1]int
	size := 0
	for i := range b.entries {
		size += b.entries[i].event.Size()
		w := b.entries[i].waiter
		switch outcome := b.outcomes[i]; {
		case outcome == event.Rejected:
			w.outcome, w.err = outcome, fmt.Errorf("%w: the database can't hold this event", event.ErrInvalid)
		case outcome != 0:
			// Known even when err is set: this part of the batch was committed.
			w.outcome = outcome
		case err != nil:
			w.err = err
		default:
			w.err = errors.New("the store reported no outcome")
		}
		done[w.outcome]++
		w.done <- struct{}{}
	}
	for outcome, n := range done {
		if n > 0 && outcome > 0 {
			s.config.Observer.EventsDone(event.Outcome(outcome), n)
		}
	}
	s.mu.Lock()
	s.items -= len(b.entries)
	s.bytes -= size
	s.mu.Unlock()
	clear(b.entries)
	clear(b.events)
}

func (s *Service) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// markDown makes Submit refuse at once. It returns true to the writer that
// noticed first: that one waits for the database.
func (s *Service) markDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.stopped {
		return false
	}
	s.down = true
	return true
}

// awaitDatabase asks until the database answers, then lets events in again. One
// question at a time, with jitter, so that replicas don't return in step.
func (s *Service) awaitDatabase() {
	since := time.Now()
	s.config.Logger.Error("the database doesn't answer: refusing events until it does")
	_, err := backoff.Retry(s.life, func() (struct{}, error) {
		s.mu.Lock()
		stopped := s.stopped
		s.mu.Unlock()
		if stopped {
			return struct{}{}, nil
		}
		ctx, cancel := context.WithTimeout(s.life, time.Second)
		defer cancel()
		return struct{}{}, s.config.Probe(ctx)
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 1.5, MaxInterval: time.Second,
	}), backoff.WithMaxElapsedTime(0))
	s.mu.Lock()
	s.down = false
	s.mu.Unlock()
	if err == nil {
		s.config.Logger.LogAttrs(context.Background(), slog.LevelInfo, "the database answers again", slog.String("after", time.Since(since).Round(time.Millisecond).String()))
	}
}
