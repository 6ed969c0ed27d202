package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/testkit"
)

// numberedFrom returns n events with the identities from, from+1, ...
func numberedFrom(from, n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = numbered(from + i)
	}
	return events
}

// submitBatch submits in the background.
func (r *rig) submitBatch(events []event.Event, whole bool) <-chan batchResult {
	done := make(chan batchResult, 1)
	go func() {
		outcomes := make([]event.Outcome, len(events))
		err := r.SubmitBatch(events, outcomes, whole)
		done <- batchResult{outcomes, err}
	}()
	return done
}

type batchResult struct {
	outcomes []event.Outcome
	err      error
}

// tallied counts the outcomes of each kind: unknown, accepted, duplicate, rejected.
func (b batchResult) tallied() (n [event.Rejected + 1]int) {
	for _, o := range b.outcomes {
		n[o]++
	}
	return n
}

func TestABatchSharesTransactionsWithOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.MaxBatch = 40 })
		release := r.block()
		first := r.submit(numbered(1000))
		r.batches(t, 1)
		large := r.submitBatch(append(numberedFrom(0, 99), numbered(0)), false)
		r.waiting(t, 101)
		single := r.submit(numbered(50))
		r.waiting(t, 102)
		release()
		if got := <-large; got.err != nil || got.tallied() != [...]int{0, 99, 1, 0} || got.outcomes[99] != event.Duplicate {
			t.Errorf("the batch got %v, %v", got.tallied(), got.err)
		}
		if got := <-single; got.err != nil || got.outcome != event.Duplicate {
			t.Errorf("the single got %+v", got)
		}
		<-first
		if sizes := fmt.Sprint(r.gate.sizes()); sizes != "[1 40 40 21]" {
			t.Errorf("batches of %s", sizes)
		}
		if r.count(t) != 100 || r.Load() != (ingest.Load{}) {
			t.Errorf("%d counted, %+v waits", r.count(t), r.Load())
		}
	})
}

func TestAWholeBatchIsOneTransactionOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.MaxBatch = 10 })
		release := r.block()
		first := r.submit(numbered(1000))
		r.batches(t, 1)
		before := r.submit(numbered(1001))
		r.waiting(t, 2)
		whole := r.submitBatch(numberedFrom(0, 25), true)
		r.waiting(t, 27)
		after := r.submit(numbered(1002))
		r.waiting(t, 28)
		release()
		if got := <-whole; got.err != nil || got.tallied() != [...]int{0, 25, 0, 0} {
			t.Errorf("got %v, %v", got.tallied(), got.err)
		}
		<-first
		<-before
		<-after
		if sizes := fmt.Sprint(r.gate.sizes()); sizes != "[1 1 25 1]" {
			t.Errorf("batches of %s", sizes)
		}

		// One that the database can't hold keeps all of them out.
		bad := numberedFrom(100, 25)
		bad[17].Payload = []byte{}
		if got := <-r.submitBatch(bad, true); !errors.Is(got.err, event.ErrInvalid) || got.tallied() != [...]int{25, 0, 0, 0} {
			t.Errorf("got %v, %v", got.tallied(), got.err)
		}
		if got := <-r.submitBatch(bad, false); got.err != nil || got.tallied() != [...]int{0, 24, 0, 1} || got.outcomes[17] != event.Rejected {
			t.Errorf("got %v, %v", got.tallied(), got.err)
		}
	})
}

func TestPartOfABatchMayFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.MaxBatch = 10; c.GiveUpAfter = 100 * time.Millisecond })
		tries := 0
		r.gate.set(func(context.Context, []event.Event) error {
			if tries++; tries > 2 {
				return fmt.Errorf("on purpose: %w", event.ErrUnavailable)
			}
			return nil
		})
		got := <-r.submitBatch(numberedFrom(0, 35), false)
		if !errors.Is(got.err, event.ErrUnavailable) || got.tallied() != [...]int{15, 20, 0, 0} || slices.Index(got.outcomes, 0) != 20 {
			t.Errorf("got %v, %v", got.tallied(), got.err)
		}
		if r.Load() != (ingest.Load{}) {
			t.Errorf("%+v waits", r.Load())
		}
		r.gate.set(nil)
		testkit.Eventually(t, 10*time.Second, "the return to be noticed", r.Available)
		if got := <-r.submitBatch(numberedFrom(0, 35), false); got.err != nil || got.tallied() != [...]int{0, 15, 20, 0} {
			t.Errorf("sent again: %v, %v", got.tallied(), got.err)
		}
	})
}

// TestAnOutageAnswersWhatWaits: also with the only writer away asking after the
// database, and also the rest of a batch of which a part was tried.
func TestAnOutageAnswersWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) {
			c.MaxBatch = 10
			c.GiveUpAfter = 200 * time.Millisecond
			c.Probe = func(ctx context.Context) error { <-ctx.Done(); return event.ErrUnavailable }
		})
		r.block() // for good
		var waiting []<-chan batchResult
		for i := range 5 {
			waiting = append(waiting, r.submitBatch(numberedFrom(100*i, 15), false))
		}
		for _, w := range waiting {
			if got := <-w; !errors.Is(got.err, event.ErrUnavailable) && !errors.Is(got.err, event.ErrBusy) {
				t.Errorf("got %v", got.err)
			}
		}
		synctest.Wait()
		if load := r.Load(); load != (ingest.Load{}) {
			t.Errorf("%+v is not given back", load)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = r.Close(ctx) // the probe never ends by itself
	})
}

