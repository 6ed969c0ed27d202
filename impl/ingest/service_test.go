package ingest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"highload.example/analytics/impl/backend/memory"
	"highload.example/analytics/impl/backend/sqlite"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// numbered is the event whose identity is n.
func numbered(n int) event.Event {
	e := event.Event{UserID: int64(n%10 + 1), OccurredAt: 1690000000, Type: "a"}
	binary.BigEndian.PutUint64(e.ID[8:], uint64(n+1))
	return e
}

// gate stands before a real store, and lets faults happen there.
type gate struct {
	ingest.Store
	mu      sync.Mutex
	before  func(ctx context.Context, batch []event.Event) error // may fail or block a batch; nil: go on
	batches [][]event.Event
	opened  int
	closed  int
}

func (g *gate) OpenWriter(ctx context.Context) (ingest.Writer, error) {
	w, err := g.Store.OpenWriter(ctx)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened++
	return &gatedWriter{Writer: w, gate: g}, nil
}

type gatedWriter struct {
	ingest.Writer
	gate *gate
}

func (w *gatedWriter) Write(ctx context.Context, batch []event.Event, outcomes []event.Outcome) ([]event.Total, error) {
	w.gate.mu.Lock()
	before := w.gate.before
	w.gate.batches = append(w.gate.batches, append([]event.Event(nil), batch...))
	w.gate.mu.Unlock()
	if before != nil {
		if err := before(ctx, batch); err != nil {
			return nil, err
		}
	}
	return w.Writer.Write(ctx, batch, outcomes)
}

func (w *gatedWriter) Close(ctx context.Context) error {
	w.gate.mu.Lock()
	w.gate.closed++
	w.gate.mu.Unlock()
	return w.Writer.Close(ctx)
}

func (g *gate) set(before func(ctx context.Context, batch []event.Event) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before = before
}

func (g *gate) sizes() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	sizes := make([]int, len(g.batches))
	for i, b := range g.batches {
		sizes[i] = len(b)
	}
	return sizes
}

// tally counts what the observer hears.
type tally struct{ accepted, duplicate, rejected, written, retried, failed atomic.Int64 }

func (o *tally) EventsDone(outcome event.Outcome, n int) {
	switch outcome {
	case event.Accepted:
		o.accepted.Add(int64(n))
	case event.Duplicate:
		o.duplicate.Add(int64(n))
	default:
		o.rejected.Add(int64(n))
	}
}
func (o *tally) BatchWritten(int, time.Duration) { o.written.Add(1) }
func (o *tally) BatchRetried()                   { o.retried.Add(1) }
func (o *tally) BatchFailed(int)                 { o.failed.Add(1) }

// rig is a service over a real store, with a gate in between. Its tests run in
// bubbles (testing/synctest): the clock stands while anything is at work, so that
// no time-out depends on how fast the machine is.
type rig struct {
	*ingest.Service
	store *sqlite.Store
	gate  *gate
	tally *tally
}

