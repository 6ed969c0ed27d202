package binding_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"

	contract "highload.example/analytics/api"
	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
)

// The oracle is kin-openapi, a validator that interprets the contract and shares
// no code with ours. What it refuses, we refuse, naming the same places and rules;
// what only we refuse is explained by an entry of deliberate.

// document is the contract as the oracle reads it.
var document = sync.OnceValue(func() *openapi3.T {
	return load(contract.YAML)
})

func load(text []byte) *openapi3.T {
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err == nil {
		err = doc.Validate(context.Background())
	}
	if err != nil {
		panic(fmt.Sprintf("the oracle can't read the contract: %v", err))
	}
	return doc
}

// oracleOptions make the oracle list everything, and check the format uuid, which
// it leaves alone by default: by the grammar of RFC 9562, section 4, for its own
// patterns know only some versions.
func oracleOptions() []openapi3.SchemaValidationOption {
	return []openapi3.SchemaValidationOption{
		openapi3.MultiErrors(),
		openapi3.EnableFormatValidation(),
		openapi3.VisitAsRequest(),
		openapi3.WithStringFormatValidator("uuid", uuidGrammar),
	}
}

var uuidGrammar = openapi3.NewRegexpFormatValidator(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)

// request is a request body of the contract, and the type generated for it.
type request struct {
	schema *openapi3.Schema
	empty  func() binding.Value
}

// requests are those that the oracle is asked about, by the schema's name.
var requests = sync.OnceValue(func() map[string]request {
	return map[string]request{
		"Event":     {document().Components.Schemas["Event"].Value, func() binding.Value { return new(api.Event) }},
		"Query":     {document().Components.Schemas["Query"].Value, func() binding.Value { return new(api.Query) }},
		"Funnel":    {document().Components.Schemas["Funnel"].Value, func() binding.Value { return new(api.Funnel) }},
		"Retention": {document().Components.Schemas["Retention"].Value, func() binding.Value { return new(api.Retention) }},
	}
})

func TestEveryRequestBodyHasAnOracle(t *testing.T) {
	t.Parallel()
	for path, item := range document().Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.RequestBody == nil {
				continue
			}
			media := operation.RequestBody.Value.Content["application/json"]
			if media == nil {
				continue
			}
			name := media.Schema.Ref[strings.LastIndexByte(media.Schema.Ref, '/')+1:]
			if of, ok := operation.Extensions["x-batch-of"].(string); ok {
				name = of // and the frame is held against it in batch_test.go
			}
			if _, ok := requests()[name]; !ok {
				t.Errorf("%s %s takes %s: add it to requests, and a fuzz target for it", method, path, name)
			}
		}
	}
}

// difference is a reason for which we refuse what the oracle accepts.
type difference struct {
	name   string
	reason string
	// examples are events that show it.
	examples []string
	// explains reports whether a violation is a case of it.
	explains func(c *comparison, v binding.Violation) bool
}

