package check

import (
	"cmp"
	"fmt"
	"slices"

	"highload.example/analytics/test/torture/history"
)

// makeTallies prepares a tally for each type, over all timestamps that its events
// and rows have.
func (l *ledger) makeTallies() {
	for _, row := range l.more {
		l.typeIndex(row.Type) // it may be no event's
	}
	at := make([][]int64, len(l.names))
	for i := range l.fates {
		f := &l.fates[i]
		at[f.eventType] = append(at[f.eventType], f.at)
	}
	for _, row := range l.more {
		index := l.types[row.Type]
		at[index] = append(at[index], row.Timestamp)
	}
	l.tallies = make([]*tally, len(l.names))
	for i := range l.tallies {
		l.tallies[i] = newTally(at[i])
	}
}

// judgeReads holds every answer during the run against two numbers: how many
// events were surely stored before the question, and how many had been sent by the
// time of the answer. Both are learnt by walking through time: events are put into
// the tallies in the order in which they got sure, or were sent, and each
// question is answered when its moment comes.
func (l *ledger) judgeReads() {
	l.makeTallies()
	sure, sent := make([]int32, 0, len(l.fates)), make([]int32, 0, len(l.fates))
	for i := range l.fates {
		if f := &l.fates[i]; f.is(valid) {
			sent = append(sent, int32(i))
			if f.sure != never {
				sure = append(sure, int32(i))
			}
		}
	}
	l.walk(sure, func(f *fate) int64 { return f.sure }, l.sureBefore, func(r *read, i int, from, to, least int64) {
		if r.counts[i] < least {
			l.find(Undercounted, func() *finding {
				f := l.ofRead(r, i, from, to, fmt.Sprintf("at least %d were stored before the question", least))
				before := l.sureBefore(r)
				f.events = l.latest(r.eventType, from, to, before)
				f.keep = func(o *history.Operation, outcome history.Outcome) bool {
					return o.End <= before && certain(o, outcome)
				}
				return f
			})
		}
	})
	l.walk(sent, func(f *fate) int64 { return f.tried }, func(r *read) int64 { return r.end }, func(r *read, i int, from, to, most int64) {
		if r.counts[i] > most {
			l.find(Overcounted, func() *finding {
				f := l.ofRead(r, i, from, to, fmt.Sprintf("only %d that are valid had been sent by then", most))
				f.events = l.suspects(r.eventType, from, to, r.end)
				f.keep = func(o *history.Operation, _ history.Outcome) bool { return o.Start <= r.end }
				return f
			})
		}
	})
}

// walk calls judge for each count of each question, with its range and the number of
// events there that happened no later than the question's moment.
func (l *ledger) walk(events []int32, happened func(*fate) int64, moment func(*read) int64, judge func(r *read, i int, from, to, n int64)) {
	for _, t := range l.tallies {
		t.clear()
	}
	slices.SortFunc(events, func(a, b int32) int { return cmp.Compare(happened(&l.fates[a]), happened(&l.fates[b])) })
	slices.SortFunc(l.reads, func(a, b read) int { return cmp.Compare(moment(&a), moment(&b)) })
	for i := range l.reads {
		r := &l.reads[i]
		now := moment(r)
		for len(events) > 0 && happened(&l.fates[events[0]]) <= now {
			f := &l.fates[events[0]]
			l.tallies[f.eventType].add(f.at)
			events = events[1:]
		}
		t, bounds := l.tallies[r.eventType], r.bounds()
		for c := range r.counts {
			judge(r, c, bounds[c], bounds[c+1], t.between(bounds[c], bounds[c+1]))
		}
	}
}

// sureBefore is the moment from which on events may be missing in an answer: its
// question's start, and earlier by the staleness that is allowed while Redis is
// in trouble. That lasts until what was accepted in the trouble is old enough.
func (l *ledger) sureBefore(r *read) int64 {
	before := r.start
	for _, w := range l.in.RedisTrouble {
		staleness := max(w.Staleness, l.in.Staleness).Nanoseconds()
		if r.end >= w.From && r.start <= w.To+staleness {
			before = min(before, r.start-staleness)
		}
	}
	return before
}

// ofRead is a finding about one count of an answer.
func (l *ledger) ofRead(r *read, i int, from, to int64, but string) *finding {
	return &finding{
		Violation: Violation{Detail: fmt.Sprintf("%d %s events were counted%s; %s", r.counts[i], l.names[r.eventType], rangeText(from, to), but)},
		position:  r.position, count: i,
	}
}

