package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"highload.example/analytics/gen/pgdb"
	"highload.example/analytics/impl/daycounts"
)

// foldRows is how many rows of event_counts are set aside in one statement, and folded in
// one transaction: no row is kept from its writer for longer than the statement takes,
// some 10 ms on 2 cores, however far away the database is.
const foldRows = 2000

// foldWait is how long folding waits for somebody who has locked the days.
const foldWait = 100 * time.Millisecond

// typeDay is a type and the beginning of a day.
type typeDay struct {
	eventType string
	day       int64
}

// Fold puts minutes before the given instant, which is rounded down to a minute, into the
// rows of their days: some of them in one transaction. It returns how many rows
// it took, and whether there may be more. Another process that folds at the same moment
// is left to it. Errors match event.ErrUnavailable when the database doesn't answer.
func (s *Store) Fold(ctx context.Context, before time.Time) (rows int, more bool, err error) {
	minute := timestamptz(before.Truncate(time.Minute).Unix())
	// 1. Out of the way of those who write.
	aside, err := s.queries.SetMinutesAside(ctx, pgdb.SetMinutesAsideParams{Before: minute, RowLimit: foldRows})
	if err != nil {
		return 0, false, s.translate(ctx, "set counts aside", err)
	}
	// 2. Into their days.
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.queries.WithTx(tx)
		if err := q.SetLockTimeout(ctx, milliseconds(foldWait)); err != nil {
			return err
		}
		mine, err := q.TryFolding(ctx)
		if err != nil || !mine {
			return err
		}
		taken, err := q.TakeMinutes(ctx, pgdb.TakeMinutesParams{Before: minute, RowLimit: foldRows})
		if err != nil || len(taken) == 0 {
			return err
		}
		rows = len(taken)
		days := map[typeDay]*daycounts.Day{}
		for _, t := range taken {
			at := t.Bucket.Time.Unix()
			key := typeDay{t.EventType, daycounts.Begin(at)}
			if days[key] == nil {
				days[key] = &daycounts.Day{}
			}
			days[key][(at-key.day)/daycounts.MinuteSeconds] += t.Count
		}
		return putDays(ctx, q, days)
	})
	if err != nil {
		return 0, false, s.translate(ctx, "fold counts", err)
	}
	return rows, aside >= foldRows || rows >= foldRows, nil
}

// putDays adds minutes to the rows of their days.
func putDays(ctx context.Context, q *pgdb.Queries, days map[typeDay]*daycounts.Day) error {
	var which pgdb.DaysOfParams
	for key := range days {
		which.EventTypes = append(which.EventTypes, key.eventType)
		which.Days = append(which.Days, date(key.day))
	}
	known, err := q.DaysOf(ctx, which)
	if err != nil {
		return err
	}
	for _, row := range known {
		day := days[typeDay{row.EventType, row.Day.Time.Unix()}]
		if err := daycounts.Each(row.Minutes, daycounts.Minutes, func(minute int, count int64) { day[minute] += count }); err != nil {
			return err
		}
	}
	var put pgdb.PutDaysParams
	for key, day := range days {
		row := day.Pack()
		put.EventTypes = append(put.EventTypes, key.eventType)
		put.Days = append(put.Days, date(key.day))
		put.Counts = append(put.Counts, row.Count)
		put.Quarters = append(put.Quarters, row.Quarters)
		put.Minutes = append(put.Minutes, row.Minutes)
	}
	return q.PutDays(ctx, put)
}

// date is the day that begins at an instant.
func date(begin int64) pgtype.Date {
	return pgtype.Date{Time: time.Unix(begin, 0).UTC(), Valid: true}
}
