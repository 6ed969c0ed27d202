// Package contract holds every HTTP answer that a test gets against
// api/openapi.yaml: an answer that isn't documented fails the test that caused it.
package contract

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"highload.example/analytics/api"
)

// Document returns the contract, parsed and valid. It is shared: don't change it.
var Document = sync.OnceValues(func() (*openapi3.T, error) {
	document, err := openapi3.NewLoader().LoadFromData(api.YAML)
	if err != nil {
		return nil, fmt.Errorf("reading the contract: %w", err)
	}
	if err := document.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("checking the contract: %w", err)
	}
	return document, nil
})

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
	if err := Check(r, response, body); err != nil {
		c.t.Errorf("%s %s answered %s, which is not in the contract: %v\n%s", r.Method, r.URL, response.Status, err, body)
	}
	return response, nil
}

// Check says what of an answer isn't in the contract.
func Check(r *http.Request, response *http.Response, body []byte) error {
	document, err := Document()
	if err != nil {
		return err
	}
	route, params := find(document, r)
	documented := route.Operation.Responses.Status(response.StatusCode)
	if documented == nil {
		return fmt.Errorf("the operation has no answer with this status")
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if !strings.HasSuffix(mediaType, "json") || r.Method == http.MethodHead {
		options.ExcludeResponseBody = true
		if len(documented.Value.Content) > 0 && documented.Value.Content.Get(mediaType) == nil {
			return fmt.Errorf("the media type %q is not documented", mediaType)
		}
	}
	if len(documented.Value.Content) == 0 && len(body) > 0 {
		return fmt.Errorf("a body, where none is documented")
	}
	for name := range documented.Value.Headers {
		if header := documented.Value.Headers[name].Value; header.Required && response.Header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options},
		Status:                 response.StatusCode,
		Header:                 response.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                options,
	})
}

// find returns the operation that a request is for. Where there is none, what any
// path may answer stands in for it: 404 or 405, and 429 before either.
func find(document *openapi3.T, r *http.Request) (*routers.Route, map[string]string) {
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for template, item := range document.Paths.Map() {
		params, ok := match(strings.Split(template, "/"), segments)
		if !ok {
			continue
		}
		operation := item.GetOperation(r.Method)
		if operation == nil && r.Method == http.MethodHead {
			operation = item.Get
		}
		if operation == nil {
			return anyPath(document, template, item, "405"), nil
		}
		return &routers.Route{Spec: document, Path: template, PathItem: item, Method: r.Method, Operation: operation}, params
	}
	return anyPath(document, r.URL.Path, &openapi3.PathItem{}, "404"), nil
}

func anyPath(document *openapi3.T, path string, item *openapi3.PathItem, status string) *routers.Route {
	component := map[string]string{"404": "NotFound", "405": "MethodNotAllowed"}[status]
	responses := openapi3.NewResponses(
		openapi3.WithName(status, document.Components.Responses[component].Value),
		openapi3.WithName("429", document.Components.Responses["RateLimited"].Value),
	)
	responses.Delete("default")
	return &routers.Route{Spec: document, Path: path, PathItem: item, Method: http.MethodGet, Operation: &openapi3.Operation{Responses: responses}}
}

func match(template, segments []string) (map[string]string, bool) {
	if len(template) != len(segments) {
		return nil, false
	}
	params := map[string]string{}
	for i, t := range template {
		switch {
		case strings.HasPrefix(t, "{") && segments[i] != "" && !strings.HasPrefix(segments[i], "."):
			params[strings.Trim(t, "{}")] = segments[i]
		case t != segments[i]:
			return nil, false
		}
	}
	return params, true
}
