package app_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"

	"highload.example/analytics/impl/contract"
	"highload.example/analytics/impl/testkit"
)

// TestEveryOperationKeepsTheContract walks the operations of the contract with
// requests that are made from it. A valid one is never answered 5xx, an invalid
// one never 2xx; and the client checks that every answer is documented.
func TestEveryOperationKeepsTheContract(t *testing.T) {
	t.Parallel()
	document, err := contract.Document()
	if err != nil {
		t.Fatal(err)
	}
	onEach(t, func(t *testing.T, s *server) {
		for path, item := range document.Paths.Map() {
			for method, operation := range item.Operations() {
				t.Run(operation.OperationID, func(t *testing.T) {
					t.Parallel()
					o := operationUnderTest{method: method, path: path, operation: operation}
					answered := 0
					check := func(t checked, r request) {
						a := s.do(r.method, r.path, r.body, r.header...)
						switch {
						case a.status < 400:
							answered++
						case a.status == 503 && o.operation.OperationID == "getReadiness": // on a machine too busy for a ping
						case a.status == 422 && o.hasRulesBeyondSchemas() && strings.Contains(a.body, `"errors":[{`):
						default:
							t.Errorf("a valid request was answered %d: %s %s %s\n%s", a.status, r.method, r.path, r.body, a.body)
						}
					}
					if o.isConstant() {
						testkit.Eventually(t, patience, "an answer", func() bool {
							check(t, request{method: o.method, path: o.path})
							return answered > 0 || t.Failed()
						})
					} else {
						rapid.Check(t, func(t *rapid.T) { check(t, o.valid(t)) })
					}
					if answered == 0 && !t.Failed() {
						t.Error("no request was answered")
					}
					if !o.canBeInvalid() {
						return
					}
					rapid.Check(t, func(t *rapid.T) {
						r := o.invalid(t)
						a := s.do(r.method, r.path, r.body, r.header...)
						if a.status < 400 || a.status >= 500 {
							t.Errorf("an invalid request (%s) was answered %d: %s %s %s\n%s", r.why, a.status, r.method, r.path, r.body, a.body)
						}
					})
				})
			}
		}
	}, "RATE_LIMIT=0", "VALIDATE_RESPONSES=true")
}

// checked is what *testing.T and *rapid.T have in common.
type checked interface {
	Errorf(format string, args ...any)
}

type operationUnderTest struct {
	method, path string
	operation    *openapi3.Operation
}

type request struct {
	method, path, body string
	header             []string
	why                string // what is wrong with it
}

// hasRulesBeyondSchemas says whether a question may make no sense though its parts do: a
// range may end before it begins, a time zone not exist, a filter not fit its operator.
func (o operationUnderTest) hasRulesBeyondSchemas() bool {
	return slices.Contains(o.operation.Tags, "questions") || slices.Contains(o.operation.Tags, "stats") ||
		slices.ContainsFunc(o.operation.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Name == "filters" })
}

// isConstant says whether there is only one request of it.
func (o operationUnderTest) isConstant() bool {
	return o.operation.RequestBody == nil && len(o.operation.Parameters) == 0
}

// canBeInvalid says whether the contract demands anything of the request.
func (o operationUnderTest) canBeInvalid() bool {
	if o.operation.RequestBody != nil {
		return true
	}
	return slices.ContainsFunc(o.operation.Parameters, func(p *openapi3.ParameterRef) bool {
		return p.Value.In == openapi3.ParameterInPath && p.Value.Schema.Value.Pattern != ""
	})
}

func (o operationUnderTest) valid(t *rapid.T) request {
	r := request{method: o.method, path: o.path}
	query := url.Values{}
	for _, p := range o.operation.Parameters {
		p := p.Value
		var value string
		switch schema := p.Schema.Value; {
		case schema.Type.Is("boolean"):
			value = strconv.FormatBool(rapid.Bool().Draw(t, p.Name))
		case schema.Type.Is("integer"), schema.Enum != nil, schema.Pattern != "" || schema.Format == "uuid":
			value = fmt.Sprint(valueOf(t, p.Name, schema))
		case p.Example != nil:
			value = fmt.Sprint(p.Example)
		default:
			t.Fatalf("the parameter %s of %s has neither a pattern nor an example", p.Name, o.operation.OperationID)
		}
		switch p.In {
		case openapi3.ParameterInPath:
			r.path = strings.Replace(r.path, "{"+p.Name+"}", url.PathEscape(value), 1)
		case openapi3.ParameterInHeader:
			if rapid.Bool().Draw(t, "with "+p.Name) {
				r.header = append(r.header, p.Name, value)
			}
		case openapi3.ParameterInQuery:
			if rapid.Bool().Draw(t, "with "+p.Name) {
				query.Set(p.Name, value)
			}
		default:
			t.Fatalf("the test doesn't know parameters in %s", p.In)
		}
	}
	if len(query) > 0 {
		r.path += "?" + query.Encode()
	}
	if body := o.bodySchema(); body != nil {
		bodies := []string{encode(t, valueOf(t, "body", body))}
		for o.isBatch() && len(bodies) < 5 && rapid.Bool().Draw(t, "one more") {
			bodies = append(bodies, encode(t, valueOf(t, "body", body)))
		}
		o.frame(t, &r, bodies...)
	}
	return r
}

