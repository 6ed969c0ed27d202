package ingest

import (
	"fmt"
	"sync/atomic"
	"time"

	"highload.example/analytics/impl/event"
)

// MaxPayloadBytes is the size of the largest payload, as sent.
const MaxPayloadBytes = 64 << 10

// Rules are what the contract demands of an event beyond its schema. Use NewRules.
type Rules struct {
	maxFutureSkew time.Duration
	clock         func() time.Time

	// past is a time that the clock has told, in Unix seconds. What isn't later needs
	// no look at the clock, which costs as much as everything else about an event.
	past atomic.Int64
}

// NewRules returns rules. maxFutureSkew is how far ahead of the clock an event may
// be; clock returns the current time.
func NewRules(maxFutureSkew time.Duration, clock func() time.Time) *Rules {
	return &Rules{maxFutureSkew: maxFutureSkew, clock: clock}
}

// msThreshold is the year 5138 in seconds, and 1973 in milliseconds: a larger
// timestamp is meant in milliseconds.
const msThreshold = 100_000_000_000

// Check appends the rules that e breaks to violations. Fields that broke the
// schema are expected to be zero; they have been reported and are not looked at.
func (r *Rules) Check(e *event.Event, violations []event.Violation) []event.Violation {
	if e.OccurredAt > r.past.Load() {
		violations = r.checkTime(e.OccurredAt, violations)
	}
	if e.Payload != nil {
		if len(e.Payload) > MaxPayloadBytes {
			return append(violations, event.Violation{
				Pointer: "/payload", Code: "too_large",
				Detail: fmt.Sprintf("must be at most %d bytes long, as sent", MaxPayloadBytes),
			})
		}
		violations = checkPayload(e.Payload, violations)
	}
	return violations
}

func (r *Rules) checkTime(occurredAt int64, violations []event.Violation) []event.Violation {
	if occurredAt >= msThreshold {
		return append(violations, event.Violation{
			Pointer: "/timestamp", Code: "timestamp_in_milliseconds",
			Detail: "looks like milliseconds; send Unix seconds",
		})
	}
	now := r.clock()
	r.past.Store(now.Unix())
	if occurredAt > now.Add(r.maxFutureSkew).Unix() {
		return append(violations, event.Violation{
			Pointer: "/timestamp", Code: "timestamp_in_future",
			Detail: fmt.Sprintf("must be at most %s ahead of the server's clock, which is at %d", r.maxFutureSkew, now.Unix()),
		})
	}
	return violations
}