func newRig(t *testing.T, change func(*ingest.Config)) *rig {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{store: store, gate: &gate{Store: store}, tally: &tally{}}
	config := ingest.Config{
		Store: r.gate, Counters: memory.NewCounters(100), Totals: store.Totals, Probe: store.Ping, Observer: r.tally,
		Logger: slog.New(slog.DiscardHandler), Writers: 1,
	}
	if change != nil {
		change(&config)
	}
	r.Service = ingest.New(config)
	t.Cleanup(func() {
		if err := errors.Join(r.Close(context.Background()), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// count is how many events the record has.
func (r *rig) count(t *testing.T) int64 {
	t.Helper()
	totals, err := r.store.Totals(context.Background(), []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if len(totals) == 0 {
		return 0
	}
	return totals[0].Count
}

// submit submits in the background.
func (r *rig) submit(e event.Event) <-chan result {
	done := make(chan result, 1)
	go func() {
		outcome, err := r.Submit(e)
		done <- result{outcome, err}
	}()
	return done
}

type result struct {
	outcome event.Outcome
	err     error
}

// waiting waits until nothing is at work any more, and checks that so many events
// are queued or being written.
func (r *rig) waiting(t *testing.T, items int) {
	t.Helper()
	synctest.Wait()
	if got := r.Load().Items; got != items {
		t.Fatalf("%d events wait, want %d", got, items)
	}
}

// batches waits until nothing is at work any more, and checks that writers have
// begun so many batches.
func (r *rig) batches(t *testing.T, n int) {
	t.Helper()
	synctest.Wait()
	if got := r.gate.sizes(); len(got) != n {
		t.Fatalf("%d batches (of %v events), want %d", len(got), got, n)
	}
}

// block makes batches wait until release is called.
func (r *rig) block() (release func()) {
	open := make(chan struct{})
	r.gate.set(func(ctx context.Context, _ []event.Event) error {
		select {
		case <-open:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", event.ErrUnavailable, ctx.Err())
		}
	})
	return sync.OnceFunc(func() { close(open) })
}

func TestEachWaiterGetsItsOwnOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.Writers = 3; c.MaxBatch = 7 })
		const events, times = 300, 3
		var accepted [events]atomic.Int64
		var submitters sync.WaitGroup
		for i := range events * times {
			submitters.Go(func() {
				n := i % events
				switch outcome, err := r.Submit(numbered(n)); {
				case err != nil:
					t.Errorf("event %d: %v", n, err)
				case outcome == event.Accepted:
					accepted[n].Add(1)
				case outcome != event.Duplicate:
					t.Errorf("event %d: outcome %v", n, outcome)
				}
			})
		}
		submitters.Wait()
		for n := range accepted {
			if got := accepted[n].Load(); got != 1 {
				t.Errorf("event %d was accepted %d times", n, got)
			}
		}
		if got := r.count(t); got != events {
			t.Errorf("%d events are counted, want %d", got, events)
		}
		if a, d := r.tally.accepted.Load(), r.tally.duplicate.Load(); a != events || d != events*(times-1) {
			t.Errorf("observed %d accepted and %d duplicate", a, d)
		}
		if load := r.Load(); load != (ingest.Load{}) {
			t.Errorf("afterwards %+v waits", load)
		}
	})
}

func TestBatchesGrowWhileTheDatabaseIsBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.MaxBatch = 40 })
		release := r.block()
		first := r.submit(numbered(0))
		r.batches(t, 1) // the lone event is written at once
		var rest []<-chan result
		for n := 1; n <= 100; n++ {
			rest = append(rest, r.submit(numbered(n)))
		}
		r.waiting(t, 101)
		release()
		for _, done := range append(rest, first) {
			if got := <-done; got.err != nil || got.outcome != event.Accepted {
				t.Errorf("got %+v", got)
			}
		}
		if sizes := fmt.Sprint(r.gate.sizes()); sizes != "[1 40 40 20]" {
			t.Errorf("batches of %s", sizes)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	large := numbered(99)
	large.Payload = make([]byte, 10_000)
	for name, test := range map[string]struct {
		change func(*ingest.Config)
		e      event.Event
	}{
		"in items": {func(c *ingest.Config) { c.MaxQueueItems = 3 }, numbered(99)},
		"in bytes": {func(c *ingest.Config) { c.MaxQueueBytes = 10_000 }, large},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, test.change)
				release := r.block()
				var waiting []<-chan result
				for n := range 3 {
					waiting = append(waiting, r.submit(numbered(n)))
				}
				r.waiting(t, 3)
				if _, err := r.Submit(test.e); !errors.Is(err, event.ErrBusy) {
					t.Errorf("got %v, want ErrBusy", err)
				}
				release()
				for _, done := range waiting {
					if got := <-done; got.err != nil {
						t.Error(got.err)
					}
				}
				if _, err := r.Submit(numbered(3)); err != nil {
					t.Errorf("when there is room again: %v", err)
				}
			})
		})
	}
}

func TestOneBadEventHarmsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release := r.block()
		first := r.submit(numbered(0))
		r.batches(t, 1)
		var done []<-chan result
		const bad = 37
		for n := 1; n <= 100; n++ {
			e := numbered(n)
			if n == bad {
				e.Payload = []byte{} // what no store can hold
			}
			done = append(done, r.submit(e))
		}
		r.waiting(t, 101)
		release()
		if got := <-first; got.err != nil {
			t.Error(got.err)
		}
		for i, d := range done {
			switch got := <-d; {
			case i+1 == bad:
				if !errors.Is(got.err, event.ErrInvalid) || got.outcome != event.Rejected {
					t.Errorf("the bad event got %+v", got)
				}
			case got.err != nil || got.outcome != event.Accepted:
				t.Errorf("event %d got %+v", i+1, got)
			}
		}
		if got := r.count(t); got != 100 {
			t.Errorf("%d events are counted, want 100", got)
		}
		if r.tally.rejected.Load() != 1 || r.tally.failed.Load() != 0 {
			t.Errorf("observed %d rejected, %d batches failed", r.tally.rejected.Load(), r.tally.failed.Load())
		}
	})
}

func TestBlipsAreWaitedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.GiveUpAfter = time.Minute })
		failures := 3
		r.gate.set(func(context.Context, []event.Event) error {
			if failures--; failures >= 0 {
				return fmt.Errorf("on purpose: %w", event.ErrUnavailable)
			}
			return nil
		})
		if outcome, err := r.Submit(numbered(0)); err != nil || outcome != event.Accepted {
			t.Errorf("got %v, %v", outcome, err)
		}
		if r.tally.retried.Load() != 3 || r.count(t) != 1 {
			t.Errorf("%d retries, %d counted", r.tally.retried.Load(), r.count(t))
		}
	})
}

// TestLostCommitConverges: the store commits, and its answer is lost.
func TestLostCommitConverges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.GiveUpAfter = time.Minute })
		writer, err := r.store.OpenWriter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lost := false
		r.gate.set(func(ctx context.Context, batch []event.Event) error {
			if lost {
				return nil
			}
			lost = true
			if _, err := writer.Write(ctx, batch, make([]event.Outcome, len(batch))); err != nil {
				return err
			}
			return fmt.Errorf("the answer was lost: %w", event.ErrUnavailable)
		})
		if outcome, err := r.Submit(numbered(0)); err != nil || outcome != event.Duplicate {
			t.Errorf("got %v, %v; the repeat finds its own first try", outcome, err)
		}
		if got := r.count(t); got != 1 {
			t.Errorf("counted %d times", got)
		}
	})
}

func TestOutageIsRefusedFastAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		outage := fmt.Errorf("on purpose: %w", event.ErrUnavailable)
		r := newRig(t, func(c *ingest.Config) {
			c.GiveUpAfter = 50 * time.Millisecond
			probe := c.Probe
			c.Probe = func(ctx context.Context) error {
				if away.Load() {
					return outage
				}
				return probe(ctx)
			}
		})
		r.gate.set(func(context.Context, []event.Event) error {
			if away.Load() {
				return outage
			}
			return nil
		})
		if _, err := r.Submit(numbered(0)); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		synctest.Wait()
		if r.Available() {
			t.Error("the outage was not noticed")
		}
		tries := len(r.gate.sizes())
		if _, err := r.Submit(numbered(0)); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if got := len(r.gate.sizes()); got != tries {
			t.Errorf("a refused event reached the database: %d tries, then %d", tries, got)
		}
		away.Store(false)
		testkit.Eventually(t, 10*time.Second, "the return to be noticed", r.Available)
		if outcome, err := r.Submit(numbered(0)); err != nil || outcome != event.Accepted {
			t.Errorf("got %v, %v", outcome, err)
		}
	})
}

func TestDefectsAreReportedAndSurvived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defect := errors.New("on purpose")
		r.gate.set(func(context.Context, []event.Event) error { return defect })
		_, err := r.Submit(numbered(0))
		if !errors.Is(err, defect) || errors.Is(err, event.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		r.gate.set(nil)
		if outcome, err := r.Submit(numbered(0)); err != nil || outcome != event.Accepted {
			t.Errorf("afterwards %v, %v", outcome, err)
		}
	})
}

type brokenCounters struct{}

func (brokenCounters) Publish(context.Context, []event.Total) error { return event.ErrUnavailable }

func TestCountersThatFailDontFailEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.Counters = brokenCounters{} })
		if outcome, err := r.Submit(numbered(0)); err != nil || outcome != event.Accepted {
			t.Errorf("got %v, %v", outcome, err)
		}
	})
}

