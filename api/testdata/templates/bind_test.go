// Package templates tests what the templates generate from openapi.yaml beside
// it. api/templates_test.go generates it and runs this.
package templates

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"highload.example/analytics/api/binding"
)

// handler keeps the request that it got.
type handler struct {
	find  FindThingsRequestObject
	batch Batch
	list  ThingList
}

var errStop = errors.New("no answer is needed")

func (h *handler) FindThings(_ context.Context, r FindThingsRequestObject) (FindThingsResponseObject, error) {
	h.find = r
	return nil, errStop
}

func (h *handler) SendBatch(_ context.Context, r SendBatchRequestObject) (SendBatchResponseObject, error) {
	h.batch = *r.Body
	return nil, errStop
}

func (h *handler) SendList(_ context.Context, r SendListRequestObject) (SendListResponseObject, error) {
	h.list = *r.Body
	return nil, errStop
}

// send sends a request through the generated code. It returns what the handler
// got, and the violations as "pointer code", sorted.
func send(t *testing.T, r *http.Request) (*handler, []string) {
	t.Helper()
	h, reached, found := &handler{}, false, []string(nil)
	refuse := func(_ http.ResponseWriter, _ *http.Request, err error) {
		var invalid *binding.ValidationError
		if !errors.As(err, &invalid) {
			t.Fatalf("the request is refused with %v", err)
		}
		for _, v := range invalid.Violations {
			found = append(found, v.Pointer+" "+v.Code)
		}
	}
	HandlerWithOptions(NewStrictHandler(h, StrictOptions{
		Body:         func(_ http.ResponseWriter, r *http.Request, _ string) (io.ReadCloser, error) { return r.Body, nil },
		RequestError: refuse,
		ResponseError: func(http.ResponseWriter, *http.Request, error) {
			reached = true
		},
	}), StdHTTPServerOptions{ErrorHandlerFunc: refuse}).ServeHTTP(httptest.NewRecorder(), r)
	if reached == (len(found) > 0) {
		t.Fatalf("violations %q, and the handler was called: %v", found, reached)
	}
	slices.Sort(found)
	return h, found
}

