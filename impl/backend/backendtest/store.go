// Package backendtest says what a backend has to keep to, as tests: a suite for
// each role, passed by every backend that plays it, and comparisons of one
// backend with another.
package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/stats"
)

// TestStore is a record of events together with a view of everything in it
// that goes around the code under test.
type TestStore interface {
	ingest.Store
	stats.Reader

	// Rows returns every stored event.
	Rows(ctx context.Context) ([]event.Event, error)

	// Counts returns the count of every type and minute, summed over slots.
	Counts(ctx context.Context) (map[Minute]int64, error)
}

// Minute names a row of the count table.
type Minute struct {
	Type  string
	Begin int64 // Unix seconds
}

// Store checks that a backend keeps the contract of ingest.Store and
// stats.Reader. open returns a new, empty store that is closed when the test
// given to it ends.
func Store(t *testing.T, open func(t *testing.T) TestStore) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, s TestStore)
	}{
		{"a new event is accepted, the same again is a duplicate", testOutcomes},
		{"a batch may be of any size", testSizes},
		{"an empty batch is nothing", testEmptyBatch},
		{"equal keys in a batch: the first decides", testDuplicatesWithin},
		{"half of a batch was there before", testHalfDuplicates},
		{"what is no part of the key is no part of the identity", testIdentity},
		{"two writers store the same events in opposite order", testOppositeOrder},
		{"many writers store many types at once", testManyWriters},
		{"a payload comes back equal in value", testPayloads},
		{"the first and the last month of the calendar", testCalendar},
		{"a batch with an event that can't be stored leaves nothing", testPoisoned},
		{"a cancelled batch leaves nothing, the next one works", testCancelled},
		{"batches that run out of time are stored whole or not at all", testDeadlines},
		{"types are listed in byte order, a page at a time", testTypes},
		{"totals of types", testTotals},
		{"a closed writer", testClosedWriter},
		{"counts equal rows, whatever is written", testRandomStreams},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			c.test(t, s)
			checkCounts(t, s)
		})
	}
}

func testOutcomes(t *testing.T, s TestStore) {
	w := writer(t, s)
	e := newEvent("purchase")
	outcomes, totals := write(t, w, e)
	wantOutcomes(t, outcomes, event.Accepted)
	wantTotal(t, totals, "purchase", 1)
	if len(totals) != 1 {
		t.Errorf("totals of types that didn't grow: %v", totals)
	}

	outcomes, totals = write(t, w, e)
	wantOutcomes(t, outcomes, event.Duplicate)
	if len(totals) != 0 {
		t.Errorf("a duplicate gave new totals: %v", totals)
	}
	wantRows(t, s, e)
}

func testSizes(t *testing.T, s TestStore) {
	w := writer(t, s)
	sum := int64(0)
	var all []event.Event
	for _, size := range []int{1, 2, 1000, 5000, 3} {
		batch := make([]event.Event, size)
		for i := range batch {
			batch[i] = newEvent("view")
			batch[i].OccurredAt += int64(i % 7200) // several minutes
		}
		all = append(all, batch...)
		sum += int64(size)
		outcomes, totals := write(t, w, batch...)
		wantAll(t, outcomes, event.Accepted)
		wantTotal(t, totals, "view", sum)

		slices.Reverse(batch)
		outcomes, totals = write(t, w, batch...)
		wantAll(t, outcomes, event.Duplicate)
		if len(totals) != 0 {
			t.Errorf("%d duplicates gave new totals: %v", size, totals)
		}
	}
	wantRows(t, s, all...)
}

func testEmptyBatch(t *testing.T, s TestStore) {
	w := writer(t, s)
	for _, batch := range [][]event.Event{nil, {}} {
		totals, err := w.Write(t.Context(), batch, nil)
		if err != nil || len(totals) != 0 {
			t.Errorf("Write of nothing: %v, %v", totals, err)
		}
	}
	if _, err := w.Write(t.Context(), []event.Event{newEvent("a")}, nil); err == nil {
		t.Error("a batch with no room for its outcomes was taken")
	}
	wantRows(t, s)
}

