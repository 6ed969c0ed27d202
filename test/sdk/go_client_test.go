package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	analytics "highload.example/analytics/sdk/go"
)

var discard = slog.New(slog.DiscardHandler)

// TestGoClientQueries queries a real server in every way that the SDK knows.
func TestGoClientQueries(t *testing.T) {
	t.Parallel()
	server := startServer(t, nil)
	c, err := analytics.New(analytics.Options{URL: server.URL, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	const day = 86_400
	const began = 1_690_070_400 // 2023-07-23 00:00 UTC, a Sunday
	track := func(user int64, eventType string, at int64, payload any) {
		t.Helper()
		if err := c.Track(ctx, analytics.Event{UserID: user, Type: eventType, Time: time.Unix(at, 0), Payload: payload}); err != nil {
			t.Error(err)
		}
	}
	for user := range int64(3) {
		track(user+1, "signup", began+user, map[string]any{"plan": []string{"pro", "free", "pro"}[user]})
		track(user+1, "login", began+day+user, nil)
	}
	track(1, "purchase", began+100, map[string]any{"price": 12.5, "country": "DE"})
	track(2, "purchase", began+200, map[string]any{"price": 0.1, "country": "AT"})
	track(2, "purchase", began+2*day, map[string]any{"price": 0.2, "country": nil})
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}

	n, err := c.Count(ctx, "purchase", analytics.Range{})
	check(t, "Count", err, fmt.Sprint(n), "3")
	n, err = c.Count(ctx, "purchase", analytics.Range{From: began + 150, To: began + day})
	check(t, "Count in a range", err, fmt.Sprint(n), "1")
	n, err = c.Count(ctx, "nothing", analytics.Range{})
	check(t, "Count of nothing", err, fmt.Sprint(n), "0")

	var types []string
	for s, e := range c.EventTypes(ctx, "") {
		types = append(types, fmt.Sprint(s.EventType, " ", s.Count))
		err = errors.Join(err, e)
	}
	check(t, "EventTypes", err, strings.Join(types, ", "), "login 3, purchase 3, signup 3")

	series, err := c.Series(ctx, "purchase", analytics.SeriesOptions{Range: analytics.Range{From: began, To: began + 3*day}, Compare: analytics.ComparisonPrevious})
	var counts []int64
	if series != nil {
		for _, p := range series.Points {
			counts = append(counts, p.Count)
		}
		counts = append(counts, series.Count, int64(len(series.Previous.Points)), series.Previous.Count)
	}
	check(t, "Series", err, fmt.Sprint(counts), "[2 0 1 3 3 0]")

	result, err := c.Query(ctx, analytics.Query{
		Metric: analytics.MetricSum, Value: "payload.price", EventTypes: []string{"purchase"}, GroupBy: []string{"payload.country"},
		From: began, To: began + 3*day,
	})
	check(t, "Query", err, fmt.Sprint(result.Groups), "[{[DE] 12.5 []} {[<nil>] 0.2 []} {[AT] 0.1 []}]")
	result, err = c.Query(ctx, analytics.Query{
		Metric: analytics.MetricAvg, Value: "payload.price", EventTypes: []string{"login", "purchase"}, From: began, To: began + 2*day, Interval: analytics.IntervalDay,
		Filters: []analytics.Filter{{Field: "payload.country", Op: analytics.FilterOperatorIn, Value: []string{"DE", "AT"}}, {Field: "payload.price", Op: analytics.FilterOperatorExists, Value: false}},
		Match:   analytics.MatchAny,
	})
	check(t, "Query by day", err, fmt.Sprint(result.Groups, len(result.Buckets)), "[{[] 6.3 [6.3 ]}] 2")

	funnel, err := c.Funnel(ctx, analytics.Funnel{
		Steps: []analytics.Step{{EventType: "signup", Filters: []analytics.Filter{{Field: "payload.plan", Op: analytics.FilterOperatorEq, Value: "pro"}}}, {EventType: "purchase"}},
		From:  began, To: began + day, Window: 3600,
	})
	var steps []string
	if funnel != nil {
		for _, s := range funnel.Steps {
			steps = append(steps, fmt.Sprint(s.Users, " ", s.Conversion, " ", s.MedianSeconds != nil))
		}
	}
	check(t, "Funnel", err, strings.Join(steps, ", "), "2 1 false, 1 0.5 true")

	retention, err := c.Retention(ctx, analytics.Retention{
		First: analytics.Step{EventType: "signup"}, Returning: analytics.Step{EventType: "login"}, Interval: analytics.CohortIntervalDay, From: began, To: began + 2*day,
	})
	check(t, "Retention", err, fmt.Sprint(retention.Cohorts[0].Users, retention.Cohorts[0].Returned), "3 [0 3]")

	var seen []string
	for r, e := range c.Events(ctx, analytics.Selection{Type: "purchase", Filters: []analytics.Filter{{Field: "payload.price", Op: analytics.FilterOperatorLt, Value: 1}}}) {
		seen = append(seen, fmt.Sprint(r.UserID, " ", r.Time.Unix()-began, " ", string(r.Payload)))
		err = errors.Join(err, e)
	}
	check(t, "Events", err, strings.Join(seen, ", "), `2 172800 {"country":null,"price":0.2}, 2 200 {"country":"AT","price":0.1}`)

	seen = nil
	for r, e := range c.UserEvents(ctx, 1, analytics.Selection{Range: analytics.Range{From: began + 1}}) {
		seen = append(seen, r.Type)
		err = errors.Join(err, e)
	}
	check(t, "UserEvents", err, strings.Join(seen, ", "), "login, purchase")

	// An export that is gone on with has the rest, and both have everything.
	var first, rest []string
	var last analytics.Record
	for r, e := range c.Export(ctx, analytics.Selection{}) {
		err = errors.Join(err, e)
		first = append(first, r.ID)
		if last = r; len(first) == 4 {
			break
		}
	}
	for r, e := range c.Export(ctx, analytics.Selection{Cursor: last.Cursor()}) {
		err = errors.Join(err, e)
		rest = append(rest, r.ID)
	}
	all := append(slices.Clone(first), rest...)
	slices.Sort(all)
	check(t, "Export", err, fmt.Sprint(len(first), len(rest), len(slices.Compact(all))), "4 5 9")

	limits, err := c.Limits(ctx)
	if err != nil {
		t.Fatal(err)
	}
	checkLimits(t, server.URL, limits)

	// What is wrong with a query.
	_, err = c.Query(ctx, analytics.Query{Metric: analytics.MetricSum, From: 2, To: 1})
	var problem *analytics.Error
	if !errors.As(err, &problem) || problem.Status != 422 || problem.Code != "validation_failed" || len(problem.Violations) == 0 {
		t.Errorf("a bad query: %+v", err)
	}
	for _, e := range c.Export(ctx, analytics.Selection{Cursor: "x"}) {
		if !errors.As(e, &problem) || problem.Violations[0].Pointer != "#query/cursor" {
			t.Errorf("a bad cursor: %v", e)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Count(gone, "a", analytics.Range{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled query: %v", err)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}

// checkLimits checks that the client's limits are the server's: it accepts what is as large
// as they allow, and refuses one more.
func checkLimits(t *testing.T, url string, limits *analytics.Limits) {
	t.Helper()
	for excess := range 2 {
		for _, o := range []analytics.Options{
			{URL: url, Logger: discard, MaxBatchEvents: int(limits.MaxBatchEvents) + excess},
			{URL: url, Logger: discard, MaxBatchBytes: int(limits.MaxBatchBytes) + excess},
		} {
			c, err := analytics.New(o)
			if (err != nil) != (excess > 0) {
				t.Errorf("batches of %d events and %d bytes, beside %+v: %v", o.MaxBatchEvents, o.MaxBatchBytes, limits, err)
			}
			if err == nil {
				err = c.Close(t.Context())
			}
			if err != nil && excess == 0 {
				t.Error(err)
			}
		}
	}
	c, err := analytics.New(analytics.Options{URL: url, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_690_000_000, 0)
	frame := len(`{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","user_id":1,"event_type":"","timestamp":1690000000}`)
	for excess := range 2 {
		for what, e := range map[string]analytics.Event{
			"payload": {UserID: 1, Type: "large", Time: at, Payload: map[string]string{"a": strings.Repeat("x", int(limits.MaxPayloadBytes)-len(`{"a":""}`)+excess)}},
			"event":   {UserID: 1, Type: strings.Repeat("x", int(limits.MaxEventBytes)-frame+excess), Time: at},
		} {
			err := c.Track(t.Context(), e)
			if errors.Is(err, analytics.ErrTooLarge) != (excess > 0) {
				t.Errorf("%s, %d bytes more than allowed: %v", what, excess, err)
			}
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func check(t *testing.T, what string, err error, got, want string) {
	t.Helper()
	if err != nil || got != want {
		t.Errorf("%s: %s, %v; want %s", what, got, err, want)
	}
}

// BenchmarkGoClientDelivery sends events to the real server, which commits them, as fast as it goes.
func BenchmarkGoClientDelivery(b *testing.B) {
	for _, disk := range []bool{false, true} {
		name := "memory"
		if disk {
			name = "disk"
		}
		b.Run(name, func(b *testing.B) {
			o := analytics.Options{URL: startServer(b, nil).URL, MaxBatchEvents: 5000, OnFull: analytics.Block, BlockTimeout: time.Minute, Logger: discard}
			if disk {
				o.QueueDir = b.TempDir()
			}
			c, err := analytics.New(o)
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			payload := map[string]any{"item": "book", "price": 12.5, "currency": "EUR", "quantity": 1}
			b.ResetTimer()
			for range b.N {
				if err := c.Track(ctx, analytics.Event{UserID: 42, Type: "purchase", Payload: payload}); err != nil {
					b.Fatal(err)
				}
			}
			if err := c.Flush(ctx); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			if s := c.Stats(); s.Accepted != int64(b.N) {
				b.Errorf("of %d events: %+v", b.N, s)
			}
			if err := c.Close(ctx); err != nil {
				b.Error(err)
			}
		})
	}
}
