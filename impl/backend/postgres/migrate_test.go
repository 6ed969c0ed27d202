package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/testkit"
)

func TestEightMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := testkit.EmptyPostgres(t)
	const replicas = 8
	errs := make([]error, replicas)
	var done sync.WaitGroup
	for i := range errs {
		done.Go(func() { errs[i] = postgres.Migrate(t.Context(), url, slog.New(slog.DiscardHandler)) })
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	s := open(t, postgres.Config{URL: url})
	if got := s.value(t, `SELECT count(*) || ' for ' || count(DISTINCT version_id) || ' up to ' || max(version_id) FROM goose_db_version WHERE version_id > 0`); got != "3 for 3 up to 3" {
		t.Errorf("migrations applied: %s versions", got)
	}
	if got := s.value(t, `SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); got != "0" {
		t.Errorf("%s locks are still held", got)
	}
	mustWrite(t, openWriter(t, s), logins(0, 3)...)
	if err := postgres.Migrate(t.Context(), url, nil); err != nil {
		t.Errorf("again: %v", err)
	}
	wantRows(t, s, 3)
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	if err := postgres.Migrate(t.Context(), url, nil); err != nil {
		t.Fatal(err)
	}
	s := open(t, postgres.Config{URL: url})
	s.exec(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	err := postgres.Migrate(t.Context(), url, nil)
	if !errors.Is(err, event.ErrConflict) || errors.Is(err, event.ErrUnavailable) || !strings.Contains(err.Error(), "99999") {
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
