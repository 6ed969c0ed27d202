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

// session is an open session of a database, for hand-written SQL.
type session interface {
	// query runs a statement and hands over each of its rows.
	query(ctx context.Context, statement string, args []any, each func(scanner) error) error
	close() error
}

func (d *deployment) openSession(ctx context.Context) (session, error) {
	if d.store == postgres {
		return openPostgresSession(ctx, d.url)
	}
	return openSQLiteSession(ctx, d.dir)
}

type postgresSession struct{ conn *pgx.Conn }

// openPostgresSession opens a session with what the product sets for queries: statements
// are prepared once, planned each time for their arguments, and not compiled.
func openPostgresSession(ctx context.Context, url string) (*postgresSession, error) {
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
	return &postgresSession{conn}, nil
}

func (s *postgresSession) query(ctx context.Context, statement string, args []any, each func(scanner) error) error {
	rows, err := s.conn.Query(ctx, statement, args...)
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

func (s *postgresSession) close() error { return s.conn.Close(context.Background()) }

type sqliteSession struct {
	db   *sql.DB
	conn *sql.Conn
}

// openSQLiteSession opens the product's file as the product's readers do.
func openSQLiteSession(ctx context.Context, dir string) (*sqliteSession, error) {
	name := url.URL{Scheme: "file", Path: filepath.Join(dir, "analytics.db"), OmitHost: true, RawQuery: "mode=ro&_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("opening SQLite's file: %w", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening SQLite's file: %w", err), db.Close())
	}
	return &sqliteSession{db, conn}, nil
}

func (s *sqliteSession) query(ctx context.Context, statement string, args []any, each func(scanner) error) error {
	rows, err := s.conn.QueryContext(ctx, statement, args...)
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

func (s *sqliteSession) close() error { return errors.Join(s.conn.Close(), s.db.Close()) }
