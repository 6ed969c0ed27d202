package binding_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
)

const good = `{"user_id":123,"event_type":"purchase","timestamp":1690000000,"payload":{"item":"book"}}`

// decode reads an event and returns its violations as "pointer code".
func decode(t *testing.T, body string) (api.Event, []string, error) {
	t.Helper()
	var e api.Event
	violations, err := binding.Body(strings.NewReader(body), &e)
	found := make([]string, len(violations))
	for i, v := range violations {
		found[i] = v.Pointer + " " + v.Code
		if v.Detail == "" {
			t.Errorf("%s has no detail", found[i])
		}
	}
	return e, found, err
}

func TestBodyReadsAnEvent(t *testing.T) {
	t.Parallel()
	e, violations, err := decode(t, ` {"event_id":"01890a5d-ac96-774b-bcce-b302099a8057", "timestamp":1690000000,"user_id":9223372036854775807,`+
		`"event_type":"a.b:c-d_e","payload":{ "n": 9007199254740993.10 , "s":"é😀"}} `)
	if err != nil || len(violations) > 0 {
		t.Fatalf("violations %v, error %v", violations, err)
	}
	if e.UserID != 9223372036854775807 || e.EventType != "a.b:c-d_e" || e.Timestamp != 1690000000 {
		t.Errorf("read %+v", e)
	}
	if got := e.EventID.String(); got != "01890a5d-ac96-774b-bcce-b302099a8057" {
		t.Errorf("event_id is %s", got)
	}
	if got := string(e.Payload); got != `{ "n": 9007199254740993.10 , "s":"é😀"}` {
		t.Errorf("the payload isn't as sent: %s", got)
	}
}

