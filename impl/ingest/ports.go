package ingest

import (
	"context"

	"highload.example/analytics/impl/event"
)

// Store is the record of events. Any number of replicas may write to one.
type Store interface {
	// OpenWriter prepares a writer. It is used by one goroutine at a time.
	OpenWriter(ctx context.Context) (Writer, error)
}

// Writer stores batches of events.
type Writer interface {
	// Write stores the batch in one transaction, counts what is new in the same
	// transaction, and sets outcomes[i] to what became of batch[i]. The slices
	// have the same length; equal keys may occur in a batch, then the first
	// occurrence decides and the others are duplicates.
	//
	// A nil error means durably committed; then the new absolute totals of
	// the types that grew are returned. Errors match
	//   - event.ErrInvalid: an event in the batch can't be stored, ever; nothing
	//     was stored. The caller finds it by bisection.
	//   - event.ErrUnavailable: the database didn't answer, refused, or its answer
	//     to COMMIT was lost. Nothing is known; writing the batch again is safe.
	// and anything else is a defect; nothing was stored.
	Write(ctx context.Context, batch []event.Event, outcomes []event.Outcome) ([]event.Total, error)

	// Close gives back what the writer holds. The writer is not used after it.
	Close(ctx context.Context) error
}

// Counters are the counts that replicas share and may lose.
type Counters interface {
	// Publish merges new totals, each by maximum, so that publishing twice, late
	// or out of order is harmless.
	Publish(ctx context.Context, totals []event.Total) error
}
