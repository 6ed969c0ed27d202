package check_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"highload.example/analytics/test/torture/check"
	"highload.example/analytics/test/torture/history"
)

// second is a moment of the run, in its nanoseconds.
const second = int64(time.Second)

// event is the valid event number n: they differ in user, and have the timestamp n.
func event(n int, eventType string) history.Event {
	return history.Event{
		UserID: int64(n), Type: eventType, Timestamp: int64(n), ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", n), Valid: true,
	}
}

func invalid() history.Event {
	e := event(1, "a")
	e.Valid = false
	return e
}

func with(e history.Event, payload string) history.Event {
	e.Payload = json.RawMessage(payload)
	return e
}

// sent is an operation with one event, from a second to another.
func sent(from, to int64, e history.Event, outcome history.Outcome) history.Operation {
	return batch(from, to, []history.Event{e}, outcome)
}

func batch(from, to int64, events []history.Event, outcomes ...history.Outcome) history.Operation {
	return history.Operation{Kind: history.Batch, Start: from * second, End: to * second, Target: "replica", Status: 202, Events: events, Outcomes: outcomes}
}

func atomic(o history.Operation) history.Operation {
	o.Atomic = true
	return o
}

// asked is a question for all events of type a.
func asked(from, to, count int64) history.Operation {
	return history.Operation{
		Kind: history.Count, Start: from * second, End: to * second, Target: "replica", Status: 200, EventType: "a",
		Counts: []int64{count}, Outcomes: []history.Outcome{history.Answered},
	}
}

func inRange(o history.Operation, from, to int64) history.Operation {
	o.From, o.To = from, to
	return o
}

func row(e history.Event) history.Row {
	return history.Row{UserID: e.UserID, Type: e.Type, Timestamp: e.Timestamp, ID: e.ID, Payload: e.Payload}
}

