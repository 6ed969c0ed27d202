package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/impl/contract"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/httpapi"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/observe"
	"highload.example/analytics/impl/query"
	"highload.example/analytics/impl/ratelimit"
	checked "highload.example/analytics/impl/testkit/contract"
)

// faulty stands for everything behind the edge, and does as the event type says.
type faulty struct{}

func (faulty) Submit(e event.Event) (event.Outcome, error) {
	switch e.Type {
	case "busy":
		return 0, event.ErrBusy
	case "unavailable":
		return 0, event.ErrUnavailable
	case "unstorable":
		return event.Rejected, event.ErrInvalid
	case "panic":
		panic("on purpose")
	}
	return event.Accepted, nil
}

func (f faulty) SubmitBatch(events []event.Event, outcomes []event.Outcome, _ bool) (err error) {
	for i, e := range events {
		outcome, failure := f.Submit(e)
		outcomes[i] = outcome
		if failure != nil && outcome == 0 {
			err = failure
		}
	}
	return err
}

func (faulty) Available() bool { return true }

func (faulty) Count(context.Context, string) (int64, error) { return 1, nil }

func (faulty) RankedTypes(context.Context, string, *query.TypeCount, int) ([]query.TypeCount, error) {
	return nil, nil
}

// MinuteCounts counts more events than a question may read.
func (faulty) MinuteCounts(_ context.Context, _ []string, _ []int64, add func(string, int, int64)) error {
	add("a", 0, 1000)
	return nil
}

func (faulty) Aggregate(context.Context, *query.Aggregation) (*query.Table, error) {
	return &query.Table{}, nil
}

func (faulty) ScanSteps(context.Context, *query.StepScan, func(*query.StepEvent) error) error {
	return nil
}

func (faulty) List(context.Context, *query.Listing, func(*event.Event) error) error { return nil }

func (faulty) ReadsAllTypes() bool { return true }

func (faulty) QuestionAnswered(string, query.Plan, time.Duration, error) {}

// Allow refuses the requests that come through the proxy 192.0.2.1.
func (faulty) Allow(_ context.Context, key string, _ int) ratelimit.Decision {
	return ratelimit.Decision{Allowed: key != "192.0.2.1", Quota: 1, Window: time.Minute, RetryAfter: time.Second}
}

func (faulty) Report() observe.Report { return observe.Report{} }

func (faulty) Phase() observe.Phase { return observe.Serving }

func (faulty) RequestStarted() {}

func (faulty) RequestDone(string, string, int, time.Duration) {}

func (faulty) RequestRefused(string) {}

func (faulty) InFlight(func() (requests, bytes int64)) {}

// serveFaulty serves the whole edge over faulty parts, on a real socket, to pages of the
// origins given.
func serveFaulty(t *testing.T, origins ...string) string {
	t.Helper()
	return serveFaultyWithin(t, 0, origins...)
}

