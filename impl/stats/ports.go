package stats

import (
	"context"

	"highload.example/analytics/impl/event"
)

// Reader reads the record.
type Reader interface {
	// Totals returns the totals of the given types, every slot of each; a type
	// without events has none. Errors match event.ErrUnavailable when the
	// database doesn't answer.
	Totals(ctx context.Context, eventTypes []string) ([]event.Total, error)

	// Types returns up to limit event types after the given one, in byte order.
	Types(ctx context.Context, after string, limit int) ([]string, error)
}

// Live holds the totals that replicas share. It is a copy of the record that may
// lack anything: only what it calls complete may be answered from it.
type Live interface {
	// Publish merges new totals, each by maximum. It makes nothing complete.
	Publish(ctx context.Context, totals []event.Total) error

	// Count returns the sum of a type's totals. ok is false unless the type was
	// filled since the holder last lost its data.
	Count(ctx context.Context, eventType string) (count int64, ok bool, err error)

	// Totals returns what is held of a type, complete or not.
	Totals(ctx context.Context, eventType string) ([]event.Total, error)

	// Fill merges totals, which are all of the type's totals in the record, by
	// maximum, and marks the type complete, in one step.
	Fill(ctx context.Context, eventType string, totals []event.Total) error

	// Generation changes when the totals may have become those of an earlier moment:
	// when another server holds them, or the same one has restarted with a copy. Such
	// totals call themselves complete and are not. 0: they began with this process.
	Generation() uint64

	// Forget drops what is held of a type, and with it its completeness, in one step.
	Forget(ctx context.Context, eventType string) error
}
