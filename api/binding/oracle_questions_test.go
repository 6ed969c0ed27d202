package binding_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// questionNames are the request bodies that aren't events.
func questionNames() []string {
	names := slices.Sorted(maps.Keys(requests()))
	return slices.DeleteFunc(names, func(name string) bool { return name == "Event" })
}

func TestQuestionsFromSchema(t *testing.T) {
	t.Parallel()
	for _, name := range questionNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { compareGenerated(t, requests()[name]) })
		})
	}
}

// examplesOf are the contract's examples of a request body, as JSON.
func examplesOf(t failer, name string) (texts []string) {
	for _, item := range document().Paths.Map() {
		for _, operation := range item.Operations() {
			if operation.RequestBody == nil {
				continue
			}
			media := operation.RequestBody.Value.Content["application/json"]
			if media == nil || !strings.HasSuffix(media.Schema.Ref, "/"+name) {
				continue
			}
			for _, key := range slices.Sorted(maps.Keys(media.Examples)) {
				text, err := json.Marshal(media.Examples[key].Value.Value)
				if err != nil {
					t.Fatalf("%v", err)
				}
				texts = append(texts, string(text))
			}
		}
	}
	return texts
}

// altered draws an example with one of its values replaced, at most.
func altered(t *rapid.T, examples []string) string {
	var value any
	decoder := json.NewDecoder(strings.NewReader(rapid.SampledFrom(examples).Draw(t, "example")))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	left := rapid.IntRange(0, 40).Draw(t, "place")
	return write(t, value, &left)
}

// write writes a value, with another one in place of that for which left is 0.
func write(t *rapid.T, value any, left *int) string {
	if *left--; *left == -1 {
		return drawAny(t, 2)
	}
	switch v := value.(type) {
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = write(t, v[i], left)
		}
		return "[" + strings.Join(items, ",") + "]"
	case map[string]any:
		var members []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			members = append(members, quoteJSON(name)+":"+write(t, v[name], left))
		}
		return "{" + strings.Join(members, ",") + "}"
	case string:
		return quoteJSON(v)
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(value)
}

// TestQuestionsReachTheirBounds: what is generated breaks each rule, and examples of the
// contract are accepted unless one of their values is replaced by a wrong one.
func TestQuestionsReachTheirBounds(t *testing.T) {
	t.Parallel()
	for _, name := range questionNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, seen, accepted := requests()[name], map[string]int{}, 0
			examples := examplesOf(t, name)
			generated := bodies(r.schema)
			mutants := rapid.Custom(func(t *rapid.T) string { return altered(t, examples) })
			for seed := range generations(2_000) {
				for _, body := range []string{generated.Example(seed), mutants.Example(seed)} {
					c := compare(t, r, []byte(body))
					if len(c.ours) == 0 {
						accepted++
					}
					for _, v := range c.ours {
						seen[v.Code]++
					}
				}
			}
			if all := 2 * generations(2_000); accepted < all/8 || accepted > all/2 {
				t.Errorf("%d of %d bodies are accepted", accepted, all)
			}
			for _, code := range append([]string{"required", "type", "unknown_field", "duplicate_field"}, breakable(r.schema)...) {
				if seen[code] < 5 {
					t.Errorf("%q was seen %d times", code, seen[code])
				}
			}
		})
	}
}

// FuzzQuestionsFromSchema compares bodies that are made from the schemas.
func FuzzQuestionsFromSchema(f *testing.F) {
	names := questionNames()
	fuzzDrawn(f, func(t *rapid.T) { compareGenerated(t, requests()[rapid.SampledFrom(names).Draw(t, "schema")]) })
}
