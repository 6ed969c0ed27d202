package ingest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func check(e event.Event) []string {
	rules := ingest.NewRules(time.Hour, func() time.Time { return now })
	var found []string
	for _, v := range rules.Check(&e, nil) {
		found = append(found, v.Pointer+" "+v.Code)
	}
	return found
}

func TestRulesOfTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		at   int64
		want []string
	}{
		"unset, reported elsewhere": {0, nil},
		"long ago":                  {946684800, nil},
		"now":                       {now.Unix(), nil},
		"an hour ahead":             {now.Unix() + 3600, nil},
		"more than an hour ahead":   {now.Unix() + 3601, []string{"/timestamp timestamp_in_future"}},
		"milliseconds":              {now.UnixMilli(), []string{"/timestamp timestamp_in_milliseconds"}},
		"microseconds":              {now.UnixMicro(), []string{"/timestamp timestamp_in_milliseconds"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := check(event.Event{OccurredAt: test.at}); !slices.Equal(found, test.want) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
}

func TestRulesOfPayload(t *testing.T) {
	t.Parallel()
	deep := func(levels int) string {
		return strings.Repeat(`{"a":`, levels-1) + `{}` + strings.Repeat(`}`, levels-1)
	}
	deepArray := `{"a":` + strings.Repeat(`[`, 32) + strings.Repeat(`]`, 32) + `}`
	for name, test := range map[string]struct {
		payload string
		want    []string
	}{
		"empty":                    {`{}`, nil},
		"everything that is fine":  {`{"a":[1,-2.5,1e10,0.1000,9007199254740993,true,null,"x\\u0000y","é\"\\"],"b":{"c":[]}}`, nil},
		"32 levels":                {deep(32), nil},
		"33 levels":                {deep(33), []string{"/payload" + strings.Repeat("/a", 32) + " too_deep"}},
		"33 levels with arrays":    {deepArray, []string{"/payload/a" + strings.Repeat("/0", 31) + " too_deep"}},
		"brackets in text":         {`{"a":"` + strings.Repeat(`[{`, 40) + `"}`, nil},
		"NUL in a value":           {`{"a":{"b":["x","y\u0000"]}}`, []string{"/payload/a/b/1 nul_character"}},
		"NUL in a name":            {`{"a":1,"b\u0000":2}`, []string{"/payload nul_character"}},
		"NUL after a backslash":    {`{"a":"\\\u0000"}`, []string{"/payload/a nul_character"}},
		"a backslash, not NUL":     {`{"a":"\\u0000"}`, nil},
		"largest double":           {`{"a":9.99e307}`, nil},
		"1e308":                    {`{"a":1e308}`, []string{"/payload/a number_out_of_range"}},
		"1e400":                    {`{"a":1e400}`, []string{"/payload/a number_out_of_range"}},
		"1E+400":                   {`{"a":-1E+400}`, []string{"/payload/a number_out_of_range"}},
		"1e131071":                 {`{"a":[1e131071]}`, []string{"/payload/a/0 number_out_of_range"}},
		"1e-400":                   {`{"a":1e-400}`, []string{"/payload/a number_out_of_range"}},
		"0.001e-306":               {`{"a":0.001e-306}`, []string{"/payload/a number_out_of_range"}},
		"0.001e310":                {`{"a":0.001e310}`, nil},
		"a huge exponent":          {`{"a":1e99999999999999999999}`, []string{"/payload/a number_out_of_range"}},
		"zero with a huge one":     {`{"a":0e999999}`, []string{"/payload/a number_out_of_range"}},
		"zero with a modest one":   {`{"a":0.0e10}`, nil},
		"300 digits":               {`{"a":` + strings.Repeat("7", 300) + `}`, nil},
		"400 digits":               {`{"a":` + strings.Repeat("7", 400) + `}`, []string{"/payload/a number_out_of_range"}},
		"400 digits after a point": {`{"a":0.5` + strings.Repeat("7", 400) + `}`, nil},
		"1,025 characters":         {`{"a":0.` + strings.Repeat("7", 1023) + `}`, []string{"/payload/a number_out_of_range"}},
		"several":                  {`{"a~b/c":1e999,"d":"\u0000","e":2}`, []string{"/payload/a~0b~1c number_out_of_range", "/payload/d nul_character"}},
		"64 KiB":                   {`{"a":"` + strings.Repeat("x", 64<<10-8) + `"}`, nil},
		"a byte more":              {`{"a":"` + strings.Repeat("x", 64<<10-7) + `"}`, []string{"/payload too_large"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := check(event.Event{Payload: []byte(test.payload)}); !slices.Equal(found, test.want) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
}

func TestRulesBoundViolations(t *testing.T) {
	t.Parallel()
	var payload strings.Builder
	for i := range 500 {
		fmt.Fprintf(&payload, `"k%d":1e999,`, i)
	}
	if found := check(event.Event{Payload: []byte("{" + payload.String() + `"z":1}`)}); len(found) != 100 {
		t.Errorf("%d violations, want 100", len(found))
	}
}

func BenchmarkRules(b *testing.B) {
	rules := ingest.NewRules(time.Hour, func() time.Time { return now })
	e := event.Event{OccurredAt: 1690000000, Payload: []byte(`{"item":"book","price":12.5,"currency":"EUR","tags":["a","b"],"qty":1}`)}
	b.ReportAllocs()
	for b.Loop() {
		if v := rules.Check(&e, nil); v != nil {
			b.Fatal(v)
		}
	}
}
