package backendtest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/stats"
)

// TestCounters are the totals that replicas share.
type TestCounters interface {
	ingest.Counters
	stats.Live
}

// Counters checks that a backend keeps the contract of ingest.Counters and
// stats.Live. open returns counters that hold nothing yet, have room for a
// thousand types, and are closed when the test given to it ends.
func Counters(t *testing.T, open func(t *testing.T) TestCounters) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, c TestCounters)
	}{
		{"an unknown type is not complete", testUnknownType},
		{"publishing makes nothing complete", testPublishIncomplete},
		{"filling makes complete", testFill},
		{"filling with nothing makes complete", testFillEmpty},
		{"filling keeps what is newer", testFillOlder},
		{"filling is for one type", testFillOtherType},
		{"the larger total wins", testMaximum},
		{"totals beyond 2^53 are exact", testLargeTotals},
		{"what is no count is ignored", testNoCounts},
		{"any slot is a slot", testSlots},
		{"names that the contract allows", testTypeNames},
		{"forgetting takes totals and completeness", testForget},
		{"many types at once", testManyTypes},
		{"nothing to publish is fine", testPublishNothing},
		{"publications at the same time", testConcurrentPublications},
		{"any order, twice, late: the same counts", testAnyOrder},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

func publish(t asserter, c TestCounters, totals ...event.Total) {
	t.Helper()
	if err := c.Publish(t.Context(), totals); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

func fill(t asserter, c TestCounters, eventType string, totals ...event.Total) {
	t.Helper()
	if err := c.Fill(t.Context(), eventType, totals); err != nil {
		t.Fatalf("Fill: %v", err)
	}
}

func expectCount(t asserter, c TestCounters, eventType string, want int64) {
	t.Helper()
	n, ok, err := c.Count(t.Context(), eventType)
	if err != nil || !ok || n != want {
		t.Fatalf("Count(%q) = %d, %t, %v; expected %d, true, nil", eventType, n, ok, err, want)
	}
}

func expectIncomplete(t asserter, c TestCounters, eventType string) {
	t.Helper()
	if n, ok, err := c.Count(t.Context(), eventType); err != nil || ok {
		t.Fatalf("Count(%q) = %d, %t, %v; expected it not to be complete", eventType, n, ok, err)
	}
}

func expectTotals(t asserter, c TestCounters, eventType string, want ...event.Total) {
	t.Helper()
	got, err := c.Totals(t.Context(), eventType)
	if err != nil {
		t.Fatalf("Totals(%q): %v", eventType, err)
	}
	slices.SortFunc(got, func(a, b event.Total) int { return cmp.Compare(a.Slot, b.Slot) })
	if !slices.Equal(got, want) {
		t.Fatalf("Totals(%q) = %v, expected %v", eventType, got, want)
	}
}

func total(eventType string, slot int32, count int64) event.Total {
	return event.Total{Type: eventType, Slot: slot, Count: count}
}

func testUnknownType(t *testing.T, c TestCounters) {
	expectIncomplete(t, c, "login")
	expectTotals(t, c, "login")
	if err := c.Forget(t.Context(), "login"); err != nil {
		t.Errorf("Forget of an unknown type: %v", err)
	}
}

func testPublishIncomplete(t *testing.T, c TestCounters) {
	publish(t, c, total("login", 1, 5))
	expectIncomplete(t, c, "login")
	expectTotals(t, c, "login", total("login", 1, 5))
}

func testFill(t *testing.T, c TestCounters) {
	publish(t, c, total("login", 1, 5))
	fill(t, c, "login", total("login", 1, 5), total("login", 2, 7))
	expectCount(t, c, "login", 12)
	publish(t, c, total("login", 3, 1), total("login", 2, 8))
	expectCount(t, c, "login", 14)
	expectTotals(t, c, "login", total("login", 1, 5), total("login", 2, 8), total("login", 3, 1))
	expectIncomplete(t, c, "logout")
}

func testFillEmpty(t *testing.T, c TestCounters) {
	fill(t, c, "login")
	expectCount(t, c, "login", 0)
	publish(t, c, total("login", 4, 2))
	expectCount(t, c, "login", 2)
}

func testFillOlder(t *testing.T, c TestCounters) {
	publish(t, c, total("login", 1, 9), total("login", 2, 1))
	fill(t, c, "login", total("login", 1, 3), total("login", 2, 4))
	expectCount(t, c, "login", 13)
	fill(t, c, "login", total("login", 1, 3))
	expectCount(t, c, "login", 13)
}

func testFillOtherType(t *testing.T, c TestCounters) {
	fill(t, c, "login", total("login", 1, 3), total("logout", 1, 100))
	expectCount(t, c, "login", 3)
	expectTotals(t, c, "logout")
}

func testMaximum(t *testing.T, c TestCounters) {
	fill(t, c, "login")
	for _, n := range []int64{5, 3, 9, 10, 2, 99, 100, 11} {
		publish(t, c, total("login", 1, n))
	}
	expectCount(t, c, "login", 100)
	publish(t, c, total("login", 1, 101), total("login", 1, 7)) // twice in one publication
	expectCount(t, c, "login", 101)
}

func testLargeTotals(t *testing.T, c TestCounters) {
	fill(t, c, "login")
	const edge = 1 << 53
	for _, n := range []int64{edge, edge + 1, edge, edge + 3, edge + 2} {
		publish(t, c, total("login", 1, n))
	}
	expectCount(t, c, "login", edge+3)
	fill(t, c, "most", total("most", 1, math.MaxInt64-1))
	publish(t, c, total("most", 1, math.MaxInt64), total("most", 1, math.MaxInt64-2))
	expectCount(t, c, "most", math.MaxInt64)
}

func testNoCounts(t *testing.T, c TestCounters) {
	fill(t, c, "login", total("login", 1, 0), total("login", 2, -3), total("login", 3, 4))
	publish(t, c, total("login", 3, -5), total("login", 4, math.MinInt64), total("login", 5, 0))
	expectCount(t, c, "login", 4)
	expectTotals(t, c, "login", total("login", 3, 4))
}

func testSlots(t *testing.T, c TestCounters) {
	all := []event.Total{
		total("login", math.MinInt32, 1), total("login", -1, 2), total("login", 0, 3), total("login", 1, 4), total("login", math.MaxInt32, 5),
	}
	fill(t, c, "login", all...)
	expectCount(t, c, "login", 15)
	expectTotals(t, c, "login", all...)
}

func testTypeNames(t *testing.T, c TestCounters) {
	for i, name := range []string{"a", "A", "complete", "0", "1", "a.b:c-d_e", strings.Repeat("x", 128)} {
		fill(t, c, name, total(name, 1, int64(i+1)))
		expectCount(t, c, name, int64(i+1))
	}
	expectCount(t, c, "a", 1)
	expectCount(t, c, "A", 2)
}

func testForget(t *testing.T, c TestCounters) {
	fill(t, c, "login", total("login", 1, 5))
	fill(t, c, "logout", total("logout", 1, 6))
	if err := c.Forget(t.Context(), "login"); err != nil {
		t.Fatal(err)
	}
	expectIncomplete(t, c, "login")
	expectTotals(t, c, "login")
	expectCount(t, c, "logout", 6)
	publish(t, c, total("login", 1, 2)) // less than before: the past is forgotten
	expectIncomplete(t, c, "login")
	expectTotals(t, c, "login", total("login", 1, 2))
}

func testManyTypes(t *testing.T, c TestCounters) {
	var totals []event.Total
	for i := range 300 {
		name := fmt.Sprintf("type-%d", i)
		totals = append(totals, total(name, 1, int64(i+1)), total(name, 2, 1))
	}
	publish(t, c, totals...)
	for i := range 300 {
		name := fmt.Sprintf("type-%d", i)
		fill(t, c, name)
		expectCount(t, c, name, int64(i+2))
	}
}

func testPublishNothing(t *testing.T, c TestCounters) {
	publish(t, c)
	fill(t, c, "login")
	publish(t, c)
	expectCount(t, c, "login", 0)
}

func testConcurrentPublications(t *testing.T, c TestCounters) {
	const writers, rounds = 6, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				// Everyone writes its own slot, and all write one that they share.
				err := c.Publish(t.Context(), []event.Total{total("login", int32(w), int64(i+1)), total("login", writers, int64(i*writers+w+1))})
				if err == nil && i == rounds/2 {
					err = c.Fill(t.Context(), "login", []event.Total{total("login", int32(w), 1)})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	expectCount(t, c, "login", writers*rounds+writers*rounds)
}

func testAnyOrder(t *testing.T, c TestCounters) {
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		if run > 1 { // room for a thousand types is all there need be
			for i := range 3 {
				if err := c.Forget(t.Context(), fmt.Sprintf("type-%d-%d", run-1, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		drawn := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event.Total {
			return event.Total{
				Type:  fmt.Sprintf("type-%d-%d", run, rapid.IntRange(0, 2).Draw(t, "type")),
				Slot:  int32(rapid.IntRange(0, 3).Draw(t, "slot")),
				Count: rapid.Int64Range(1, math.MaxInt64/4).Draw(t, "count"),
			}
		}), 1, 30).Draw(t, "totals")

		type slot struct {
			eventType string
			slot      int32
		}
		largest := map[slot]int64{}
		for _, d := range drawn {
			k := slot{d.Type, d.Slot}
			largest[k] = max(largest[k], d.Count)
		}
		want := map[string]int64{}
		for k, n := range largest {
			want[k.eventType] += n
		}

		// Every total arrives at least once, some again, in an order of its own and in
		// publications of any size, with fills in between.
		arriving := append(slices.Clone(drawn), rapid.SliceOf(rapid.SampledFrom(drawn)).Draw(t, "again")...)
		arriving = rapid.Permutation(arriving).Draw(t, "order")
		for len(arriving) > 0 {
			n := rapid.IntRange(1, len(arriving)).Draw(t, "size")
			publish(t, c, arriving[:n]...)
			arriving = arriving[n:]
			if rapid.Bool().Draw(t, "fill") {
				some := rapid.SampledFrom(drawn).Draw(t, "filled")
				fill(t, c, some.Type, some)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			fill(t, c, name)
			expectCount(t, c, name, want[name])
		}
	})
}
