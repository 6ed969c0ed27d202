package sqlite

import (
	"context"

	"highload.example/analytics/gen/sqlitedb"
	"highload.example/analytics/impl/event"
)

// Totals returns the totals of the given types, all in slot 0; a type without
// events has none. Errors match event.ErrUnavailable when the file can't be
// read.
func (s *Store) Totals(ctx context.Context, eventTypes []string) ([]event.Total, error) {
	var totals []event.Total
	// A statement has a highest number of parameters (32,766).
	const perStatement = 1000
	for len(eventTypes) > 0 {
		n := min(len(eventTypes), perStatement)
		found, err := s.query.TotalsOfTypes(ctx, eventTypes[:n])
		if err != nil {
			return nil, translate(ctx, "read totals", err)
		}
		for _, t := range found {
			totals = append(totals, event.Total{Type: t.EventType, Count: t.Count})
		}
		eventTypes = eventTypes[n:]
	}
	return totals, nil
}

// Types returns up to limit event types after the given one, in byte order.
// Errors match event.ErrUnavailable when the file can't be read.
func (s *Store) Types(ctx context.Context, after string, limit int) ([]string, error) {
	types, err := s.query.TypesAfter(ctx, sqlitedb.TypesAfterParams{After: after, PageSize: int64(max(0, limit))})
	return types, translate(ctx, "list event types", err)
}
