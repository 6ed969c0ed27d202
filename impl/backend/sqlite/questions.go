package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"highload.example/analytics/gen/sqlitedb"
	"highload.example/analytics/impl/daycounts"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
)

var (
	_ query.Counter = (*Store)(nil)
	_ query.Reader  = (*Store)(nil)
)

// RankedTypes implements query.Counter.
func (s *Store) RankedTypes(ctx context.Context, prefix string, after *query.TypeCount, limit int) ([]query.TypeCount, error) {
	// No character of a type is behind the tilde.
	params := sqlitedb.RankedTypesParams{Prefix: prefix, PrefixEnd: prefix + "~", AfterCount: 1<<63 - 1, PageSize: int64(limit)}
	if after != nil {
		params.AfterCount, params.AfterType = after.Count, after.Type
	}
	found, err := s.query.RankedTypes(ctx, params)
	if err != nil {
		return nil, translate(ctx, "rank event types", err)
	}
	types := make([]query.TypeCount, len(found))
	for i, t := range found {
		types[i] = query.TypeCount{Type: t.EventType, Count: t.Count}
	}
	return types, nil
}

// MinuteCounts implements query.Counter.
func (s *Store) MinuteCounts(ctx context.Context, types []string, edges []int64, add func(eventType string, bucket int, count int64)) error {
	const doing = "read counts"
	// One transaction sees a minute before or after it was folded into its day.
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return translate(ctx, doing, err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	c := counts{q: s.query.WithTx(tx), edges: edges, add: add}
	c.first, c.last = edges[0], edges[len(edges)-1]
	_, c.minuteDays = daycounts.Cuts(edges)
	if types == nil {
		return translate(ctx, doing, c.ofAll(ctx))
	}
	for _, eventType := range types {
		if err := c.ofType(ctx, eventType); err != nil {
			return translate(ctx, doing, err)
		}
	}
	return nil
}

// counts reads counts within one transaction.
type counts struct {
	q           *sqlitedb.Queries
	edges       []int64
	first, last int64
	minuteDays  []int64
	add         func(eventType string, bucket int, count int64)
}

// minute puts a count of a new minute into its bucket.
func (c *counts) minute(eventType string, at, count int64) {
	low, high := 0, len(c.edges)
	for low < high {
		if mid := (low + high) / 2; c.edges[mid] <= at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	c.add(eventType, low-1, count)
}

// day spreads a day's counts over the buckets.
func (c *counts) day(ctx context.Context, eventType string, day int64, row daycounts.Row) error {
	for _, d := range c.minuteDays {
		if d == day {
			var err error
			if row.Minutes, err = c.q.DayOf(ctx, sqlitedb.DayOfParams{EventType: eventType, Day: day}); err != nil {
				return err
			}
		}
	}
	return daycounts.Spread(c.edges, day, row, func(bucket int, n int64) { c.add(eventType, bucket, n) })
}

func (c *counts) ofType(ctx context.Context, eventType string) error {
	minutes, err := c.q.NewCountsOfType(ctx, sqlitedb.NewCountsOfTypeParams{FirstEdge: c.first, LastEdge: c.last, EventType: eventType})
	if err != nil {
		return err
	}
	for _, m := range minutes {
		c.minute(eventType, m.Bucket, m.Count)
	}
	days, err := c.q.DaysOfType(ctx, sqlitedb.DaysOfTypeParams{
		EventType: eventType, FirstDay: daycounts.Begin(c.first), LastDay: daycounts.Begin(c.last - 1),
	})
	if err != nil {
		return err
	}
	for _, d := range days {
		if err := c.day(ctx, eventType, d.Day, daycounts.Row{Count: d.Count, Quarters: d.Quarters}); err != nil {
			return err
		}
	}
	return nil
}

func (c *counts) ofAll(ctx context.Context) error {
	minutes, err := c.q.NewCountsOfAll(ctx, sqlitedb.NewCountsOfAllParams{FirstEdge: c.first, LastEdge: c.last})
	if err != nil {
		return err
	}
	for _, m := range minutes {
		c.minute(m.EventType, m.Bucket, m.Count)
	}
	days, err := c.q.DaysOfAll(ctx, sqlitedb.DaysOfAllParams{FirstDay: daycounts.Begin(c.first), LastDay: daycounts.Begin(c.last - 1)})
	if err != nil {
		return err
	}
	for _, d := range days {
		if err := c.day(ctx, d.EventType, d.Day, daycounts.Row{Count: d.Count, Quarters: d.Quarters}); err != nil {
			return err
		}
	}
	return nil
}

// ReadsAllTypes implements query.Reader: events are in the order of time alone.
func (s *Store) ReadsAllTypes() bool { return true }

// Aggregate implements query.Reader. SQLite finds the events of the range and the types; the
// rest is quicker done in the program than in its SQL.
func (s *Store) Aggregate(ctx context.Context, a *query.Aggregation) (*query.Table, error) {
	aggregator := query.NewAggregator(a)
	err := s.each(ctx, "answer a question", slice(&a.Slice, false, a.NeedsPayload()), func(r *query.Row, _ []byte) error {
		return aggregator.Add(r)
	})
	if err != nil {
		return nil, err
	}
	return aggregator.Table(), nil
}

// ScanSteps implements query.Reader.
func (s *Store) ScanSteps(ctx context.Context, scan *query.StepScan, yield func(*query.StepEvent) error) error {
	all := query.Slice{From: scan.From, To: scan.To}
	for _, step := range scan.Steps {
		all.Types = append(all.Types, step.Type)
	}
	collector := query.NewCollector(scan)
	err := s.each(ctx, "follow users", slice(&all, true, scan.NeedsPayload()), func(r *query.Row, id []byte) error {
		return collector.Add(r, event.ID(id))
	})
	if err != nil {
		return err
	}
	return collector.Each(yield)
}

// List implements query.Reader. Events are kept in this very order.
func (s *Store) List(ctx context.Context, l *query.Listing, yield func(*event.Event) error) error {
	n := 0
	err := s.each(ctx, "list events", list(l), func(r *query.Row, id []byte) error {
		fits, err := l.Slice.Condition.Match(r)
		if err != nil || !fits {
			return err
		}
		e := event.Event{UserID: r.UserID, OccurredAt: r.OccurredAt, ID: event.ID(id), Type: r.Type}
		if r.Payload != nil {
			e.Payload = append([]byte{}, r.Payload...)
		}
		if n++; n > l.Limit {
			return errEnough
		}
		return yield(&e)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// list returns the statement of a listing.
func list(l *query.Listing) *statement {
	of := l.Slice
	if l.After != nil {
		// Of two bounds SQLite would begin at the one of the slice, and walk through all
		// that has been listed already.
		if l.Oldest {
			of.From = max(of.From, l.After.OccurredAt)
		} else {
			of.To = min(of.To, l.After.OccurredAt+1)
		}
	}
	statement := slice(&of, true, true)
	direction, beyond := " DESC", " < "
	if l.Oldest {
		direction, beyond = "", " > "
	}
	if l.After != nil {
		statement.where("(occurred_at, event_id, user_id)"+beyond+"(?, ?, ?)", l.After.OccurredAt, l.After.ID[:], l.After.UserID)
	}
	statement.text.WriteString(" ORDER BY occurred_at" + direction + ", event_id" + direction + ", user_id" + direction)
	if len(l.Slice.Condition.Filters) == 0 {
		statement.text.WriteString(" LIMIT ?")
		statement.args = append(statement.args, l.Limit)
	}
	return statement
}

// errEnough ends a walk.
var errEnough = errors.New("that was enough")

// statement is SQL in the making. Whatever comes from a question is an argument.
type statement struct {
	text strings.Builder
	args []any
}

func (s *statement) where(text string, args ...any) {
	s.text.WriteString(" AND " + text)
	s.args = append(s.args, args...)
}

// slice returns the statement of the events in a slice's range, of its types and user.
func slice(of *query.Slice, id, payload bool) *statement {
	s := &statement{}
	s.text.WriteString("SELECT user_id, occurred_at, event_type")
	for _, column := range []struct {
		name   string
		wanted bool
	}{{"event_id", id}, {"payload", payload}} {
		if !column.wanted {
			column.name = "NULL"
		}
		s.text.WriteString(", " + column.name)
	}
	s.text.WriteString(" FROM events WHERE occurred_at >= ?")
	s.args = append(s.args, of.From)
	s.where("occurred_at < ?", of.To)
	if n := len(of.Types); n > 0 {
		s.text.WriteString(" AND event_type IN (?" + strings.Repeat(", ?", n-1) + ")")
		for _, t := range of.Types {
			s.args = append(s.args, t)
		}
	}
	if of.UserID != 0 {
		s.where("user_id = ?", of.UserID)
	}
	return s
}

// each runs a statement and hands over its rows; what they point to is valid until the
// next. Errors of take are passed on as they are.
func (s *Store) each(ctx context.Context, doing string, of *statement, take func(r *query.Row, id []byte) error) error {
	rows, err := s.read.QueryContext(ctx, of.text.String(), of.args...)
	if err != nil {
		return translate(ctx, doing, err)
	}
	defer func() { _ = rows.Close() }() // it only read; what failed is in Err
	var r query.Row
	var eventType, id, payload sql.RawBytes
	names := map[string]string{} // so that a type's name is made once
	for rows.Next() {
		if err := rows.Scan(&r.UserID, &r.OccurredAt, &eventType, &id, &payload); err != nil {
			return translate(ctx, doing, err)
		}
		name, known := names[string(eventType)]
		if !known {
			name = string(eventType)
			names[name] = name
		}
		r.Type, r.Payload = name, payload
		if err := take(&r, id); err != nil {
			return err
		}
	}
	return translate(ctx, doing, rows.Err())
}
