package backendtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
)

// failer is what testing.TB and rapid.T have in common.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}

// july is an arbitrary moment; tests that need another say so.
var july = time.Date(2023, 7, 22, 4, 26, 40, 0, time.UTC).Unix()

// newEvent returns an event that no other call returns.
func newEvent(eventType string) event.Event {
	e := event.Event{UserID: 1 + rand.Int64N(1000), OccurredAt: july, Type: eventType}
	binary.BigEndian.PutUint64(e.ID[:8], rand.Uint64())
	binary.BigEndian.PutUint64(e.ID[8:], rand.Uint64())
	return e
}

// writer opens a writer that is closed when the test ends, before the store.
func writer(t testing.TB, s ingest.Store) ingest.Writer {
	t.Helper()
	w, err := s.OpenWriter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return w
}

// write stores a batch that can't fail.
func write(t testing.TB, w ingest.Writer, batch ...event.Event) ([]event.Outcome, []event.Total) {
	t.Helper()
	outcomes := make([]event.Outcome, len(batch))
	totals, err := w.Write(t.Context(), batch, outcomes)
	if err != nil {
		t.Fatalf("Write of %d events: %v", len(batch), err)
	}
	return outcomes, totals
}

func wantOutcomes(t testing.TB, got []event.Outcome, want ...event.Outcome) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
}

func wantAll(t testing.TB, got []event.Outcome, want event.Outcome) {
	t.Helper()
	for i, o := range got {
		if o != want {
			t.Fatalf("event %d of %d: %v, want %v", i, len(got), o, want)
		}
	}
}

// wantTotal checks the totals that Write returned; 0 means that there is none.
func wantTotal(t testing.TB, totals []event.Total, eventType string, want int64) {
	t.Helper()
	var got int64
	for _, total := range totals {
		if total.Type == eventType {
			got += total.Count
		}
	}
	if got != want {
		t.Errorf("total of %s: %d, want %d", eventType, got, want)
	}
}

// checkNewTotals checks that what Write returned is what the record says.
func checkNewTotals(t failer, s TestStore, totals []event.Total, grown map[string]bool) {
	t.Helper()
	if len(totals) != len(grown) {
		t.Fatalf("%d totals for %d types that grew: %v", len(totals), len(grown), totals)
	}
	for _, total := range totals {
		if !grown[total.Type] {
			t.Fatalf("total of a type that did not grow: %v", total)
		}
		recorded, err := s.Totals(context.Background(), []string{total.Type})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(recorded, total) {
			t.Fatalf("Write returned %v, the record has %v", total, recorded)
		}
	}
}

// readTotals returns each type's sum over its slots.
func readTotals(t failer, s TestStore, types ...string) map[string]int64 {
	t.Helper()
	totals, err := s.Totals(context.Background(), types)
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		eventType string
		slot      int32
	}
	seen := make(map[place]bool)
	sums := make(map[string]int64)
	for _, total := range totals {
		p := place{total.Type, total.Slot}
		if seen[p] || total.Count < 1 {
			t.Fatalf("total %v twice or not positive in %v", total, totals)
		}
		seen[p] = true
		sums[total.Type] += total.Count
	}
	return sums
}

// checkCounts checks the promise that counts equal rows.
func checkCounts(t testing.TB, s TestStore) {
	t.Helper()
	ctx := context.Background()
	rows, err := s.Rows(ctx)
	if err != nil {
		t.Fatal(err)
	}
	minutes := make(map[Minute]int64)
	sums := make(map[string]int64)
	for _, e := range rows {
		begin := time.Unix(e.OccurredAt, 0).UTC().Truncate(time.Minute).Unix()
		minutes[Minute{e.Type, begin}]++
		sums[e.Type]++
	}
	counts, err := s.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(counts, minutes) {
		t.Errorf("counts differ from rows:\ncounts %v\nrows   %v", counts, minutes)
	}
	types, err := s.Types(ctx, "", len(rows)+1)
	if err != nil {
		t.Fatal(err)
	}
	if got := readTotals(t, s, types...); !maps.Equal(got, sums) {
		t.Errorf("totals differ from rows:\ntotals %v\nrows   %v", got, sums)
	}
}

// wantRows checks that exactly these events are stored, in any order.
func wantRows(t testing.TB, s TestStore, want ...event.Event) {
	t.Helper()
	got, err := s.Rows(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sameRows(t, got, want)
}

func sameRows(t testing.TB, got, want []event.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	got, want = slices.Clone(got), slices.Clone(want)
	slices.SortFunc(got, compareKeys)
	slices.SortFunc(want, compareKeys)
	for i := range got {
		g, w := got[i], want[i]
		if g.Key() != w.Key() || g.Type != w.Type {
			t.Fatalf("row %+v, want %+v", g, w)
		}
		if !samePayload(g.Payload, w.Payload) {
			t.Fatalf("payload %.200q, want %.200q", g.Payload, w.Payload)
		}
	}
}

func compareKeys(a, b event.Event) int {
	return cmp.Or(cmp.Compare(a.UserID, b.UserID), cmp.Compare(a.OccurredAt, b.OccurredAt), bytes.Compare(a.ID[:], b.ID[:]))
}

// samePayload reports whether two payloads are equal in value: numbers as exact
// decimals, names of an object in any order. Absent equals only absent.
func samePayload(a, b []byte) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && sameValue(x, y)
}

