package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/sql/schema"
)

// nextVersion is the schema version of nextMigrations.
const nextVersion = 90_000

// nextMigrations are those of a later program: this program's and one more. It
// builds an index concurrently, for which PostgreSQL waits until every older
// snapshot is gone: a process that waits for its turn must not hold one.
func nextMigrations(t *testing.T) fs.FS {
	t.Helper()
	next := fstest.MapFS{fmt.Sprintf("%d_next.sql", nextVersion): {Data: []byte(`-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY event_totals_count_idx ON event_totals (count);
`)}}
	for _, name := range migrationFiles(t) {
		data, err := fs.ReadFile(schema.Postgres(), name)
		if err != nil {
			t.Fatal(err)
		}
		next[name] = &fstest.MapFile{Data: data}
	}
	return next
}

// migrationFiles lists this program's migrations.
func migrationFiles(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(schema.Postgres(), "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("migrations: %q, %v", names, err)
	}
	return names
}

func TestEightMigrateAtOnce(t *testing.T) {
	t.Parallel()
	for name, upgrade := range map[string]bool{"an empty database": false, "an older schema with events": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, outcome := testkit.EmptyPostgres(t), event.Accepted
			if upgrade {
				if err := postgres.Migrate(t.Context(), url, nil); err != nil {
					t.Fatal(err)
				}
				mustWrite(t, openWriter(t, open(t, postgres.Config{URL: url})), logins(0, 3)...)
				outcome = event.Duplicate
			}
			next := nextMigrations(t)
			const replicas = 8
			errs := make([]error, replicas)
			var done sync.WaitGroup
			for i := range errs {
				done.Go(func() { errs[i] = postgres.MigrateWith(t.Context(), url, slog.New(slog.DiscardHandler), next) })
			}
			done.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			s := open(t, postgres.Config{URL: url})
			versions := len(migrationFiles(t)) + 1
			want := fmt.Sprintf("%d for %d up to %d", versions, versions, nextVersion)
			if got := s.value(t, `SELECT count(*) || ' for ' || count(DISTINCT version_id) || ' up to ' || max(version_id) FROM goose_db_version WHERE version_id > 0`); got != want {
				t.Errorf("migrations applied: %s versions, want %s", got, want)
			}
			if got := s.value(t, `SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'event_totals_count_idx'::regclass`); got != "true" {
				t.Errorf("the index is valid: %s", got)
			}
			if got := s.value(t, `SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); got != "0" {
				t.Errorf("%s locks are still held", got)
			}
			outcomes, _, err := write(t.Context(), openWriter(t, s), logins(0, 3)...)
			if err != nil {
				t.Fatal(err)
			}
			wantAll(t, outcomes, outcome)
			if err := postgres.MigrateWith(t.Context(), url, nil, next); err != nil {
				t.Errorf("again: %v", err)
			}
			wantRows(t, s, 3)
		})
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	if err := postgres.Migrate(t.Context(), url, nil); err != nil {
		t.Fatal(err)
	}
	if err := postgres.MigrateWith(t.Context(), url, nil, nextMigrations(t)); err != nil {
		t.Fatal(err)
	}
	err := postgres.Migrate(t.Context(), url, nil)
	if !errors.Is(err, event.ErrConflict) || errors.Is(err, event.ErrUnavailable) || !strings.Contains(err.Error(), strconv.Itoa(nextVersion)) {
		t.Errorf("Migrate: %v", err)
	}
	t.Log(err)
}

func TestMigrateWaitsForTheLock(t *testing.T) {
	t.Parallel()
	url := testkit.EmptyPostgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `SELECT pg_advisory_lock(hashtextextended('analytics:migrations', 0))`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := postgres.Migrate(ctx, url, nil); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Migrate while another migrates: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- postgres.Migrate(t.Context(), url, nil) }()
	if _, err := conn.Exec(t.Context(), `SELECT pg_advisory_unlock(hashtextextended('analytics:migrations', 0))`); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestMigrateWithoutServer(t *testing.T) {
	t.Parallel()
	err := postgres.Migrate(t.Context(), "postgres://u:secret@127.0.0.1:1/db", nil)
	if !errors.Is(err, event.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("Migrate: %v", err)
	}
}
