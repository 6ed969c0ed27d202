package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"highload.example/analytics/impl/testkit"
)

// receipt is the answer to a batch.
type receipt struct {
	Received, Duplicate, Rejected, Retry int
	Results                              []struct {
		Index   int
		EventID string `json:"event_id"`
		Status  string
		Errors  []struct{ Pointer, Code, Detail string }
	}
}

func receiptOf(t *testing.T, a answer) receipt {
	t.Helper()
	var r receipt
	if err := json.Unmarshal([]byte(a.body), &r); err != nil || a.status != http.StatusAccepted {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	return r
}

// numbers returns the counts, and each result as "index status pointer:code".
func (r receipt) numbers() string {
	text := fmt.Sprintf("%d %d %d %d", r.Received, r.Duplicate, r.Rejected, r.Retry)
	for _, result := range r.Results {
		text += fmt.Sprintf("; %d %s", result.Index, result.Status)
		for _, e := range result.Errors {
			text += " " + e.Pointer + ":" + e.Code
		}
	}
	return text
}

// batchOf returns the events with the numbers from, from+1, ...
func batchOf(eventType string, from, n int) []string {
	events := make([]string, n)
	for i := range events {
		events[i] = numbered(eventType, from+i)
	}
	return events
}

func array(events ...string) string { return "[" + strings.Join(events, ",") + "]" }

func TestBatchesOverASocket(t *testing.T) {
	t.Parallel()
	const bad = `{"user_id":0,"event_type":"batch","timestamp":1690000000}`
	milliseconds := strings.Replace(numbered("batch", 7), "1690000000", "1690000000000", 1)
	onEach(t, func(t *testing.T, s *server) {
		lines := []string{"Content-Type", "application/x-ndjson"}
		for _, step := range []struct {
			name, path, body string
			header           []string
			want             string
		}{
			{"an array", "/events", array(batchOf("batch", 0, 3)...), nil, "3 0 0 0"},
			{"the same again", "/events", array(batchOf("batch", 0, 3)...), nil, "0 3 0 0; 0 duplicate; 1 duplicate; 2 duplicate"},
			{"an envelope", "/events", `{"events":` + array(batchOf("batch", 2, 2)...) + `}`, nil, "1 1 0 0; 0 duplicate"},
			{"lines", "/events", strings.Join(batchOf("batch", 4, 2), "\n") + "\n\n", lines, "2 0 0 0"},
			{"gzip", "/events", zip(t, array(batchOf("batch", 6, 1)...)), []string{"Content-Encoding", "gzip"}, "1 0 0 0"},
			{"lines in gzip", "/events", zip(t, numbered("batch", 7)), append([]string{"Content-Encoding", "gzip"}, lines...), "1 0 0 0"},
			{"the same twice", "/events", array(numbered("batch", 8), numbered("batch", 8)), nil, "1 1 0 0; 1 duplicate"},
			{"bad among good", "/events", array(numbered("batch", 9), bad, numbered("batch", 10), milliseconds), nil, "2 0 2 0; 1 rejected /user_id:minimum; 3 rejected /timestamp:timestamp_in_milliseconds"},
			{"a line that isn't JSON", "/events", "nonsense\n" + numbered("batch", 11), lines, "1 0 1 0; 0 rejected :invalid_json"},
			{"verbose", "/events?verbose=true", array(numbered("batch", 12), bad, numbered("batch", 9)), nil, "1 1 1 0; 0 received; 1 rejected /user_id:minimum; 2 duplicate"},
			{"atomic", "/events?atomic=true", array(numbered("batch", 13), numbered("batch", 9)), nil, "1 1 0 0; 1 duplicate"},
		} {
			if got := receiptOf(t, s.do(http.MethodPost, step.path, step.body, step.header...)).numbers(); got != step.want {
				t.Errorf("%s: %s, want %s", step.name, got, step.want)
			}
		}
		if got := s.count("batch"); got != counted("batch", 14) {
			t.Errorf("counted %s", got)
		}

		// The ids that the server makes are told on request, and are ids.
		const anonymous = `{"user_id":1,"event_type":"anonymous","timestamp":1690000000}`
		made := receiptOf(t, s.do(http.MethodPost, "/events?verbose=true", array(anonymous, anonymous)))
		if made.Received != 2 || made.Results[0].EventID == made.Results[1].EventID {
			t.Errorf("made the ids %+v", made.Results)
		}
		// With a key they follow from it, and the request can be repeated.
		key := []string{"Idempotency-Key", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"}
		for _, want := range []string{"2 0 0 0", "0 2 0 0; 0 duplicate; 1 duplicate"} {
			if got := receiptOf(t, s.do(http.MethodPost, "/events", array(anonymous, anonymous), key...)).numbers(); got != want {
				t.Errorf("with a key: %s, want %s", got, want)
			}
		}

		again := strings.Replace(anonymous, "}", `,"event_id":"`+made.Results[1].EventID+`"}`, 1)
		if a := s.send(again); a.header.Get("Event-Status") != "duplicate" {
			t.Errorf("an id that the server made: %d %s", a.status, a.body)
		}
	}, "RATE_LIMIT=0", "VALIDATE_RESPONSES=true")
}

func TestBatchesThatAreRefused(t *testing.T) {
	t.Parallel()
	const bad = `{"user_id":0,"event_type":"refused","timestamp":"x"}`
	many := array(batchOf("refused", 0, 51)...)
	large := `[{"user_id":1,"event_type":"refused","timestamp":1690000000,"payload":{"a":"` + strings.Repeat("x", 100_000) + `"}}]`
	onEach(t, func(t *testing.T, s *server) {
		lines := []string{"Content-Type", "application/x-ndjson"}
		for _, step := range []struct {
			name, path, body string
			header           []string
			status           int
			want             string // codes, or the problem's
		}{
			{"all bad", "/events", array(bad, bad), nil, 422, "[/0/timestamp type /0/user_id minimum /1/timestamp type /1/user_id minimum]"},
			{"all bad, enveloped", "/events", `{"events":` + array(bad) + `}`, nil, 422, "[/events/0/timestamp type /events/0/user_id minimum]"},
			{"all bad lines", "/events", "{", lines, 422, "[/0 invalid_json]"},
			{"one bad, atomic", "/events?atomic=true", array(numbered("refused", 0), bad), nil, 422, "[/1/timestamp type /1/user_id minimum]"},
			{"empty", "/events", "[]", nil, 422, "[ min_items]"},
			{"no body", "/events", " ", nil, 422, "[ required]"},
			{"not JSON", "/events", "[{", nil, 400, "invalid_json"},
			{"an event", "/events", numbered("refused", 0), nil, 422, "[/event_id unknown_field /event_type unknown_field /events required /timestamp unknown_field /user_id unknown_field]"},
			{"too many", "/events", many, nil, 413, "content_too_large"},
			{"too many lines", "/events", strings.Join(batchOf("refused", 0, 51), "\n"), lines, 413, "content_too_large"},
			{"too large", "/events", large, nil, 413, "content_too_large"},
			{"too large when unpacked", "/events", zip(t, large), []string{"Content-Encoding", "gzip"}, 413, "content_too_large"},
			{"a cut stream", "/events", zip(t, numbered("refused", 0)+"\n")[:30], append([]string{"Content-Encoding", "gzip"}, lines...), 400, "invalid_encoding"},
			{"another media type", "/events", "a,b", []string{"Content-Type", "text/csv"}, 415, "unsupported_media_type"},
			{"no boolean", "/events?atomic=1", many, nil, 422, "[#query/atomic type]"},
			{"misspelled", "/events?atomc=true", array(numbered("refused", 0)), nil, 422, "[#query/atomc unknown_field]"},
		} {
			a := s.do(http.MethodPost, step.path, step.body, step.header...)
			p := problemOf(t, a)
			got := p.Code
			if len(p.Errors) > 0 {
				got = fmt.Sprint(p.codes())
			}
			if a.status != step.status || got != step.want {
				t.Errorf("%s: %d %s, want %d %s", step.name, a.status, got, step.status, step.want)
			}
		}
		if got := s.count("refused"); got != counted("refused", 0) {
			t.Errorf("refused batches left %s", got)
		}
		limits := s.do(http.MethodGet, "/limits", "")
		const want = `{"max_event_bytes":131072,"max_payload_bytes":65536,"max_batch_events":50,"max_batch_bytes":65536,"max_future_skew_seconds":3600,"requests_per_minute":0}`
		if limits.body != want {
			t.Errorf("the limits are %s", limits.body)
		}
	}, "RATE_LIMIT=0", "VALIDATE_RESPONSES=true", "MAX_BATCH_EVENTS=50", "MAX_BATCH_BYTES=64KiB")
}

// TestAnOutageOfTheDatabaseAsksForABatchAgain: nothing stored is a 503, and the
// repeat is stored once.
func TestAnOutageOfTheDatabaseAsksForABatchAgain(t *testing.T) {
	t.Parallel()
	database := testkit.StartPostgres(t)
	s := start(t, "PG_URL="+database.URL(), "RATE_LIMIT=0", "REQUEST_TIMEOUT=500ms", "LOG_LEVEL=ERROR")
	batch := array(batchOf("outage", 0, 3000)...)
	database.Kill()
	a := s.do(http.MethodPost, "/events", batch)
	if p := problemOf(t, a); a.status != http.StatusServiceUnavailable || p.Code != "unavailable" || a.header.Get("Retry-After") == "" {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	database.Start()
	testkit.Eventually(t, patience, "the database to be used again", func() bool {
		return s.do(http.MethodGet, "/readyz", "").status == http.StatusOK && s.send(numbered("outage", 0)).status == http.StatusAccepted
	})
	s.stop()
	s = start(t, "PG_URL="+database.URL(), "RATE_LIMIT=0") // with time for all of them
	if got := receiptOf(t, s.do(http.MethodPost, "/events", batch)); got.Received+got.Duplicate != 3000 {
		t.Errorf("sent again: %d received, %d duplicates", got.Received, got.Duplicate)
	}
	if got := s.count("outage"); got != counted("outage", 3000) {
		t.Errorf("counted %s", got)
	}
}

// TestBatchesFromEverywhereAreStoredOnce: overlapping batches and singles at the
// same time to two replicas, in opposite orders.
func TestBatchesFromEverywhereAreStoredOnce(t *testing.T) {
	t.Parallel()
	env := []string{"PG_URL=" + testkit.Postgres(t), "REDIS_URL=" + testkit.Redis(t), "RATE_LIMIT=0"}
	replicas := []*server{start(t, env...), start(t, env...)}
	const events, senders = 600, 6
	var (
		sending sync.WaitGroup
		mu      sync.Mutex
		sum     receipt
	)
	for sender := range senders {
		sending.Go(func() {
			batch := batchOf("everywhere", 0, events)
			if sender%2 == 1 {
				for i, j := 0, len(batch)-1; i < j; i, j = i+1, j-1 {
					batch[i], batch[j] = batch[j], batch[i]
				}
			}
			for from := 0; from < events; from += 200 {
				got := receiptOf(t, replicas[sender%2].do(http.MethodPost, "/events", array(batch[from:from+200]...)))
				mu.Lock()
				sum.Received += got.Received
				sum.Duplicate += got.Duplicate
				mu.Unlock()
			}
		})
	}
	sending.Wait()
	if sum.Received != events || sum.Duplicate != events*(senders-1) {
		t.Errorf("%d received, %d duplicates", sum.Received, sum.Duplicate)
	}
	for _, s := range replicas {
		if got := s.count("everywhere"); got != counted("everywhere", events) {
			t.Errorf("counted %s", got)
		}
	}
}
