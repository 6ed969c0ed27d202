package check

import (
	"cmp"
	"slices"

	"highload.example/analytics/test/torture/history"
)

// cutOut walks over the history again and gives each finding the operations that
// show it.
func (l *ledger) cutOut() error {
	if len(l.findings) == 0 {
		return nil
	}
	whole := map[int64][]*finding{}
	about := map[int32][]*finding{}
	for _, f := range l.findings {
		if f.position >= 0 {
			whole[f.position] = append(whole[f.position], f)
		}
		for _, index := range f.events {
			about[index] = append(about[index], f)
		}
	}
	position := int64(-1)
	for o, err := range l.in.History {
		if err != nil {
			return err
		}
		position++
		for _, f := range whole[position] {
			if f.count >= 0 {
				f.History = append(f.History, oneCount(o, f.count))
			} else {
				f.History = append(f.History, o)
			}
		}
		// An operation may have several of a finding's events.
		parts := map[*finding]*history.Operation{}
		for i := range o.Events {
			e := &o.Events[i]
			index, known := l.events[newIdentity(e.UserID, e.Timestamp, e.ID)]
			if !known {
				continue
			}
			for _, f := range about[index] {
				if f.keep != nil && !f.keep(&o, o.Outcomes[i]) {
					continue
				}
				part := parts[f]
				if part == nil {
					part = new(history.Operation)
					*part = o
					part.Events, part.Outcomes = nil, nil
					parts[f] = part
				}
				part.Events = append(part.Events, *e)
				part.Outcomes = append(part.Outcomes, o.Outcomes[i])
			}
		}
		for f, part := range parts {
			f.History = append(f.History, *part)
		}
	}
	return nil
}

// report returns the findings as violations.
func (l *ledger) report() *Report {
	for _, f := range l.findings {
		slices.SortStableFunc(f.History, func(a, b history.Operation) int { return cmp.Compare(a.Start, b.Start) })
		l.result.Violations = append(l.result.Violations, f.Violation)
	}
	return &l.result
}
