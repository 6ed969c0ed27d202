package ratelimit_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"highload.example/analytics/impl/backend/memory"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ratelimit"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	t0     = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	policy = ratelimit.Policy{Quota: 1500, Window: time.Minute}
)

// spy is a store that counts what it's asked, and does as it's told.
type spy struct {
	ratelimit.Store
	before func(ctx context.Context) error // nil: go ahead

	mu      sync.Mutex
	trips   int
	granted int
	wants   []int
}

func (s *spy) Take(ctx context.Context, key string, p ratelimit.Policy, need, want int) (ratelimit.Grant, error) {
	s.mu.Lock()
	s.trips++
	s.wants = append(s.wants, want)
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return ratelimit.Grant{}, err
		}
	}
	g, err := s.Store.Take(ctx, key, p, need, want)
	s.mu.Lock()
	s.granted += g.Granted
	s.mu.Unlock()
	return g, err
}

func (s *spy) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trips
}

func (s *spy) set(before func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// tally is an observer that counts.
type tally struct{ allowed, limited, failed atomic.Int64 }

func (o *tally) LimitDecided(allowed bool) {
	if allowed {
		o.allowed.Add(1)
	} else {
		o.limited.Add(1)
	}
}
func (o *tally) SharedLimitsFailed() { o.failed.Add(1) }

// replicas returns n limiters over one shared store.
func replicas(n int, p ratelimit.Policy, shared ratelimit.Store, now func() time.Time) []*ratelimit.Limiter {
	all := make([]*ratelimit.Limiter, n)
	for i := range all {
		all[i] = ratelimit.New(ratelimit.Config{Policy: p, Shared: shared, Local: memory.NewLimits(now, 100), Clock: now})
	}
	return all
}

func TestSingleReplica(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	var seen tally
	l := ratelimit.New(ratelimit.Config{
		Policy: ratelimit.Policy{Quota: 3, Window: time.Minute}, Local: memory.NewLimits(clock.Now, 10), Clock: clock.Now, Observer: &seen,
	})
	for i := range 3 {
		d := l.Allow(t.Context(), "a", 1)
		if !d.Allowed || d.Remaining != 2-i || d.Quota != 3 || d.Window != time.Minute {
			t.Fatalf("request %d: %+v", i, d)
		}
	}
	if d := l.Allow(t.Context(), "a", 1); d.Allowed || d.RetryAfter != 20*time.Second || d.ResetAfter != time.Minute {
		t.Fatalf("a fourth request: %+v", d)
	}
	if d := l.Allow(t.Context(), "b", 1); !d.Allowed {
		t.Fatalf("another client: %+v", d)
	}
	clock.Advance(20 * time.Second)
	if d := l.Allow(t.Context(), "a", 1); !d.Allowed {
		t.Fatalf("after the time told: %+v", d)
	}
	if seen.allowed.Load() != 5 || seen.limited.Load() != 1 || seen.failed.Load() != 0 {
		t.Errorf("observed %d allowed, %d limited, %d failed", seen.allowed.Load(), seen.limited.Load(), seen.failed.Load())
	}
}

func TestLeasesGrowAndShrink(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	shared := &spy{Store: memory.NewLimits(clock.Now, 10)}
	l := replicas(1, policy, shared, clock.Now)[0]
	for range 46 {
		l.Allow(t.Context(), "a", 1)
	}
	clock.Advance(700 * time.Millisecond) // the last lease is used up in more than half of its life
	for range 15 {
		l.Allow(t.Context(), "a", 1)
	}
	l.Allow(t.Context(), "a", 1) // the second of two leases within no time: as large as a lease gets
	clock.Advance(time.Second)   // and now it's too old
	l.Allow(t.Context(), "a", 1)
	l.Allow(t.Context(), "a", 20) // more than a lease may have
	for range 15 {                // a lease for most of its life
		l.Allow(t.Context(), "a", 1)
		clock.Advance(60 * time.Millisecond)
	}
	if got, want := fmt.Sprint(shared.wants), "[1 2 4 8 15 15 15 15 1 20 15]"; got != want {
		t.Errorf("leases of %s, expected %s", got, want)
	}
}

// TestHotPathMakesNoRoundTrip: of a client at full speed, one request in
// fifteen asks the shared store.
func TestHotPathMakesNoRoundTrip(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	shared := &spy{Store: memory.NewLimits(clock.Now, 10)}
	l := replicas(1, policy, shared, clock.Now)[0]
	for range 1500 {
		if d := l.Allow(t.Context(), "a", 1); !d.Allowed {
			t.Fatalf("refused within the quota: %+v", d)
		}
	}
	if n := shared.count(); n > 110 {
		t.Errorf("%d round trips for 1,500 requests", n)
	}
	if d := l.Allow(t.Context(), "a", 1); d.Allowed || d.Remaining != 0 || d.RetryAfter != 40*time.Millisecond {
		t.Errorf("request 1,501: %+v", d)
	}
}

func TestRefusalIsRemembered(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	shared := &spy{Store: memory.NewLimits(clock.Now, 10)}
	l := replicas(1, policy, shared, clock.Now)[0]
	if d := l.Allow(t.Context(), "a", 1490); !d.Allowed || d.Remaining != 10 {
		t.Fatalf("%+v", d)
	}
	d := l.Allow(t.Context(), "a", 20)
	if d.Allowed || d.RetryAfter != 400*time.Millisecond || d.Remaining != 10 {
		t.Fatalf("20 of 10: %+v", d)
	}
	trips := shared.count()
	clock.Advance(100 * time.Millisecond)
	if d := l.Allow(t.Context(), "a", 20); d.Allowed || d.RetryAfter != 300*time.Millisecond || shared.count() != trips {
		t.Errorf("the same again: %+v after %d round trips", d, shared.count()-trips)
	}
	if d := l.Allow(t.Context(), "a", 5); !d.Allowed {
		t.Errorf("a cheaper request, which there is enough for: %+v", d)
	}
	clock.Advance(700 * time.Millisecond)
	if d := l.Allow(t.Context(), "a", 20); !d.Allowed {
		t.Errorf("when enough came back: %+v", d)
	}
}

// TestRefusalsOfLargeQuotas: where tokens come back within microseconds, not every
// one of them is worth a round trip.
func TestRefusalsOfLargeQuotas(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	shared := &spy{Store: memory.NewLimits(clock.Now, 10)}
	l := replicas(1, ratelimit.Policy{Quota: 60_000_000, Window: time.Minute}, shared, clock.Now)[0]
	l.Allow(t.Context(), "a", 60_000_000)
	trips, allowed := shared.count(), 0
	for range 10_000 { // 0.1 s, in which 100,000 tokens come back, half of what is asked for
		clock.Advance(10 * time.Microsecond)
		for range 20 {
			if l.Allow(t.Context(), "a", 1).Allowed {
				allowed++
			}
		}
	}
	if n := shared.count() - trips; n > 100 {
		t.Errorf("%d round trips in 0.1 s", n)
	}
	if allowed < 80_000 || allowed > 100_000 {
		t.Errorf("%d allowed", allowed)
	}
}

func TestCostIsBounded(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	l := replicas(1, policy, memory.NewLimits(clock.Now, 10), clock.Now)[0]
	if d := l.Allow(t.Context(), "a", -3); !d.Allowed || d.Remaining != 1499 {
		t.Errorf("a cost of -3: %+v", d)
	}
	if d := l.Allow(t.Context(), "b", 1_000_000); !d.Allowed || d.Remaining != 0 {
		t.Errorf("a cost of more than the quota: %+v", d)
	}
}

// TestSteadyClient: nobody who keeps below the limit is refused because of
// leases, over however many replicas the requests are spread.
func TestSteadyClient(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 10, 50} {
		t.Run(fmt.Sprintf("%d replicas", n), func(t *testing.T) {
			t.Parallel()
			for _, every := range []time.Duration{41 * time.Millisecond, 60 * time.Millisecond, 130 * time.Millisecond, 700 * time.Millisecond, 1100 * time.Millisecond} {
				clock := testkit.NewClock(t0)
				shared := &spy{Store: memory.NewLimits(clock.Now, 10)}
				all := replicas(n, policy, shared, clock.Now)
				requests := int(10 * time.Minute / every)
				for i := range requests {
					if d := all[i%n].Allow(t.Context(), "a", 1); !d.Allowed {
						t.Fatalf("request %d, one every %s: %+v", i, every, d)
					}
					clock.Advance(every)
				}
				if stranded := shared.granted - requests; stranded > 15*n {
					t.Errorf("%d tokens stranded with one request every %s", stranded, every)
				}
			}
		})
	}
}

