package sqlite

import (
	"errors"
	"fmt"
	"testing"

	"highload.example/analytics/impl/event"
)

func openInternal(t *testing.T) (*Store, *Writer) {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w, err := s.OpenWriter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, w.(*Writer)
}

// pragma runs on the connection that writes.
func pragma(t *testing.T, s *Store, text string) {
	t.Helper()
	session, err := s.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.giveBack(session, true)
	if err := session.exec(t.Context(), "PRAGMA "+text); err != nil {
		t.Fatal(err)
	}
}

func events(n int) []event.Event {
	batch := make([]event.Event, n)
	for i := range batch {
		batch[i] = event.Event{UserID: int64(1 + i), OccurredAt: 1690000000, ID: event.ID{1}, Type: "fill"}
		batch[i].Payload = fmt.Appendf(nil, `{"text":"%01000d"}`, i)
	}
	return batch
}

// A full disk rolls the transaction back by itself; the session stays usable
// and the service returns when there is room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s, w := openInternal(t)
	pragma(t, s, "max_page_count = 40")
	batch := events(500)
	for range 3 {
		if _, err := w.Write(t.Context(), batch, make([]event.Outcome, len(batch))); !errors.Is(err, event.ErrUnavailable) {
			t.Fatalf("Write to a full disk: %v", err)
		} else {
			t.Log(err)
		}
	}
	pragma(t, s, "max_page_count = 1000000")
	outcomes := make([]event.Outcome, len(batch))
	totals, err := w.Write(t.Context(), batch, outcomes)
	if err != nil {
		t.Fatal(err)
	}
	if len(totals) != 1 || totals[0] != (event.Total{Type: "fill", Count: 500}) {
		t.Errorf("totals %v", totals)
	}
	for _, o := range outcomes {
		if o != event.Accepted {
			t.Fatalf("outcome %v: part of a failed batch was stored", o)
		}
	}
}

func TestReadOnlyFile(t *testing.T) {
	t.Parallel()
	s, w := openInternal(t)
	pragma(t, s, "query_only = 1")
	if _, err := w.Write(t.Context(), events(1), make([]event.Outcome, 1)); !errors.Is(err, event.ErrUnavailable) {
		t.Fatalf("Write: %v", err)
	}
	pragma(t, s, "query_only = 0")
	if _, err := w.Write(t.Context(), events(1), make([]event.Outcome, 1)); err != nil {
		t.Fatal(err)
	}
}

// A session that is stuck in a transaction is replaced.
func TestStuckSessionIsReplaced(t *testing.T) {
	t.Parallel()
	s, w := openInternal(t)
	session, err := s.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := session.exec(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	s.giveBack(session, true)
	if _, err := w.Write(t.Context(), events(1), make([]event.Outcome, 1)); err == nil {
		t.Fatal("a transaction was begun inside another one")
	}
	if _, err := w.Write(t.Context(), events(1), make([]event.Outcome, 1)); err != nil {
		t.Fatalf("after the session was replaced: %v", err)
	}
}

// A defect in the middle of a batch doesn't keep the others from writing.
func TestPanicGivesTheTurnBack(t *testing.T) {
	t.Parallel()
	s, w := openInternal(t)
	now := s.config.Now
	s.config.Now = nil
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = w.Write(t.Context(), events(1), make([]event.Outcome, 1))
	}()
	s.config.Now = now
	outcomes := make([]event.Outcome, 1)
	if _, err := w.Write(t.Context(), events(1), outcomes); err != nil || outcomes[0] != event.Accepted {
		t.Fatalf("afterwards: %v, %v", outcomes, err)
	}
}

func TestFloor(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]int64{0: 0, 59: 0, 60: 60, 61: 60, -1: -60, -60: -60, -61: -120} {
		if got := floor(n, 60); got != want {
			t.Errorf("floor(%d) = %d, want %d", n, got, want)
		}
	}
}