func all[T any](values []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// TestRules says of each rule where it begins: what is just right, and what is just
// not.
func TestRules(t *testing.T) {
	t.Parallel()
	one, two := event(1, "a"), event(2, "a")
	rows := func(events ...history.Event) (all []history.Row) {
		for _, e := range events {
			all = append(all, row(e))
		}
		return all
	}
	trouble := []check.Window{{From: 10 * second, To: 20 * second}}
	type found = map[check.Rule]int64
	for name, c := range map[string]struct {
		history []history.Operation
		rows    []history.Row
		rest    []history.Operation // nil: the right counts of a and b
		trouble []check.Window
		settle  int64 // seconds
		want    found
	}{
		"nothing":                      {},
		"accepted and stored":          {history: []history.Operation{sent(1, 2, one, "accepted")}, rows: rows(one)},
		"accepted and not stored":      {history: []history.Operation{sent(1, 2, one, "accepted")}, want: found{check.Lost: 1}},
		"a duplicate, and not stored":  {history: []history.Operation{sent(1, 2, one, "duplicate")}, want: found{check.Lost: 1}},
		"a duplicate of no answer":     {history: []history.Operation{sent(1, 2, one, "unknown"), sent(3, 4, one, "duplicate")}, rows: rows(one)},
		"a duplicate at the first try": {history: []history.Operation{sent(1, 2, one, "duplicate")}, rows: rows(one)},
		"accepted twice":               {history: []history.Operation{sent(1, 2, one, "accepted"), sent(3, 4, one, "accepted")}, rows: rows(one), want: found{check.AcceptedTwice: 1}},
		"twice in a batch": {
			history: []history.Operation{batch(1, 2, []history.Event{one, one}, "accepted", "duplicate")}, rows: rows(one),
		},
		"stored twice":                {history: []history.Operation{sent(1, 2, one, "accepted")}, rows: rows(one, one, one), want: found{check.Doubled: 1}},
		"no answer, stored":           {history: []history.Operation{sent(1, 2, one, "unknown")}, rows: rows(one)},
		"no answer, not stored":       {history: []history.Operation{sent(1, 2, one, "unknown")}},
		"refused, stored":             {history: []history.Operation{sent(1, 2, one, "refused")}, rows: rows(one)},
		"to be retried, stored":       {history: []history.Operation{sent(1, 2, one, "retry")}, rows: rows(one)},
		"never sent":                  {rows: rows(one), want: found{check.NeverSent: 1}},
		"the id of another user":      {history: []history.Operation{sent(1, 2, one, "unknown")}, rows: []history.Row{{UserID: 9, Type: "a", Timestamp: 1, ID: one.ID}}, want: found{check.NeverSent: 1}},
		"the id at another time":      {history: []history.Operation{sent(1, 2, one, "unknown")}, rows: []history.Row{{UserID: 1, Type: "a", Timestamp: 9, ID: one.ID}}, want: found{check.NeverSent: 1}},
		"another type":                {history: []history.Operation{sent(1, 2, one, "accepted")}, rows: rows(event(1, "b")), want: found{check.Altered: 1}},
		"another payload":             {history: []history.Operation{sent(1, 2, with(one, `{"n":9007199254740993}`), "accepted")}, rows: rows(with(one, `{"n":9007199254740992}`)), want: found{check.Altered: 1}},
		"a payload gone":              {history: []history.Operation{sent(1, 2, with(one, `{}`), "accepted")}, rows: rows(one), want: found{check.Altered: 1}},
		"a payload from nowhere":      {history: []history.Operation{sent(1, 2, one, "accepted")}, rows: rows(with(one, `{}`)), want: found{check.Altered: 1}},
		"a payload torn":              {history: []history.Operation{sent(1, 2, with(one, `{"n":1}`), "accepted")}, rows: rows(with(one, `{"n":1`)), want: found{check.Altered: 1}},
		"a payload spelled otherwise": {history: []history.Operation{sent(1, 2, with(one, `{"b":1.50,"a":"ä"}`), "accepted")}, rows: rows(with(one, `{ "a": "\u00e4", "b": 15e-1 }`))},
		"altered without answer":      {history: []history.Operation{sent(1, 2, with(one, `{"n":1}`), "unknown")}, rows: rows(with(one, `{"n":2}`)), want: found{check.Altered: 1}},
		"invalid, rejected":           {history: []history.Operation{sent(1, 2, invalid(), "rejected")}},
		"invalid, no answer":          {history: []history.Operation{sent(1, 2, invalid(), "unknown")}},
		"invalid, accepted":           {history: []history.Operation{sent(1, 2, invalid(), "accepted")}, want: found{check.InvalidAccepted: 1, check.Lost: 1}},
		"invalid, stored":             {history: []history.Operation{sent(1, 2, invalid(), "rejected")}, rows: rows(one), want: found{check.RejectedStored: 1}},
		"invalid, stored in fear":     {history: []history.Operation{sent(1, 2, invalid(), "unknown")}, rows: rows(one), want: found{check.RejectedStored: 1}},
		"valid, rejected":             {history: []history.Operation{sent(1, 2, one, "rejected")}, want: found{check.ValidRejected: 1}},
		"valid, rejected, stored":     {history: []history.Operation{sent(1, 2, one, "rejected")}, rows: rows(one), want: found{check.ValidRejected: 1, check.RejectedStored: 1}},
		"rejected after no answer, stored": {
			history: []history.Operation{sent(1, 2, one, "unknown"), sent(3, 4, one, "rejected")}, rows: rows(one), want: found{check.ValidRejected: 1},
		},

		"a part of all or nothing, no answer": {
			history: []history.Operation{atomic(batch(1, 2, []history.Event{one, two}, "unknown", "unknown"))}, rows: rows(one), want: found{check.Torn: 1},
		},
		"all of all or nothing, no answer":     {history: []history.Operation{atomic(batch(1, 2, []history.Event{one, two}, "unknown", "unknown"))}, rows: rows(one, two)},
		"nothing of all or nothing, no answer": {history: []history.Operation{atomic(batch(1, 2, []history.Event{one, two}, "unknown", "unknown"))}},
		"a part of all or nothing, sent again": {
			history: []history.Operation{atomic(batch(1, 2, []history.Event{one, two}, "unknown", "unknown")), sent(3, 4, one, "unknown")}, rows: rows(one),
		},
		"a part of all or nothing, answered": {
			history: []history.Operation{atomic(batch(1, 2, []history.Event{one, two}, "accepted", "retry"))}, rows: rows(one), want: found{check.Torn: 1},
		},
		"a part of just a batch": {history: []history.Operation{batch(1, 2, []history.Event{one, two}, "unknown", "unknown")}, rows: rows(one)},

		"never taken though healed": {history: []history.Operation{sent(6, 7, one, "refused")}, settle: 5, want: found{check.NotConverged: 1}},
		"given up before":           {history: []history.Operation{sent(1, 7, one, "refused")}, settle: 5},
		"taken at last":             {history: []history.Operation{sent(6, 7, one, "refused"), sent(8, 9, one, "duplicate")}, rows: rows(one), settle: 5},

		"read at the moment of the answer": {
			history: []history.Operation{sent(1, 2, one, "accepted"), asked(2, 3, 0)}, rows: rows(one), want: found{check.Undercounted: 1},
		},
		"read before the answer":         {history: []history.Operation{sent(1, 3, one, "accepted"), asked(2, 4, 0)}, rows: rows(one)},
		"counted before the answer":      {history: []history.Operation{sent(1, 3, one, "accepted"), asked(1, 2, 1)}, rows: rows(one)},
		"sent at the end of the reading": {history: []history.Operation{sent(2, 3, one, "accepted"), asked(1, 2, 1)}, rows: rows(one)},
		"counted before it was sent":     {history: []history.Operation{sent(3, 4, one, "accepted"), asked(1, 2, 1)}, rows: rows(one), want: found{check.Overcounted: 1}},
		"counted without an answer":      {history: []history.Operation{sent(1, 9, one, "unknown"), asked(2, 3, 1), asked(4, 5, 0)}},
		"an invalid one counted":         {history: []history.Operation{sent(1, 2, invalid(), "rejected"), asked(2, 3, 1)}, want: found{check.Overcounted: 1}},
		"sure since the first answer": {
			history: []history.Operation{sent(1, 2, one, "accepted"), sent(1, 9, one, "duplicate"), asked(3, 4, 0)}, rows: rows(one), want: found{check.Undercounted: 1},
		},
		"another type counted": {history: []history.Operation{sent(1, 2, event(1, "b"), "accepted"), asked(2, 3, 1)}, rows: rows(event(1, "b")), want: found{check.Overcounted: 1}},
		"in the range":         {history: []history.Operation{sent(1, 2, two, "accepted"), inRange(asked(2, 3, 0), 2, 3)}, rows: rows(two), want: found{check.Undercounted: 1}},
		"before the range":     {history: []history.Operation{sent(1, 2, two, "accepted"), inRange(asked(2, 3, 0), 3, 4)}, rows: rows(two)},
		"at the range's end":   {history: []history.Operation{sent(1, 2, two, "accepted"), inRange(asked(2, 3, 1), 1, 2)}, rows: rows(two), want: found{check.Overcounted: 1}},
		"in one bucket of three": {
			history: []history.Operation{sent(1, 2, event(60, "a"), "accepted"), {
				Kind: history.Series, Start: 2 * second, End: 3 * second, EventType: "a", Interval: "minute", From: 30, To: 150,
				Counts: []int64{0, 1, 0}, Outcomes: []history.Outcome{"read"},
			}}, rows: rows(event(60, "a")),
		},
		"in the bucket before": {
			history: []history.Operation{sent(1, 2, event(60, "a"), "accepted"), {
				Kind: history.Series, Start: 2 * second, End: 3 * second, EventType: "a", Interval: "minute", From: 30, To: 150,
				Counts: []int64{1, 0, 0}, Outcomes: []history.Outcome{"read"},
			}}, rows: rows(event(60, "a")), want: found{check.Undercounted: 1, check.Overcounted: 1},
		},
		"a question that was refused": {history: []history.Operation{
			sent(1, 2, one, "accepted"), {Kind: history.Count, Start: 2 * second, End: 3 * second, Status: 503, EventType: "a", Outcomes: []history.Outcome{"refused"}},
		}, rows: rows(one)},

		"late while Redis is away": {history: []history.Operation{sent(11, 12, one, "accepted"), asked(13, 14, 0)}, rows: rows(one), trouble: trouble},
		"too late while Redis is away": {
			history: []history.Operation{sent(11, 12, one, "accepted"), asked(14, 15, 0)}, rows: rows(one), trouble: trouble, want: found{check.Undercounted: 1},
		},
		"late after Redis was away": {history: []history.Operation{sent(19, 20, one, "accepted"), asked(21, 22, 0)}, rows: rows(one), trouble: trouble},
		"too late after Redis was away": {
			history: []history.Operation{sent(19, 20, one, "accepted"), asked(23, 24, 0)}, rows: rows(one), trouble: trouble, want: found{check.Undercounted: 1},
		},
		"late before Redis was away": {
			history: []history.Operation{sent(7, 8, one, "accepted"), asked(8, 9, 0)}, rows: rows(one), trouble: trouble, want: found{check.Undercounted: 1},
		},
		"too many while Redis is away": {history: []history.Operation{asked(13, 14, 1)}, trouble: trouble, want: found{check.Overcounted: 1}},

		"fewer at rest":            {history: []history.Operation{sent(1, 2, one, "accepted")}, rows: rows(one), rest: []history.Operation{asked(9, 9, 0)}, want: found{check.CountWrong: 1}},
		"more at rest":             {history: []history.Operation{sent(1, 2, one, "accepted")}, rows: rows(one), rest: []history.Operation{asked(9, 9, 2)}, want: found{check.CountWrong: 1}},
		"more than nothing":        {rest: []history.Operation{asked(9, 9, 1)}, want: found{check.CountWrong: 1}},
		"at rest without answer":   {rest: []history.Operation{{Kind: history.Count, EventType: "a", Outcomes: []history.Outcome{"refused"}}}, want: found{check.Unanswered: 1}},
		"the rows count, not what": {history: []history.Operation{sent(1, 2, one, "unknown"), sent(1, 2, two, "unknown")}, rows: rows(one), rest: []history.Operation{asked(9, 9, 1), inRange(asked(9, 9, 0), 2, 3)}},

		"500": {history: []history.Operation{{Kind: history.Count, Status: 500, EventType: "a", Outcomes: []history.Outcome{"unknown"}}}, want: found{check.ForbiddenStatus: 1}},
		"504": {history: []history.Operation{{Kind: history.Count, Status: 504, EventType: "a", Outcomes: []history.Outcome{"unknown"}}}, want: found{check.ForbiddenStatus: 1}},
		"503": {history: []history.Operation{{Kind: history.Count, Status: 503, EventType: "a", Outcomes: []history.Outcome{"refused"}}}},
		"a strange answer": {
			history: []history.Operation{{Kind: history.Count, Status: 503, EventType: "a", Outcomes: []history.Outcome{"refused"}, Problem: "no Retry-After"}}, want: found{check.Contract: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.rest == nil {
				counts := map[string]int64{"a": 0, "b": 0}
				for _, r := range c.rows {
					counts[r.Type]++
				}
				for eventType, n := range counts {
					right := asked(99, 99, n)
					right.EventType = eventType
					c.rest = append(c.rest, right)
				}
			}
			report, err := check.Run(check.Input{
				History: all(c.history), Rows: all(c.rows), AtRest: c.rest, RedisTrouble: c.trouble, Settling: c.settle * second,
			})
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(report.Found, c.want) {
				t.Errorf("found %v, not %v: %v", report.Found, c.want, report.Violations)
			}
			if err := report.Err(); (err != nil) != (len(c.want) > 0) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestTheSmallestPartIsShown hides what is wrong in a long history.
func TestTheSmallestPartIsShown(t *testing.T) {
	t.Parallel()
	var operations []history.Operation
	var rows []history.Row
	for i := range 1000 {
		n := 10 * i
		events := []history.Event{event(n+1, "a"), event(n+2, "a"), event(n+3, "a")}
		operations = append(operations, batch(int64(i), int64(i)+1, events, "accepted", "accepted", "accepted"))
		for _, e := range events {
			if n != 5000 || e.UserID != 5002 {
				rows = append(rows, row(e))
			}
		}
	}
	operations = append(operations, asked(1000, 1001, 2999))
	report, err := check.Run(check.Input{History: all(operations), Rows: all(rows), AtRest: []history.Operation{asked(1002, 1003, 2999)}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"lost: the a event 01890a5d-ac96-774b-bcce-00000000138a of user 5002 at 5002 was accepted and isn't stored\n" +
			"  500.000000s to 501.000000s client 0 batch replica a 01890a5d-ac96-774b-bcce-00000000138a of user 5002 at 5002: accepted (202)",
		"undercounted: 2999 a events were counted; at least 3000 were stored before the question\n" +
			"  999.000000s to 1000.000000s client 0 batch replica a 01890a5d-ac96-774b-bcce-000000002707 of user 9991 at 9991: accepted" +
			" a 01890a5d-ac96-774b-bcce-000000002708 of user 9992 at 9992: accepted" +
			" a 01890a5d-ac96-774b-bcce-000000002709 of user 9993 at 9993: accepted (202)\n" +
			"  1000.000000s to 1001.000000s client 0 count replica a: [2999] (200)",
	}
	var got []string
	for _, v := range report.Violations {
		got = append(got, v.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("shown is\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestExamplesAreBounded: everything is counted, and a few are shown.
func TestExamplesAreBounded(t *testing.T) {
	t.Parallel()
	var operations []history.Operation
	for n := range 100 {
		operations = append(operations, sent(1, 2, event(n+1, "a"), "accepted"))
	}
	report, err := check.Run(check.Input{History: all(operations), Rows: all[history.Row](nil)})
	if err != nil {
		t.Fatal(err)
	}
	if report.Found[check.Lost] != 100 || len(report.Violations) != check.ExamplesPerRule {
		t.Errorf("%d were found and %d are shown", report.Found[check.Lost], len(report.Violations))
	}
}

// TestWhatCantBeCheckedIsAnError: nothing passes for want of something to look at.
func TestWhatCantBeCheckedIsAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	failing := func(yield func(history.Operation, error) bool) { yield(history.Operation{}, broken) }
	failingRows := func(yield func(history.Row, error) bool) { yield(history.Row{}, broken) }
	none := all[history.Operation](nil)
	stored := all([]history.Row{row(event(1, "a"))})
	series := asked(1, 2, 1)
	series.Kind, series.Interval, series.From, series.To = history.Series, "minute", 60, 180 // two buckets, one count
	for name, in := range map[string]check.Input{
		"a history that can't be read":  {History: failing, Rows: all[history.Row](nil)},
		"rows that can't be read":       {History: none, Rows: failingRows},
		"a type nobody was asked about": {History: none, Rows: stored},
		"a type only asked for in part": {History: none, Rows: stored, AtRest: []history.Operation{inRange(asked(1, 2, 0), 5, 6)}},
		"an event with two contents":    {History: all([]history.Operation{sent(1, 2, event(1, "a"), "accepted"), sent(3, 4, event(1, "b"), "accepted")}), Rows: all[history.Row](nil)},
		"an event without an outcome":   {History: all([]history.Operation{batch(1, 2, []history.Event{event(1, "a")})}), Rows: all[history.Row](nil)},
		"an outcome that isn't one":     {History: all([]history.Operation{sent(1, 2, event(1, "a"), "lucky")}), Rows: all[history.Row](nil)},
		"a series with a count missing": {History: all([]history.Operation{series}), Rows: all[history.Row](nil)},
		"a payload that isn't JSON":     {History: all([]history.Operation{sent(1, 2, with(event(1, "a"), `{`), "accepted")}), Rows: all[history.Row](nil)},
	} {
		if report, err := check.Run(in); err == nil {
			t.Errorf("%s: no error, and %+v", name, report)
		}
	}
}

// TestBoundsOfReads holds the walk through time against counting one by one.
func TestBoundsOfReads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var operations []history.Operation
		moment := rapid.Int64Range(0, 12)
		for n := range rapid.IntRange(0, 12).Draw(t, "events") {
			e := event(n+1, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "type"))
			e.Timestamp = rapid.Int64Range(1, 8).Draw(t, "timestamp")
			e.Valid = rapid.IntRange(0, 4).Draw(t, "valid") > 0
			for range rapid.IntRange(1, 3).Draw(t, "tries") {
				start := moment.Draw(t, "start")
				outcome := rapid.SampledFrom([]history.Outcome{"accepted", "duplicate", "unknown", "rejected"}).Draw(t, "outcome")
				operations = append(operations, sent(start, start+moment.Draw(t, "duration"), e, outcome))
			}
		}
		var want [2]int64 // too few, too many
		for range rapid.IntRange(1, 6).Draw(t, "questions") {
			start := moment.Draw(t, "asked")
			o := asked(start, start+moment.Draw(t, "for"), rapid.Int64Range(0, 8).Draw(t, "count"))
			if rapid.Bool().Draw(t, "ranged") {
				from := rapid.Int64Range(1, 8).Draw(t, "from")
				o = inRange(o, from, from+rapid.Int64Range(1, 8).Draw(t, "length"))
			}
			least, most := countOneByOne(operations, o)
			if o.Counts[0] < least {
				want[0]++
			}
			if o.Counts[0] > most {
				want[1]++
			}
			operations = append(operations, o)
		}
		report, err := check.Run(check.Input{History: all(operations), Rows: all[history.Row](nil)})
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]int64{report.Found[check.Undercounted], report.Found[check.Overcounted]}; got != want {
			t.Fatalf("found %d too low and %d too high, not %d and %d, in %+v", got[0], got[1], want[0], want[1], operations)
		}
	})
}

// countOneByOne is what an answer may be at least and at most.
func countOneByOne(operations []history.Operation, question history.Operation) (least, most int64) {
	bounds := question.Bounds()
	surely, possible := map[string]bool{}, map[string]bool{}
	for _, o := range operations {
		for i, e := range o.Events {
			if !e.Valid || e.Type != question.EventType || e.Timestamp < bounds[0] || e.Timestamp >= bounds[1] {
				continue
			}
			if o.Start <= question.End {
				possible[e.ID] = true
			}
			if o.End <= question.Start && (o.Outcomes[i] == history.Accepted || o.Outcomes[i] == history.Duplicate) {
				surely[e.ID] = true
			}
		}
	}
	return int64(len(surely)), int64(len(possible))
}
