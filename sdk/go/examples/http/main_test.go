package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	analytics "highload.example/analytics/sdk/go"
)

func TestRequestsAreRecorded(t *testing.T) {
	t.Parallel()
	// Whether the analytics server is there makes no difference to the application: here it isn't.
	var got []string
	client, err := analytics.New(analytics.Options{URL: "http://127.0.0.1:1", OnOutcome: func(o analytics.Outcome) {
		var r request
		if err := json.Unmarshal(o.Event.Payload, &r); err != nil || o.Event.UserID != 42 || o.Event.Type != "http.request" {
			t.Errorf("%+v: %v", o.Event, err)
		}
		got = append(got, r.Handler+" "+http.StatusText(r.Status))
	}})
	if err != nil {
		t.Fatal(err)
	}
	application := record(client, routes())
	for _, target := range []string{"GET /books/7", "GET /books/x", "POST /orders", "GET /nowhere"} {
		method, path, _ := strings.Cut(target, " ")
		r := httptest.NewRequest(method, path, http.NoBody)
		r.Header.Set("X-User", "42")
		application.ServeHTTP(httptest.NewRecorder(), r)
	}
	application.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/books/7", http.NoBody)) // nobody's
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Close(ctx); err == nil {
		t.Error("everything was delivered to nobody")
	}
	want := []string{"GET /books/{id} OK", "GET /books/{id} Not Found", "POST /orders Created"}
	if !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}