func testDuplicatesWithin(t *testing.T, s TestStore) {
	w := writer(t, s)
	first := newEvent("first")
	first.Payload = []byte(`{"n":1}`)
	second := first
	second.Type, second.Payload = "second", []byte(`{"n":2}`)
	other := newEvent("other")

	outcomes, totals := write(t, w, other, first, second, first, other)
	wantOutcomes(t, outcomes, event.Accepted, event.Accepted, event.Duplicate, event.Duplicate, event.Duplicate)
	wantTotal(t, totals, "first", 1)
	wantTotal(t, totals, "other", 1)
	wantTotal(t, totals, "second", 0)

	outcomes, _ = write(t, w, second, second)
	wantOutcomes(t, outcomes, event.Duplicate, event.Duplicate)
	wantRows(t, s, first, other)
}

func testHalfDuplicates(t *testing.T, s TestStore) {
	w := writer(t, s)
	old := make([]event.Event, 500)
	for i := range old {
		old[i] = newEvent([]string{"a", "b"}[i%2])
	}
	write(t, w, old...)

	var batch []event.Event
	var want []event.Outcome
	for _, e := range old {
		batch = append(batch, e, newEvent("a"))
		want = append(want, event.Duplicate, event.Accepted)
	}
	outcomes, totals := write(t, w, batch...)
	wantOutcomes(t, outcomes, want...)
	wantTotal(t, totals, "a", 750)
	wantTotal(t, totals, "b", 0) // didn't grow, so isn't told
}

func testIdentity(t *testing.T, s TestStore) {
	w := writer(t, s)
	e := newEvent("a")
	user, at, id := e, e, e
	user.UserID++
	at.OccurredAt++
	id.ID[15]++
	outcomes, _ := write(t, w, e, user, at, id)
	wantAll(t, outcomes, event.Accepted)

	sameKey := e
	sameKey.Type, sameKey.Payload = "b", []byte(`{}`)
	outcomes, _ = write(t, w, sameKey)
	wantOutcomes(t, outcomes, event.Duplicate)
	wantRows(t, s, e, user, at, id)
}

func testOppositeOrder(t *testing.T, s TestStore) {
	const rounds, size = 20, 300
	writers := [2]ingest.Writer{writer(t, s), writer(t, s)}
	for range rounds {
		forth := make([]event.Event, size)
		for i := range forth {
			forth[i] = newEvent("race")
			forth[i].OccurredAt += int64(i)
		}
		back := slices.Clone(forth)
		slices.Reverse(back)
		batches := [2][]event.Event{forth, back}

		var outcomes [2][]event.Outcome
		var errs [2]error
		var start, done sync.WaitGroup
		start.Add(1)
		for i := range writers {
			outcomes[i] = make([]event.Outcome, size)
			done.Go(func() {
				start.Wait()
				_, errs[i] = writers[i].Write(t.Context(), batches[i], outcomes[i])
			})
		}
		start.Done()
		done.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		for i := range forth {
			got := [2]event.Outcome{outcomes[0][i], outcomes[1][size-1-i]}
			if got != [2]event.Outcome{event.Accepted, event.Duplicate} && got != [2]event.Outcome{event.Duplicate, event.Accepted} {
				t.Fatalf("one event, two writers: %v", got)
			}
		}
	}
	if rows, err := s.Rows(t.Context()); err != nil || len(rows) != rounds*size {
		t.Errorf("%d rows, %v; want %d", len(rows), err, rounds*size)
	}
}

