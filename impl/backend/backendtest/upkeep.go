package backendtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/upkeep"
)

// KeptStore is a record that is kept in shape.
type KeptStore interface {
	TestStore
	upkeep.Store

	// Miscounted returns how many counts of a type and minute differ from the rows. It
	// asks in one statement, and so at one moment.
	Miscounted(ctx context.Context) (int, error)

	// Recent returns how many rows of counts are not folded into their days.
	Recent(ctx context.Context) (int, error)
}

// Upkeep checks that a backend keeps the contract of upkeep.Store.
func Upkeep(t *testing.T, open func(t *testing.T) KeptStore) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, s KeptStore){
		"old minutes are folded into their days":            testFold,
		"no moment has a wrong count, whoever writes":       testFoldUnderLoad,
		"many minutes are folded in pieces":                 testFoldInPieces,
		"room for months ahead is made while events arrive": testPartitionsUnderLoad,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			test(t, s)
			checkCounts(t, s)
		})
	}
}

// foldAll folds until there is nothing more, and returns how many rows it were.
func foldAll(t *testing.T, s KeptStore, before time.Time) (folded int) {
	t.Helper()
	for {
		rows, more, err := s.Fold(context.Background(), before)
		if err != nil {
			t.Fatal(err)
		}
		folded += rows
		if !more {
			return folded
		}
	}
}

// noon is a whole hour in the past.
const noon = 1690000000 - 1690000000%3600

func at(eventType string, seconds int64) event.Event {
	e := newEvent(eventType)
	e.OccurredAt = noon + seconds
	return e
}

func testFold(t *testing.T, s KeptStore) {
	w, other := writer(t, s), writer(t, s)
	for _, second := range []int64{-1, 0, 59, 60, 61, 899, 900, 901, 1000, 3599} {
		write(t, w, at("view", second), at("view", second), at("purchase", second))
		write(t, other, at("view", second))
	}
	wanted := func(recent int) {
		t.Helper()
		if n, err := s.Recent(t.Context()); err != nil || n != recent {
			t.Errorf("%d rows are not folded, %v; want %d", n, err, recent)
		}
		if n, err := s.Miscounted(t.Context()); err != nil || n != 0 {
			t.Errorf("%d counts are wrong, %v", n, err)
		}
	}
	horizon := time.Unix(noon+960+59, 0) // which is rounded down
	if foldAll(t, s, horizon) == 0 {
		t.Error("nothing was folded")
	}
	before, err := s.Recent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wanted(before)
	if before == 0 {
		t.Error("what is after the horizon was folded, too")
	}
	if again := foldAll(t, s, horizon); again != 0 {
		t.Errorf("folding again folded %d rows", again)
	}
	// Late events are counted, and folded by the next round: one piece, however many come.
	write(t, w, at("view", 65), at("view", 899), at("login", 70), at("view", -86_400))
	wanted(before + 4)
	if rows, more, err := s.Fold(t.Context(), horizon); rows != 4 || more || err != nil {
		t.Errorf("%d late events were folded, more: %t, %v", rows, more, err)
	}
	wanted(before)
	foldAll(t, s, time.Unix(noon+7200, 0))
	wanted(0)
}

// testFoldUnderLoad: writers send late events into exactly the minutes that two
// folders fold, and a reader never sees fewer than were stored when it began, nor
// more than were sent when it ended.
func testFoldUnderLoad(t *testing.T, s KeptStore) {
	const (
		writers = 4
		batches = 40
		size    = 25
	)
	var (
		sent, stored atomic.Int64
		writing      sync.WaitGroup
		others       sync.WaitGroup
	)
	done := make(chan struct{})
	ongoing := func() bool {
		select {
		case <-done:
			return false
		default:
			return true
		}
	}
	for range writers {
		w := writer(t, s)
		writing.Go(func() {
			for range batches {
				batch := make([]event.Event, size)
				for i := range batch {
					batch[i] = at([]string{"view", "purchase", "login"}[rand.IntN(3)], rand.Int64N(3600))
				}
				sent.Add(size)
				if _, err := w.Write(context.Background(), batch, make([]event.Outcome, size)); err != nil {
					t.Errorf("a writer: %v", err)
					return
				}
				stored.Add(size)
			}
		})
	}
	for range 2 {
		others.Go(func() {
			for ongoing() {
				if _, _, err := s.Fold(context.Background(), time.Unix(noon+7200, 0)); err != nil {
					t.Errorf("a folder: %v", err)
					return
				}
			}
		})
	}
	reads := 0
	others.Go(func() {
		for ; ongoing(); reads++ {
			least := stored.Load()
			counts, err := s.Counts(context.Background())
			if err != nil {
				t.Errorf("the reader: %v", err)
				return
			}
			sum := int64(0)
			for _, n := range counts {
				sum += n
			}
			if n, err := s.Miscounted(context.Background()); n != 0 || err != nil {
				t.Errorf("%d counts are wrong at one moment, %v", n, err)
				return
			}
			if most := sent.Load(); sum < least || sum > most {
				t.Errorf("read %d events, at least %d were stored before and %d sent", sum, least, most)
			}
		}
	})
	writing.Wait()
	close(done)
	others.Wait()
	if reads == 0 {
		t.Error("the reader read nothing")
	}
	foldAll(t, s, time.Unix(noon+7200, 0))
	if n, err := s.Recent(t.Context()); err != nil || n != 0 {
		t.Errorf("%d rows are left, %v", n, err)
	}
}

func testFoldInPieces(t *testing.T, s KeptStore) {
	const minutes = 6000
	w := writer(t, s)
	batch := make([]event.Event, minutes)
	for i := range batch {
		batch[i] = at("view", int64(60*i))
	}
	write(t, w, batch...)
	end := time.Unix(noon+60*minutes, 0)
	rows, more, err := s.Fold(t.Context(), end)
	if err != nil || !more || rows == 0 || rows > 5000 {
		t.Fatalf("the first piece has %d rows, more: %t, %v", rows, more, err)
	}
	if n, err := s.Miscounted(t.Context()); err != nil || n != 0 {
		t.Errorf("between two pieces %d counts are wrong, %v", n, err)
	}
	foldAll(t, s, end)
	if n, err := s.Recent(t.Context()); err != nil || n != 0 {
		t.Errorf("%d rows are left, %v", n, err)
	}
}

func testPartitionsUnderLoad(t *testing.T, s KeptStore) {
	var writing sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		w := writer(t, s)
		writing.Go(func() {
			for n := int64(0); ; n++ {
				select {
				case <-done:
					return
				default:
				}
				batch := []event.Event{at("view", n), at("view", n)}
				if _, err := w.Write(context.Background(), batch, make([]event.Outcome, len(batch))); err != nil {
					t.Errorf("a writer: %v", err)
					return
				}
			}
		})
	}
	from := time.Unix(noon, 0)
	var making sync.WaitGroup
	for range 2 { // as replicas do
		making.Go(func() {
			// It doesn't wait long for its locks, and is asked again later; what it made stays.
			for range 100 {
				err := s.EnsurePartitions(context.Background(), from, from.AddDate(1, 0, 0))
				if err == nil {
					return
				}
				if !errors.Is(err, event.ErrUnavailable) {
					t.Error(err)
					return
				}
			}
			t.Error("there was never a moment for the partitions")
		})
	}
	making.Wait()
	close(done)
	writing.Wait()
}
