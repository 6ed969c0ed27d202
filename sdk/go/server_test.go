//go:build server

package analytics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tests of this file ask the real server. It is built from the repository that this module is in; where
// the module stands alone, leave out the build tag.

// startServer starts one on an empty database and returns where it is.
func startServer(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "analytics")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", program, "./cmd/analytics").CombinedOutput(); err != nil {
		t.Fatalf("the server can't be built: %v\n%s", err, out)
	}
	data := t.TempDir()
	// A port that was free can be taken before the server binds it: then another is tried.
	var log bytes.Buffer
	for range 5 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		command := exec.Command(program)
		command.Env = []string{"ADDR=" + address, "DATA_DIR=" + data, "RATE_LIMIT=0", "LOG_LEVEL=WARN"}
		command.Stderr = &log
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = command.Wait()
			close(ended)
		}()
		if ready(address, ended) {
			t.Cleanup(func() {
				_ = command.Process.Signal(os.Interrupt)
				<-ended
				if code := command.ProcessState.ExitCode(); code != 0 {
					t.Errorf("the server exited with %d: %s", code, &log)
				}
			})
			return "http://" + address
		}
		_ = command.Process.Kill()
		<-ended
	}
	t.Fatalf("the server didn't start: %s", &log)
	return ""
}

func ready(address string, ended <-chan struct{}) bool {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for range 3000 {
		if response, err := client.Get("http://" + address + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return false
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	c, err := New(Options{URL: startServer(t), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	const day = 86_400
	const began = 1_690_070_400 // 2023-07-23 00:00 UTC, a Sunday
	track := func(user int64, eventType string, at int64, payload any) {
		t.Helper()
		if err := c.Track(ctx, Event{UserID: user, Type: eventType, Time: time.Unix(at, 0), Payload: payload}); err != nil {
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

	n, err := c.Count(ctx, "purchase", Range{})
	check(t, "Count", err, fmt.Sprint(n), "3")
	n, err = c.Count(ctx, "purchase", Range{From: began + 150, To: began + day})
	check(t, "Count in a range", err, fmt.Sprint(n), "1")
	n, err = c.Count(ctx, "nothing", Range{})
	check(t, "Count of nothing", err, fmt.Sprint(n), "0")

	var types []string
	for s, e := range c.EventTypes(ctx, "") {
		types = append(types, fmt.Sprint(s.EventType, " ", s.Count))
		err = errors.Join(err, e)
	}
	check(t, "EventTypes", err, strings.Join(types, ", "), "login 3, purchase 3, signup 3")

	series, err := c.Series(ctx, "purchase", SeriesOptions{Range: Range{From: began, To: began + 3*day}, Compare: ComparisonPrevious})
	var counts []int64
	if series != nil {
		for _, p := range series.Points {
			counts = append(counts, p.Count)
		}
		counts = append(counts, series.Count, int64(len(series.Previous.Points)), series.Previous.Count)
	}
	check(t, "Series", err, fmt.Sprint(counts), "[2 0 1 3 3 0]")

	result, err := c.Query(ctx, Query{
		Metric: MetricSum, Value: "payload.price", EventTypes: []string{"purchase"}, GroupBy: []string{"payload.country"},
		From: began, To: began + 3*day,
	})
	check(t, "Query", err, fmt.Sprint(result.Groups), "[{[DE] 12.5 []} {[<nil>] 0.2 []} {[AT] 0.1 []}]")
	result, err = c.Query(ctx, Query{
		Metric: MetricAvg, Value: "payload.price", EventTypes: []string{"login", "purchase"}, From: began, To: began + 2*day, Interval: IntervalDay,
		Filters: []Filter{{Field: "payload.country", Op: FilterOperatorIn, Value: []string{"DE", "AT"}}, {Field: "payload.price", Op: FilterOperatorExists, Value: false}},
		Match:   MatchAny,
	})
	check(t, "Query by day", err, fmt.Sprint(result.Groups, len(result.Buckets)), "[{[] 6.3 [6.3 ]}] 2")

	funnel, err := c.Funnel(ctx, Funnel{
		Steps: []Step{{EventType: "signup", Filters: []Filter{{Field: "payload.plan", Op: FilterOperatorEq, Value: "pro"}}}, {EventType: "purchase"}},
		From:  began, To: began + day, Window: 3600,
	})
	var steps []string
	if funnel != nil {
		for _, s := range funnel.Steps {
			steps = append(steps, fmt.Sprint(s.Users, " ", s.Conversion, " ", s.MedianSeconds != nil))
		}
	}
	check(t, "Funnel", err, strings.Join(steps, ", "), "2 1 false, 1 0.5 true")

	retention, err := c.Retention(ctx, Retention{
		First: Step{EventType: "signup"}, Returning: Step{EventType: "login"}, Interval: CohortIntervalDay, From: began, To: began + 2*day,
	})
	check(t, "Retention", err, fmt.Sprint(retention.Cohorts[0].Users, retention.Cohorts[0].Returned), "3 [0 3]")

	var seen []string
	for r, e := range c.Events(ctx, Selection{Type: "purchase", Filters: []Filter{{Field: "payload.price", Op: FilterOperatorLt, Value: 1}}}) {
		seen = append(seen, fmt.Sprint(r.UserID, " ", r.Time.Unix()-began, " ", string(r.Payload)))
		err = errors.Join(err, e)
	}
	check(t, "Events", err, strings.Join(seen, ", "), `2 172800 {"country":null,"price":0.2}, 2 200 {"country":"AT","price":0.1}`)

	seen = nil
	for r, e := range c.UserEvents(ctx, 1, Selection{Range: Range{From: began + 1}}) {
		seen = append(seen, r.Type)
		err = errors.Join(err, e)
	}
	check(t, "UserEvents", err, strings.Join(seen, ", "), "login, purchase")

	// An export that is gone on with has the rest, and both have everything.
	var first, rest []string
	var last Record
	for r, e := range c.Export(ctx, Selection{}) {
		err = errors.Join(err, e)
		first = append(first, r.ID)
		if last = r; len(first) == 4 {
			break
		}
	}
	for r, e := range c.Export(ctx, Selection{Cursor: last.Cursor()}) {
		err = errors.Join(err, e)
		rest = append(rest, r.ID)
	}
	all := append(slices.Clone(first), rest...)
	slices.Sort(all)
	check(t, "Export", err, fmt.Sprint(len(first), len(rest), len(slices.Compact(all))), "4 5 9")

	limits, err := c.Limits(ctx)
	check(t, "Limits", err, fmt.Sprint(limits.MaxBatchEvents, limits.MaxBatchBytes, limits.MaxEventBytes, limits.MaxPayloadBytes),
		fmt.Sprint(maxBatchEvents, maxBatchBytes, maxEventBytes, maxPayloadBytes))

	// What is wrong with a question.
	_, err = c.Query(ctx, Query{Metric: MetricSum, From: 2, To: 1})
	var problem *Error
	if !errors.As(err, &problem) || problem.Status != 422 || problem.Code != "validation_failed" || len(problem.Violations) == 0 {
		t.Errorf("a bad question: %+v", err)
	}
	for _, e := range c.Export(ctx, Selection{Cursor: "x"}) {
		if !errors.As(e, &problem) || problem.Violations[0].Pointer != "#query/cursor" {
			t.Errorf("a bad cursor: %v", e)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Count(gone, "a", Range{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled question: %v", err)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}

func check(t *testing.T, what string, err error, got, want string) {
	t.Helper()
	if err != nil || got != want {
		t.Errorf("%s: %s, %v; want %s", what, got, err, want)
	}
}

// BenchmarkDelivered sends events to the real server, which commits them, as fast as it goes.
func BenchmarkDelivered(b *testing.B) {
	for _, disk := range []bool{false, true} {
		name := "memory"
		if disk {
			name = "disk"
		}
		b.Run(name, func(b *testing.B) {
			o := Options{URL: startServer(b), MaxBatchEvents: 5000, OnFull: Block, BlockTimeout: time.Minute, Logger: quiet}
			if disk {
				o.QueueDir = b.TempDir()
			}
			c, err := New(o)
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			b.ResetTimer()
			for range b.N {
				if err := c.Track(ctx, Event{UserID: 42, Type: "purchase", Payload: aPurchase}); err != nil {
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