func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameValue)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameValue)
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, okX := new(big.Rat).SetString(a.String())
		y, okY := new(big.Rat).SetString(b.String())
		return okX && okY && x.Cmp(y) == 0
	}
	return a == b
}

// generator draws events of a small world, so that keys, minutes and months
// repeat.
type generator struct{ round int }

func (g generator) batch(t *rapid.T) []event.Event {
	return rapid.SliceOfN(rapid.Custom(g.event), 0, 40).Draw(t, "batch")
}

func (g generator) event(t *rapid.T) event.Event {
	e := event.Event{
		UserID:     int64(g.round)*10 + rapid.Int64Range(0, 2).Draw(t, "user"),
		OccurredAt: g.time(t),
		Type:       fmt.Sprintf("r%d-%s", g.round, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "type")),
	}
	e.ID[0] = 1
	e.ID[15] = byte(rapid.IntRange(0, 3).Draw(t, "id"))
	if rapid.Bool().Draw(t, "has payload") {
		e.Payload = fmt.Appendf(nil, `{"n":%d}`, rapid.Int().Draw(t, "n"))
	}
	return e
}

func (g generator) time(t *rapid.T) int64 {
	month := rapid.IntRange(0, 30).Draw(t, "month")
	second := rapid.SampledFrom([]int64{0, 1, 59, 60, 119, 86399}).Draw(t, "second")
	return time.Date(2021, time.Month(1+month), 1, 0, 0, 0, 0, time.UTC).Unix() + second
}

// Differential checks that two backends give the same answers to the same
// random stream. Both stores are empty.
func Differential(t *testing.T, a, b TestStore) {
	t.Helper()
	stores := [2]TestStore{a, b}
	writers := [2]ingest.Writer{writer(t, a), writer(t, b)}
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		batch := generator{round: round / 3}.batch(rt) // some rounds repeat events of the one before
		var outcomes [2][]event.Outcome
		var totals [2][]event.Total
		for i, w := range writers {
			outcomes[i] = make([]event.Outcome, len(batch))
			var err error
			if totals[i], err = w.Write(t.Context(), batch, outcomes[i]); err != nil {
				rt.Fatal(err)
			}
			for n := range totals[i] {
				totals[i][n].Slot = 0 // not part of the answer
			}
			slices.SortFunc(totals[i], func(a, b event.Total) int { return cmp.Compare(a.Type, b.Type) })
		}
		if !slices.Equal(outcomes[0], outcomes[1]) {
			rt.Fatalf("outcomes %v and %v", outcomes[0], outcomes[1])
		}
		if !slices.Equal(totals[0], totals[1]) {
			rt.Fatalf("totals %v and %v", totals[0], totals[1])
		}
	})

	var rows [2][]event.Event
	var counts [2]map[Minute]int64
	var types [2][]string
	for i, s := range stores {
		checkCounts(t, s)
		var err error
		if rows[i], err = s.Rows(t.Context()); err != nil {
			t.Fatal(err)
		}
		if counts[i], err = s.Counts(t.Context()); err != nil {
			t.Fatal(err)
		}
		if types[i], err = s.Types(t.Context(), "", len(rows[i])+1); err != nil {
			t.Fatal(err)
		}
	}
	sameRows(t, rows[0], rows[1])
	if !maps.Equal(counts[0], counts[1]) {
		t.Errorf("counts differ:\n%v\n%v", counts[0], counts[1])
	}
	if !slices.Equal(types[0], types[1]) {
		t.Errorf("types differ:\n%q\n%q", types[0], types[1])
	}
}

// BenchmarkWrite measures Write of new events with 64 bytes of payload in
// batches of several sizes.
func BenchmarkWrite(b *testing.B, s ingest.Store) {
	for _, size := range []int{1, 100, 1000, 5000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := writer(b, s)
			batch := make([]event.Event, size)
			for i := range batch {
				batch[i] = newEvent([]string{"view", "purchase", "login"}[i%3])
				batch[i].Payload = []byte(`{"item":"book","price":12.50,"currency":"EUR","campaign":"may"}`)
			}
			outcomes := make([]event.Outcome, size)
			b.ReportAllocs()
			for b.Loop() {
				for i := range batch { // time goes on, users come back
					batch[i].OccurredAt++
					binary.BigEndian.PutUint64(batch[i].ID[8:], rand.Uint64())
				}
				if _, err := w.Write(b.Context(), batch, outcomes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
		})
	}
}