// isBatch says whether the body carries many events.
func (o operationUnderTest) isBatch() bool { return o.operation.Extensions["x-batch-of"] != nil }

// frame sets the body: the only one, or a batch of them, in one of its forms.
func (o operationUnderTest) frame(t *rapid.T, r *request, bodies ...string) {
	if !o.isBatch() {
		r.body = bodies[0]
		return
	}
	switch rapid.SampledFrom([]string{"array", "envelope", "lines"}).Draw(t, "frame") {
	case "array":
		r.body = "[" + strings.Join(bodies, ",") + "]"
	case "envelope":
		r.body = `{"events":[` + strings.Join(bodies, ",") + "]}"
	case "lines":
		r.body = strings.Join(bodies, "\n")
		r.header = append(r.header, "Content-Type", "application/x-ndjson")
	}
}

func (o operationUnderTest) bodySchema() *openapi3.Schema {
	if o.operation.RequestBody == nil {
		return nil
	}
	schema := o.operation.RequestBody.Value.Content["application/json"].Schema.Value
	if o.isBatch() {
		schema = schema.OneOf[0].Value.Items.Value
	}
	return schema
}

// invalid breaks one rule of a valid request.
func (o operationUnderTest) invalid(t *rapid.T) request {
	r := o.valid(t)
	body := o.bodySchema()
	if body == nil {
		for _, p := range o.operation.Parameters {
			if p.Value.In != openapi3.ParameterInPath {
				continue
			}
			value := rapid.SampledFrom([]string{"%00", "%2F", "a%20b", "%C3%A9", strings.Repeat("a", 129), "-", "a/", "a%0A"}).Draw(t, "bad value")
			r.path, r.why = strings.Replace(o.path, "{"+p.Value.Name+"}", value, 1), "bad "+p.Value.Name
		}
		return r
	}
	object := valueOf(t, "body", body).(map[string]any)
	r.header = nil // of the valid body
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(body.Properties))).Draw(t, "member")
	schema := body.Properties[name].Value
	switch r.why = rapid.SampledFrom([]string{"type", "null", "missing", "unknown", "case", "bound", "syntax", "media type", "not an object"}).Draw(t, "what is wrong"); r.why {
	case "type":
		wrong := []any{[]any{}, true}
		switch {
		case schema.Type.Is("array"):
			wrong = []any{true, "x"}
		case schema.Type.Is("boolean"):
			wrong = []any{[]any{}, "true"}
		}
		object[name] = rapid.SampledFrom(wrong).Draw(t, "value")
	case "null":
		object[name] = nil
	case "missing":
		delete(object, rapid.SampledFrom(body.Required).Draw(t, "required"))
	case "unknown":
		object["x"+rapid.StringMatching(`[a-z]{0,8}`).Draw(t, "name")] = 1
	case "case":
		required := rapid.SampledFrom(body.Required).Draw(t, "required")
		object[strings.ToUpper(required)] = object[required]
		delete(object, required)
	case "bound":
		object[name] = beyond(t, schema)
	case "syntax":
		text := encode(t, object)
		o.frame(t, &r, text[:rapid.IntRange(1, len(text)-1).Draw(t, "cut")])
		return r
	case "media type":
		r.header = append(r.header, "Content-Type", "text/csv")
		return r
	case "not an object":
		r.body = rapid.SampledFrom([]string{"[]", "1", `"x"`, "null", "true"}).Draw(t, "body")
		if o.isBatch() && rapid.Bool().Draw(t, "framed") {
			o.frame(t, &r, r.body)
		}
		return r
	}
	o.frame(t, &r, encode(t, object))
	return r
}

