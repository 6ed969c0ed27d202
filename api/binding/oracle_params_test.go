package binding_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"pgregory.net/rapid"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
)

// operation is one of the contract's that the generated code serves, with its
// parameters.
type operation struct {
	method, path string
	item         *openapi3.PathItem
	*openapi3.Operation
}

func (o operation) parameters() []*openapi3.Parameter {
	var all []*openapi3.Parameter
	for _, list := range []openapi3.Parameters{o.item.Parameters, o.Parameters} {
		for _, p := range list {
			all = append(all, p.Value)
		}
	}
	return all
}

// operations lists those with parameters. What is mounted by hand isn't among them:
// the generated mux doesn't know it.
func operations() (all []operation) {
	mux := http.NewServeMux()
	api.HandlerWithOptions(nil, api.StdHTTPServerOptions{BaseRouter: mux})
	for path, item := range document().Paths.Map() {
		for method, op := range item.Operations() {
			o := operation{method, path, item, op}
			probe := o.request(arguments{})
			if _, pattern := mux.Handler(probe); pattern == method+" "+path && len(o.parameters()) > 0 {
				all = append(all, o)
			}
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.method+a.path, b.method+b.path) })
	return all
}

// arguments are the values of parameters, by place and name; a path parameter has
// one, others any number.
type arguments map[[2]string][]string

// request makes a request with the arguments.
func (o operation) request(with arguments) *http.Request {
	r := &http.Request{Method: o.method, Header: http.Header{}, Host: "localhost"}
	path, raw, query := o.path, o.path, url.Values{}
	for _, p := range o.parameters() {
		values := with[[2]string{p.In, p.Name}]
		switch p.In {
		case openapi3.ParameterInPath:
			value := "x"
			if len(values) > 0 {
				value = values[0]
			}
			path = strings.Replace(path, "{"+p.Name+"}", value, 1)
			raw = strings.Replace(raw, "{"+p.Name+"}", url.PathEscape(value), 1)
		case openapi3.ParameterInHeader:
			if len(values) > 0 {
				r.Header[http.CanonicalHeaderKey(p.Name)] = values
			}
		case openapi3.ParameterInQuery:
			if len(values) > 0 {
				query[p.Name] = values
			}
		}
	}
	r.URL = &url.URL{Path: path, RawPath: raw, RawQuery: query.Encode()}
	return r.WithContext(context.Background())
}

// bind sends the request through the generated code, up to where a handler would be
// called. It returns the violations; routed is false when no operation was found.
func bind(t failer, o operation, with arguments) (violations []binding.Violation, routed bool) {
	t.Helper()
	handler := api.HandlerWithOptions(nil, api.StdHTTPServerOptions{
		// In place of the handler: so that a new operation needs nothing here.
		Middlewares: []api.MiddlewareFunc{func(http.Handler) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { routed = true })
		}},
		ErrorHandlerFunc: func(_ http.ResponseWriter, _ *http.Request, err error) {
			routed = true
			var invalid *binding.ValidationError
			if !errors.As(err, &invalid) {
				t.Fatalf("%v\nbinding it failed: %v", with, err)
			}
			violations = invalid.Violations
		},
	})
	handler.ServeHTTP(httptest.NewRecorder(), o.request(with))
	return violations, routed
}

// askOracle returns what the oracle finds wrong with the arguments.
func askOracle(t failer, o operation, with arguments) (all []finding) {
	t.Helper()
	r := o.request(with)
	input := &openapi3filter.RequestValidationInput{
		Request:    r,
		PathParams: map[string]string{},
		Route:      &routers.Route{Spec: document(), Path: o.path, PathItem: o.item, Method: o.method, Operation: o.Operation},
		Options:    &openapi3filter.Options{MultiError: true, SchemaValidationOptions: oracleOptions()},
	}
	for place, values := range with {
		if place[0] == openapi3.ParameterInPath {
			input.PathParams[place[1]] = values[0] // decoded, as the generated code gets it
		}
	}
	for _, p := range o.parameters() {
		err := openapi3filter.ValidateParameter(r.Context(), input, p)
		if err == nil {
			continue
		}
		pointer := "#" + p.In + "/" + p.Name
		var refused *openapi3filter.RequestError
		var unread *openapi3filter.ParseError
		switch {
		case errors.Is(err, openapi3filter.ErrInvalidRequired):
			all = append(all, finding{pointer, "required"})
		case errors.Is(err, openapi3filter.ErrInvalidEmptyValue), errors.As(err, &unread):
			all = append(all, finding{pointer, "unreadable"})
		case errors.As(err, &refused):
			for _, f := range flatten(refused.Err) {
				all = append(all, finding{pointer, f.keyword})
			}
		default:
			t.Fatalf("%v\nthe oracle returns a %T: %v", with, err, err)
		}
	}
	return all
}

// parameterDifference is a reason for which we refuse a parameter that the oracle
// accepts.
type parameterDifference struct {
	name     string
	reason   string
	explains func(values []string, v binding.Violation) bool
}

// deliberateParameters are all the differences, each stricter than the oracle.
var deliberateParameters = []parameterDifference{
	{
		name:   "a header or query parameter given twice",
		reason: "a proxy and we could each believe another; the oracle looks at the first and ignores the rest",
		explains: func(values []string, v binding.Violation) bool {
			return len(values) > 1 && v.Code == "duplicate_field"
		},
	},
	{
		name:   "a UUID in upper case, or the nil UUID",
		reason: "as in a body",
		explains: func(values []string, v binding.Violation) bool {
			return len(values) == 1 && v.Code == "format" && notCanonical(values[0])
		},
	},
	{
		name:   "a boolean in another spelling",
		reason: "one value has one spelling, JSON's; the oracle takes whatever Go's strconv.ParseBool takes, like T and 1",
		explains: func(values []string, v binding.Violation) bool {
			_, err := strconv.ParseBool(values[0])
			return len(values) == 1 && v.Code == "type" && err == nil && values[0] != "true" && values[0] != "false"
		},
	},
}