// TestNobodyWaitsForWhatCannotBeInTime: who would be answered too late isn't taken on.
func TestNobodyWaitsForWhatCannotBeInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.GiveUpAfter = 400 * time.Millisecond })
		open := make(chan struct{})
		r.gate.set(func(context.Context, []event.Event) error { <-open; return nil }) // slow, not down
		first := r.submit(numbered(0))
		r.batches(t, 1)
		second := r.submit(numbered(1))
		r.waiting(t, 2)
		time.Sleep(300 * time.Millisecond) // three quarters of its time
		third := r.submit(numbered(2))
		r.waiting(t, 3)
		time.Sleep(time.Millisecond)
		if got := <-r.submit(numbered(3)); !errors.Is(got.err, event.ErrBusy) {
			t.Errorf("the fourth got %v, want ErrBusy", got.err)
		}
		close(open)
		for i, done := range []<-chan result{first, second, third} {
			if got := <-done; got.err != nil {
				t.Errorf("number %d got %v", i, got.err)
			}
		}
		if !r.Available() {
			t.Error("a slow database was taken for one that is gone")
		}
	})
}

// slowCounters take totals one at a time, and say what they took.
type slowCounters struct {
	mu    sync.Mutex
	calls [][]event.Total
	enter chan struct{}
	leave chan struct{}
}

func (c *slowCounters) Publish(_ context.Context, totals []event.Total) error {
	c.enter <- struct{}{}
	<-c.leave
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, slices.Clone(totals))
	return nil
}

// TestPublicationsAreMerged: while one is under way, the totals of the batches
// that are committed share the next, and nobody is answered before the own
// totals were published.
func TestPublicationsAreMerged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		counters := &slowCounters{enter: make(chan struct{}), leave: make(chan struct{})}
		r := newRig(t, func(c *ingest.Config) { c.Counters = counters; c.Writers = 2 })
		first := r.submit(numbered(0))
		<-counters.enter
		var rest []<-chan result
		for n := 1; n <= 3; n++ { // as many as there are free batches
			rest = append(rest, r.submit(numbered(n)))
			synctest.Wait()
			if got := r.tally.written.Load(); got != int64(n+1) {
				t.Fatalf("%d batches are committed, want %d", got, n+1)
			}
		}
		select {
		case got := <-first:
			t.Fatalf("answered before the publication: %+v", got)
		default:
		}
		counters.leave <- struct{}{}
		<-first
		<-counters.enter
		counters.leave <- struct{}{}
		for _, done := range rest {
			if got := <-done; got.err != nil {
				t.Error(got.err)
			}
		}
		counters.mu.Lock()
		defer counters.mu.Unlock()
		want := [][]event.Total{{{Type: "a", Count: 1}}, {{Type: "a", Count: 4}}}
		if fmt.Sprint(counters.calls) != fmt.Sprint(want) {
			t.Errorf("published %v, want %v", counters.calls, want)
		}
	})
}

// TestASecondWriterJoinsWhenThereIsEnough: a few events wait for the writer at
// work, many get another.
func TestASecondWriterJoinsWhenThereIsEnough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.Writers = 2 })
		release := r.block()
		done := []<-chan result{r.submit(numbered(0))}
		r.batches(t, 1)
		for n := 1; n <= 300; n++ {
			done = append(done, r.submit(numbered(n)))
		}
		r.batches(t, 2)
		release()
		for _, d := range done {
			if got := <-d; got.err != nil || got.outcome != event.Accepted {
				t.Errorf("got %+v", got)
			}
		}
		if got := r.count(t); got != 301 {
			t.Errorf("%d events are counted", got)
		}
	})
}

// TestNobodyWaitsBehindAConnectionThatHangs: another writer takes what has waited
// for a while, however little it is.
func TestNobodyWaitsBehindAConnectionThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *ingest.Config) { c.Writers = 2; c.GiveUpAfter = time.Minute })
		open := make(chan struct{})
		r.gate.set(func(_ context.Context, batch []event.Event) error {
			if batch[0].ID == numbered(0).ID {
				<-open
			}
			return nil
		})
		hanging := r.submit(numbered(0))
		r.batches(t, 1)
		waiting := r.submit(numbered(1))
		next := 2
		testkit.Eventually(t, 50*time.Millisecond, "another writer", func() bool {
			r.submit(numbered(next)) // who comes later sees how long it has waited
			next++
			select {
			case got := <-waiting:
				return got.err == nil && got.outcome == event.Accepted
			default:
				return false
			}
		})
		close(open)
		if got := <-hanging; got.err != nil {
			t.Error(got.err)
		}
		r.waiting(t, 0)
	})
}
