package ingest

import (
	"fmt"
	"time"

	"highload.example/analytics/impl/event"
)

// MaxPayloadBytes is the size of the largest payload, as sent.
const MaxPayloadBytes = 64 << 10

// Rules are what the contract demands of an event beyond its schema.
type Rules struct {
	// MaxFutureSkew is how far ahead of our clock an event may be.
	MaxFutureSkew time.Duration
	// Clock returns the current time.
	Clock func() time.Time
}

// msThreshold is the year 5138 in seconds, and 1973 in milliseconds: a larger
// timestamp is meant in milliseconds.
const msThreshold = 100_000_000_000

// Check appends the rules that e breaks to violations. Fields that broke the
// schema are expected to be zero; they have been reported and are not looked at.
func (r Rules) Check(e *event.Event, violations []event.Violation) []event.Violation {
	if e.OccurredAt != 0 {
		latest := r.Clock().Add(r.MaxFutureSkew).Unix()
		switch {
		case e.OccurredAt >= msThreshold:
			violations = append(violations, event.Violation{
				Pointer: "/timestamp", Code: "timestamp_in_milliseconds",
				Detail: "looks like milliseconds; send Unix seconds",
			})
		case e.OccurredAt > latest:
			violations = append(violations, event.Violation{
				Pointer: "/timestamp", Code: "timestamp_in_future",
				Detail: fmt.Sprintf("must be at most %s ahead of the server's clock, which is at %d", r.MaxFutureSkew, latest-int64(r.MaxFutureSkew.Seconds())),
			})
		}
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
