package ratelimit_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"highload.example/analytics/impl/ratelimit"
)

func TestPolicyValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		policy ratelimit.Policy
		valid  bool
	}{
		{"the default", ratelimit.Policy{Quota: 1500, Window: time.Minute}, true},
		{"one a day", ratelimit.Policy{Quota: 1, Window: 24 * time.Hour}, true},
		{"the largest setting", ratelimit.Policy{Quota: 1_000_000_000, Window: time.Minute}, true},
		{"off", ratelimit.Policy{Quota: 0, Window: time.Minute}, false},
		{"negative", ratelimit.Policy{Quota: -1, Window: time.Minute}, false},
		{"no window", ratelimit.Policy{Quota: 1}, false},
		{"too short", ratelimit.Policy{Quota: 1, Window: time.Microsecond}, false},
		{"too long", ratelimit.Policy{Quota: 1, Window: 31 * 24 * time.Hour}, false},
		{"more than a token a nanosecond", ratelimit.Policy{Quota: 1_000_001, Window: time.Millisecond}, false},
	} {
		if err := c.policy.Validate(); (err == nil) != c.valid {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestPolicyTake holds the arithmetic against a bucket that is counted out in whole
// intervals, as people would explain it.
func TestPolicyTake(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := ratelimit.Policy{
			Quota:  rapid.IntRange(1, 1_000_000).Draw(t, "quota"),
			Window: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(30*24*time.Hour)).Draw(t, "window")),
		}
		interval := p.Interval()
		if got := interval * time.Duration(p.Quota); got < p.Window || got-p.Window >= time.Duration(p.Quota) {
			t.Fatalf("%d intervals of %s make %s, not %s", p.Quota, interval, got, p.Window)
		}
		var debt, elapsed time.Duration
		granted := 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "wait") {
				d := time.Duration(rapid.Int64Range(0, int64(p.Window/4)).Draw(t, "for"))
				elapsed += d
				debt = max(debt-d, 0)
			}
			need := rapid.IntRange(1, p.Quota).Draw(t, "need")
			want := rapid.IntRange(need, p.Quota).Draw(t, "want")
			free := int((interval*time.Duration(p.Quota) - debt) / interval)
			before := debt
			var g ratelimit.Grant
			g, debt = p.Take(debt, need, want)
			granted += g.Granted
			switch {
			case free >= need && g.Granted != min(free, want):
				t.Fatalf("%d free, need %d, want %d: %+v", free, need, want, g)
			case free < need && (g.Granted != 0 || debt != before):
				t.Fatalf("%d free, need %d: %+v and a debt of %s after %s", free, need, g, debt, before)
			case g.Remaining != free-g.Granted || g.ResetAfter != debt:
				t.Fatalf("%d free: %+v and a debt of %s", free, g, debt)
			case granted > p.Quota+int(elapsed/interval):
				t.Fatalf("%d granted in %s by a policy of %d in %s", granted, elapsed, p.Quota, p.Window)
			}
			if g.Granted == 0 {
				if again, _ := p.Take(debt-g.RetryAfter, need, want); again.Granted == 0 {
					t.Fatalf("nothing there after the time told: %+v", g)
				}
				if again, _ := p.Take(debt-g.RetryAfter+1, need, want); again.Granted != 0 {
					t.Fatalf("there before the time told: %+v", g)
				}
			}
		}
	})
}