func TestBodyReportsEveryViolation(t *testing.T) {
	t.Parallel()
	with := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the good event", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, test := range map[string]struct {
		body string
		want []string
	}{
		"nothing at all":            {``, []string{" required"}},
		"white space":               {" \n", []string{" required"}},
		"an array":                  {`[]`, []string{" type"}},
		"null":                      {`null`, []string{" type"}},
		"a string":                  {`"x"`, []string{" type"}},
		"an empty object":           {`{}`, []string{"/event_type required", "/timestamp required", "/user_id required"}},
		"all fields wrong":          {`{"user_id":0,"event_type":"","timestamp":5,"payload":[],"event_id":"x","x":1}`, []string{"/event_id format", "/event_type min_length", "/event_type pattern", "/payload type", "/timestamp minimum", "/user_id minimum", "/x unknown_field"}},
		"null for required":         {with(`123`, `null`), []string{"/user_id type"}},
		"null for optional":         {with(`{"item":"book"}`, `null`), []string{"/payload type"}},
		"string for integer":        {with(`123`, `"123"`), []string{"/user_id type"}},
		"float for integer":         {with(`1690000000`, `1690000000.0`), []string{"/timestamp type"}},
		"exponent for integer":      {with(`1690000000`, `1e9`), []string{"/timestamp type"}},
		"boolean for integer":       {with(`123`, `true`), []string{"/user_id type"}},
		"negative":                  {with(`123`, `-1`), []string{"/user_id minimum"}},
		"minus zero":                {with(`123`, `-0`), []string{"/user_id minimum"}},
		"past int64":                {with(`123`, `9223372036854775808`), []string{"/user_id maximum"}},
		"far below int64":           {with(`123`, `-99999999999999999999`), []string{"/user_id minimum"}},
		"past int64 and a fraction": {with(`123`, `9223372036854775808.5`), []string{"/user_id type"}},
		"past int64, exponent":      {with(`123`, `92233720368547758070e-1`), []string{"/user_id type"}},
		"number for string":         {with(`"purchase"`, `7`), []string{"/event_type type"}},
		"too long":                  {with(`purchase`, strings.Repeat("a", 129)), []string{"/event_type max_length"}},
		"too long and wrong":        {with(`purchase`, strings.Repeat(" ", 129)), []string{"/event_type max_length", "/event_type pattern"}},
		"an empty name":             {with(`{`, `{"":1,`), []string{"/ unknown_field"}},
		"empty names in payload":    {with(`{"item":"book"}`, `{"":{"":1,"":2}}`), []string{"/payload// duplicate_field"}},
		"257 names and one twice":   {with(`{"item":"book"}`, strings.Replace(object(257), `{`, `{"k":0,`, 1)), []string{"/payload max_properties", "/payload/k duplicate_field"}},
		"256 names and one twice":   {with(`{"item":"book"}`, strings.Replace(object(256), `{`, `{"k":0,`, 1)), []string{"/payload/k duplicate_field"}},
		"duplicate, then deep":      {with(`{"item":"book"}`, `{"a":1,"a":`+strings.Repeat(`[`, 20_000)+strings.Repeat(`]`, 20_000)+`}`), []string{" too_deep"}},
		"bad first character":       {with(`purchase`, `-a`), []string{"/event_type pattern"}},
		"bad character":             {with(`purchase`, `a b`), []string{"/event_type pattern"}},
		"newline at the end":        {with(`purchase`, `a\n`), []string{"/event_type pattern"}},
		"NUL in the type":           {with(`purchase`, `a\u0000`), []string{"/event_type pattern"}},
		"other case":                {with(`event_type`, `EVENT_TYPE`), []string{"/EVENT_TYPE unknown_field", "/event_type required"}},
		"unknown name":              {with(`{`, `{"a/b~c":{"deep":[1,{}]},`), []string{"/a~1b~0c unknown_field"}},
		"long unknown name":         {with(`{`, `{"`+strings.Repeat("é", 100)+`":1,`), []string{"/" + strings.Repeat("é", 32) + "… unknown_field"}},
		"duplicate name":            {with(`{`, `{"user_id":1,`), []string{"/user_id duplicate_field"}},
		"duplicate, escaped":        {with(`{`, `{"user\u005fid":1,`), []string{"/user_id duplicate_field"}},
		"duplicate and wrong":       {with(`{`, `{"user_id":1,"x":2,`), []string{"/user_id duplicate_field", "/x unknown_field"}},
		"duplicate in payload":      {with(`{"item":"book"}`, `{"a":[{"b":1,"b":2}]}`), []string{"/payload/a/0/b duplicate_field"}},
		"two kinds in payload":      {with(`{"item":"book"}`, `{"a":1,"a":"\ud800","c":[0,"\udc00x"]}`), []string{"/payload/a duplicate_field", "/payload/a lone_surrogate", "/payload/c/1 lone_surrogate"}},
		"lone surrogate in type":    {with(`purchase`, `a\ud83d`), []string{"/event_type lone_surrogate"}},
		"lone surrogate as name":    {with(`{"item":"book"}`, `{"\udead":1}`), []string{"/payload/\ufffd lone_surrogate"}},
		"high, then no low":         {with(`book`, `\ud800\u0041`), []string{"/payload/item lone_surrogate"}},
		"upper-case UUID":           {with(`{`, `{"event_id":"01890A5D-AC96-774B-BCCE-B302099A8057",`), []string{"/event_id format"}},
		"UUID in braces":            {with(`{`, `{"event_id":"{01890a5d-ac96-774b-bcce-b302099a8057}",`), []string{"/event_id format"}},
		"URN":                       {with(`{`, `{"event_id":"urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",`), []string{"/event_id format"}},
		"UUID without hyphens":      {with(`{`, `{"event_id":"01890a5dac96774bbcceb302099a8057",`), []string{"/event_id format"}},
		"not hexadecimal":           {with(`{`, `{"event_id":"g1890a5d-ac96-774b-bcce-b302099a8057",`), []string{"/event_id format"}},
		"nil UUID":                  {with(`{`, `{"event_id":"00000000-0000-0000-0000-000000000000",`), []string{"/event_id format"}},
		"257 names":                 {with(`{"item":"book"}`, object(257)), []string{"/payload max_properties"}},
		"256 names":                 {with(`{"item":"book"}`, object(256)), nil},
		"an empty payload":          {with(`{"item":"book"}`, `{ }`), nil},
		"commas and braces in text": {with(`{"item":"book"}`, `{"a":"},{\",\"","b":[{"c":1},{"d":2}]}`), nil},
		"very deep":                 {with(`{"item":"book"}`, strings.Repeat(`{"a":`, 20_000)+`1`+strings.Repeat(`}`, 20_000)), []string{" too_deep"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, found, err := decode(t, test.body)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(found)
			if !slices.Equal(found, test.want) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
}

// object has n members.
func object(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = `"k` + strings.Repeat("x", i) + `":[1,2]`
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestBodyRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"trailing data":               good + `x`,
		"a second value":              good + good,
		"a comment":                   `/* hi */` + good,
		"a byte order mark":           "\ufeff" + good,
		"NaN":                         strings.Replace(good, "123", "NaN", 1),
		"a leading zero":              strings.Replace(good, "123", "0123", 1),
		"a control character":         strings.Replace(good, "book", "bo\nok", 1),
		"a bare NUL":                  strings.Replace(good, "book", "bo\x00ok", 1),
		"invalid UTF-8":               strings.Replace(good, "book", "bo\xffok", 1),
		"UTF-8 surrogate":             strings.Replace(good, "book", "\xed\xa0\x80", 1),
		"a bad escape":                strings.Replace(good, "book", `\x`, 1),
		"truncated":                   good[:len(good)-1],
		"a single quote":              strings.ReplaceAll(good, `"`, `'`),
		"a trailing comma":            strings.Replace(good, `}}`, `,}}`, 1),
		"words":                       `user_id=123`,
		"duplicate, then broken":      `{"user_id":1,"user_id":2,`,
		"lone surrogate, then broken": `{"user_id":"\ud800",`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, violations, err := decode(t, body)
			var syntax *binding.SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("violations %v, error %v; want a syntax error", violations, err)
			}
			if syntax.Reason == "" || strings.Contains(syntax.Reason, "book") {
				t.Errorf("the reason is %q", syntax.Reason)
			}
		})
	}
}

func TestBodyBoundsViolations(t *testing.T) {
	t.Parallel()
	_, violations, err := decode(t, object(200))
	if err != nil || len(violations) != binding.MaxViolations {
		t.Errorf("%d violations, error %v; want %d", len(violations), err, binding.MaxViolations)
	}
}
