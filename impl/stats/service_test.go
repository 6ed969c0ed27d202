package stats_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"highload.example/analytics/impl/backend/memory"
	"highload.example/analytics/impl/backend/sqlite"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/stats"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// shaky is real live totals that fail when told to.
type shaky struct {
	*memory.Counters
	mu         sync.Mutex
	fault      error
	calls      int
	generation uint64
}

func (s *shaky) Generation() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

// replace has another holder take over, with totals of its own.
func (s *shaky) replace(counters *memory.Counters) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Counters = counters
	s.generation++
}

func (s *shaky) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.fault
}

func (s *shaky) set(fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *shaky) Publish(ctx context.Context, totals []event.Total) error {
	if err := s.failing(); err != nil {
		return err
	}
	return s.Counters.Publish(ctx, totals)
}

func (s *shaky) Count(ctx context.Context, eventType string) (int64, bool, error) {
	if err := s.failing(); err != nil {
		return 0, false, err
	}
	return s.Counters.Count(ctx, eventType)
}

// heard is what the observer heard.
type heard struct {
	live, record, failed int
	drift                []int
}

func (h *heard) CountAnswered(source stats.Source) {
	if source == stats.FromLive {
		h.live++
	} else {
		h.record++
	}
}
func (h *heard) LiveFailed()     { h.failed++ }
func (h *heard) Drift(types int) { h.drift = append(h.drift, types) }

// rig is a service over a real record.
type rig struct {
	*stats.Service
	record *sqlite.Store
	writer ingest.Writer
	live   *shaky
	heard  *heard
	clock  *testkit.Clock
	next   uint64
}

