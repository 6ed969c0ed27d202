package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/failpoint"
)

// batch is what one transaction stores, reused from batch to batch.
type batch struct {
	parts    []part
	events   []event.Event
	outcomes []event.Outcome
	totals   []event.Total // what is to be published
}

// fill copies the parts' events together.
func (b *batch) fill() {
	b.events, b.totals = b.events[:0], b.totals[:0]
	for _, p := range b.parts {
		b.events = append(b.events, p.group.events[p.from:p.to]...)
	}
	if cap(b.outcomes) < len(b.events) {
		b.outcomes = make([]event.Outcome, len(b.events), cap(b.events))
	}
	b.outcomes = b.outcomes[:len(b.events)]
	clear(b.outcomes)
}

// deadline is when the batch must be given up: GiveUpAfter after the arrival of
// its oldest event, and not before one honest try.
func (b *batch) deadline(now time.Time, giveUpAfter time.Duration) time.Time {
	oldest := b.parts[0].group.arrived
	for _, p := range b.parts[1:] {
		if p.group.arrived.Before(oldest) {
			oldest = p.group.arrived
		}
	}
	end, least := oldest.Add(giveUpAfter), now.Add(giveUpAfter/4)
	if end.Before(least) {
		return least
	}
	return end
}

// runWriter is the life of a writer: take what waits, write it, until the
// service stops and nothing waits.
func (s *Service) runWriter() {
	var writer Writer
	for {
		b := s.publisher.batch() // one that was published and released
		if !s.take(b) {
			break
		}
		writer = s.writeBatch(writer, b)
	}
	if writer != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.config.GiveUpAfter)
		defer cancel()
		if err := writer.Close(ctx); err != nil {
			s.config.Logger.Warn("giving back a writer", "error", err)
		}
	}
}

// writeBatch stores b and has everyone who waits for it released. It returns the
// writer to use next, which is nil when there is none yet.
func (s *Service) writeBatch(writer Writer, b *batch) Writer {
	b.fill()
	// The batch has a context of its own: no client's leaving may cancel the
	// others' events.
	now := time.Now()
	ctx, cancel := context.WithDeadline(s.life, b.deadline(now, s.config.GiveUpAfter))
	defer cancel()
	err := errDown
	if !s.isDown() {
		writer, err = s.store(ctx, writer, b, 0, len(b.events))
	}
	if failpoint.Enabled {
		failpoint.Hit(failpoint.AfterCommit)
	}
	s.idle()
	s.publisher.publish(b, err)
	if errors.Is(err, event.ErrUnavailable) && s.markDown() {
		s.awaitDatabase()
	}
	return writer
}

// store writes the events from one index to another, retrying while the database
// doesn't answer and finding the event that it can't hold by bisection.
func (s *Service) store(ctx context.Context, writer Writer, b *batch, from, to int) (Writer, error) {
	started := time.Now()
	writer, totals, err := s.try(ctx, writer, b.events[from:to], b.outcomes[from:to])
	if errors.Is(err, event.ErrUnavailable) && ctx.Err() == nil {
		writer, totals, err = s.retry(ctx, writer, b.events[from:to], b.outcomes[from:to])
	}
	switch {
	case err == nil:
		s.config.Observer.BatchWritten(to-from, time.Since(started))
		b.totals = append(b.totals, totals...)
		return writer, nil
	case errors.Is(err, event.ErrInvalid) && b.parts[0].group.whole:
		clear(b.outcomes[from:to])
		return writer, err
	case errors.Is(err, event.ErrInvalid) && to-from == 1:
		b.outcomes[from] = event.Rejected
		s.config.Logger.Warn("an event passed the contract but the database can't hold it", "error", err)
		return writer, nil
	case errors.Is(err, event.ErrInvalid):
		// Nothing of the batch is stored. Both halves are, but for the one event.
		half := from + (to-from)/2
		writer, err = s.store(ctx, writer, b, from, half)
		if err != nil {
			clear(b.outcomes[half:to])
			return writer, err
		}
		return s.store(ctx, writer, b, half, to)
	case ctx.Err() != nil && !errors.Is(err, event.ErrUnavailable):
		// The time ran out between two tries, or inside one.
		err = fmt.Errorf("%w: the database didn't answer in time: %w", event.ErrUnavailable, err)
	}
	clear(b.outcomes[from:to]) // whatever a failed try left there
	s.config.Observer.BatchFailed(to - from)
	s.config.Logger.Error("a batch could not be stored", "events", to-from, "error", err)
	return writer, err
}

