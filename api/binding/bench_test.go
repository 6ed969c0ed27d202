package binding_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
)

// typical is the event that everything is measured with.
const typical = `{"user_id":123456,"event_type":"purchase","timestamp":1690000000,"payload":{"item":"book","price":12.5,"currency":"EUR","tags":["a","b"],"qty":1}}`

// plain is an event to encoding/json.
type plain struct {
	UserID    int64           `json:"user_id"`
	EventType string          `json:"event_type"`
	Timestamp int64           `json:"timestamp"`
	EventID   *string         `json:"event_id"`
	Payload   json.RawMessage `json:"payload"`
}

// BenchmarkEvent compares ways to read and check an event. The first two are given
// the body, the other two a request: from one run, their ratios tell.
func BenchmarkEvent(b *testing.B) {
	b.Run("generated", func(b *testing.B) {
		reader := strings.NewReader(typical)
		measure(b, len(typical), func() {
			reader.Reset(typical)
			var e api.Event
			if violations, err := binding.Body(reader, &e); err != nil || len(violations) > 0 {
				b.Fatal(violations, err)
			}
		})
	})
	// It checks nothing, and needn't even read: the body is in memory.
	b.Run("encoding-json", func(b *testing.B) {
		body := []byte(typical)
		measure(b, len(typical), func() {
			var e plain
			if err := json.Unmarshal(body, &e); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("generated-handler", func(b *testing.B) { measureHandler(b, generatedHandler(b)) })
	b.Run("kin-openapi", func(b *testing.B) { measureHandler(b, kinHandler(b)) })
}

func measure(b *testing.B, size int, do func()) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
}

// measureHandler sends the event to a handler. The request is made anew without
// allocating, so that only the handler's own work is measured.
func measureHandler(b *testing.B, handler http.Handler) {
	template, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/event", nil)
	if err != nil {
		b.Fatal(err)
	}
	template.Header.Set("Content-Type", "application/json")
	reader := strings.NewReader(typical)
	body, writer, request := io.NopCloser(reader), &discard{header: http.Header{}}, new(http.Request)
	measure(b, len(typical), func() {
		reader.Reset(typical)
		*request = *template
		request.Body, request.ContentLength = body, int64(len(typical))
		writer.status = 0
		handler.ServeHTTP(writer, request)
		if writer.status != http.StatusAccepted {
			b.Fatalf("status %d", writer.status)
		}
	})
}

// generatedHandler is the server's, with a handler that does nothing.
func generatedHandler(b *testing.B) http.Handler {
	fail := func(_ http.ResponseWriter, _ *http.Request, err error) { b.Fatal(err) }
	return api.HandlerWithOptions(api.NewStrictHandler(accept{}, api.StrictOptions{
		Body:         func(_ http.ResponseWriter, r *http.Request, _ string) (io.ReadCloser, error) { return r.Body, nil },
		RequestError: fail, ResponseError: fail,
	}), api.StdHTTPServerOptions{ErrorHandlerFunc: fail})
}

// accept answers what the contract's first answer is, but for its content.
type accept struct{ api.StrictServerInterface }

func (accept) SendEvent(context.Context, api.SendEventRequestObject) (api.SendEventResponseObject, error) {
	return accepted{}, nil
}

type accepted struct{}

func (accepted) VisitSendEventResponse(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// kinHandler does what kin-openapi's middleware does with a request, and decodes the
// body, for the middleware hands on nothing but bytes.
func kinHandler(b *testing.B) http.Handler {
	router, err := legacy.NewRouter(document())
	if err != nil {
		b.Fatal(err)
	}
	options := &openapi3filter.Options{MultiError: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, params, err := router.FindRoute(r)
		if err != nil {
			b.Fatal(err)
		}
		if err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}); err != nil {
			b.Fatal(err)
		}
		var e plain
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			b.Fatal(err)
		}
		w.WriteHeader(http.StatusAccepted)
	})
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// identified is the event with an id, as batches carry them.
var identified = strings.Replace(typical, `{`, `{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057",`, 1)

// BenchmarkBatch reads and checks 1,000 events in one body.
func BenchmarkBatch(b *testing.B) {
	for name, body := range map[string][]byte{"array": thousand(identified), "lines": thousandLines(identified)} {
		b.Run(name, func(b *testing.B) {
			reader := bytes.NewReader(body)
			measure(b, len(body), func() {
				reader.Reset(body)
				if err := readThousand(reader, body[0] != '['); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// readThousand reads a good body of 1,000 events.
func readThousand(body io.Reader, lines bool) error {
	batch, err := binding.ReadBatch[api.Event](body, binding.Frame{Lines: lines, MaxItems: 1000, MaxItemBytes: 1 << 17}, nil)
	if err != nil {
		return err
	}
	if len(batch.Items) != 1000 || len(batch.Faults) > 0 {
		return fmt.Errorf("%d events, %d faults", len(batch.Items), len(batch.Faults))
	}
	return nil
}

func thousandLines(event string) []byte { return []byte(strings.Repeat(event+"\n", 1000)) }

func thousand(event string) []byte {
	return []byte("[" + event + strings.Repeat(","+event, 999) + "]")
}

// allocations returns how many allocations do takes once everything is pooled. The
// pool drops things at random under the race detector, so that of many runs the
// best is the true one.
func allocations(do func()) int {
	best := testing.AllocsPerRun(1, do)
	for range 20 {
		best = min(best, testing.AllocsPerRun(1, do))
	}
	return int(best)
}

// TestEventAllocations guards what was reached; the contract's goal is 6. Whoever
// needs one more may say so here.
func TestEventAllocations(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		want int
	}{
		"event":      {typical, 3},    // the event itself, its type and its payload
		"with an id": {identified, 4}, // and the id
		"the least":  {`{"user_id":1,"event_type":"login","timestamp":1690000000}`, 2},
		"escaped":    {strings.Replace(typical, "purchase", `p\u0075rchase`, 1), 3},
	} {
		t.Run(name, func(t *testing.T) {
			reader := strings.NewReader(test.body)
			got := allocations(func() {
				reader.Reset(test.body)
				var e api.Event
				if _, err := binding.Body(reader, &e); err != nil {
					t.Fatal(err)
				}
			})
			if got > test.want {
				t.Errorf("%d allocations, want at most %d", got, test.want)
			}
			t.Logf("%d allocations", got)
		})
	}
}

// TestBatchAllocations guards what was reached per event of a batch; the goal is 3.
func TestBatchAllocations(t *testing.T) {
	for name, test := range map[string]struct {
		event string
		lines bool
		want  float64 // per event
	}{
		"event":             {typical, false, 1.1},    // the type; payloads share memory
		"with an id":        {identified, false, 2.1}, // and the id
		"a line":            {typical, true, 1.1},
		"a line with an id": {identified, true, 2.1},
	} {
		t.Run(name, func(t *testing.T) {
			body := thousand(test.event)
			if test.lines {
				body = thousandLines(test.event)
			}
			reader := bytes.NewReader(body)
			got := float64(allocations(func() {
				reader.Reset(body)
				if err := readThousand(reader, test.lines); err != nil {
					t.Fatal(err)
				}
			})) / 1000
			if got > test.want {
				t.Errorf("%.3f allocations per event, want at most %.1f", got, test.want)
			}
			t.Logf("%.3f allocations per event", got)
		})
	}
}