// Whoever committed an event may have died before it published the count.
func TestADuplicatePublishesWhatWasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		counters := memory.NewCounters(100)
		r := newRig(t, func(c *ingest.Config) { c.Counters = counters })
		dead, err := r.store.OpenWriter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dead.Write(t.Context(), []event.Event{numbered(0)}, make([]event.Outcome, 1)); err != nil {
			t.Fatal(err)
		}
		if outcome, err := r.Submit(numbered(0)); err != nil || outcome != event.Duplicate {
			t.Fatalf("got %v, %v", outcome, err)
		}
		live, err := counters.Totals(t.Context(), "a")
		if err != nil || len(live) != 1 || live[0].Count != 1 {
			t.Errorf("published %v, %v", live, err)
		}
	})
}

func TestCloseWritesWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release := r.block()
		var waiting []<-chan result
		for n := range 20 {
			waiting = append(waiting, r.submit(numbered(n)))
		}
		r.waiting(t, 20)
		closed := make(chan error, 1)
		go func() { closed <- r.Close(context.Background()) }()
		synctest.Wait()
		if r.Available() {
			t.Error("the service has not stopped")
		}
		if _, err := r.Submit(numbered(99)); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("a new event got %v, want ErrUnavailable", err)
		}
		release()
		for _, done := range waiting {
			if got := <-done; got.err != nil || got.outcome != event.Accepted {
				t.Errorf("got %+v", got)
			}
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if r.gate.opened != 1 || r.gate.closed != 1 {
			t.Errorf("%d writers opened, %d closed", r.gate.opened, r.gate.closed)
		}
		if err := r.Close(context.Background()); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}

func TestCloseInAHurryAnswersEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.GiveUpAfter = time.Hour })
		r.block() // for good
		done := r.submit(numbered(0))
		r.waiting(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("closing: %v", err)
		}
		if got := <-done; !errors.Is(got.err, event.ErrUnavailable) {
			t.Errorf("who waited got %+v", got)
		}
	})
}

func TestNewIDsAreVersion7(t *testing.T) {
	t.Parallel()
	a, errA := ingest.NewID()
	b, errB := ingest.NewID()
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if a == b || a[6]>>4 != 7 || a[8]>>6 != 0b10 || a.String() >= b.String() {
		t.Errorf("made %s, then %s", a, b)
	}
}

// benchmarkService is a service over a store that commits every batch to disk.
func benchmarkService(b *testing.B) *ingest.Service {
	b.Helper()
	store, err := sqlite.Open(b.Context(), sqlite.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	service := ingest.New(ingest.Config{
		Store: store, Counters: memory.NewCounters(100), Totals: store.Totals, Probe: store.Ping, Observer: &tally{},
		Logger: slog.New(slog.DiscardHandler), Writers: 1,
	})
	b.Cleanup(func() {
		if err := errors.Join(service.Close(context.Background()), store.Close()); err != nil {
			b.Error(err)
		}
	})
	b.ReportAllocs()
	return service
}

// BenchmarkSubmit measures the way through the queue and the store, with many
// waiting at once.
func BenchmarkSubmit(b *testing.B) {
	service := benchmarkService(b)
	var n atomic.Int64
	b.SetParallelism(128)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := service.Submit(numbered(int(n.Add(1)))); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkSubmitBatch measures the same for requests of many events.
func BenchmarkSubmitBatch(b *testing.B) {
	for _, size := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			service := benchmarkService(b)
			events, outcomes := make([]event.Event, size), make([]event.Outcome, size)
			next := 0
			for b.Loop() {
				for i := range events {
					events[i] = numbered(next)
					next++
				}
				if err := service.SubmitBatch(events, outcomes, false); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
		})
	}
}

// When as many wait as are let in, nobody comes any more: another writer joins all the
// same, once somebody has waited for long enough.
func TestAnotherWriterJoinsUnasked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.Writers = 2 })
		open := make(chan struct{})
		r.gate.set(func(_ context.Context, batch []event.Event) error {
			if batch[0].ID == numbered(0).ID { // the first writer hangs
				<-open
			}
			return nil
		})
		hanging := r.submit(numbered(0))
		r.batches(t, 1)
		if got := <-r.submit(numbered(1)); got.err != nil || got.outcome != event.Accepted {
			t.Errorf("got %+v", got)
		}
		close(open)
		if got := <-hanging; got.err != nil {
			t.Errorf("got %+v", got)
		}
	})
}
