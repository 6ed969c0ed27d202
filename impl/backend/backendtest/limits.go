package backendtest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"highload.example/analytics/impl/ratelimit"
)

// Limits checks that a backend keeps the contract of ratelimit.Store. open returns
// a store without buckets, which runs by the machine's clock and is closed when
// the test given to it ends.
func Limits(t *testing.T, open func(t *testing.T) ratelimit.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, s ratelimit.Store)
	}{
		{"a new client has the whole quota", testWholeQuota},
		{"nobody gets more than there is", testEmptyBucket},
		{"less than needed is not taken", testNeed},
		{"asking for too much is asking for everything", testBounds},
		{"clients don't share a bucket", testClientsApart},
		{"names of any kind are names", testNames},
		{"tokens come back", testRefill},
		{"a bucket that was given time is full again", testFullAgain},
		{"a smaller policy counts at once", testPolicyChanged},
		{"large quotas and long windows are exact", testLargePolicies},
		{"takes at the same time are apart", testConcurrentTakes},
		{"never more than the quota and what comes back", testNeverMore},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// slow is a policy of so long a window that nothing comes back during a test.
var slow = ratelimit.Policy{Quota: 10, Window: 24 * time.Hour}

func take(t asserter, s ratelimit.Store, key string, p ratelimit.Policy, need, want int) ratelimit.Grant {
	t.Helper()
	g, err := s.Take(t.Context(), key, p, need, want)
	if err != nil {
		t.Fatalf("Take(%q, need %d, want %d): %v", key, need, want, err)
	}
	switch {
	case g.Granted < 0 || g.Remaining < 0 || g.Granted+g.Remaining > p.Quota:
		t.Fatalf("Take(%q, need %d, want %d) of a quota of %d: %+v", key, need, want, p.Quota, g)
	case (g.Granted == 0) != (g.RetryAfter > 0):
		t.Fatalf("RetryAfter must be set when nothing is granted, and only then: %+v", g)
	case g.RetryAfter > p.Window+time.Second || g.ResetAfter < 0 || g.ResetAfter > p.Window+time.Second:
		t.Fatalf("times outside the window of %s: %+v", p.Window, g)
	}
	return g
}

// asserter is what the helpers need of a test: *testing.T and *rapid.T.
type asserter interface {
	Helper()
	Fatalf(format string, args ...any)
	Context() context.Context
}

func expect(t asserter, g ratelimit.Grant, granted, remaining int) {
	t.Helper()
	if g.Granted != granted || g.Remaining != remaining {
		t.Fatalf("granted %d, remaining %d; expected %d and %d", g.Granted, g.Remaining, granted, remaining)
	}
}

func testWholeQuota(t *testing.T, s ratelimit.Store) {
	expect(t, take(t, s, "a", slow, 1, 1), 1, 9)
	g := take(t, s, "a", slow, 1, 4)
	expect(t, g, 4, 5)
	if want := 5 * slow.Interval(); g.ResetAfter > want || g.ResetAfter < want-time.Minute {
		t.Errorf("full again after %s, expected about %s", g.ResetAfter, want)
	}
}

func testEmptyBucket(t *testing.T, s ratelimit.Store) {
	expect(t, take(t, s, "a", slow, 1, 7), 7, 3)
	expect(t, take(t, s, "a", slow, 1, 7), 3, 0)
	g := take(t, s, "a", slow, 1, 7)
	expect(t, g, 0, 0)
	if g.RetryAfter > slow.Interval() || g.RetryAfter < slow.Interval()-time.Minute {
		t.Errorf("retry after %s, expected about %s", g.RetryAfter, slow.Interval())
	}
}

func testNeed(t *testing.T, s ratelimit.Store) {
	expect(t, take(t, s, "a", slow, 8, 8), 8, 2)
	for range 3 { // being refused costs nothing
		g := take(t, s, "a", slow, 5, 10)
		expect(t, g, 0, 2)
		if want := 3 * slow.Interval(); g.RetryAfter > want || g.RetryAfter < want-time.Minute {
			t.Errorf("retry after %s, expected about %s", g.RetryAfter, want)
		}
	}
	expect(t, take(t, s, "a", slow, 2, 10), 2, 0)
}

func testBounds(t *testing.T, s ratelimit.Store) {
	expect(t, take(t, s, "a", slow, 0, 0), 1, 9)
	expect(t, take(t, s, "b", slow, -5, -7), 1, 9)
	expect(t, take(t, s, "c", slow, 3, 1), 3, 7)
	expect(t, take(t, s, "d", slow, 1_000_000, 2_000_000), 10, 0)
	expect(t, take(t, s, "e", ratelimit.Policy{Quota: 1, Window: 24 * time.Hour}, 1, 1), 1, 0)
}

func testClientsApart(t *testing.T, s ratelimit.Store) {
	expect(t, take(t, s, "192.0.2.1", slow, 10, 10), 10, 0)
	expect(t, take(t, s, "192.0.2.2", slow, 1, 1), 1, 9)
	expect(t, take(t, s, "192.0.2.1", slow, 1, 1), 0, 0)
}

func testNames(t *testing.T, s ratelimit.Store) {
	for _, key := range []string{"", "2001:db8::/64", "{}", "}{", "a b", "\x00\xff\n", "ключ", string(make([]byte, 4096))} {
		expect(t, take(t, s, key, slow, 1, 1), 1, 9)
		expect(t, take(t, s, key, slow, 9, 9), 9, 0)
	}
}

func testRefill(t *testing.T, s ratelimit.Store) {
	p := ratelimit.Policy{Quota: 100, Window: 2 * time.Second} // one in 20 ms
	take(t, s, "a", p, 100, 100)
	g := take(t, s, "a", p, 1, 1)
	deadline := time.Now().Add(10 * time.Second)
	for g.Granted == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("no token came back in 10 s: %+v", g)
		}
		if g.RetryAfter > p.Interval() {
			t.Fatalf("one token needs %s, not %s", p.Interval(), g.RetryAfter)
		}
		runtime.Gosched()
		g = take(t, s, "a", p, 1, 1)
	}
}

