package postgres

import (
	"context"
	"math"

	"highload.example/analytics/gen/pgdb"
	"highload.example/analytics/impl/event"
)

// Totals returns the totals of the given types, every slot of each; a type
// without events has none. Errors match event.ErrUnavailable when the database
// doesn't answer.
func (s *Store) Totals(ctx context.Context, eventTypes []string) ([]event.Total, error) {
	if len(eventTypes) == 0 {
		return nil, nil
	}
	found, err := s.queries.TotalsOfTypes(ctx, eventTypes)
	if err != nil {
		return nil, s.translate(ctx, "read totals", err)
	}
	totals := make([]event.Total, len(found))
	for i, t := range found {
		totals[i] = event.Total{Type: t.EventType, Slot: t.Slot, Count: t.Count}
	}
	return totals, nil
}

// Types returns up to limit event types after the given one, in byte order.
// Errors match event.ErrUnavailable when the database doesn't answer.
func (s *Store) Types(ctx context.Context, after string, limit int) ([]string, error) {
	types, err := s.queries.TypesAfter(ctx, pgdb.TypesAfterParams{
		After: after, PageSize: int32(max(0, min(limit, math.MaxInt32))),
	})
	return types, s.translate(ctx, "list event types", err)
}
