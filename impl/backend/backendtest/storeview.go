package backendtest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"highload.example/analytics/impl/daycounts"
	"highload.example/analytics/impl/event"
)

// PostgresView looks into a database with connections of its own. Together
// with a store of the same database it makes a TestStore.
type PostgresView struct{ DB *pgxpool.Pool }

// Rows returns every stored event.
func (v PostgresView) Rows(ctx context.Context) ([]event.Event, error) {
	rows, err := v.DB.Query(ctx, `SELECT user_id, extract(epoch FROM occurred_at)::bigint, event_id, event_type,
		convert_to(payload::text, 'UTF8') FROM events`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (event.Event, error) {
		var e event.Event
		var id [16]byte
		err := row.Scan(&e.UserID, &e.OccurredAt, &id, &e.Type, &e.Payload)
		e.ID = id
		return e, err
	})
}

// everyCount reads what is counted: new minutes, and days; and of the events how many there
// are in each minute. It is one statement, and so of one moment. %s are the dialect's.
const everyCount = `SELECT 'minute', event_type, %[1]s, count, %[3]s, %[3]s FROM event_counts
	UNION ALL SELECT 'day', event_type, %[2]s, count, quarters, minutes FROM event_days
	UNION ALL SELECT 'event', event_type, %[4]s, count(*), %[3]s, %[3]s FROM events GROUP BY 2, 3`

var (
	postgresCounts = fmt.Sprintf(everyCount, "extract(epoch FROM bucket)::bigint", "extract(epoch FROM day)::bigint", "NULL::bytea",
		"extract(epoch FROM date_trunc('minute', occurred_at))::bigint")
	sqliteCounts = fmt.Sprintf(everyCount, "bucket", "day", "NULL", "occurred_at - occurred_at % 60")
)

// counted is what everyCount reads.
type counted struct {
	kind, eventType   string
	begin, count      int64
	quarters, minutes []byte
}

// tally adds up what everyCount read.
type tally struct {
	counts map[Minute]int64 // from both tables
	events map[Minute]int64
	recent int // rows that are not folded into their days
}

func newTally() *tally { return &tally{counts: map[Minute]int64{}, events: map[Minute]int64{}} }

// add takes in a row. The error says that a day contradicts itself.
func (t *tally) add(c *counted) error {
	switch c.kind {
	case "minute":
		t.counts[Minute{c.eventType, c.begin}] += c.count
		t.recent++
	case "event":
		t.events[Minute{c.eventType, c.begin}] += c.count
	case "day":
		var day daycounts.Day
		if err := daycounts.Each(c.minutes, daycounts.Minutes, func(minute int, n int64) {
			day[minute] = n
			t.counts[Minute{c.eventType, c.begin + int64(minute)*daycounts.MinuteSeconds}] += n
		}); err != nil {
			return err
		}
		if row := day.Pack(); row.Count != c.count || !bytes.Equal(row.Quarters, c.quarters) {
			return fmt.Errorf("the day %d of %s says %d, its minutes say %d", c.begin, c.eventType, c.count, row.Count)
		}
	}
	return nil
}

// miscounted returns how many counts differ from the events.
func (t *tally) miscounted() (n int) {
	for m, count := range t.counts {
		if t.events[m] != count {
			n++
		}
	}
	for m := range t.events {
		if t.counts[m] == 0 {
			n++
		}
	}
	return n
}

// Counts returns the count of every type and minute.
func (v PostgresView) Counts(ctx context.Context) (map[Minute]int64, error) {
	t, err := v.tally(ctx)
	return t.counts, err
}

// Miscounted returns how many counts differ from the rows, as KeptStore says.
func (v PostgresView) Miscounted(ctx context.Context) (int, error) {
	t, err := v.tally(ctx)
	return t.miscounted(), err
}

// Recent returns how many counts are not folded into their days.
func (v PostgresView) Recent(ctx context.Context) (int, error) {
	t, err := v.tally(ctx)
	return t.recent, err
}

func (v PostgresView) tally(ctx context.Context) (*tally, error) {
	t := newTally()
	rows, err := v.DB.Query(ctx, postgresCounts)
	if err != nil {
		return t, err
	}
	var c counted
	_, err = pgx.ForEachRow(rows, []any{&c.kind, &c.eventType, &c.begin, &c.count, &c.quarters, &c.minutes}, func() error { return t.add(&c) })
	return t, err
}

// SQLiteView looks into a file with connections of its own. Together with a
// store of the same file it makes a TestStore.
type SQLiteView struct{ DB *sql.DB }

// Rows returns every stored event, or an error when one is not stored in the
// form that the schema describes.
func (v SQLiteView) Rows(ctx context.Context) (events []event.Event, err error) {
	err = v.each(ctx, `SELECT user_id, occurred_at, event_id, event_type, payload, typeof(payload) FROM events`,
		func(rows *sql.Rows) error {
			var e event.Event
			var id []byte
			var form string
			if err := rows.Scan(&e.UserID, &e.OccurredAt, &id, &e.Type, &e.Payload, &form); err != nil {
				return err
			}
			if (e.Payload == nil && form != "null") || (e.Payload != nil && form != "text") || len(id) != len(e.ID) {
				return fmt.Errorf("payload %.100q is stored as %s, the id in %d bytes", e.Payload, form, len(id))
			}
			copy(e.ID[:], id)
			events = append(events, e)
			return nil
		})
	return events, err
}

// Counts returns the count of every type and minute.
func (v SQLiteView) Counts(ctx context.Context) (map[Minute]int64, error) {
	t, err := v.tally(ctx)
	return t.counts, err
}

// Miscounted returns how many counts differ from the rows, as KeptStore says.
func (v SQLiteView) Miscounted(ctx context.Context) (int, error) {
	t, err := v.tally(ctx)
	return t.miscounted(), err
}

// Recent returns how many counts are not folded into their days.
func (v SQLiteView) Recent(ctx context.Context) (int, error) {
	t, err := v.tally(ctx)
	return t.recent, err
}

func (v SQLiteView) tally(ctx context.Context) (*tally, error) {
	t := newTally()
	return t, v.each(ctx, sqliteCounts, func(rows *sql.Rows) error {
		var c counted
		if err := rows.Scan(&c.kind, &c.eventType, &c.begin, &c.count, &c.quarters, &c.minutes); err != nil {
			return err
		}
		return t.add(&c)
	})
}

func (v SQLiteView) each(ctx context.Context, query string, scan func(*sql.Rows) error) error {
	rows, err := v.DB.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
