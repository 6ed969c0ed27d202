package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver of the embedded database

	"highload.example/analytics/test/load/generator"
)

// asker asks the few questions that aren't part of any load.
var asker = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// ask gets a page from a server of ours.
func ask(ctx context.Context, address, path string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("asking for %s: %w", path, err)
	}
	answer, err := asker.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("asking for %s: %w", path, err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	body, err = io.ReadAll(answer.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return answer.StatusCode, body, nil
}

// countedByStats sums what GET /stats says of every type that the events have.
func (in *instance) countedByStats(ctx context.Context) (sum int64, err error) {
	for _, name := range in.source.Types() {
		status, body, err := ask(ctx, in.address, "/stats/"+url.PathEscape(name))
		if err != nil {
			return 0, err
		}
		var answer struct {
			Count int64 `json:"count"`
		}
		if status != http.StatusOK {
			return 0, fmt.Errorf("GET /stats/%s answered %d: %.200s", name, status, body)
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return 0, fmt.Errorf("GET /stats/%s answered %.200s: %w", name, body, err)
		}
		sum += answer.Count
	}
	return sum, nil
}

// audit holds what was sent against what is stored, and stops an embedded server
// for it. It returns nil for the bare server. Findings that aren't right are no
// error of this method: see generator.Findings.Err.
func (in *instance) audit(ctx context.Context) (*generator.Findings, error) {
	a := generator.NewAudit(in.source, in.ledger)
	var counted int64
	var err error
	switch in.mode {
	case modeReplica:
		if counted, err = in.settledCount(ctx); err == nil {
			err = readPostgres(ctx, in.database.url, a)
		}
	case modeEmbedded:
		if counted, err = in.countedByStats(ctx); err == nil {
			err = in.process.Stop()
		}
		if err == nil {
			err = readSQLite(ctx, filepath.Join(in.dir, "data", "analytics.db"), a)
		}
	default:
		return nil, nil //nolint:nilnil // nothing was to be stored
	}
	if err != nil {
		return nil, fmt.Errorf("checking what %s stored: %w", in.name(), err)
	}
	findings := a.Finish(counted)
	return &findings, nil
}

// settleTimeout is how long a server may take, after the last answer, to finish
// what it had answered with 503 and to count it.
const settleTimeout = 10 * time.Second

// settledCount waits until GET /stats and the number of rows agree. When they
// don't in the end, that is for the findings to say.
func (in *instance) settledCount(ctx context.Context) (counted int64, err error) {
	conn, err := pgx.Connect(ctx, in.database.url)
	if err != nil {
		return 0, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	deadline := time.Now().Add(settleTimeout)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		var before, after int64
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM events").Scan(&before); err != nil {
			return 0, fmt.Errorf("counting the rows: %w", err)
		}
		if counted, err = in.countedByStats(ctx); err != nil {
			return 0, err
		}
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM events").Scan(&after); err != nil {
			return 0, fmt.Errorf("counting the rows: %w", err)
		}
		if before == counted && counted == after || time.Now().After(deadline) {
			return counted, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func readPostgres(ctx context.Context, url string, a *generator.Audit) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
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
