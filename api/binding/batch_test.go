package binding_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
)

var (
	arrays = binding.Frame{Member: "events", MaxItems: 8, MaxItemBytes: 500}
	lines  = binding.Frame{Lines: true, MaxItems: 8, MaxItemBytes: 500}
)

func readBatch(body string, frame binding.Frame) (*binding.Batch[api.Event], error) {
	return binding.ReadBatch[api.Event](strings.NewReader(body), frame, nil)
}

// found writes a batch's faults as "index pointer code".
func found(b *binding.Batch[api.Event]) []string {
	var all []string
	for _, f := range b.Faults {
		for _, v := range f.Violations {
			all = append(all, fmt.Sprintf("%d %s %s", f.Index, v.Pointer, v.Code))
		}
	}
	return all
}

func TestBatches(t *testing.T) {
	t.Parallel()
	const (
		good    = `{"user_id":1,"event_type":"a","timestamp":1690000000}`
		bad     = `{"user_id":0,"event_type":"a","timestamp":1690000000,"payload":1}`
		twice   = `{"user_id":1,"user_id":2,"event_type":"a","timestamp":1690000000}`
		lone    = `{"user_id":1,"event_type":"a","timestamp":1690000000,"payload":{"a":"\ud800"}}`
		badFind = "0 /user_id minimum|0 /payload type"
	)
	large := `{"user_id":1,"event_type":"a","timestamp":1690000000,"payload":{"a":"` + strings.Repeat("x", 500) + `"}}`
	for name, test := range map[string]struct {
		body  string
		frame binding.Frame
		items int
		found string // joined by |
		err   string // what the error says
	}{
		"an array":                {"[" + good + "," + good + "]", arrays, 2, "", ""},
		"an envelope":             {`{"events":[` + good + `]}`, arrays, 1, "", ""},
		"lines":                   {good + "\n" + good + "\n", lines, 2, "", ""},
		"a last line without end": {good + "\r\n\n  \n" + good, lines, 2, "", ""},
		"the last is bad":         {"[" + good + "," + bad + "]", arrays, 2, strings.ReplaceAll(badFind, "0 /", "1 /"), ""},
		"the first is bad":        {bad + "\n" + good, lines, 2, badFind, ""},
		"a name given twice":      {"[" + bad + "," + twice + "," + good + "]", arrays, 3, badFind + "|1 /user_id duplicate_field", ""},
		"half a surrogate pair":   {"[" + good + "," + lone + "]", arrays, 2, "1 /payload/a lone_surrogate", ""},
		"no objects":              {`[1,null,[],"x"]`, arrays, 4, "0  type|1  type|2  type|3  type", ""},
		"lines that aren't JSON":  {"{\nnonsense\n" + good + "\n\xff\n" + good + " x", lines, 5, "0  invalid_json|1  invalid_json|3  invalid_json|4  invalid_json", ""},
		"a large event":           {"[" + good + "," + large + "," + good + "]", arrays, 3, "1  too_large", ""},
		"a large line":            {good + "\n" + large + "\n" + good, lines, 3, "1  too_large", ""},
		"a large last line":       {large + large, lines, 1, "0  too_large", ""},

		"nothing":                   {"", arrays, 0, "", " required"},
		"no lines":                  {"\n \n", lines, 0, "", " min_items"},
		"an empty array":            {"[]", arrays, 0, "", " min_items"},
		"an empty array inside":     {`{"events":[]}`, arrays, 0, "", "/events min_items"},
		"an empty object":           {`{}`, arrays, 0, "", "/events required"},
		"another member":            {`{"events":[` + good + `],"Events":[]}`, arrays, 0, "", "/Events unknown_field"},
		"the member twice":          {`{"events":[` + good + `],"events":[` + good + `]}`, arrays, 0, "", "/events duplicate_field"},
		"the member is no array":    {`{"events":{}}`, arrays, 0, "", "/events type"},
		"neither array nor object":  {`"x"`, arrays, 0, "", " type"},
		"an array, then more":       {"[" + good + "] []", arrays, 0, "", "more data after the value"},
		"half an array":             {"[" + good + ",", arrays, 0, "", "EOF"},
		"not UTF-8 in an array":     {"[" + good + ",\"\xff\"]", arrays, 0, "", "invalid UTF-8"},
		"too many in an array":      {"[" + strings.Repeat(good+",", 8) + good + "]", arrays, 0, "", "more than 8 items"},
		"too many lines":            {strings.Repeat(good+"\n", 9), lines, 0, "", "more than 8 items"},
		"too many, one given twice": {"[" + twice + strings.Repeat(","+good, 8) + "]", arrays, 0, "", "more than 8 items"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			batch, err := readBatch(test.body, test.frame)
			if test.err != "" {
				text := fmt.Sprint(err)
				var validation *binding.ValidationError
				if errors.As(err, &validation) {
					text = ""
					for _, v := range validation.Violations {
						text += v.Pointer + " " + v.Code
					}
					if text != test.err {
						t.Errorf("violations %q, want %q", text, test.err)
					}
				} else if !strings.Contains(text, test.err) {
					t.Errorf("failed with %q, want %q", text, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(found(batch), "|"); len(batch.Items) != test.items || got != test.found {
				t.Errorf("%d items, found %q; want %d, %q", len(batch.Items), got, test.items, test.found)
			}
		})
	}
}

// TestBatchesAreReadLikeSingles: whatever the frame, and however the body arrives,
// each event is found to be what it is alone.
func TestBatchesAreReadLikeSingles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bodies := rapid.SliceOfN(rapid.OneOf(
			rapid.Custom(func(t *rapid.T) string { return drawBody(t, document().Components.Schemas["Event"].Value) }),
			rapid.SampledFrom([]string{"1", "{}", `{"user_id":1,"user_id":1}`, `[{}]`, `"\ud800"`, "null"}),
		), 1, 8).Draw(t, "events")
		checkLikeSingles(t, bodies)
	})
}

