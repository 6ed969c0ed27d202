// Package contract holds every HTTP answer that a test gets against
// api/openapi.yaml: an answer that isn't documented fails the test that caused it.
package contract

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"highload.example/analytics/impl/contract"
)

// Client returns a client that checks every answer, follows no redirect and
// keeps no connection beyond the test.
func Client(t testing.TB) *http.Client {
	t.Helper()
	base := &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 100}
	t.Cleanup(base.CloseIdleConnections)
	return &http.Client{
		Transport:     Transport(t, base),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Transport returns a transport that checks every answer that base gets.
func Transport(t testing.TB, base http.RoundTripper) http.RoundTripper {
	return &checker{t: t, base: base}
}

type checker struct {
	t    testing.TB
	base http.RoundTripper
}

// RoundTrip gets an answer and checks it.
func (c *checker) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if closeErr := response.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err := contract.Check(r, response.StatusCode, response.Header, body); err != nil {
		c.t.Errorf("%s %s answered %s, which is not in the contract: %v\n%s", r.Method, r.URL, response.Status, err, body)
	}
	return response, nil
}
