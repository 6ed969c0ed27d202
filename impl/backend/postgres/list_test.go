package postgres_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"

	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
	"highload.example/analytics/impl/testkit"
)

var errStop = errors.New("enough")

// Whether a page is sorted by the program or, because there is more in a second than it
// holds, by PostgreSQL, and wherever it is stopped: an export has every event once, in
// order.
func TestExportPages(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	const second = 1690000000
	var events []event.Event
	add := func(at int64, payload []byte) {
		e := event.Event{UserID: int64(len(events)%7 + 1), OccurredAt: at, Type: fmt.Sprint("kind", len(events)%3), Payload: payload}
		e.ID[0], e.ID[15] = byte(len(events)*37), byte(len(events)) // not in the order of storing
		events = append(events, e)
	}
	for i := range int64(40) {
		add(second+i*i, []byte(`{"a": 1}`)) // thinner and thinner
	}
	for range 50 {
		add(second+100, nil) // more in a second than two pages have
	}
	large := fmt.Appendf(nil, `{"a": %q}`, randomText(60_000))
	for range 90 {
		add(second+5_000_000, large) // more bytes than two pages have
	}
	mustWrite(t, openWriter(t, s), events...)
	slices.SortFunc(events, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.OccurredAt, b.OccurredAt), bytes.Compare(a.ID[:], b.ID[:]), cmp.Compare(a.UserID, b.UserID))
	})

	for _, c := range []struct {
		name        string
		limit, stop int // a page ends after so many
	}{
		{"as the store makes them", 10, 1 << 30},
		{"stopped in the middle", 10, 7},
		{"large", 10_000, 1 << 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := &query.Listing{Slice: query.Slice{From: second - 10, To: second + 10_000_000}, Oldest: true, Limit: c.limit}
			var got []event.Event
			for {
				n := 0
				err := s.List(t.Context(), l, func(e *event.Event) error {
					got = append(got, *e)
					if n++; n == c.stop {
						return errStop
					}
					return nil
				})
				if err != nil && !errors.Is(err, errStop) {
					t.Fatal(err)
				}
				if n > 2*c.limit {
					t.Errorf("a page of %d events", n)
				}
				if n == 0 {
					break
				}
				last := got[len(got)-1].Key()
				l.After = &last
			}
			if len(got) != len(events) {
				t.Fatalf("%d events, not %d", len(got), len(events))
			}
			for i, e := range events {
				if got[i].Key() != e.Key() || got[i].Type != e.Type || string(got[i].Payload) != string(e.Payload) {
					t.Fatalf("at %d: %v, not %v", i, got[i], e)
				}
			}
		})
	}
}
