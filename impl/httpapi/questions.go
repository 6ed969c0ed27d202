package httpapi

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
)

// Questions answers questions about events.
type Questions interface {
	RankTypes(ctx context.Context, prefix, cursor string, limit int) (query.TypesPage, query.Plan, error)
	CountType(ctx context.Context, eventType string, from, to *int64) (int64, query.Plan, error)
	CountSeries(ctx context.Context, eventType string, interval query.Interval, zone string, from, to *int64, compare bool) (*query.Series, query.Plan, error)
	Ask(ctx context.Context, q *query.Question) (*query.Answer, query.Plan, error)
	Funnel(ctx context.Context, q *query.FunnelQuestion) (*query.FunnelAnswer, query.Plan, error)
	Retention(ctx context.Context, q *query.RetentionQuestion) (*query.RetentionAnswer, query.Plan, error)
	ListEvents(ctx context.Context, q *query.ListQuestion) (query.EventsPage, query.Plan, error)
	ExportEvents(ctx context.Context, q *query.ListQuestion, encode func(*event.Event) (full bool), flush func() error) error
}

// questionOperations are the operations of the tags stats and questions, and those of the tag events
// that list them.
type questionOperations struct {
	questions Questions
}

// value returns what an optional parameter points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// ListEventTypeStats lists the types.
func (o *questionOperations) ListEventTypeStats(ctx context.Context, request api.ListEventTypeStatsRequestObject) (api.ListEventTypeStatsResponseObject, error) {
	p := request.Params
	page, plan, err := o.questions.RankTypes(ctx, value(p.Prefix), value(p.Cursor), int(value(p.Limit)))
	if err != nil {
		return nil, err
	}
	body := api.EventTypeStatsPage{EventTypes: make([]api.EventTypeStats, len(page.Types))}
	for i, t := range page.Types {
		body.EventTypes[i] = api.EventTypeStats{EventType: t.Type, Count: t.Count}
	}
	if page.Next != "" {
		body.NextCursor = &page.Next
	}
	return api.ListEventTypeStats200Response{Body: body, QueryPlan: string(plan)}, nil
}

// GetEventTypeStats counts the events of a type.
func (o *questionOperations) GetEventTypeStats(ctx context.Context, request api.GetEventTypeStatsRequestObject) (api.GetEventTypeStatsResponseObject, error) {
	count, plan, err := o.questions.CountType(ctx, request.EventType, request.Params.From, request.Params.To)
	if err != nil {
		return nil, err
	}
	return api.GetEventTypeStats200Response{
		Body: api.EventTypeStats{EventType: request.EventType, Count: count}, QueryPlan: string(plan),
	}, nil
}

// GetEventTypeSeries counts the events of a type over time.
func (o *questionOperations) GetEventTypeSeries(ctx context.Context, request api.GetEventTypeSeriesRequestObject) (api.GetEventTypeSeriesResponseObject, error) {
	p := request.Params
	series, plan, err := o.questions.CountSeries(ctx, request.EventType, query.Interval(value(p.Interval)), value(p.Tz), p.From, p.To, p.Compare != nil)
	if err != nil {
		return nil, err
	}
	body := api.EventTypeSeries{
		EventType: request.EventType, Interval: api.Interval(series.Interval), Tz: series.Zone.String(),
		From: series.Buckets.From, To: series.Buckets.To,
	}
	body.Points, body.Count = toPoints(series.Buckets, series.Counts, series.Zone, series.Now)
	if series.Previous != nil {
		previous := api.PreviousPeriod{From: series.Previous.From, To: series.Previous.To}
		previous.Points, previous.Count = toPoints(series.Previous, series.PreviousCounts, series.Zone, series.Now)
		body.Previous = &previous
	}
	return api.GetEventTypeSeries200Response{Body: body, QueryPlan: string(plan)}, nil
}

func toPoints(b *query.Buckets, counts []int64, zone *time.Location, now int64) (points []api.Point, sum int64) {
	points = make([]api.Point, len(b.Starts))
	for i, start := range b.Starts {
		points[i] = api.Point{Start: start, Time: time.Unix(start, 0).In(zone), Count: counts[i], Partial: b.Partial(i, now)}
		sum += counts[i]
	}
	return points, sum
}

