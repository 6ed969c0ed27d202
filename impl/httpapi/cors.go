package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"highload.example/analytics/impl/contract"
)

// cors lets pages of the origins that the operator lists use the service, by the
// CORS protocol of the Fetch standard. Browsers enforce it; it protects nothing from
// anybody else, so that requests of other origins are served like all others, only
// without the headers that would show the answer to a page.
//
// It stands before everything that may refuse a request, so that a page can read why.
type cors struct {
	next    http.Handler
	routes  *router
	any     bool
	origins map[string][]string // the values of Access-Control-Allow-Origin, by origin

	exposed    []string             // the headers of answers that the contract documents
	preflights map[string]preflight // by route, as the router calls it
}

// preflight says what a path takes.
type preflight struct{ methods, headers []string }

// preflightAge is for how many seconds browsers needn't ask again. Chromium keeps no
// answer longer than this.
const preflightAge = "7200"

// anyOrigin stands for every origin, in the setting and in the protocol.
const anyOrigin = "*"

func newCORS(origins []string, routes *router, next http.Handler) (*cors, error) {
	document, err := contract.Document()
	if err != nil {
		return nil, err
	}
	c := &cors{
		next: next, routes: routes, any: slices.Contains(origins, anyOrigin),
		origins: map[string][]string{}, preflights: map[string]preflight{},
	}
	for _, origin := range origins {
		c.origins[origin] = []string{origin}
	}
	exposed := map[string]bool{}
	for path, item := range document.Paths.Map() {
		c.preflights[routeOf(path)] = preflightOf(item)
		for _, operation := range item.Operations() {
			for _, response := range operation.Responses.Map() {
				for name := range response.Value.Headers {
					exposed[name] = true
				}
			}
		}
	}
	for name := range document.Components.Responses["MethodNotAllowed"].Value.Headers {
		exposed[name] = true // any path can answer this
	}
	c.exposed = []string{strings.Join(slices.Sorted(maps.Keys(exposed)), ", ")}
	for route := range c.preflights {
		if routes.methods[route] == nil {
			return nil, fmt.Errorf("the contract's path %s has no route", route)
		}
	}
	return c, nil
}

// preflightOf reads from the contract what a path takes. Whatever has a body may
// have a Content-Encoding.
func preflightOf(item *openapi3.PathItem) preflight {
	var methods []string
	headers := map[string]bool{}
	note := func(parameters openapi3.Parameters) {
		for _, p := range parameters {
			if p.Value.In == openapi3.ParameterInHeader {
				headers[textproto.CanonicalMIMEHeaderKey(p.Value.Name)] = true
			}
		}
	}
	note(item.Parameters)
	for method, operation := range item.Operations() {
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		note(operation.Parameters)
		if operation.RequestBody != nil {
			headers["Content-Type"], headers["Content-Encoding"] = true, true
		}
	}
	slices.Sort(methods)
	p := preflight{methods: []string{strings.Join(methods, ", ")}}
	if len(headers) > 0 {
		p.headers = []string{strings.Join(slices.Sorted(maps.Keys(headers)), ", ")}
	}
	return p
}

// The canonical forms of the protocol's headers.
const (
	allowOriginHeader   = "Access-Control-Allow-Origin"
	allowMethodsHeader  = "Access-Control-Allow-Methods"
	allowHeadersHeader  = "Access-Control-Allow-Headers"
	exposeHeadersHeader = "Access-Control-Expose-Headers"
	maxAgeHeader        = "Access-Control-Max-Age"
)

var (
	anyOriginValues    = []string{anyOrigin}
	varyOriginValues   = []string{"Origin"}
	preflightAgeValues = []string{preflightAge}
)

// ServeHTTP answers preflights, and adds to every other answer what lets the page see it.
func (c *cors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	allowed := anyOriginValues
	if !c.any {
		// For caches: with another Origin, or none, the answer is another.
		header["Vary"] = slices.Clone(varyOriginValues)
		allowed = c.origins[r.Header.Get("Origin")]
	}
	if allowed == nil || r.Header.Get("Origin") == "" {
		c.next.ServeHTTP(w, r)
		return
	}
	header[allowOriginHeader] = allowed
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		route := c.routes.route(r)
		if p, ok := c.preflights[route]; ok {
			r.Pattern = http.MethodOptions + " " + route // for metrics
			header[allowMethodsHeader] = p.methods
			if p.headers != nil {
				header[allowHeadersHeader] = p.headers
			}
			header[maxAgeHeader] = preflightAgeValues
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	header[exposeHeadersHeader] = c.exposed
	c.next.ServeHTTP(w, r)
}
