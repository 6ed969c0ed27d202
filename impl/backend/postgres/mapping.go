package postgres

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"highload.example/analytics/gen/pgdb"
	"highload.example/analytics/impl/event"
)

// rows is a batch as the statement wants it, and the way back from the
// statement's rows to the batch.
type rows struct {
	params pgdb.InsertEventsParams
	order  []int32 // positions in the batch, sorted by key
	source []int32 // for each row, its event's position in the batch
	months []int64 // the beginnings of the rows' months, each once
}

// fill sorts a batch by key and takes the first event of every key. The order
// keeps two writers that store the same events from waiting for each other: both
// take the keys from the lowest to the highest.
func (r *rows) fill(batch []event.Event) error {
	r.order = r.order[:0]
	for i := range batch {
		if at := batch[i].OccurredAt; at < minOccurredAt || at > maxOccurredAt {
			return &failure{doing: "write a batch", reason: "a time is outside the calendar", kinds: []error{event.ErrInvalid}}
		}
		r.order = append(r.order, int32(i))
	}
	slices.SortFunc(r.order, func(i, j int32) int {
		if c := compareKeys(&batch[i], &batch[j]); c != 0 {
			return c
		}
		return cmp.Compare(i, j)
	})

	p := &r.params
	r.source, r.months = r.source[:0], r.months[:0]
	p.UserIds, p.OccurredAt, p.EventIds = p.UserIds[:0], p.OccurredAt[:0], p.EventIds[:0]
	p.EventTypes, p.Payloads = p.EventTypes[:0], p.Payloads[:0]
	var begin, end int64 // of the month of the row before
	for n, i := range r.order {
		e := &batch[i]
		if n > 0 && compareKeys(e, &batch[r.order[n-1]]) == 0 {
			continue
		}
		if e.OccurredAt < begin || e.OccurredAt >= end {
			begin, end = month(e.OccurredAt)
			if !slices.Contains(r.months, begin) {
				r.months = append(r.months, begin)
			}
		}
		r.source = append(r.source, i)
		p.UserIds = append(p.UserIds, e.UserID)
		p.OccurredAt = append(p.OccurredAt, timestamptz(e.OccurredAt))
		p.EventIds = append(p.EventIds, pgtype.UUID{Bytes: e.ID, Valid: true})
		p.EventTypes = append(p.EventTypes, e.Type)
		p.Payloads = append(p.Payloads, e.Payload) // nil becomes NULL
	}
	return nil
}

// outcomes reads the statement's answer: the ordinals of the rows that were
// there before, and the new totals of the types that grew.
func (r *rows) outcomes(answer []pgdb.InsertEventsRow, slot int32, outcomes []event.Outcome) []event.Total {
	for i := range outcomes {
		outcomes[i] = event.Duplicate // of an event earlier in the batch, unless it has a row
	}
	for _, i := range r.source {
		outcomes[i] = event.Accepted
	}
	var totals []event.Total
	for _, a := range answer {
		if a.Ordinal > 0 {
			outcomes[r.source[a.Ordinal-1]] = event.Duplicate
			continue
		}
		totals = append(totals, event.Total{Type: a.EventType, Slot: slot, Count: a.Total})
	}
	return totals
}

// release lets go of the batch's memory and keeps the arrays.
func (r *rows) release() {
	clear(r.params.EventTypes)
	clear(r.params.Payloads)
}

func compareKeys(a, b *event.Event) int {
	if c := cmp.Compare(a.UserID, b.UserID); c != 0 {
		return c
	}
	if c := cmp.Compare(a.OccurredAt, b.OccurredAt); c != 0 {
		return c
	}
	return bytes.Compare(a.ID[:], b.ID[:])
}
