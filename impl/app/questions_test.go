package app_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/impl/testkit"
)

// sendMany stores n events, a second apart, and returns them as lines.
func sendMany(s *server, n int) []string {
	s.t.Helper()
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"user_id":%d,"event_type":"kind%d","timestamp":%d,"event_id":"00000000-0000-7000-8000-%012x","payload":{"n":%d,"text":"%s"}}`,
			1+i%7, i%3, 1700000000+i, i+1, i, strings.Repeat("x", i%90))
	}
	for begin := 0; begin < n; begin += 5000 {
		batch := lines[begin:min(begin+5000, n)]
		a := s.do(http.MethodPost, "/events", strings.Join(batch, "\n"), "Content-Type", "application/x-ndjson")
		if a.status != http.StatusAccepted || !strings.Contains(a.body, fmt.Sprintf(`{"received":%d,`, len(batch))) {
			s.t.Fatalf("%d %s", a.status, a.body)
		}
	}
	return lines
}

func TestExport(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *server) {
		const n = 23_000 // several pages and several chunks
		lines := sendMany(s, n)

		t.Run("is everything, in order", func(t *testing.T) {
			a := s.do(http.MethodGet, "/events/export", "")
			got := strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
			if a.status != http.StatusOK || len(got) != n {
				t.Fatalf("%d, %d lines", a.status, len(got))
			}
			for i := range got {
				if !sameAnswer(t, answer{header: http.Header{"Content-Type": {"application/json"}}, body: got[i]}, lines[i]) {
					t.Fatalf("line %d is %s, want %s", i, got[i], lines[i])
				}
			}
			again := s.do(http.MethodPost, "/events", strings.Join(got[:5000], "\n"), "Content-Type", "application/x-ndjson")
			if again.status != http.StatusAccepted || !strings.HasPrefix(again.body, `{"received":0,"duplicate":5000,`) {
				t.Errorf("sent again: %d %.200s", again.status, again.body)
			}
		})

		t.Run("goes on after a cut, compressed", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/events/export", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Accept-Encoding", "gzip")
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			if coding := response.Header.Get("Content-Encoding"); coding != "gzip" {
				t.Fatalf("the coding is %q", coding)
			}
			unzipped, err := gzip.NewReader(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			part := make([]byte, 300_000)
			if _, err := io.ReadFull(unzipped, part); err != nil {
				t.Fatal(err)
			}
			cancel()
			response.Body.Close()
			whole := strings.Count(string(part), "\n")
			cursor := fmt.Sprintf("%d_00000000-0000-7000-8000-%012x_%d", 1700000000+whole-1, whole, 1+(whole-1)%7)
			rest := s.do(http.MethodGet, "/events/export?cursor="+cursor, "")
			if got := strings.Count(rest.body, "\n"); got != n-whole {
				t.Errorf("%d lines, then %d; want %d in all", whole, got, n)
			}
			if !strings.Contains(rest.body[:200], fmt.Sprintf(`"n": %d,`, whole)) && !strings.Contains(rest.body[:200], fmt.Sprintf(`"n":%d,`, whole)) {
				t.Errorf("the rest begins with %.200s", rest.body)
			}
		})

		t.Run("of some", func(t *testing.T) {
			a := s.do(http.MethodGet, "/events/export?event_type=kind1&user_id=3&from=1700000100&to=1700001000", "")
			want := 0
			for i := 100; i < 1000; i++ {
				if i%3 == 1 && i%7 == 2 {
					want++
				}
			}
			if got := strings.Count(a.body, "\n"); got != want {
				t.Errorf("%d lines, want %d", got, want)
			}
		})

		t.Run("HEAD reads nothing", func(t *testing.T) {
			a := s.do(http.MethodHead, "/events/export", "")
			if a.status != http.StatusOK || a.body != "" || a.header.Get("Content-Disposition") == "" {
				t.Errorf("%d %v %q", a.status, a.header, a.body)
			}
			a = s.do(http.MethodDelete, "/events/export", "")
			if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("DELETE: %d, Allow %q", a.status, a.header.Get("Allow"))
			}
		})
	}, "RATE_LIMIT=0")
}

// TestTooExpensive: what would read too much is refused at once, and what needs no events
// is answered all the same.
func TestTooExpensive(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *server) {
		sendMany(s, 200)
		const question = `{"metric":"unique_users","from":1700000000,"to":1700000200,"group_by":["payload.n"]}`
		a := s.do(http.MethodPost, "/query", question)
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `"code":"query_too_expensive"`) || !strings.Contains(a.body, "would read 200 events, of at most 100") {
			t.Errorf("%d %s", a.status, a.body)
		}
		for _, path := range []string{"/query/funnel", "/query/retention"} {
			body := map[string]string{
				"/query/funnel":    `{"steps":[{"event_type":"kind0"},{"event_type":"kind1"},{"event_type":"kind2"}],"window":10,"from":1700000000,"to":1700000200}`,
				"/query/retention": `{"first":{"event_type":"kind0"},"returning":{"event_type":"kind1"},"interval":"day","from":1700000000,"to":1700000200}`,
			}[path]
			if a := s.do(http.MethodPost, path, body); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "query_too_expensive") {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
		a = s.do(http.MethodPost, "/query", `{"metric":"count","from":1700000000,"to":1700000200,"group_by":["event_type"]}`)
		if a.status != http.StatusOK {
			t.Errorf("of counts: %d %s", a.status, a.body)
		}
		metrics := s.do(http.MethodGet, "/metrics", "").body
		for _, series := range []string{
			`analytics_questions_total{operation="query",plan="rows",result="too_expensive"} 1`,
			`analytics_questions_total{operation="query",plan="counts+rows",result="ok"} 1`,
		} {
			if !strings.Contains(metrics, series) {
				t.Errorf("the metrics don't have %s", series)
			}
		}
	}, "RATE_LIMIT=0", "QUERY_MAX_EVENTS=100")
}

// TestQuestionsDontHoldUpEvents: while every place of those who read events is taken by
// questions that wait for a lock, events are stored and counts answered, and more questions
// are refused in time.
func TestQuestionsDontHoldUpEvents(t *testing.T) {
	t.Parallel()
	env := []string{"PG_URL=" + testkit.Postgres(t), "REDIS_URL=" + testkit.Redis(t), "RATE_LIMIT=0", "QUERY_CONCURRENCY=2"}
	// Others wait half a second for a place.
	s := start(t, append(env, "REQUEST_TIMEOUT=1s")...)
	hurried := start(t, append(env, "QUERY_TIMEOUT=100ms")...)
	sendMany(hurried, 10)
	conn, err := pgx.Connect(t.Context(), strings.TrimPrefix(env[0], "PG_URL="))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	// A table that reading in windows needs, and storing doesn't lock out.
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE event_days IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	ask := func() <-chan answer {
		done := make(chan answer, 1)
		go func() {
			a, err := s.try(context.WithoutCancel(t.Context()), http.MethodGet, "/events", "")
			if err != nil {
				t.Error(err)
			}
			done <- a
		}()
		return done
	}
	held := []<-chan answer{ask(), ask()}
	testkit.Eventually(t, patience, "both places to be taken", func() bool {
		var waiting int
		err := tx.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE relation = 'event_days'::regclass AND NOT granted`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		return waiting == len(held)
	})
	refused := []<-chan answer{ask(), ask()}
	for i := range 20 {
		// A busy machine may need more than a second.
		testkit.Eventually(t, patience, "an event to be stored", func() bool {
			return s.send(numbered("kind0", i)).status == http.StatusAccepted
		})
	}
	if a := s.do(http.MethodGet, "/stats/kind0", ""); a.status != http.StatusOK || !strings.Contains(a.body, `"count":24`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, done := range refused {
		if a := <-done; a.status != http.StatusServiceUnavailable {
			t.Errorf("without a place: %d %s", a.status, a.body)
		}
	}
	// Where questions have little time, one that waits for the lock is too expensive.
	if a := hurried.do(http.MethodGet, "/events", ""); a.status != http.StatusUnprocessableEntity {
		t.Errorf("in 100 ms: %d %s", a.status, a.body)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, done := range held {
		if a := <-done; a.status != http.StatusOK {
			t.Errorf("when the lock is gone: %d %s", a.status, a.body)
		}
	}
	if a := s.do(http.MethodGet, "/events?limit=1", ""); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}
