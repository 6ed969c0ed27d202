package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver "sqlite", the product's own
)

// scanner reads a row.
type scanner func(columns ...any) error

// hand is a session of somebody who writes SQL by hand. It stays open.
type hand interface {
	// query runs a statement and hands over each of its rows.
	query(ctx context.Context, statement string, args []any, each func(scanner) error) error
	close() error
}

func (d *deployment) openHand(ctx context.Context) (hand, error) {
	if d.store == postgres {
		return openPostgresHand(ctx, d.url)
	}
	return openSQLiteHand(ctx, d.dir)
}

type postgresHand struct{ conn *pgx.Conn }

// openPostgresHand opens a session with what the product sets for questions: statements
// are prepared once, planned each time for what they are asked, and not compiled.
func openPostgresHand(ctx context.Context, url string) (*postgresHand, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading PostgreSQL's URL: %w", err)
	}
	config.RuntimeParams["jit"] = "off"
	config.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	return &postgresHand{conn}, nil
}

func (h *postgresHand) query(ctx context.Context, statement string, args []any, each func(scanner) error) error {
	rows, err := h.conn.Query(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (h *postgresHand) close() error { return h.conn.Close(context.Background()) }

type sqliteHand struct {
	db   *sql.DB
	conn *sql.Conn
}

// openSQLiteHand opens the product's file as the product's readers do.
func openSQLiteHand(ctx context.Context, dir string) (*sqliteHand, error) {
	name := url.URL{Scheme: "file", Path: filepath.Join(dir, "analytics.db"), OmitHost: true, RawQuery: "mode=ro&_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("opening SQLite's file: %w", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening SQLite's file: %w", err), db.Close())
	}
	return &sqliteHand{db, conn}, nil
}

func (h *sqliteHand) query(ctx context.Context, statement string, args []any, each func(scanner) error) error {
	rows, err := h.conn.QueryContext(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	defer func() { _ = rows.Close() }() // it only read; what failed is in Err
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (h *sqliteHand) close() error { return errors.Join(h.conn.Close(), h.db.Close()) }
