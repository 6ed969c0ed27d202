package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver of the embedded database

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/report"
)

// countedByStats sums what GET /stats says of every type that the events have.
func (i *instance) countedByStats(ctx context.Context) (sum int64, err error) {
	for _, name := range i.source.Types() {
		status, body, err := harness.Request(ctx, http.MethodGet, i.product.URL+"/stats/"+url.PathEscape(name))
		if err != nil {
			return 0, err
		}
		var stats struct {
			Count int64 `json:"count"`
		}
		if status != http.StatusOK {
			return 0, fmt.Errorf("GET /stats/%s: %d %.200s", name, status, body)
		}
		if err := json.Unmarshal(body, &stats); err != nil {
			return 0, fmt.Errorf("GET /stats/%s: %.200s: %w", name, body, err)
		}
		sum += stats.Count
	}
	return sum, nil
}

// audit compares what was sent with what is stored, and stops an embedded server
// for it. It returns nil for the baseline server. Findings that aren't right are no
// error of this method: see generator.Findings.Err.
func (i *instance) audit(ctx context.Context) (*generator.Findings, error) {
	a := generator.NewAudit(i.source, i.ledger)
	var counted int64
	var err error
	switch i.mode {
	case report.Replica:
		if counted, err = i.settledCount(ctx); err == nil {
			err = readPostgres(ctx, i.database, a)
		}
	case report.Embedded:
		if counted, err = i.countedByStats(ctx); err == nil {
			err = i.product.Close(ctx)
		}
		if err == nil {
			err = readSQLite(ctx, filepath.Join(i.dir, "data", "analytics.db"), a)
		}
	default:
		return nil, nil //nolint:nilnil // nothing was to be stored
	}
	if err != nil {
		return nil, fmt.Errorf("checking what %s stored: %w", i.name(), err)
	}
	findings := a.Finish(counted)
	return &findings, nil
}

// settleTimeout bounds how long a server may take, after its last response, to store what it
// responded to with 503, and to count it.
const settleTimeout = time.Minute

// settledCount waits until GET /stats and the number of rows agree. When they
// don't in the end, that is for the findings to say.
func (i *instance) settledCount(ctx context.Context) (counted int64, err error) {
	conn, err := harness.Connect(ctx, i.database)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	rows := func() (n int64, err error) {
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM events").Scan(&n); err != nil {
			return 0, fmt.Errorf("counting the rows: %w", err)
		}
		return n, nil
	}
	errUnsettled := errors.New("rows and counts differ")
	err = harness.Poll(ctx, settleTimeout, func(context.Context) error {
		before, err := rows()
		if err != nil {
			return harness.Permanent(err)
		}
		if counted, err = i.countedByStats(ctx); err != nil {
			return harness.Permanent(err)
		}
		after, err := rows()
		if err != nil {
			return harness.Permanent(err)
		}
		if before != counted || counted != after {
			return errUnsettled
		}
		return nil
	})
	if errors.Is(err, errUnsettled) && ctx.Err() == nil {
		err = nil
	}
	return counted, err
}

func readPostgres(ctx context.Context, url string, a *generator.Audit) (err error) {
	conn, err := harness.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, "SELECT event_id, user_id, extract(epoch FROM occurred_at)::bigint, event_type FROM events")
	if err != nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	var r generator.Row
	if _, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&r.ID), &r.UserID, &r.OccurredAt, &r.Type}, func() error {
		a.Row(r)
		return nil
	}); err != nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	return nil
}

func readSQLite(ctx context.Context, file string, a *generator.Audit) (err error) {
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		return fmt.Errorf("opening %s: %w", filepath.Base(file), err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, "SELECT event_id, user_id, occurred_at, event_type FROM events")
	if err != nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r generator.Row
		var id sql.RawBytes
		if err := rows.Scan(&id, &r.UserID, &r.OccurredAt, &r.Type); err != nil {
			return fmt.Errorf("reading the events: %w", err)
		}
		if copy(r.ID[:], id) != len(r.ID) || len(id) != len(r.ID) {
			return fmt.Errorf("an event has an id of %d bytes: %x", len(id), id)
		}
		a.Row(r)
	}
	return rows.Err()
}
