package postgres_test

import (
	"sync"
	"testing"
	"time"

	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/testkit"
)

// slotOf writes a new event and returns where it was counted.
func slotOf(t *testing.T, w ingest.Writer, n int) int32 {
	t.Helper()
	totals := mustWrite(t, w, login(n))
	if len(totals) != 1 {
		t.Fatalf("totals %v", totals)
	}
	return totals[0].Slot
}

func TestSlotsAreGivenBack(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	a, b := open(t, postgres.Config{URL: url}), open(t, postgres.Config{URL: url})
	first, second := openWriter(t, a), openWriter(t, b)
	if x, y := slotOf(t, first, 1), slotOf(t, second, 2); x != 0 || y != 1 {
		t.Errorf("slots %d and %d", x, y)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if x, y := slotOf(t, openWriter(t, b), 3), slotOf(t, openWriter(t, a), 4); x != 0 || y != 2 {
		t.Errorf("slots %d and %d, want the one given back and a new one", x, y)
	}
	wantRows(t, a, 4)
}

func TestManyWritersClaimAtOnce(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	stores := []testStore{open(t, postgres.Config{URL: url}), open(t, postgres.Config{URL: url})}
	const n = 20
	writers := make([]ingest.Writer, n)
	errs := make([]error, n)
	var done sync.WaitGroup
	for i := range writers {
		done.Go(func() { writers[i], errs[i] = stores[i%2].OpenWriter(t.Context()) })
	}
	done.Wait()
	seen := make(map[int32]bool)
	for i, w := range writers {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		seen[slotOf(t, w, i)] = true
	}
	if len(seen) != n {
		t.Errorf("%d slots for %d writers", len(seen), n)
	}
}

func TestSlotsAreRenewed(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	s := open(t, postgres.Config{URL: url, SlotLease: 300 * time.Millisecond})
	w := openWriter(t, s)
	begin := s.value(t, `SELECT expires_at::text FROM writer_slots`)
	testkit.Eventually(t, patience, "the lease to be extended by several lengths", func() bool {
		return s.value(t, `SELECT (expires_at > $1::text::timestamptz + interval '1 s')::text FROM writer_slots`, begin) == "true"
	})
	if slot := slotOf(t, w, 1); slot != 0 {
		t.Errorf("slot %d", slot)
	}

	// A slot that was given back is not renewed.
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.value(t, `SELECT expires_at::text FROM writer_slots`); got != "-infinity" {
		t.Errorf("the lease after Close ends at %s", got)
	}
}

func TestSlotOfADeadStoreIsTakenOver(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	dead, err := postgres.Open(t.Context(), postgres.Config{URL: url, SlotLease: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	slotOf(t, openWriter(t, dead), 1)
	if err := dead.Close(); err != nil { // without closing the writer
		t.Fatal(err)
	}
	s := open(t, postgres.Config{URL: url})
	testkit.Eventually(t, patience, "the lease to end", func() bool {
		return s.value(t, `SELECT (expires_at < now())::text FROM writer_slots`) == "true"
	})
	if slot := slotOf(t, openWriter(t, s), 2); slot != 0 {
		t.Errorf("slot %d, want the dead store's", slot)
	}
	wantRows(t, s, 2)
}

func TestWriterThatLostItsSlotClaimsAnother(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	s := open(t, postgres.Config{URL: url, SlotLease: 300 * time.Millisecond})
	w := openWriter(t, s)
	slotOf(t, w, 0)
	s.exec(t, `UPDATE writer_slots SET owner = gen_random_uuid(), expires_at = now() + interval '1 hour'`)
	n := 0
	testkit.Eventually(t, patience, "the writer to notice", func() bool {
		n++
		return slotOf(t, w, n) == 1
	})
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.value(t, `SELECT string_agg(slot::text, ',') FROM writer_slots WHERE expires_at > now()`); got != "0" {
		t.Errorf("slots in use after Close: %s, want that of the other", got)
	}
	wantRows(t, s, n+1)
}

// A partition is attached while other transactions insert and read, without
// waiting for them.
func TestPartitionIsMadeBesideOtherTransactions(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	w := openWriter(t, s)
	mustWrite(t, w, login(0))

	tx, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO events SELECT user_id, occurred_at, gen_random_uuid(), received_at, 'other' FROM events`,
		`SELECT count(*) FROM events`,
	} {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	old := login(1)
	old.OccurredAt = time.Date(2001, 5, 6, 7, 8, 9, 0, time.UTC).Unix()
	mustWrite(t, w, old)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRows(t, s, 2)
	if got := s.value(t, `SELECT string_agg(inhrelid::regclass::text, ',' ORDER BY inhrelid::regclass::text) FROM pg_inherits
		WHERE inhparent = 'events'::regclass`); got != "events_2001_05,events_2023_07" {
		t.Errorf("partitions %s", got)
	}
}

func TestManyWritersMakeTheSamePartitions(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	const writers, months = 6, 24
	batch := make([]event.Event, months)
	for i := range batch {
		batch[i] = login(i)
		batch[i].OccurredAt = time.Date(2010, time.Month(1+i), 31, 23, 59, 59, 0, time.UTC).Unix()
	}
	var done sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		s := open(t, postgres.Config{URL: url, MaxConns: 2}) // each has to find out for itself
		w := openWriter(t, s)
		done.Go(func() { _, _, errs[i] = write(t.Context(), w, batch...) })
	}
	done.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	wantRows(t, open(t, postgres.Config{URL: url}), months)
}

func TestDroppedPartitionIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	w := openWriter(t, s)
	mustWrite(t, w, login(0))
	s.exec(t, `DROP TABLE events_2023_07`)
	mustWrite(t, w, login(1))
	if got := s.value(t, `SELECT count(*)::text FROM events`); got != "1" {
		t.Errorf("%s rows", got)
	}
}
