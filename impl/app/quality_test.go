package app_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/impl/testkit"
)

// deployments are the two that exist. Everything that a client can see is the
// same on both.
var deployments = map[string]func(t *testing.T) []string{
	"embedded": func(t *testing.T) []string { return []string{"DATA_DIR=" + t.TempDir()} },
	"replica": func(t *testing.T) []string {
		return []string{"PG_URL=" + testkit.Postgres(t), "REDIS_URL=" + testkit.Redis(t)}
	},
}

// onEach runs a test against a server of each deployment.
func onEach(t *testing.T, test func(t *testing.T, s *server), env ...string) {
	t.Helper()
	for name, deployment := range deployments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t, append(deployment(t), env...)...))
		})
	}
}

func zip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// problem is a problem response.
type problem struct {
	Type, Title, Code, Detail string
	Status                    int
	Errors                    []struct{ Pointer, Code, Detail string }
}

// codes returns the violations as "pointer code".
func (p problem) codes() []string {
	var codes []string
	for _, e := range p.Errors {
		codes = append(codes, e.Pointer+" "+e.Code)
	}
	slices.Sort(codes)
	return codes
}

func problemOf(t *testing.T, a answer) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	if p.Status != a.status || a.header.Get("Content-Type") != "application/problem+json" || p.Type != "/problems/"+p.Code || p.Title == "" {
		t.Errorf("not a problem in order: %d %s %s", a.status, a.header.Get("Content-Type"), a.body)
	}
	return p
}

