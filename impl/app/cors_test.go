package app_test

import (
	"net/http"
	"testing"
)

// TestPagesOfListedOriginsAreServed uses the service as a page does that is over its rate
// limit: it may ask what it may send, and reads that it is over, and until when.
func TestPagesOfListedOriginsAreServed(t *testing.T) {
	t.Parallel()
	const origin = "https://shop.example"
	onEach(t, func(t *testing.T, s *server) {
		preflight := func() answer {
			return s.do(http.MethodOptions, "/event", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
		}
		var last answer
		for n := range 4 {
			if a := preflight(); a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Methods") != "POST" {
				t.Fatalf("the preflight %d was answered %d %v %s", n, a.status, a.header, a.body)
			}
			last = s.send(login, "Origin", origin)
			if last.header.Get("Access-Control-Allow-Origin") != origin || last.header.Get("Access-Control-Expose-Headers") == "" {
				t.Errorf("the request %d was answered %d %v", n, last.status, last.header)
			}
		}
		if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" {
			t.Errorf("a page over the limit was answered %d %v", last.status, last.header)
		}
		if a := preflight(); a.status != http.StatusNoContent {
			t.Errorf("the preflight of a page over the limit was answered %d", a.status)
		}
		if a := s.do(http.MethodGet, "/healthz", "", "Origin", "https://elsewhere.example"); a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Vary") != "Origin" {
			t.Errorf("a page of another origin was answered %v", a.header)
		}
	}, "RATE_LIMIT=2", "VALIDATE_RESPONSES=true", "CORS_ORIGINS="+origin)
}
