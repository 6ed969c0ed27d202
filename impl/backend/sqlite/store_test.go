package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/impl/backend/backendtest"
	"highload.example/analytics/impl/backend/sqlite"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
)

// testStore looks into the file with a connection of its own.
type testStore struct {
	*sqlite.Store
	backendtest.SQLiteView
}

func open(t testing.TB, dir string) testStore {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(db.Close(), s.Close()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return testStore{Store: s, SQLiteView: backendtest.SQLiteView{DB: db}}
}

func openWriter(t testing.TB, s ingest.Store) ingest.Writer {
	t.Helper()
	w, err := s.OpenWriter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func write(t testing.TB, w ingest.Writer, batch ...event.Event) []event.Outcome {
	t.Helper()
	outcomes := make([]event.Outcome, len(batch))
	if _, err := w.Write(t.Context(), batch, outcomes); err != nil {
		t.Fatal(err)
	}
	return outcomes
}

// login returns the n-th event of user 1.
func login(n int) event.Event {
	e := event.Event{UserID: 1, OccurredAt: 1690000000 + int64(n), Type: "login"}
	e.ID[0] = 1
	return e
}

func total(t testing.TB, s testStore, eventType string) int64 {
	t.Helper()
	totals, err := s.Totals(t.Context(), []string{eventType})
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, v := range totals {
		sum += v.Count
	}
	return sum
}

func TestContract(t *testing.T) {
	t.Parallel()
	backendtest.Store(t, func(t *testing.T) backendtest.TestStore { return open(t, t.TempDir()) })
}

func TestUpkeep(t *testing.T) {
	t.Parallel()
	backendtest.Upkeep(t, func(t *testing.T) backendtest.KeptStore { return open(t, t.TempDir()) })
}

func BenchmarkWrite(b *testing.B) { backendtest.BenchmarkWrite(b, open(b, b.TempDir())) }

func TestSecondOpenIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir)
	_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if !errors.Is(err, event.ErrConflict) {
		t.Fatalf("second Open: %v", err)
	}
	if want := "data directory " + dir + " is in use by another analytics process"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the error is %q, want %q", err, want)
	}
	if n := write(t, openWriter(t, first), login(1)); n[0] != event.Accepted {
		t.Errorf("the first store after that: %v", n)
	}
	if err := errors.Join(first.DB.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if n := total(t, again, "login"); n != 1 {
		t.Errorf("total after the lock was given back: %d", n)
	}
}

func TestUnusableDirectories(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	readOnly := filepath.Join(t.TempDir(), "read-only")
	if err := os.Mkdir(readOnly, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		readOnly = "/sys" // not even root can make files there
	}
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "analytics.db"), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), readOnly, damaged} {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
		if err == nil {
			t.Errorf("%s was opened: %v", dir, s.Close())
			continue
		}
		t.Log(err)
		if !strings.Contains(err.Error(), "data directory "+dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("not one line that names %s: %v", dir, err)
		}
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{}); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("no directory: %v", err)
	}
}

func TestDirectoryIsMade(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b", "100%", "c?d=e&f#g", "ж")
	s := open(t, dir)
	write(t, openWriter(t, s), login(1))
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if perm := info.Mode().Perm(); perm != 0o700 {
		t.Errorf("the directory's rights are %o", perm)
	}
	if _, err := os.Stat(filepath.Join(dir, "analytics.db")); err != nil {
		t.Error(err)
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for run := range 3 {
		s := open(t, dir)
		if n := total(t, s, "login"); n != int64(run) {
			t.Errorf("run %d: total %d", run, n)
		}
		for n := range run {
			if o := write(t, openWriter(t, s), login(n)); o[0] != event.Duplicate {
				t.Errorf("run %d: event %d of an earlier run is %v", run, n, o[0])
			}
		}
		if o := write(t, openWriter(t, s), login(run)); o[0] != event.Accepted {
			t.Errorf("run %d: %v", run, o[0])
		}
		if err := errors.Join(s.DB.Close(), s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		// Everything is in the one file, which can be copied.
		if _, err := os.Stat(filepath.Join(dir, "analytics.db-wal")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the log after Close: %v", err)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.DB.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.DB.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if !errors.Is(err, event.ErrConflict) || !strings.Contains(err.Error(), "99999") {
		t.Errorf("Open: %v", err)
	}
}

func TestReceivedAtComesFromTheClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	write(t, openWriter(t, s), login(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var received int64
	if err := open(t, dir).DB.QueryRow(`SELECT received_at FROM events`).Scan(&received); err != nil {
		t.Fatal(err)
	}
	if received != now.UnixMicro() {
		t.Errorf("received_at %d, want %d", received, now.UnixMicro())
	}
}

func TestClosedStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := openWriter(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(t.Context(), []event.Event{login(1)}, make([]event.Outcome, 1)); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Write: %v", err)
	}
	if _, err := s.Totals(t.Context(), []string{"login"}); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Totals: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Ping: %v", err)
	}
}

// Another program that opens the file and holds its lock is waited for, then
// the batch fails as a whole.
func TestLockedFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, BusyTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := openWriter(t, s)

	other, err := sql.Open("sqlite", filepath.Join(dir, "analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.Exec(`BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := w.Write(t.Context(), []event.Event{login(1)}, make([]event.Outcome, 1)); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("Write to a locked file: %v", err)
		}
	}
	if _, err := other.Exec(`ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if o := write(t, w, login(1)); o[0] != event.Accepted {
		t.Errorf("afterwards: %v", o[0])
	}
}