// TestSharedLimitHolds sends anything to any replica at any time, and checks what
// the package promises of leases.
func TestSharedLimitHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := ratelimit.Policy{Quota: rapid.IntRange(1, 3000).Draw(t, "quota"), Window: time.Minute}
		n := rapid.IntRange(1, 5).Draw(t, "replicas")
		clock := testkit.NewClock(t0)
		shared := &spy{Store: memory.NewLimits(clock.Now, 10)}
		all := replicas(n, p, shared, clock.Now)
		type admission struct {
			at   time.Time
			cost int
		}
		var admitted []admission
		total := 0
		for range rapid.IntRange(1, 60).Draw(t, "bursts") {
			clock.Advance(rapid.SampledFrom([]time.Duration{0, time.Millisecond, 100 * time.Millisecond, 499 * time.Millisecond, 990 * time.Millisecond, time.Second, 5 * time.Second}).Draw(t, "pause"))
			l := all[rapid.IntRange(0, n-1).Draw(t, "replica")]
			cost := rapid.SampledFrom([]int{1, 1, 1, 2, 10, 100}).Draw(t, "cost")
			for range rapid.IntRange(1, 100).Draw(t, "requests") {
				if !l.Allow(t.Context(), "a", cost).Allowed {
					break
				}
				paid := min(cost, p.Quota)
				admitted = append(admitted, admission{clock.Now(), paid})
				total += paid
			}
		}
		back := func(d time.Duration) int { return int(d/p.Interval()) + 1 }
		if total > p.Quota+back(clock.Now().Sub(t0)) || total > shared.granted {
			t.Fatalf("%d admitted, %d granted, of a quota of %d in %s", total, shared.granted, p.Quota, clock.Now().Sub(t0))
		}
		if live := n * max(p.Quota/100, 1); 2*total < shared.granted-live {
			t.Fatalf("only %d admitted of %d granted", total, shared.granted)
		}
		for i := range admitted {
			sum := 0
			for _, a := range admitted[i:] {
				sum += a.cost
				if span := a.at.Sub(admitted[i].at); sum > p.Quota+back(span+time.Second) {
					t.Fatalf("%d admitted in %s of a quota of %d", sum, span, p.Quota)
				}
			}
		}
	})
}

func TestRoundTripsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		shared := &spy{Store: memory.NewLimits(time.Now, 10)}
		shared.set(func(context.Context) error { <-answer; return nil })
		l := replicas(1, policy, shared, time.Now)[0]
		var (
			wg      sync.WaitGroup
			allowed atomic.Int64
		)
		for range 200 {
			wg.Go(func() {
				if l.Allow(t.Context(), "a", 1).Allowed {
					allowed.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := shared.count(); n != 1 {
			t.Fatalf("%d round trips at a time for one client", n)
		}
		// Another client has a round trip of its own, and doesn't wait for the first.
		wg.Go(func() { l.Allow(t.Context(), "b", 1) })
		synctest.Wait()
		if n := shared.count(); n != 2 {
			t.Fatalf("%d round trips for two clients", n)
		}
		close(answer)
		wg.Wait()
		if n := shared.count(); n > 3 || allowed.Load() != 200 {
			t.Errorf("%d round trips, %d of 200 allowed", n, allowed.Load())
		}
	})
}

func TestWaitingEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		shared := &spy{Store: memory.NewLimits(time.Now, 10)}
		shared.set(func(context.Context) error { <-answer; return nil })
		l := replicas(1, policy, shared, time.Now)[0]
		first := make(chan ratelimit.Decision, 1)
		go func() { first <- l.Allow(t.Context(), "a", 1) }()
		synctest.Wait()

		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan ratelimit.Decision, 1)
		go func() { second <- l.Allow(ctx, "a", 1) }()
		synctest.Wait()
		cancel()
		<-second
		close(answer)
		if d := <-first; !d.Allowed {
			t.Errorf("%+v", d)
		}
	})
}