// newRig's close must be called: rapid has no cleanup per try.
func newRig(t testing.TB, dir string, roundTypes int) (r *rig, done func()) {
	t.Helper()
	ctx := context.Background()
	record, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	writer, err := record.OpenWriter(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r = &rig{record: record, writer: writer, live: &shaky{Counters: memory.NewCounters(1000)}, heard: &heard{}, clock: testkit.NewClock(time.Unix(1690000000, 0))}
	r.Service = stats.New(stats.Config{
		Reader: record, Live: r.live, Observer: r.heard, Logger: slog.New(slog.DiscardHandler), Clock: r.clock.Now,
		LiveTimeout: time.Minute, LivePause: time.Second, SettleTime: time.Nanosecond, RoundTypes: roundTypes,
	})
	return r, func() {
		if err := errors.Join(writer.Close(ctx), record.Close()); err != nil {
			t.Error(err)
		}
	}
}

// store commits n events of a type, and returns the totals to publish.
func (r *rig) store(t testing.TB, eventType string, n int) []event.Total {
	t.Helper()
	batch := make([]event.Event, n)
	for i := range batch {
		r.next++
		batch[i] = event.Event{UserID: 1, OccurredAt: 1690000000, Type: eventType}
		binary.BigEndian.PutUint64(batch[i].ID[8:], r.next)
	}
	totals, err := r.writer.Write(context.Background(), batch, make([]event.Outcome, n))
	if err != nil {
		t.Fatal(err)
	}
	return totals
}

func (r *rig) want(t testing.TB, eventType string, want int64) {
	t.Helper()
	if got, err := r.Count(context.Background(), eventType); err != nil || got != want {
		t.Errorf("count of %s: %d, %v; want %d", eventType, got, err, want)
	}
}

func (r *rig) reconcile(t testing.TB, cursor string) string {
	t.Helper()
	next, err := r.Reconcile(context.Background(), cursor)
	if err != nil {
		t.Error(err)
	}
	return next
}

func start(t *testing.T) *rig {
	t.Helper()
	r, done := newRig(t, t.TempDir(), 1000)
	t.Cleanup(done)
	return r
}

func TestCountsComeFromTheRecordOnceAndThenLive(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.want(t, "a", 0)
	totals := r.store(t, "a", 3)
	r.want(t, "a", 3)
	if r.heard.record != 2 || r.heard.live != 0 {
		t.Errorf("answered %+v", r.heard)
	}
	r.want(t, "a", 3)
	if err := r.Publish(t.Context(), totals); err != nil {
		t.Error(err)
	}
	if err := r.Publish(t.Context(), r.store(t, "a", 2)); err != nil {
		t.Error(err)
	}
	r.want(t, "a", 5)
	if r.heard.record != 2 || r.heard.live != 2 {
		t.Errorf("answered %+v", r.heard)
	}
	// A name that somebody made up takes no memory.
	r.want(t, "made-up", 0)
	if held, err := r.live.Totals(t.Context(), "made-up"); err != nil || len(held) > 0 {
		t.Errorf("held %v, %v", held, err)
	}
}

func TestLiveFailuresCostSpeedAndNoNumber(t *testing.T) {
	t.Parallel()
	r := start(t)
	if err := r.Publish(t.Context(), r.store(t, "a", 1)); err != nil {
		t.Error(err)
	}
	r.want(t, "a", 1) // fills
	r.live.set(event.ErrUnavailable)
	r.want(t, "a", 1)
	calls := r.live.calls
	if err := r.Publish(t.Context(), r.store(t, "a", 1)); err == nil {
		t.Error("a publication that can't have happened succeeded")
	}
	r.want(t, "a", 2)
	if r.live.calls != calls || r.heard.failed != 1 {
		t.Errorf("live totals were asked %d times more, %d failures", r.live.calls-calls, r.heard.failed)
	}
	// They answer again, but lack the publication: the type stays suspect until it
	// has been reconciled.
	r.live.set(nil)
	r.clock.Advance(2 * time.Second)
	r.want(t, "a", 2)
	live := r.heard.live
	r.reconcile(t, "")
	r.want(t, "a", 2)
	if r.heard.live != live+1 {
		t.Errorf("after reconciliation the count came from %+v", r.heard)
	}
}

func TestReconciliationMakesUpForLostPublications(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.store(t, "a", 1)
	r.want(t, "a", 1)  // fills
	r.store(t, "a", 4) // and whoever stored it died
	r.reconcile(t, "")
	r.want(t, "a", 5)
	r.reconcile(t, "")
	if len(r.heard.drift) != 2 || r.heard.drift[0] != 1 || r.heard.drift[1] != 0 || r.heard.live != 1 {
		t.Errorf("heard %+v", r.heard)
	}
}

func TestReconciliationForgetsWhatWasNeverTrue(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.store(t, "a", 2)
	r.want(t, "a", 2) // fills
	// The database lost its last commits, but their totals had been published.
	if err := r.Publish(t.Context(), []event.Total{{Type: "a", Count: 9}, {Type: "a", Slot: 3, Count: 5}}); err != nil {
		t.Error(err)
	}
	r.want(t, "a", 14)
	r.reconcile(t, "")
	r.want(t, "a", 2)
	if r.heard.drift[0] != 1 {
		t.Errorf("drift %v", r.heard.drift)
	}
}

// A failover to a copy that lagged behind: it is complete, by its own account.
func TestAnOlderCopyIsBelievedWhenItWasCompared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, done := newRig(t, t.TempDir(), 1)
		defer done()
		older := memory.NewCounters(1000)
		for _, eventType := range []string{"a", "b"} {
			if err := older.Fill(t.Context(), eventType, r.store(t, eventType, 1)); err != nil {
				t.Fatal(err)
			}
			if err := r.Publish(t.Context(), r.store(t, eventType, 1)); err != nil {
				t.Fatal(err)
			}
			r.want(t, eventType, 2)
		}
		r.live.replace(older)
		r.want(t, "b", 2)
		asked := r.heard.record
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { defer close(ran); r.Run(ctx) }()
		defer func() { stop(); <-ran }()
		// One round for each of them; then the copy answers, and rightly.
		testkit.Eventually(t, time.Minute, "the copy to be believed", func() bool {
			r.want(t, "b", 2)
			was := r.heard.record
			r.want(t, "a", 2)
			return was > asked && r.heard.record == was
		})
	})
}