// QueryEvents answers a question.
func (o *questionOperations) QueryEvents(ctx context.Context, request api.QueryEventsRequestObject) (api.QueryEventsResponseObject, error) {
	q := request.Body
	answer, plan, err := o.questions.Ask(ctx, &query.Question{
		Types: toTexts(q.EventTypes), Metric: query.Metric(q.Metric), Value: value(q.Value),
		From: q.From, To: q.To, Interval: query.Interval(value(q.Interval)), Zone: value(q.Tz),
		GroupBy: toTexts(q.GroupBy), Filters: toFilters(q.Filters), Any: isAny(q.Match),
		Order: query.Order(value(q.Order)), Limit: int(value(q.Limit)), IncludeOther: value(q.IncludeOther),
	})
	if err != nil {
		return nil, err
	}
	body := api.QueryResult{Metric: q.Metric, From: q.From, To: q.To, Interval: q.Interval, GroupBy: api.FieldList{}, Groups: make([]api.Group, len(answer.Groups))}
	if q.GroupBy != nil {
		body.GroupBy = *q.GroupBy
	}
	if answer.Buckets != nil {
		zone := answer.Zone.String()
		body.Tz = &zone
		buckets := make([]api.Bucket, len(answer.Buckets.Starts))
		for i, start := range answer.Buckets.Starts {
			buckets[i] = api.Bucket{Start: start, Time: time.Unix(start, 0).In(answer.Zone), Partial: answer.Buckets.Partial(i, answer.Now)}
		}
		body.Buckets = &buckets
	}
	for i, group := range answer.Groups {
		body.Groups[i] = api.Group{Key: toKey(group.Key), Value: toNumber(group.Number), Values: toNumbers(group.Cells)}
	}
	if answer.Other != nil {
		body.Other = &api.OtherGroups{Groups: answer.OtherGroups, Value: toNumber(answer.Other.Number), Values: toNumbers(answer.Other.Cells)}
	}
	return api.QueryEvents200Response{Body: body, QueryPlan: string(plan)}, nil
}

// QueryFunnel answers how far users go.
func (o *questionOperations) QueryFunnel(ctx context.Context, request api.QueryFunnelRequestObject) (api.QueryFunnelResponseObject, error) {
	q := request.Body
	question := &query.FunnelQuestion{
		Window: q.Window, Strict: value(q.Order) == api.StepOrderStrict, From: q.From, To: q.To,
		GroupBy: toTexts(q.GroupBy), Limit: int(value(q.Limit)),
	}
	for i := range q.Steps {
		question.Steps = append(question.Steps, toStep(&q.Steps[i]))
	}
	answer, plan, err := o.questions.Funnel(ctx, question)
	if err != nil {
		return nil, err
	}
	body := api.FunnelResult{Steps: toFunnelSteps(answer.Steps)}
	if len(question.GroupBy) > 0 {
		groups := make([]api.FunnelGroup, len(answer.Groups))
		for i, group := range answer.Groups {
			groups[i] = api.FunnelGroup{Key: toKey(group.Key), Steps: toFunnelSteps(group.Steps)}
		}
		body.Groups = &groups
	}
	return api.QueryFunnel200Response{Body: body, QueryPlan: string(plan)}, nil
}

func toFunnelSteps(steps []query.FunnelStep) []api.FunnelStep {
	list := make([]api.FunnelStep, len(steps))
	for i, step := range steps {
		list[i] = api.FunnelStep{Users: step.Users, Conversion: share(step.Users, steps[0].Users), MedianSeconds: step.Median}
	}
	return list
}

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// QueryRetention answers who comes back.
func (o *questionOperations) QueryRetention(ctx context.Context, request api.QueryRetentionRequestObject) (api.QueryRetentionResponseObject, error) {
	q := request.Body
	answer, plan, err := o.questions.Retention(ctx, &query.RetentionQuestion{
		First: toStep(&q.First), Returning: toStep(&q.Returning), Interval: query.Interval(q.Interval), Zone: value(q.Tz),
		From: q.From, To: q.To, Periods: int(value(q.Periods)),
	})
	if err != nil {
		return nil, err
	}
	body := api.RetentionResult{Interval: q.Interval, Tz: answer.Zone.String(), Cohorts: make([]api.Cohort, len(answer.Cohorts))}
	for i, c := range answer.Cohorts {
		cohort := api.Cohort{Start: c.Start, Time: time.Unix(c.Start, 0).In(answer.Zone), Users: c.Users, Returned: c.Returned, Shares: make([]float64, len(c.Returned))}
		for j, n := range c.Returned {
			cohort.Shares[j] = share(n, c.Users)
		}
		body.Cohorts[i] = cohort
	}
	return api.QueryRetention200Response{Body: body, QueryPlan: string(plan)}, nil
}