// TestLeavingClientKeepsTheRoundTrip: others may wait for what it brings.
func TestLeavingClientKeepsTheRoundTrip(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	shared := &spy{Store: memory.NewLimits(clock.Now, 10)}
	shared.set(func(ctx context.Context) error { return ctx.Err() })
	var seen tally
	l := ratelimit.New(ratelimit.Config{Policy: policy, Shared: shared, Local: memory.NewLimits(clock.Now, 10), Clock: clock.Now, Observer: &seen})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d := l.Allow(ctx, "a", 1); !d.Allowed || seen.failed.Load() != 0 {
		t.Errorf("%+v, %d failures", d, seen.failed.Load())
	}
}

// TestSilentStore walks through an outage: one request pays the time-out, the
// others of the next second nothing, one asks whether it's over, and the
// replica's own limit counts meanwhile.
func TestSilentStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		silent := func(ctx context.Context) error { <-ctx.Done(); return event.ErrUnavailable }
		shared := &spy{Store: memory.NewLimits(time.Now, 10)}
		shared.set(silent)
		var seen tally
		l := ratelimit.New(ratelimit.Config{
			Policy: ratelimit.Policy{Quota: 5, Window: time.Hour}, Shared: shared, Local: memory.NewLimits(time.Now, 10), Clock: time.Now, Observer: &seen,
		})
		took := func(allow int) time.Duration {
			t.Helper()
			begin := time.Now()
			if d := l.Allow(t.Context(), "a", 1); d.Allowed != (allow == 1) {
				t.Fatalf("%+v, expected %d allowed", d, allow)
			}
			return time.Since(begin)
		}
		if d := took(1); d != 50*time.Millisecond {
			t.Errorf("the first request waited %s", d)
		}
		for range 4 {
			if d := took(1); d != 0 {
				t.Errorf("a request within the pause waited %s", d)
			}
		}
		if d := took(0); d != 0 || shared.count() != 1 {
			t.Errorf("the sixth of five waited %s, after %d round trips", d, shared.count())
		}

		<-time.After(time.Second)
		probed := make(chan struct{})
		go func() {
			defer close(probed)
			l.Allow(t.Context(), "b", 1)
		}()
		synctest.Wait()
		if d := took(0); d != 0 || shared.count() != 2 {
			t.Errorf("beside the probe a request waited %s; %d round trips", d, shared.count())
		}
		<-probed
		if seen.failed.Load() != 2 {
			t.Errorf("%d failures observed", seen.failed.Load())
		}

		shared.set(nil)
		<-time.After(time.Second)
		if d := took(1); d != 0 || shared.count() != 3 {
			t.Errorf("after the outage: waited %s, %d round trips", d, shared.count())
		}
		took(1)
		if shared.count() != 4 {
			t.Errorf("the shared bucket isn't asked again: %d round trips", shared.count())
		}
	})
}

// TestFailingStoreReleasesTheWaiting: they're told at once, and don't try one
// after another.
func TestFailingStoreReleasesTheWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &spy{Store: memory.NewLimits(time.Now, 10)}
		shared.set(func(ctx context.Context) error { <-ctx.Done(); return event.ErrUnavailable })
		l := replicas(1, policy, shared, time.Now)[0]
		begin := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if !l.Allow(t.Context(), "a", 1).Allowed {
					t.Error("refused within the own limit")
				}
			})
		}
		wg.Wait()
		if d := time.Since(begin); d != 50*time.Millisecond || shared.count() != 1 {
			t.Errorf("waited %s, %d round trips", d, shared.count())
		}
	})
}

// TestManyClients: more clients than are remembered still are limited, by the
// shared store.
func TestManyClients(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	l := ratelimit.New(ratelimit.Config{
		Policy: ratelimit.Policy{Quota: 2, Window: time.Hour}, Shared: memory.NewLimits(clock.Now, 1_000_000), Local: memory.NewLimits(clock.Now, 10),
		Clock: clock.Now, MaxClients: 1,
	})
	for round := range 4 {
		for i := range 100 {
			if d := l.Allow(t.Context(), fmt.Sprint(i), 1); d.Allowed != (round < 2) {
				t.Fatalf("round %d, client %d: %+v", round, i, d)
			}
		}
		if n := l.Clients(); n > 1 {
			t.Fatalf("%d clients remembered", n)
		}
	}
}

