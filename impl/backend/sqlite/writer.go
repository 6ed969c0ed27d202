package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"highload.example/analytics/gen/sqlitedb"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
)

// Writer stores batches of events. It is used by one goroutine at a time and
// keeps its buffers from batch to batch.
type Writer struct {
	store   *Store
	closed  bool
	minutes map[minute]int64 // new events of the batch
	order   []minute         // the keys of minutes, sorted
}

// minute is a row of event_counts.
type minute struct {
	eventType string
	bucket    int64 // Unix seconds at which it begins
}

// OpenWriter returns a writer. Several may be open; their batches take turns.
func (s *Store) OpenWriter(context.Context) (ingest.Writer, error) {
	return &Writer{store: s, minutes: make(map[minute]int64)}, nil
}

// Close lets go of the writer's memory.
func (w *Writer) Close(context.Context) error {
	w.closed = true
	w.minutes, w.order = nil, nil
	return nil
}

// What the record can hold in PostgreSQL too, in Unix seconds: the years 1 to
// 9999.
const (
	minOccurredAt = -62135596800
	maxOccurredAt = 253402300799
)

// Write stores a batch as ingest.Writer says. When ctx ends before the commit
// nothing is stored; a commit that has begun is finished.
func (w *Writer) Write(ctx context.Context, batch []event.Event, outcomes []event.Outcome) (totals []event.Total, err error) {
	if len(batch) != len(outcomes) || w.closed {
		return nil, fmt.Errorf("sqlite: write: %d events, %d outcomes, closed: %t", len(batch), len(outcomes), w.closed)
	}
	if len(batch) == 0 {
		return nil, nil
	}
	const doing = "write a batch"
	session, err := w.store.take(ctx)
	if err != nil {
		return nil, err
	}
	usable := false // unless transaction returns and says so
	defer func() { w.store.giveBack(session, usable) }()
	usable, err = session.transaction(ctx, func() error {
		totals, err = w.insert(ctx, session.queries, batch, outcomes)
		return err
	})
	if err != nil {
		return nil, translate(ctx, doing, err)
	}
	return totals, nil
}

// take waits for the write session.
func (s *Store) take(ctx context.Context) (*session, error) {
	const doing = "wait for the turn to write"
	if err := ctx.Err(); err != nil {
		return nil, translate(ctx, doing, err)
	}
	select {
	case <-ctx.Done():
		return nil, translate(ctx, doing, ctx.Err())
	case session, ok := <-s.turn:
		if !ok {
			return nil, &failure{doing: doing, reason: "the store is closed", kinds: []error{event.ErrUnavailable}}
		}
		if session != nil {
			return session, nil
		}
		// The one before, if any, had to be thrown away.
		session, err := newSession(ctx, s.write)
		if err != nil {
			s.turn <- nil
			return nil, translate(ctx, doing, err)
		}
		return session, nil
	}
}

// giveBack lets the next writer have the session, or a new one instead.
func (s *Store) giveBack(session *session, ok bool) {
	if !ok {
		session.discard()
		session = nil
	}
	s.turn <- session
}

// insert stores and counts the batch inside a transaction.
func (w *Writer) insert(ctx context.Context, q *sqlitedb.Queries, batch []event.Event, outcomes []event.Outcome) ([]event.Total, error) {
	unbroken := context.WithoutCancel(ctx) // see session
	received := w.store.config.Now().UnixMicro()
	clear(w.minutes)
	for i := range batch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e := &batch[i]
		if err := check(e); err != nil {
			return nil, err
		}
		n, err := q.InsertEvent(unbroken, sqlitedb.InsertEventParams{
			UserID:     e.UserID,
			OccurredAt: e.OccurredAt,
			EventID:    e.ID[:],
			ReceivedAt: received,
			EventType:  e.Type,
			Payload:    e.Payload,
		})
		if err != nil {
			return nil, err
		}
		if n == 0 {
			outcomes[i] = event.Duplicate
			continue
		}
		outcomes[i] = event.Accepted
		w.minutes[minute{eventType: e.Type, bucket: floor(e.OccurredAt, 60)}]++
	}
	return w.count(unbroken, q)
}

// count adds the new events to the count tables and returns the new totals.
func (w *Writer) count(ctx context.Context, q *sqlitedb.Queries) ([]event.Total, error) {
	w.order = w.order[:0]
	for m := range w.minutes {
		w.order = append(w.order, m)
	}
	slices.SortFunc(w.order, func(a, b minute) int {
		return cmp.Or(cmp.Compare(a.eventType, b.eventType), cmp.Compare(a.bucket, b.bucket))
	})
	defer func() {
		clear(w.order) // its strings are the batch's
		clear(w.minutes)
	}()

	var totals []event.Total
	for _, m := range w.order {
		n := w.minutes[m]
		if err := q.AddCount(ctx, sqlitedb.AddCountParams{EventType: m.eventType, Bucket: m.bucket, Count: n}); err != nil {
			return nil, err
		}
		if last := len(totals) - 1; last < 0 || totals[last].Type != m.eventType {
			totals = append(totals, event.Total{Type: m.eventType})
		}
		totals[len(totals)-1].Count += n // of this batch, until the next loop
	}
	for i := range totals {
		sum, err := q.AddTotal(ctx, sqlitedb.AddTotalParams{EventType: totals[i].Type, Count: totals[i].Count})
		if err != nil {
			return nil, err
		}
		totals[i].Count = sum
	}
	return totals, nil
}

// check refuses what SQLite would take and PostgreSQL would not.
func check(e *event.Event) error {
	var reason string
	switch {
	case e.OccurredAt < minOccurredAt || e.OccurredAt > maxOccurredAt:
		reason = "a time is outside the calendar"
	case e.Payload != nil && len(e.Payload) == 0:
		reason = "a payload is empty text" // the driver would store NULL
	default:
		return nil
	}
	return &failure{doing: "write a batch", reason: reason, kinds: []error{event.ErrInvalid}}
}

// floor rounds down to a multiple of step, also before 1970.
func floor(n, step int64) int64 {
	r := n % step
	if r < 0 {
		r += step
	}
	return n - r
}
