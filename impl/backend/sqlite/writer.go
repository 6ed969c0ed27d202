package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

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
	json    []byte           // what is added to the count tables
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
	w.minutes, w.order, w.json = nil, nil, nil
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

	// Two statements for however many rows: each costs more than a row does. The
	// totals are of this batch until the second statement has answered.
	var totals []event.Total
	w.json = append(w.json[:0], '[')
	for _, m := range w.order {
		n := w.minutes[m]
		w.json = appendCount(w.json, m.eventType, m.bucket, n)
		if last := len(totals) - 1; last < 0 || totals[last].Type != m.eventType {
			totals = append(totals, event.Total{Type: m.eventType})
		}
		totals[len(totals)-1].Count += n
	}
	if len(totals) == 0 {
		return nil, nil
	}
	if err := q.AddCounts(ctx, closed(w.json)); err != nil {
		return nil, err
	}
	w.json = append(w.json[:0], '[')
	for _, t := range totals {
		w.json = appendCount(w.json, t.Type, t.Count)
	}
	sums, err := q.AddTotals(ctx, closed(w.json))
	if err != nil {
		return nil, err
	}
	if len(sums) != len(totals) {
		return nil, fmt.Errorf("%d totals were added and %d returned", len(totals), len(sums))
	}
	for i, sum := range sums {
		totals[i] = event.Total{Type: sum.EventType, Count: sum.Count}
	}
	return totals, nil
}

// appendCount appends a row to a JSON array that has been opened.
func appendCount(text []byte, eventType string, numbers ...int64) []byte {
	if len(text) > 1 {
		text = append(text, ',')
	}
	// It fails for invalid UTF-8 only, which it makes U+FFFD, as SQLite would.
	text, _ = jsontext.AppendQuote(append(text, '['), eventType)
	for _, n := range numbers {
		text = strconv.AppendInt(append(text, ','), n, 10)
	}
	return append(text, ']')
}

// closed closes the array. It is a string, for bytes would be taken for JSONB.
func closed(text []byte) string { return string(append(text, ']')) }

// check refuses what SQLite would take and PostgreSQL would not.
func check(e *event.Event) error {
	var reason string
	switch {
	case e.OccurredAt < minOccurredAt || e.OccurredAt > maxOccurredAt:
		reason = "a time is outside the calendar"
	case e.Payload != nil && !json.Valid(e.Payload):
		reason = "a payload is not JSON" // a CHECK in the table costs three times as much
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