func testManyWriters(t *testing.T, s TestStore) {
	const writers, rounds, size = 4, 10, 50
	var done sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		w := writer(t, s)
		done.Go(func() {
			batch := make([]event.Event, size)
			for range rounds {
				for n := range batch {
					batch[n] = newEvent([]string{"a", "b", "c"}[n%3])
				}
				if _, err := w.Write(t.Context(), batch, make([]event.Outcome, size)); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if rows, err := s.Rows(t.Context()); err != nil || len(rows) != writers*rounds*size {
		t.Errorf("%d rows, %v; want %d", len(rows), err, writers*rounds*size)
	}
}

func testPayloads(t *testing.T, s TestStore) {
	var events []event.Event
	for _, p := range []string{
		``, // absent
		`{}`,
		`{"big":9007199254740993,"bigger":123456789012345678901234567890,"small":-9223372036854775808}`,
		`{"decimal":0.1000,"tiny":1.5e-7,"many":3.14159265358979323846264338327950288}`,
		`{"nested":{"list":[1,[2,[3,{"deep":null}]],true,false],"empty":[],"object":{}}}`,
		`{"text":"Grüße, 世界 🎉","escaped":"\"\\\/\b\f\n\r\t\u00e9","ключ":"значение","":""}`,
		`{"emoji":"\ud83c\udf89"}`,
		"{\n  \"spaces\" : [ 1 , 2 ]\t}\r\n",
		`{"text":"` + strings.Repeat("x", 60000) + `"}`,
	} {
		e := newEvent("payload")
		if p != "" {
			e.Payload = []byte(p)
		}
		events = append(events, e)
	}
	outcomes, _ := write(t, writer(t, s), events...)
	wantAll(t, outcomes, event.Accepted)
	wantRows(t, s, events...)
}

func testCalendar(t *testing.T, s TestStore) {
	var events []event.Event
	for _, at := range []time.Time{
		time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2000, 1, 31, 23, 59, 59, 0, time.UTC),
		time.Date(2000, 2, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2024, 2, 29, 12, 30, 30, 0, time.UTC),
		time.Date(2300, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		e := newEvent("calendar")
		e.OccurredAt = at.Unix()
		events = append(events, e)
	}
	w := writer(t, s)
	outcomes, _ := write(t, w, events...)
	wantAll(t, outcomes, event.Accepted)

	for _, at := range []int64{253402300800, -62135596801, 1 << 62, -1 << 62} {
		e := newEvent("calendar")
		e.OccurredAt = at
		if _, err := w.Write(t.Context(), []event.Event{e}, make([]event.Outcome, 1)); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("time %d: %v, want ErrInvalid", at, err)
		}
	}
	wantRows(t, s, events...)
}

func testPoisoned(t *testing.T, s TestStore) {
	w := writer(t, s)
	good := newEvent("good")
	write(t, w, good)
	for _, payload := range []string{`{"cut":`, `not json`, ``, `{"a":1} {"b":2}`, "{\"control\":\"\x01\"}"} {
		bad := newEvent("bad")
		bad.Payload = []byte(payload)
		batch := []event.Event{newEvent("good"), bad, newEvent("good")}
		if _, err := w.Write(t.Context(), batch, make([]event.Outcome, 3)); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("payload %q: %v, want ErrInvalid", payload, err)
		} else if payload != "" && strings.Contains(err.Error(), payload) {
			t.Errorf("the error tells the payload: %v", err)
		}
	}
	wantRows(t, s, good)
	next := newEvent("good")
	outcomes, totals := write(t, w, next)
	wantOutcomes(t, outcomes, event.Accepted)
	wantTotal(t, totals, "good", 2)
}

func testCancelled(t *testing.T, s TestStore) {
	w := writer(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := newEvent("a")
	_, err := w.Write(ctx, []event.Event{e}, make([]event.Outcome, 1))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Write with a cancelled context: %v, want one that matches Canceled and ErrUnavailable", err)
	}
	if _, err := s.Totals(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Totals with a cancelled context: %v", err)
	}
	if _, err := s.Types(ctx, "", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("Types with a cancelled context: %v", err)
	}
	wantRows(t, s)
	outcomes, _ := write(t, w, e)
	wantOutcomes(t, outcomes, event.Accepted)
}

func testDeadlines(t *testing.T, s TestStore) {
	w := writer(t, s)
	var all []event.Event
	for round := range 30 {
		batch := make([]event.Event, 200)
		for i := range batch {
			batch[i] = newEvent("slow")
		}
		all = append(all, batch...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(round)*200*time.Microsecond)
		outcomes := make([]event.Outcome, len(batch))
		_, err := w.Write(ctx, batch, outcomes)
		cancel()
		if err != nil && (!errors.Is(err, event.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded)) {
			t.Fatalf("Write that ran out of time: %v", err)
		}
		if err == nil {
			wantAll(t, outcomes, event.Accepted)
		}

		// Readers are interrupted, too, and go on.
		ctx, cancel = context.WithTimeout(t.Context(), time.Duration(round)*20*time.Microsecond)
		if _, err := s.Totals(ctx, []string{"slow"}); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Totals that ran out of time: %v", err)
		}
		cancel()

		// Whatever became of it, the batch again settles it: all or nothing.
		again, _ := write(t, w, batch...)
		for _, o := range again {
			if o != again[0] || (err == nil && o != event.Duplicate) {
				t.Fatalf("after %v the same batch gives %v and %v", err, again[0], o)
			}
		}
	}
	wantRows(t, s, all...)
}

