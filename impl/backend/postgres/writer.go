package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/gen/pgdb"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/failpoint"
	"highload.example/analytics/impl/ingest"
)

// Writer stores batches of events. It is used by one goroutine at a time and
// keeps its buffers from batch to batch.
type Writer struct {
	store  *Store
	slot   slot
	rows   rows
	closed bool
}

// OpenWriter claims a slot in the count tables and returns a writer that counts
// there. Errors match event.ErrUnavailable when the database doesn't answer.
func (s *Store) OpenWriter(ctx context.Context) (ingest.Writer, error) {
	sl, err := s.slots.claim(ctx)
	if err != nil {
		return nil, err
	}
	return &Writer{store: s, slot: sl}, nil
}

// Write stores a batch as ingest.Writer says, in one statement, which is one
// transaction. Its answer counts only when the server has said that the
// commit is done, so that nil means durably committed.
func (w *Writer) Write(ctx context.Context, batch []event.Event, outcomes []event.Outcome) ([]event.Total, error) {
	if len(batch) != len(outcomes) || w.closed {
		return nil, fmt.Errorf("postgres: write: %d events, %d outcomes, closed: %t", len(batch), len(outcomes), w.closed)
	}
	if len(batch) == 0 {
		return nil, nil
	}

	// 1. A slot of our own, in case ours was taken over during an outage.
	if !w.store.slots.holds(w.slot) {
		sl, err := w.store.slots.claim(ctx)
		if err != nil {
			return nil, err
		}
		w.slot = sl
	}

	// 2. Distinct rows in the order of their keys.
	defer w.rows.release()
	if err := w.rows.fill(batch); err != nil {
		return nil, err
	}
	w.rows.params.Slot = w.slot.number

	// 3. A partition for each of their months.
	if err := w.store.ensurePartitions(ctx, w.rows.months); err != nil {
		return nil, err
	}

	// 4. Insert and count.
	doing := "write a batch"
	answer, err := w.insert(ctx)
	if isMissingPartition(err) {
		// One that we knew is gone. Nothing was stored, so once more.
		w.store.partitions.forget()
		if err := w.store.ensurePartitions(ctx, w.rows.months); err != nil {
			return nil, err
		}
		answer, err = w.insert(ctx)
		if isMissingPartition(err) {
			return nil, &failure{doing: doing, reason: "partitions are being dropped", kinds: []error{event.ErrUnavailable}}
		}
	}
	if err != nil {
		return nil, w.store.translate(ctx, doing, err)
	}

	// 5. What became of each event.
	return w.rows.outcomes(answer, w.slot.number, outcomes), nil
}

// insert runs the statement that stores and counts the batch.
func (w *Writer) insert(ctx context.Context) ([]pgdb.InsertEventsRow, error) {
	if failpoint.Enabled && failpoint.Armed(failpoint.BeforeCommit) {
		return w.insertInSteps(ctx)
	}
	return w.store.queries.InsertEvents(ctx, w.rows.params)
}

// insertInSteps does so in a transaction that another statement commits, so that
// there is a moment in between.
func (w *Writer) insertInSteps(ctx context.Context) (answer []pgdb.InsertEventsRow, err error) {
	err = pgx.BeginFunc(ctx, w.store.pool, func(tx pgx.Tx) error {
		answer, err = w.store.queries.WithTx(tx).InsertEvents(ctx, w.rows.params)
		failpoint.Hit(failpoint.BeforeCommit)
		return err
	})
	return answer, err
}

// Close gives the slot back. If that fails, its lease ends by itself. Closing
// twice does nothing.
func (w *Writer) Close(ctx context.Context) error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.store.slots.release(ctx, w.slot)
}
