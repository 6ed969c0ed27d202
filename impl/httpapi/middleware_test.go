package httpapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"highload.example/analytics/impl/observe"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

type countedRequests struct {
	started, done atomic.Int64
	refused       atomic.Int64
	lastStatus    atomic.Int64
}

func (c *countedRequests) RequestStarted() { c.started.Add(1) }
func (c *countedRequests) RequestDone(_, _ string, status int, _ time.Duration) {
	c.done.Add(1)
	c.lastStatus.Store(int64(status))
}

func (c *countedRequests) RequestRefused(string)                   { c.refused.Add(1) }
func (c *countedRequests) InFlight(func() (requests, bytes int64)) {}

type phase observe.Phase

func (p phase) Phase() observe.Phase   { return observe.Phase(p) }
func (p phase) Report() observe.Report { return observe.Report{} }

// serveOutermost serves a handler behind the outermost middleware.
func serveOutermost(t *testing.T, p observe.Phase, handler http.HandlerFunc) (url string, counted *countedRequests) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	problems, err := newProblems(logger)
	if err != nil {
		t.Fatal(err)
	}
	counted = &countedRequests{}
	server := httptest.NewServer(&outermost{next: handler, problems: problems, metrics: counted, health: phase(p), logger: logger})
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(server.Close)
	return server.URL, counted
}

func get(t *testing.T, url string) (status int, body string, err error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

func TestPanicsAreAnsweredAndHarmNobodyElse(t *testing.T) {
	t.Parallel()
	url, counted := serveOutermost(t, observe.Serving, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			panic("on purpose")
		case "/late":
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, strings.Repeat("half ", 2000))
			panic("on purpose")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
	})
	status, body, err := get(t, url+"/panic")
	if err != nil || status != http.StatusInternalServerError || !strings.Contains(body, `"code":"internal"`) || strings.Contains(body, "on purpose") {
		t.Errorf("a panic: %d %v %s", status, err, body)
	}
	for _, path := range []string{"/late", "/abort"} {
		if _, body, err := get(t, url+path); err == nil {
			t.Errorf("%s was answered as if it were whole, with %d bytes", path, len(body))
		}
	}
	if status, _, err := get(t, url+"/"); err != nil || status != http.StatusOK {
		t.Errorf("afterwards: %d %v", status, err)
	}
	if s, d := counted.started.Load(), counted.done.Load(); s != 4 || d != 4 {
		t.Errorf("%d requests started, %d done", s, d)
	}
}

func TestAnswersCloseConnectionsWhileStopping(t *testing.T) {
	t.Parallel()
	for p, want := range map[observe.Phase]bool{observe.Serving: false, observe.Stopping: true} {
		url, _ := serveOutermost(t, p, func(http.ResponseWriter, *http.Request) {})
		client := &http.Client{Transport: &http.Transport{}}
		response, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		client.CloseIdleConnections()
		if response.Close != want {
			t.Errorf("phase %d: close %t", p, response.Close)
		}
	}
}

func TestGzipReadersAreReusedAfterErrors(t *testing.T) {
	t.Parallel()
	var good bytes.Buffer
	w := gzip.NewWriter(&good)
	_, _ = io.WriteString(w, "fine")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	bodies := map[string]string{"garbage": "garbage, not gzip", "truncated": good.String()[:12], "empty": "", "two": good.String() + good.String()}
	for range 20 {
		for name, body := range bodies {
			_, err := readGzip(t, body)
			var encoding *encodingError
			if !errors.As(err, &encoding) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if text, err := readGzip(t, good.String()); err != nil || text != "fine" {
			t.Fatalf("a good body after bad ones: %q, %v", text, err)
		}
	}
}

func readGzip(t *testing.T, body string) (string, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/event", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	reader, err := (&bodies{}).openBody(httptest.NewRecorder(), r, "application/json")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	text, err := io.ReadAll(reader)
	return string(text), err
}

func TestETagsAreComparedWeakly(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		`"a"`: true, `W/"a"`: true, `"b", "a"`: true, `"b",W/"a"`: true, `*`: true,
		``: false, `"b"`: false, `a`: false, `"A"`: false,
	} {
		if got := matchesETag(header, `"a"`); got != want {
			t.Errorf("%s: %t", header, got)
		}
	}
}
