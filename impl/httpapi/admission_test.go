package httpapi

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"highload.example/analytics/impl/event"
)

// arrive makes a request of a recorder's admission and returns its recorder.
func arrive(a *admission) *recorder {
	return &recorder{ResponseWriter: httptest.NewRecorder(), ticket: ticket{admission: a}}
}

func openString(t *testing.T, w http.ResponseWriter, body io.Reader) io.ReadCloser {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/events", body)
	r.Header.Set("Content-Type", "application/json")
	reader, _, err := (&bodies{maxBatchEvents: 1, maxBatchBytes: 8 << 20}).openBatch(w, r)
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

func TestASlowSenderHoldsNoPlace(t *testing.T) {
	t.Parallel()
	counted := &countedRequests{}
	a := &admission{maxRequests: 1, maxBytes: 1 << 20, metrics: counted}
	source, sender := io.Pipe()
	slow := arrive(a)
	body := openString(t, slow, source)
	go func() { _, _ = io.WriteString(sender, "half") }()
	if _, err := io.ReadFull(body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if a.requests.Load() != 0 || a.bytes.Load() != 4 {
		t.Errorf("while it is sent: %d places, %d bytes", a.requests.Load(), a.bytes.Load())
	}

	// Somebody else is let in and holds the only place.
	other := arrive(a)
	if _, err := io.ReadAll(openString(t, other, strings.NewReader("whole"))); err != nil {
		t.Fatal(err)
	}
	if a.requests.Load() != 1 || a.bytes.Load() != 9 {
		t.Errorf("with the other: %d places, %d bytes", a.requests.Load(), a.bytes.Load())
	}

	// Once the slow body is there, there is no place for it.
	_ = sender.Close()
	if _, err := io.ReadAll(body); !errors.Is(err, event.ErrBusy) {
		t.Errorf("the slow one got %v", err)
	}
	other.ticket.release()
	other.ticket.release() // harmless
	slow.ticket.release()
	if a.requests.Load() != 0 || a.bytes.Load() != 0 || counted.refused.Load() != 1 {
		t.Errorf("afterwards: %d places, %d bytes, %d refused", a.requests.Load(), a.bytes.Load(), counted.refused.Load())
	}
}

func TestMemoryForBodiesIsBounded(t *testing.T) {
	t.Parallel()
	const megabyte = 1 << 20
	a := &admission{maxRequests: 100, maxBytes: 4 * megabyte, metrics: &countedRequests{}}
	read := func(size int) (*recorder, error) {
		w := arrive(a)
		_, err := io.ReadAll(openString(t, w, strings.NewReader(strings.Repeat(" ", size))))
		return w, err
	}
	first, err := read(2 * megabyte)
	if err != nil {
		t.Fatal(err)
	}
	second, err := read(2 * megabyte)
	if !errors.Is(err, event.ErrBusy) {
		t.Errorf("a large body beyond three quarters got %v", err)
	}
	if held := a.bytes.Load(); held > 4*megabyte {
		t.Errorf("%d bytes are held", held)
	}
	if _, err := read(100_000); err != nil {
		t.Errorf("a small body got %v", err)
	}
	first.ticket.release()
	second.ticket.release()
	if _, err := read(2 * megabyte); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

func TestQuestionsNeedAPlaceAndProbesDont(t *testing.T) {
	t.Parallel()
	a := &admission{maxRequests: 1, maxBytes: 1, metrics: &countedRequests{}}
	if err := arrive(a).ticket.admit(); err != nil {
		t.Fatal(err)
	}
	problems, err := newProblems(nil)
	if err != nil {
		t.Fatal(err)
	}
	handler := &admitted{problems: problems, next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })}
	for path, want := range map[string]int{"/stats/a": http.StatusServiceUnavailable, "/healthz": http.StatusOK, "/metrics": http.StatusOK} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(&recorder{ResponseWriter: w, ticket: ticket{admission: a}}, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}
