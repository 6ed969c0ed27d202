package memory_test

import (
	"fmt"
	"testing"
	"time"

	"highload.example/analytics/impl/backend/backendtest"
	"highload.example/analytics/impl/backend/memory"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ratelimit"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var t0 = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestLimits(t *testing.T) {
	t.Parallel()
	backendtest.Limits(t, func(*testing.T) ratelimit.Store { return memory.NewLimits(time.Now, 100_000) })
}

func TestCounters(t *testing.T) {
	t.Parallel()
	backendtest.Counters(t, func(*testing.T) backendtest.TestCounters { return memory.NewCounters(1000) })
}

func takeOne(t *testing.T, l *memory.Limits, key string, p ratelimit.Policy) ratelimit.Grant {
	t.Helper()
	g, err := l.Take(t.Context(), key, p, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestLimitsByTheClock(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	l := memory.NewLimits(clock.Now, 10)
	p := ratelimit.Policy{Quota: 60, Window: time.Minute}
	for range 60 {
		takeOne(t, l, "a", p)
	}
	clock.Advance(999 * time.Millisecond)
	if g := takeOne(t, l, "a", p); g.Granted != 0 || g.RetryAfter != time.Millisecond || g.ResetAfter != time.Minute-999*time.Millisecond {
		t.Errorf("just before the first token is back: %+v", g)
	}
	clock.Advance(time.Millisecond)
	if g := takeOne(t, l, "a", p); g.Granted != 1 {
		t.Errorf("when it is back: %+v", g)
	}
	clock.Advance(-10 * time.Second)
	if g := takeOne(t, l, "a", p); g.RetryAfter > time.Second {
		t.Errorf("after the clock was set back: %+v", g)
	}
	clock.Advance(time.Hour)
	if g := takeOne(t, l, "a", p); g.Granted != 1 || g.Remaining != 59 {
		t.Errorf("after an hour: %+v", g)
	}
}

// TestLimitsAreBounded: memory stays bounded, clients whose buckets are full again
// are forgotten, and of those that must go it's the ones who gain little.
func TestLimitsAreBounded(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	for _, bound := range []int{1, 7, 5000} {
		l := memory.NewLimits(clock.Now, bound)
		p := ratelimit.Policy{Quota: 10, Window: time.Hour}
		for i := range 3 * bound {
			takeOne(t, l, fmt.Sprint("client ", i), p)
		}
		if n := l.Len(); n > bound {
			t.Errorf("%d clients remembered, at most %d were asked for", n, bound)
		}
		clock.Advance(time.Hour)
		for i := range bound {
			takeOne(t, l, fmt.Sprint("later ", i), p)
			clock.Advance(6 * time.Minute) // until the bucket is full again
		}
		if n := l.Len(); n > bound/5+64 {
			t.Errorf("%d of %d remembered of clients with a full bucket", n, bound)
		}
	}

	l := memory.NewLimits(clock.Now, 8)
	p := ratelimit.Policy{Quota: 10, Window: time.Hour}
	if _, err := l.Take(t.Context(), "greedy", p, 10, 10); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		takeOne(t, l, fmt.Sprint("client ", i), p)
	}
	if g := takeOne(t, l, "greedy", p); g.Granted != 0 {
		t.Errorf("a client who has used up everything was forgotten before those who used little: %+v", g)
	}
}

func TestCountersAreBounded(t *testing.T) {
	t.Parallel()
	c := memory.NewCounters(2)
	for _, name := range []string{"a", "b", "c"} {
		totals := []event.Total{{Type: name, Slot: 1, Count: 1}}
		if err := c.Publish(t.Context(), totals); err != nil {
			t.Fatal(err)
		}
		if err := c.Fill(t.Context(), name, totals); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{"a": true, "b": true, "c": false} {
		if _, ok, err := c.Count(t.Context(), name); ok != want || err != nil {
			t.Errorf("Count(%s): %t, %v", name, ok, err)
		}
	}
	if err := c.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := c.Fill(t.Context(), "c", nil); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := c.Count(t.Context(), "c"); !ok || err != nil {
		t.Errorf("no room after another type was forgotten: %t, %v", ok, err)
	}
}

func BenchmarkLimits(b *testing.B) {
	l := memory.NewLimits(time.Now, 100_000)
	p := ratelimit.Policy{Quota: 1_000_000_000, Window: time.Minute}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Take(b.Context(), "192.0.2.1", p, 1, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, types := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%d types", types), func(b *testing.B) {
			c := memory.NewCounters(1000)
			totals := make([]event.Total, types)
			for i := range totals {
				totals[i] = event.Total{Type: fmt.Sprint("type", i)}
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range totals {
					totals[i].Count++
				}
				if err := c.Publish(b.Context(), totals); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