// checkLikeSingles compares a batch in every frame with its events alone.
func checkLikeSingles(t interface{ Fatalf(string, ...any) }, bodies []string) {
	type single struct {
		event api.Event
		found []string
	}
	singles := make([]single, len(bodies))
	wellFormed := true
	for i, body := range bodies {
		violations, err := binding.Body(strings.NewReader(body), &singles[i].event)
		if blank := strings.TrimSpace(body) == ""; err != nil || blank {
			wellFormed = false // as part of an array
			violations = []binding.Violation{{Code: "invalid_json"}}
			singles[i].event = api.Event{}
		}
		for _, v := range violations[:min(len(violations), 10)] {
			singles[i].found = append(singles[i].found, fmt.Sprintf("%d %s %s", i, v.Pointer, v.Code))
		}
	}
	frames := map[string]binding.Frame{}
	if wellFormed {
		frames["["+strings.Join(bodies, " ,\n")+"]"] = binding.Frame{Member: "events", MaxItems: 100, MaxItemBytes: 1 << 20}
		frames[`{ "events" : [`+strings.Join(bodies, ",")+`] }`] = binding.Frame{Member: "events", MaxItems: 100, MaxItemBytes: 1 << 20}
	}
	blank := func(body string) bool { return strings.TrimSpace(body) == "" } // among lines it is no event
	if !strings.ContainsAny(strings.Join(bodies, ""), "\r\n") && !slices.ContainsFunc(bodies, blank) {
		frames[strings.Join(bodies, "\n")] = binding.Frame{Lines: true, MaxItems: 100, MaxItemBytes: 1 << 20}
	}
	for body, frame := range frames {
		for name, reader := range map[string]io.Reader{
			"at once": strings.NewReader(body), "byte by byte": iotest.OneByteReader(strings.NewReader(body)), "with its end": iotest.DataErrReader(strings.NewReader(body)),
		} {
			batch, err := binding.ReadBatch[api.Event](reader, frame, nil)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, body)
			}
			var want []string
			for i, s := range singles {
				want = append(want, s.found...)
				if got := batch.Items[i]; len(batch.Items) != len(bodies) || got.UserID != s.event.UserID || got.EventType != s.event.EventType || got.Timestamp != s.event.Timestamp ||
					!bytes.Equal(got.Payload, s.event.Payload) || (got.EventID == nil) != (s.event.EventID == nil) || got.EventID != nil && *got.EventID != *s.event.EventID {
					t.Fatalf("%s: event %d of %d is %+v, alone %+v\n%s", name, i, len(batch.Items), got, s.event, body)
				}
			}
			if got := found(batch); !slices.Equal(got, want) {
				t.Fatalf("%s: found %q, alone %q\n%s", name, got, want, body)
			}
		}
	}
}

// FuzzBatch holds batches against their events alone.
func FuzzBatch(f *testing.F) {
	f.Add(`{"user_id":1,"event_type":"a","timestamp":1690000000}`, `{"user_id":1,"user_id":1}`, "x")
	f.Add(`{"payload":{"a":"\ud800"}}`, "\xff", `[{},{}]`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		checkLikeSingles(t, []string{a, b, c})
	})
}

func TestViolationsOfABatchAreBounded(t *testing.T) {
	t.Parallel()
	many := "{" + strings.TrimSuffix(strings.Repeat(`"":1,`, 100), ",") + "}"
	for name, frame := range map[string]binding.Frame{"array": {MaxItems: 3000, MaxItemBytes: 1 << 20}, "lines": {Lines: true, MaxItems: 3000, MaxItemBytes: 1 << 20}} {
		body := strings.Repeat(many+"\n", 2000)
		if !frame.Lines {
			body = "[" + strings.TrimSuffix(strings.Repeat(many+",", 2000), ",") + "]"
		}
		batch, err := readBatch(body, frame)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for i, f := range batch.Faults {
			if total += len(f.Violations); i < 1000 && len(f.Violations) != 10 || i >= 1000 && len(f.Violations) != 1 {
				t.Fatalf("%s: %d violations of item %d", name, len(f.Violations), i)
			}
		}
		if len(batch.Faults) != 2000 || total != 11_000 {
			t.Errorf("%s: %d faults, %d violations", name, len(batch.Faults), total)
		}
	}
}

func TestErrorsOfReadingEndABatch(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, frame := range []binding.Frame{arrays, lines} {
		body := io.MultiReader(strings.NewReader(`{"user_id":1,"event_type":"a","timestamp":1690000000}`+"\n{"), iotest.ErrReader(broken))
		if _, err := binding.ReadBatch[api.Event](body, frame, nil); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
}
