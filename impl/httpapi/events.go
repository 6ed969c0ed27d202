package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/failpoint"
	"highload.example/analytics/impl/ingest"
)

// eventOperations are the operations of the tag events.
type eventOperations struct {
	ingest Ingest
	rules  Rules
	limits api.Limits
}

// SendEvent stores one event and answers after its commit.
func (o *eventOperations) SendEvent(_ context.Context, request api.SendEventRequestObject) (api.SendEventResponseObject, error) {
	e := toEvent(request.Body, request.Params)
	if e.ID.IsZero() {
		id, err := ingest.NewID()
		if err != nil {
			return nil, err
		}
		e.ID = id
	}
	if failpoint.Enabled {
		failpoint.Hit(failpoint.BeforeSubmit)
	}
	outcome, err := o.ingest.Submit(e)
	if failpoint.Enabled {
		failpoint.Hit(failpoint.AfterSubmit)
	}
	switch {
	case errors.Is(err, event.ErrInvalid):
		return nil, &event.InvalidError{Violations: []event.Violation{notStorable}}
	case err != nil:
		return nil, err
	}
	return eventReceived{id: e.ID, outcome: outcome}, nil
}

// notStorable is what is wrong with an event that passed every check and that the
// database refuses all the same.
var notStorable = event.Violation{Code: "not_storable", Detail: "can't be held by the database"}

// GetLimits tells what may be sent at once.
func (o *eventOperations) GetLimits(context.Context, api.GetLimitsRequestObject) (api.GetLimitsResponseObject, error) {
	return api.GetLimits200Response{Body: o.limits}, nil
}

func limitsOf(c Config) api.Limits {
	return api.Limits{
		MaxEventBytes: MaxEventBytes, MaxPayloadBytes: ingest.MaxPayloadBytes,
		MaxBatchEvents: int32(c.MaxBatchEvents), MaxBatchBytes: c.MaxBatchBytes,
		MaxFutureSkewSeconds: int64(c.MaxFutureSkew / time.Second), RequestsPerMinute: int32(c.RateLimit),
	}
}

// checkEvent adds the rules beyond the schema, for every body that carries events.
func (o *eventOperations) checkEvent(body any, violations []binding.Violation) []binding.Violation {
	if b, ok := body.(*api.Event); ok {
		e := toEvent(b, api.SendEventParams{})
		violations = append(violations, toBindingViolations(o.rules.Check(&e, nil))...)
	}
	return violations
}

// eventReceived is the answer 202. It is the generated answer written by hand:
// its body never changes.
type eventReceived struct {
	id      event.ID
	outcome event.Outcome
}

var (
	receipt        = []byte(`{"status":"received"}`)
	jsonType       = []string{"application/json"}
	acceptedStatus = []string{string(toStatus(event.Accepted))}
	repeatedStatus = []string{string(toStatus(event.Duplicate))}
)

// VisitSendEventResponse writes the answer.
func (e eventReceived) VisitSendEventResponse(w http.ResponseWriter) error {
	header := w.Header()
	header["Content-Type"] = jsonType
	header["Event-Id"] = []string{e.id.String()}
	header["Event-Status"] = acceptedStatus
	if e.outcome == event.Duplicate {
		header["Event-Status"] = repeatedStatus
	}
	w.WriteHeader(http.StatusAccepted)
	_, err := w.Write(receipt)
	return err
}
