package analytics

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// roundTripper is a server without a network.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func countLines(body []byte) int { return bytes.Count(body, newline) }

// reply is what a server answers.
type reply struct {
	status int
	header http.Header
	body   io.Reader
}

// response makes an HTTP client's answer of it.
func (r *reply) response() *http.Response {
	return &http.Response{StatusCode: r.status, Header: r.header, Body: io.NopCloser(r.body)}
}

// page makes an answer.
func page(status int, contentType, body string, header ...string) *reply {
	r := &reply{status: status, header: http.Header{}, body: strings.NewReader(body)}
	r.header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(header); i += 2 {
		r.header.Set(header[i], header[i+1])
	}
	return r
}

// received is the receipt for events that are all new.
func received(n int) *reply {
	return receipt(fmt.Sprintf(`{"received":%d,"duplicate":0,"rejected":0,"retry":0,"results":[]}`, n))
}

func receipt(body string, header ...string) *reply {
	return page(http.StatusAccepted, "application/json", body, header...)
}

func problem(status int, code string, header ...string) *reply {
	return page(status, "application/problem+json", fmt.Sprintf(`{"type":"/problems/%s","title":"t","status":%d,"code":%q}`, code, status, code), header...)
}

// linesOf returns the events of a request.
func linesOf(t testing.TB, r *http.Request) []string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Errorf("the request's body: %v", err)
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Errorf("the request's body: %v", err)
			return nil
		}
		if body, err = io.ReadAll(z); err != nil {
			t.Errorf("the request's body: %v", err)
		}
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
}
