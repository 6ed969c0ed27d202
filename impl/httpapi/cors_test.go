package httpapi_test

import (
	"bytes"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"highload.example/analytics/impl/contract"
	checked "highload.example/analytics/impl/testkit/contract"
)

// shown is what a page gets to see of an answer.
type shown struct {
	StatusCode int
	Header     http.Header
}

// asPage sends a request as a page does; header is name, value, name, value.
func asPage(t *testing.T, client *http.Client, method, url, body string, header ...string) shown {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return shown{response.StatusCode, response.Header}
}

const (
	shop  = "https://shop.example"
	login = `{"user_id":1,"event_type":"login","timestamp":1690000000}`
)

func TestPreflightsAreAnsweredFromTheContract(t *testing.T) {
	t.Parallel()
	url := serveFaulty(t, shop, "http://localhost:5173")
	client := checked.Client(t)
	for _, test := range []struct{ path, methods, headers string }{
		{"/event", "POST", "Content-Encoding, Content-Type, Idempotency-Key"},
		{"/events", "GET, HEAD, POST", "Content-Encoding, Content-Type, Idempotency-Key"},
		{"/events/export", "GET, HEAD", "Accept-Encoding"},
		{"/stats/a%2Fb", "GET, HEAD", ""},
		{"/query", "POST", "Content-Encoding, Content-Type"},
		{"/", "GET, HEAD", ""},
		{"/docs/swagger-ui.css", "GET, HEAD", ""},
	} {
		// The limit refuses this proxy's requests, which preflights must not mind: the page
		// would learn nothing but that it failed.
		r := asPage(t, client, http.MethodOptions, url+test.path, "", "Origin", shop, "Access-Control-Request-Method", "POST", "X-Forwarded-For", "192.0.2.1")
		h := r.Header
		if r.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != shop || h.Get("Access-Control-Allow-Methods") != test.methods ||
			h.Get("Access-Control-Allow-Headers") != test.headers || h.Get("Access-Control-Max-Age") != "7200" || h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: answered %d %v", test.path, r.StatusCode, h)
		}
	}
	for name, test := range map[string]struct {
		path   string
		header []string
		want   int
		allow  string // origin
	}{
		"an unknown path":        {"/nothing", []string{"Origin", shop, "Access-Control-Request-Method", "GET"}, http.StatusNotFound, shop},
		"a path that isn't ours": {"/stats/../event", []string{"Origin", shop, "Access-Control-Request-Method", "GET"}, http.StatusNotFound, shop},
		"another origin":         {"/event", []string{"Origin", "https://shop.example.evil", "Access-Control-Request-Method", "POST"}, http.StatusMethodNotAllowed, ""},
		"another scheme":         {"/event", []string{"Origin", "http://shop.example", "Access-Control-Request-Method", "POST"}, http.StatusMethodNotAllowed, ""},
		"a sandboxed page":       {"/event", []string{"Origin", "null", "Access-Control-Request-Method", "POST"}, http.StatusMethodNotAllowed, ""},
		"no origin":              {"/event", []string{"Access-Control-Request-Method", "POST"}, http.StatusMethodNotAllowed, ""},
		"a bare OPTIONS":         {"/event", []string{"Origin", shop}, http.StatusMethodNotAllowed, shop},
		"another, too often":     {"/event", []string{"Origin", "https://b", "Access-Control-Request-Method", "POST", "X-Forwarded-For", "192.0.2.1"}, http.StatusTooManyRequests, ""},
	} {
		r := asPage(t, client, http.MethodOptions, url+test.path, "", test.header...)
		if r.StatusCode != test.want || r.Header.Get("Access-Control-Allow-Origin") != test.allow || r.Header.Get("Vary") != "Origin" || r.Header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: answered %d %v", name, r.StatusCode, r.Header)
		}
	}
}