func testFullAgain(t *testing.T, s ratelimit.Store) {
	p := ratelimit.Policy{Quota: 5, Window: 20 * time.Millisecond}
	take(t, s, "a", p, 5, 5)
	deadline := time.Now().Add(10 * time.Second)
	for take(t, s, "a", p, 5, 5).Granted != 5 {
		if time.Now().After(deadline) {
			t.Fatal("the bucket wasn't full again in 10 s")
		}
		runtime.Gosched()
	}
}

func testPolicyChanged(t *testing.T, s ratelimit.Store) {
	take(t, s, "a", ratelimit.Policy{Quota: 1000, Window: 24 * time.Hour}, 1000, 1000)
	small := ratelimit.Policy{Quota: 10, Window: 10 * time.Second}
	if g := take(t, s, "a", small, 1, 1); g.Granted == 0 && g.RetryAfter > small.Interval() {
		t.Errorf("a client waits %s for a token that comes every %s", g.RetryAfter, small.Interval())
	}
}

func testLargePolicies(t *testing.T, s ratelimit.Store) {
	month := ratelimit.Policy{Quota: 1_000_000_007, Window: 30 * 24 * time.Hour} // 2,592,000 ns a token
	took := 0
	begin := time.Now()
	for i := range 50 {
		took += take(t, s, "month", month, 1, 1+i).Granted
	}
	g := take(t, s, "month", month, 1, 1)
	took += g.Granted
	back := int(time.Since(begin)/month.Interval()) + 1
	if left := took + g.Remaining; left < month.Quota || left > month.Quota+back {
		t.Errorf("took %d, %d remain, of a quota of %d", took, g.Remaining, month.Quota)
	}
	minute := ratelimit.Policy{Quota: 1_000_000_000, Window: time.Minute} // 60 ns a token
	if g := take(t, s, "minute", minute, 1, 400_000_000); g.Granted != 400_000_000 || g.Remaining != 600_000_000 {
		t.Errorf("%+v of a quota of %d", g, minute.Quota)
	}
}

func testConcurrentTakes(t *testing.T, s ratelimit.Store) {
	p := ratelimit.Policy{Quota: 500, Window: 24 * time.Hour}
	var (
		wg      sync.WaitGroup
		granted atomic.Int64
	)
	for range 8 {
		wg.Go(func() {
			for i := range 40 {
				g, err := s.Take(t.Context(), "a", p, 1+i%3, 1+i%5)
				if err != nil {
					t.Error(err)
					return
				}
				granted.Add(int64(g.Granted))
			}
		})
	}
	wg.Wait()
	for take(t, s, "a", p, 1, 1).Granted == 1 {
		granted.Add(1)
	}
	if granted.Load() != 500 {
		t.Errorf("%d tokens granted of 500", granted.Load())
	}
}

func testNeverMore(t *testing.T, s ratelimit.Store) {
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		key := fmt.Sprintf("client %d", run)
		p := ratelimit.Policy{
			Quota:  rapid.IntRange(1, 2000).Draw(t, "quota"),
			Window: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Minute)).Draw(t, "window")),
		}
		begin := time.Now()
		granted := 0
		for range rapid.IntRange(1, 20).Draw(t, "takes") {
			need := rapid.IntRange(1, p.Quota).Draw(t, "need")
			want := rapid.IntRange(need, p.Quota).Draw(t, "want")
			g := take(t, s, key, p, need, want)
			if g.Granted != 0 && (g.Granted < need || g.Granted > want) {
				t.Fatalf("%d granted, needed %d, wanted %d", g.Granted, need, want)
			}
			granted += g.Granted
			// One more for a token that was nearly back; a clock may tick in µs.
			back := int((time.Since(begin)+time.Microsecond)/p.Interval()) + 1
			if granted > p.Quota+back {
				t.Fatalf("%d granted of a quota of %d and %d that came back", granted, p.Quota, back)
			}
		}
	})
}