func testTypes(t *testing.T, s TestStore) {
	w := writer(t, s)
	want := []string{"0", "A", "B", "Zebra", "a", "a-b", "a.b", "a:b", "aB", "a_b", "ab", "b"}
	if !slices.IsSorted(want) {
		t.Fatal("the expectation is not in byte order")
	}
	for i := range want {
		write(t, w, newEvent(want[(i*5)%len(want)]))
	}
	for _, limit := range []int{1, 2, 5, 100} {
		var got []string
		after := ""
		for {
			page, err := s.Types(t.Context(), after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit {
				t.Fatalf("a page of %d types, at most %d asked for", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			after = page[len(page)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("types by %d: %q, want %q", limit, got, want)
		}
	}
	if page, err := s.Types(t.Context(), "", 0); err != nil || len(page) != 0 {
		t.Errorf("no types asked for: %q, %v", page, err)
	}
}

func testTotals(t *testing.T, s TestStore) {
	w := writer(t, s)
	write(t, w, newEvent("a"), newEvent("b"), newEvent("a"))
	write(t, writer(t, s), newEvent("a"))
	sums := readTotals(t, s, "b", "none", "a", "a")
	if sums["a"] != 3 || sums["b"] != 1 || len(sums) != 2 {
		t.Errorf("totals: %v", sums)
	}
	for _, none := range [][]string{nil, {}, {"none"}} {
		if totals, err := s.Totals(t.Context(), none); err != nil || len(totals) != 0 {
			t.Errorf("totals of %q: %v, %v", none, totals, err)
		}
	}
	many := make([]string, 70_000) // more than a statement's parameters
	for i := range many {
		many[i] = fmt.Sprint("type-", i)
	}
	many[len(many)-1] = "a"
	sums = readTotals(t, s, many...)
	if sums["a"] != 3 || len(sums) != 1 {
		t.Errorf("totals of many types: %v", sums)
	}
}

func testClosedWriter(t *testing.T, s TestStore) {
	w := writer(t, s)
	write(t, w, newEvent("a"))
	for range 2 {
		if err := w.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := w.Write(t.Context(), []event.Event{newEvent("a")}, make([]event.Outcome, 1)); err == nil {
		t.Error("a closed writer writes")
	}
	outcomes, _ := write(t, writer(t, s), newEvent("a"))
	wantOutcomes(t, outcomes, event.Accepted)
}

// testRandomStreams compares the store with a model of it: a map.
func testRandomStreams(t *testing.T, s TestStore) {
	writers := []ingest.Writer{writer(t, s), writer(t, s)}
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		// The database is the same in every round, so the names are not.
		round++
		g := generator{round: round}
		stored := make(map[event.Key]event.Event)
		sums := make(map[string]int64)
		for range rapid.IntRange(1, 4).Draw(rt, "batches") {
			batch := g.batch(rt)
			outcomes := make([]event.Outcome, len(batch))
			w := rapid.SampledFrom(writers).Draw(rt, "writer")
			totals, err := w.Write(t.Context(), batch, outcomes)
			if err != nil {
				rt.Fatal(err)
			}
			grown := make(map[string]bool)
			for i, e := range batch {
				want := event.Duplicate
				if _, ok := stored[e.Key()]; !ok {
					want = event.Accepted
					stored[e.Key()] = e
					sums[e.Type]++
					grown[e.Type] = true
				}
				if outcomes[i] != want {
					rt.Fatalf("event %d: %v, want %v", i, outcomes[i], want)
				}
			}
			checkNewTotals(rt, s, totals, grown)
		}
		types := make([]string, 0, len(sums))
		for name := range sums {
			types = append(types, name)
		}
		for name, n := range readTotals(rt, s, types...) {
			if n != sums[name] {
				rt.Fatalf("%s: total %d, want %d", name, n, sums[name])
			}
		}
	})
	checkCounts(t, s)
}
