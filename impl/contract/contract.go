// Package contract holds HTTP answers against api/openapi.yaml. Tests do so with
// every answer they get, and a server with VALIDATE_RESPONSES with every answer it
// gives.
package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

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

// Check says what of an answer to r isn't in the contract.
func Check(r *http.Request, status int, header http.Header, body []byte) error {
	document, err := Document()
	if err != nil {
		return err
	}
	route, params := find(document, r)
	documented := route.Operation.Responses.Status(status)
	if documented == nil {
		return errors.New("the operation has no answer with this status")
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if mediaType != "application/json" && !strings.HasSuffix(mediaType, "+json") || r.Method == http.MethodHead {
		options.ExcludeResponseBody = true
		if len(documented.Value.Content) > 0 && documented.Value.Content.Get(mediaType) == nil {
			return fmt.Errorf("the media type %q is not documented", mediaType)
		}
	}
	if len(documented.Value.Content) == 0 && len(body) > 0 {
		return errors.New("a body, where none is documented")
	}
	for name := range documented.Value.Headers {
		if documented.Value.Headers[name].Value.Required && header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options},
		Status:                 status,
		Header:                 header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                options,
	})
}

// find returns the operation that a request is for. Where there is none, what any
// path may answer stands in for it: 404 or 405, 204 to a preflight, and 429 before 404 or 405.
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
		if operation == nil && r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			return anyPath(document, template, item, "204", "405"), nil
		}
		if operation == nil {
			return anyPath(document, template, item, "405"), nil
		}
		return &routers.Route{Spec: document, Path: template, PathItem: item, Method: r.Method, Operation: operation}, params
	}
	return anyPath(document, r.URL.Path, &openapi3.PathItem{}, "404"), nil
}

// anyPath returns an operation with the answers that any path may give.
func anyPath(document *openapi3.T, path string, item *openapi3.PathItem, statuses ...string) *routers.Route {
	components := map[string]string{"204": "Preflight", "404": "NotFound", "405": "MethodNotAllowed", "429": "RateLimited"}
	responses := openapi3.NewResponses()
	for _, status := range append(statuses, "429") {
		responses.Set(status, document.Components.Responses[components[status]])
	}
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
