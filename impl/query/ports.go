package query

import (
	"context"
	"time"

	"highload.example/analytics/impl/event"
)

// Counter reads what was counted while events were stored.
type Counter interface {
	// RankedTypes returns up to limit types that begin with prefix, the most frequent
	// first, those of equal counts in byte order, behind after (nil: from the first).
	RankedTypes(ctx context.Context, prefix string, after *TypeCount, limit int) ([]TypeCount, error)

	// MinuteCounts adds the events of the types (nil: all), each in its bucket, to what add
	// is called with: bucket i is [edges[i], edges[i+1]). Edges ascend and are on whole
	// minutes.
	MinuteCounts(ctx context.Context, types []string, edges []int64, add func(eventType string, bucket int, count int64)) error
}

// Reader reads events. What it is asked has been checked. Errors match
// event.ErrUnavailable when the store doesn't answer, and ErrTooExpensive when it would
// take too long or too much memory.
type Reader interface {
	Aggregate(ctx context.Context, a *Aggregation) (*Table, error)
	ScanSteps(ctx context.Context, scan *StepScan, yield func(*StepEvent) error) error
	List(ctx context.Context, l *Listing, yield func(*event.Event) error) error

	// ReadsAllTypes says whether events of all types in a range are read to find those of
	// some.
	ReadsAllTypes() bool
}

// Totals counts the events of a type since the beginning.
type Totals interface {
	Count(ctx context.Context, eventType string) (int64, error)
}

// Observer hears what was answered, for metrics.
type Observer interface {
	QuestionAnswered(operation string, plan Plan, took time.Duration, err error)
}
