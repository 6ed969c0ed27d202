package backendtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

	// Miscounted returns how many counts differ from the rows: of each type's
	// minutes from the horizon on, and of its quarter hours before. It asks in one
	// statement, and so at one moment.
	Miscounted(ctx context.Context) (int, error)
}

// Miscounted returns how many counts differ from the rows, as KeptStore says.
func (v PostgresView) Miscounted(ctx context.Context) (n int, err error) {
	err = v.DB.QueryRow(ctx, `WITH changes AS (
			SELECT event_type, bucket AS at, count AS n FROM event_counts
			UNION ALL SELECT event_type, occurred_at, -1 FROM events
		), wrong AS (
			SELECT FROM changes c, count_horizon h
			GROUP BY c.event_type, CASE WHEN c.at >= h.minutes_since THEN date_trunc('minute', c.at)
				ELSE date_bin('15 minutes', c.at, '2000-01-01 00:00:00+00') END
			HAVING sum(c.n) <> 0
		)
		SELECT count(*) FROM wrong`).Scan(&n)
	return n, err
}

// Miscounted returns how many counts differ from the rows, as KeptStore says.
func (v SQLiteView) Miscounted(ctx context.Context) (n int, err error) {
	err = v.DB.QueryRowContext(ctx, `WITH changes AS (
			SELECT event_type, bucket AS at, count AS n FROM event_counts
			UNION ALL SELECT event_type, occurred_at, -1 FROM events
		), wrong AS (
			SELECT 1 FROM changes c, count_horizon h
			GROUP BY c.event_type, c.at / CASE WHEN c.at >= h.minutes_since THEN 60 ELSE 900 END, c.at >= h.minutes_since
			HAVING sum(c.n) <> 0
		)
		SELECT count(*) FROM wrong`).Scan(&n)
	return n, err
}

// Upkeep checks that a backend keeps the contract of upkeep.Store.
func Upkeep(t *testing.T, open func(t *testing.T) KeptStore) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, s KeptStore){
		"old minutes become quarter hours":                  testFold,
		"no moment has a wrong count, whoever writes":       testFoldUnderLoad,
		"from the horizon on every minute is exact":         testHorizonUnderLoad,
		"many minutes are folded in pieces":                 testFoldInPieces,
		"room for months ahead is made while events arrive": testPartitionsUnderLoad,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			test(t, s)
			checkQuarters(t, s)
		})
	}
}

// quarters sums counts by quarter hour.
func quarters(counts map[Minute]int64) map[Minute]int64 {
	sums := map[Minute]int64{}
	for m, n := range counts {
		m.Begin -= (m.Begin%900 + 900) % 900
		sums[m] += n
	}
	return sums
}

// checkQuarters compares the counts with the rows, by quarter hour.
func checkQuarters(t *testing.T, s TestStore) {
	t.Helper()
	counts, err := s.Counts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Rows(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	stored := map[Minute]int64{}
	for _, e := range rows {
		stored[Minute{Type: e.Type, Begin: e.OccurredAt}]++
	}
	if got, want := quarters(counts), quarters(stored); !maps.Equal(got, want) {
		t.Errorf("counts by quarter hour differ from the rows:\n%v\n%v", got, want)
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
	horizon := time.Unix(noon+1800+899, 0) // which is rounded down
	if foldAll(t, s, horizon) == 0 {
		t.Error("nothing was folded")
	}
	counts, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[Minute]int64{
		{"view", noon - 900}: 3, {"purchase", noon - 900}: 1,
		{"view", noon}: 15, {"purchase", noon}: 5,
		{"view", noon + 900}: 9, {"purchase", noon + 900}: 3,
		{"view", noon + 3540}: 3, {"purchase", noon + 3540}: 1, // the horizon is before it
	}
	if !maps.Equal(counts, want) {
		t.Errorf("counts are %v, want %v", counts, want)
	}
	if again := foldAll(t, s, horizon); again != 0 {
		t.Errorf("folding again folded %d rows", again)
	}
	// Late events are counted, and folded by the next round.
	write(t, w, at("view", 65), at("view", 899), at("login", 70))
	if foldAll(t, s, horizon) == 0 {
		t.Error("late events were not folded")
	}
	want[Minute{"view", noon}] += 2
	want[Minute{"login", noon}] = 1
	if counts, err = s.Counts(t.Context()); err != nil || !maps.Equal(counts, want) {
		t.Errorf("with late events: %v, %v, want %v", counts, err, want)
	}
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
	counts, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for m := range counts {
		if m.Begin%900 != 0 {
			t.Errorf("%v is left", m)
		}
	}
}

// testHorizonUnderLoad: the horizon moves through the hours that writers write to,
// and at no moment is a minute behind it, or a quarter hour, miscounted.
func testHorizonUnderLoad(t *testing.T, s KeptStore) {
	const writers, batches, size, hours = 3, 40, 20, 4
	var (
		horizon         atomic.Int64 // seconds after noon
		writing, others sync.WaitGroup
		done            = make(chan struct{})
	)
	untilDone := func(do func() error) {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := do(); err != nil {
				t.Error(err)
				return
			}
		}
	}
	for range writers {
		w := writer(t, s)
		writing.Go(func() {
			for range batches {
				batch := make([]event.Event, size)
				for i := range batch {
					batch[i] = at([]string{"view", "purchase"}[i%2], rand.Int64N(hours*3600))
				}
				if _, err := w.Write(context.Background(), batch, make([]event.Outcome, size)); err != nil {
					t.Errorf("a writer: %v", err)
					return
				}
				horizon.Add(hours * 3600 / (writers * batches))
			}
		})
	}
	for range 2 {
		others.Go(func() {
			untilDone(func() error {
				_, _, err := s.Fold(context.Background(), time.Unix(noon+horizon.Load(), 0))
				return err
			})
		})
	}
	others.Go(func() {
		untilDone(func() error {
			n, err := s.Miscounted(context.Background())
			if n != 0 {
				err = errors.Join(err, fmt.Errorf("%d counts are wrong at one moment", n))
			}
			return err
		})
	})
	writing.Wait()
	close(done)
	others.Wait()
	foldAll(t, s, time.Unix(noon+hours*1800, 0))
	if n, err := s.Miscounted(t.Context()); err != nil || n != 0 {
		t.Errorf("at the end %d counts are wrong, %v", n, err)
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
	if counts, err := s.Counts(t.Context()); err != nil || len(counts) != minutes/15 {
		t.Errorf("%d quarter hours are left, %v; want %d", len(counts), err, minutes/15)
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
			if err := s.EnsurePartitions(context.Background(), from, from.AddDate(1, 0, 0)); err != nil {
				t.Error(err)
			}
		})
	}
	making.Wait()
	close(done)
	writing.Wait()
}