// valueOf makes a value that satisfies a schema, and the rules beyond it.
func valueOf(t *rapid.T, name string, schema *openapi3.Schema) any {
	switch {
	case schema.Type.Is("integer"):
		lowest, highest := int64(*schema.Min), int64(1<<63-1)
		if schema.Max != nil {
			highest = int64(*schema.Max)
		}
		if name == "timestamp" {
			highest = time.Now().Unix()
		}
		return rapid.Int64Range(lowest, highest).Draw(t, name)
	case schema.Type == nil: // any value
		return rapid.SampledFrom([]any{nil, true, 1, "x", []any{1, "x"}, map[string]any{"a": 1}}).Draw(t, name)
	case schema.Type.Is("boolean"):
		return rapid.Bool().Draw(t, name)
	case schema.Type.Is("array"):
		items := make([]any, rapid.IntRange(int(schema.MinItems), int(schema.MinItems)+3).Draw(t, "items"))
		for i := range items {
			items[i] = valueOf(t, name, schema.Items.Value)
		}
		return items
	case schema.Enum != nil:
		return rapid.SampledFrom(schema.Enum).Draw(t, name)
	case strings.Contains(schema.Pattern, "payload"): // few others that match mean anything
		return rapid.SampledFrom([]string{"event_type", "user_id", "payload.plan", "payload.a[0]", `payload["a.b"].c`}).Draw(t, name)
	case schema.Format == "uuid":
		return rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{11}[1-9a-f]`).Draw(t, name)
	case schema.Type.Is("string"):
		return rapid.StringMatching(schema.Pattern).Filter(func(s string) bool { return len(s) <= int(*schema.MaxLength) }).Draw(t, name)
	case schema.Type.Is("object") && len(schema.Properties) == 0:
		return freeObject().Draw(t, name)
	case schema.Type.Is("object"):
		object := map[string]any{}
		for property, s := range schema.Properties {
			if slices.Contains(schema.Required, property) || rapid.Bool().Draw(t, "with "+property) {
				object[property] = valueOf(t, property, s.Value)
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "sense") > 0 {
			makeSense(object)
		}
		return object
	}
	t.Fatalf("the test can't make a value for %s", name)
	return nil
}

// makeSense makes a question one that can be answered: few are by chance.
func makeSense(question map[string]any) {
	if _, ok := question["from"]; !ok {
		return
	}
	question["from"], question["to"] = 1690000000, 1690500000
	delete(question, "include_other")
	delete(question, "filters")
	delete(question, "group_by")
	delete(question, "event_types")
	if _, ok := question["tz"]; ok {
		question["tz"] = "Europe/Berlin"
	}
	if question["interval"] == "minute" {
		question["interval"] = "hour"
	}
	switch question["metric"] {
	case nil:
	case "count", "unique_users":
		delete(question, "value")
	default:
		question["value"] = "payload.price"
	}
}

// freeObject makes JSON objects of every kind that a payload may be.
func freeObject() *rapid.Generator[map[string]any] {
	text := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 }))
	leaf := rapid.OneOf(
		text.AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
		rapid.Float64Range(-1e300, 1e300).Filter(func(f float64) bool { return f == 0 || f > 1e-300 || f < -1e-300 }).AsAny(),
	)
	inner := rapid.OneOf(leaf, rapid.SliceOfN(leaf, 0, 4).AsAny(), rapid.MapOfN(text, leaf, 0, 4).AsAny())
	return rapid.MapOfN(text, inner, 0, 6)
}

// beyond makes a value just outside a schema's bounds.
func beyond(t *rapid.T, schema *openapi3.Schema) any {
	switch {
	case schema.Type.Is("integer"):
		return int64(*schema.Min) - rapid.Int64Range(1, 1000).Draw(t, "below")
	case schema.Format == "uuid":
		return rapid.SampledFrom([]string{"", "x", "00000000-0000-0000-0000-000000000000", "01890A5D-AC96-774B-BCCE-B302099A8057"}).Draw(t, "uuid")
	case schema.Enum != nil || schema.Type.Is("boolean"):
		return "nonsense"
	case schema.Type.Is("array"):
		items := make([]any, int(*schema.MaxItems)+1)
		for i := range items {
			items[i] = valueOf(t, "item", schema.Items.Value)
		}
		return items
	case schema.Type.Is("string"):
		return rapid.SampledFrom([]string{"", strings.Repeat("a", int(*schema.MaxLength)+1), " ", "é"}).Draw(t, "text")
	}
	object := map[string]any{}
	if schema.MaxProps == nil {
		return object // without its required members
	}
	for i := range int(*schema.MaxProps) + 1 {
		object[fmt.Sprint("k", i)] = i
	}
	return object
}

func encode(t *rapid.T, value any) string {
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
