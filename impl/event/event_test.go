package event_test

import (
	"errors"
	"fmt"
	"testing"

	"highload.example/analytics/impl/event"
)

func TestIDIsWrittenCanonically(t *testing.T) {
	t.Parallel()
	id := event.ID{0x01, 0x89, 0x0a, 0x5d, 0xac, 0x96, 0x77, 0x4b, 0xbc, 0xce, 0xb3, 0x02, 0x09, 0x9a, 0x80, 0x57}
	if got := id.String(); got != "01890a5d-ac96-774b-bcce-b302099a8057" {
		t.Error(got)
	}
	if id.IsZero() || !(event.ID{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[event.Outcome]string{event.Accepted: "accepted", event.Duplicate: "duplicate", event.Rejected: "rejected", 0: "unknown"} {
		if got := outcome.String(); got != want {
			t.Errorf("%d is %q, want %q", outcome, got, want)
		}
	}
}

func TestInvalidErrorMatchesAndNames(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("taking an event: %w", &event.InvalidError{Violations: []event.Violation{{Pointer: "/a", Code: "type"}, {Pointer: "/b", Code: "required"}}})
	if !errors.Is(err, event.ErrInvalid) || err.Error() != "taking an event: invalid: /a type; /b required" {
		t.Error(err)
	}
}

func TestKeyAndSize(t *testing.T) {
	t.Parallel()
	a := event.Event{UserID: 1, OccurredAt: 2, ID: event.ID{3}, Type: "a"}
	b := event.Event{UserID: 1, OccurredAt: 2, ID: event.ID{3}, Type: "bb", Payload: []byte(`{"x":1}`)}
	if a.Key() != b.Key() {
		t.Error("the type or the payload is part of the identity")
	}
	if grown := b.Size() - a.Size(); grown != 8 {
		t.Errorf("eight bytes more weigh %d", grown)
	}
}