func TestReconciliationPagesThroughTheTypes(t *testing.T) {
	t.Parallel()
	r, done := newRig(t, t.TempDir(), 2)
	t.Cleanup(done)
	for _, eventType := range []string{"a", "b", "c", "d", "e"} {
		r.store(t, eventType, 1)
		r.want(t, eventType, 1) // fills
		r.store(t, eventType, 1)
	}
	cursor := ""
	for _, want := range []string{"b", "d", ""} {
		if cursor = r.reconcile(t, cursor); cursor != want {
			t.Errorf("the cursor is %q, want %q", cursor, want)
		}
	}
	for _, eventType := range []string{"a", "b", "c", "d", "e"} {
		r.want(t, eventType, 2)
	}
	if r.heard.live != 5 {
		t.Errorf("heard %+v", r.heard)
	}
}

func TestRunReconcilesUntilTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		service := stats.New(stats.Config{
			Reader: r.record, Live: r.live, Observer: &heard{}, Logger: slog.New(slog.DiscardHandler), Clock: time.Now,
			RecordPeriod: time.Millisecond, SettleTime: time.Millisecond,
		})
		if _, err := service.Count(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		r.store(t, "a", 1)
		if n, err := service.Count(t.Context(), "a"); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		r.store(t, "a", 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			service.Run(ctx)
			close(ended)
		}()
		testkit.Eventually(t, 10*time.Second, "the count to be reconciled", func() bool {
			n, err := service.Count(t.Context(), "a")
			return err == nil && n == 2
		})
		cancel()
		<-ended
	})
}

// TestCountsEqualRows: whatever publications get lost or come late, after a round
// of reconciliation every count equals the rows, and never does one exceed them.
func TestCountsEqualRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r, done := newRig(t, t.TempDir(), 2)
		defer done()
		rows := map[string]int64{}
		var late [][]event.Total
		types := rapid.SampledFrom([]string{"a", "b", "c"})
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			eventType := types.Draw(rt, "type")
			switch rapid.SampledFrom([]string{"store", "lose", "delay", "arrive", "ask", "flush", "break", "mend", "reconcile"}).Draw(rt, "step") {
			case "store":
				_ = r.Publish(context.Background(), r.store(t, eventType, 2)) // fails while broken
				rows[eventType] += 2
			case "lose":
				r.store(t, eventType, 1)
				rows[eventType]++
			case "delay":
				late = append(late, r.store(t, eventType, 1))
				rows[eventType]++
			case "arrive":
				for _, totals := range late {
					_ = r.Publish(context.Background(), totals)
				}
			case "ask":
				if got, err := r.Count(context.Background(), eventType); err != nil || got > rows[eventType] {
					rt.Fatalf("counted %d, %v; there are %d", got, err, rows[eventType])
				}
			case "flush":
				if err := r.live.Forget(context.Background(), eventType); err != nil {
					rt.Fatal(err)
				}
			case "break":
				r.live.set(event.ErrUnavailable)
			case "mend":
				r.live.set(nil)
				r.clock.Advance(time.Minute)
			case "reconcile":
				_, _ = r.Reconcile(context.Background(), "") // fails while broken
			}
		}
		r.live.set(nil)
		r.clock.Advance(time.Minute)
		for cursor, first := "", true; first || cursor != ""; first = false {
			cursor = r.reconcile(t, cursor)
		}
		for _, eventType := range []string{"a", "b", "c"} {
			for range 2 { // from the record, and then live
				if got, err := r.Count(context.Background(), eventType); err != nil || got != rows[eventType] {
					rt.Fatalf("%s: counted %d, %v; there are %d", eventType, got, err, rows[eventType])
				}
			}
		}
	})
}
