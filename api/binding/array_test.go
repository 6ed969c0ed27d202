package binding_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
)

// batch decodes an array of events as api/templates/typedef.tmpl would.
type batch struct {
	rule   binding.Array
	events []api.Event
}

func (v *batch) DecodeJSON(d *binding.Decoder) {
	if !d.BeginArray(&v.rule) {
		return
	}
	v.events = []api.Event{}
	for d.NextItem() {
		v.events = append(v.events, api.Event{})
		v.events[len(v.events)-1].DecodeJSON(d)
	}
}

// MarshalJSON writes the events, for comparing.
func (v *batch) MarshalJSON() ([]byte, error) { return json.Marshal(v.events) }

func TestArrays(t *testing.T) {
	t.Parallel()
	const bad = `{"user_id":0,"event_type":"a","timestamp":1690000000}`
	list := func(items ...string) string { return "[" + strings.Join(items, ",") + "]" }
	for name, test := range map[string]struct {
		body string
		read int
		want []string
	}{
		"one":                       {list(good), 1, nil},
		"as many as allowed":        {" [ " + good + " ,\n" + good + " , " + good + " ] ", 3, nil},
		"none":                      {"[]", 0, []string{" min_items"}},
		"one too many":              {list(good, good, good, good), 3, []string{" max_items"}},
		"far too many":              {list(good, good, good, "1", "[]", bad), 3, []string{" max_items"}},
		"too many and a bad one":    {list(bad, good, good, bad), 3, []string{" max_items", "/0/user_id minimum"}},
		"bad ones":                  {list(bad, good, bad), 3, []string{"/0/user_id minimum", "/2/user_id minimum"}},
		"other kinds":               {list("null", "7", "[]"), 3, []string{"/0 type", "/1 type", "/2 type"}},
		"an object":                 {good, 0, []string{" type"}},
		"null":                      {"null", 0, []string{" type"}},
		"a name twice in the third": {list(good, good, strings.Replace(good, `{`, `{"user_id":1,`, 1)), 3, []string{"/2/user_id duplicate_field"}},
		"deep in the second":        {list(good, strings.Replace(good, `"book"`, `[[{"a":1,"a":"\ud800"}]]`, 1)), 2, []string{"/1/payload/item/0/0/a duplicate_field", "/1/payload/item/0/0/a lone_surrogate"}},
		"a name twice in the fifth": {list(good, good, good, good, `{"a":1,"a":1}`), 3, []string{" max_items"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &batch{rule: binding.Array{MinItems: 1, MaxItems: 3}}
			violations, err := binding.Body(strings.NewReader(test.body), v)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, v := range violations {
				found = append(found, v.Pointer+" "+v.Code)
			}
			slices.Sort(found)
			if !slices.Equal(found, test.want) || len(v.events) != test.read {
				t.Errorf("%d events, violations %q; want %d, %q", len(v.events), found, test.read, test.want)
			}
		})
	}
	for _, body := range []string{"[", "[" + good, "[" + good + ",", "[" + good + ",]", "[,]", "[}", "[]]", "[" + good + good + "]", "[" + good + "}"} {
		if violations, err := binding.Body(strings.NewReader(body), &batch{}); err == nil {
			t.Errorf("%s is read, with %v", body, violations)
		}
	}
}

// TestPayloadsAreIndependent: payloads share memory, which must not show.
func TestPayloadsAreIndependent(t *testing.T) {
	t.Parallel()
	body := "[" + good + strings.Repeat(","+good, 99) + "]"
	v := &batch{}
	if violations, err := binding.Body(strings.NewReader(body), v); err != nil || len(violations) > 0 {
		t.Fatal(violations, err)
	}
	for i := range v.events {
		if got := append(v.events[i].Payload, "overwritten"...); !strings.HasPrefix(string(got), `{"item":"book"}`) {
			t.Errorf("the payload of event %d is %s", i, got)
		}
	}
	for i := range v.events {
		if got := string(v.events[i].Payload); got != `{"item":"book"}` {
			t.Errorf("the payload of event %d has become %s", i, got)
		}
	}
}

func TestBatchFromSchema(t *testing.T) {
	t.Parallel()
	most := uint64(3)
	r := request{
		schema: &openapi3.Schema{
			Type:     &openapi3.Types{"array"},
			Items:    document().Components.Schemas["Event"],
			MinItems: 1,
			MaxItems: &most,
		},
		empty: func() binding.Value { return &batch{rule: binding.Array{MinItems: 1, MaxItems: int(most)}} },
	}
	rapid.Check(t, func(t *rapid.T) { compareGenerated(t, r) })
}