// compareParameters holds our verdict on the arguments against the oracle's.
func compareParameters(t failer, o operation, with arguments) (ours []binding.Violation) {
	t.Helper()
	ours, routed := bind(t, o, with)
	findings := askOracle(t, o, with)
	if !routed {
		// These ServeMux takes for something else (/ for the end of the path), and
		// answers 404 or with another path. Refused they are either way.
		for place, values := range with {
			if place[0] == openapi3.ParameterInPath && slices.Contains([]string{"", ".", "..", "/"}, values[0]) && len(findings) > 0 {
				return nil
			}
		}
		t.Fatalf("%s %s %q\nis not routed; the oracle finds %v", o.method, o.path, with, findings)
	}
	same := func(f finding, v binding.Violation) bool {
		if f.keyword == "unreadable" {
			return f.pointer == v.Pointer && slices.Contains([]string{"type", "minimum", "maximum"}, v.Code)
		}
		return f.is(v)
	}
	for _, v := range ours {
		if slices.ContainsFunc(findings, func(f finding) bool { return same(f, v) }) {
			continue
		}
		in, name, _ := strings.Cut(strings.TrimPrefix(v.Pointer, "#"), "/")
		var by []string
		for _, d := range deliberateParameters {
			if d.explains(with[[2]string{in, name}], v) {
				by = append(by, d.name)
			}
		}
		if len(by) != 1 {
			t.Fatalf("%s %s %q\nour %+v is none of the oracle's %v; differences that explain it: %q", o.method, o.path, with, v, findings, by)
		}
	}
	for _, f := range findings {
		if !slices.ContainsFunc(ours, func(v binding.Violation) bool {
			return same(f, v) || v.Code == "duplicate_field" && v.Pointer == f.pointer
		}) {
			t.Fatalf("%s %s %q\nthe oracle finds %v, which is none of ours: %+v", o.method, o.path, with, f, ours)
		}
	}
	return ours
}

// drawArguments draws values of an operation's parameters near their bounds.
func drawArguments(t *rapid.T, o operation) arguments {
	with := arguments{}
	for _, p := range o.parameters() {
		values := []string{drawArgument(t, p.Schema.Value)}
		if p.In != openapi3.ParameterInPath {
			switch {
			case chance(t, 8):
				values = append(values, drawArgument(t, p.Schema.Value))
			case chance(t, 8):
				values = append(values, values[0])
			case p.Required && chance(t, 16), !p.Required && chance(t, 4):
				continue
			}
		}
		with[[2]string{p.In, p.Name}] = values
	}
	return with
}

func drawArgument(t *rapid.T, schema *openapi3.Schema) string {
	var text string
	switch {
	case schema.Type.Is("integer"):
		text = strings.Trim(spell(t, drawInteger(t, schema)), `"`)
	case schema.Type.Is("boolean"):
		text = pick(t, "true", "false")
	default:
		text = drawText(t, schema)
	}
	if chance(t, 16) {
		text = pick(t, "", ".", "..", "/", "a/b", "a/../b", "%", "%2F", "?", "#", "+1", " ", "null", "TRUE", "\xff", "\x00", text+" ", text+"\n", text+",", text+"/")
	}
	return text
}

func TestDeliberateParameterDifferences(t *testing.T) {
	t.Parallel()
	for name, example := range map[string]struct {
		operation string
		parameter [2]string
		values    []string
	}{
		"a header or query parameter given twice": {"sendEvent", [2]string{"header", "Idempotency-Key"}, []string{"01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8057"}},
		"a UUID in upper case, or the nil UUID":   {"sendEvent", [2]string{"header", "Idempotency-Key"}, []string{"00000000-0000-0000-0000-000000000000"}},
		"a boolean in another spelling":           {"sendEvents", [2]string{"query", "atomic"}, []string{"TRUE"}},
	} {
		for _, o := range operations() {
			if o.OperationID != example.operation {
				continue
			}
			with := arguments{example.parameter: example.values}
			if found := askOracle(t, o, with); len(found) > 0 {
				t.Errorf("%s: the oracle refuses it too: %v", name, found)
			}
			if ours := compareParameters(t, o, with); len(ours) != 1 {
				t.Errorf("%s: our violations are %v", name, ours)
			}
		}
	}
}

// FuzzParameters compares the parameters of every operation.
func FuzzParameters(f *testing.F) {
	all := operations()
	fuzzDrawn(f, func(t *rapid.T) { compareDrawn(t, all) })
}

func TestParametersFromSchema(t *testing.T) {
	t.Parallel()
	all := operations()
	if len(all) < 2 {
		t.Fatalf("only %d operations have parameters", len(all))
	}
	rapid.Check(t, func(t *rapid.T) { compareDrawn(t, all) })
}

func compareDrawn(t *rapid.T, all []operation) {
	o := rapid.SampledFrom(all).Draw(t, "operation")
	with := rapid.Custom(func(t *rapid.T) arguments { return drawArguments(t, o) }).Draw(t, "arguments")
	compareParameters(t, o, with)
}