func TestBadInputOverASocket(t *testing.T) {
	t.Parallel()
	with := func(old, new string) string {
		if !strings.Contains(login, old) {
			t.Fatalf("%q is not in the event", old)
		}
		return strings.Replace(login, old, new, 1)
	}
	payload := func(json string) string { return with(`{`, `{"payload":`+json+`,`) }
	future := fmt.Sprint(time.Now().Add(2 * time.Hour).Unix())
	requests := []struct {
		name   string
		method string // default POST
		path   string // default /event
		body   string
		header []string
		status int
		code   string   // of the problem
		errors []string // its violations
	}{
		// Framing
		{name: "too large by Content-Length", body: login + strings.Repeat(" ", 128<<10), status: 413, code: "content_too_large"},
		{name: "too large after decompression", body: zip(t, login+strings.Repeat(" ", 1<<20)), header: []string{"Content-Encoding", "gzip"}, status: 413, code: "content_too_large"},
		{name: "truncated gzip", body: zip(t, login)[:30], header: []string{"Content-Encoding", "gzip"}, status: 400, code: "invalid_encoding"},
		{name: "garbage for gzip", body: login, header: []string{"Content-Encoding", "gzip"}, status: 400, code: "invalid_encoding"},
		{name: "empty for gzip", body: " "[:1], header: []string{"Content-Encoding", "gzip"}, status: 400, code: "invalid_encoding"},
		{name: "a second gzip member", body: zip(t, login) + zip(t, " "), header: []string{"Content-Encoding", "gzip"}, status: 400, code: "invalid_encoding"},
		{name: "data after the gzip member", body: zip(t, login) + "x", header: []string{"Content-Encoding", "gzip"}, status: 400, code: "invalid_encoding"},
		{name: "an unknown encoding", body: login, header: []string{"Content-Encoding", "br"}, status: 415, code: "unsupported_media_type"},
		{name: "two encodings", body: login, header: []string{"Content-Encoding", "gzip, gzip"}, status: 415, code: "unsupported_media_type"},
		{name: "an unknown type", body: login, header: []string{"Content-Type", "text/plain"}, status: 415, code: "unsupported_media_type"},
		{name: "no type", body: login, header: []string{"Content-Type", ""}, status: 415, code: "unsupported_media_type"},
		{name: "another charset", body: login, header: []string{"Content-Type", "application/json; charset=latin1"}, status: 415, code: "unsupported_media_type"},
		{name: "an unknown path", method: "GET", path: "/nothing", status: 404, code: "not_found"},
		{name: "a slash too many", path: "/event/", body: login, status: 404, code: "not_found"},
		{name: "two slashes", path: "//event", body: login, status: 404, code: "not_found"},
		{name: "dots", path: "/stats/../event", body: login, status: 404, code: "not_found"},
		{name: "one dot", path: "/./event", body: login, status: 404, code: "not_found"},
		{name: "wrong method", method: "GET", path: "/event", status: 405, code: "method_not_allowed"},
		{name: "another wrong method", method: "DELETE", path: "/stats/login", status: 405, code: "method_not_allowed"},
		{name: "a made-up method", method: "BREW", path: "/event", status: 405, code: "method_not_allowed"},
		{name: "no event type", method: "GET", path: "/stats/", status: 404, code: "not_found"},
		{name: "NUL in the path", method: "GET", path: "/stats/a%00b", status: 422, code: "validation_failed", errors: []string{"#path/event_type pattern"}},
		{name: "a slash in the path", method: "GET", path: "/stats/a%2Fb", status: 422, code: "validation_failed", errors: []string{"#path/event_type pattern"}},
		{name: "dots in the path, escaped", method: "GET", path: "/stats/%2e%2e", status: 422, code: "validation_failed", errors: []string{"#path/event_type pattern"}},
		{name: "dots and a slash, escaped", method: "GET", path: "/stats/%2e%2e%2fmetrics", status: 422, code: "validation_failed", errors: []string{"#path/event_type pattern"}},
		{name: "an over-long name in the path", method: "GET", path: "/stats/" + strings.Repeat("a", 129), status: 422, code: "validation_failed", errors: []string{"#path/event_type max_length"}},

		// JSON
		{name: "trailing data", body: login + "x", status: 400, code: "invalid_json"},
		{name: "a comment", body: "/**/" + login, status: 400, code: "invalid_json"},
		{name: "a byte order mark", body: "\ufeff" + login, status: 400, code: "invalid_json"},
		{name: "NaN", body: with("42", "NaN"), status: 400, code: "invalid_json"},
		{name: "a bare control character", body: with("login", "lo\tgin"), status: 400, code: "invalid_json"},
		{name: "invalid UTF-8", body: with("login", "lo\xffgin"), status: 400, code: "invalid_json"},
		{name: "not JSON at all", body: "user_id=42", status: 400, code: "invalid_json"},
		{name: "a duplicate name", body: with("{", `{"user_id":1,`), status: 422, code: "validation_failed", errors: []string{"/user_id duplicate_field"}},
		{name: "another case", body: with("event_type", "EVENT_TYPE"), status: 422, code: "validation_failed", errors: []string{"/EVENT_TYPE unknown_field", "/event_type required"}},
		{name: "an unknown name", body: with("{", `{"x":1,`), status: 422, code: "validation_failed", errors: []string{"/x unknown_field"}},
		{name: "NUL in the payload", body: payload(`{"a":"\u0000"}`), status: 422, code: "validation_failed", errors: []string{"/payload/a nul_character"}},
		{name: "NUL in the type", body: with("login", `lo\u0000gin`), status: 422, code: "validation_failed", errors: []string{"/event_type pattern"}},
		{name: "half a surrogate pair", body: payload(`{"a":"\ud800"}`), status: 422, code: "validation_failed", errors: []string{"/payload/a lone_surrogate"}},
		{name: "33 levels", body: payload(strings.Repeat(`{"a":`, 32) + `{}` + strings.Repeat(`}`, 32)), status: 422, code: "validation_failed", errors: []string{"/payload" + strings.Repeat("/a", 32) + " too_deep"}},
		{name: "10,001 levels", body: payload(strings.Repeat(`[`, 10_001) + strings.Repeat(`]`, 10_001)), status: 422, code: "validation_failed", errors: []string{" too_deep"}},
		{name: "a payload over 64 KiB", body: payload(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`), status: 422, code: "validation_failed", errors: []string{"/payload too_large"}},
		{name: "1e400", body: payload(`{"a":1e400}`), status: 422, code: "validation_failed", errors: []string{"/payload/a number_out_of_range"}},
		{name: "1e131071", body: payload(`{"a":1e131071}`), status: 422, code: "validation_failed", errors: []string{"/payload/a number_out_of_range"}},
		{name: "a user_id past int64", body: with("42", "9223372036854775808"), status: 422, code: "validation_failed", errors: []string{"/user_id maximum"}},
		{name: "null", body: with("42", "null"), status: 422, code: "validation_failed", errors: []string{"/user_id type"}},
		{name: "an empty body", body: "", header: []string{"Content-Type", "application/json"}, status: 422, code: "validation_failed", errors: []string{" required"}},
		{name: "an array", body: "[]", status: 422, code: "validation_failed", errors: []string{" type"}},
		{name: "timestamp 0", body: with("1690000000", "0"), status: 422, code: "validation_failed", errors: []string{"/timestamp minimum"}},
		{name: "a negative timestamp", body: with("1690000000", "-1690000000"), status: 422, code: "validation_failed", errors: []string{"/timestamp minimum"}},
		{name: "a future timestamp", body: with("1690000000", future), status: 422, code: "validation_failed", errors: []string{"/timestamp timestamp_in_future"}},
		{name: "milliseconds", body: with("1690000000", "1690000000000"), status: 422, code: "validation_failed", errors: []string{"/timestamp timestamp_in_milliseconds"}},
		{name: "a float timestamp", body: with("1690000000", "1690000000.5"), status: 422, code: "validation_failed", errors: []string{"/timestamp type"}},
		{name: "a string timestamp", body: with("1690000000", `"1690000000"`), status: 422, code: "validation_failed", errors: []string{"/timestamp type"}},
		{name: "an id in braces", body: with("{", `{"event_id":"{01890a5d-ac96-774b-bcce-b302099a8057}",`), status: 422, code: "validation_failed", errors: []string{"/event_id format"}},
		{name: "an upper-case id", body: with("{", `{"event_id":"01890A5D-AC96-774B-BCCE-B302099A8057",`), status: 422, code: "validation_failed", errors: []string{"/event_id format"}},
		{name: "a urn", body: with("{", `{"event_id":"urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",`), status: 422, code: "validation_failed", errors: []string{"/event_id format"}},
		{name: "the nil id", body: with("{", `{"event_id":"00000000-0000-0000-0000-000000000000",`), status: 422, code: "validation_failed", errors: []string{"/event_id format"}},
		{name: "a bad Idempotency-Key", body: login, header: []string{"Idempotency-Key", "abc"}, status: 422, code: "validation_failed", errors: []string{"#header/Idempotency-Key format"}},
		{
			name: "everything wrong at once", body: `{"user_id":"x","timestamp":1690000000000,"payload":{"a":1e999},"more":[]}`, status: 422, code: "validation_failed",
			errors: []string{"/event_type required", "/more unknown_field", "/payload/a number_out_of_range", "/timestamp timestamp_in_milliseconds", "/user_id type"},
		},
	}
	onEach(t, func(t *testing.T, s *server) {
		for _, r := range requests {
			method, path := r.method, r.path
			if method == "" {
				method = http.MethodPost
			}
			if path == "" {
				path = "/event"
			}
			a := s.do(method, path, r.body, r.header...)
			if a.status != r.status {
				t.Errorf("%s: answered %d %s, want %d", r.name, a.status, a.body, r.status)
				continue
			}
			p := problemOf(t, a)
			if found := p.codes(); p.Code != r.code || !slices.Equal(found, r.errors) {
				t.Errorf("%s: code %s, errors %q; want %s, %q", r.name, p.Code, found, r.code, r.errors)
			}
			if strings.Contains(a.body, "1690000000000") && r.name != "everything wrong at once" {
				t.Errorf("%s: the answer repeats the value: %s", r.name, a.body)
			}
			if r.status == http.StatusMethodNotAllowed && a.header.Get("Allow") == "" {
				t.Errorf("%s: no Allow", r.name)
			}
		}
		// Nothing of all this was stored.
		if body := s.count("login"); body != counted("login", 0) {
			t.Errorf("after bad input only: %s", body)
		}
	}, "RATE_LIMIT=0")
}

func TestGoodInputOverASocket(t *testing.T) {
	t.Parallel()
	with := func(json string) string { return strings.Replace(login, "{", "{"+json+",", 1) }
	bodies := map[string]struct {
		body   string
		header []string
	}{
		"the least":                  {body: login},
		"gzip":                       {body: zip(t, login), header: []string{"Content-Encoding", "gzip"}},
		"gzip in capitals":           {body: zip(t, login), header: []string{"Content-Encoding", "GZIP"}},
		"identity":                   {body: login, header: []string{"Content-Encoding", "identity"}},
		"a charset":                  {body: login, header: []string{"Content-Type", `Application/JSON; charset="UTF-8"`}},
		"a key in the header":        {body: login, header: []string{"Idempotency-Key", "11111111-2222-4333-8444-555555555555"}},
		"a UUIDv7":                   {body: with(`"event_id":"01890a5d-ac96-774b-bcce-b302099a8057"`)},
		"a UUIDv1":                   {body: with(`"event_id":"c232ab00-9414-11ec-b3c8-9f6bdeced846"`)},
		"an empty payload":           {body: with(`"payload":{}`)},
		"exact numbers":              {body: with(`"payload":{"a":9007199254740993,"b":0.1000,"c":-0.0,"d":1e307}`)},
		"text of every kind":         {body: with(`"payload":{"":"é\ud83d\ude00\\u0000\n","a b/~":[[],{}]}`)},
		"a payload of exactly 64KiB": {body: with(`"payload":{"a":"` + strings.Repeat("x", 64<<10-8) + `"}`)},
		"32 levels":                  {body: with(`"payload":` + strings.Repeat(`{"a":`, 31) + `{}` + strings.Repeat(`}`, 31))},
		"256 names":                  {body: with(`"payload":{` + strings.TrimSuffix(members(256), ",") + `}`)},
		"the first second":           {body: strings.Replace(login, "1690000000", "946684800", 1)},
		"a second from now":          {body: strings.Replace(login, "1690000000", fmt.Sprint(time.Now().Unix()+1), 1)},
		"the largest user":           {body: strings.Replace(login, "42", "9223372036854775807", 1)},
	}
	onEach(t, func(t *testing.T, s *server) {
		sent := 0
		for name, b := range bodies {
			a := s.send(b.body, b.header...)
			sent++
			if a.status != http.StatusAccepted || a.body != `{"status":"received"}` || a.header.Get("Event-Status") != "accepted" || len(a.header.Get("Event-Id")) != 36 {
				t.Errorf("%s: answered %d %v %s", name, a.status, a.header, a.body)
			}
			if got := s.count("login"); got != counted("login", sent) {
				t.Errorf("%s: the count is %s, want %d", name, got, sent)
			}
			// Once more, with the id that the answer told: the same event.
			if id := a.header.Get("Event-Id"); !strings.Contains(b.body, "event_id") {
				again := s.send(b.body, append(b.header, "Idempotency-Key", id)...)
				if again.status != http.StatusAccepted || again.header.Get("Event-Status") != "duplicate" || again.header.Get("Event-Id") != id {
					t.Errorf("%s: the repeat was answered %d %v", name, again.status, again.header)
				}
			}
		}
		if got := s.count("login"); got != counted("login", len(bodies)) {
			t.Errorf("the count is %s, want %d", got, len(bodies))
		}
		if got := s.count("nobody.sent-this"); got != counted("nobody.sent-this", 0) {
			t.Errorf("an unknown type: %s", got)
		}
	}, "RATE_LIMIT=0")
}

// members returns n members, each followed by a comma.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":[1,{"x":null}],`, i)
	}
	return b.String()
}

// dial opens a bare connection to the server, for what no HTTP client would send.
func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// statuses reads so many answers.
func statuses(t *testing.T, conn net.Conn, n int) (all []int) {
	t.Helper()
	reader := bufio.NewReader(conn)
	for range n {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		all = append(all, response.StatusCode)
	}
	return all
}

func TestBadFraming(t *testing.T) {
	t.Parallel()
	var s, impatient *server
	t.Cleanup(func() { // when the servers have ended
		if log := s.log() + impatient.log(); strings.Contains(log, "defect") {
			t.Errorf("what clients did is taken for a defect:\n%s", log)
		}
	})
	s = start(t, "DATA_DIR="+t.TempDir(), "RATE_LIMIT=0")
	impatient = start(t, "DATA_DIR="+t.TempDir(), "RATE_LIMIT=0", "BODY_TIMEOUT=300ms")
	head := "POST /event HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

	t.Run("a header that dribbles is cut off", func(t *testing.T) {
		t.Parallel()
		conn := impatient.dial(t)
		fmt.Fprint(conn, "POST /event HTTP/1.1\r\nHo")
		if rest, err := io.ReadAll(conn); err != nil || strings.Contains(string(rest), " 2") {
			t.Errorf("got %q, %v; want the end of the connection", rest, err)
		}
	})
	t.Run("a body that dribbles is answered 408 and cut off", func(t *testing.T) {
		t.Parallel()
		conn := impatient.dial(t)
		fmt.Fprintf(conn, "%sContent-Length: 100\r\n\r\n{", head)
		rest, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 408 ") || !strings.Contains(string(rest), `"code":"request_timeout"`) {
			t.Errorf("got %q, %v", rest, err)
		}
	})
	t.Run("headers over 32 KiB are answered 431", func(t *testing.T) {
		t.Parallel()
		conn := s.dial(t)
		go fmt.Fprintf(conn, "GET /stats/login HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("a", 33<<10))
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 431 ") {
			t.Errorf("got %q, %v", line, err)
		}
	})
	t.Run("headers of 31 KiB are fine", func(t *testing.T) {
		t.Parallel()
		if a := s.do(http.MethodGet, "/stats/login", "", "X-Long", strings.Repeat("a", 31<<10)); a.status != http.StatusOK {
			t.Errorf("answered %d", a.status)
		}
	})
	t.Run("a chunked body over the limit is answered 413, and what follows isn't misread", func(t *testing.T) {
		t.Parallel()
		conn := s.dial(t)
		chunk := strings.Repeat(" ", 64<<10)
		go func() {
			fmt.Fprintf(conn, "%sTransfer-Encoding: chunked\r\n\r\n", head)
			for range 3 {
				fmt.Fprintf(conn, "%x\r\n%s\r\n", len(chunk), chunk)
			}
			fmt.Fprint(conn, "0\r\n\r\nGET /stats/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
		}()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge || !response.Close {
			t.Errorf("answered %s, close %t", response.Status, response.Close)
		}
		rest, _ := io.ReadAll(response.Body)
		if strings.Contains(string(rest), "smuggled") {
			t.Errorf("what followed was answered: %q", rest)
		}
	})
	t.Run("chunks that are none are answered 400, and what follows isn't misread", func(t *testing.T) {
		t.Parallel()
		for _, chunks := range []string{"zz\r\n", "5\r\nabcdefgh\r\n", "-1\r\n", "ffffffffffffffffff\r\n"} {
			conn := s.dial(t)
			fmt.Fprintf(conn, "%sTransfer-Encoding: chunked\r\n\r\n%s%s\r\n\r\nGET /stats/smuggled HTTP/1.1\r\nHost: x\r\n\r\n", head, chunks, login)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusBadRequest || !strings.Contains(string(rest), `"code":"invalid_json"`) || strings.Contains(string(rest), "smuggled") {
				t.Errorf("%q: answered %s %s", chunks, response.Status, rest)
			}
		}
	})
	t.Run("a connection that is reset in the middle of a body is no defect", func(t *testing.T) {
		t.Parallel()
		conn := s.dial(t)
		fmt.Fprintf(conn, "%sContent-Length: 1000\r\n\r\n{", head)
		if err := errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("pipelined requests are answered in order", func(t *testing.T) {
		t.Parallel()
		conn := s.dial(t)
		body := strings.Replace(login, "login", "pipelined", 1)
		fmt.Fprintf(conn, "%sContent-Length: 1\r\n\r\n{", head)
		fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
		if got := statuses(t, conn, 2); !slices.Equal(got, []int{http.StatusBadRequest, http.StatusAccepted}) {
			t.Errorf("answered %v", got)
		}
	})
	t.Run("clients that leave before their answer harm nobody, and their events count", func(t *testing.T) {
		t.Parallel()
		const leaving = 20
		for n := range leaving {
			conn := s.dial(t)
			body := numbered("left", n)
			fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
		testkit.Eventually(t, patience, "their events", func() bool { return s.count("left") == counted("left", leaving) })
	})
	t.Run("many requests on one connection, whole ones ahead of their turn", func(t *testing.T) {
		t.Parallel()
		conn := s.dial(t)
		const requests = 50
		go func() {
			for n := range requests {
				body := numbered("ahead", 1000+n)
				fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
			}
		}()
		want := slices.Repeat([]int{http.StatusAccepted}, requests)
		if got := statuses(t, conn, requests); !slices.Equal(got, want) {
			t.Errorf("answered %v", got)
		}
		if got := s.count("ahead"); got != counted("ahead", requests) {
			t.Errorf("counted %s", got)
		}
	})
	t.Run("OPTIONS * and absolute forms reach no operation by accident", func(t *testing.T) {
		t.Parallel()
		conn := s.dial(t)
		fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusNotFound || response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("answered %s %s", response.Status, response.Header.Get("Content-Type"))
		}
	})
}
