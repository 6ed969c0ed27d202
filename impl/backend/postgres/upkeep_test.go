package postgres_test

import (
	"errors"
	"testing"
	"time"

	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/testkit"
)

// Who runs ANALYZE on the table keeps partitions from being attached. Nobody else
// waits for that: not the batches of a replica that has just started, and asks for
// each of its months.
func TestPartitionsAheadWaitForTheirTurnAlone(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	// Were there no limit to its wait, a batch would be given up long before it.
	s := open(t, postgres.Config{URL: url, StatementTimeout: time.Hour})
	mustWrite(t, openWriter(t, s), login(0))
	tx, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	from := time.Unix(login(0).OccurredAt, 0)
	ahead := make(chan error, 1)
	go func() { ahead <- s.EnsurePartitions(t.Context(), from, from.AddDate(0, 2, 0)) }()
	testkit.Eventually(t, patience, "someone to hold the lock of partition makers", func() bool {
		return s.value(t, `SELECT (count(*) > 0)::text FROM pg_locks WHERE locktype = 'advisory' AND granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == "true" || len(ahead) > 0
	})
	mustWrite(t, openWriter(t, open(t, postgres.Config{URL: url})), login(1)) // or the statement times out
	if err := <-ahead; !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("EnsurePartitions: %v, want ErrUnavailable", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.EnsurePartitions(t.Context(), from, from.AddDate(0, 2, 0)); err != nil {
		t.Error(err)
	}
	if got := s.value(t, `SELECT count(*)::text FROM pg_inherits WHERE inhparent = 'events'::regclass`); got != "3" {
		t.Errorf("%s partitions, want 3", got)
	}
	// The time-out was the transaction's alone.
	var timeout string
	if err := s.Pool().QueryRow(t.Context(), `SHOW lock_timeout`).Scan(&timeout); err != nil || timeout != "0" {
		t.Errorf("lock_timeout is %q, %v", timeout, err)
	}
}

// What is being folded is in nobody's slot: whoever stores a late event doesn't wait for
// folding to end, however far away from the database it is done.
func TestFoldingKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	w := openWriter(t, s)
	mustWrite(t, w, login(0))
	// 1. Folding gets as far as the days.
	days, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := days.Exec(t.Context(), `LOCK TABLE event_days`); err != nil {
		t.Fatal(err)
	}
	end := time.Unix(login(0).OccurredAt, 0).Add(time.Hour)
	if _, _, err := s.Fold(t.Context(), end); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Fold while the days are locked: %v", err)
	}
	if err := days.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// 2. It holds what it takes.
	fold, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if tag, err := fold.Exec(t.Context(), `DELETE FROM event_counts WHERE slot < 0`); err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("%s, %v", tag, err)
	}
	late := login(0)
	late.ID[0] = 99
	mustWrite(t, w, late) // or the statement times out
	if err := fold.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// 3. Nothing is lost.
	if rows, _, err := s.Fold(t.Context(), end); err != nil || rows != 1 {
		t.Errorf("%d rows folded, %v", rows, err)
	}
	if got := s.value(t, `SELECT (SELECT sum(count) FROM event_days)::text || ' ' || (SELECT count(*) FROM event_counts)`); got != "2 0" {
		t.Errorf("counts in days and rows of minutes: %s", got)
	}
}
