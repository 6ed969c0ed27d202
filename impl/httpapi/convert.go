package httpapi

import (
	"crypto/sha256"
	"encoding/binary"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
	"highload.example/analytics/impl/event"
)

// toEvent turns the contract's event into the product's. The header's key stands
// in for a missing event_id.
func toEvent(body *api.Event, params api.SendEventParams) event.Event {
	e := event.Event{UserID: body.UserID, OccurredAt: body.Timestamp, Type: body.EventType, Payload: body.Payload}
	switch {
	case body.EventID != nil:
		e.ID = event.ID(*body.EventID)
	case params.IdempotencyKey != nil:
		e.ID = event.ID(*params.IdempotencyKey)
	}
	return e
}

// idInBatch is the id of an event that has none, from its request's key and its
// place: a UUIDv8 (RFC 9562, section 5.8) of their SHA-256, the same for the same
// body sent again.
func idInBatch(key [16]byte, place int) event.ID {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(key[:], uint64(place)))
	id := event.ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// toStatus names an outcome as the contract does.
func toStatus(outcome event.Outcome) api.EventStatus {
	if outcome == event.Duplicate {
		return api.EventStatusDuplicate
	}
	return api.EventStatusAccepted
}

func toBindingViolations(violations []event.Violation) []binding.Violation {
	converted := make([]binding.Violation, len(violations))
	for i, v := range violations {
		converted[i] = binding.Violation{Pointer: v.Pointer, Code: v.Code, Detail: v.Detail}
	}
	return converted
}