func TestParameters(t *testing.T) {
	t.Parallel()
	type headers = map[string][]string
	fine := headers{"X-Level": {"1"}}
	for name, test := range map[string]struct {
		target  string
		headers headers
		want    []string
	}{
		"the least":              {"/things/red/1?limit=1", fine, nil},
		"everything":             {"/things/blue/9223372036854775807?text=ab&limit=100&small=-2147483648&deep=false&order=up&id=01890a5d-ac96-774b-bcce-b302099a8057", headers{"X-Level": {"9"}, "X-Deep": {"true"}, "X-Order": {"down"}, "X-Text": {"abc"}}, nil},
		"nothing that is needed": {"/things/red/1", nil, []string{"#header/X-Level required", "#query/limit required"}},
		"everything wrong":       {"/things/green/0?text=A&limit=101&small=2147483648&deep=1&order=Up&id=x", headers{"X-Level": {"x"}, "X-Deep": {"no"}, "X-Order": {""}, "X-Text": {"abcd"}}, []string{"#header/X-Deep type", "#header/X-Level type", "#header/X-Order enum", "#header/X-Text max_length", "#path/kind enum", "#path/number minimum", "#query/deep type", "#query/id format", "#query/limit maximum", "#query/order enum", "#query/small maximum", "#query/text min_length", "#query/text pattern"}},
		"everything twice":       {"/things/red/1?text=ab&text=ab&limit=1&limit=1&small=1&small=1&deep=true&deep=true&order=up&order=up", headers{"X-Level": {"1", "1"}}, []string{"#header/X-Level duplicate_field", "#query/deep duplicate_field", "#query/limit duplicate_field", "#query/order duplicate_field", "#query/small duplicate_field", "#query/text duplicate_field"}},
		"empty":                  {"/things/red/1?limit=&deep&order=", fine, []string{"#query/deep type", "#query/limit type", "#query/order enum"}},
		"percent-encoded":        {"/things/%72ed/%31?limit=%31%30", fine, nil},
		"not a query":            {"/things/red/1?limit=1&text=%zz", fine, []string{"#query format"}},
		"another case":           {"/things/red/1?Limit=1", fine, []string{"#query/Limit unknown_field", "#query/limit required"}},
		"unknown":                {"/things/red/1?limit=1&b=1&a%2F=&b=2", fine, []string{"#query/a~1 unknown_field", "#query/b unknown_field"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, test.target, nil)
			for header, values := range test.headers {
				r.Header[header] = values
			}
			if _, found := send(t, r); !slices.Equal(found, test.want) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
}

func TestParametersAreBound(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/things/blue/7?text=a%62&limit=3&small=-5&deep=true&order=down&id=01890a5d-ac96-774b-bcce-b302099a8057", nil)
	r.Header.Set("X-Level", "-1")
	r.Header.Set("X-Deep", "false")
	h, found := send(t, r)
	if len(found) > 0 {
		t.Fatal(found)
	}
	got, p := h.find, h.find.Params
	if got.Kind != "blue" || got.Number != 7 || *p.Text != "ab" || p.Limit != 3 || *p.Small != -5 || !*p.Deep || *p.Order != OrderDown ||
		p.ID.String() != "01890a5d-ac96-774b-bcce-b302099a8057" || p.XLevel != -1 || *p.XDeep || p.XOrder != nil || p.XText != nil {
		t.Errorf("bound %+v", got)
	}
}

const thing = `{"name":"a","flag":true}`

func TestBodies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path, body string
		want       []string
	}{
		"one thing":              {"/batch", `{"things":[` + thing + `]}`, nil},
		"every kind":             {"/batch", `{"things":[{"name":"a","flag":true,"other_flag":false,"level":9,"any_level":-2147483648,"id":"01890a5d-ac96-774b-bcce-b302099a8057","own_id":"01890a5d-ac96-774b-bcce-b302099a8057","order":"up","colour":"red","more":{"a":[1]}}],"maybe":[],"one":` + thing + `,"list":[` + thing + `]}`, nil},
		"every kind wrong":       {"/batch", `{"things":[{"name":"abcd","flag":1,"other_flag":"true","level":10,"any_level":-2147483649,"id":"x","own_id":"x","order":"UP","colour":"green","more":{"a":1,"b":2,"c":3}}],"maybe":{},"one":[],"list":"x"}`, []string{"/list type", "/maybe type", "/one type", "/things/0/any_level minimum", "/things/0/colour enum", "/things/0/flag type", "/things/0/id format", "/things/0/level maximum", "/things/0/more max_properties", "/things/0/name max_length", "/things/0/order enum", "/things/0/other_flag type", "/things/0/own_id format"}},
		"null":                   {"/batch", `{"things":null,"maybe":[null],"one":null,"list":[{"name":null,"flag":null}]}`, []string{"/list/0/flag type", "/list/0/name type", "/maybe/0 type", "/one type", "/things type"}},
		"too few":                {"/batch", `{"things":[]}`, []string{"/things min_items"}},
		"too many":               {"/batch", `{"things":[` + strings.Repeat(thing+`,`, 3) + `7]}`, []string{"/things max_items"}},
		"too many, and wrong":    {"/batch", `{"things":[{},` + strings.Repeat(thing+`,`, 2) + `{},{}]}`, []string{"/things max_items", "/things/0/flag required", "/things/0/name required"}},
		"in the second":          {"/batch", `{"things":[` + thing + `,{"name":"","flag":true,"name":"b","x":{"y":[]}}]}`, []string{"/things/1/name duplicate_field", "/things/1/name min_length", "/things/1/x unknown_field"}},
		"deep down":              {"/batch", `{"one":{"name":"a","flag":true,"more":{"a":[{"b":1,"b":2}]}}}`, []string{"/one/more/a/0/b duplicate_field", "/things required"}},
		"a list":                 {"/list", `[` + thing + `,` + thing + `]`, nil},
		"an empty list":          {"/list", ` [ ] `, []string{" min_items"}},
		"a long list":            {"/list", `[` + thing + `,` + thing + `,{"name":"a","name":"b"}]`, []string{" max_items"}},
		"an object for a list":   {"/list", thing, []string{" type"}},
		"a list in a list":       {"/list", `[[]]`, []string{"/0 type"}},
		"the second of the list": {"/list", `[` + thing + `,{"flag":false}]`, []string{"/1/name required"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, test.path, strings.NewReader(test.body))
			if _, found := send(t, r); !slices.Equal(found, test.want) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
}

func TestBodiesAreBound(t *testing.T) {
	t.Parallel()
	const body = `{"maybe":[],"list":[{"flag":true,"name":"c","level":3,"colour":"blue"}],"things":[{"name":"a","flag":true,"more":{ "n": 1.50 }},{"flag":false,"name":"b","other_flag":true}]}`
	h, found := send(t, httptest.NewRequest(http.MethodPost, "/batch", strings.NewReader(body)))
	if len(found) > 0 {
		t.Fatal(found)
	}
	got := h.batch
	if len(got.Things) != 2 || got.Things[0].Name != "a" || !got.Things[0].Flag || got.Things[0].OtherFlag != nil || string(got.Things[0].More) != `{ "n": 1.50 }` ||
		got.Things[1].Name != "b" || got.Things[1].Flag || !*got.Things[1].OtherFlag || got.Things[1].More != nil {
		t.Errorf("things are %+v", got.Things)
	}
	if got.Maybe == nil || len(*got.Maybe) != 0 || got.One != nil || len(*got.List) != 1 || *(*got.List)[0].Level != 3 || *(*got.List)[0].Colour != ThingColourBlue {
		t.Errorf("bound %+v", got)
	}
}
