package ratelimit_test

import (
	"testing"
	"time"

	"highload.example/analytics/impl/ratelimit"
)

func TestDecisionFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d             ratelimit.Decision
		policy, limit string
		retryAfter    int
	}{
		{
			ratelimit.Decision{Allowed: true, Quota: 1500, Window: time.Minute, Remaining: 1499, ResetAfter: time.Minute},
			`"default";q=1500;w=60`, `"default";r=1499;t=60`, 1,
		},
		{
			ratelimit.Decision{Quota: 10, Window: time.Hour, RetryAfter: time.Second, ResetAfter: 59*time.Second + 1},
			`"default";q=10;w=3600`, `"default";r=0;t=60`, 1,
		},
		{
			ratelimit.Decision{Quota: 1, Window: 1500 * time.Millisecond, Remaining: -1, RetryAfter: time.Second + 1, ResetAfter: -1},
			`"default";q=1;w=2`, `"default";r=0;t=0`, 2,
		},
		{
			ratelimit.Decision{Quota: 1_000_000_000, Window: 720 * time.Hour, RetryAfter: 720 * time.Hour, ResetAfter: time.Nanosecond},
			`"default";q=1000000000;w=2592000`, `"default";r=0;t=1`, 2_592_000,
		},
	} {
		if got := c.d.PolicyField(); got != c.policy {
			t.Errorf("PolicyField() = %s, expected %s", got, c.policy)
		}
		if got := c.d.LimitField(); got != c.limit {
			t.Errorf("LimitField() = %s, expected %s", got, c.limit)
		}
		if got := c.d.RetryAfterSeconds(); got != c.retryAfter {
			t.Errorf("RetryAfterSeconds() = %d, expected %d", got, c.retryAfter)
		}
	}
}