// deliberate are all the differences, each stricter than the oracle. A violation
// that the oracle doesn't share is a case of exactly one.
var deliberate = []difference{
	{
		name:   "a name given twice",
		reason: "RFC 8259 leaves its meaning open, and parsers behind one another may choose differently; the oracle silently takes the last value",
		examples: []string{
			`{"user_id":1,"user_id":2,"event_type":"a","timestamp":1690000000}`,
			`{"user_id":1,"event_type":"a","timestamp":1690000000,"payload":{"a":[{"b":1,"\u0062":2}]}}`,
		},
		explains: func(c *comparison, v binding.Violation) bool {
			// It has looked at another value: nothing more can be told of this one.
			return c.underTwice(v.Pointer)
		},
	},
	{
		name:     "half of a surrogate pair",
		reason:   "it is not a character, so that no database can keep it; the oracle's decoder silently makes it U+FFFD",
		examples: []string{`{"user_id":1,"event_type":"a","timestamp":1690000000,"payload":{"a":"\ud800"}}`, `{"user_id":1,"event_type":"a","timestamp":1690000000,"payload":{"\udfff":1}}`},
		explains: func(c *comparison, v binding.Violation) bool {
			return v.Code == "lone_surrogate" && !c.underTwice(v.Pointer) && surrogate.Match(c.body) &&
				c.at(v.Pointer, func(name string, value any) bool {
					text, _ := value.(string)
					return strings.ContainsRune(name+text, utf8.RuneError)
				})
		},
	},
	{
		name:     "bytes that are not UTF-8",
		reason:   "RFC 8259 demands UTF-8; the oracle's decoder silently makes them U+FFFD",
		examples: []string{"{\"user_id\":1,\"event_type\":\"a\",\"timestamp\":1690000000,\"payload\":{\"a\":\"\xff\"}}"},
		explains: func(c *comparison, v binding.Violation) bool {
			return v.Code == invalidJSON && !utf8.Valid(c.body)
		},
	},
	{
		name:     "data after the value",
		reason:   "a body is one JSON text; the oracle's decoder silently ignores what comes after it",
		examples: []string{`{"user_id":1,"event_type":"a","timestamp":1690000000} {"user_id":2}`},
		explains: func(c *comparison, v binding.Violation) bool {
			return v.Code == invalidJSON && utf8.Valid(c.body) && len(bytes.Trim(c.rest, " \t\r\n")) > 0
		},
	},
	{
		name:   "an integer written with fraction or exponent",
		reason: "1.0 and 1e3 are integers to JSON Schema, but who writes them computes in floating point, and a rounded id is another id",
		examples: []string{
			`{"user_id":1.0,"event_type":"a","timestamp":1690000000}`,
			`{"user_id":1,"event_type":"a","timestamp":169e7}`,
		},
		explains: func(c *comparison, v binding.Violation) bool {
			return v.Code == "type" && !c.underTwice(v.Pointer) &&
				c.at(v.Pointer, func(_ string, value any) bool {
					number, _ := value.(json.Number)
					return strings.ContainsAny(string(number), ".eE")
				})
		},
	},
	{
		name:     "an integer beyond int64 that float64 rounds into it",
		reason:   "the oracle compares as float64, to which 9223372036854775808 is the largest int64; stored, it would be another number",
		examples: []string{`{"user_id":9223372036854775808,"event_type":"a","timestamp":1690000000}`},
		explains: func(c *comparison, v binding.Violation) bool {
			return (v.Code == "maximum" || v.Code == "minimum") && !c.underTwice(v.Pointer) &&
				c.at(v.Pointer, func(_ string, value any) bool {
					number, _ := value.(json.Number)
					n, isInteger := new(big.Int).SetString(string(number), 10)
					return isInteger && !n.IsInt64()
				})
		},
	},
	{
		name:     "a UUID in upper case, or the nil UUID",
		reason:   "one event has one spelling of its id, whatever compares it; the nil UUID is what a client sends that forgot to make one",
		examples: []string{`{"user_id":1,"event_type":"a","timestamp":1690000000,"event_id":"01890A5D-AC96-774B-BCCE-B302099A8057"}`, `{"user_id":1,"event_type":"a","timestamp":1690000000,"event_id":"00000000-0000-0000-0000-000000000000"}`},
		explains: func(c *comparison, v binding.Violation) bool {
			return v.Code == "format" && !c.underTwice(v.Pointer) &&
				c.at(v.Pointer, func(_ string, value any) bool {
					text, _ := value.(string)
					return notCanonical(text)
				})
		},
	},
}

