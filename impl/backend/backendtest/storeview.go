package backendtest

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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

// Counts returns the count of every type and minute.
func (v PostgresView) Counts(ctx context.Context) (map[Minute]int64, error) {
	rows, err := v.DB.Query(ctx, `SELECT event_type, extract(epoch FROM bucket)::bigint, sum(count)::bigint
		FROM event_counts GROUP BY 1, 2`)
	if err != nil {
		return nil, err
	}
	counts := make(map[Minute]int64)
	var m Minute
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&m.Type, &m.Begin, &n}, func() error {
		counts[m] = n
		return nil
	})
	return counts, err
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
	counts := make(map[Minute]int64)
	err := v.each(ctx, `SELECT event_type, bucket, count FROM event_counts`, func(rows *sql.Rows) error {
		var m Minute
		var n int64
		err := rows.Scan(&m.Type, &m.Begin, &n)
		counts[m] += n
		return err
	})
	return counts, err
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