// ListEvents lists events, the newest first.
func (o *questionOperations) ListEvents(ctx context.Context, request api.ListEventsRequestObject) (api.ListEventsResponseObject, error) {
	p := request.Params
	filters, err := readFilters(p.Filters)
	if err != nil {
		return nil, err
	}
	page, plan, err := o.questions.ListEvents(ctx, &query.ListQuestion{
		Type: value(p.EventType), UserID: value(p.UserID), From: p.From, To: p.To,
		Filters: filters, Any: isAny(p.Match), Limit: int(value(p.Limit)), Cursor: value(p.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return api.ListEvents200Response{
		Body: toEventPage(page), QueryPlan: string(plan),
	}, nil
}

// ListUserEvents lists the events of a user, the newest first.
func (o *questionOperations) ListUserEvents(ctx context.Context, request api.ListUserEventsRequestObject) (api.ListUserEventsResponseObject, error) {
	p := request.Params
	filters, err := readFilters(p.Filters)
	if err != nil {
		return nil, err
	}
	page, plan, err := o.questions.ListEvents(ctx, &query.ListQuestion{
		Type: value(p.EventType), UserID: request.UserID, From: p.From, To: p.To,
		Filters: filters, Any: isAny(p.Match), Limit: int(value(p.Limit)), Cursor: value(p.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return api.ListUserEvents200Response{
		Body: toEventPage(page), QueryPlan: string(plan),
	}, nil
}

func toEventPage(page query.EventsPage) api.EventPage {
	body := api.EventPage{Events: make([]api.StoredEvent, len(page.Events))}
	for i := range page.Events {
		e := &page.Events[i]
		body.Events[i] = api.StoredEvent{UserID: e.UserID, EventType: e.Type, Timestamp: e.OccurredAt, EventID: api.EventID(e.ID), Payload: e.Payload}
	}
	if page.Next != "" {
		body.NextCursor = &page.Next
	}
	return body
}

// readFilters reads filters that are given as a parameter: what is wrong in them is
// reported at their place in it.
func readFilters(text *string) ([]query.RawFilter, error) {
	if text == nil {
		return nil, nil
	}
	const place = "#query/filters"
	var list api.FilterList
	violations, err := binding.Body(strings.NewReader(*text), &list)
	if err != nil {
		violations = []binding.Violation{{Code: "format", Detail: "must be a JSON array of filters"}}
	}
	for i := range violations {
		violations[i].Pointer = place + violations[i].Pointer
	}
	if len(violations) > 0 {
		return nil, &binding.ValidationError{Violations: violations}
	}
	return toFilters(&list), nil
}

func toFilters(list *api.FilterList) []query.RawFilter {
	filters := make([]query.RawFilter, 0, len(value(list)))
	for _, f := range value(list) {
		filters = append(filters, query.RawFilter{Field: f.Field, Op: query.Operator(f.Op), Value: f.Value})
	}
	return filters
}

func toStep(s *api.Step) query.RawStep {
	return query.RawStep{Type: s.EventType, Filters: toFilters(s.Filters), Any: isAny(s.Match)}
}

func isAny(m *api.Match) bool { return value(m) == api.MatchAny }

// toTexts copies a list of a type that is a text.
func toTexts[L ~[]string](list *L) []string { return value(list) }

func toKey(key []query.Value) api.GroupKey {
	list := make(api.GroupKey, len(key))
	for i, v := range key {
		list[i] = v.AppendJSON(nil)
	}
	return list
}

func toNumber(n query.Number) *api.Number {
	if n == query.None {
		return nil
	}
	number := json.Number(n)
	return &number
}

func toNumbers(cells []query.Number) *api.NumberList {
	if cells == nil {
		return nil
	}
	list := make(api.NumberList, len(cells))
	for i, n := range cells {
		list[i] = toNumber(n)
	}
	return &list
}