// maxShown bounds the events that are shown beside a wrong count.
const maxShown = 3

// latest returns the last events in a range that were sure by a moment: where a
// count is too low it is mostly these that are missing.
func (l *ledger) latest(eventType int32, from, to, by int64) []int32 {
	var found []int32
	for i := range l.fates {
		if f := &l.fates[i]; f.eventType != eventType || f.at < from || f.at >= to || !f.is(valid) || f.sure > by {
			continue
		}
		found = append(found, int32(i))
		slices.SortFunc(found, func(a, b int32) int { return cmp.Compare(l.fates[b].sure, l.fates[a].sure) })
		found = found[:min(len(found), maxShown)]
	}
	return found
}

// suspects returns events in a range, sent by a moment, that can be counted too often: those that
// were sent again, or must not count at all.
func (l *ledger) suspects(eventType int32, from, to, by int64) []int32 {
	var found []int32
	for i := range l.fates {
		f := &l.fates[i]
		if f.eventType != eventType || f.at < from || f.at >= to || f.tried > by {
			continue
		}
		if f.is(repeated) || !f.is(valid) || f.is(rejected) {
			if found = append(found, int32(i)); len(found) == maxShown {
				break
			}
		}
	}
	return found
}

func rangeText(from, to int64) string {
	everything := (&history.Operation{}).Bounds()
	if from == everything[0] && to == everything[1] {
		return ""
	}
	return fmt.Sprintf(" from %d on and before %d", from, to)
}

// judgeRest holds what is counted at rest against the rows.
func (l *ledger) judgeRest() error {
	for _, t := range l.tallies {
		t.clear()
	}
	there := make([]bool, len(l.names)) // types that are stored
	for i := range l.fates {
		if f := &l.fates[i]; f.is(stored) && !f.is(retyped) {
			l.tallies[f.eventType].add(f.at)
			there[f.eventType] = true
		}
	}
	for _, row := range l.more {
		l.tallies[l.types[row.Type]].add(row.Timestamp)
		there[l.types[row.Type]] = true
	}
	for i := range l.in.AtRest {
		o := &l.in.AtRest[i]
		l.judgeAnswerAtRest(o)
		if index, known := l.types[o.EventType]; known && o.Kind == history.Count && o.From == 0 && o.To == 0 {
			there[index] = false // was asked for
		}
	}
	for index, unasked := range there {
		if unasked {
			return fmt.Errorf("there are rows of the type %s, and nobody was asked at rest how many", l.names[index])
		}
	}
	return nil
}

func (l *ledger) judgeAnswerAtRest(o *history.Operation) {
	bounds := o.Bounds()
	if !slices.Equal(o.Outcomes, []history.Outcome{history.Answered}) || len(bounds) != len(o.Counts)+1 {
		l.find(Unanswered, func() *finding {
			return &finding{
				Violation: Violation{Detail: fmt.Sprintf("%s doesn't say how many %s events there are", o.Target, o.EventType), History: []history.Operation{*o}},
				position:  -1, count: -1,
			}
		})
		return
	}
	// A type that nobody sent, and that isn't stored, has no tally.
	t := &tally{}
	index, known := l.types[o.EventType]
	if known {
		t = l.tallies[index]
	}
	for i, count := range o.Counts {
		l.result.RestCounts++
		if want := t.between(bounds[i], bounds[i+1]); count != want {
			l.find(CountWrong, func() *finding {
				f := &finding{
					Violation: Violation{
						Detail:  fmt.Sprintf("%s counts %d %s events%s, and %d are stored", o.Target, count, o.EventType, rangeText(bounds[i], bounds[i+1]), want),
						History: []history.Operation{oneCount(*o, i)},
					},
					position: -1, count: -1,
				}
				if known && count < want {
					f.events, f.keep = l.latest(index, bounds[i], bounds[i+1], never-1), certain
				} else if known {
					f.events = l.suspects(index, bounds[i], bounds[i+1], never)
				}
				return f
			})
		}
	}
}

// oneCount cuts an answer down to one of its counts.
func oneCount(o history.Operation, i int) history.Operation {
	if bounds := o.Bounds(); len(bounds) > 2 {
		o.From, o.To = bounds[i], bounds[i+1]
	}
	o.Counts = o.Counts[i : i+1]
	return o
}
