package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"highload.example/analytics/test/torture/history"
)

// reader asks questions.
type reader struct {
	client
}

// question is what can be asked.
type question struct {
	kind      string
	eventType string
	from, to  int64
	interval  string
}

func (r *reader) act() { r.ask(r.target(""), r.question()) }

func (r *reader) question() question {
	q := question{kind: history.Count, eventType: types[r.rng.IntN(len(types))]}
	base := r.clients.base
	switch n := r.rng.IntN(10); {
	case n < 5:
	case n < 7: // a range to the second
		q.from = base - window + r.rng.Int64N(window)
		q.to = q.from + 1 + r.rng.Int64N(window)
	case n < 9:
		q.kind, q.interval = history.Series, one(r.rng, "minute", "hour", "day", "week")
		q.from, q.to = base-window, base
		if r.rng.IntN(2) == 0 { // buckets that are cut
			q.from += r.rng.Int64N(window / 2)
			q.to -= r.rng.Int64N(window / 2)
		}
	default:
		q.kind = history.Total
	}
	if q.from >= q.to {
		q.from, q.to = 0, 0
		if q.kind == history.Series {
			q.from, q.to = base-window, base
		}
	}
	return q
}

// ask asks and records the answer.
func (c *client) ask(target string, q question) {
	for _, o := range c.clients.answers(c.number, target, q) {
		c.record(o)
	}
}

// answers asks a question. To one about all types there is an operation for each.
func (w *Clients) answers(number int, target string, q question) []history.Operation {
	o := history.Operation{
		Client: number, Kind: q.kind, Target: target, EventType: q.eventType, From: q.from, To: q.to, Interval: q.interval,
	}
	path := "/stats?limit=1000"
	if q.kind != history.Total {
		path = "/stats/" + q.eventType
		parameters := url.Values{}
		if q.kind == history.Series {
			path += "/series"
			parameters.Set("interval", q.interval)
		}
		if q.from != 0 {
			parameters.Set("from", strconv.FormatInt(q.from, 10))
		}
		if q.to != 0 {
			parameters.Set("to", strconv.FormatInt(q.to, 10))
		}
		if len(parameters) > 0 {
			path += "?" + parameters.Encode()
		}
	}
	a := w.do(&o, http.MethodGet, path, http.Header{}, nil)
	o.Outcomes = []history.Outcome{outcomeOf(o.Status)}
	if o.Status == http.StatusOK {
		switch q.kind {
		case history.Total:
			return readTotals(o, a)
		case history.Series:
			a.problem = readSeries(&o, a)
		default:
			a.problem = readCount(&o, a)
		}
		if a.problem == "" {
			o.Outcomes[0] = history.Answered
		}
	} else if o.Outcomes[0] == history.Rejected {
		o.Outcomes[0], a.problem = history.Unknown, "a question that keeps to the contract was rejected"
	}
	o.Problem = or(o.Problem, a.problem)
	return []history.Operation{o}
}

func readCount(o *history.Operation, a answer) (problem string) {
	var stats struct {
		EventType string `json:"event_type"`
		Count     int64  `json:"count"`
	}
	if err := json.Unmarshal(a.body, &stats); err != nil {
		return "the count can't be read: " + err.Error()
	}
	if stats.EventType != o.EventType {
		return fmt.Sprintf("the answer is about %q", stats.EventType)
	}
	o.Counts = []int64{stats.Count}
	return ""
}

func readSeries(o *history.Operation, a answer) (problem string) {
	var series struct {
		EventType string `json:"event_type"`
		Count     int64  `json:"count"`
		Points    []struct {
			Start int64 `json:"start"`
			Count int64 `json:"count"`
		} `json:"points"`
	}
	if err := json.Unmarshal(a.body, &series); err != nil {
		return "the series can't be read: " + err.Error()
	}
	if series.EventType != o.EventType {
		return fmt.Sprintf("the answer is about %q", series.EventType)
	}
	bounds := o.Bounds()
	if len(series.Points) != len(bounds)-1 {
		return fmt.Sprintf("the series has %d points, and there are %d buckets", len(series.Points), len(bounds)-1)
	}
	var counts []int64
	var sum int64
	for i, point := range series.Points {
		// The first bucket may begin before the range does.
		if point.Start > bounds[i] || i > 0 && point.Start != bounds[i] {
			return fmt.Sprintf("the bucket %d begins at %d, not at %d", i, point.Start, bounds[i])
		}
		counts = append(counts, point.Count)
		sum += point.Count
	}
	if sum != series.Count {
		return fmt.Sprintf("the buckets have %d events, and the series %d", sum, series.Count)
	}
	o.Counts = counts
	return ""
}

// readTotals makes an operation for every type: those that were listed, and those
// that nobody has sent yet, with 0.
func readTotals(o history.Operation, a answer) []history.Operation {
	var page struct {
		EventTypes []struct {
			EventType string `json:"event_type"`
			Count     int64  `json:"count"`
		} `json:"event_types"`
		NextCursor string `json:"next_cursor"`
	}
	problem := ""
	if err := json.Unmarshal(a.body, &page); err != nil {
		problem = "the totals can't be read: " + err.Error()
	} else if page.NextCursor != "" {
		problem = "there are more types than were ever sent"
	}
	if problem != "" {
		o.Problem = or(o.Problem, problem)
		return []history.Operation{o}
	}
	listed := map[string]bool{}
	var all []history.Operation
	add := func(eventType string, count int64) {
		line := o
		line.EventType, line.Counts, line.Outcomes = eventType, []int64{count}, []history.Outcome{history.Answered}
		if listed[eventType] {
			line.Problem = or(line.Problem, eventType+" is listed twice")
		}
		listed[eventType] = true
		all = append(all, line)
		o.Problem = "" // once is enough
	}
	for _, t := range page.EventTypes {
		add(t.EventType, t.Count)
	}
	for _, name := range types {
		if !listed[name] {
			add(name, 0)
		}
	}
	return all
}

// Types returns the types that the events have.
func (w *Clients) Types() []string { return slices.Clone(types) }

// surveyTries is how often a question at rest is asked: a refusal is not yet an
// outage.
const surveyTries = 5

// Survey asks a server for every count that there is, when nobody sends any more: the
// answers are for check.Input.AtRest. What got no answer is among them.
func (w *Clients) Survey(ctx context.Context, target string) []history.Operation {
	var questions []question
	beginning := time.Date(2018, 12, 1, 0, 0, 0, 0, time.UTC).Unix() // before the events' months
	end := w.base + window
	for _, name := range types {
		questions = append(
			questions,
			question{kind: history.Count, eventType: name},
			question{kind: history.Count, eventType: name, from: w.base - window + 17, to: w.base - 17},
			question{kind: history.Count, eventType: name, from: oldest, to: oldest + 1},
			question{kind: history.Series, eventType: name, interval: "month", from: beginning, to: end},
		)
		for _, interval := range []string{"minute", "hour", "day", "week"} {
			questions = append(questions, question{kind: history.Series, eventType: name, interval: interval, from: w.base - window - 3600, to: end})
		}
	}
	questions = append(questions, question{kind: history.Total})
	var all []history.Operation
	for _, q := range questions {
		c := client{clients: w}
		for try := 1; ; try++ {
			answers := w.answers(-1, target, q)
			if answers[0].Outcomes[0] == history.Answered || try == surveyTries || ctx.Err() != nil {
				all = append(all, answers...)
				break
			}
			c.failed = try
			c.rest(ctx)
		}
	}
	return all
}
