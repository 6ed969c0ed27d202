package redis

import (
	"context"
	_ "embed"
	"time"

	"highload.example/analytics/impl/ratelimit"
)

// Limits keeps clients' buckets where all replicas find them.
type Limits struct{ client *Client }

var _ ratelimit.Store = (*Limits)(nil)

//go:embed take.lua
var takeSource string

// Take implements ratelimit.Store. Time is Redis's: replicas' clocks don't matter.
func (l *Limits) Take(ctx context.Context, key string, policy ratelimit.Policy, need, want int) (ratelimit.Grant, error) {
	need = min(max(need, 1), policy.Quota)
	want = min(max(want, need), policy.Quota)
	reply, err := l.client.take.Run(ctx, l.client.redis, []string{l.client.keys.limit(key)},
		policy.Interval().Nanoseconds(), policy.Quota, need, want).Int64Slice()
	if err != nil {
		return ratelimit.Grant{}, l.client.failed("taking tokens", err)
	}
	if len(reply) != 4 || reply[0] < 0 || reply[0] > int64(want) {
		return ratelimit.Grant{}, l.client.failed("taking tokens", errOddReply)
	}
	return ratelimit.Grant{
		Granted:    int(reply[0]),
		Remaining:  int(reply[1]),
		RetryAfter: time.Duration(reply[2]),
		ResetAfter: time.Duration(reply[3]),
	}, nil
}
