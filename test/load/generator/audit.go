package generator

import (
	"errors"
	"fmt"
)

// Row is an event as the database has it.
type Row struct {
	ID         ID
	UserID     int64
	OccurredAt int64 // Unix seconds
	Type       string
}

// Findings is what came of holding the record of what was sent against what was
// stored. The fields from Lost to Altered, and a CountedStats that isn't
// StoredRows, are defects.
type Findings struct {
	Sent      int64 `json:"sent"`      // left the generator
	Accepted  int64 `json:"accepted"`  // answered 202
	Duplicate int64 `json:"duplicate"` // of these said to be stored before, after a repetition inside the server
	Refused   int64 `json:"refused"`   // answered 4xx
	Failed    int64 `json:"failed"`    // answered 5xx
	Unknown   int64 `json:"unknown"`   // no answer

	StoredRows    int64 `json:"stored_rows"`    // rows in the database
	CountedStats  int64 `json:"counted_stats"`  // sum of GET /stats over all types
	FailedStored  int64 `json:"failed_stored"`  // answered 5xx and stored all the same, which is allowed
	UnknownStored int64 `json:"unknown_stored"` // stored without an answer, which is allowed

	Lost          int64 `json:"lost"`           // accepted and not stored
	Doubled       int64 `json:"doubled"`        // rows with an id that another row has
	NeverSent     int64 `json:"never_sent"`     // rows with an id that wasn't sent
	RefusedStored int64 `json:"refused_stored"` // answered 4xx and stored all the same
	Altered       int64 `json:"altered"`        // stored with another user, type or time

	Examples []string `json:"examples,omitempty"`
}

// maxExamples bounds the ids that are named.
const maxExamples = 5

// Err says what is wrong, with numbers, or returns nil.
func (f *Findings) Err() error {
	var errs []error
	for _, d := range []struct {
		count int64
		what  string
	}{
		{f.Lost, "accepted events are not stored"},
		{f.Doubled, "rows repeat an event that is stored already"},
		{f.NeverSent, "rows hold an event that was never sent"},
		{f.RefusedStored, "events answered with 4xx are stored"},
		{f.Altered, "events are stored with another user, type or time"},
	} {
		if d.count != 0 {
			errs = append(errs, fmt.Errorf("%d %s", d.count, d.what))
		}
	}
	if f.CountedStats != f.StoredRows {
		errs = append(errs, fmt.Errorf("GET /stats counts %d events and there are %d rows", f.CountedStats, f.StoredRows))
	}
	if len(errs) > 0 && len(f.Examples) > 0 {
		errs = append(errs, fmt.Errorf("for example %v", f.Examples))
	}
	return errors.Join(errs...)
}

// Audit holds rows against a ledger. It is used by one goroutine, after the last
// event was sent.
type Audit struct {
	source   *Source
	ledger   *Ledger
	findings Findings
}

// NewAudit returns an audit of a run.
func NewAudit(source *Source, ledger *Ledger) *Audit { return &Audit{source: source, ledger: ledger} }

// Row takes note of a stored row.
func (a *Audit) Row(r Row) {
	f := &a.findings
	f.StoredRows++
	number, ours := a.source.Number(r.ID)
	if !ours || number >= a.ledger.Taken() {
		f.NeverSent++
		a.example("never sent", r.ID)
		return
	}
	outcome := a.ledger.at(number)
	if *outcome&seen != 0 {
		f.Doubled++
		a.example("doubled", r.ID)
		return
	}
	if *outcome == Unsent {
		f.NeverSent++
		a.example("never sent", r.ID)
	}
	*outcome |= seen
	e := a.source.Event(number)
	if e.UserID != r.UserID || e.OccurredAt != r.OccurredAt || e.Type != r.Type {
		f.Altered++
		a.example("altered", r.ID)
	}
}

// Finish returns the findings, given the sum of what GET /stats answered.
func (a *Audit) Finish(counted int64) Findings {
	f := &a.findings
	f.CountedStats = counted
	for number := range a.ledger.Taken() {
		outcome := *a.ledger.at(number)
		stored := outcome&seen != 0
		switch outcome &^ seen {
		case Accepted, Duplicate:
			f.Accepted++
			if outcome&^seen == Duplicate {
				f.Duplicate++
			}
			if !stored {
				f.Lost++
				a.example("lost", a.source.ID(number))
			}
		case Refused:
			f.Refused++
			if stored {
				f.RefusedStored++
				a.example("refused and stored", a.source.ID(number))
			}
		case Failed:
			f.Failed++
			if stored {
				f.FailedStored++
			}
		case Unknown:
			f.Unknown++
			if stored {
				f.UnknownStored++
			}
		case Unsent:
			continue
		}
		f.Sent++
	}
	return *f
}

func (a *Audit) example(what string, id ID) {
	if len(a.findings.Examples) < maxExamples {
		a.findings.Examples = append(a.findings.Examples, what+" "+id.String())
	}
}
