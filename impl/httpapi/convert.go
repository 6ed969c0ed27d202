package httpapi

import (
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