// serveFaultyWithin does the same, and gives a body so much time to arrive.
func serveFaultyWithin(t *testing.T, readTimeout time.Duration, origins ...string) string {
	t.Helper()
	questions := query.New(query.Config{
		Probe: func(context.Context) error { return nil }, Counter: faulty{}, Reader: faulty{}, Totals: faulty{}, Observer: faulty{}, Clock: time.Now, MaxEvents: 10,
	})
	handler, err := httpapi.New(httpapi.Config{
		Ingest: faulty{}, Questions: questions, Limiter: faulty{}, Health: faulty{}, Metrics: faulty{},
		Rules:          ingest.NewRules(time.Hour, time.Now),
		MetricsHandler: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler),
		MaxBatchEvents: 10, MaxBatchBytes: 1 << 20, MaxInFlightRequests: 100, MaxInFlightBytes: 64 << 20,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, CORSOrigins: origins,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ReadHeaderTimeout, server.Config.ReadTimeout = time.Minute, readTimeout
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// slowBody is never there.
type slowBody struct{ ended <-chan struct{} }

func (b slowBody) Read([]byte) (int, error) { <-b.ended; return 0, io.EOF }

// TestEveryCodeIsProduced gets every code of the contract's two enums as an answer,
// and no other: the enums promise what clients may have to handle.
func TestEveryCodeIsProduced(t *testing.T) {
	t.Parallel()
	patient, impatient := serveFaulty(t), serveFaultyWithin(t, 10*time.Millisecond)
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	event := func(eventType string) io.Reader {
		return strings.NewReader(`{"user_id":1,"event_type":"` + eventType + `","timestamp":1690000000}`)
	}
	with := func(json string) io.Reader {
		return strings.NewReader(`{"user_id":1,"event_type":"a","timestamp":1690000000,` + json + `}`)
	}
	produced := map[string]map[string]bool{"ProblemCode": {}, "ViolationCode": {}}
	client := checked.Client(t)
	for _, r := range []struct {
		method, path string
		body         io.Reader
		header       [2]string
	}{
		{"GET", "/nothing", nil, [2]string{}},
		{"DELETE", "/event", nil, [2]string{}},
		{"GET", "/stats/a", nil, [2]string{"X-Forwarded-For", "192.0.2.1"}},
		{"POST", "/event", event("busy"), [2]string{}},
		{"POST", "/event", event("unavailable"), [2]string{}},
		{"POST", "/event", event("panic"), [2]string{}},
		{"POST", "/event", event("unstorable"), [2]string{}},
		{"POST", "/event", slowBody{ended}, [2]string{}},
		{"POST", "/event", strings.NewReader("{"), [2]string{}},
		{"POST", "/event", strings.NewReader("{"), [2]string{"Content-Encoding", "gzip"}},
		{"POST", "/event", strings.NewReader("{"), [2]string{"Content-Type", "text/plain"}},
		{"POST", "/event", strings.NewReader(strings.Repeat(" ", httpapi.MaxEventBytes+1)), [2]string{}},
		{"POST", "/event", strings.NewReader("{}"), [2]string{}},
		{"POST", "/event", strings.NewReader(`{"user_id":0,"event_type":"","timestamp":"","x":1}`), [2]string{}},
		{"POST", "/event", strings.NewReader(`{"user_id":9223372036854775808,"event_type":"` + strings.Repeat("a", 129) + `","timestamp":1690000000000}`), [2]string{}},
		{"POST", "/event", strings.NewReader(`{"user_id":1,"user_id":1,"event_type":"-","timestamp":99999999999}`), [2]string{}},
		{"POST", "/event", with(`"event_id":"x"`), [2]string{}},
		{"POST", "/event", with(`"payload":{"a":"\u0000","b":1e999,"c":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`), [2]string{}},
		{"POST", "/event", with(`"payload":{"a":"\ud800"}`), [2]string{}},
		{"POST", "/event", with(`"payload":{"a":"` + strings.Repeat("x", 64<<10) + `"}`), [2]string{}},
		{"POST", "/event", with(`"payload":{` + members(257) + `}`), [2]string{}},
		{"POST", "/events", strings.NewReader("[]"), [2]string{}},
		{"POST", "/events", strings.NewReader("{"), [2]string{"Content-Type", "application/x-ndjson"}},
		{"POST", "/query", strings.NewReader(`{"metric":"x","from":2,"to":1,"group_by":["user_id","user_id","event_type","payload.a"]}`), [2]string{}},
		{"POST", "/query", strings.NewReader(`{"metric":"count","value":"payload.a","from":2,"to":1,"tz":"Mars/Olympus","group_by":["user_id","user_id"]}`), [2]string{}},
		{"POST", "/query", strings.NewReader(`{"metric":"count","from":0,"to":1690000000,"interval":"minute"}`), [2]string{}},
		{"POST", "/query", strings.NewReader(`{"metric":"unique_users","from":0,"to":1690000000}`), [2]string{}},
	} {
		url := patient
		if _, slow := r.body.(slowBody); slow {
			url = impatient
		}
		request, err := http.NewRequestWithContext(t.Context(), r.method, url+r.path, r.body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		if r.header[0] != "" {
			request.Header.Set(r.header[0], r.header[1])
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("%s %s: %v", r.method, r.path, err)
		}
		var problem struct {
			Code   string `json:"code"`
			Errors []struct {
				Code string `json:"code"`
			} `json:"errors"`
		}
		err = json.NewDecoder(response.Body).Decode(&problem)
		response.Body.Close()
		if err != nil {
			t.Fatalf("%s %s: %v", r.method, r.path, err)
		}
		produced["ProblemCode"][problem.Code] = true
		for _, e := range problem.Errors {
			produced["ViolationCode"][e.Code] = true
		}
	}
	document, err := contract.Document()
	if err != nil {
		t.Fatal(err)
	}
	for schema, codes := range produced {
		var promised []string
		for _, code := range document.Components.Schemas[schema].Value.Enum {
			promised = append(promised, code.(string))
		}
		slices.Sort(promised)
		if got := slices.Sorted(maps.Keys(codes)); !slices.Equal(got, promised) {
			t.Errorf("%s: produced %q, the contract has %q: make the request that produces the missing one, or take it out of the enum", schema, got, promised)
		}
	}
}

func members(n int) string {
	m := make([]string, n)
	for i := range m {
		m[i] = `"` + strings.Repeat("k", i+1) + `":1`
	}
	return strings.Join(m, ",")
}

func TestProblemsAreExplained(t *testing.T) {
	t.Parallel()
	url := serveFaulty(t)
	client := checked.Client(t)
	get := func(path, accept string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	var list struct {
		Problems []struct {
			Code, Title, Cause, Remedy string
		}
	}
	_, body := get("/problems", "*/*")
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Problems) == 0 {
		t.Fatalf("%v: %s", err, body)
	}
	_, page := get("/problems", "text/html,*/*;q=0.8")
	for _, p := range list.Problems {
		if !strings.Contains(page, `href="/problems/`+p.Code+`"`) {
			t.Errorf("the page doesn't link to %s", p.Code)
		}
		if status, html := get("/problems/"+p.Code, "text/html"); status != http.StatusOK || !strings.Contains(html, p.Code) || !strings.HasPrefix(html, "<!doctype html>") {
			t.Errorf("%s as a page: %d %s", p.Code, status, html)
		}
		if status, document := get("/problems/"+p.Code, "application/json"); status != http.StatusOK || !strings.Contains(document, `"code":"`+p.Code+`"`) {
			t.Errorf("%s as JSON: %d %s", p.Code, status, document)
		}
	}
	if status, _ := get("/problems/made-up", "text/html"); status != http.StatusNotFound {
		t.Errorf("a made-up code: %d", status)
	}
	if status, root := get("/", "text/html"); status != http.StatusOK || !strings.Contains(root, `href="/docs"`) {
		t.Errorf("/ as a page: %d %s", status, root)
	}
}