// try writes events once.
func (s *Service) try(ctx context.Context, writer Writer, events []event.Event, outcomes []event.Outcome) (Writer, []event.Total, error) {
	if writer == nil {
		opened, err := s.config.Store.OpenWriter(ctx)
		if err != nil {
			return nil, nil, s.noted(err)
		}
		writer = opened
	}
	if failpoint.Enabled {
		failpoint.Hit(failpoint.BeforeInsert)
	}
	totals, err := writer.Write(ctx, events, outcomes)
	return writer, totals, s.noted(err)
}

// retry tries again until it succeeds, the failure is none that passes, or ctx
// ends. A lost answer to COMMIT is nothing special: what was stored is found to be
// a duplicate of itself.
func (s *Service) retry(ctx context.Context, writer Writer, events []event.Event, outcomes []event.Outcome) (Writer, []event.Total, error) {
	intervals := &backoff.ExponentialBackOff{
		InitialInterval: 25 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 500 * time.Millisecond,
	}
	intervals.Reset()
	var last error
	for {
		timer := time.NewTimer(intervals.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return writer, nil, fmt.Errorf("%w: the database didn't answer in time: %w", event.ErrUnavailable, errors.Join(last, ctx.Err()))
		}
		var totals []event.Total
		writer, totals, last = s.try(ctx, writer, events, outcomes)
		if !errors.Is(last, event.ErrUnavailable) || ctx.Err() != nil {
			return writer, totals, last
		}
	}
}

// noted tells the observer of a failure that passes.
func (s *Service) noted(err error) error {
	if errors.Is(err, event.ErrUnavailable) {
		s.config.Observer.BatchRetried()
		s.config.Logger.Debug("the database didn't take a batch", "error", err)
	}
	return err
}

// release tells everyone in b what became of their events, and gives back the
// memory that the batch was charged with.
func (s *Service) release(b *batch, err error) {
	var done [event.Rejected + 1]int
	for _, outcome := range b.outcomes {
		done[outcome]++
	}
	for outcome, n := range done {
		if n > 0 && outcome > 0 {
			s.config.Observer.EventsDone(event.Outcome(outcome), n)
		}
	}
	size := 0
	for i := range b.events {
		size += b.events[i].Size()
	}
	s.mu.Lock()
	s.items -= len(b.events)
	s.bytes -= size
	s.mu.Unlock()

	next := 0
	for i, p := range b.parts {
		n := p.to - p.from
		outcomes := b.outcomes[next : next+n]
		next += n
		copy(p.group.outcomes[p.from:p.to], outcomes)
		b.parts[i].group = nil
		p.group.settle(n, partError(outcomes, p.group, err))
	}
	clear(b.events)
}

// partError says why some events of a part have no outcome, or that the only one
// of a single was rejected.
func partError(outcomes []event.Outcome, g *group, err error) error {
	for _, outcome := range outcomes {
		switch {
		case outcome == event.Rejected && len(g.events) == 1:
			return errNotStorable
		case outcome != 0:
		case err != nil:
			return err
		default:
			return errors.New("the store reported no outcome")
		}
	}
	// Known even when err is set: this part of the batch was committed.
	return nil
}

var errNotStorable = fmt.Errorf("%w: the database can't hold this event", event.ErrInvalid)
