package ratelimit

import (
	"strconv"
	"time"
)

// Decision says whether a request may go on, and what to tell the client.
type Decision struct {
	Allowed    bool
	Quota      int           // the policy's
	Window     time.Duration // the policy's
	Remaining  int           // tokens the client has left, as far as is known here
	RetryAfter time.Duration // until the request may be tried again, when refused; else 0
	ResetAfter time.Duration // until the whole quota is there again if nothing more is spent
}

// PolicyField is the value of the response field RateLimit-Policy, like
// "default";q=1500;w=60 (draft-ietf-httpapi-ratelimit-headers).
func (d Decision) PolicyField() string {
	b := make([]byte, 0, 48)
	b = append(b, `"default";q=`...)
	b = strconv.AppendInt(b, int64(d.Quota), 10)
	b = append(b, ";w="...)
	b = strconv.AppendInt(b, seconds(d.Window), 10)
	return string(b)
}

// LimitField is the value of the response field RateLimit, like
// "default";r=1499;t=60: what remains, and the seconds until the whole quota is
// there again (draft-ietf-httpapi-ratelimit-headers).
func (d Decision) LimitField() string {
	b := make([]byte, 0, 48)
	b = append(b, `"default";r=`...)
	b = strconv.AppendInt(b, int64(max(d.Remaining, 0)), 10)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, seconds(d.ResetAfter), 10)
	return string(b)
}

// RetryAfterSeconds is the value of the response field Retry-After: whole seconds,
// rounded up, at least 1 (RFC 9110, section 10.2.3).
func (d Decision) RetryAfterSeconds() int { return int(max(seconds(d.RetryAfter), 1)) }

// seconds rounds up: a client that waits as long as it was told must not be early.
func seconds(d time.Duration) int64 {
	return int64((max(d, 0) + time.Second - 1) / time.Second)
}
