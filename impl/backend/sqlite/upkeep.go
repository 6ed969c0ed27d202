package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"highload.example/analytics/gen/sqlitedb"
	"highload.example/analytics/impl/daycounts"
)

// foldRows is how many rows of event_counts are folded in one transaction, which
// batches wait for.
const foldRows = 5000

// EnsurePartitions does nothing: the file has none.
func (s *Store) EnsurePartitions(context.Context, time.Time, time.Time) error { return nil }

// Fold puts minutes before the given instant, which is rounded down to a minute, into the
// rows of their days: some of them in one transaction, the oldest first. It returns
// how many rows it took, and whether there may be more. Errors match
// event.ErrUnavailable when the file can't be written.
func (s *Store) Fold(ctx context.Context, before time.Time) (rows int, more bool, err error) {
	const doing = "fold counts"
	session, err := s.take(ctx)
	if err != nil {
		return 0, false, err
	}
	usable := false // unless transaction returns and says so
	defer func() { s.giveBack(session, usable) }()
	unbroken := context.WithoutCancel(ctx) // see session
	usable, err = session.transaction(ctx, func() error {
		old, err := session.queries.OldMinutes(unbroken, sqlitedb.OldMinutesParams{
			Before: before.Truncate(time.Minute).Unix(), RowLimit: foldRows,
		})
		if err != nil || len(old) == 0 {
			return err
		}
		rows = len(old)
		last := old[rows-1]
		if err := session.queries.DropMinutes(unbroken, sqlitedb.DropMinutesParams{Bucket: last.Bucket, EventType: last.EventType}); err != nil {
			return err
		}
		return putDays(unbroken, session.queries, old)
	})
	if err != nil {
		return 0, false, translate(ctx, doing, err)
	}
	return rows, rows >= foldRows, nil
}

// putDays adds minutes to the rows of their days.
func putDays(ctx context.Context, q *sqlitedb.Queries, minutes []sqlitedb.EventCount) error {
	type typeDay struct {
		eventType string
		day       int64
	}
	days := map[typeDay]*daycounts.Day{}
	for _, m := range minutes {
		key := typeDay{m.EventType, daycounts.Begin(m.Bucket)}
		if days[key] == nil {
			days[key] = &daycounts.Day{}
		}
		days[key][(m.Bucket-key.day)/daycounts.MinuteSeconds] += m.Count
	}
	for key, day := range days {
		packed, err := q.DayOf(ctx, sqlitedb.DayOfParams{EventType: key.eventType, Day: key.day})
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := daycounts.Each(packed, daycounts.Minutes, func(minute int, count int64) { day[minute] += count }); err != nil {
			return err
		}
		row := day.Pack()
		if err := q.PutDay(ctx, sqlitedb.PutDayParams{
			EventType: key.eventType, Day: key.day, Count: row.Count, Quarters: row.Quarters, Minutes: row.Minutes,
		}); err != nil {
			return err
		}
	}
	return nil
}