// TestPagesSeeEveryAnswer makes the edge answer in every way it can.
func TestPagesSeeEveryAnswer(t *testing.T) {
	t.Parallel()
	url := serveFaulty(t, shop)
	client := checked.Client(t)
	document, err := contract.Document()
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{"Allow": true}
	for _, item := range document.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, response := range operation.Responses.Map() {
				for name := range response.Value.Headers {
					documented[name] = true
				}
			}
		}
	}
	exposed := strings.Join(slices.Sorted(maps.Keys(documented)), ", ")
	if !regexp.MustCompile(`Event-Id.*RateLimit, .*Retry-After`).MatchString(exposed) {
		t.Fatalf("the contract documents %s", exposed)
	}
	for _, test := range []struct {
		method, path, body string
		header             []string
		want               int
	}{
		{"POST", "/event", login, nil, 202},
		{"POST", "/event", strings.Replace(login, "login", "busy", 1), nil, 503},
		{"POST", "/event", strings.Replace(login, "login", "panic", 1), nil, 500},
		{"POST", "/event", "{}", nil, 422},
		{"POST", "/event", "{", nil, 400},
		{"POST", "/event", login, []string{"Content-Type", "text/plain"}, 415},
		{"POST", "/event", strings.Repeat(" ", 200<<10), nil, 413},
		{"POST", "/event", login, []string{"X-Forwarded-For", "192.0.2.1"}, 429},
		{"DELETE", "/event", "", nil, 405},
		{"GET", "/nothing", "", nil, 404},
		{"GET", "/stats/login", "", nil, 200},
		{"GET", "/openapi.yaml", "", nil, 200},
		{"GET", "/events/export", "", nil, 200},
	} {
		r := asPage(t, client, test.method, url+test.path, test.body, append([]string{"Origin", shop}, test.header...)...)
		if r.StatusCode != test.want || r.Header.Get("Access-Control-Allow-Origin") != shop || r.Header.Get("Access-Control-Expose-Headers") != exposed || r.Header["Vary"][0] != "Origin" {
			t.Errorf("%s %s: answered %d %v", test.method, test.path, r.StatusCode, r.Header)
		}
	}
	// What differs by something else says so, too.
	for path, vary := range map[string]string{"/docs/swagger-ui.css": "Accept-Encoding", "/": "Accept", "/events/export": "Accept-Encoding"} {
		if r := asPage(t, client, http.MethodGet, url+path, "", "Origin", shop); !slices.Equal(r.Header["Vary"], []string{"Origin", vary}) {
			t.Errorf("%s: varies by %q", path, r.Header["Vary"])
		}
	}
	// Others are served, and a page among them sees nothing of it.
	for _, origin := range []string{"", "https://elsewhere.example", "null"} {
		r := asPage(t, client, http.MethodPost, url+"/event", login, "Origin", origin)
		if r.StatusCode != http.StatusAccepted || r.Header.Get("Access-Control-Allow-Origin") != "" || r.Header.Get("Access-Control-Expose-Headers") != "" || r.Header.Get("Vary") != "Origin" {
			t.Errorf("the origin %q: answered %d %v", origin, r.StatusCode, r.Header)
		}
	}
}

func TestEveryPageMayIfTheOperatorSaysSo(t *testing.T) {
	t.Parallel()
	url := serveFaulty(t, "*")
	client := checked.Client(t)
	for _, origin := range []string{shop, "null", "capacitor://localhost"} {
		r := asPage(t, client, http.MethodOptions, url+"/events", "", "Origin", origin, "Access-Control-Request-Method", "POST")
		if r.StatusCode != http.StatusNoContent || r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Vary") != "" {
			t.Errorf("the preflight of %s: answered %d %v", origin, r.StatusCode, r.Header)
		}
		r = asPage(t, client, http.MethodPost, url+"/event", login, "Origin", origin)
		if r.StatusCode != http.StatusAccepted || r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Vary") != "" {
			t.Errorf("%s: answered %d %v", origin, r.StatusCode, r.Header)
		}
	}
}

func TestWithoutTheSettingNothingIsSaidOfOrigins(t *testing.T) {
	t.Parallel()
	url := serveFaulty(t)
	client := checked.Client(t)
	for _, r := range []shown{
		asPage(t, client, http.MethodPost, url+"/event", login, "Origin", shop),
		asPage(t, client, http.MethodOptions, url+"/event", "", "Origin", shop, "Access-Control-Request-Method", "POST"),
	} {
		var header bytes.Buffer
		if err := r.Header.Write(&header); err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != http.StatusAccepted && r.StatusCode != http.StatusMethodNotAllowed || regexp.MustCompile(`(?i)access-control|origin`).Match(header.Bytes()) {
			t.Errorf("answered %d %s", r.StatusCode, &header)
		}
	}
}
