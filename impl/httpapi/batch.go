package httpapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/failpoint"
	"highload.example/analytics/impl/ingest"
)

// batchRejectedError: no event of a batch was stored, because those that broke the
// contract were all, or the batch was to be all or nothing.
type batchRejectedError struct {
	sent     int
	rejected int
	listed   []binding.Violation
}

func (e *batchRejectedError) Error() string {
	return fmt.Sprintf("%d of %d events break the contract", e.rejected, e.sent)
}

// SendEvents stores many events and answers after their commit.
func (o *eventOperations) SendEvents(_ context.Context, request api.SendEventsRequestObject) (api.SendEventsResponseObject, error) {
	batch := request.Batch
	whole := isTrue(request.Params.Atomic)
	if len(batch.Faults) == len(batch.Items) || whole && len(batch.Faults) > 0 {
		return nil, rejected(batch)
	}

	// 1. The events that keep to the contract, and where in the batch they stand.
	events := make([]event.Event, 0, len(batch.Items)-len(batch.Faults))
	places := make([]int32, 0, cap(events))
	faults := batch.Faults
	for i := range batch.Items {
		if len(faults) > 0 && faults[0].Index == i {
			faults = faults[1:]
			continue
		}
		e := toEvent(&batch.Items[i], api.SendEventParams{})
		if e.ID.IsZero() {
			var err error
			if e.ID, err = newIDInBatch(request.Params.IdempotencyKey, i); err != nil {
				return nil, err
			}
		}
		events = append(events, e)
		places = append(places, int32(i))
	}

	// 2. Their fate. An error is the answer only when none of them has another one.
	outcomes := make([]event.Outcome, len(events))
	if failpoint.Enabled {
		failpoint.Hit(failpoint.BeforeSubmit)
	}
	err := o.ingest.SubmitBatch(events, outcomes, whole)
	if failpoint.Enabled {
		failpoint.Hit(failpoint.AfterSubmit)
	}
	stored, refused := 0, 0
	for _, outcome := range outcomes {
		switch outcome {
		case event.Accepted, event.Duplicate:
			stored++
		case event.Rejected:
			refused++
		}
	}
	switch {
	case errors.Is(err, event.ErrInvalid): // whole
		return nil, &event.InvalidError{Violations: []event.Violation{notStorable}}
	case err != nil && stored == 0:
		return nil, err
	case stored == 0:
		return nil, notStored(batch, places, outcomes)
	}

	// 3. The answer.
	return receiptFor(batch, events, outcomes, isTrue(request.Params.Verbose)), nil
}

// newIDInBatch makes an id for an event that has none.
func newIDInBatch(key *uuid.UUID, place int) (event.ID, error) {
	if key != nil {
		return idInBatch(*key, place), nil
	}
	return ingest.NewID()
}

func isTrue(b *bool) bool { return b != nil && *b }

// receiptFor says what became of each event.
func receiptFor(batch *binding.Batch[api.Event], events []event.Event, outcomes []event.Outcome, verbose bool) api.SendEvents202Response {
	receipt := api.BatchReceipt{Results: []api.EventResult{}}
	faults := batch.Faults
	next := 0
	for i := range batch.Items {
		result := api.EventResult{Index: int32(i)}
		if len(faults) > 0 && faults[0].Index == i {
			receipt.Rejected++
			result.Status = api.EventResultStatusRejected
			result.EventID = batch.Items[i].EventID
			result.Errors = listed(faults[0].Violations)
			faults = faults[1:]
			receipt.Results = append(receipt.Results, result)
			continue
		}
		outcome := outcomes[next]
		switch outcome {
		case event.Accepted:
			receipt.Received++
			result.Status = api.EventResultStatusReceived
		case event.Duplicate:
			receipt.Duplicate++
			result.Status = api.EventResultStatusDuplicate
		case event.Rejected:
			receipt.Rejected++
			result.Status = api.EventResultStatusRejected
			result.Errors = listed(toBindingViolations([]event.Violation{notStorable}))
		default:
			receipt.Retry++
			result.Status = api.EventResultStatusRetry
		}
		if outcome != event.Accepted || verbose {
			id := api.EventID(events[next].ID)
			result.EventID = &id
			receipt.Results = append(receipt.Results, result)
		}
		next++
	}
	answer := api.SendEvents202Response{Body: receipt}
	if receipt.Retry > 0 {
		after := int32(retrySeconds)
		answer.RetryAfter = &after
	}
	return answer
}

// rejected lists what is wrong with the events of a batch, with pointers from the
// body's root.
func rejected(batch *binding.Batch[api.Event]) error {
	e := &batchRejectedError{sent: len(batch.Items), rejected: len(batch.Faults)}
	for _, f := range batch.Faults {
		e.list(batch.Prefix, f.Index, f.Violations)
	}
	return e
}

// notStored is rejected for a batch of which some events passed every check and the
// database refused them.
func notStored(batch *binding.Batch[api.Event], places []int32, outcomes []event.Outcome) error {
	e := &batchRejectedError{sent: len(batch.Items), rejected: len(batch.Items)}
	for _, f := range batch.Faults {
		e.list(batch.Prefix, f.Index, f.Violations)
	}
	for i, outcome := range outcomes {
		if outcome == event.Rejected {
			e.list(batch.Prefix, int(places[i]), toBindingViolations([]event.Violation{notStorable}))
		}
	}
	return e
}

func (e *batchRejectedError) list(prefix string, index int, violations []binding.Violation) {
	for _, v := range violations {
		if len(e.listed) == binding.MaxViolations {
			return
		}
		v.Pointer = fmt.Sprintf("%s/%d%s", prefix, index, v.Pointer)
		e.listed = append(e.listed, v)
	}
}

// listed turns violations into the contract's, or nil when there are none.
func listed(violations []binding.Violation) *[]api.Violation {
	if len(violations) == 0 {
		return nil
	}
	list := make([]api.Violation, len(violations))
	for i, v := range violations {
		list[i] = api.Violation{Pointer: v.Pointer, Code: api.ViolationCode(v.Code), Detail: v.Detail}
	}
	return &list
}