var surrogate = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}|\\u[dD][c-fC-F][0-9a-fA-F]{2}`)

// notCanonical reports whether a UUID by the grammar of its format is one that we
// refuse.
func notCanonical(text string) bool {
	return uuidGrammar.Validate(text) == nil && (text != strings.ToLower(text) || text == "00000000-0000-0000-0000-000000000000")
}

// hiding are violations of ours that stand for whatever else the oracle finds at
// the same place or below it, and why.
var hiding = map[string]string{
	"type":            "the rules for a type aren't applied to a value of another",
	"lone_surrogate":  "text that isn't text isn't held against the rules for text",
	"duplicate_field": "the oracle looks at the last of the values, we at the first",
	"max_items":       "items beyond the maximum aren't looked at",
}

// codes are the violations of ours that say the same as a keyword of the oracle's.
var codes = map[string][]string{
	"required":      {"required"},
	"properties":    {"unknown_field"},
	"type":          {"type"},
	"nullable":      {"type"},
	"enum":          {"enum", "type"}, // it compares with the enum before it looks at the type
	"minLength":     {"min_length"},
	"maxLength":     {"max_length"},
	"pattern":       {"pattern"},
	"minimum":       {"minimum"},
	"maximum":       {"maximum"},
	"format":        {"format", "minimum", "maximum"}, // int32 and int64 are ranges
	"minItems":      {"min_items"},
	"maxItems":      {"max_items"},
	"maxProperties": {"max_properties"},
	"anyOf":         {}, // that any value is welcome
}

// invalidJSON is the code that stands for a *binding.SyntaxError here.
const invalidJSON = "invalid_json"

// finding is one error of the oracle's.
type finding struct {
	pointer, keyword string
}

func (f finding) is(v binding.Violation) bool {
	return f.pointer == v.Pointer && slices.Contains(codes[f.keyword], v.Code)
}

// failer is what a comparison needs of a test: *testing.T and *rapid.T have it.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// comparison is what both say of a body.
type comparison struct {
	body []byte
	ours []binding.Violation

	value    any    // what the oracle read
	rest     []byte // what it left
	unread   error  // why it could read nothing
	findings []finding
	twice    []string // pointers to the names that are given twice, by a reader of its own
}

// compare holds our verdict on a body against the oracle's.
func compare(t failer, r request, body []byte) *comparison {
	t.Helper()
	c := &comparison{body: body}
	value := r.empty()
	var err error
	c.ours, err = binding.Body(bytes.NewReader(body), value)
	var syntax *binding.SyntaxError
	switch {
	case errors.As(err, &syntax):
		c.ours = []binding.Violation{{Code: invalidJSON, Detail: syntax.Reason}}
	case err != nil:
		t.Fatalf("%s\nreading it failed: %v", quote(body), err)
	}

	// As openapi3filter does it.
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if c.unread = decoder.Decode(&c.value); c.unread == nil {
		c.rest = body[decoder.InputOffset():]
		c.findings = flatten(r.schema.VisitJSON(c.value, oracleOptions()...))
		c.twice = namesTwice(body)
	}
	c.judge(t, r, value)
	return c
}

func (c *comparison) judge(t failer, r request, value binding.Value) {
	t.Helper()
	switch {
	case len(c.ours) == 0 && (c.unread != nil || len(c.findings) > 0 && !c.allHuge()):
		t.Fatalf("%s\nwe accept what the oracle refuses: %v %v", quote(c.body), c.unread, c.findings)
	case len(c.ours) == 0:
		c.same(t, value)
		return
	case c.unread != nil:
		// Neither can read it; what we call a violation instead is one of two things.
		v := c.ours[0]
		blank := v.Code == "required" && len(bytes.TrimSpace(c.body)) == 0
		deep := v.Code == "too_deep" && bytes.Count(c.body, []byte("["))+bytes.Count(c.body, []byte("{")) >= 10_000
		if len(c.ours) != 1 || v.Pointer != "" || v.Code != invalidJSON && !blank && !deep {
			t.Fatalf("%s\nthe oracle can't read it (%v), and we say %v", quote(c.body), c.unread, c.ours)
		}
		return
	}
	for _, v := range c.ours {
		if slices.ContainsFunc(c.findings, func(f finding) bool { return f.is(v) }) {
			continue
		}
		if by := c.explanations(v); len(by) != 1 {
			t.Fatalf("%s\nour %+v is none of the oracle's %v; differences that explain it: %q", quote(c.body), v, c.findings, by)
		}
	}
	if len(c.ours) == binding.MaxViolations || c.ours[0].Code == invalidJSON {
		return
	}
	for _, f := range c.findings {
		if f.isHuge(c) {
			continue // the oracle reads every number as a float64, and this one is none
		}
		if !slices.ContainsFunc(c.ours, func(v binding.Violation) bool { return f.is(v) || hides(r.schema, v, f) }) {
			t.Fatalf("%s\nthe oracle finds %v, which is none of ours: %+v", quote(c.body), f, c.ours)
		}
	}
}

// isHuge reports whether a value is a number that no float64 is.
func isHuge(_ string, value any) bool {
	number, ok := value.(json.Number)
	_, err := number.Float64()
	return ok && err != nil
}

// allHuge reports whether the oracle minds nothing but numbers that no float64 is, where
// any value is welcome.
func (c *comparison) allHuge() bool {
	return !slices.ContainsFunc(c.findings, func(f finding) bool { return !f.isHuge(c) })
}

// isHuge reports whether a finding is that a number is no float64, where any value is
// welcome.
func (f finding) isHuge(c *comparison) bool {
	return (f.keyword == "type" || f.keyword == "anyOf") && c.at(f.pointer, holdsHuge)
}

// holdsHuge reports whether a value is such a number, or an array with one in it.
func holdsHuge(name string, value any) bool {
	if array, ok := value.([]any); ok {
		return slices.ContainsFunc(array, func(item any) bool { return holdsHuge("", item) })
	}
	return isHuge(name, value)
}

// explanations names the differences that a violation is a case of.
func (c *comparison) explanations(v binding.Violation) (names []string) {
	for _, d := range deliberate {
		if d.explains(c, v) {
			names = append(names, d.name)
		}
	}
	return names
}

// same checks that what we decoded is what the oracle decoded, digit by digit.
func (c *comparison) same(t failer, value binding.Value) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("%s\nwhat we read can't be written: %v", quote(c.body), err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var again any
	if err := decoder.Decode(&again); err != nil || !reflect.DeepEqual(again, c.value) {
		t.Fatalf("%s\nwe read %s", quote(c.body), text)
	}
}

// hides reports whether a violation stands for a finding.
func hides(schema *openapi3.Schema, v binding.Violation, f finding) bool {
	below, under := strings.CutPrefix(f.pointer, v.Pointer)
	if _, ok := hiding[v.Code]; !ok || !under || below != "" && below[0] != '/' {
		return false
	}
	if v.Code != "max_items" {
		return true
	}
	array := schemaAt(schema, v.Pointer)
	item, _, _ := strings.Cut(strings.TrimPrefix(below, "/"), "/")
	index, err := strconv.ParseUint(item, 10, 64)
	return err == nil && index >= *array.MaxItems
}

// schemaAt returns the schema of the value that a pointer leads to.
func schemaAt(schema *openapi3.Schema, pointer string) *openapi3.Schema {
	for _, token := range tokens(pointer) {
		if schema.Items != nil {
			schema = schema.Items.Value
		} else {
			schema = schema.Properties[token].Value
		}
	}
	return schema
}

// underTwice reports whether a name on the way to a place is given twice.
func (c *comparison) underTwice(pointer string) bool {
	return slices.ContainsFunc(c.twice, func(p string) bool {
		return pointer == p || strings.HasPrefix(pointer, p+"/")
	})
}

// flatten lists the oracle's errors.
func flatten(err error) (all []finding) {
	var several openapi3.MultiError
	var one *openapi3.SchemaError
	switch {
	case err == nil:
		return nil
	case reflect.TypeOf(err) == reflect.TypeFor[openapi3.MultiError]():
		errors.As(err, &several)
		for _, e := range several {
			all = append(all, flatten(e)...)
		}
	case errors.As(err, &one):
		if _, known := codes[one.SchemaField]; !known {
			panic("the oracle checks a keyword that codes doesn't have: " + one.SchemaField)
		}
		pointer := ""
		for _, token := range one.JSONPointer() {
			pointer += "/" + escape(token)
		}
		if one.SchemaField != "properties" {
			return []finding{{pointer, one.SchemaField}}
		}
		// Of an unknown name it tells only the object, once for each.
		for name := range one.Value.(map[string]any) {
			if one.Schema.Properties[name] == nil {
				all = append(all, finding{pointer + "/" + escape(name), one.SchemaField})
			}
		}
	default:
		panic(fmt.Sprintf("the oracle returns a %T: %v", err, err))
	}
	return all
}

// escape makes a name a token of a JSON Pointer, cut as ours are.
func escape(name string) string {
	if len(name) > 64 {
		cut := 64
		for !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "…"
	}
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// tokens splits a pointer into tokens, still escaped.
func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	return strings.Split(pointer[1:], "/")
}

// at reports whether is holds of the value that the oracle read at a pointer, and of
// the last name on the way there. Where names were cut, that may be one of several.
func (c *comparison) at(pointer string, is func(name string, value any) bool) bool {
	type place struct {
		name  string
		value any
	}
	places := []place{{"", c.value}}
	for _, token := range tokens(pointer) {
		var next []place
		for _, p := range places {
			switch v := p.value.(type) {
			case map[string]any:
				for name := range v {
					if escape(name) == token {
						next = append(next, place{name, v[name]})
					}
				}
			case []any:
				if i, err := strconv.Atoi(token); err == nil && i < len(v) {
					next = append(next, place{token, v[i]})
				}
			}
		}
		places = next
	}
	return slices.ContainsFunc(places, func(p place) bool { return is(p.name, p.value) })
}

// namesTwice returns pointers to the names that an object has twice. It reads with
// encoding/json, which has no opinion on them.
func namesTwice(body []byte) (pointers []string) {
	type level struct {
		names map[string]bool // nil in an array
		name  string
		index int
		value bool // in an object: a name was read
	}
	var stack []level
	pointer := func() string {
		var b strings.Builder
		for _, l := range stack {
			if l.names != nil {
				b.WriteString("/" + escape(l.name))
			} else {
				fmt.Fprintf(&b, "/%d", l.index)
			}
		}
		return b.String()
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // 1e400 is no float64
	for {
		token, err := decoder.Token()
		if err != nil {
			return pointers
		}
		if name, isText := token.(string); isText && len(stack) > 0 {
			if top := &stack[len(stack)-1]; top.names != nil && !top.value {
				again := top.names[name]
				top.names[name], top.name, top.value = true, name, true
				if again {
					pointers = append(pointers, pointer())
				}
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
			continue
		case json.Delim('['):
			stack = append(stack, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) == 0 {
			return pointers // the first value has ended
		}
		top := &stack[len(stack)-1]
		top.value = false
		top.index++
	}
}

// quote shows a body, shortened, and keeps all of it in a file if it was long.
func quote(body []byte) string {
	if len(body) <= 2000 {
		return strconv.Quote(string(body))
	}
	file, err := os.CreateTemp("", "body-*.json")
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	_, err = io.Copy(file, bytes.NewReader(body))
	return fmt.Sprintf("%q… (%d bytes, all in %s; %v)", body[:2000], len(body), file.Name(), err)
}

func TestDeliberateDifferences(t *testing.T) {
	t.Parallel()
	for _, d := range deliberate {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for _, example := range d.examples {
				c := compare(t, requests()["Event"], []byte(example))
				if c.unread != nil || len(c.findings) > 0 {
					t.Errorf("the oracle refuses %s too: %v %v", example, c.unread, c.findings)
				}
				if len(c.ours) == 0 {
					t.Errorf("we accept %s", example)
				}
				for _, v := range c.ours {
					if by := c.explanations(v); !slices.Equal(by, []string{d.name}) {
						t.Errorf("%s: %v is explained by %q", example, v, by)
					}
				}
			}
		})
	}
}

func TestNamesTwice(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`{"a":1,"b":2}`:                       nil,
		`{"a":1,"a":2}`:                       {"/a"},
		`{"":{"":1,"":2}}`:                    {"//"},
		`[{"a":[]},{"a":[[],{"b":1,"b":1}]}]`: {"/1/a/1/b"},
		`{"a":{"x":1},"b":{"x":1}}`:           nil,
		`{"a":"a","b":"a"} {"a":1,"a":1}`:     nil,
		`{"a~/":{"b":1},"a~/":{}}`:            {"/a~0~1"},
	} {
		if got := namesTwice([]byte(body)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// FuzzEventBytes compares any bytes.
func FuzzEventBytes(f *testing.F) {
	for _, body := range seeds() {
		f.Add([]byte(body))
	}
	event := requests()["Event"]
	f.Fuzz(func(t *testing.T, body []byte) {
		compare(t, event, body)
	})
}

// TestLargeBodies compares bodies that are too large to be seeds: the fuzzer tries to
// make every input that it finds interesting smaller, for up to a minute each, and
// with large ones does nothing else.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	large := []string{object(120), strings.Replace(good, `{"item":"book"}`, object(256), 1), strings.Replace(good, `{"item":"book"}`, object(257), 1)}
	// The tokenizers' own bounds on nesting.
	for depth := 9_997; depth <= 10_003; depth++ {
		large = append(large, strings.Replace(good, `{"item":"book"}`, `{"a":`+strings.Repeat(`[`, depth)+strings.Repeat(`]`, depth)+`}`, 1))
	}
	for _, body := range large {
		compare(t, requests()["Event"], []byte(body))
	}
}

// seeds are bodies from which the fuzzer sets out: small ones, see TestLargeBodies.
func seeds() []string {
	bodies := []string{
		good, "", " ", "null", "[]", "{}", good + good, "\ufeff" + good,
		`{"user_id":0,"event_type":"","timestamp":5,"payload":[],"event_id":"x","x":1}`,
		`{"user_id":9223372036854775807,"event_type":"a.b:c-d_e","timestamp":946684800,"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","payload":{}}`,
		`{"user_id":-9223372036854775809,"event_type":" ","timestamp":946684799,"event_id":null,"payload":null}`,
		`{"user_id":1e400,"event_type":["a"],"timestamp":-1.5,"event_id":{},"payload":true}`,
		`{"user\u005fid":1,"user_id":"2","":{"":0,"":1},"payload":{"\ud800":"\udc00","a":{"b":"\ud83d\ude00"}}}`,
		`{"` + strings.Repeat("é", 40) + `":1,"` + strings.Repeat("é", 41) + `":1}`,
	}
	for _, d := range deliberate {
		bodies = append(bodies, d.examples...)
	}
	return bodies
}

// FuzzEventFromSchema compares bodies that are made from the schema.
func FuzzEventFromSchema(f *testing.F) {
	event := requests()["Event"]
	fuzzDrawn(f, func(t *rapid.T) { compareGenerated(t, event) })
}

// fuzzDrawn lets the fuzzer choose what a property draws. Its input is where the
// draws begin; they go on with numbers made from it. So inputs are small, see
// TestLargeBodies, and none is too short to draw from, which rapid would skip.
func fuzzDrawn(f *testing.F, property func(*rapid.T)) {
	for seed := range byte(8) {
		f.Add([]byte{seed, 2, 3, 4, 5, 6, 7, 8})
	}
	check := rapid.MakeFuzz(property)
	f.Fuzz(func(t *testing.T, input []byte) {
		hash := fnv.New64a()
		hash.Write(input)
		random := rand.New(rand.NewPCG(hash.Sum64(), 0))
		draws := slices.Clip(input)
		for len(draws) < 32<<10 {
			draws = binary.LittleEndian.AppendUint64(draws, random.Uint64())
		}
		check(t, draws)
	})
}

func TestEventFromSchema(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { compareGenerated(t, requests()["Event"]) })
}

func compareGenerated(t *rapid.T, r request) {
	compare(t, r, []byte(bodies(r.schema).Draw(t, "body")))
}

// generations returns how many bodies are generated: all where tests run at their full length,
// as make nightly has them, else the first quarter.
func generations(all int) int {
	if os.Getenv("ANALYTICS_TEST_LONG") != "" {
		return all
	}
	return all / 4
}

// TestGeneratorReachesBounds: the bodies that are generated are of every sort that
// matters; otherwise comparing them would say little.
func TestGeneratorReachesBounds(t *testing.T) {
	t.Parallel()
	event, seen, accepted, all := requests()["Event"], map[string]int{}, 0, 0
	generated := bodies(event.schema)
	// The generator's distribution is fixed by the seeds, so that this isn't chance.
	for seed := range generations(4_000) {
		c := compare(t, event, []byte(generated.Example(seed)))
		all++
		if len(c.ours) == 0 {
			accepted++
		}
		for _, v := range c.ours {
			seen[v.Code]++
			if by := c.explanations(v); len(by) == 1 {
				seen[by[0]]++
			}
		}
	}
	if accepted < all/10 || accepted > all*9/10 {
		t.Errorf("%d of %d bodies are accepted", accepted, all)
	}
	wanted := []string{invalidJSON, "required", "type", "unknown_field", "duplicate_field", "lone_surrogate"}
	for _, d := range deliberate {
		wanted = append(wanted, d.name)
	}
	for _, code := range append(wanted, breakable(event.schema)...) {
		if seen[code] < 5 {
			t.Errorf("%q was seen %d times in %d bodies", code, seen[code], all)
		}
	}
	t.Logf("%d of %d accepted; seen: %v", accepted, all, seen)
}

// breakable returns the codes of the rules that a schema has, below it too.
func breakable(schema *openapi3.Schema) (all []string) {
	for code, has := range map[string]bool{
		"min_length":     schema.MinLength > 0,
		"max_length":     schema.MaxLength != nil,
		"pattern":        schema.Pattern != "",
		"format":         schema.Format == "uuid",
		"enum":           schema.Enum != nil,
		"minimum":        schema.Type.Is("integer"),
		"maximum":        schema.Type.Is("integer"),
		"min_items":      schema.MinItems > 0,
		"max_items":      schema.MaxItems != nil,
		"max_properties": schema.MaxProps != nil,
	} {
		if has {
			all = append(all, code)
		}
	}
	if schema.Items != nil {
		all = append(all, breakable(schema.Items.Value)...)
	}
	for _, p := range schema.Properties {
		all = append(all, breakable(p.Value)...)
	}
	return all
}
