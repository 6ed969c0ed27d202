package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestResponsesAreValidatedOnRequest(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	problems, err := newProblems(logger)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		status      int
		contentType string
		body        string
		want        int
	}{
		"documented":             {http.StatusOK, "application/json", `{"event_type":"a","count":1}`, http.StatusOK},
		"undocumented status":    {http.StatusTeapot, "application/json", `{}`, http.StatusInternalServerError},
		"undocumented type":      {http.StatusOK, "text/plain", `{"event_type":"a","count":1}`, http.StatusInternalServerError},
		"a member too few":       {http.StatusOK, "application/json", `{"event_type":"a"}`, http.StatusInternalServerError},
		"a member too many":      {http.StatusOK, "application/json", `{"event_type":"a","count":1,"x":2}`, http.StatusInternalServerError},
		"a value out of bounds":  {http.StatusOK, "application/json", `{"event_type":"a","count":-1}`, http.StatusInternalServerError},
		"a required header away": {http.StatusServiceUnavailable, "application/problem+json", `{"type":"/problems/unavailable","title":"x","status":503,"code":"unavailable"}`, http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &responseValidator{problems: problems, logger: logger, next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.contentType)
				w.Header().Set("Query-Plan", "totals")
				w.WriteHeader(test.status)
				if _, err := w.Write([]byte(test.body)); err != nil {
					t.Error(err)
				}
			})}
			w := httptest.NewRecorder()
			v.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/stats/a", nil))
			if w.Code != test.want {
				t.Errorf("answered %d, want %d: %s", w.Code, test.want, w.Body)
			}
			if test.want == http.StatusOK && w.Body.String() != test.body {
				t.Errorf("the answer was changed to %s", w.Body)
			}
			if test.want != http.StatusOK && (!json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), `"internal"`)) {
				t.Errorf("not a problem: %s", w.Body)
			}
		})
	}
}