// TestIdleClientsAreForgotten as others come, long before there are too many.
func TestIdleClientsAreForgotten(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	l := replicas(1, policy, memory.NewLimits(clock.Now, 10_000), clock.Now)[0]
	for i := range 20_000 {
		l.Allow(t.Context(), fmt.Sprint(i), 1)
		clock.Advance(10 * time.Millisecond) // 100 are live at any time
	}
	if n := l.Clients(); n > 500 {
		t.Errorf("%d clients remembered, of whom 100 are live", n)
	}
}

func TestConcurrentClients(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(t0)
	shared := memory.NewLimits(clock.Now, 1000)
	p := ratelimit.Policy{Quota: 300, Window: 24 * time.Hour}
	all := replicas(3, p, shared, clock.Now)
	var (
		wg      sync.WaitGroup
		allowed [4]atomic.Int64
	)
	for w := range 12 {
		wg.Go(func() {
			for i := range 200 {
				if all[(w+i)%len(all)].Allow(t.Context(), fmt.Sprint(w%4), 1).Allowed {
					allowed[w%4].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range allowed {
		// Up to two tokens of a lease of three may be left with each replica.
		if n := allowed[i].Load(); n > 300 || n < 300-2*3 {
			t.Errorf("client %d was allowed %d requests of 300", i, n)
		}
	}
}

func TestInvalidConfigPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	ratelimit.New(ratelimit.Config{Local: memory.NewLimits(time.Now, 1), Clock: time.Now})
}

// leased returns a limiter with a lease that lasts as long as its clock stands.
func leased(tb testing.TB, now func() time.Time) *ratelimit.Limiter {
	tb.Helper()
	p := ratelimit.Policy{Quota: 1_000_000_000, Window: time.Minute}
	l := replicas(1, p, memory.NewLimits(now, 10), now)[0]
	for range 1 << 12 {
		l.Allow(tb.Context(), "192.0.2.1", 1)
	}
	return l
}

func TestAllowAllocates(t *testing.T) {
	clock := testkit.NewClock(t0)
	l := leased(t, clock.Now)
	shared := testing.AllocsPerRun(1000, func() { l.Allow(t.Context(), "192.0.2.1", 1) })
	own := ratelimit.New(ratelimit.Config{Policy: policy, Local: memory.NewLimits(clock.Now, 10), Clock: clock.Now})
	own.Allow(t.Context(), "192.0.2.1", 1)
	local := testing.AllocsPerRun(1000, func() { own.Allow(t.Context(), "192.0.2.1", 1) })
	if shared != 0 || local != 0 {
		t.Errorf("%v allocations with a lease, %v with the own bucket; expected none", shared, local)
	}
}

func BenchmarkAllow(b *testing.B) {
	for _, c := range []struct {
		name string
		new  func(b *testing.B) *ratelimit.Limiter
	}{
		{"lease", func(b *testing.B) *ratelimit.Limiter { return leased(b, time.Now) }},
		{"own", func(*testing.B) *ratelimit.Limiter {
			return ratelimit.New(ratelimit.Config{
				Policy: ratelimit.Policy{Quota: 1_000_000_000, Window: time.Minute}, Local: memory.NewLimits(time.Now, 100), Clock: time.Now,
			})
		}},
		{"refused", func(b *testing.B) *ratelimit.Limiter {
			p := ratelimit.Policy{Quota: 1, Window: 24 * time.Hour}
			l := replicas(1, p, memory.NewLimits(time.Now, 10), time.Now)[0]
			l.Allow(b.Context(), "192.0.2.1", 1)
			return l
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := c.new(b)
			b.ReportAllocs()
			for b.Loop() {
				l.Allow(b.Context(), "192.0.2.1", 1)
			}
		})
		b.Run(c.name+" of one client, parallel", func(b *testing.B) {
			l := c.new(b)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l.Allow(b.Context(), "192.0.2.1", 1)
				}
			})
		})
	}
}
